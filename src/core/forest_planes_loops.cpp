#include "forest_planes_loops.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ad {

namespace {

[[gnu::always_inline]] inline void combine_words(std::span<const WordOp> ops, BlockBits* words) {
    typedef std::uint64_t Word __attribute__((vector_size(sizeof(BlockBits))));
    auto* all = reinterpret_cast<Word*>(words);
    for (const WordOp& op : ops) {
        const Word& a = all[op.a];
        const Word& b = all[op.b];
        if (op.kind == WordOp::Kind::Choose) {
            all[op.into] = b ^ ((a ^ b) & all[op.mask]);
        } else if (op.kind == WordOp::Kind::Both) {
            all[op.into] = a & b;
        } else {
            all[op.into] = a ^ b;
        }
    }
}

/// As many terms as the step says.
constexpr std::size_t kAny = 0;

#if defined(__x86_64__)

template <bool kMissing>
__m128 load_sse2(const PlaneTerm& term, const float* from) {
    const __m128 value = _mm_load_ps(from);
    if (!kMissing) return value;
    const __m128 missing = _mm_cmpunord_ps(value, value);
    return _mm_or_ps(_mm_andnot_ps(missing, value), _mm_and_ps(missing, _mm_set1_ps(term.fill)));
}

template <bool kMissing, std::size_t kTerms>
void compare_sse2(const PlaneStep& step, const PlaneTerm* terms, const float* values,
                  std::uint64_t& right, std::uint64_t* outside) {
    const __m128 threshold = _mm_set1_ps(step.threshold);
    std::uint64_t is_right = 0;
    std::uint64_t is_outside = 0;
    for (std::size_t i = 0; i < kChunkRows; i += 4) {
        __m128 sum = load_sse2<kMissing>(terms[0], values + terms[0].column * kBlockRows + i);
        for (std::size_t k = 1; k < (kTerms > 0 ? kTerms : step.terms); ++k) {
            const PlaneTerm& term = terms[k];
            const __m128 value = load_sse2<kMissing>(term, values + term.column * kBlockRows + i);
            sum = _mm_add_ps(sum, _mm_mul_ps(_mm_set1_ps(term.coefficient), value));
        }
        const int above = _mm_movemask_ps(_mm_cmpgt_ps(sum, threshold));
        is_right |= static_cast<std::uint64_t>(above) << i;
        if (outside == nullptr) continue;
        const __m128 far = _mm_andnot_ps(_mm_set1_ps(-0.0F), _mm_sub_ps(sum, threshold));
        const int beyond = _mm_movemask_ps(_mm_cmpgt_ps(far, _mm_set1_ps(step.width)));
        is_outside |= static_cast<std::uint64_t>(beyond) << i;
    }
    right = is_right;
    if (outside != nullptr) *outside = is_outside;
}

template <bool kMissing, std::size_t kTerms>
inline void compare_chunks_sse2(const PlaneStep& step, const PlaneTerm* terms,
                                const PlaneValues& values, BlockBits* words) {
    for (std::size_t c = 0; c < values.chunks; ++c) {
        compare_sse2<kMissing, kTerms>(step, terms, values.columns + c * kChunkRows,
                                       words[step.right].chunk[c],
                                       step.outside == 0 ? nullptr : &words[step.outside].chunk[c]);
    }
}

template <bool kMissing>
inline void compare_all_sse2(std::span<const PlaneStep> steps, const PlaneTerm* terms,
                             const PlaneValues& values, BlockBits* words) {
    for (const PlaneStep& step : steps) {
        const PlaneTerm* of_step = terms + step.first_term;
        if (step.terms == 3) {
            compare_chunks_sse2<kMissing, 3>(step, of_step, values, words);
        } else if (step.terms == 2) {
            compare_chunks_sse2<kMissing, 2>(step, of_step, values, words);
        } else if (step.terms == 1) {
            compare_chunks_sse2<kMissing, 1>(step, of_step, values, words);
        } else if (step.terms > 0) {
            compare_chunks_sse2<kMissing, kAny>(step, of_step, values, words);
        }
    }
}

void run_sse2(std::span<const PlaneStep> steps, const PlaneTerm* terms, std::span<const WordOp> ops,
              const PlaneValues& values, BlockBits* words) {
    if (values.missing) {
        compare_all_sse2<true>(steps, terms, values, words);
    } else {
        compare_all_sse2<false>(steps, terms, values, words);
    }
    combine_words(ops, words);
}

#define AD_AVX2 [[gnu::target("avx2")]]

template <bool kMissing>
AD_AVX2 inline __m256 load_avx2(const PlaneTerm& term, const float* from) {
    const __m256 value = _mm256_load_ps(from);
    if (!kMissing) return value;
    return _mm256_blendv_ps(value, _mm256_set1_ps(term.fill),
                            _mm256_cmp_ps(value, value, _CMP_UNORD_Q));
}

template <bool kMissing, std::size_t kTerms>
AD_AVX2 inline void compare_avx2(const PlaneStep& step, const PlaneTerm* terms, const float* values,
                                 std::uint64_t& right, std::uint64_t* outside) {
    constexpr std::size_t kParts = kChunkRows / 8;
    __m256 sum[kParts];
    const float* first = values + terms[0].column * kBlockRows;
#pragma GCC unroll 8
    for (std::size_t p = 0; p < kParts; ++p) sum[p] = load_avx2<kMissing>(terms[0], first + 8 * p);
    for (std::size_t k = 1; k < (kTerms > 0 ? kTerms : step.terms); ++k) {
        const __m256 coefficient = _mm256_set1_ps(terms[k].coefficient);
        const float* from = values + terms[k].column * kBlockRows;
#pragma GCC unroll 8
        for (std::size_t p = 0; p < kParts; ++p) {
            const __m256 value = load_avx2<kMissing>(terms[k], from + 8 * p);
            sum[p] = _mm256_add_ps(sum[p], _mm256_mul_ps(coefficient, value));
        }
    }
    const __m256 threshold = _mm256_set1_ps(step.threshold);
    std::uint64_t bits = 0;
#pragma GCC unroll 8
    for (std::size_t p = 0; p < kParts; ++p) {
        const int above = _mm256_movemask_ps(_mm256_cmp_ps(sum[p], threshold, _CMP_GT_OQ));
        bits |= static_cast<std::uint64_t>(above) << (8 * p);
    }
    right = bits;
    if (outside == nullptr) return;
    const __m256 width = _mm256_set1_ps(step.width);
    bits = 0;
#pragma GCC unroll 8
    for (std::size_t p = 0; p < kParts; ++p) {
        const __m256 far =
            _mm256_andnot_ps(_mm256_set1_ps(-0.0F), _mm256_sub_ps(sum[p], threshold));
        const int beyond = _mm256_movemask_ps(_mm256_cmp_ps(far, width, _CMP_GT_OQ));
        bits |= static_cast<std::uint64_t>(beyond) << (8 * p);
    }
    *outside = bits;
}

template <bool kMissing, std::size_t kTerms>
AD_AVX2 inline void compare_chunks_avx2(const PlaneStep& step, const PlaneTerm* terms,
                                        const PlaneValues& values, BlockBits* words) {
    for (std::size_t c = 0; c < values.chunks; ++c) {
        compare_avx2<kMissing, kTerms>(step, terms, values.columns + c * kChunkRows,
                                       words[step.right].chunk[c],
                                       step.outside == 0 ? nullptr : &words[step.outside].chunk[c]);
    }
}

template <bool kMissing>
AD_AVX2 inline void compare_all_avx2(std::span<const PlaneStep> steps, const PlaneTerm* terms,
                                     const PlaneValues& values, BlockBits* words) {
    for (const PlaneStep& step : steps) {
        const PlaneTerm* of_step = terms + step.first_term;
        if (step.terms == 3) {
            compare_chunks_avx2<kMissing, 3>(step, of_step, values, words);
        } else if (step.terms == 2) {
            compare_chunks_avx2<kMissing, 2>(step, of_step, values, words);
        } else if (step.terms == 1) {
            compare_chunks_avx2<kMissing, 1>(step, of_step, values, words);
        } else if (step.terms > 0) {
            compare_chunks_avx2<kMissing, kAny>(step, of_step, values, words);
        }
    }
}

AD_AVX2 void run_avx2(std::span<const PlaneStep> steps, const PlaneTerm* terms,
                      std::span<const WordOp> ops, const PlaneValues& values, BlockBits* words) {
    if (values.missing) {
        compare_all_avx2<true>(steps, terms, values, words);
    } else {
        compare_all_avx2<false>(steps, terms, values, words);
    }
    combine_words(ops, words);
}

#define AD_AVX512 [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]]

template <bool kMissing>
AD_AVX512 inline __m512 load_avx512(const PlaneTerm& term, const float* from) {
    const __m512 value = _mm512_load_ps(from);
    if (!kMissing) return value;
    return _mm512_mask_mov_ps(value, _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q),
                              _mm512_set1_ps(term.fill));
}

template <bool kMissing, std::size_t kTerms>
AD_AVX512 inline void compare_avx512(const PlaneStep& step, const PlaneTerm* terms,
                                     const float* values, std::uint64_t& right,
                                     std::uint64_t* outside) {
    constexpr std::size_t kParts = kChunkRows / 16;
    __m512 sum[kParts];
    const float* first = values + terms[0].column * kBlockRows;
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kParts; ++p)
        sum[p] = load_avx512<kMissing>(terms[0], first + 16 * p);
    for (std::size_t k = 1; k < (kTerms > 0 ? kTerms : step.terms); ++k) {
        const __m512 coefficient = _mm512_set1_ps(terms[k].coefficient);
        const float* from = values + terms[k].column * kBlockRows;
#pragma GCC unroll 4
        for (std::size_t p = 0; p < kParts; ++p) {
            const __m512 value = load_avx512<kMissing>(terms[k], from + 16 * p);
            sum[p] = _mm512_add_ps(sum[p], _mm512_mul_ps(coefficient, value));
        }
    }
    const __m512 threshold = _mm512_set1_ps(step.threshold);
    auto* is_right = reinterpret_cast<__mmask16*>(&right);
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kParts; ++p)
        is_right[p] = _mm512_cmp_ps_mask(sum[p], threshold, _CMP_GT_OQ);
    if (outside == nullptr) return;
    const __m512 width = _mm512_set1_ps(step.width);
    auto* is_outside = reinterpret_cast<__mmask16*>(outside);
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kParts; ++p) {
        const __m512 far = _mm512_abs_ps(_mm512_sub_ps(sum[p], threshold));
        is_outside[p] = _mm512_cmp_ps_mask(far, width, _CMP_GT_OQ);
    }
}

template <bool kMissing, std::size_t kTerms>
AD_AVX512 inline void compare_chunks_avx512(const PlaneStep& step, const PlaneTerm* terms,
                                            const PlaneValues& values, BlockBits* words) {
    for (std::size_t c = 0; c < values.chunks; ++c) {
        compare_avx512<kMissing, kTerms>(
            step, terms, values.columns + c * kChunkRows, words[step.right].chunk[c],
            step.outside == 0 ? nullptr : &words[step.outside].chunk[c]);
    }
}

template <bool kMissing>
AD_AVX512 inline void compare_all_avx512(std::span<const PlaneStep> steps, const PlaneTerm* terms,
                                         const PlaneValues& values, BlockBits* words) {
    for (const PlaneStep& step : steps) {
        const PlaneTerm* of_step = terms + step.first_term;
        if (step.terms == 3) {
            compare_chunks_avx512<kMissing, 3>(step, of_step, values, words);
        } else if (step.terms == 2) {
            compare_chunks_avx512<kMissing, 2>(step, of_step, values, words);
        } else if (step.terms == 1) {
            compare_chunks_avx512<kMissing, 1>(step, of_step, values, words);
        } else if (step.terms > 0) {
            compare_chunks_avx512<kMissing, kAny>(step, of_step, values, words);
        }
    }
}

AD_AVX512 void run_avx512(std::span<const PlaneStep> steps, const PlaneTerm* terms,
                          std::span<const WordOp> ops, const PlaneValues& values,
                          BlockBits* words) {
    if (values.missing) {
        compare_all_avx512<true>(steps, terms, values, words);
    } else {
        compare_all_avx512<false>(steps, terms, values, words);
    }
    combine_words(ops, words);
}

constexpr PlaneLoops kLoops[] = {{"SSE2", run_sse2}, {"AVX2", run_avx2}, {"AVX-512", run_avx512}};

}  // namespace

std::span<const PlaneLoops> plane_loops() {
    const std::span<const PlaneLoops> all(kLoops);
    if (!__builtin_cpu_supports("avx2")) return all.first(1);
    const bool wide = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
    return wide ? all : all.first(2);
}

#else

/// Adds a term to the sums of some rows.
template <bool kFirst, bool kMissing>
void add_term(const PlaneTerm& term, const float* values, std::size_t count, float* sums) {
    for (std::size_t i = 0; i < count; ++i) {
        const float value = kMissing && std::isnan(values[i]) ? term.fill : values[i];
        sums[i] = kFirst ? value : sums[i] + term.coefficient * value;
    }
}

template <bool kMissing, std::size_t kTerms>
void compare_portable(const PlaneStep& step, const PlaneTerm* terms, const float* values,
                      std::uint64_t& right, std::uint64_t* outside) {
    float sums[kChunkRows];
    add_term<true, kMissing>(terms[0], values + terms[0].column * kBlockRows, kChunkRows, sums);
    for (std::size_t k = 1; k < (kTerms > 0 ? kTerms : step.terms); ++k) {
        add_term<false, kMissing>(terms[k], values + terms[k].column * kBlockRows, kChunkRows,
                                  sums);
    }
    right = 0;
    for (std::size_t i = 0; i < kChunkRows; ++i)
        right |= std::uint64_t{sums[i] > step.threshold} << i;
    if (outside == nullptr) return;
    *outside = 0;
    for (std::size_t i = 0; i < kChunkRows; ++i)
        *outside |= std::uint64_t{std::fabs(sums[i] - step.threshold) > step.width} << i;
}

template <bool kMissing, std::size_t kTerms>
inline void compare_chunks_portable(const PlaneStep& step, const PlaneTerm* terms,
                                    const PlaneValues& values, BlockBits* words) {
    for (std::size_t c = 0; c < values.chunks; ++c) {
        compare_portable<kMissing, kTerms>(
            step, terms, values.columns + c * kChunkRows, words[step.right].chunk[c],
            step.outside == 0 ? nullptr : &words[step.outside].chunk[c]);
    }
}

template <bool kMissing>
inline void compare_all_portable(std::span<const PlaneStep> steps, const PlaneTerm* terms,
                                 const PlaneValues& values, BlockBits* words) {
    for (const PlaneStep& step : steps) {
        const PlaneTerm* of_step = terms + step.first_term;
        if (step.terms == 3) {
            compare_chunks_portable<kMissing, 3>(step, of_step, values, words);
        } else if (step.terms == 2) {
            compare_chunks_portable<kMissing, 2>(step, of_step, values, words);
        } else if (step.terms == 1) {
            compare_chunks_portable<kMissing, 1>(step, of_step, values, words);
        } else if (step.terms > 0) {
            compare_chunks_portable<kMissing, kAny>(step, of_step, values, words);
        }
    }
}

void run_portable(std::span<const PlaneStep> steps, const PlaneTerm* terms,
                  std::span<const WordOp> ops, const PlaneValues& values, BlockBits* words) {
    if (values.missing) {
        compare_all_portable<true>(steps, terms, values, words);
    } else {
        compare_all_portable<false>(steps, terms, values, words);
    }
    combine_words(ops, words);
}

}  // namespace

std::span<const PlaneLoops> plane_loops() {
    static constexpr PlaneLoops kLoops[] = {{"portable", run_portable}};
    return kLoops;
}

#endif

}  // namespace ad
