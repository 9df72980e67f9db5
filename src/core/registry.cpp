#include "registry.hpp"

namespace ad {

namespace {

constexpr const Algorithm* kAlgorithms[] = {
    &kAuto,
    &kIsolationForest,
    &kKnn,
    &kLocalOutlierFactor,
    &kInne,
    &kPca,
    &kEllipticEnvelope,
    &kMahalanobis,
    &kGmm,
    &kKMeans,
    &kCblof,
    &kKde,
    &kHbos,
    &kEcod,
    &kCopod,
    &kLoda,
    &kOneClassSvm,
    &kAutoencoder,
    &kZscore,
    &kMad,
    &kIqr,
    &kRareCategory,
    &kEnsemble,
};

}  // namespace

std::span<const Algorithm* const> algorithms() { return kAlgorithms; }

const Algorithm& find_algorithm(std::string_view name) {
    std::vector<std::string_view> names;
    for (const Algorithm* algorithm : kAlgorithms) {
        if (algorithm->name == name) return *algorithm;
        names.push_back(algorithm->name);
    }
    throw InvalidParameter("unknown algorithm \"" + std::string(name) + "\"",
                           "Valid names are: " + join(names) + ".");
}

void check_columns(const Algorithm& algorithm, std::size_t columns) {
    if (columns <= algorithm.max_columns) return;
    throw InvalidData(std::string(algorithm.name) + " takes at most " +
                          std::to_string(algorithm.max_columns) + " columns, not " +
                          std::to_string(columns),
                      "Train on fewer features, or choose another algorithm.");
}

void save_algorithm(const Algorithm& algorithm, Writer& out) {
    out.text(algorithm.name);
    out.number(algorithm.payload_version);
}

const Algorithm& load_algorithm(Reader& in) {
    const auto name = in.text();
    const auto version = in.number<std::uint16_t>();
    for (const Algorithm* algorithm : algorithms()) {
        if (algorithm->name != name) continue;
        if (version > algorithm->payload_version) {
            throw CorruptModel("version " + std::to_string(version) + " of " + name +
                               " is newer than this release");
        }
        return *algorithm;
    }
    throw CorruptModel("unknown algorithm");
}

Json describe_algorithms() {
    Json list = Json::array();
    for (const Algorithm* algorithm : kAlgorithms) {
        list.push_back({{"name", algorithm->name},
                        {"family", algorithm->family},
                        {"summary", algorithm->summary},
                        {"score_scale", algorithm->score_scale},
                        {"paper", algorithm->paper},
                        {"takes_missing", algorithm->takes_missing},
                        {"takes_categories", algorithm->takes_categories},
                        {"needs_categories", algorithm->needs_categories},
                        {"takes_weights", algorithm->takes_weights},
                        {"random", algorithm->random},
                        {"scale", kScaleNames[static_cast<std::size_t>(algorithm->scale)]},
                        {"max_columns", algorithm->max_columns},
                        {"parameters", describe(algorithm->params)}});
    }
    return list;
}

}  // namespace ad
