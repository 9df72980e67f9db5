#include "forest_loops.hpp"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace ad {

namespace {

/// Exchanges rows and columns of an 8 x 8 matrix of bits (Warren: "Hacker's Delight", 7-3).
std::uint64_t transpose(std::uint64_t x) {
    std::uint64_t t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aaULL;
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000cccc0000ccccULL;
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0ULL;
    return x ^ t ^ (t << 28);
}

void gather_portable(const BlockBits* words, const std::uint8_t (&places)[8], std::size_t chunks,
                     std::uint8_t* codes) {
    for (std::size_t c = 0; c < chunks; ++c) {
        for (unsigned shift = 0; shift < 64; shift += 8) {
            std::uint64_t bits = 0;
            for (const std::uint8_t place : places) {
                bits = bits << 8 | ((words[place].chunk[c] >> shift) & 0xff);
            }
            bits = transpose(bits);
            for (unsigned k = 0; k < 64; k += 8) *codes++ = static_cast<std::uint8_t>(bits >> k);
        }
    }
}

[[gnu::always_inline]] inline void merge_words(const ForestMerge* merges, std::size_t count,
                                               BlockBits* words) {
    typedef std::uint64_t Vector __attribute__((vector_size(sizeof(BlockBits))));
    auto* vectors = reinterpret_cast<Vector*>(words);
    for (const ForestMerge* merge = merges; merge != merges + count; ++merge) {
        Vector& into = vectors[merge->into];
        into ^= (into ^ vectors[merge->from]) & vectors[merge->mask];
    }
}

void merge_portable(const ForestMerge* merges, std::size_t count, BlockBits* words) {
    merge_words(merges, count, words);
}

/// For each of 64 ranks, whether it is above `rank`.
std::uint64_t ranks_above(const std::int8_t* ranks, std::int8_t rank) {
    std::uint64_t bits = 0;
#if defined(__x86_64__)
    const __m128i limit = _mm_set1_epi8(rank);
    for (unsigned k = 0; k < kChunkRows; k += 16) {
        const auto* at = reinterpret_cast<const __m128i*>(ranks + k);
        const int mask = _mm_movemask_epi8(_mm_cmpgt_epi8(_mm_load_si128(at), limit));
        bits |= static_cast<std::uint64_t>(static_cast<unsigned>(mask)) << k;
    }
#elif defined(__aarch64__)
    const int8x16_t limit = vdupq_n_s8(rank);
    const uint8x16_t weights = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ULL));
    uint8x16_t part[4];
    for (unsigned k = 0; k < 4; ++k) {
        part[k] = vandq_u8(vcgtq_s8(vld1q_s8(ranks + 16 * k), limit), weights);
    }
    const uint8x16_t pairs = vpaddq_u8(vpaddq_u8(part[0], part[1]), vpaddq_u8(part[2], part[3]));
    bits = vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(pairs, pairs)), 0);
#else
    for (unsigned k = 0; k < kChunkRows; ++k) bits |= std::uint64_t{ranks[k] > rank} << k;
#endif
    return bits;
}

void compare_portable(const ForestCompare* nodes, std::size_t count, const std::int8_t* planes,
                      std::size_t chunks, BlockBits* words) {
    for (std::size_t n = 0; n < count; ++n) {
        const std::int8_t* plane = planes + nodes[n].plane * kBlockRows;
        for (std::size_t c = 0; c < chunks; ++c) {
            words[n].chunk[c] = ranks_above(plane + c * kChunkRows, nodes[n].rank);
        }
    }
}

}  // namespace

#if defined(__x86_64__)

namespace {

[[gnu::target("avx2")]] void merge_avx2(const ForestMerge* merges, std::size_t count,
                                        BlockBits* words) {
    merge_words(merges, count, words);
}

[[gnu::target("avx2")]] void compare_avx2(const ForestCompare* nodes, std::size_t count,
                                          const std::int8_t* planes, std::size_t chunks,
                                          BlockBits* words) {
    for (std::size_t n = 0; n < count; ++n) {
        const auto* plane = reinterpret_cast<const __m256i*>(planes + nodes[n].plane * kBlockRows);
        const __m256i limit = _mm256_set1_epi8(nodes[n].rank);
        for (std::size_t c = 0; c < chunks; ++c) {
            const __m256i low = _mm256_cmpgt_epi8(_mm256_load_si256(plane + 2 * c), limit);
            const __m256i high = _mm256_cmpgt_epi8(_mm256_load_si256(plane + 2 * c + 1), limit);
            words[n].chunk[c] =
                static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_epi8(high)))
                    << 32 |
                static_cast<unsigned>(_mm256_movemask_epi8(low));
        }
    }
}

[[gnu::target("avx512f,avx512bw,avx512vl")]] void merge_avx512(const ForestMerge* merges,
                                                               std::size_t count,
                                                               BlockBits* words) {
    merge_words(merges, count, words);
}

[[gnu::target("avx512f,avx512bw,avx512vl")]] void compare_avx512(const ForestCompare* nodes,
                                                                 std::size_t count,
                                                                 const std::int8_t* planes,
                                                                 std::size_t chunks,
                                                                 BlockBits* words) {
    for (std::size_t n = 0; n < count; ++n) {
        const std::int8_t* plane = planes + nodes[n].plane * kBlockRows;
        const __m512i limit = _mm512_set1_epi8(nodes[n].rank);
        if (chunks == kBlockChunks) {
#pragma GCC unroll 8
            for (std::size_t c = 0; c < kBlockChunks; ++c) {
                words[n].chunk[c] =
                    _mm512_cmpgt_epi8_mask(_mm512_load_si512(plane + c * kChunkRows), limit);
            }
            continue;
        }
        for (std::size_t c = 0; c < chunks; ++c) {
            words[n].chunk[c] =
                _mm512_cmpgt_epi8_mask(_mm512_load_si512(plane + c * kChunkRows), limit);
        }
    }
}

[[gnu::target("avx512f,avx512bw,avx512vl")]] void gather_avx512(const BlockBits* words,
                                                                const std::uint8_t (&places)[8],
                                                                std::size_t chunks,
                                                                std::uint8_t* codes) {
    for (std::size_t c = 0; c < chunks; ++c) {
        __m512i code = _mm512_setzero_si512();
        for (const std::uint8_t place : places) {
            const __mmask64 bits = words[place].chunk[c];
            code = _mm512_add_epi8(code, code);
            code = _mm512_mask_sub_epi8(code, bits, code, _mm512_set1_epi8(-1));
        }
        _mm512_storeu_si512(codes + c * kChunkRows, code);
    }
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512vbmi")]] void decide_avx512(
    const UpperNodes* trees, std::size_t count,
    const std::uint8_t (&planes)[UpperNodes::kMaxPlanes], std::uint64_t* places) {
    const __m512i low = _mm512_loadu_si512(planes);
    const __m512i high = _mm512_loadu_si512(planes + 64);
    // first one word a tree, a bit for each node: whether the rank in its plane is above its own
    for (std::size_t t = 0; t < count; ++t) {
        const __m512i plane = _mm512_load_si512(trees[t].plane);
        const __m512i value = _mm512_permutex2var_epi8(low, plane, high);
        places[t] = _mm512_cmpgt_epu8_mask(value, _mm512_load_si512(trees[t].rank));
    }
    typedef std::uint64_t Words __attribute__((vector_size(64)));
    for (std::size_t t = 0; t < count; t += ForestLoops::kDecideStep) {
        Words decisions;
        std::memcpy(&decisions, places + t, sizeof(decisions));
        Words at = Words{} + 1;
        for (std::uint32_t level = 0; level < UpperNodes::kLevels; ++level) {
            at += at + ((decisions >> at) & 1);
        }
        std::memcpy(places + t, &at, sizeof(at));
    }
}

constexpr ForestLoops kLoops[] = {
    {"SSE2", compare_portable, merge_portable, gather_portable, nullptr},
    {"AVX2", compare_avx2, merge_avx2, gather_portable, nullptr},
    {"AVX-512", compare_avx512, merge_avx512, gather_avx512, nullptr},
    {"AVX-512 VBMI", compare_avx512, merge_avx512, gather_avx512, decide_avx512},
};

}  // namespace

std::span<const ForestLoops> forest_loops() {
    const std::span<const ForestLoops> all(kLoops);
    if (!__builtin_cpu_supports("avx2")) return all.first(1);
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return all.first(2);
    return __builtin_cpu_supports("avx512vbmi") ? all : all.first(3);
}

#else

std::span<const ForestLoops> forest_loops() {
    static constexpr ForestLoops kLoops[] = {
        {"portable", compare_portable, merge_portable, gather_portable, nullptr}};
    return kLoops;
}

#endif

}  // namespace ad
