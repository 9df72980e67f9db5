#include "scaling.hpp"

#include <algorithm>

#include "quantiles.hpp"

namespace ad {

namespace {

ColumnScale standard(const double* values, std::size_t count) {
    const auto n = static_cast<double>(count);
    double sum = 0.0;
    for (std::size_t i = 0; i < count; ++i) sum += values[i];
    const double mean = sum / n;
    double squares = 0.0;
    for (std::size_t i = 0; i < count; ++i) squares += (values[i] - mean) * (values[i] - mean);
    // What is left of equal values after rounding is no spread (as in scikit-learn).
    constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
    const double rounding = n * mean * kEpsilon;
    const double variance = squares / n;
    const bool constant = variance <= n * kEpsilon * variance + rounding * rounding;
    return {.center = mean, .spread = constant ? 1.0 : std::sqrt(variance)};
}

double spread_or_one(double spread) { return spread > 0.0 ? spread : 1.0; }

/// What takes the place of the interquartile range where half of the values are the median: twice
/// the median distance of the others from it, which is that range if they lie evenly on both sides.
double spread_beside(double median, const double* values, std::size_t count) {
    std::vector<double> distances;
    for (std::size_t i = 0; i < count; ++i) {
        if (values[i] != median) distances.push_back(std::fabs(values[i] - median));
    }
    return distances.empty() ? 1.0 : std::min(2.0 * quantiles(distances, 3)[1], kLargestValue);
}

}  // namespace

Scale parse_scale(const Json& name) {
    const auto text = name.is_string() ? name.get<std::string>() : name.dump();
    const auto* scale = std::find(std::begin(kScaleNames), std::end(kScaleNames), text);
    if (scale == std::end(kScaleNames)) {
        throw InvalidParameter("unknown \"scale\": \"" + text + "\"",
                               "Valid names are: " + join(kScaleNames) + ".");
    }
    return static_cast<Scale>(scale - kScaleNames);
}

ColumnScale ColumnScale::learn(Scale scale, const double* values, std::size_t count) {
    switch (scale) {
        case Scale::Standard:
            return standard(values, count);
        case Scale::Robust: {
            const auto quartiles = quantiles(std::vector<double>(values, values + count), 5);
            const double range = quartiles[3] - quartiles[1];
            return {.center = quartiles[2],
                    .spread = range > 0.0 ? range : spread_beside(quartiles[2], values, count)};
        }
        case Scale::MinMax: {
            const auto [low, high] = std::minmax_element(values, values + count);
            const double factor = 1.0 / spread_or_one(*high - *low);
            if (!std::isfinite(factor)) return {.center = *low};
            return {.factor = factor, .shift = 0.0 - *low * factor};
        }
        default:
            return {};
    }
}

void ColumnScale::save(Writer& out) const {
    out.number(center);
    out.number(spread);
    out.number(factor);
    out.number(shift);
}

ColumnScale ColumnScale::load(Reader& in) {
    constexpr double kSmallest = std::numeric_limits<double>::denorm_min();
    ColumnScale scale;
    scale.center = in.real(-2.0 * kLargestValue, 2.0 * kLargestValue);
    scale.spread = in.real(kSmallest, 2.0 * kLargestValue);
    scale.factor = in.real(kSmallest, std::numeric_limits<double>::max());
    scale.shift = in.real(-2.0 * kLargestValue, 2.0 * kLargestValue);
    return scale;
}

}  // namespace ad
