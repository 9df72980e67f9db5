// The inner loops of WideWalk, once for each instruction set. All of them compute the same.
#pragma once

#include <cstring>
#include <span>

#include "base.hpp"

namespace ad {

/// Trees whose nodes have many terms each. A node is, one after the other:
///   float         threshold
///   std::uint32_t child, a place
///   float         coefficients of all terms but the first, which has 1
///   Index         columns of all terms
/// A place is counted in units of kPlaceBytes; the second child follows the first. A node with
/// fewer terms has some of the coefficient 0. Behind the last node kPlaceBytes may be read.
struct WideTrees {
    static constexpr std::size_t kPlaceBytes = 32;
    static constexpr std::size_t kTogether = 16;
    static constexpr std::uint32_t kLanes = 8;  ///< terms that a vector takes
    /// Columns whose numbers are bytes, and whose values are kept in two vectors; with more,
    /// numbers take two bytes.
    static constexpr std::size_t kFewColumns = 16;

    const std::byte* nodes;
    const float* exceptions;  ///< of each node: its width, then a fill for each term, and kLanes
    std::uint32_t terms;
    std::uint32_t places;  ///< of a node

    template <typename T>
    static T load(const std::byte* from) {
        T value;
        std::memcpy(&value, from, sizeof(T));
        return value;
    }
    const std::byte* node(std::uint32_t place) const { return nodes + place * kPlaceBytes; }
    float threshold(std::uint32_t place) const { return load<float>(node(place)); }
    std::uint32_t child(std::uint32_t place) const {
        return load<std::uint32_t>(node(place) + sizeof(float));
    }
    const float* exception(std::uint32_t place) const {
        return exceptions + std::size_t{place / places} * (1 + terms);
    }
};

/// Of some walks.
struct WideRows {
    const float* values;  ///< NaN: missing
    std::size_t stride;   ///< from the row of a walk to that of the next
    std::size_t columns;
    bool missing;  ///< there are missing values
};

struct WideLoops {
    const char* name;
    /// With WideTrees::kTogether walks, `steps` times from a node to its child. `penalizes`:
    /// counts in `outside` the sums that are farther from the threshold than the width.
    void (*walk)(const WideTrees& trees, const WideRows& rows, std::uint32_t steps, bool penalizes,
                 std::uint32_t* at, std::uint32_t* outside);
};

/// What this CPU can run, the fastest last.
std::span<const WideLoops> wide_loops();

}  // namespace ad
