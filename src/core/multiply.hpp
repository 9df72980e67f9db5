// Products of small dense matrices of floats, with the same bits on every CPU: an element is summed
// up in the order of its terms, and vectors run over elements that lie side by side.
#pragma once

#include "base.hpp"

namespace ad {

/// Columns of the matrices are rounded up to whole packs, filled up with zeros.
inline constexpr std::size_t kPack = 16;
inline constexpr std::size_t packed(std::size_t columns) {
    return (columns + kPack - 1) / kPack * kPack;
}

/// The left factor: element (i, k) lies at values[i * row_step + k * step].
struct LeftFactor {
    const float* values;
    std::size_t row_step;
    std::size_t step;
};

/// out (rows x columns) += left (rows x inner) * right (inner x columns); `columns` whole packs.
using Multiply = void (*)(const LeftFactor& left, const float* right, std::size_t rows,
                          std::size_t inner, std::size_t columns, float* out);

/// The fastest that this CPU has; all give the same bits.
Multiply multiply();
/// What it does, a few rows at a time: there is a poll every few milliseconds.
void multiply_in_steps(const LeftFactor& left, const float* right, std::size_t rows,
                       std::size_t inner, std::size_t columns, float* out);
/// Every one that this CPU has, for tests.
std::vector<Multiply> multiplies();

}  // namespace ad
