#include "exact_sum.hpp"

#include <algorithm>

namespace ad {

namespace {

constexpr int kDigitBits = 32;
constexpr std::int64_t kDigitMask = 0xffffffff;

}  // namespace

void ExactSum::add(double value) {
    constexpr int kMantissaBits = 52;
    const auto bits = std::bit_cast<std::uint64_t>(value);
    const auto exponent = static_cast<unsigned>((bits >> kMantissaBits) & 0x7ff);
    std::uint64_t mantissa = bits & ((1ULL << kMantissaBits) - 1);
    if (exponent > 0) mantissa |= 1ULL << kMantissaBits;
    const unsigned position = exponent > 0 ? exponent - 1 : 0;
    const auto wide = static_cast<unsigned __int128>(mantissa) << (position % kDigitBits);
    const std::int64_t sign = (bits >> 63) != 0 ? -1 : 1;
    std::int64_t* digit = &digits_[position / kDigitBits];
    digit[0] += sign * static_cast<std::int64_t>(wide & kDigitMask);
    digit[1] += sign * static_cast<std::int64_t>((wide >> kDigitBits) & kDigitMask);
    digit[2] += sign * static_cast<std::int64_t>(wide >> (2 * kDigitBits));
    ++count_;
    if (++pending_ == kAddsBeforeCarry) carry();
}

void ExactSum::merge(const ExactSum& other) {
    ExactSum carried = other;
    carried.carry();
    carry();
    for (std::size_t i = 0; i < kDigits; ++i) digits_[i] += carried.digits_[i];
    count_ += other.count_;
    carry();
}

/// Brings every digit but the highest into [0, 2^32): one form for one value.
void ExactSum::carry() {
    std::int64_t carried = 0;
    for (std::size_t i = 0; i + 1 < kDigits; ++i) {
        const std::int64_t sum = digits_[i] + carried;
        digits_[i] = sum & kDigitMask;
        carried = sum >> kDigitBits;
    }
    digits_[kDigits - 1] += carried;
    pending_ = 0;
}

double ExactSum::mean() const {
    if (count_ == 0) return kMissing;
    ExactSum magnitude = *this;
    magnitude.carry();
    const bool negative = magnitude.digits_[kDigits - 1] < 0;
    if (negative) {
        for (auto& digit : magnitude.digits_) digit = -digit;
        magnitude.carry();
    }
    std::size_t top = kDigits - 1;
    while (top > 0 && magnitude.digits_[top] == 0) --top;
    double sum = 0.0;
    const std::size_t lowest = top >= 2 ? top - 2 : 0;
    for (std::size_t i = top + 1; i-- > lowest;) {
        sum = sum * 0x1.0p32 + static_cast<double>(magnitude.digits_[i]);
    }
    constexpr int kLowestExponent = -1074;
    // divided before it is scaled: the sum of large values is beyond a double, their mean is not
    const double mean = std::ldexp(sum / static_cast<double>(count_),
                                   static_cast<int>(lowest) * kDigitBits + kLowestExponent);
    const double finite = std::min(mean, std::numeric_limits<double>::max());
    return negative ? -finite : finite;
}

void ExactSum::save(Writer& out) const {
    ExactSum carried = *this;
    carried.carry();
    for (const auto digit : carried.digits_) out.number(digit);
    out.number(count_);
}

ExactSum ExactSum::load(Reader& in) {
    ExactSum sum;
    for (std::size_t i = 0; i < kDigits; ++i) {
        sum.digits_[i] = in.number<std::int64_t>();
        if (i + 1 < kDigits && (sum.digits_[i] < 0 || sum.digits_[i] > kDigitMask)) {
            throw CorruptModel("digit out of range");
        }
    }
    // 2^64 of the largest doubles stay far below this, and merging far from overflow
    const std::int64_t top = sum.digits_[kDigits - 1];
    if (top < -kDigitMask || top > kDigitMask) throw CorruptModel("sum out of range");
    sum.count_ = in.number<std::uint64_t>();
    return sum;
}

}  // namespace ad
