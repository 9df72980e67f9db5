#include "quantiles.hpp"

#include <algorithm>
#include <bit>

namespace ad {

namespace {

constexpr std::uint64_t kSign = std::uint64_t{1} << 63;

/// Integers in the order of the numbers.
std::uint64_t key_of(double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    return (bits & kSign) != 0 ? ~bits : bits | kSign;
}
double value_of(std::uint64_t key) {
    return std::bit_cast<double>((key & kSign) != 0 ? key & ~kSign : ~key);
}

/// Values sorted into buckets by the first bits in which they differ. Only those in buckets that
/// somebody asks for are put in order.
class Buckets {
  public:
    explicit Buckets(const std::vector<double>& values) {
        keys_.reserve(values.size());
        for (const double value : values) keys_.push_back(key_of(value));
        const auto [low, high] = std::minmax_element(keys_.begin(), keys_.end());
        low_ = *low;
        const auto width = static_cast<unsigned>(std::bit_width(*high - low_));
        shift_ = width > kBits ? width - kBits : 0;
        starts_.assign(bucket_of(*high) + 2, 0);
        for (const std::uint64_t key : keys_) ++starts_[bucket_of(key) + 1];
        for (std::size_t b = 1; b < starts_.size(); ++b) starts_[b] += starts_[b - 1];
    }

    /// The values at `ranks` (ascending, each once) in the sorted order.
    std::vector<double> at(const std::vector<std::size_t>& ranks) const {
        std::vector<std::uint8_t> wanted(starts_.size() - 1, 0);
        for (const std::size_t rank : ranks) wanted[bucket_at(rank)] = 1;
        std::size_t count = 0;
        for (std::size_t b = 0; b < wanted.size(); ++b) {
            if (wanted[b] != 0) count += starts_[b + 1] - starts_[b];
        }
        std::vector<std::uint64_t> sorted;
        sorted.reserve(count);
        for (const std::uint64_t key : keys_) {
            if (wanted[bucket_of(key)] != 0) sorted.push_back(key);
        }
        std::sort(sorted.begin(), sorted.end());
        std::vector<double> found;
        std::size_t bucket = 0;
        std::size_t skipped = 0;  // keys before the bucket that nobody wanted
        for (const std::size_t rank : ranks) {
            for (; starts_[bucket + 1] <= rank; ++bucket) {
                if (wanted[bucket] == 0) skipped += starts_[bucket + 1] - starts_[bucket];
            }
            found.push_back(value_of(sorted[rank - skipped]));
        }
        return found;
    }

    static std::uint64_t bytes(std::uint64_t values) {
        constexpr std::uint64_t kBuckets = std::uint64_t{1} << kBits;
        return 2 * values * sizeof(std::uint64_t) + (kBuckets + 2) * (sizeof(std::size_t) + 1);
    }

  private:
    static constexpr unsigned kBits = 12;

    std::size_t bucket_of(std::uint64_t key) const { return (key - low_) >> shift_; }
    std::size_t bucket_at(std::size_t rank) const {
        return static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), rank) -
                                        starts_.begin() - 1);
    }

    std::vector<std::uint64_t> keys_;
    std::uint64_t low_ = 0;
    unsigned shift_ = 0;
    std::vector<std::size_t> starts_;  ///< how many keys are in the buckets before
};

struct Place {
    std::size_t below;
    double weight;  ///< of the next value
};

Place place_of(double q, std::size_t n) {
    const double position = q * static_cast<double>(n - 1);
    const auto below = static_cast<std::size_t>(position);
    if (below + 1 >= n) return {n - 1, 0.0};
    return {below, position - static_cast<double>(below)};
}

}  // namespace

double quantile(const std::vector<double>& sorted, double q) {
    const Place place = place_of(q, sorted.size());
    if (place.below + 1 == sorted.size()) return sorted.back();
    // exact between equal values
    return std::lerp(sorted[place.below], sorted[place.below + 1], place.weight);
}

std::vector<double> quantiles(const std::vector<double>& values, std::size_t count) {
    std::vector<Place> places;
    std::vector<std::size_t> ranks;
    for (std::size_t i = 0; i < count; ++i) {
        const double q = static_cast<double>(i) / static_cast<double>(count - 1);
        places.push_back(place_of(q, values.size()));
        const std::size_t below = places.back().below;
        for (const std::size_t rank : {below, std::min(below + 1, values.size() - 1)}) {
            if (ranks.empty() || rank > ranks.back()) ranks.push_back(rank);
        }
    }
    const std::vector<double> found = Buckets(values).at(ranks);
    std::vector<double> result;
    for (const Place& place : places) {
        const auto below = static_cast<std::size_t>(
            std::lower_bound(ranks.begin(), ranks.end(), place.below) - ranks.begin());
        const double next = found[std::min(below + 1, found.size() - 1)];
        result.push_back(std::lerp(found[below], next, place.weight));
    }
    return result;
}

std::uint64_t quantiles_bytes(std::uint64_t values) { return Buckets::bytes(values); }

}  // namespace ad
