#include "neighbour_loops.hpp"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ad {

namespace {

/// Columns after which it pays to look whether all points are too far already.
constexpr std::size_t kColumnsPerLook = 16;

template <std::size_t kLanes>
struct Lanes {
    typedef double Vector __attribute__((vector_size(kLanes * sizeof(double))));
    typedef double InMemory
        __attribute__((vector_size(kLanes * sizeof(double)), aligned(8), may_alias));
};

/// For kWidth vectors of points at once, whose sums stay in registers.
template <std::size_t kLanes, std::size_t kWidth>
[[gnu::always_inline]] inline void square_points(const double* points, std::size_t stride,
                                                 const double* query, std::size_t columns,
                                                 double limit, double* squares) {
    using Vector = typename Lanes<kLanes>::Vector;
    using InMemory = typename Lanes<kLanes>::InMemory;
    Vector sums[kWidth] = {};
    for (std::size_t j = 0;;) {
        const std::size_t end = std::min(columns, j + kColumnsPerLook);
        for (; j < end; ++j, points += stride) {
            const Vector value = query[j] - Vector{};
#pragma GCC unroll 8
            for (std::size_t w = 0; w < kWidth; ++w) {
                const Vector gap = value - *reinterpret_cast<const InMemory*>(points + w * kLanes);
                sums[w] += gap * gap;
            }
        }
        if (j == columns) break;
        Vector lowest = sums[0];
#pragma GCC unroll 8
        for (std::size_t w = 1; w < kWidth; ++w) lowest = sums[w] < lowest ? sums[w] : lowest;
        bool near = false;
        for (std::size_t lane = 0; lane < kLanes; ++lane) near |= lowest[lane] <= limit;
        if (!near) break;
    }
#pragma GCC unroll 8
    for (std::size_t w = 0; w < kWidth; ++w) {
        *reinterpret_cast<InMemory*>(squares + w * kLanes) = sums[w];
    }
}

template <std::size_t kLanes>
[[gnu::always_inline]] inline void square_all(const double* points, std::size_t count,
                                              const double* query, std::size_t columns,
                                              double limit, double* squares) {
    constexpr std::size_t kWidth = 8;
    std::size_t i = 0;
    for (; i + kWidth * kLanes <= count; i += kWidth * kLanes)
        square_points<kLanes, kWidth>(points + i, count, query, columns, limit, squares + i);
    for (; i < count; i += kLanes)
        square_points<kLanes, 1>(points + i, count, query, columns, limit, squares + i);
}

template <std::size_t kLanes>
[[gnu::always_inline]] inline void square_boxes(const double* boxes, const double* query,
                                                std::size_t columns, double* squares) {
    using Vector = typename Lanes<kLanes>::Vector;
    using InMemory = typename Lanes<kLanes>::InMemory;
    constexpr std::size_t kWidth = kBoxFan / kLanes;
    Vector sums[kWidth] = {};
    for (std::size_t j = 0; j < columns; ++j, boxes += 2 * kBoxFan) {
        const Vector value = query[j] - Vector{};
#pragma GCC unroll 8
        for (std::size_t w = 0; w < kWidth; ++w) {
            const Vector below = *reinterpret_cast<const InMemory*>(boxes + w * kLanes) - value;
            const Vector above =
                value - *reinterpret_cast<const InMemory*>(boxes + kBoxFan + w * kLanes);
            Vector gap = below > above ? below : above;
            gap = gap > 0.0 ? gap : Vector{};
            sums[w] += gap * gap;
        }
    }
#pragma GCC unroll 8
    for (std::size_t w = 0; w < kWidth; ++w) {
        *reinterpret_cast<InMemory*>(squares + w * kLanes) = sums[w];
    }
}

constexpr std::size_t kPlainLanes = 2;  ///< of SSE2 and NEON

std::uint64_t squares_plain(const double* points, std::size_t count, const double* query,
                            std::size_t columns, double limit, double* squares) {
    square_all<kPlainLanes>(points, count, query, columns, limit, squares);
    std::uint64_t bits = 0;
#if defined(__x86_64__)
    const __m128d limits = _mm_set1_pd(limit);
    for (std::size_t i = 0; i < count; i += 2) {
        const int pair = _mm_movemask_pd(_mm_cmple_pd(_mm_loadu_pd(squares + i), limits));
        bits |= static_cast<std::uint64_t>(static_cast<unsigned>(pair)) << i;
    }
#else
    for (std::size_t i = 0; i < count; ++i) bits |= std::uint64_t{squares[i] <= limit} << i;
#endif
    return bits;
}

void box_squares_plain(const double* boxes, const double* query, std::size_t columns,
                       double* squares) {
    square_boxes<kPlainLanes>(boxes, query, columns, squares);
}

}  // namespace

#if defined(__x86_64__)

namespace {

[[gnu::target("avx2")]] std::uint64_t squares_avx2(const double* points, std::size_t count,
                                                   const double* query, std::size_t columns,
                                                   double limit, double* squares) {
    square_all<4>(points, count, query, columns, limit, squares);
    std::uint64_t bits = 0;
    const __m256d limits = _mm256_set1_pd(limit);
    for (std::size_t i = 0; i < count; i += 4) {
        const __m256d within = _mm256_cmp_pd(_mm256_loadu_pd(squares + i), limits, _CMP_LE_OQ);
        bits |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_pd(within))) << i;
    }
    return bits;
}

[[gnu::target("avx2")]] void box_squares_avx2(const double* boxes, const double* query,
                                              std::size_t columns, double* squares) {
    square_boxes<4>(boxes, query, columns, squares);
}

[[gnu::target("avx512f")]] std::uint64_t squares_avx512(const double* points, std::size_t count,
                                                        const double* query, std::size_t columns,
                                                        double limit, double* squares) {
    square_all<8>(points, count, query, columns, limit, squares);
    std::uint64_t bits = 0;
    const __m512d limits = _mm512_set1_pd(limit);
    for (std::size_t i = 0; i < count; i += 8) {
        const __mmask8 within =
            _mm512_cmp_pd_mask(_mm512_loadu_pd(squares + i), limits, _CMP_LE_OQ);
        bits |= static_cast<std::uint64_t>(within) << i;
    }
    return bits;
}

[[gnu::target("avx512f")]] void box_squares_avx512(const double* boxes, const double* query,
                                                   std::size_t columns, double* squares) {
    square_boxes<8>(boxes, query, columns, squares);
}

constexpr NeighbourLoops kLoops[] = {
    {"SSE2", squares_plain, box_squares_plain},
    {"AVX2", squares_avx2, box_squares_avx2},
    {"AVX-512", squares_avx512, box_squares_avx512},
};

}  // namespace

std::span<const NeighbourLoops> neighbour_loops() {
    const std::span<const NeighbourLoops> all(kLoops);
    if (!__builtin_cpu_supports("avx2")) return all.first(1);
    return __builtin_cpu_supports("avx512f") ? all : all.first(2);
}

#else

std::span<const NeighbourLoops> neighbour_loops() {
    static constexpr NeighbourLoops kLoops[] = {{"portable", squares_plain, box_squares_plain}};
    return kLoops;
}

#endif

}  // namespace ad
