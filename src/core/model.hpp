// A fitted model: the feature schema, the learned preprocessing, the detector, the calibration
// scores and the threshold. Immutable once made.
#pragma once

#include "detector.hpp"
#include "fit_state.hpp"
#include "pipeline.hpp"
#include "preprocess.hpp"
#include "threshold.hpp"

namespace ad {

struct Prediction {
    bool is_anomaly;
    double score;
    double confidence;  ///< 1 - p_value
    double p_value;
    double threshold;
};

/// Working memory of one caller of Model::score; reused from call to call.
struct Scratch {
    Block block;
};

class Model {
  public:
    /// `max_memory` bounds the detector, in bytes; that of the sample is FitState's.
    static Model fit(FitState& state, std::uint64_t max_memory = FitState::kNoLimit);
    static Model load(std::string_view bytes);
    std::string save() const;

    const Schema& schema() const { return schema_; }
    double threshold() const { return threshold_; }

    /// Writes one score a row; NaN for a row that {"impute": "reject"} turns away.
    void score(const Cells& cells, Scratch& scratch, double* scores) const;
    bool is_anomaly(double score) const { return score >= threshold_; }
    Prediction predict(double score) const;

    /// A JSON array with feature, value, expected, contribution and direction, ordered by
    /// contribution. `texts[j]`, where not empty, is how the user writes value j.
    std::string explain(const Cells& cells, std::size_t row, const std::string_view* texts,
                        Scratch& scratch) const;

    /// Everything about the model that is worth a column in the registry, as JSON.
    std::string describe() const;
    std::size_t memory_bytes() const;

  private:
    Model(const Algorithm& algorithm, Schema schema);
    std::vector<double> fit_detector(const Sample& sample, const FitRequest& request,
                                     std::uint64_t max_memory);
    Json explain_feature(std::size_t feature, Cell cell, std::string_view text,
                         double contribution) const;
    Json describe_feature(std::size_t feature) const;

    Schema schema_;
    Json params_;
    ThresholdRule threshold_rule_;
    std::int64_t random_seed_ = 0;
    std::uint64_t rows_seen_ = 0;
    std::uint64_t rows_fitted_ = 0;
    Preprocess preprocess_;
    Pipeline pipeline_;
    Calibration calibration_;
    double threshold_ = 0.0;
};

}  // namespace ad
