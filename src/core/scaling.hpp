// Units of columns: how a column is moved and stretched before a detector measures distances in it.
#pragma once

#include "columns.hpp"
#include "params.hpp"
#include "wire.hpp"

namespace ad {

enum class Scale : std::uint8_t {
    None,
    Standard,  ///< (x - mean) / standard deviation, that of n
    Robust,  ///< (x - median) / interquartile range; where that is 0, twice the median distance of
             ///< those values from the median that differ from it
    MinMax,  ///< (x - minimum) / (maximum - minimum)
};
inline constexpr std::string_view kScaleNames[] = {"none", "standard", "robust", "minmax"};
inline constexpr std::uint8_t kScales = 4;

/// Throws InvalidParameter with the names that exist.
Scale parse_scale(const Json& name);

/// One column's move and stretch. A column without spread is moved only. In the steps of
/// scikit-learn, whose rounding decides on which side of a bin's border a value comes to lie.
struct ColumnScale {
    double center = 0.0;
    double spread = 1.0;
    double factor = 1.0;
    double shift = 0.0;

    /// Learns from finite values within kLargestValue; not empty.
    static ColumnScale learn(Scale scale, const double* values, std::size_t count);
    double apply(double value) const { return (value - center) / spread * factor + shift; }

    void save(Writer& out) const;
    static ColumnScale load(Reader& in);
};

}  // namespace ad
