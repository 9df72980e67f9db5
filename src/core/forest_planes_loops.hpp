// The inner loops of PlaneKernel, once for each instruction set. All of them compute the same.
#pragma once

#include "forest_loops.hpp"

namespace ad {

/// A sum of columns, times coefficients, to be compared; the first coefficient is 1.
struct PlaneSum {
    const float* const* columns;
    const float* coefficients;
    std::size_t terms;
    float threshold;
    float width;
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

struct PlaneLoops {
    const char* name;
    /// For rows of the first `chunks` chunks: is the sum above the threshold, and, unless `outside`
    /// is null, is it farther from it than the width?
    void (*compare)(const PlaneSum& sum, std::size_t chunks, BlockBits* right, BlockBits* outside);
    void (*combine)(const WordOp* ops, std::size_t count, BlockBits* words);
};

/// What this CPU can run, the fastest last.
std::span<const PlaneLoops> plane_loops();

}  // namespace ad
