// Copula-based outlier detection: finds rows whose values lie far in the longer tails of their
// columns, by rank. Fit n log n, score one binary search a column.
// Li, Zhao, Botta, Ionescu, Hu: "COPOD: Copula-Based Outlier Detection", ICDM 2020, in the form of
// PyOD: tails are compared in each column, not once for all of them.
#include <algorithm>

#include "../empirical_tails.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

/// The tail to which the column is skewed, or the mean of both if that is more.
double combine(double left, double right, int skewness) {
    const double mean = (left + right) / 2.0;
    if (skewness == 0) return left + right;
    return std::max(skewness < 0 ? left : right, mean);
}

}  // namespace

constexpr Algorithm kCopod{
    .name = "copod",
    .family = "univariate",
    .summary = "rows with values far in the longer tail of their columns, by rank",
    .score_scale = "sum over the columns of -ln(share of training values beyond), 0 and up",
    .paper = "Li et al.: COPOD: Copula-Based Outlier Detection (ICDM 2020)",
    .random = false,
    .payload_version = 1,
    .params = {},
    .make = [] { return make_tail_detector(combine); },
    .fit_bytes = bytes_of_tails,
    .fit_steps = steps_of_tails,
};

}  // namespace ad
