// exp, exp2 and log2 from additions and multiplications in a fixed order. The C library's own pick
// an implementation by CPU and differ in the last bit; a model and its scores must not. All are
// within 2 units in the last place; core is compiled with -ffp-contract=off.
#pragma once

#include "base.hpp"

namespace ad {

inline constexpr double kLn2 = 0.693147180559945309417232121458;
inline constexpr double kEulerGamma = 0.577215664901532860606512090082;

/// 2^x for finite x; 0 below -1100, infinity above 1100.
double portable_exp2(double x);

/// e^x, as portable_exp2 otherwise.
double portable_exp(double x);

/// log2(x) for finite x > 0.
double portable_log2(double x);

inline double portable_log(double x) { return portable_log2(x) * kLn2; }

}  // namespace ad
