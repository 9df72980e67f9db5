#include "histogram.hpp"

#include <algorithm>

#include "portable_math.hpp"

namespace ad {

Bins::Bins(double low, double high, std::uint32_t count)
    : low_(low), high_(high), per_unit_(count / (high - low)), borders_(count + 1) {
    const double step = (high - low) / count;
    for (std::uint32_t i = 1; i < count; ++i) borders_[i] = i * step + low;
    borders_.front() = -std::numeric_limits<double>::infinity();
    borders_.back() = std::numeric_limits<double>::infinity();
}

bool Bins::have_width(double low, double high) {
    constexpr double kSmallest = 1e-280;
    const double magnitude = std::max(std::fabs(low), std::fabs(high));
    return high - low >= std::max(magnitude * 0x1p-36, kSmallest);
}

Bins Bins::of(const double* values, std::size_t rows, std::uint32_t count) {
    const auto [least, greatest] = std::minmax_element(values, values + rows);
    const double low = *least;
    const double high = *greatest;
    if (have_width(low, high)) return {low, high, count};
    const double half = std::max(0.5, std::max(std::fabs(low), std::fabs(high)) * 0x1p-35);
    return {low - half, high + half, count};
}

std::vector<std::uint32_t> Bins::histogram(const double* values, std::size_t rows) const {
    std::vector<std::uint32_t> counts(count());
    for (std::size_t i = 0; i < rows; ++i) ++counts[above(values[i])];
    return counts;
}

std::uint32_t choose_bins(const double* values, std::size_t rows) {
    const auto n = static_cast<double>(rows);
    const auto end = static_cast<std::uint32_t>(std::sqrt(n));
    std::uint32_t best = 1;
    double largest = -std::numeric_limits<double>::infinity();
    for (std::uint32_t bins = 1; bins < end; ++bins) {
        poll();
        const double log = portable_log(bins);
        const double penalty = bins - 1.0 + log * log * std::sqrt(log);
        double likelihood = -penalty * bins;
        for (const auto count : Bins::of(values, rows, bins).histogram(values, rows)) {
            if (count > 0) likelihood += count * portable_log(bins * (count / n) + 1.0);
        }
        if (likelihood > largest) {
            largest = likelihood;
            best = bins;
        }
    }
    return best;
}

}  // namespace ad
