#include "threshold.hpp"

#include <algorithm>
#include <array>

#include "quantiles.hpp"
#include "tail_model.hpp"

namespace ad {

namespace {

constexpr std::array<std::string_view, 6> kMethods{"auto",  "contamination", "quantile",
                                                   "score", "p_value",       "evt"};

double above(double score) {
    return std::nextafter(score, std::numeric_limits<double>::infinity());
}

/// The smallest threshold that at most `count` of the sorted scores reach. Ties at the border stay
/// below it, so that a constant score flags nothing.
double threshold_for_count(const std::vector<double>& scores, std::size_t count) {
    if (count >= scores.size()) return scores.front();
    return above(scores[scores.size() - count - 1]);
}

/// Upper fence of the box plot for skewed data: the distance is measured on the upper half only.
double upper_fence(const std::vector<double>& scores) {
    constexpr double kReach = 3.0;
    const double median = quantile(scores, 0.5);
    return median + kReach * (quantile(scores, 0.75) - median);
}

double read_value(const Json& options, std::string_view method, double low, double high) {
    const auto found = options.find("value");
    if (found == options.end() || !found->is_number()) {
        throw InvalidParameter(
            "threshold method \"" + std::string(method) + "\" needs a number \"value\"",
            "For example: {\"method\": \"contamination\", \"value\": 0.01}.");
    }
    const auto value = found->get<double>();
    if (!(value >= low && value <= high)) {
        throw InvalidParameter(
            "threshold value " + found->dump() + " is out of range for method \"" +
                std::string(method) + "\"",
            "Valid values are between " + Json(low).dump() + " and " + Json(high).dump() + ".");
    }
    return value;
}

}  // namespace

ThresholdRule ThresholdRule::parse(const Json& options) {
    constexpr std::array<std::string_view, 2> kKeys{"method", "value"};
    refuse_unknown_keys(options, kKeys, "threshold option");
    ThresholdRule rule;
    const auto found = options.find("method");
    if (found == options.end()) {
        if (!options.empty())
            throw InvalidParameter("threshold has a \"value\" but no \"method\"",
                                   "Valid methods are: " + join(kMethods) + ".");
        return rule;
    }
    const auto name = found->is_string() ? found->get<std::string>() : found->dump();
    const auto method = std::find(kMethods.begin(), kMethods.end(), name);
    if (method == kMethods.end()) {
        throw InvalidParameter("unknown threshold method: \"" + name + "\"",
                               "Valid names are: " + join(kMethods) + ".");
    }
    rule.method = static_cast<ThresholdMethod>(method - kMethods.begin());
    constexpr double kAny = std::numeric_limits<double>::max();
    switch (rule.method) {
        case ThresholdMethod::Auto:
            if (options.contains("value")) {
                throw InvalidParameter("threshold method \"auto\" takes no \"value\"",
                                       "Leave the value out, or name another method.");
            }
            break;
        case ThresholdMethod::Contamination:
            rule.value = read_value(options, name, 0.0, 0.5);
            break;
        case ThresholdMethod::Score:
            rule.value = read_value(options, name, -kAny, kAny);
            break;
        case ThresholdMethod::Evt: {
            constexpr double kSmallest = 1e-12;
            constexpr double kUsual = 1e-3;
            rule.value =
                options.contains("value") ? read_value(options, name, kSmallest, 0.5) : kUsual;
            break;
        }
        default:
            rule.value = read_value(options, name, 0.0, 1.0);
    }
    return rule;
}

Json ThresholdRule::to_json() const {
    Json object{{"method", kMethods[static_cast<std::size_t>(method)]}};
    if (method != ThresholdMethod::Auto) object["value"] = value;
    return object;
}

double ThresholdRule::resolve(const std::vector<double>& scores, double natural,
                              double largest) const {
    const auto n = static_cast<double>(scores.size());
    switch (method) {
        case ThresholdMethod::Contamination:
            return threshold_for_count(scores,
                                       static_cast<std::size_t>(std::floor(value * n + 0.5)));
        case ThresholdMethod::Quantile:
            // strictly above, or a quantile among equal scores would flag them all
            return above(quantile(scores, value));
        case ThresholdMethod::Score:
            return value;
        case ThresholdMethod::PValue: {
            const double reached = std::floor(value * (1.0 + n) * (1.0 + 1e-12)) - 1.0;
            if (reached < 0.0) {
                throw InvalidParameter(
                    "p_value " + Json(value).dump() + " cannot be reached with " +
                        std::to_string(scores.size()) + " calibration scores",
                    "The smallest possible p-value is " + Json(1.0 / (1.0 + n)).dump() + ".");
            }
            return threshold_for_count(scores, static_cast<std::size_t>(reached));
        }
        case ThresholdMethod::Evt:
            return evt_threshold(scores, value, largest);
        default:
            // a fence among equal scores would flag them all
            return std::isnan(natural)
                       ? std::max(upper_fence(scores), above(quantile(scores, 0.75)))
                       : natural;
    }
}

Calibration::Calibration(const std::vector<double>& scores) {
    const std::size_t n = scores.size();
    const std::size_t kept = std::min(n, kMaxScores);
    scores_.reserve(kept);
    for (std::size_t i = 0; i < kept; ++i) scores_.push_back(scores[(2 * i + 1) * n / (2 * kept)]);
}

double Calibration::p_value(double score) const {
    const auto below = std::lower_bound(scores_.begin(), scores_.end(), score) - scores_.begin();
    const auto n = static_cast<double>(scores_.size());
    return (1.0 + n - static_cast<double>(below)) / (1.0 + n);
}

Calibration Calibration::load(Reader& in) {
    Calibration calibration;
    calibration.scores_ = in.array<double>();
    const auto& scores = calibration.scores_;
    const auto finite = [](double score) { return std::isfinite(score); };
    if (scores.empty() || !std::all_of(scores.begin(), scores.end(), finite) ||
        !std::is_sorted(scores.begin(), scores.end())) {
        throw CorruptModel("calibration scores are not a sorted list of numbers");
    }
    return calibration;
}

}  // namespace ad
