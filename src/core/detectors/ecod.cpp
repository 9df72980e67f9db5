// Empirical cumulative distributions: finds rows whose values lie far in the tails of their
// columns, by rank. Fit n log n, score one binary search a column. Li, Zhao, Hu, Botta, Ionescu,
// Chen: "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions",
// TKDE 2022, in the form of PyOD: the larger tail is chosen in each column, not once for all of
// them.
#include <algorithm>

#include "../empirical_tails.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

/// A column without skewness has no tail to be preferred, and both count.
double combine(double left, double right, int skewness) {
    return skewness == 0 ? left + right : std::max(left, right);
}

}  // namespace

constexpr Algorithm kEcod{
    .name = "ecod",
    .family = "univariate",
    .summary = "rows with values far in either tail of their columns, by rank",
    .score_scale = "sum over the columns of -ln(share of training values beyond), 0 and up",
    .paper =
        "Li et al.: ECOD: Unsupervised Outlier Detection Using Empirical Cumulative "
        "Distribution Functions (TKDE 2022)",
    .random = false,
    .payload_version = 1,
    .params = {},
    .make = [] { return make_tail_detector(combine); },
    .fit_bytes = bytes_of_tails,
    .fit_steps = steps_of_tails,
};

}  // namespace ad
