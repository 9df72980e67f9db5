#include "multiply.hpp"

#include <algorithm>

namespace ad {

namespace {

/// Adds four terms to a pack, so that it is loaded and stored once for them.
[[gnu::always_inline]] inline void add_four(const float (&factors)[4], const float* __restrict row,
                                            std::size_t columns, float* __restrict sums) {
    for (std::size_t p = 0; p < kPack; ++p) {
        const float two = (sums[p] + factors[0] * row[p]) + factors[1] * row[columns + p];
        sums[p] = (two + factors[2] * row[2 * columns + p]) + factors[3] * row[3 * columns + p];
    }
}

[[gnu::always_inline]] inline void add_one(float factor, const float* __restrict row,
                                           float* __restrict sums) {
    for (std::size_t p = 0; p < kPack; ++p) sums[p] += factor * row[p];
}

[[gnu::always_inline]] inline void multiply_all(const LeftFactor& left, const float* right,
                                                std::size_t rows, std::size_t inner,
                                                std::size_t columns, float* out) {
    for (std::size_t i = 0; i < rows; ++i) {
        const float* at = left.values + i * left.row_step;
        float* sums = out + i * columns;
        std::size_t k = 0;
        for (; k + 4 <= inner; k += 4, at += 4 * left.step) {
            const float factors[4] = {at[0], at[left.step], at[2 * left.step], at[3 * left.step]};
            for (std::size_t j = 0; j < columns; j += kPack) {
                add_four(factors, right + k * columns + j, columns, sums + j);
            }
        }
        for (; k < inner; ++k, at += left.step) {
            for (std::size_t j = 0; j < columns; j += kPack) {
                add_one(*at, right + k * columns + j, sums + j);
            }
        }
    }
}

void multiply_portable(const LeftFactor& left, const float* right, std::size_t rows,
                       std::size_t inner, std::size_t columns, float* out) {
    multiply_all(left, right, rows, inner, columns, out);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void multiply_avx2(const LeftFactor& left, const float* right,
                                           std::size_t rows, std::size_t inner, std::size_t columns,
                                           float* out) {
    multiply_all(left, right, rows, inner, columns, out);
}

[[gnu::target("avx512f")]] void multiply_avx512(const LeftFactor& left, const float* right,
                                                std::size_t rows, std::size_t inner,
                                                std::size_t columns, float* out) {
    multiply_all(left, right, rows, inner, columns, out);
}
#endif

}  // namespace

std::vector<Multiply> multiplies() {
    std::vector<Multiply> all{multiply_portable};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) all.push_back(multiply_avx2);
    if (__builtin_cpu_supports("avx512f")) all.push_back(multiply_avx512);
#endif
    return all;
}

Multiply multiply() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return multiply_avx512;
    if (__builtin_cpu_supports("avx2")) return multiply_avx2;
#endif
    return multiply_portable;
}

void multiply_in_steps(const LeftFactor& left, const float* right, std::size_t rows,
                       std::size_t inner, std::size_t columns, float* out) {
    constexpr std::size_t kProducts = std::size_t{1} << 22;
    const std::size_t step =
        std::max<std::size_t>(1, kProducts / std::max<std::size_t>(1, inner * columns));
    const Multiply fastest = multiply();
    for (std::size_t first = 0; first < rows; first += step) {
        poll();
        fastest({left.values + first * left.row_step, left.row_step, left.step}, right,
                std::min(step, rows - first), inner, columns, out + first * columns);
    }
}

}  // namespace ad
