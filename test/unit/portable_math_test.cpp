#include "core/portable_math.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

/// Distance from the truth in units of the last place of a double near it.
double ulps(double value, long double truth) {
    const auto near = static_cast<double>(truth);
    if (value == near) return 0.0;
    const double ulp =
        std::max(std::nextafter(std::fabs(near), kInfinity) - std::fabs(near), kDenormal);
    return static_cast<double>(std::fabs(value - truth) / ulp);
}

TEST(PortableMath, PowersOfTwoAreExact) {
    for (int n = -1074; n <= 1023; ++n) {
        EXPECT_EQ(portable_exp2(n), std::ldexp(1.0, n));
        EXPECT_EQ(portable_log2(std::ldexp(1.0, n)), n);
    }
}

TEST(PortableMath, Exp2IsWithinTwoUlps) {
    Random random(1);
    double worst = 0.0;
    for (int i = 0; i < 300000; ++i) {
        const double reach = i % 2 == 0 ? 1.0 : 1022.0;
        const double x = (2.0 * random.uniform() - 1.0) * reach;
        worst = std::max(worst, ulps(portable_exp2(x), std::exp2(static_cast<long double>(x))));
    }
    EXPECT_LE(worst, 2.0);
}

TEST(PortableMath, Exp2OfDenormalResults) {
    for (double x = -1080.0; x <= -1022.0; x += 1.0 / 64) {
        EXPECT_LE(ulps(portable_exp2(x), std::exp2(static_cast<long double>(x))), 2.0) << x;
    }
}

TEST(PortableMath, Exp2BeyondItsRange) {
    EXPECT_EQ(portable_exp2(-1100.0), 0.0);
    EXPECT_EQ(portable_exp2(-1e300), 0.0);
    EXPECT_EQ(portable_exp2(-kInfinity), 0.0);
    EXPECT_EQ(portable_exp2(1024.0), kInfinity);
    EXPECT_EQ(portable_exp2(1e300), kInfinity);
    EXPECT_EQ(portable_exp2(kInfinity), kInfinity);
}

TEST(PortableMath, ExpIsWithinTwoUlps) {
    Random random(4);
    double worst = 0.0;
    for (int i = 0; i < 300000; ++i) {
        const double reach = i % 2 == 0 ? 1.0 : 708.0;
        const double x = (2.0 * random.uniform() - 1.0) * reach;
        worst = std::max(worst, ulps(portable_exp(x), std::exp(static_cast<long double>(x))));
    }
    EXPECT_LE(worst, 2.0);
}

TEST(PortableMath, ExpBeyondItsRange) {
    EXPECT_EQ(portable_exp(0.0), 1.0);
    EXPECT_EQ(portable_exp(-1e300), 0.0);
    EXPECT_EQ(portable_exp(-kInfinity), 0.0);
    EXPECT_EQ(portable_exp(710.0), kInfinity);
    EXPECT_EQ(portable_exp(kInfinity), kInfinity);
    for (double x = -750.0; x <= -708.0; x += 1.0 / 64) {
        EXPECT_LE(ulps(portable_exp(x), std::exp(static_cast<long double>(x))), 2.0) << x;
    }
}

TEST(PortableMath, Log2IsWithinTwoUlpsOfEveryMagnitude) {
    Random random(2);
    double worst = 0.0;
    for (int i = 0; i < 300000; ++i) {
        const auto x = std::bit_cast<double>(random.next() >> 1);
        if (!std::isfinite(x) || x == 0.0) continue;
        worst = std::max(worst, ulps(portable_log2(x), std::log2(static_cast<long double>(x))));
    }
    EXPECT_LE(worst, 2.0);
}

TEST(PortableMath, Log2IsWithinTwoUlpsAroundOne) {
    Random random(3);
    double worst = 0.0;
    for (int i = 0; i < 300000; ++i) {
        const double x = i % 2 == 0 ? 0.5 + 1.5 * random.uniform()
                                    : 1.0 + std::ldexp(random.uniform() - 0.5, -(i % 50));
        worst = std::max(worst, ulps(portable_log2(x), std::log2(static_cast<long double>(x))));
    }
    EXPECT_LE(worst, 2.0);
}

TEST(PortableMath, Log2OfDenormals) {
    EXPECT_EQ(portable_log2(kDenormal), -1074.0);
    EXPECT_LE(ulps(portable_log2(3 * kDenormal), std::log2(3.0L) - 1074), 2.0);
}

TEST(PortableMath, NaturalLogarithm) {
    EXPECT_NEAR(portable_log(10.0), 2.302585092994046, 1e-15);
    EXPECT_EQ(portable_log(1.0), 0.0);
}

TEST(PortableMath, PairsAreSingleNumbersBitForBit) {
    Random random(5);
    for (int i = 0; i < 100000; ++i) {
        const double x = -700.0 * random.uniform();
        const double y = -random.uniform();
        const DoublePair pair = portable_exp_pair(DoublePair{x, y});
        ASSERT_EQ(pair[0], portable_exp(x)) << x;
        ASSERT_EQ(pair[1], portable_exp(y)) << y;
    }
    const DoublePair ends = portable_exp_pair(DoublePair{0.0, -1e300});
    EXPECT_EQ(ends[0], 1.0);
    EXPECT_EQ(ends[1], portable_exp(-700.0));
}

TEST(PortableMath, LogSumExp) {
    const double far[] = {-1e6, -1e6 - 1.0, -2e6};
    EXPECT_NEAR(log_sum_exp(far, 3), -1e6 + std::log1p(std::exp(-1.0)), 1e-9);
    EXPECT_EQ(log_sum_exp(far, 1), -1e6);
    const double equal[] = {700.0, 700.0};
    EXPECT_NEAR(log_sum_exp(equal, 2), 700.0 + std::log(2.0), 1e-12);
}

TEST(PortableMath, ChiSquaredQuantiles) {
    EXPECT_NEAR(chi_squared_quantile(0.95, 1.0), 3.841458820694124, 1e-12);
    EXPECT_NEAR(chi_squared_quantile(0.5, 2.0), 2.0 * std::log(2.0), 1e-13);
    EXPECT_NEAR(chi_squared_quantile(0.975, 10.0), 20.483177350807388, 1e-11);
    EXPECT_NEAR(chi_squared_quantile(0.975, 166.0), 203.56724227213627, 1e-9);
    EXPECT_NEAR(chi_squared_quantile(0.5, 500.0), 499.3334915888738, 1e-9);
}

}  // namespace
}  // namespace ad::test
