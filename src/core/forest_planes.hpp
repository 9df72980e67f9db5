// Trees that cut by planes through several columns, at the best place, by sets of categories, or
// that mind how far outside of a node's range a row lies. Extended isolation forest (Hariri,
// Carrasco Kind, Brunner, 2019), SCiForest (Liu, Ting, Zhou, 2010), fair-cut forest (Cortes,
// arXiv:2110.13402).
//
// All arithmetic is done on numbers of single precision: a column's values less its median, over
// half its interquartile range. So no product overflows, and a vector holds twice as many.
#pragma once

#include <optional>

#include "detector.hpp"
#include "forest.hpp"
#include "forest_planes_loops.hpp"

namespace ad {

struct PlaneNode {
    enum class Kind : std::uint8_t { Leaf, Plane, Subset };

    float threshold = 0.0F;  ///< a sum of terms above it goes right
    float width = 0.0F;      ///< of the node's sums: one farther from the threshold is outside
    std::uint32_t right = 0;
    std::uint32_t first_term = 0;
    std::uint32_t first_category = 0;
    std::uint16_t terms = 0;
    std::uint16_t categories = 0;
    Kind kind = Kind::Leaf;
    /// Where all go but the listed categories: also missing ones and those unseen in the node.
    bool default_right = false;
};

/// In preorder: the left child follows its parent.
struct PlaneTree {
    std::vector<PlaneNode> nodes;
    std::vector<PlaneTerm> terms;
    std::vector<std::uint16_t> categories;  ///< of each subset, in ascending order
    std::vector<std::uint32_t> rows;        ///< of the sample, in each node
    std::vector<std::uint32_t> path;        ///< of each node, in units of 1 / kPathUnit
    std::vector<float> left_share;          ///< of a node's volume, for scoring by density
    std::uint32_t depth = 0;
    std::uint32_t seed = 0;  ///< of the numbers that categories count as in planes

    bool is_leaf(std::uint32_t i) const { return nodes[i].kind == PlaneNode::Kind::Leaf; }
    std::size_t leaves() const { return nodes.size() / 2 + 1; }
    void reserve_node() {
        nodes.emplace_back();
        rows.push_back(0);
        path.push_back(0);
        left_share.push_back(0.0F);
    }
    void shrink();
    std::size_t memory_bytes() const;
};

/// How a column becomes numbers of single precision.
struct PlaneColumn {
    double center = 0.0;
    double spread = 1.0;
    std::uint32_t categories = 0;  ///< then a value is a category's number, or this one; else 0

    static PlaneColumn learn(const Training& training, std::size_t j);
    float apply(double value) const;
};

/// The number in [-1, 1) that a category counts as in the planes of a tree.
float category_code(std::uint32_t seed, std::uint32_t column, float category);

/// Rows in the form that trees take.
class PlaneBlock {
  public:
    static constexpr std::size_t kRows = 512;

    /// Of up to `capacity` rows, kRows for a PlaneKernel. `codes`: categories count as numbers in
    /// planes.
    PlaneBlock(const std::vector<PlaneColumn>& columns, bool codes, std::size_t capacity);
    /// Takes rows [first, first + count) of `rows`.
    void take(const Columns& rows, std::size_t first, std::size_t count);
    /// Must be called before a tree uses the block.
    void prepare(const PlaneTree& tree);

    std::size_t rows() const { return count_; }
    const float* column(std::size_t j) const { return &lines_[j * stride_].value[0]; }
    bool has_missing() const { return missing_; }

  private:
    struct alignas(64) Line {
        float value[16];
    };

    const std::vector<PlaneColumn>& columns_;
    std::vector<std::uint32_t> coded_;  ///< columns whose categories count as numbers
    std::vector<Line> lines_;           ///< of all columns, then the categories of `coded_`
    std::size_t stride_;                ///< lines of a column
    bool missing_ = false;
    std::size_t count_ = 0;
};

class PlaneKernel;
class PlaneWalk;
class WideWalk;
struct WideLoops;

class PlaneForest {
  public:
    static constexpr std::uint32_t kMaxDimensions = 100;
    static constexpr std::uint32_t kMaxCategory = 65535;

    PlaneForest();
    PlaneForest(PlaneForest&&) noexcept;
    PlaneForest& operator=(PlaneForest&&) noexcept;
    ~PlaneForest();

    void fit(const Training& training, const ForestSettings& settings, Random random);

    std::size_t trees() const { return trees_.size(); }
    std::uint32_t samples() const { return samples_; }
    bool by_density() const { return by_density_; }
    double expected_path() const { return exact_average_path(samples_); }

    /// As AxisForest.
    void sum_paths(const Columns& rows, std::uint64_t* sums) const;
    /// A step is shared among the columns of its plane by how far each moves the row from the
    /// node's median.
    void explain(const Columns& rows, std::size_t row, double share, double* contributions) const;

    void save(Writer& out) const;
    void load(Reader& in, std::size_t columns);
    std::size_t memory_bytes() const;
    static std::size_t expected_bytes_of_tree(std::size_t leaves, std::size_t dimensions,
                                              std::size_t columns, bool categories, bool fast);

    /// The plain way, node by node.
    void walk(const Columns& rows, std::uint64_t* sums) const;
    /// The fast way of many rows; false if a tree is too large for it.
    bool sum_by_kernel(const Columns& rows, const PlaneLoops& loops, std::uint64_t* sums) const;
    /// The fast way of large trees and of few rows; false if there are too many categories for it.
    /// `loops` are of planes with many terms.
    bool sum_by_walk(const Columns& rows, const WideLoops& loops, std::uint64_t* sums) const;

  private:
    void count(const PlaneTree& tree);
    void save_node(Writer& out, const PlaneTree& tree, std::uint32_t i) const;
    void load_terms(Reader& in, PlaneTree& tree, PlaneNode& node, std::uint16_t count) const;
    void load_subset(Reader& in, PlaneTree& tree, PlaneNode& node) const;
    std::uint32_t load_subtree(Reader& in, PlaneTree& tree, std::uint32_t depth,
                               double log_volume) const;

    std::uint32_t samples_ = 0;
    bool by_density_ = false;
    bool penalizes_range_ = false;
    bool codes_ = false;  ///< categories count as numbers in planes; else there are subsets
    std::vector<PlaneColumn> columns_;
    std::vector<PlaneTree> trees_;
    std::size_t nodes_ = 0;  ///< of all trees
    std::size_t terms_ = 1;  ///< of a plane at most
    mutable std::size_t rows_scored_ = 0;
    mutable std::unique_ptr<PlaneKernel> kernel_;
    mutable std::unique_ptr<PlaneWalk> walk_;
    mutable std::unique_ptr<WideWalk> wide_walk_;
};

}  // namespace ad
