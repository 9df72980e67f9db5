#include "forest_wide_loops.hpp"

#include <algorithm>
#include <cmath>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ad {

namespace {

/// Calls `function` with whether there are missing values and penalties as constants.
template <typename Function>
void with_exceptions(bool missing, bool penalizes, const Function& function) {
    if (missing && penalizes) return function.template operator()<true, true>();
    if (missing) return function.template operator()<true, false>();
    if (penalizes) return function.template operator()<false, true>();
    function.template operator()<false, false>();
}

template <typename Index, bool kMissing, bool kPenalty>
void walk_each(const WideTrees& trees, const WideRows& rows, std::uint32_t steps, std::uint32_t* at,
               std::uint32_t* outside) {
    const std::size_t to_columns = 4 + 4 * std::size_t{trees.terms};
    for (std::uint32_t s = 0; s < steps; ++s) {
        for (std::size_t k = 0; k < WideTrees::kTogether; ++k) {
            const std::byte* node = trees.node(at[k]);
            const float* exception = trees.exception(at[k]);
            const float* row = rows.values + k * rows.stride;
            float sum = 0.0F;
            for (std::size_t t = 0; t < trees.terms; ++t) {
                float value = row[WideTrees::load<Index>(node + to_columns + t * sizeof(Index))];
                if (kMissing && std::isnan(value)) value = exception[1 + t];
                sum = t == 0 ? value : sum + WideTrees::load<float>(node + 4 + 4 * t) * value;
            }
            const float threshold = trees.threshold(at[k]);
            if (kPenalty) outside[k] += std::uint32_t{std::fabs(sum - threshold) > exception[0]};
            at[k] = trees.child(at[k]) + (sum > threshold ? trees.places : 0);
        }
    }
}

void walk_portable(const WideTrees& trees, const WideRows& rows, std::uint32_t steps,
                   bool penalizes, std::uint32_t* at, std::uint32_t* outside) {
    with_exceptions(rows.missing, penalizes, [&]<bool kMissing, bool kPenalty>() {
        if (rows.columns <= WideTrees::kFewColumns)
            return walk_each<std::uint8_t, kMissing, kPenalty>(trees, rows, steps, at, outside);
        walk_each<std::uint16_t, kMissing, kPenalty>(trees, rows, steps, at, outside);
    });
}

#if defined(__x86_64__)

#define AD_AVX512 [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl"), gnu::always_inline]] inline

/// How the values of some columns of a row are brought together.
struct FromFew {
    using Index = std::uint8_t;
    AD_AVX512 static __m256 pick(__mmask8 lanes, const std::byte* columns, const float* row) {
        const __m256i index =
            _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(columns)));
        return _mm256_maskz_permutex2var_ps(lanes, _mm256_load_ps(row), index,
                                            _mm256_load_ps(row + 8));
    }
};

struct FromMany {
    using Index = std::uint16_t;
    AD_AVX512 static __m256 pick(__mmask8 lanes, const std::byte* columns, const float* row) {
        const __m256i index =
            _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(columns)));
        return _mm256_mmask_i32gather_ps(_mm256_setzero_ps(), lanes, index, row, 4);
    }
};

/// Rows become columns.
AD_AVX512 void transpose(__m256 (&v)[8]) {
    __m256 a[8];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    __m256 b[8];
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 8; i += 4) {
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
        v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

AD_AVX512 __mmask8 first_lanes(std::uint32_t count) {
    return static_cast<__mmask8>((1U << std::min(count, WideTrees::kLanes)) - 1);
}

/// Thresholds and children of eight nodes, from the places next to each other.
struct Heads {
    __m256 threshold;
    __m256i child;
};

AD_AVX512 __m128 two(const std::byte* a, const std::byte* b) {
    return _mm_castpd_ps(_mm_loadh_pd(_mm_load_sd(reinterpret_cast<const double*>(a)),
                                      reinterpret_cast<const double*>(b)));
}

AD_AVX512 Heads heads(const std::byte* const (&node)[WideTrees::kLanes]) {
    const __m256 low = _mm256_set_m128(two(node[4], node[5]), two(node[0], node[1]));
    const __m256 high = _mm256_set_m128(two(node[6], node[7]), two(node[2], node[3]));
    return {_mm256_shuffle_ps(low, high, 0x88),
            _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd))};
}

/// A step of eight walks.
template <typename From, bool kMissing, bool kPenalty>
AD_AVX512 void step_avx512(const WideTrees& trees, const float* rows, std::size_t stride,
                           std::uint32_t* at, std::uint32_t* outside) {
    constexpr std::size_t kLanes = WideTrees::kLanes;
    const std::byte* node[kLanes];
    const float* exception[kLanes];
#pragma GCC unroll 8
    for (std::size_t k = 0; k < kLanes; ++k) {
        node[k] = trees.node(at[k]);
        if (kMissing || kPenalty) exception[k] = trees.exception(at[k]);
    }
    const std::size_t to_columns = 4 + 4 * std::size_t{trees.terms};
    __m256 sum = _mm256_setzero_ps();
    for (std::uint32_t t = 0; t < trees.terms; t += WideTrees::kLanes) {
        const __mmask8 lanes = first_lanes(trees.terms - t);
        const auto with_coefficient = static_cast<__mmask8>(t == 0 ? lanes & ~1U : lanes);
        __m256 part[kLanes];
#pragma GCC unroll 8
        for (std::size_t k = 0; k < kLanes; ++k) {
            __m256 value = From::pick(
                lanes, node[k] + to_columns + t * sizeof(typename From::Index), rows + k * stride);
            if (kMissing) {
                const __mmask8 missing = _mm256_cmp_ps_mask(value, value, _CMP_UNORD_Q);
                value = _mm256_mask_loadu_ps(value, missing, exception[k] + 1 + t);
            }
            const __m256 coefficient =
                _mm256_loadu_ps(reinterpret_cast<const float*>(node[k] + 4) + t);
            part[k] = _mm256_mask_mul_ps(value, with_coefficient, coefficient, value);
        }
        transpose(part);
        sum = t == 0 ? part[0] : _mm256_add_ps(sum, part[0]);
#pragma GCC unroll 7
        for (std::size_t i = 1; i < kLanes; ++i) sum = _mm256_add_ps(sum, part[i]);
    }
    const Heads of_nodes = heads(node);
    if (kPenalty) {
        float width[kLanes];
        for (std::size_t k = 0; k < kLanes; ++k) width[k] = exception[k][0];
        const __m256 far =
            _mm256_andnot_ps(_mm256_set1_ps(-0.0F), _mm256_sub_ps(sum, of_nodes.threshold));
        const __mmask8 beyond = _mm256_cmp_ps_mask(far, _mm256_loadu_ps(width), _CMP_GT_OQ);
        const __m256i count = _mm256_loadu_si256(reinterpret_cast<__m256i*>(outside));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(outside),
                            _mm256_mask_add_epi32(count, beyond, count, _mm256_set1_epi32(1)));
    }
    const __mmask8 above = _mm256_cmp_ps_mask(sum, of_nodes.threshold, _CMP_GT_OQ);
    const __m256i places = _mm256_set1_epi32(static_cast<int>(trees.places));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                        _mm256_mask_add_epi32(of_nodes.child, above, of_nodes.child, places));
}

template <typename From, bool kMissing, bool kPenalty>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] void walk_from(const WideTrees& trees,
                                                                     const WideRows& rows,
                                                                     std::uint32_t steps,
                                                                     std::uint32_t* at,
                                                                     std::uint32_t* outside) {
    for (std::uint32_t s = 0; s < steps; ++s) {
        for (std::size_t k = 0; k < WideTrees::kTogether; k += WideTrees::kLanes)
            step_avx512<From, kMissing, kPenalty>(trees, rows.values + k * rows.stride, rows.stride,
                                                  at + k, outside + k);
    }
}

void walk_avx512(const WideTrees& trees, const WideRows& rows, std::uint32_t steps, bool penalizes,
                 std::uint32_t* at, std::uint32_t* outside) {
    with_exceptions(rows.missing, penalizes, [&]<bool kMissing, bool kPenalty>() {
        if (rows.columns <= WideTrees::kFewColumns)
            return walk_from<FromFew, kMissing, kPenalty>(trees, rows, steps, at, outside);
        walk_from<FromMany, kMissing, kPenalty>(trees, rows, steps, at, outside);
    });
}

constexpr WideLoops kLoops[] = {{"portable", walk_portable}, {"AVX-512", walk_avx512}};

}  // namespace

std::span<const WideLoops> wide_loops() {
    const bool wide = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
    return std::span<const WideLoops>(kLoops).first(wide ? 2 : 1);
}

#else

constexpr WideLoops kLoops[] = {{"portable", walk_portable}};

}  // namespace

std::span<const WideLoops> wide_loops() { return kLoops; }

#endif

}  // namespace ad
