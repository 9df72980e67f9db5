// A sum of doubles without rounding, so that it does not depend on the order of the rows or on how
// parallel workers share them (the "small superaccumulator" of Neal, arXiv:1505.05571).
#pragma once

#include <array>

#include "wire.hpp"

namespace ad {

class ExactSum {
  public:
    /// Adds a finite value.
    void add(double value);
    void merge(const ExactSum& other);

    std::uint64_t count() const { return count_; }
    /// The mean of what was added; NaN without a value.
    double mean() const;

    void save(Writer& out) const;
    static ExactSum load(Reader& in);

  private:
    // Digits of 32 bits, the lowest worth 2^-1074; 2098 bits hold any double, the rest the carry.
    static constexpr std::size_t kDigits = 68;
    static constexpr std::uint32_t kAddsBeforeCarry = 1U << 30;

    void carry();

    std::array<std::int64_t, kDigits> digits_{};
    std::uint64_t count_ = 0;
    std::uint32_t pending_ = 0;  ///< adds since the digits were last below 2^32
};

}  // namespace ad
