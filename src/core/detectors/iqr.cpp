// Tukey's fences: finds rows with a value far outside the middle half of its column, in units of
// the interquartile range. Fit linear, score one division a column.
// Tukey: "Exploratory Data Analysis", 1977 (the box plot: 1.5 is outside, 3 is far out).
#include <algorithm>

#include "../fences.hpp"
#include "../quantiles.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr double kUsualThreshold = 1.5;
/// Of a normal distribution: the interquartile range divided by the mean absolute deviation.
constexpr double kOfMeanDeviation = 1.6907;

Fence learn(const std::vector<double>& values) {
    const auto quartiles = quantiles(values, 5);
    Fence fence{quartiles[1], quartiles[3], quartiles[3] - quartiles[1]};
    if (fence.spread > 0.0) return fence;
    // More than half of the values are alike.
    double sum = 0.0;
    for (const double value : values) sum += std::fabs(value - quartiles[2]);
    fence.spread = kOfMeanDeviation * (sum / static_cast<double>(values.size()));
    return fence;
}

}  // namespace

constexpr Algorithm kIqr{
    .name = "iqr",
    .family = "univariate",
    .summary = "values far outside the middle half of their own column",
    .score_scale =
        "largest distance of the columns beyond their quartiles in interquartile "
        "ranges, 0 and up; 1.5 is the usual threshold",
    .paper = "Tukey: Exploratory Data Analysis (1977)",
    .random = false,
    .takes_missing = true,
    .payload_version = 1,
    .params = {},
    .make = [] { return make_fences(learn, kUsualThreshold); },
    .fit_bytes =
        [](const Params& params, const FitShape& shape) {
            return bytes_of_fences(params, shape) + quantiles_bytes(shape.rows);
        },
    .fit_steps = [](const Params&, double rows, double columns) { return 2.0 * rows * columns; },
};

}  // namespace ad
