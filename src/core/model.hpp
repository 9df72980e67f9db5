// A fitted model: the feature schema, the learned preprocessing, the detector, the calibration
// scores and the threshold; of a partitioned model, such models of some entities besides. Immutable
// once made.
#pragma once

#include <optional>

#include "container.hpp"
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
    std::vector<std::pair<std::size_t, std::size_t>> order;  ///< entity and row
    std::vector<Cell> cells;
    std::vector<const Cell*> pointers;
    std::vector<double> scores;
};

class Model {
  public:
    /// `max_memory` bounds the detector, in bytes; that of the sample is FitState's.
    static Model fit(FitState& state, std::uint64_t max_memory = FitState::kNoLimit);
    /// Nothing if the request has "min_rows" and fewer rows can be used.
    static std::optional<Model> fit_if_enough(FitState& state,
                                              std::uint64_t max_memory = FitState::kNoLimit);
    static Model load(std::string_view bytes);
    std::string save() const;

    /// What a row consists of: the features, then the partition columns.
    const Schema& schema() const { return schema_; }

    /// Writes one score a row; NaN for a row that {"impute": "reject"} turns away.
    void score(const Cells& cells, Scratch& scratch, double* scores) const;

    /// The model that scores a row, by its entity, and that knows what the score means.
    const Model& for_row(const Cells& cells, std::size_t row) const noexcept {
        return entities_.empty() ? *this : model_of_entity(entity_of(cells, row));
    }
    bool has_entities() const { return !entities_.empty(); }
    double threshold() const { return threshold_; }
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
    static constexpr std::size_t kFallback = EntityKeys::kNone;

    Model(const Algorithm& algorithm, Schema schema);
    static Model load_plain(Reader& in);
    static Model load_partitioned(Reader& in);
    std::string save_plain() const;

    bool fit_detector(const Sample& sample, const FitRequest& request, std::uint64_t max_memory,
                      std::vector<double>& scores);
    void score_alike(const Cells& cells, Scratch& scratch, double* scores) const;
    void score_by_entity(const Cells& cells, Scratch& scratch, double* scores) const;
    std::size_t entity_of(const Cells& cells, std::size_t row) const noexcept;
    const Model& model_of_entity(std::size_t entity) const noexcept {
        return entity == kFallback ? *this : entities_[entity];
    }
    std::size_t features() const { return schema_.size() - partition_.size(); }
    Json explain_feature(std::size_t feature, Cell cell, std::string_view text,
                         double contribution) const;
    Json describe_feature(std::size_t feature) const;

    Schema schema_;
    Json params_;
    Json chosen_ = Json::object();  ///< by the detector's fit; empty if it had no choice
    ThresholdRule threshold_rule_;
    std::int64_t random_seed_ = 0;
    std::uint64_t rows_seen_ = 0;
    std::uint64_t rows_fitted_ = 0;
    Preprocess preprocess_;
    Pipeline pipeline_;
    Calibration calibration_;
    double threshold_ = 0.0;

    // of a partitioned model, which itself is the fallback
    Schema partition_;  ///< the end of schema_
    std::uint64_t entities_without_model_ = 0;
    EntityKeys keys_;
    std::vector<Model> entities_;  ///< in the order of the keys; not partitioned
};

}  // namespace ad
