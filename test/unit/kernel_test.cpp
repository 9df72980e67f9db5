// The loops of the kernels against the plain definition, on every instruction set of this CPU.
#include "core/kernel.hpp"

#include "core/portable_math.hpp"
#include "testing.hpp"

namespace ad::test {
namespace {

constexpr std::size_t kTile = PointTiles::kTile;

PointTiles random_points(std::size_t count, std::size_t columns, std::uint64_t seed) {
    Random random(seed);
    PointTiles points(count, columns);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < columns; ++j) points.at(i, j) = 8.0 * random.uniform() - 4.0;
    }
    return points;
}

/// Term by term, in the order of the columns.
double plain(const Kernel& kernel, const PointTiles& points, std::size_t i, const double* x,
             std::size_t columns) {
    double sum = 0.0;
    for (std::size_t j = 0; j < columns; ++j) {
        const double y = points.at(i, j);
        sum += kernel.type == Kernel::Type::Linear ? y * x[j] : (y - x[j]) * (y - x[j]);
    }
    return kernel.type == Kernel::Type::Linear ? sum : portable_exp(-kernel.gamma * sum);
}

TEST(Kernel, EveryInstructionSetGivesThePlainBits) {
    for (const auto type : {Kernel::Type::Rbf, Kernel::Type::Linear}) {
        for (const std::size_t columns : {0, 1, 2, 3, 7, 32}) {
            const Kernel kernel{type, 0.37};
            const PointTiles points = random_points(kTile, columns, columns + 1);
            const PointTiles others = random_points(1, columns, 99);
            std::vector<double> x(columns);
            others.copy(0, x.data());
            for (const TileKernel values_of : tile_kernels()) {
                std::vector<double> values(kTile);
                values_of(kernel, points.tile(0), columns, x.data(), values.data());
                for (std::size_t i = 0; i < kTile; ++i) {
                    EXPECT_EQ(values[i], plain(kernel, points, i, x.data(), columns));
                }
            }
        }
    }
}

TEST(Kernel, FarPointsAreAlmostZeroAndFinite) {
    PointTiles points(3, 1);
    points.at(1, 0) = 1e100;
    points.at(2, 0) = 26.6;  // e^-707.56
    const double x = 0.0;
    for (const double gamma : {1.0, 1e100, 1e-250}) {
        for (const TileKernel values_of : tile_kernels()) {
            double values[kTile];
            values_of({Kernel::Type::Rbf, gamma}, points.tile(0), 1, &x, values);
            EXPECT_EQ(values[0], 1.0);
            EXPECT_LE(values[1], 1.0);
            EXPECT_GT(values[1], 0.0);
            EXPECT_EQ(values[1] < 1e-300, gamma >= 1.0);
            if (gamma != 1.0) continue;
            EXPECT_EQ(values[2], portable_exp(-26.6 * 26.6));
        }
    }
}

TEST(Kernel, ValuesOfManyPoints) {
    const PointTiles points = random_points(150, 3, 5);
    const Kernel kernel{Kernel::Type::Rbf, 0.1};
    const double x[] = {0.5, -1.0, 2.0};
    std::vector<double> values(3 * kTile);
    kernel_values(kernel, points, 3, x, values.data());
    for (std::size_t i = 0; i < 150; ++i) EXPECT_EQ(values[i], plain(kernel, points, i, x, 3));
    kernel_values(kernel, points, 2, x, values.data());
    for (std::size_t i = 0; i < 150; ++i) EXPECT_EQ(values[i], plain(kernel, points, i, x, 2));
    EXPECT_EQ(kernel_diagonal(kernel, points, 7), 1.0);
    double own[3];
    points.copy(7, own);
    const Kernel linear{Kernel::Type::Linear, 1.0};
    EXPECT_EQ(kernel_diagonal(linear, points, 7), plain(linear, points, 7, own, 3));
}

TEST(Kernel, TileSum) {
    double ones[kTile];
    double numbers[kTile];
    for (std::size_t i = 0; i < kTile; ++i) {
        ones[i] = 1.0;
        numbers[i] = static_cast<double>(i * i);
    }
    EXPECT_EQ(tile_sum(ones, numbers), 63.0 * 64.0 * 127.0 / 6.0);
}

}  // namespace
}  // namespace ad::test
