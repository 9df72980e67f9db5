// The inner loops of NeighbourIndex, once for each instruction set. All of them compute the same
// bits: a squared distance is the sum of the squared differences in the order of the columns.
#pragma once

#include <span>

#include "base.hpp"

namespace ad {

inline constexpr std::size_t kPointLanes = 8;    ///< points come in multiples of this
inline constexpr std::size_t kBlockPoints = 64;  ///< and in blocks of this
inline constexpr std::size_t kBoxFan = 8;        ///< boxes side by side

struct NeighbourLoops {
    const char* name;
    /// Writes the squared distances from `query` to `count` points, column after column in
    /// `points`; `count` is a multiple of kPointLanes up to kBlockPoints. Returns a bit for each
    /// that is not above `limit`; one that is may be cut short, at a sum that is above it, too.
    std::uint64_t (*squares)(const double* points, std::size_t count, const double* query,
                             std::size_t columns, double limit, double* squares);
    /// Writes the squared distances from `query` to kBoxFan boxes. For each column, `boxes` has
    /// their lowest values, then their highest. They are as `squares` computes them for the nearest
    /// points of the boxes, and rounding is monotonic: no point in a box is nearer.
    void (*box_squares)(const double* boxes, const double* query, std::size_t columns,
                        double* squares);
};

/// What this CPU can run, the fastest last.
std::span<const NeighbourLoops> neighbour_loops();

}  // namespace ad
