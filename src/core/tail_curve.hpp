// What a score means among those of the training rows: the common measure of detectors whose scores
// have different units.
#pragma once

#include "wire.hpp"

namespace ad {

/// -ln((1 + #{training scores >= s}) / (1 + n)) at the training scores s, linear between them.
/// Above the largest it goes on as the logarithm of the distance, in units of the mean excess of
/// the highest twentieth, so that rows beyond everything seen can still be told apart.
class TailCurve {
  public:
    TailCurve() = default;
    /// From scores in ascending order, not empty.
    explicit TailCurve(const std::vector<double>& sorted);

    double at(double score) const;
    /// 1 - p, the p-value being exp(-at(score)).
    double confidence(double score) const;
    static std::uint64_t bytes(std::uint64_t scores) {
        return 2 * std::min<std::uint64_t>(scores, kHighest + kOthers + 1) * sizeof(double);
    }
    std::size_t memory_bytes() const { return 2 * scores_.size() * sizeof(double); }

    void save(Writer& out) const;
    static TailCurve load(Reader& in);

  private:
    // The highest scores are kept one by one, of the others an even selection.
    static constexpr std::size_t kHighest = 2048;
    static constexpr std::size_t kOthers = 2048;

    std::vector<double> scores_;  ///< strictly ascending
    std::vector<double> tails_;   ///< ascending
    double excess_ = 0.0;         ///< mean, of the highest twentieth; 0 if there is none
};

}  // namespace ad
