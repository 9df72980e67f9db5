// What detectors that look at each column by itself share. Of zscore and iqr: a range of usual
// values for each column, and the distance of a value beyond it in units of the column's spread.
#pragma once

#include "detector.hpp"

namespace ad {

struct Fence {
    double low;  ///< a value between low and high scores 0
    double high;
    double spread;  ///< 0: the column is constant, and any deviation from it is extreme
};

/// Scores a row with the largest distance of its columns; a missing value has none. `learn` gets
/// the values of a column that are there, at least one.
std::unique_ptr<Detector> make_fences(Fence (*learn)(const std::vector<double>& values),
                                      double threshold);

/// The values of a column that are not missing, within kLargestValue.
std::vector<double> present_values(const double* column, std::size_t rows);

/// As Algorithm::fit_bytes wants it, if `learn` takes no more.
std::uint64_t bytes_of_fences(const Params&, const FitShape& shape);

}  // namespace ad
