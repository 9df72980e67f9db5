// The bytes of models, written and read.
#include "model.hpp"
#include "registry.hpp"

namespace ad {

namespace {

constexpr double kLargest = std::numeric_limits<double>::max();

}  // namespace

std::string Model::save() const {
    if (partition_.empty()) return save_plain();
    const std::string fallback = save_plain();
    std::vector<std::string> models;
    for (const Model& model : entities_) models.push_back(model.save_plain());
    return PartitionedBytes{.partition = partition_,
                            .entities_without_model = entities_without_model_,
                            .fallback = fallback,
                            .keys = keys_,
                            .models = {models.begin(), models.end()}}
        .save();
}

/// Without the entities, as if there were no partition columns.
std::string Model::save_plain() const {
    Writer out;
    open_container(ContainerFormat::Plain, out);
    save_algorithm(pipeline_.algorithm(), out);
    save_schema(Schema(schema_.begin(), schema_.begin() + static_cast<std::ptrdiff_t>(features())),
                out);
    out.text(params_.dump());
    out.text(chosen_.dump());
    out.text(threshold_rule_.to_json().dump());
    out.number(random_seed_);
    out.number(rows_seen_);
    out.number(rows_fitted_);
    preprocess_.save(out);
    calibration_.save(out);
    out.number(threshold_);
    pipeline_.save(out);
    return close_container(out);
}

Model Model::load(std::string_view bytes) {
    auto [format, in] = read_container(bytes);
    return format == ContainerFormat::Plain ? load_plain(in) : load_partitioned(in);
}

namespace {

Json read_json(Reader& in) {
    try {
        return parse_object(in.text(), "model metadata");
    } catch (const InvalidParameter& failure) {
        throw CorruptModel(failure.what());
    }
}

Reader inside(std::string_view bytes) {
    auto [format, in] = read_container(bytes);
    if (format != ContainerFormat::Plain) throw CorruptModel("a partition within a partition");
    return in;
}

bool same_features(const Schema& a, const Schema& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return x.kind == y.kind && x.name == y.name;
    });
}

}  // namespace

Model Model::load_plain(Reader& in) {
    const Algorithm& algorithm = load_algorithm(in);
    Model model(algorithm, load_schema(in));
    if (model.schema_.empty()) throw CorruptModel("the model has no features");
    model.params_ = read_json(in);
    model.chosen_ = read_json(in);
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

Model Model::load_partitioned(Reader& in) {
    PartitionedBytes bytes = PartitionedBytes::load(in);
    Reader of_fallback = inside(bytes.fallback);
    Model model = load_plain(of_fallback);
    for (const auto of_entity : bytes.models) {
        poll();
        Reader reader = inside(of_entity);
        model.entities_.push_back(load_plain(reader));
        if (!same_features(model.entities_.back().schema_, model.schema_)) {
            throw CorruptModel("the model of an entity has other features");
        }
    }
    model.partition_ = std::move(bytes.partition);
    model.schema_.insert(model.schema_.end(), model.partition_.begin(), model.partition_.end());
    model.entities_without_model_ = bytes.entities_without_model;
    model.keys_ = std::move(bytes.keys);
    return model;
}

}  // namespace ad
