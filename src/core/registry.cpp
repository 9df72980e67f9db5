#include "registry.hpp"

namespace ad {

namespace {

constexpr const Algorithm* kAlgorithms[] = {
    &kIsolationForest,
    &kMad,
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

Json describe_algorithms() {
    Json list = Json::array();
    for (const Algorithm* algorithm : kAlgorithms) {
        list.push_back({{"name", algorithm->name},
                        {"family", algorithm->family},
                        {"summary", algorithm->summary},
                        {"score_scale", algorithm->score_scale},
                        {"paper", algorithm->paper},
                        {"takes_missing", algorithm->takes_missing},
                        {"parameters", describe(algorithm->params)}});
    }
    return list;
}

}  // namespace ad
