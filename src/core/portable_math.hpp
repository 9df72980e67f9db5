// exp, exp2, log2 and what follows from them, from additions and multiplications in a fixed order.
// The C library's own pick an implementation by CPU and differ in the last bit; a model and its
// scores must not. exp, exp2 and log2 are within 2 units in the last place; core is compiled with
// -ffp-contract=off.
#pragma once

#include "base.hpp"

namespace ad {

inline constexpr double kLn2 = 0.693147180559945309417232121458;
inline constexpr double kEulerGamma = 0.577215664901532860606512090082;

/// 2^x for finite x; 0 below -1100, infinity above 1100.
double portable_exp2(double x);

/// e^x, as portable_exp2 otherwise.
double portable_exp(double x);

/// Two numbers in one register.
typedef double DoublePair __attribute__((vector_size(16)));

/// portable_exp of each, bit for bit, for -700 <= x <= 0; below -700 as of -700.
DoublePair portable_exp_pair(DoublePair x);

/// log2(x) for finite x > 0.
double portable_log2(double x);

inline double portable_log(double x) { return portable_log2(x) * kLn2; }

/// log(e^values[0] + ... + e^values[count - 1]), in that order; count > 0.
double log_sum_exp(const double* values, std::size_t count);

/// The value that a chi-squared variable of that many degrees of freedom (1, 2, ...) stays below
/// with probability p, 0 < p < 1.
double chi_squared_quantile(double p, double degrees);

}  // namespace ad
