// From scores to decisions: the threshold of a model and the calibration scores behind p-values.
#pragma once

#include "params.hpp"
#include "wire.hpp"

namespace ad {

enum class ThresholdMethod : std::uint8_t { Auto, Contamination, Quantile, Score, PValue, Evt };

/// How the user asks for a threshold: {"method": "quantile", "value": 0.99}.
struct ThresholdRule {
    ThresholdMethod method = ThresholdMethod::Auto;
    double value = kMissing;

    static ThresholdRule parse(const Json& options);
    Json to_json() const;

    /// The threshold for the `scores` (sorted, ascending, not empty) of the training rows.
    /// For PValue they are the calibration's, so that a row is an anomaly exactly if its p-value
    /// says so. `natural` is the algorithm's own choice for Auto, or NaN; `largest` the end of the
    /// scores, beyond which Evt does not go.
    double resolve(const std::vector<double>& scores, double natural,
                   double largest = std::numeric_limits<double>::infinity()) const;
};

/// Sorted scores of training rows: the reference of conformal p-values (Vovk, Gammerman, Shafer:
/// "Algorithmic Learning in a Random World", 2005; Laxhammar 2010 for anomalies).
class Calibration {
  public:
    static constexpr std::size_t kMaxScores = 8192;

    Calibration() = default;
    /// Keeps a systematic subset of at most kMaxScores of the sorted `scores`.
    explicit Calibration(const std::vector<double>& scores);

    /// (1 + number of calibration scores >= score) / (1 + n)
    double p_value(double score) const;
    std::size_t size() const { return scores_.size(); }
    const std::vector<double>& scores() const { return scores_; }

    void save(Writer& out) const { out.array(scores_); }
    static Calibration load(Reader& in);

  private:
    std::vector<double> scores_;
};

}  // namespace ad
