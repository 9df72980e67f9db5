#include "fit_request.hpp"

#include <algorithm>
#include <array>

#include "entity_keys.hpp"
#include "registry.hpp"

namespace ad {

namespace {

constexpr std::array<std::string_view, 5> kImputeNames{"none", "median", "mean", "constant",
                                                       "reject"};

Json take_object(Json& options, const std::string& key) {
    const auto found = options.find(key);
    if (found == options.end() || found->is_null()) return Json::object();
    if (!found->is_object())
        throw InvalidParameter("\"" + key + "\" must be a JSON object",
                               "For example: {\"" + key + "\": {}}.");
    return *found;
}

std::int64_t take_integer(const Json& options, const std::string& key, std::int64_t otherwise,
                          std::int64_t low, std::int64_t high) {
    const auto found = options.find(key);
    if (found == options.end() || found->is_null()) return otherwise;
    if (!found->is_number_integer())
        throw InvalidParameter("\"" + key + "\" must be an integer",
                               "Leave it out for the default.");
    const auto value = found->get<std::int64_t>();
    const bool wrapped = found->is_number_unsigned() && value < 0;
    if (wrapped || value < low || value > high) {
        throw InvalidParameter("value " + found->dump() + " of \"" + key + "\" is out of range",
                               "Valid values are between " + std::to_string(low) + " and " +
                                   std::to_string(high) + ".");
    }
    return value;
}

std::string take_algorithm(const Json& options) {
    const auto found = options.find("algorithm");
    if (found == options.end()) return "isolation_forest";
    if (!found->is_string())
        throw InvalidParameter("\"algorithm\" must be a string",
                               "The algorithms are listed in the view ad_algorithms.");
    return found->get<std::string>();
}

std::vector<std::string> take_names(const Json& options) {
    const auto found = options.find("features");
    std::vector<std::string> names;
    if (found == options.end() || found->is_null()) return names;
    if (!found->is_array())
        throw InvalidParameter("\"features\" must be an array of strings",
                               "It has a name for each value that follows.");
    for (const auto& name : *found) {
        if (!name.is_string())
            throw InvalidParameter("\"features\" must be an array of strings",
                                   "It has a name for each value that follows.");
        names.push_back(name.get<std::string>());
    }
    return names;
}

std::string take_weight(const Json& options, const Algorithm& algorithm) {
    const auto found = options.find("weight");
    if (found == options.end() || found->is_null()) return {};
    if (!found->is_string()) {
        throw InvalidParameter("\"weight\" must be a string",
                               "It is the name of the last feature.");
    }
    if (!algorithm.takes_weights) {
        std::vector<std::string_view> names;
        for (const Algorithm* other : algorithms()) {
            if (other->takes_weights) names.push_back(other->name);
        }
        throw InvalidParameter(std::string(algorithm.name) + " takes no weights",
                               names.empty() ? "No algorithm of this release does."
                                             : "Algorithms that do: " + join(names) + ".");
    }
    return found->get<std::string>();
}

/// `contamination` stands among the parameters of every algorithm and means a threshold.
ThresholdRule take_threshold(Json& parameters, const Json& threshold) {
    const auto found = parameters.find("contamination");
    if (found == parameters.end()) return ThresholdRule::parse(threshold);
    const Json contamination = *found;
    parameters.erase(found);
    if (contamination == "auto") return ThresholdRule::parse(threshold);
    if (!contamination.is_number()) {
        throw InvalidParameter("\"contamination\" must be a number or \"auto\"",
                               "It is the fraction of rows to flag, from 0 to 0.5.");
    }
    if (!threshold.empty()) {
        throw InvalidParameter("\"contamination\" and \"threshold\" exclude each other",
                               "{\"contamination\": 0.01} is short for the threshold "
                               "{\"method\": \"contamination\", \"value\": 0.01}.");
    }
    return ThresholdRule::parse({{"method", "contamination"}, {"value", contamination}});
}

}  // namespace

PreprocessRule PreprocessRule::parse(const Json& options, const Algorithm& algorithm) {
    constexpr std::array<std::string_view, 3> kKeys{"impute", "fill_value", "scale"};
    const bool takes_missing = algorithm.takes_missing;
    refuse_unknown_keys(options, kKeys, "preprocess option");
    PreprocessRule rule;
    rule.impute = takes_missing ? Impute::None : Impute::Median;
    if (const auto found = options.find("impute"); found != options.end()) {
        const auto name = found->is_string() ? found->get<std::string>() : found->dump();
        std::size_t i = 0;
        while (i < kImputeNames.size() && kImputeNames[i] != name) ++i;
        if (i == kImputeNames.size() || (i == 0 && !takes_missing)) {
            const auto valid = std::span(kImputeNames).subspan(takes_missing ? 0 : 1);
            throw InvalidParameter("unknown \"impute\" policy: \"" + name + "\"",
                                   "Valid names are: " + join(valid) + ".");
        }
        rule.impute = static_cast<Impute>(i);
    }
    if (const auto found = options.find("fill_value"); found != options.end()) {
        if (rule.impute != Impute::Constant) {
            throw InvalidParameter("\"fill_value\" needs {\"impute\": \"constant\"}",
                                   "Other policies choose the value themselves.");
        }
        if (!found->is_number())
            throw InvalidParameter("\"fill_value\" must be a number",
                                   "For example: {\"impute\": \"constant\", \"fill_value\": 0}.");
        rule.fill_value = found->get<double>();
    }
    rule.scale = algorithm.scale;
    if (const auto found = options.find("scale"); found != options.end()) {
        rule.scale = parse_scale(*found);
    }
    return rule;
}

Json PreprocessRule::to_json() const {
    Json object{{"impute", kImputeNames[static_cast<std::size_t>(impute)]}};
    if (impute == Impute::Constant) object["fill_value"] = fill_value;
    object["scale"] = kScaleNames[static_cast<std::size_t>(scale)];
    return object;
}

FitRequest FitRequest::parse(std::string_view text) {
    constexpr std::array<std::string_view, 12> kKeys{
        "algorithm", "parameters",       "preprocess",        "threshold",
        "features",  "identity_columns", "partition_columns", "weight",
        "min_rows",  "sample_size",      "max_sample_size",   "random_seed"};
    constexpr std::int64_t kMaxSample = 10'000'000;
    constexpr auto kLargest = std::numeric_limits<std::int64_t>::max();
    Json options = parse_object(text, "the first argument of ad_fit");
    refuse_unknown_keys(options, kKeys, "option of ad_fit");
    const Algorithm& algorithm = find_algorithm(take_algorithm(options));
    Json parameters = take_object(options, "parameters");
    const auto threshold = take_threshold(parameters, take_object(options, "threshold"));
    const Params params(algorithm.params, parameters, algorithm.name);
    if (algorithm.check != nullptr) algorithm.check(params);
    const auto count = [&](const char* key, std::int64_t low, std::int64_t high) {
        return static_cast<std::uint32_t>(take_integer(options, key, 0, low, high));
    };
    return {
        .algorithm = &algorithm,
        .params = params,
        .preprocess = PreprocessRule::parse(take_object(options, "preprocess"), algorithm),
        .threshold = threshold,
        .features = take_names(options),
        .identity_columns = count("identity_columns", 0, 64),
        .partition_columns = count("partition_columns", 0, kMaxPartitionColumns),
        .weight = take_weight(options, algorithm),
        .min_rows = count("min_rows", 0, kMaxSample),
        .sample_size = count("sample_size", 1, kMaxSample),
        .max_sample_size = count("max_sample_size", 1, kMaxSample),
        .random_seed = take_integer(options, "random_seed", 0, -kLargest - 1, kLargest),
    };
}

std::size_t FitRequest::model_features(const Schema& schema) const {
    const std::size_t beside = partition_columns + (weight.empty() ? 0U : 1U);
    if (schema.size() <= beside) {
        throw InvalidParameter("a model needs at least one feature", "Name at least one column.");
    }
    if (!weight.empty() &&
        (schema.back().name != weight || schema.back().kind != FeatureKind::Number)) {
        throw InvalidParameter("\"" + weight + "\" cannot be the weight",
                               "The weight is the last of the features, and a number.");
    }
    return schema.size() - beside;
}

bool FitRequest::too_few(std::uint64_t rows) const {
    if (min_rows == 0) return false;
    const bool by_p_value = threshold.method == ThresholdMethod::PValue;
    const bool reachable =
        !by_p_value || threshold.value * (1.0 + static_cast<double>(rows)) >= 1.0;
    return rows < min_rows || !reachable;
}

namespace {

constexpr std::uint64_t kKilobyte = 1024;

std::string kilobytes(std::uint64_t bytes) { return std::to_string(bytes / kKilobyte) + " kB"; }

/// Per row: the reservoir (2), its sorted copy (1) and the sample (1) hold the features, the
/// encoded block and the accepted matrix the columns; then hashes, order and scores.
std::uint64_t sample_bytes_a_row(const Schema& schema) {
    std::uint64_t cells = 5;
    for (const auto& feature : schema) cells += 4 + 2 * columns_of(feature.kind);
    return cells * sizeof(double);
}

}  // namespace

FitShape FitRequest::shape_of(const Schema& schema, std::uint64_t rows) const {
    FitShape shape{.rows = rows, .columns = 0};
    for (std::size_t j = 0; j < model_features(schema); ++j) {
        shape.columns += columns_of(schema[j].kind);
        if (schema[j].kind == FeatureKind::Category) ++shape.categorical;
    }
    return shape;
}

std::uint32_t FitRequest::affordable_sample(const Schema& schema, std::uint64_t max_memory) const {
    const std::uint64_t bytes_a_row = sample_bytes_a_row(schema);
    const std::uint64_t rows = sample_size > 0 ? sample_size : kSmallestSampleSize;
    if (rows > max_memory / bytes_a_row) {
        throw MemoryLimit("training on a sample of " + std::to_string(rows) + " rows of " +
                              std::to_string(schema.size()) + " features needs up to " +
                              kilobytes(rows * bytes_a_row + kKilobyte) + ", but only " +
                              kilobytes(max_memory) + " are allowed",
                          "Reduce \"sample_size\" or the number of features, or increase "
                          "\"anomaly_detect.max_training_memory\".");
    }
    const std::uint32_t largest = max_sample_size > 0 ? max_sample_size : ~std::uint32_t{0};
    if (sample_size > 0) return std::min(sample_size, largest);
    const auto fits = [&](std::uint64_t sample) {
        return detector_bytes(shape_of(schema, sample)) <= max_memory;
    };
    // a detector that needs too much for the smallest sample is refused later
    std::uint64_t affordable = kSmallestSampleSize;
    std::uint64_t most = std::min<std::uint64_t>(kDefaultSampleSize, max_memory / bytes_a_row);
    if (fits(most)) affordable = most;
    while (affordable < most) {
        const std::uint64_t middle = (affordable + most + 1) / 2;
        if (fits(middle)) {
            affordable = middle;
        } else {
            most = middle - 1;
        }
    }
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(affordable, largest));
}

FitRequest::Cost FitRequest::training_cost(const Schema& schema, std::uint64_t rows,
                                           std::uint64_t max_memory) const {
    const std::uint64_t sample =
        std::min<std::uint64_t>(rows, affordable_sample(schema, max_memory));
    const FitShape shape = shape_of(schema, sample);
    check_detector(shape, max_memory);
    return {.sample = sample,
            .sample_bytes = sample * sample_bytes_a_row(schema),
            .detector_bytes = detector_bytes(shape),
            .steps = algorithm->fit_steps(params, static_cast<double>(sample),
                                          static_cast<double>(shape.columns))};
}

void FitRequest::check_detector(const FitShape& shape, std::uint64_t max_memory) const {
    check_columns(*algorithm, shape.columns);  // more memory would not help
    const auto needed = detector_bytes(shape);
    if (needed <= max_memory) return;
    throw MemoryLimit(std::string(algorithm->name) + " with these parameters needs up to " +
                          kilobytes(needed + kKilobyte) + ", but only " + kilobytes(max_memory) +
                          " are allowed",
                      "Choose smaller parameters, or increase "
                      "\"anomaly_detect.max_training_memory\".");
}

}  // namespace ad
