// The list of algorithms. Adding one: a file in detectors/, its declaration below, a row in
// registry.cpp.
#pragma once

#include "detector.hpp"

namespace ad {

extern const Algorithm kIsolationForest;
extern const Algorithm kMad;

std::span<const Algorithm* const> algorithms();

/// Throws InvalidParameter with the names that exist.
const Algorithm& find_algorithm(std::string_view name);

/// A JSON array with one object an algorithm: the content of the view ad_algorithms.
Json describe_algorithms();

}  // namespace ad
