#include "tail_model.hpp"

#include <algorithm>

#include "portable_math.hpp"

namespace ad {

namespace {

/// Mean of ln(1 - theta x): minus the shape that fits best, given theta = -shape / scale.
double mean_log(const std::vector<double>& excesses, double theta) {
    double sum = 0.0;
    for (const double x : excesses) sum += portable_log(1.0 - theta * x);
    return sum / static_cast<double>(excesses.size());
}

}  // namespace

ParetoTail ParetoTail::fit(const std::vector<double>& excesses) {
    const auto n = static_cast<double>(excesses.size());
    const double largest = excesses.back();
    double mean = 0.0;
    for (const double x : excesses) mean += x / n;
    const auto quartile = static_cast<std::size_t>(n / 4.0 + 0.5);
    // a quarter of the excesses may be 0: then any small one serves
    const double spread = std::max(excesses[quartile > 0 ? quartile - 1 : 0], largest * 1e-3);
    const auto points = static_cast<std::size_t>(20.0 + std::sqrt(n));
    std::vector<double> thetas;
    std::vector<double> likelihoods;
    for (std::size_t j = 1; j <= points; ++j) {
        const double part = std::sqrt(static_cast<double>(points) / (static_cast<double>(j) - 0.5));
        const double theta = 1.0 / largest + (1.0 - part) / (3.0 * spread);
        const double shape = mean_log(excesses, theta);
        thetas.push_back(theta);
        // at theta = 0 the distribution is exponential
        likelihoods.push_back(
            n * (portable_log(shape == 0.0 ? 1.0 / mean : -theta / shape) - shape - 1.0));
    }
    const double best = *std::max_element(likelihoods.begin(), likelihoods.end());
    double sum = 0.0;
    double theta = 0.0;
    for (std::size_t j = 0; j < points; ++j) {
        const double weight = portable_exp(likelihoods[j] - best);
        sum += weight;
        theta += weight * thetas[j];
    }
    theta /= sum;
    const double shape = mean_log(excesses, theta);
    constexpr double kFlat = 1e-6;
    if (!(std::fabs(shape) > kFlat)) return {0.0, mean};
    return {shape, -shape / theta};
}

double ParetoTail::exceeded_with(double probability) const {
    const double log = portable_log(probability);
    if (shape == 0.0) return -scale * log;
    return scale / shape * (portable_exp(-shape * log) - 1.0);
}

namespace {

/// How many of n scores make up the tail.
std::size_t count_peaks(std::size_t n) {
    constexpr std::size_t kFewest = 20;
    constexpr std::size_t kPart = 50;
    return std::min(std::max(kFewest, n / kPart), n - 1);
}

double threshold_of_tail(const std::vector<double>& sorted, double risk) {
    const std::size_t n = sorted.size();
    const std::size_t peaks = count_peaks(n);
    const double share = static_cast<double>(peaks) / static_cast<double>(n);
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const double largest = std::nextafter(sorted.back(), kInfinity);
    if (peaks == 0) return largest;
    const std::size_t base = n - peaks - 1;
    if (risk >= share) {
        const auto above = static_cast<std::size_t>(risk * static_cast<double>(n));
        return std::nextafter(sorted[n - 1 - std::min(above, n - 1)], kInfinity);
    }
    // in units of the largest excess, so that scores of any size can be handled
    const double unit = sorted.back() - sorted[base];
    if (!(unit > 0.0) || !std::isfinite(unit)) return largest;
    std::vector<double> excesses;
    for (std::size_t i = base + 1; i < n; ++i)
        excesses.push_back((sorted[i] - sorted[base]) / unit);
    const double excess = ParetoTail::fit(excesses).exceeded_with(risk / share);
    return sorted[base] + unit * excess;
}

}  // namespace

double evt_threshold(const std::vector<double>& sorted, double risk, double largest) {
    const double threshold = threshold_of_tail(sorted, risk);
    if (!(threshold > largest)) return threshold;
    const auto there = sorted.end() - std::lower_bound(sorted.begin(), sorted.end(), largest);
    return static_cast<std::size_t>(there) > count_peaks(sorted.size()) ? threshold : largest;
}

}  // namespace ad
