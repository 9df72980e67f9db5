// Quantiles with linear interpolation, as numpy's default: that of q lies at q (n - 1) in the
// sorted values.
#pragma once

#include "base.hpp"

namespace ad {

/// The value below which a fraction q of `sorted` lies.
double quantile(const std::vector<double>& sorted, double q);

/// The quantiles 0, 1 / (count - 1), ... 1 of values that are in no order; none of them is NaN.
/// Takes time linear in their number, unless most are nearly equal.
std::vector<double> quantiles(const std::vector<double>& values, std::size_t count);
/// Upper bound of the memory that this takes for a few of them.
std::uint64_t quantiles_bytes(std::uint64_t values);

}  // namespace ad
