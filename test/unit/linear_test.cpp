#include "core/linear.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

Square random_symmetric(std::size_t n, std::uint64_t seed) {
    Random random(seed);
    Square matrix(n);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            matrix.at(i, j) = matrix.at(j, i) = 2.0 * random.uniform() - 1.0;
        }
    }
    return matrix;
}

/// a b'
Square times_transposed(const Square& a, const Square& b) {
    Square product(a.size);
    for (std::size_t i = 0; i < a.size; ++i) {
        for (std::size_t j = 0; j < a.size; ++j) {
            for (std::size_t k = 0; k < a.size; ++k) {
                product.at(i, j) += a.at(i, k) * b.at(j, k);
            }
        }
    }
    return product;
}

double largest_difference(const Square& a, const Square& b) {
    double largest = 0.0;
    for (std::size_t i = 0; i < a.values.size(); ++i) {
        largest = std::max(largest, std::fabs(a.values[i] - b.values[i]));
    }
    return largest;
}

Square identity(std::size_t n) {
    Square matrix(n);
    for (std::size_t i = 0; i < n; ++i) matrix.at(i, i) = 1.0;
    return matrix;
}

/// Columns that own their values.
Matrix matrix_of(const Rows& rows) {
    Matrix matrix(rows.size(), rows[0].size());
    for (std::size_t j = 0; j < rows[0].size(); ++j) {
        for (std::size_t i = 0; i < rows.size(); ++i) matrix.column(j)[i] = rows[i][j];
    }
    return matrix;
}

std::vector<double> distances(const Ellipsoid& ellipsoid, const Rows& rows) {
    std::vector<double> result(rows.size());
    ellipsoid.distances(matrix_of(rows).view(), result.data());
    return result;
}

TEST(EigenSystem, RebuildsTheMatrix) {
    for (const std::size_t n : {1, 2, 3, 7, 20, 61}) {
        const Square matrix = random_symmetric(n, n);
        const EigenSystem system = eigen_system(matrix);
        EXPECT_TRUE(std::is_sorted(system.values.rbegin(), system.values.rend()));
        EXPECT_LT(largest_difference(times_transposed(system.vectors, system.vectors), identity(n)),
                  1e-13);
        Square rebuilt(n);
        for (std::size_t k = 0; k < n; ++k) {
            for (std::size_t i = 0; i < n; ++i) {
                for (std::size_t j = 0; j < n; ++j) {
                    rebuilt.at(i, j) +=
                        system.values[k] * system.vectors.at(k, i) * system.vectors.at(k, j);
                }
            }
        }
        EXPECT_LT(largest_difference(rebuilt, matrix), 1e-13) << n;
    }
}

// The second difference: 2 - 2 cos(k pi / (n + 1)).
TEST(EigenSystem, KnownValues) {
    constexpr std::size_t n = 40;
    Square matrix(n);
    for (std::size_t i = 0; i < n; ++i) {
        matrix.at(i, i) = 2.0;
        if (i > 0) matrix.at(i, i - 1) = -1.0;
    }
    const EigenSystem system = eigen_system(matrix);
    for (std::size_t k = 0; k < n; ++k) {
        const double angle = M_PI * static_cast<double>(n - k) / (n + 1.0);
        EXPECT_NEAR(system.values[k], 2.0 - 2.0 * std::cos(angle), 1e-13);
    }
}

TEST(EigenSystem, AnyMagnitudeAndNothing) {
    for (const double unit : {1e-200, 1e200}) {
        Square matrix(2);
        matrix.values = {2.0 * unit, unit, unit, 2.0 * unit};
        const EigenSystem system = eigen_system(matrix);
        EXPECT_NEAR(system.values[0] / unit, 3.0, 1e-14);
        EXPECT_NEAR(system.values[1] / unit, 1.0, 1e-14);
    }
    const EigenSystem nothing = eigen_system(Square(3));
    EXPECT_EQ(nothing.values, (std::vector<double>{0.0, 0.0, 0.0}));
    EXPECT_EQ(largest_difference(times_transposed(nothing.vectors, nothing.vectors), identity(3)),
              0.0);
}

TEST(Cholesky, FactorAndInverse) {
    for (const std::size_t n : {1, 2, 9, 40}) {
        const Square any = random_symmetric(n, 5 + n);
        Square matrix = times_transposed(any, any);
        for (std::size_t i = 0; i < n; ++i) matrix.at(i, i) += 0.1;
        Square lower = matrix;
        ASSERT_TRUE(cholesky(lower));
        EXPECT_LT(largest_difference(times_transposed(lower, lower), matrix), 1e-12);
        Square inverse = lower;
        invert_lower(inverse);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                double sum = 0.0;
                for (std::size_t k = 0; k < n; ++k) sum += lower.at(i, k) * inverse.at(k, j);
                EXPECT_NEAR(sum, i == j ? 1.0 : 0.0, 1e-12);
            }
        }
    }
}

TEST(Cholesky, RefusesWhatHasNoInverse) {
    Square zero(2);
    EXPECT_FALSE(cholesky(zero));
    Square same(2);
    same.values = {1.0, 1.0, 1.0, 1.0};
    EXPECT_FALSE(cholesky(same));
    Square indefinite(2);
    indefinite.values = {1.0, 2.0, 2.0, 1.0};
    EXPECT_FALSE(cholesky(indefinite));
}

TEST(Moments, OfChosenAndWeightedRows) {
    const Rows rows{{1.0, 10.0}, {3.0, 14.0}, {100.0, -7.0}, {5.0, 12.0}};
    const Matrix matrix = matrix_of(rows);
    const std::vector<std::uint32_t> chosen{0, 1, 3};
    const Moments plain = moments_of(matrix.view(), chosen);
    EXPECT_EQ(plain.mean, (std::vector<double>{3.0, 12.0}));
    EXPECT_DOUBLE_EQ(plain.covariance.at(0, 0), 8.0 / 3.0);
    EXPECT_DOUBLE_EQ(plain.covariance.at(0, 1), 4.0 / 3.0);
    EXPECT_DOUBLE_EQ(plain.covariance.at(1, 0), 4.0 / 3.0);
    EXPECT_DOUBLE_EQ(plain.covariance.at(1, 1), 8.0 / 3.0);
    const double weights[] = {1.0, 0.0, 0.0, 3.0};
    const Moments weighted = moments_of(matrix.view(), first_numbers(4), weights);
    EXPECT_EQ(weighted.mean, (std::vector<double>{4.0, 11.5}));
    EXPECT_DOUBLE_EQ(weighted.covariance.at(0, 0), 3.0);
    EXPECT_DOUBLE_EQ(weighted.covariance.at(1, 0), 1.5);
}

TEST(Moments, ManyRowsAgreeWithPlainSums) {
    const auto rows = normal_rows(1003, 5);
    const Moments moments = moments_of(matrix_of(rows).view(), first_numbers(rows.size()));
    for (std::size_t j = 0; j < 5; ++j) {
        for (std::size_t k = 0; k < 5; ++k) {
            long double sum = 0.0;
            for (const auto& row : rows) {
                sum += (row[j] - static_cast<long double>(moments.mean[j])) *
                       (row[k] - static_cast<long double>(moments.mean[k]));
            }
            EXPECT_NEAR(moments.covariance.at(j, k), static_cast<double>(sum / 1003.0L), 1e-14);
        }
    }
}

TEST(Ellipsoid, DistanceByHand) {
    Moments moments{{1.0, 2.0}, Square(2)};
    moments.covariance.values = {4.0, 2.0, 2.0, 5.0};  // its inverse: {5, -2, -2, 4} / 16
    const Ellipsoid ellipsoid{Moments(moments)};
    EXPECT_NEAR(ellipsoid.log2_determinant(), 4.0, 1e-14);
    const auto found = distances(ellipsoid, {{1.0, 2.0}, {3.0, 2.0}, {2.0, 5.0}});
    EXPECT_EQ(found[0], 0.0);
    EXPECT_NEAR(found[1], 20.0 / 16.0, 1e-14);
    EXPECT_NEAR(found[2], (5.0 - 12.0 + 36.0) / 16.0, 1e-14);
    double parts[2];
    ellipsoid.explain(matrix_of({{2.0, 5.0}}).view(), 0, parts);
    EXPECT_NEAR(parts[0], (5.0 - 6.0) / 16.0, 1e-14);
    EXPECT_NEAR(parts[1], 3.0 * (-2.0 + 12.0) / 16.0, 1e-14);
}

// The second column is twice the first: only the line that they are on has a length.
TEST(Ellipsoid, WithoutInverseMeasuresWhatVaries) {
    Moments moments{{0.0, 0.0}, Square(2)};
    moments.covariance.values = {1.0, 2.0, 2.0, 4.0};
    const Ellipsoid pseudo{Moments(moments)};
    EXPECT_EQ(pseudo.rank(), 1U);
    auto found = distances(pseudo, {{1.0, 2.0}, {-2.0, -4.0}, {2.0, -1.0}});
    EXPECT_NEAR(found[0], 1.0, 1e-14);
    EXPECT_NEAR(found[1], 4.0, 1e-14);
    EXPECT_NEAR(found[2], 0.0, 1e-14);
    const Ellipsoid floored(Moments(moments), 0.25);
    EXPECT_EQ(floored.rank(), 2U);
    found = distances(floored, {{1.0, 2.0}, {2.0, -1.0}});
    EXPECT_NEAR(found[0], 1.0, 1e-13);
    EXPECT_NEAR(found[1], 20.0, 1e-13);
    EXPECT_NEAR(floored.log2_determinant(), std::log2(5.0 * 0.25), 1e-13);
}

TEST(Ellipsoid, FarRowsHaveProportions) {
    Moments moments{{0.0, 0.0}, Square(2)};
    moments.covariance.values = {1.0, 0.0, 0.0, 1.0};
    const Ellipsoid ellipsoid(std::move(moments));
    const Rows rows{{1e100, -2e100}};
    EXPECT_EQ(distances(ellipsoid, rows)[0], kLargestScore);
    double parts[2];
    ellipsoid.explain(matrix_of(rows).view(), 0, parts);
    EXPECT_NEAR(parts[1] / parts[0], 4.0, 1e-14);
}

}  // namespace
}  // namespace ad::test
