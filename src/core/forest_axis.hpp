// Trees whose cuts are random numbers in one column each, all columns numbers: the isolation forest
// as it was published. Liu, Ting, Zhou: "Isolation Forest", ICDM 2008.
#pragma once

#include <optional>

#include "detector.hpp"
#include "forest_kernel.hpp"
#include "forest_walk.hpp"

namespace ad {

class AxisForest {
  public:
    static constexpr std::size_t kMaxColumns = 65534;

    void fit(const Training& training, const ForestSettings& settings, Random random);

    std::size_t trees() const { return trees_.size(); }
    std::uint32_t samples() const { return samples_; }
    bool by_density() const { return by_density_; }
    /// Of as many rows as a tree has.
    double expected_path() const { return average_path(samples_); }

    /// The sum of each row's paths over the trees, by the fastest way that there is, which is made
    /// when it pays.
    void sum_paths(const Columns& rows, std::uint64_t* sums) const;
    /// Adds `share` of each step of a row's paths to the column that was split on: by how much the
    /// step made it stranger.
    void explain(const Columns& rows, std::size_t row, double share, double* contributions) const;

    void save(Writer& out) const;
    void load(Reader& in, std::size_t columns);
    std::size_t memory_bytes() const;
    /// As Algorithm::fit_bytes, of trees of so many leaves at most.
    static std::uint64_t fit_bytes(const ForestSettings& settings, std::uint64_t leaves,
                                   const FitShape& shape);

  private:
    void make_kernels(std::size_t columns) const;
    std::uint32_t load_subtree(Reader& in, ForestTree& tree, std::size_t columns,
                               std::uint32_t depth, double log_volume) const;

    std::uint32_t samples_ = 0;
    bool by_density_ = false;
    std::vector<ForestTree> trees_;
    std::size_t columns_ = 0;
    mutable std::size_t rows_scored_ = 0;
    mutable std::vector<ForestKernel> kernels_;
    mutable std::optional<ForestWalk> walk_;
};

}  // namespace ad
