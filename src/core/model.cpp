#include "model.hpp"

#include <algorithm>
#include <numeric>

#include "hash.hpp"
#include "registry.hpp"

namespace ad {

namespace {

constexpr std::string_view kMagic = "ADMODEL\n";
constexpr std::uint16_t kContainerFormat = 1;
constexpr double kLargest = std::numeric_limits<double>::max();

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

}  // namespace

Model::Model(const Algorithm& algorithm, Schema schema)
    : schema_(std::move(schema)), pipeline_(algorithm) {}

Model Model::fit(FitState& state, std::uint64_t max_memory) {
    const FitRequest& request = state.request();
    const Sample sample = state.sample();
    if (sample.rows == 0) {
        throw InvalidData("there are no rows to train on",
                          "The source is empty, or the condition excludes every row.");
    }
    Model model(*request.algorithm, state.schema());
    model.params_ = request.params.to_json();
    model.threshold_rule_ = request.threshold;
    model.random_seed_ = request.random_seed;
    model.rows_seen_ = state.rows_seen();
    model.preprocess_ = Preprocess(model.schema_, sample, state);
    auto scores = model.fit_detector(sample, request, max_memory);
    std::sort(scores.begin(), scores.end());
    model.calibration_ = Calibration(scores);
    const bool by_p_value = request.threshold.method == ThresholdMethod::PValue;
    model.threshold_ =
        std::clamp(request.threshold.resolve(by_p_value ? model.calibration_.scores() : scores,
                                             model.pipeline_.detector().natural_threshold()),
                   -kLargest, kLargest);
    return model;
}

/// Fits on the rows of the sample that preprocessing lets through and returns their scores.
std::vector<double> Model::fit_detector(const Sample& sample, const FitRequest& request,
                                        std::uint64_t max_memory) {
    const SampleView view(sample);
    Block block;
    preprocess_.apply(view.cells(), block);
    const Matrix matrix = accepted_rows(block.view(sample.rows), block.rejected);
    if (matrix.rows() == 0) {
        throw InvalidData(
            "every row has a missing value, and {\"impute\": \"reject\"} leaves none to train on",
            "Use another \"impute\" policy, or leave out the columns that are always null.");
    }
    rows_fitted_ = matrix.rows();
    request.check_detector(matrix.rows(), matrix.columns(), max_memory);
    const auto categories = preprocess_.categories();
    pipeline_.fit(
        {.rows = matrix.view(), .categories = categories.empty() ? nullptr : categories.data()},
        request.params, request.preprocess.scale,
        Random(static_cast<std::uint64_t>(request.random_seed)));
    std::vector<double> scores(matrix.rows());
    pipeline_.score(matrix.view(), scores.data());
    return scores;
}

void Model::score(const Cells& cells, Scratch& scratch, double* scores) const {
    preprocess_.apply(cells, scratch.block);
    pipeline_.score(scratch.block.view(cells.rows), scores);
    for (std::size_t i = 0; i < scratch.block.rejected.size(); ++i) {
        if (scratch.block.rejected[i] != 0) scores[i] = kMissing;
    }
}

Prediction Model::predict(double score) const {
    const double p_value = calibration_.p_value(score);
    return {is_anomaly(score), score, 1.0 - p_value, p_value, threshold_};
}

std::string Model::explain(const Cells& cells, std::size_t row, const std::string_view* texts,
                           Scratch& scratch) const {
    preprocess_.apply(cells, scratch.block);
    std::vector<double> of_columns(preprocess_.columns());
    pipeline_.explain(scratch.block.view(cells.rows), row, of_columns.data());
    std::vector<double> of_features(schema_.size(), 0.0);
    std::size_t column = 0;
    for (std::size_t j = 0; j < schema_.size(); ++j) {
        const std::size_t end = preprocess_.first_column(j + 1);
        for (; column < end; ++column) of_features[j] += of_columns[column];
    }
    std::vector<std::size_t> order(schema_.size());
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

std::string Model::save() const {
    Writer out;
    out.text(kMagic);
    out.number(kContainerFormat);
    save_algorithm(pipeline_.algorithm(), out);
    save_schema(schema_, out);
    out.text(params_.dump());
    out.text(threshold_rule_.to_json().dump());
    out.number(random_seed_);
    out.number(rows_seen_);
    out.number(rows_fitted_);
    preprocess_.save(out);
    calibration_.save(out);
    out.number(threshold_);
    pipeline_.save(out);
    out.number(hash_bytes(out.bytes()));
    return out.take();
}

namespace {

/// The bytes before the checksum at their end.
std::string_view checked_body(std::string_view bytes) {
    constexpr std::size_t kChecksum = sizeof(std::uint64_t);
    if (bytes.size() < kChecksum) throw CorruptModel("unexpected end of data");
    const auto body = bytes.substr(0, bytes.size() - kChecksum);
    Reader tail(bytes.substr(body.size()));
    if (tail.number<std::uint64_t>() != hash_bytes(body)) {
        throw CorruptModel("the checksum does not match");
    }
    return body;
}

Json read_json(Reader& in) {
    try {
        return parse_object(in.text(), "model metadata");
    } catch (const InvalidParameter& failure) {
        throw CorruptModel(failure.what());
    }
}

}  // namespace

Model Model::load(std::string_view bytes) {
    Reader in(checked_body(bytes));
    if (in.text() != kMagic) throw CorruptModel("these bytes are not a model");
    if (in.number<std::uint16_t>() != kContainerFormat) {
        throw CorruptModel("the model was written by a newer release");
    }
    const Algorithm& algorithm = load_algorithm(in);
    Model model(algorithm, load_schema(in));
    if (model.schema_.empty()) throw CorruptModel("the model has no features");
    model.params_ = read_json(in);
    const Json rule = read_json(in);
    try {
        model.threshold_rule_ = ThresholdRule::parse(rule);
    } catch (const InvalidParameter& failure) {
        throw CorruptModel(failure.what());
    }
    model.random_seed_ = in.number<std::int64_t>();
    model.rows_seen_ = in.number<std::uint64_t>();
    model.rows_fitted_ = in.number<std::uint64_t>();
    model.preprocess_.load(in, model.schema_);
    if (model.preprocess_.rule().impute == Impute::None && !algorithm.takes_missing) {
        throw CorruptModel("the algorithm takes no missing values");
    }
    model.calibration_ = Calibration::load(in);
    model.threshold_ = in.real(-kLargest, kLargest);
    model.pipeline_.load(in, model.preprocess_.columns());
    in.end();
    return model;
}

std::string Model::describe() const {
    Json features = Json::array();
    for (std::size_t j = 0; j < schema_.size(); ++j) features.push_back(describe_feature(j));
    const Json description{{"algorithm", pipeline_.algorithm().name},
                           {"parameters", params_},
                           {"preprocess", preprocess_.rule().to_json()},
                           {"threshold_rule", threshold_rule_.to_json()},
                           {"threshold", threshold_},
                           {"random_seed", random_seed_},
                           {"training_rows", rows_seen_},
                           {"fitted_rows", rows_fitted_},
                           {"calibration_scores", calibration_.size()},
                           {"chosen", pipeline_.detector().describe()},
                           {"format_version", kContainerFormat},
                           {"features", std::move(features)}};
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
    for (std::size_t j = 0; j < schema_.size(); ++j) {
        bytes += kOfFeature + preprocess_.stats(j).categories.size() * kOfCategory;
    }
    return bytes;
}

}  // namespace ad
