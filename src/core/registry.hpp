// The list of algorithms. Adding one: a file in detectors/, its declaration below, a row in
// registry.cpp.
#pragma once

#include "detector.hpp"

namespace ad {

/// Of algorithms whose detectors are made of those of others.
inline constexpr std::string_view kEnsembleFamily = "ensemble";

extern const Algorithm kAuto;
extern const Algorithm kAutoencoder;
extern const Algorithm kCblof;
extern const Algorithm kCopod;
extern const Algorithm kEcod;
extern const Algorithm kEllipticEnvelope;
extern const Algorithm kEnsemble;
extern const Algorithm kGmm;
extern const Algorithm kHbos;
extern const Algorithm kInne;
extern const Algorithm kIqr;
extern const Algorithm kIsolationForest;
extern const Algorithm kKMeans;
extern const Algorithm kKde;
extern const Algorithm kKnn;
extern const Algorithm kLocalOutlierFactor;
extern const Algorithm kLoda;
extern const Algorithm kMad;
extern const Algorithm kMahalanobis;
extern const Algorithm kOneClassSvm;
extern const Algorithm kPca;
extern const Algorithm kRareCategory;
extern const Algorithm kZscore;

std::span<const Algorithm* const> algorithms();

/// Throws InvalidParameter with the names that exist.
const Algorithm& find_algorithm(std::string_view name);

/// Refuses more columns than the algorithm takes (InvalidData).
void check_columns(const Algorithm& algorithm, std::size_t columns);

/// Name and payload version, as they stand in the bytes of a model.
void save_algorithm(const Algorithm& algorithm, Writer& out);
const Algorithm& load_algorithm(Reader& in);

/// A JSON array with one object an algorithm: the content of the view ad_algorithms.
Json describe_algorithms();

}  // namespace ad
