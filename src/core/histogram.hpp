// Histograms with bins of equal width, as the detectors that estimate densities use them.
#pragma once

#include "base.hpp"

namespace ad {

/// Bins of equal width from `low` to `high`.
class Bins {
  public:
    Bins(double low, double high, std::uint32_t count);

    /// From the least to the greatest value; values that are all alike get a bin's width around
    /// them, with the range 1 (or more, where the values are large). All values finite.
    static Bins of(const double* values, std::size_t rows, std::uint32_t count);
    /// What `of` never returns less than, so that no width is lost to rounding.
    static bool have_width(double low, double high);

    std::uint32_t count() const { return static_cast<std::uint32_t>(borders_.size()) - 1; }
    double low() const { return low_; }
    double high() const { return high_; }
    double width() const { return (high_ - low_) / count(); }

    /// The bin of a value; a border belongs to the bin above it, what lies outside to the outermost
    /// bins. `value` is finite.
    std::size_t above(double value) const {
        const std::size_t at = near(value);
        return at - (value < borders_[at]) + (value >= borders_[at + 1]);
    }
    /// The same, but a border belongs to the bin below it.
    std::size_t below(double value) const {
        const std::size_t at = near(value);
        return at - (value <= borders_[at]) + (value > borders_[at + 1]);
    }

    /// How many of the values lie in each bin, by `above`.
    std::vector<std::uint32_t> histogram(const double* values, std::size_t rows) const;

  private:
    /// The bin, or one beside it where rounding hides the border.
    std::size_t near(double value) const {
        const double at = (value - low_) * per_unit_;
        const auto last = static_cast<double>(borders_.size() - 2);
        return static_cast<std::size_t>(at > 0.0 ? (at < last ? at : last) : 0.0);
    }

    double low_;
    double high_;
    double per_unit_;
    std::vector<double> borders_;  ///< the first and the last are infinite
};

/// The number of bins, below the square root of `rows`, with the greatest penalised likelihood
/// (Birge, Rozenholc: "How many bins should be put in a regular histogram", ESAIM 2006) in the form
/// that PyOD gave it: 1 is added within the logarithm, and the penalty counts once for each bin.
std::uint32_t choose_bins(const double* values, std::size_t rows);

}  // namespace ad
