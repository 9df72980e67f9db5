// What ecod and copod share: how far in the tails of its column each value lies, by the share of
// the training values beyond it.
#pragma once

#include "detector.hpp"
#include "rank_table.hpp"

namespace ad {

/// The strangeness of a value from -ln of the shares of training values that are at most it (left)
/// and at least it (right), and the sign of the column's skewness.
using CombineTails = double (*)(double left, double right, int skewness);

/// The empirical distribution of one column. Of values beyond the 1,024 at either end only as many
/// are kept as give every share to within a thousandth of itself.
///
/// A value beyond all of the n training values has the share 1 / (n + 1): a training row scores as
/// if its own value were among them, which it is, and no share is 0.
class ColumnTails {
  public:
    /// `values`: finite.
    static ColumnTails learn(const double* values, std::size_t rows, CombineTails combine);
    /// At most how many values of `rows` are kept.
    static std::uint64_t most_kept(std::uint64_t rows);

    /// Adds the strangeness of each value.
    void add(const double* values, std::size_t rows, double* sums) const;
    double strangeness(double value) const { return of_rank(ranks_.rank(value), value); }

    void save(Writer& out) const;
    static ColumnTails load(Reader& in, CombineTails combine);
    std::size_t memory_bytes() const;

  private:
    void keep(const std::vector<double>& sorted);
    void prepare(CombineTails combine);
    double of_rank(std::uint32_t rank, double value) const {
        return strangeness_[2 * rank + (values_[rank] == value)];
    }

    std::uint32_t rows_ = 0;
    std::int8_t skewness_ = 0;
    std::vector<double> values_;        ///< ascending; ends with infinity, which is none of them
    std::vector<std::uint32_t> below_;  ///< training values below each
    std::vector<std::uint32_t> upto_;   ///< training values up to each
    RankTable ranks_;
    std::vector<double> strangeness_;  ///< between values i - 1 and i, and at value i
};

/// Scores a row with the sum of the strangeness of its values.
std::unique_ptr<Detector> make_tail_detector(CombineTails combine);

/// As Algorithm::fit_bytes and fit_steps want it.
std::uint64_t bytes_of_tails(const Params&, const FitShape& shape);
double steps_of_tails(const Params&, double rows, double columns);

}  // namespace ad
