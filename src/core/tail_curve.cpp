#include "tail_curve.hpp"

#include <algorithm>

#include "portable_math.hpp"

namespace ad {

namespace {

constexpr double kLargestScore = std::numeric_limits<double>::max();

/// Mean distance of the highest twentieth of the scores from the one below them.
double mean_excess(const std::vector<double>& sorted) {
    const std::size_t high = std::max<std::size_t>(1, sorted.size() / 20);
    if (high >= sorted.size()) return 0.0;
    const std::size_t first = sorted.size() - high;
    double sum = 0.0;
    for (std::size_t i = first; i < sorted.size(); ++i) {
        sum += (sorted[i] - sorted[first - 1]) / static_cast<double>(high);
    }
    return std::min(sum, kLargestScore);
}

}  // namespace

TailCurve::TailCurve(const std::vector<double>& sorted) : excess_(mean_excess(sorted)) {
    const std::size_t n = sorted.size();
    const std::size_t others = n > kHighest ? n - kHighest : 0;
    const std::size_t step = std::max<std::size_t>(1, (others + kOthers - 1) / kOthers);
    const std::size_t most = std::min(n, kHighest + kOthers + 1);
    scores_.reserve(most);
    tails_.reserve(most);
    for (std::size_t i = 0; i < n; ++i) {
        const bool first_of_equals = i == 0 || sorted[i] > sorted[i - 1];
        if (!first_of_equals) continue;
        if (i < others && !scores_.empty() && i % step != 0) continue;
        scores_.push_back(sorted[i]);
        tails_.push_back(
            -portable_log((1.0 + static_cast<double>(n - i)) / (1.0 + static_cast<double>(n))));
    }
}

double TailCurve::at(double score) const {
    const auto above = std::upper_bound(scores_.begin(), scores_.end(), score);
    if (above == scores_.begin()) return 0.0;
    const auto i = static_cast<std::size_t>(above - scores_.begin());
    if (above != scores_.end()) {
        const double part = (score - scores_[i - 1]) / (scores_[i] - scores_[i - 1]);
        // of numbers far apart the distance may be infinite
        return std::isfinite(part) ? std::lerp(tails_[i - 1], tails_[i], part) : tails_[i - 1];
    }
    const double beyond = score - scores_.back();
    if (beyond <= 0.0) return tails_.back();
    const double unit = excess_ > 0.0 ? excess_ : std::fabs(scores_.back()) + 1.0;
    return tails_.back() + portable_log(1.0 + std::min(beyond / unit, kLargestScore));
}

double TailCurve::confidence(double score) const { return 1.0 - portable_exp2(-at(score) / kLn2); }

void TailCurve::save(Writer& out) const {
    out.array(scores_);
    out.array(tails_);
    out.number(excess_);
}

TailCurve TailCurve::load(Reader& in) {
    TailCurve curve;
    curve.scores_ = in.array<double>();
    curve.tails_ = in.array<double>();
    curve.excess_ = in.real(0.0, kLargestScore);
    const auto& scores = curve.scores_;
    const auto& tails = curve.tails_;
    if (scores.empty() || scores.size() != tails.size()) throw CorruptModel("a tail has no scores");
    constexpr double kHighestTail = 64.0;  // more than any number of rows makes
    for (std::size_t i = 0; i < scores.size(); ++i) {
        const bool ascends = i == 0 || (scores[i] > scores[i - 1] && tails[i] >= tails[i - 1]);
        if (!ascends || !std::isfinite(scores[i]) ||
            !(tails[i] >= 0.0 && tails[i] <= kHighestTail)) {
            throw CorruptModel("a tail does not ascend");
        }
    }
    return curve;
}

}  // namespace ad
