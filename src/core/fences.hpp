// What zscore and iqr share: a range of usual values for each column, and the distance of a value
// beyond it in units of the column's spread.
#pragma once

#include "detector.hpp"

namespace ad {

struct Fence {
    double low;  ///< a value between low and high scores 0
    double high;
    double spread;  ///< 0: the column is constant, and any deviation from it is extreme
};

/// Scores a row with the largest distance of its columns. `learn` gets finite values.
std::unique_ptr<Detector> make_fences(Fence (*learn)(const double* values, std::size_t rows),
                                      double threshold);

/// Memory that a fit takes, as Algorithm::fit_bytes wants it.
std::uint64_t bytes_of_fences(const Params&, std::uint64_t rows, std::uint64_t columns);

}  // namespace ad
