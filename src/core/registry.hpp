// The list of algorithms. Adding one: a file in detectors/, its declaration below, a row in
// registry.cpp.
#pragma once

#include "detector.hpp"

namespace ad {

extern const Algorithm kAutoencoder;
extern const Algorithm kIsolationForest;
extern const Algorithm kMad;
extern const Algorithm kOneClassSvm;

std::span<const Algorithm* const> algorithms();

/// Throws InvalidParameter with the names that exist.
const Algorithm& find_algorithm(std::string_view name);

/// Name and payload version, as they stand in the bytes of a model.
void save_algorithm(const Algorithm& algorithm, Writer& out);
const Algorithm& load_algorithm(Reader& in);

/// A JSON array with one object an algorithm: the content of the view ad_algorithms.
Json describe_algorithms();

}  // namespace ad
