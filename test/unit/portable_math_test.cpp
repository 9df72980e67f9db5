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

}  // namespace
}  // namespace ad::test
