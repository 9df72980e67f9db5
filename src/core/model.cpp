#include "model.hpp"

#include <algorithm>
#include <array>
#include <numeric>

namespace ad {

namespace {

constexpr double kLargest = std::numeric_limits<double>::max();
/// As a threshold it says "above 0"; as decimal digits of jsonb it would be 326 of them.
constexpr double kSmallest = std::numeric_limits<double>::denorm_min();

Json number_to_json(double value) {
    if (std::isnan(value)) return nullptr;
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    constexpr double kExact = 0x1.0p53;
    if (std::trunc(value) == value && std::fabs(value) < kExact) {
        return static_cast<std::int64_t>(value);
    }
    return value;
}

/// Column pointers into a sample.
struct SampleView {
    explicit SampleView(const Sample& sample) : rows(sample.rows) {
        for (const auto& column : sample.columns) pointers.push_back(column.data());
    }
    Cells cells() const { return {pointers.data(), rows}; }

    std::vector<const Cell*> pointers;
    std::size_t rows;
};

/// Copies the rows that were not rejected: detectors keep nothing of the sample's layout.
Matrix accepted_rows(const Columns& all, const std::vector<std::uint8_t>& rejected) {
    const auto refused = std::accumulate(rejected.begin(), rejected.end(), std::size_t{0});
    Matrix matrix(all.rows - refused, all.count);
    for (std::size_t j = 0; j < all.count; ++j) {
        double* out = matrix.column(j);
        for (std::size_t i = 0; i < all.rows; ++i) {
            if (rejected.empty() || rejected[i] == 0) *out++ = all.at(i, j);
        }
    }
    return matrix;
}

/// Of all rows; a missing weight is 0.
std::vector<double> checked_weights(const std::vector<Cell>& cells) {
    std::vector<double> weights;
    for (const Cell cell : cells) {
        const double weight = std::isnan(cell.number) ? 0.0 : cell.number;
        if (!(weight >= 0.0 && weight <= kLargestValue)) {
            const Json shown = number_to_json(weight);
            throw InvalidData("weight " +
                                  (shown.is_string() ? shown.get<std::string>() : shown.dump()) +
                                  " is out of range",
                              "Weights are from 0 to 1e100; null is 0.");
        }
        weights.push_back(weight);
    }
    return weights;
}

/// Rejects the rows of weight 0, and leaves the weights of those that remain.
void reject_weightless(std::vector<double>& weights, std::vector<std::uint8_t>& rejected) {
    rejected.resize(weights.size());
    std::size_t kept = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        if (weights[i] == 0.0) rejected[i] = 1;
        if (rejected[i] == 0) weights[kept++] = weights[i];
    }
    weights.resize(kept);
}

}  // namespace

Model::Model(const Algorithm& algorithm, Schema schema)
    : schema_(std::move(schema)), pipeline_(algorithm) {}

Model Model::fit(FitState& state, std::uint64_t max_memory) {
    auto model = fit_if_enough(state, max_memory);
    if (!model) throw InvalidData("there are too few rows to train on", "Reduce \"min_rows\".");
    return std::move(*model);
}

std::optional<Model> Model::fit_if_enough(FitState& state, std::uint64_t max_memory) {
    const FitRequest& request = state.request();
    const Sample sample = state.sample();
    if (request.too_few(sample.rows)) return std::nullopt;
    if (sample.rows == 0) {
        throw InvalidData("there are no rows to train on",
                          "The source is empty, or the condition excludes every row.");
    }
    const Schema& all = state.schema();
    const auto features = static_cast<std::ptrdiff_t>(request.model_features(all));
    Model model(*request.algorithm, Schema(all.begin(), all.begin() + features));
    model.params_ = request.params.to_json();
    model.threshold_rule_ = request.threshold;
    model.random_seed_ = request.random_seed;
    model.rows_seen_ = state.rows_seen();
    model.preprocess_ = Preprocess(model.schema_, sample, state);
    std::vector<double> scores;
    if (!model.fit_detector(sample, request, max_memory, scores)) return std::nullopt;
    std::sort(scores.begin(), scores.end());
    model.calibration_ = Calibration(scores);
    const bool by_p_value = request.threshold.method == ThresholdMethod::PValue;
    const Detector& detector = model.pipeline_.detector();
    model.threshold_ = std::clamp(
        request.threshold.resolve(by_p_value ? model.calibration_.scores() : scores,
                                  detector.natural_threshold(), detector.largest_score()),
        -kLargest, kLargest);
    model.partition_.assign(all.begin() + features,
                            all.begin() + features + request.partition_columns);
    model.schema_.insert(model.schema_.end(), model.partition_.begin(), model.partition_.end());
    return model;
}

/// Fits on the rows of the sample that preprocessing lets through and that have a weight, and gives
/// their scores. False if "min_rows" wants more of them.
bool Model::fit_detector(const Sample& sample, const FitRequest& request, std::uint64_t max_memory,
                         std::vector<double>& scores) {
    const SampleView view(sample);
    Block block;
    preprocess_.apply(view.cells(), block);
    const bool all_missing = std::accumulate(block.rejected.begin(), block.rejected.end(),
                                             std::size_t{0}) == sample.rows;
    const bool weighted = !request.weight.empty();
    std::vector<double> weights;
    if (weighted) {
        weights = checked_weights(sample.columns.back());
        reject_weightless(weights, block.rejected);
    }
    const Matrix matrix = accepted_rows(block.view(sample.rows), block.rejected);
    if (request.too_few(matrix.rows())) return false;
    if (all_missing) {
        throw InvalidData(
            "every row has a missing value, and {\"impute\": \"reject\"} leaves none to train on",
            "Use another \"impute\" policy, or leave out the columns that are always null.");
    }
    if (matrix.rows() == 0) {
        throw InvalidData("every row has weight 0", "A row counts by its weight; null is 0.");
    }
    rows_fitted_ = matrix.rows();
    const auto categories = preprocess_.categories();
    const auto categorical = std::count_if(categories.begin(), categories.end(),
                                           [](std::uint32_t count) { return count > 0; });
    request.check_detector({.rows = matrix.rows(),
                            .columns = matrix.columns(),
                            .categorical = static_cast<std::uint64_t>(categorical)},
                           max_memory);
    pipeline_.fit({.rows = matrix.view(),
                   .weights = weighted ? weights.data() : nullptr,
                   .categories = categories.empty() ? nullptr : categories.data()},
                  request.params, request.preprocess.scale,
                  Random(static_cast<std::uint64_t>(request.random_seed)));
    if (Json chosen = pipeline_.detector().describe(); chosen.is_object()) {
        chosen_ = std::move(chosen);
    }
    scores.resize(matrix.rows());
    pipeline_.score(matrix.view(), scores.data());
    return true;
}

void Model::score(const Cells& cells, Scratch& scratch, double* scores) const {
    if (!entities_.empty() && cells.rows > 1) return score_by_entity(cells, scratch, scores);
    if (cells.rows > 0) for_row(cells, 0).score_alike(cells, scratch, scores);
}

/// Scores by this model, whatever the entities of the rows.
void Model::score_alike(const Cells& cells, Scratch& scratch, double* scores) const {
    preprocess_.apply(cells, scratch.block);
    pipeline_.score(scratch.block.view(cells.rows), scores);
    for (std::size_t i = 0; i < scratch.block.rejected.size(); ++i) {
        if (scratch.block.rejected[i] != 0) scores[i] = kMissing;
    }
}

std::size_t Model::entity_of(const Cells& cells, std::size_t row) const noexcept {
    std::array<std::uint64_t, kMaxPartitionColumns> key;
    const bool complete = entity_key(partition_, cells.column + features(), row, key.data());
    return complete ? keys_.find(key.data()) : kFallback;
}

/// Brings the rows of one entity together, so that a detector still gets as many as there are.
void Model::score_by_entity(const Cells& cells, Scratch& scratch, double* scores) const {
    auto& order = scratch.order;
    order.clear();
    for (std::size_t i = 0; i < cells.rows; ++i) order.emplace_back(entity_of(cells, i), i);
    if (std::all_of(order.begin(), order.end(),
                    [&](const auto& place) { return place.first == order[0].first; })) {
        return model_of_entity(order[0].first).score_alike(cells, scratch, scores);
    }
    std::sort(order.begin(), order.end());
    scratch.cells.resize(features() * cells.rows);
    scratch.pointers.resize(features());
    scratch.scores.resize(cells.rows);
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        poll();
        while (end < order.size() && order[end].first == order[begin].first) ++end;
        for (std::size_t j = 0; j < features(); ++j) {
            Cell* out = scratch.cells.data() + j * cells.rows;
            scratch.pointers[j] = out;
            for (std::size_t k = begin; k < end; ++k) *out++ = cells.column[j][order[k].second];
        }
        model_of_entity(order[begin].first)
            .score_alike({scratch.pointers.data(), end - begin}, scratch, scratch.scores.data());
        for (std::size_t k = begin; k < end; ++k) {
            scores[order[k].second] = scratch.scores[k - begin];
        }
    }
}

Prediction Model::predict(double score) const {
    const double p_value = calibration_.p_value(score);
    return {is_anomaly(score), score, 1.0 - p_value, p_value, threshold_};
}

std::string Model::explain(const Cells& cells, std::size_t row, const std::string_view* texts,
                           Scratch& scratch) const {
    if (const Model& model = for_row(cells, row); &model != this) {
        return model.explain(cells, row, texts, scratch);
    }
    poll();
    preprocess_.apply(cells, scratch.block);
    std::vector<double> of_columns(preprocess_.columns());
    pipeline_.explain(scratch.block.view(cells.rows), row, of_columns.data());
    std::vector<double> of_features(features(), 0.0);
    std::size_t column = 0;
    for (std::size_t j = 0; j < features(); ++j) {
        const std::size_t end = preprocess_.first_column(j + 1);
        for (; column < end; ++column) of_features[j] += of_columns[column];
    }
    std::vector<std::size_t> order(features());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](auto a, auto b) { return of_features[a] > of_features[b]; });
    Json list = Json::array();
    for (const std::size_t j : order) {
        list.push_back(explain_feature(j, cells.column[j][row], texts[j], of_features[j]));
    }
    return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json Model::explain_feature(std::size_t feature, Cell cell, std::string_view text,
                            double contribution) const {
    const FeatureKind kind = schema_[feature].kind;
    const FeatureStats& stats = preprocess_.stats(feature);
    Json value = nullptr;
    Json expected = nullptr;
    Json direction = nullptr;
    if (kind == FeatureKind::Category) {
        if (!stats.categories.empty()) expected = stats.categories.front().label;
        const bool usual =
            !stats.categories.empty() && stats.categories.front().hash == cell.category;
        const bool known = std::any_of(stats.categories.begin(), stats.categories.end(),
                                       [&](const auto& c) { return c.hash == cell.category; });
        if (!usual) direction = known ? "rare" : "unseen";
    } else if (kind == FeatureKind::Number || kind == FeatureKind::Boolean) {
        expected = number_to_json(stats.median());
        value = number_to_json(cell.number);
        if (cell.number > stats.median()) direction = "high";
        if (cell.number < stats.median()) direction = "low";
    }
    if (!text.empty()) value = text;
    if (is_missing(cell, kind)) {
        value = nullptr;
        direction = "missing";
    }
    return {{"feature", schema_[feature].name},
            {"value", value},
            {"expected", expected},
            {"contribution", contribution},
            {"direction", direction}};
}

std::string Model::describe() const {
    const bool partitioned = !partition_.empty();
    const auto format = partitioned ? ContainerFormat::Partitioned : ContainerFormat::Plain;
    Json list = Json::array();
    for (std::size_t j = 0; j < features(); ++j) list.push_back(describe_feature(j));
    Json description{{"algorithm", pipeline_.algorithm().name},
                     {"parameters", params_},
                     {"preprocess", preprocess_.rule().to_json()},
                     {"threshold_rule", threshold_rule_.to_json()},
                     {"threshold", threshold_ == kSmallest ? 0.0 : threshold_},
                     {"random_seed", random_seed_},
                     {"training_rows", rows_seen_},
                     {"fitted_rows", rows_fitted_},
                     {"calibration_scores", calibration_.size()},
                     {"chosen", chosen_.empty() ? Json(nullptr) : chosen_},
                     {"format_version", static_cast<int>(format)},
                     {"features", std::move(list)}};
    for (const Feature& feature : partition_) description["partition_by"].push_back(feature.name);
    if (partitioned) {
        description["entities"] = entities_.size();
        description["entities_without_model"] = entities_without_model_;
    }
    return description.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json Model::describe_feature(std::size_t feature) const {
    const FeatureStats& stats = preprocess_.stats(feature);
    Json entry{
        {"feature", schema_[feature].name},           {"kind", kind_name(schema_[feature].kind)},
        {"missing_fraction", stats.missing_fraction}, {"mean", number_to_json(stats.mean)},
        {"stddev", number_to_json(stats.stddev)},     {"quantiles", stats.quantiles}};
    Json categories = Json::object();
    for (const auto& category : stats.categories) categories[category.label] = category.count;
    entry["categories"] = std::move(categories);
    return entry;
}

std::size_t Model::memory_bytes() const {
    constexpr std::size_t kOfFeature = 1024;
    constexpr std::size_t kOfCategory = 192;
    std::size_t bytes =
        sizeof(Model) + pipeline_.memory_bytes() + calibration_.size() * sizeof(double);
    bytes += keys_.memory_bytes();
    for (const Model& model : entities_) bytes += model.memory_bytes();
    for (std::size_t j = 0; j < features(); ++j) {
        bytes += kOfFeature + preprocess_.stats(j).categories.size() * kOfCategory;
    }
    return bytes;
}

}  // namespace ad
