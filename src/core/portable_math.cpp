#include "portable_math.hpp"

#include <array>
#include <bit>

namespace ad {

namespace {

constexpr double kShift = 0x1.8p52;  // pushes the fraction out, rounding to nearest

/// 2^whole e^y for |y| <= 0.35
double scaled_exp(double whole, double y) {
    // 1/n!, so that the series ends below 1e-17
    constexpr std::array<double, 15> kInverseFactorial{1.0,
                                                       1.0,
                                                       1.0 / 2,
                                                       1.0 / 6,
                                                       1.0 / 24,
                                                       1.0 / 120,
                                                       1.0 / 720,
                                                       1.0 / 5040,
                                                       1.0 / 40320,
                                                       1.0 / 362880,
                                                       1.0 / 3628800,
                                                       1.0 / 39916800,
                                                       1.0 / 479001600,
                                                       1.0 / 6227020800.0,
                                                       1.0 / 87178291200.0};
    double sum = 0.0;
    for (std::size_t n = kInverseFactorial.size(); n-- > 0;) sum = sum * y + kInverseFactorial[n];
    // exact unless the result is subnormal or too large, as ldexp is
    if (std::fabs(whole) > 1020.0) return std::ldexp(sum, static_cast<int>(whole));
    const auto exponent = static_cast<std::uint64_t>(1023 + static_cast<int>(whole));
    return sum * std::bit_cast<double>(exponent << 52);
}

}  // namespace

double portable_exp2(double x) {
    if (x > 1100.0) return std::numeric_limits<double>::infinity();
    if (x < -1100.0) return 0.0;
    const double whole = (x + kShift) - kShift;
    return scaled_exp(whole, (x - whole) * kLn2);
}

double portable_exp(double x) {
    if (x > 750.0) return std::numeric_limits<double>::infinity();
    if (x < -750.0) return 0.0;
    // ln 2 in two parts: the products of the first, of 32 bits, are exact
    constexpr double kLn2High = 0x1.62e42feep-1;
    constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
    const double whole = (x * (1.0 / kLn2) + kShift) - kShift;
    return scaled_exp(whole, (x - whole * kLn2High) - whole * kLn2Low);
}

double portable_log2(double x) {
    int exponent = 0;
    double fraction = std::frexp(x, &exponent);  // [0.5, 1)
    if (fraction < 0.70710678118654752440) {
        fraction *= 2.0;
        --exponent;
    }
    // ln(1 + f) = 2 atanh(s), s = f / (2 + f), |s| <= 0.172: s^2 falls by 0.03 a term. The rounding
    // of s must not reach the leading term, so 2 s becomes f - f^2/2 + s f^2/2 (as in fdlibm).
    const double f = fraction - 1.0;
    const double s = f / (2.0 + f);
    const double s2 = s * s;
    constexpr int kTerms = 12;
    double sum = 0.0;
    for (int n = kTerms; n >= 1; --n) sum = sum * s2 + 1.0 / (2 * n + 1);
    const double half_square = 0.5 * f * f;
    const double log = f - (half_square - s * (half_square + 2.0 * s2 * sum));
    return exponent + log / kLn2;
}

}  // namespace ad
