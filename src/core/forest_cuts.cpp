#include "forest_cuts.hpp"

#include "portable_math.hpp"

namespace ad {

namespace {

Cut pooled_cut(std::span<const float> sorted) {
    const auto n = static_cast<double>(sorted.size());
    double mean = 0.0;
    for (const float value : sorted) mean += value;
    mean /= n;
    double total = 0.0;
    double squares = 0.0;
    for (const float value : sorted) {
        total += value - mean;
        squares += (value - mean) * (value - mean);
    }
    Cut best;
    double left = 0.0;
    for (std::size_t i = 0; i + 1 < sorted.size(); ++i) {
        left += sorted[i] - mean;
        if (sorted[i] == sorted[i + 1]) continue;
        const double right = total - left;
        const double count = static_cast<double>(i) + 1.0;
        const double gain = left * (left / count) + right * (right / (n - count));
        if (gain > best.gain) best = {gain, i + 1, 0.0F};
    }
    best.gain = squares > 0.0 ? best.gain / squares : 1.0;
    return best;
}

/// Standard deviations of growing sets (Welford's method).
class Deviation {
  public:
    double add(double value) {
        const double before = value - mean_;
        mean_ += before / ++n_;
        squares_ += before * (value - mean_);
        return std::sqrt(squares_ / n_);
    }

  private:
    double n_ = 0.0;
    double mean_ = 0.0;
    double squares_ = 0.0;
};

Cut averaged_cut(std::span<const float> sorted, std::span<double> of_right) {
    Deviation right;
    for (std::size_t i = sorted.size(); i-- > 0;) of_right[i] = right.add(sorted[i]);
    const double all = of_right[0];
    Cut best;
    best.gain = 0.0;
    Deviation left;
    for (std::size_t i = 0; i + 1 < sorted.size(); ++i) {
        const double of_left = left.add(sorted[i]);
        if (sorted[i] == sorted[i + 1]) continue;
        const double gain = 1.0 - (of_left + of_right[i + 1]) / (2.0 * all);
        if (gain > best.gain) best = {gain, i + 1, 0.0F};
    }
    return best;
}

double n_log_n(double n) { return n > 0.0 ? n * portable_log(n) : 0.0; }

/// Of a number that is uniform in (0, 1) for each category: the variance is (1 - sum p^2) / 12.
double expected_deviation(double count, double squares) {
    return std::sqrt(std::fmax(0.0, 1.0 - squares / (count * count)) / 12.0);
}

}  // namespace

float between(float low, float high, double where) {
    const auto value = static_cast<float>(static_cast<double>(low) * (1.0 - where) +
                                          static_cast<double>(high) * where);
    return value >= low && value < high ? value : low;
}

Cut best_cut(Criterion criterion, std::span<const float> sorted, std::span<double> scratch) {
    Cut cut = criterion == Criterion::Pooled ? pooled_cut(sorted) : averaged_cut(sorted, scratch);
    if (cut.gain > 0.0) cut.threshold = between(sorted[cut.left - 1], sorted[cut.left], 0.5);
    return cut;
}

Cut best_cut(Criterion criterion, std::span<const std::uint32_t> counts) {
    double all = 0.0;
    double squares = 0.0;
    for (const double count : counts) {
        all += count;
        squares += count * count;
    }
    Cut best;
    best.gain = 0.0;
    double left = 0.0;
    double left_squares = 0.0;
    for (std::size_t i = 0; i + 1 < counts.size(); ++i) {
        const double count = counts[i];
        left += count;
        left_squares += count * count;
        const double right = all - left;
        const double gain = criterion == Criterion::Pooled
                                ? (n_log_n(all) - n_log_n(left) - n_log_n(right)) / all
                                : 1.0 - (expected_deviation(left, left_squares) +
                                         expected_deviation(right, squares - left_squares)) /
                                            (2.0 * expected_deviation(all, squares));
        if (gain > best.gain) best = {gain, i + 1, 0.0F};
    }
    return best;
}

}  // namespace ad
