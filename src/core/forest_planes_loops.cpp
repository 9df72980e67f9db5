#include "forest_planes_loops.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ad {

namespace {

[[gnu::always_inline]] inline void combine_words(const WordOp* ops, std::size_t count,
                                                 BlockBits* words) {
    typedef std::uint64_t Word __attribute__((vector_size(sizeof(BlockBits))));
    auto* all = reinterpret_cast<Word*>(words);
    for (const WordOp* op = ops; op != ops + count; ++op) {
        const Word& a = all[op->a];
        const Word& b = all[op->b];
        if (op->kind == WordOp::Kind::Choose) {
            all[op->into] = b ^ ((a ^ b) & all[op->mask]);
        } else if (op->kind == WordOp::Kind::Both) {
            all[op->into] = a & b;
        } else {
            all[op->into] = a ^ b;
        }
    }
}

#if defined(__x86_64__)

void combine_portable(const WordOp* ops, std::size_t count, BlockBits* words) {
    combine_words(ops, count, words);
}

void compare_sse2(const PlaneSum& sum, std::size_t chunks, BlockBits* right, BlockBits* outside) {
    const __m128 threshold = _mm_set1_ps(sum.threshold);
    const __m128 width = _mm_set1_ps(sum.width);
    for (std::size_t c = 0; c < chunks; ++c) {
        std::uint64_t is_right = 0;
        std::uint64_t is_outside = 0;
        for (std::size_t i = 0; i < kChunkRows; i += 4) {
            const std::size_t row = c * kChunkRows + i;
            __m128 value = _mm_load_ps(sum.columns[0] + row);
            for (std::size_t k = 1; k < sum.terms; ++k) {
                const __m128 coefficient = _mm_set1_ps(sum.coefficients[k]);
                value =
                    _mm_add_ps(value, _mm_mul_ps(coefficient, _mm_load_ps(sum.columns[k] + row)));
            }
            const int above = _mm_movemask_ps(_mm_cmpgt_ps(value, threshold));
            is_right |= static_cast<std::uint64_t>(static_cast<unsigned>(above)) << i;
            if (outside == nullptr) continue;
            value = _mm_andnot_ps(_mm_set1_ps(-0.0F), _mm_sub_ps(value, threshold));
            const int beyond = _mm_movemask_ps(_mm_cmpgt_ps(value, width));
            is_outside |= static_cast<std::uint64_t>(static_cast<unsigned>(beyond)) << i;
        }
        right->chunk[c] = is_right;
        if (outside != nullptr) outside->chunk[c] = is_outside;
    }
}

[[gnu::target("avx2")]] void combine_avx2(const WordOp* ops, std::size_t count, BlockBits* words) {
    combine_words(ops, count, words);
}

[[gnu::target("avx2")]] void compare_avx2(const PlaneSum& sum, std::size_t chunks, BlockBits* right,
                                          BlockBits* outside) {
    const __m256 threshold = _mm256_set1_ps(sum.threshold);
    const __m256 width = _mm256_set1_ps(sum.width);
    const __m256 second = _mm256_set1_ps(sum.terms > 1 ? sum.coefficients[1] : 0.0F);
    for (std::size_t c = 0; c < chunks; ++c) {
        std::uint64_t is_right = 0;
        std::uint64_t is_outside = 0;
#pragma GCC unroll 8
        for (std::size_t i = 0; i < kChunkRows; i += 8) {
            const std::size_t row = c * kChunkRows + i;
            __m256 value = _mm256_load_ps(sum.columns[0] + row);
            if (sum.terms > 1) {
                value = _mm256_add_ps(value,
                                      _mm256_mul_ps(second, _mm256_load_ps(sum.columns[1] + row)));
            }
            for (std::size_t k = 2; k < sum.terms; ++k) {
                const __m256 coefficient = _mm256_set1_ps(sum.coefficients[k]);
                value = _mm256_add_ps(
                    value, _mm256_mul_ps(coefficient, _mm256_load_ps(sum.columns[k] + row)));
            }
            const int above = _mm256_movemask_ps(_mm256_cmp_ps(value, threshold, _CMP_GT_OQ));
            is_right |= static_cast<std::uint64_t>(static_cast<unsigned>(above)) << i;
            if (outside == nullptr) continue;
            value = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), _mm256_sub_ps(value, threshold));
            const int beyond = _mm256_movemask_ps(_mm256_cmp_ps(value, width, _CMP_GT_OQ));
            is_outside |= static_cast<std::uint64_t>(static_cast<unsigned>(beyond)) << i;
        }
        right->chunk[c] = is_right;
        if (outside != nullptr) outside->chunk[c] = is_outside;
    }
}

#define AD_AVX512 [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]]

AD_AVX512 void combine_avx512(const WordOp* ops, std::size_t count, BlockBits* words) {
    combine_words(ops, count, words);
}

AD_AVX512 void compare_avx512(const PlaneSum& sum, std::size_t chunks, BlockBits* right,
                              BlockBits* outside) {
    constexpr std::size_t kParts = kChunkRows / 16;
    const __m512 threshold = _mm512_set1_ps(sum.threshold);
    const __m512 width = _mm512_set1_ps(sum.width);
    const __m512 second = _mm512_set1_ps(sum.terms > 1 ? sum.coefficients[1] : 0.0F);
    for (std::size_t c = 0; c < chunks; ++c) {
        const std::size_t row = c * kChunkRows;
        __m512 value[kParts];
#pragma GCC unroll 4
        for (std::size_t p = 0; p < kParts; ++p)
            value[p] = _mm512_load_ps(sum.columns[0] + row + 16 * p);
        if (sum.terms > 1) {
#pragma GCC unroll 4
            for (std::size_t p = 0; p < kParts; ++p) {
                const __m512 other = _mm512_load_ps(sum.columns[1] + row + 16 * p);
                value[p] = _mm512_add_ps(value[p], _mm512_mul_ps(second, other));
            }
        }
        for (std::size_t k = 2; k < sum.terms; ++k) {
            const __m512 coefficient = _mm512_set1_ps(sum.coefficients[k]);
#pragma GCC unroll 4
            for (std::size_t p = 0; p < kParts; ++p) {
                const __m512 other = _mm512_load_ps(sum.columns[k] + row + 16 * p);
                value[p] = _mm512_add_ps(value[p], _mm512_mul_ps(coefficient, other));
            }
        }
        __mmask16 bits[kParts];
#pragma GCC unroll 4
        for (std::size_t p = 0; p < kParts; ++p)
            bits[p] = _mm512_cmp_ps_mask(value[p], threshold, _CMP_GT_OQ);
        auto* out = reinterpret_cast<__mmask16*>(&right->chunk[c]);
#pragma GCC unroll 4
        for (std::size_t p = 0; p < kParts; ++p) out[p] = bits[p];
        if (outside == nullptr) continue;
        out = reinterpret_cast<__mmask16*>(&outside->chunk[c]);
#pragma GCC unroll 4
        for (std::size_t p = 0; p < kParts; ++p) {
            const __m512 distance = _mm512_abs_ps(_mm512_sub_ps(value[p], threshold));
            out[p] = _mm512_cmp_ps_mask(distance, width, _CMP_GT_OQ);
        }
    }
}

constexpr PlaneLoops kLoops[] = {
    {"SSE2", compare_sse2, combine_portable},
    {"AVX2", compare_avx2, combine_avx2},
    {"AVX-512", compare_avx512, combine_avx512},
};

}  // namespace

std::span<const PlaneLoops> plane_loops() {
    const std::span<const PlaneLoops> all(kLoops);
    if (!__builtin_cpu_supports("avx2")) return all.first(1);
    const bool wide = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
    return wide ? all : all.first(2);
}

#else

void combine_portable(const WordOp* ops, std::size_t count, BlockBits* words) {
    combine_words(ops, count, words);
}

void compare_portable(const PlaneSum& sum, std::size_t chunks, BlockBits* right,
                      BlockBits* outside) {
    for (std::size_t c = 0; c < chunks; ++c) {
        float value[kChunkRows];
        const std::size_t row = c * kChunkRows;
        for (std::size_t i = 0; i < kChunkRows; ++i) value[i] = sum.columns[0][row + i];
        for (std::size_t k = 1; k < sum.terms; ++k) {
            for (std::size_t i = 0; i < kChunkRows; ++i)
                value[i] += sum.coefficients[k] * sum.columns[k][row + i];
        }
        std::uint64_t is_right = 0;
        std::uint64_t is_outside = 0;
        for (std::size_t i = 0; i < kChunkRows; ++i) {
            is_right |= std::uint64_t{value[i] > sum.threshold} << i;
            is_outside |= std::uint64_t{std::fabs(value[i] - sum.threshold) > sum.width} << i;
        }
        right->chunk[c] = is_right;
        if (outside != nullptr) outside->chunk[c] = is_outside;
    }
}

}  // namespace

std::span<const PlaneLoops> plane_loops() {
    static constexpr PlaneLoops kLoops[] = {{"portable", compare_portable, combine_portable}};
    return kLoops;
}

#endif

}  // namespace ad
