// Where a split cuts if it looks for the best place: the criteria of SCiForest (Liu, Ting, Zhou:
// "On detecting clustered anomalies using SCiForest", ECML 2010) and of the fair-cut forest
// (Cortes: "Revisiting randomized choices in isolation forests", arXiv:2110.13402).
#pragma once

#include <span>

#include "base.hpp"

namespace ad {

enum class Criterion : std::uint8_t { None, Pooled, Averaged };

struct Cut {
    double gain = -1.0;      ///< comparable between cuts of one criterion; none if not positive
    std::size_t left = 0;    ///< how many values, or categories, lie to the left
    float threshold = 0.0F;  ///< of values
};

/// The best cut of sorted values that are not all equal. Pooled: the share of the variance that it
/// explains. Averaged: by how much the mean of both sides' standard deviations is below that of
/// all, relative to it. `scratch` is as long as `sorted`.
Cut best_cut(Criterion criterion, std::span<const float> sorted, std::span<double> scratch);

/// The best cut of categories that are sorted by how often they occur. Pooled: the entropy of the
/// sides. Averaged: as of values, expected if each category were a random number in (0, 1).
Cut best_cut(Criterion criterion, std::span<const std::uint32_t> counts);

/// A number in [low, high), between them if there is one.
float between(float low, float high, double where);

}  // namespace ad
