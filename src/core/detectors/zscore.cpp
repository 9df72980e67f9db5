// Z-score: finds rows with a value far from the mean of its column, in standard deviations. Fit
// linear, score one division a column.
// Shewhart: "Economic Control of Quality of Manufactured Product", 1931 (limits at 3).
#include <algorithm>

#include "../fences.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr double kUsualThreshold = 3.0;

Fence learn(const std::vector<double>& values) {
    const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
    if (*least == *greatest) return {*least, *least, 0.0};  // the mean may be rounded
    const ColumnScale scale = ColumnScale::learn(Scale::Standard, values.data(), values.size());
    return {scale.center, scale.center, scale.spread};
}

}  // namespace

constexpr Algorithm kZscore{
    .name = "zscore",
    .family = "univariate",
    .summary = "values far from the mean of their own column",
    .score_scale =
        "largest distance of the columns from their means in standard deviations, 0 and "
        "up; 3 is the usual threshold",
    .paper = "Shewhart: Economic Control of Quality of Manufactured Product (1931)",
    .random = false,
    .takes_missing = true,
    .payload_version = 1,
    .params = {},
    .make = [] { return make_fences(learn, kUsualThreshold); },
    .fit_bytes = bytes_of_fences,
    .fit_steps = [](const Params&, double rows, double columns) { return rows * columns; },
};

}  // namespace ad
