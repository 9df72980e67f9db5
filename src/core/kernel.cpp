#include "kernel.hpp"

#include <bit>

#include "portable_math.hpp"

namespace ad {

namespace {

constexpr std::size_t kTile = PointTiles::kTile;

/// e^x for x <= 0, by the steps of portable_exp and without its branches: results below the
/// smallest normal number are that number.
[[gnu::always_inline]] inline double exp_of_negative(double x) {
    constexpr double kLowest = -708.0;
    constexpr double kShift = 0x1.8p52;
    constexpr double kLn2High = 0x1.62e42feep-1;
    constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
    x = x < kLowest ? kLowest : x;
    const double shifted = x * (1.0 / kLn2) + kShift;
    const double whole = shifted - kShift;
    const double y = (x - whole * kLn2High) - whole * kLn2Low;
    double sum = 1.0 / 87178291200.0;
    sum = sum * y + 1.0 / 6227020800.0;
    sum = sum * y + 1.0 / 479001600;
    sum = sum * y + 1.0 / 39916800;
    sum = sum * y + 1.0 / 3628800;
    sum = sum * y + 1.0 / 362880;
    sum = sum * y + 1.0 / 40320;
    sum = sum * y + 1.0 / 5040;
    sum = sum * y + 1.0 / 720;
    sum = sum * y + 1.0 / 120;
    sum = sum * y + 1.0 / 24;
    sum = sum * y + 1.0 / 6;
    sum = sum * y + 1.0 / 2;
    sum = sum * y + 1.0;
    sum = sum * y + 1.0;
    // the last bits of `shifted` are the whole number: what is above is shifted out
    const std::uint64_t exponent = std::bit_cast<std::uint64_t>(shifted) + 1023;
    return sum * std::bit_cast<double>(exponent << 52);
}

[[gnu::always_inline]] inline void add_products(const double* __restrict tile, std::size_t columns,
                                                const double* x, double* __restrict values) {
    std::size_t j = 0;
    for (; j + 2 <= columns; j += 2) {
        const double a = x[j];
        const double b = x[j + 1];
        const double* __restrict at = tile + j * kTile;
        for (std::size_t i = 0; i < kTile; ++i) {
            values[i] = (values[i] + at[i] * a) + at[kTile + i] * b;
        }
    }
    if (j == columns) return;
    for (std::size_t i = 0; i < kTile; ++i) values[i] += tile[j * kTile + i] * x[j];
}

[[gnu::always_inline]] inline void add_squares(const double* __restrict tile, std::size_t columns,
                                               const double* x, double* __restrict values) {
    std::size_t j = 0;
    for (; j + 2 <= columns; j += 2) {
        const double a = x[j];
        const double b = x[j + 1];
        const double* __restrict at = tile + j * kTile;
        for (std::size_t i = 0; i < kTile; ++i) {
            const double of_a = at[i] - a;
            const double of_b = at[kTile + i] - b;
            values[i] = (values[i] + of_a * of_a) + of_b * of_b;
        }
    }
    if (j == columns) return;
    for (std::size_t i = 0; i < kTile; ++i) {
        const double difference = tile[j * kTile + i] - x[j];
        values[i] += difference * difference;
    }
}

[[gnu::always_inline]] inline void values_of_tile(const Kernel& kernel, const double* tile,
                                                  std::size_t columns, const double* x,
                                                  double* __restrict values) {
    double sums[kTile] = {};
    if (kernel.type == Kernel::Type::Linear) {
        add_products(tile, columns, x, sums);
        for (std::size_t i = 0; i < kTile; ++i) values[i] = sums[i];
        return;
    }
    add_squares(tile, columns, x, sums);
    const double gamma = kernel.gamma;
    for (std::size_t i = 0; i < kTile; ++i) values[i] = exp_of_negative(-gamma * sums[i]);
}

void values_portable(const Kernel& kernel, const double* tile, std::size_t columns, const double* x,
                     double* values) {
    values_of_tile(kernel, tile, columns, x, values);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void values_avx2(const Kernel& kernel, const double* tile,
                                         std::size_t columns, const double* x, double* values) {
    values_of_tile(kernel, tile, columns, x, values);
}

[[gnu::target("avx512f")]] void values_avx512(const Kernel& kernel, const double* tile,
                                              std::size_t columns, const double* x,
                                              double* values) {
    values_of_tile(kernel, tile, columns, x, values);
}
#endif

}  // namespace

double kernel_diagonal(const Kernel& kernel, const PointTiles& points, std::size_t i) {
    if (kernel.type == Kernel::Type::Rbf) return 1.0;
    double sum = 0.0;
    for (std::size_t j = 0; j < points.columns(); ++j) sum += points.at(i, j) * points.at(i, j);
    return sum;
}

std::vector<TileKernel> tile_kernels() {
    std::vector<TileKernel> all{values_portable};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) all.push_back(values_avx2);
    if (__builtin_cpu_supports("avx512f")) all.push_back(values_avx512);
#endif
    return all;
}

TileKernel tile_kernel() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return values_avx512;
    if (__builtin_cpu_supports("avx2")) return values_avx2;
#endif
    return values_portable;
}

void kernel_values(const Kernel& kernel, const PointTiles& points, std::size_t columns,
                   const double* x, double* values) {
    constexpr std::size_t kPollTiles = 16;
    const TileKernel values_of = tile_kernel();
    for (std::size_t t = 0; t < points.tiles(); ++t) {
        if (t % kPollTiles == 0) poll();
        values_of(kernel, points.tile(t), columns, x, values + t * kTile);
    }
}

double tile_sum(const double* a, const double* b) {
    constexpr std::size_t kLanes = 8;
    double sums[kLanes] = {};
    for (std::size_t i = 0; i < kTile; i += kLanes) {
        for (std::size_t k = 0; k < kLanes; ++k) sums[k] += a[i + k] * b[i + k];
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace ad
