#include "portable_math.hpp"

#include <array>

namespace ad {

double portable_exp2(double x) {
    // 1/n!, so that the series for |y| <= 0.347 ends below 1e-17
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
    if (x > 1100.0) return std::numeric_limits<double>::infinity();
    if (x < -1100.0) return 0.0;
    const double whole = std::nearbyint(x);
    const double y = (x - whole) * kLn2;
    double sum = 0.0;
    for (std::size_t n = kInverseFactorial.size(); n-- > 0;) sum = sum * y + kInverseFactorial[n];
    return std::ldexp(sum, static_cast<int>(whole));
}

double portable_log2(double x) {
    int exponent = 0;
    double fraction = std::frexp(x, &exponent);  // [0.5, 1)
    if (fraction < 0.70710678118654752440) {
        fraction *= 2.0;
        --exponent;
    }
    // ln(f) = 2 atanh(s), s = (f - 1) / (f + 1), |s| <= 0.172: s^2 falls by 0.03 a term
    const double s = (fraction - 1.0) / (fraction + 1.0);
    const double s2 = s * s;
    constexpr int kTerms = 12;
    double sum = 0.0;
    for (int n = kTerms; n >= 0; --n) sum = sum * s2 + 1.0 / (2 * n + 1);
    return exponent + 2.0 * s * sum / kLn2;
}

}  // namespace ad
