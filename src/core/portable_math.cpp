#include "portable_math.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace ad {

namespace {

constexpr double kShift = 0x1.8p52;  // pushes the fraction out, rounding to nearest

constexpr double kLargestExponent = 1020.0;

// ln 2 in two parts: the products of the first, of 32 bits, are exact
constexpr double kLn2High = 0x1.62e42feep-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

/// e^y for |y| <= 0.35; of a number or of several at once.
template <typename T>
T exp_series(T y) {
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
    T sum = y * kInverseFactorial[14] + kInverseFactorial[13];
    for (std::size_t n = 13; n-- > 0;) sum = sum * y + kInverseFactorial[n];
    return sum;
}

/// x * 2^whole
double scale(double x, double whole) {
    // exact unless the result is subnormal or too large, as ldexp is
    if (std::fabs(whole) > kLargestExponent) return std::ldexp(x, static_cast<int>(whole));
    const auto exponent = static_cast<std::uint64_t>(1023 + static_cast<int>(whole));
    return x * std::bit_cast<double>(exponent << 52);
}

}  // namespace

double portable_exp2(double x) {
    if (x > 1100.0) return std::numeric_limits<double>::infinity();
    if (x < -1100.0) return 0.0;
    const double whole = (x + kShift) - kShift;
    return scale(exp_series((x - whole) * kLn2), whole);
}

double portable_exp(double x) {
    if (x > 750.0) return std::numeric_limits<double>::infinity();
    if (x < -750.0) return 0.0;
    const double whole = (x * (1.0 / kLn2) + kShift) - kShift;
    return scale(exp_series((x - whole * kLn2High) - whole * kLn2Low), whole);
}

DoublePair portable_exp_pair(DoublePair x) {
    typedef std::int64_t IntegerPair __attribute__((vector_size(16)));
    const DoublePair least = DoublePair{} - 700.0;
    x = x < least ? least : x;
    // the shift leaves the whole number in the lowest bits
    const DoublePair shifted = x * (1.0 / kLn2) + kShift;
    const DoublePair whole = shifted - kShift;
    const DoublePair fraction = exp_series((x - whole * kLn2High) - whole * kLn2Low);
    const IntegerPair exponent = ((IntegerPair)shifted + 1023) << 52;
    return fraction * (DoublePair)exponent;
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

double log_sum_exp(const double* values, std::size_t count) {
    const double largest = *std::max_element(values, values + count);
    double sum = 0.0;
    for (std::size_t i = 0; i < count; ++i) sum += portable_exp(values[i] - largest);
    return largest + portable_log(sum);
}

double chi_squared_quantile(double p, double degrees) {
    // log Gamma(degrees / 2 + 1), from Gamma(a + 1) = a Gamma(a), Gamma(1) = 1, Gamma(1/2)^2 = pi
    constexpr double kHalfLogPi = 0.572364942924700087071713675677;
    double log_gamma = std::fmod(degrees, 2.0) == 0.0 ? 0.0 : kHalfLogPi;
    for (double a = 0.5 * degrees; a > 0.0; a -= 1.0) log_gamma += portable_log(a);
    // P(a, x) = x^a e^-x / Gamma(a + 1) (1 + x / (a + 1) + x^2 / ((a + 1) (a + 2)) + ...)
    const auto probability = [&](double x) {
        double sum = 0.0;
        double term = 1.0;
        for (double a = 0.5 * degrees + 1.0; sum + term != sum; a += 1.0) {
            sum += term;
            term *= x / a;
        }
        return sum * portable_exp(0.5 * degrees * portable_log(x) - x - log_gamma);
    };
    double low = 0.0;
    double high = degrees + 1.0;
    while (probability(high) < p) high *= 2.0;
    for (double middle = 0.5 * (low + high); middle > low && middle < high;
         middle = 0.5 * (low + high)) {
        (probability(middle) < p ? low : high) = middle;
    }
    return 2.0 * high;
}

}  // namespace ad
