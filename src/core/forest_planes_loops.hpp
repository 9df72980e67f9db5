// The inner loops of PlaneKernel, once for each instruction set. All of them compute the same.
#pragma once

#include "forest_loops.hpp"

namespace ad {

/// A part of the sum that a plane compares.
struct PlaneTerm {
    float coefficient;  ///< of the first term 1
    float fill;         ///< for a missing value
    std::uint32_t column;
};

/// One operation on words of a bit a row.
struct WordOp {
    enum class Kind : std::uint16_t { Choose, Both, Either };

    Kind kind;
    std::uint16_t into;
    std::uint16_t a;
    std::uint16_t b;
    std::uint16_t mask;  ///< Choose: a where it is set, else b; Both: a and b; Either: but not both
};

/// Compares a node for a block of rows.
struct PlaneStep {
    std::uint32_t node;
    std::uint32_t first_term;
    float threshold;
    float width;
    std::uint16_t terms;    ///< none: the word of the rows above the threshold has been made
    std::uint16_t right;    ///< this word
    std::uint16_t outside;  ///< that of those farther from it than the width; 0: not asked for
};

/// Columns are kBlockRows values each, of which those in the first `chunks` chunks count.
struct PlaneValues {
    const float* columns;
    std::size_t chunks;
    bool missing;  ///< some are NaN
};

struct PlaneLoops {
    const char* name;
    /// First all comparisons, because a word cannot be read as a whole just after its parts have
    /// been written; then the operations, one after the other.
    void (*run)(std::span<const PlaneStep> steps, const PlaneTerm* terms,
                std::span<const WordOp> ops, const PlaneValues& values, BlockBits* words);
};

/// What this CPU can run, the fastest last.
std::span<const PlaneLoops> plane_loops();

}  // namespace ad
