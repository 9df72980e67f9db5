// Several detectors that judge a row together: what the algorithms "ensemble" and "auto" share.
#pragma once

#include "pipeline.hpp"
#include "tail_curve.hpp"
#include "threshold.hpp"

namespace ad {

enum class Combination : std::uint8_t {
    LogRankTail,  ///< mean of -ln(p)
    PowerTail,    ///< cube root of the mean of (-ln(p))^3: what one member finds extreme counts
                  ///< more
    Average,      ///< mean of the confidences 1 - p
    Maximum,      ///< largest confidence
    Median,       ///< weighted median of the confidences
    Voting,       ///< share of the members that call the row an anomaly
};
inline constexpr std::string_view kCombinationNames[] = {"log_rank_tail", "power_tail", "average",
                                                         "maximum",       "median",     "voting"};
inline constexpr std::uint8_t kCombinations = 6;

/// A member before the fit.
struct MemberSpec {
    static constexpr std::size_t kMaxMembers = 32;

    const Algorithm* algorithm;
    Params params;
    Scale scale;
    double weight = 1.0;
    ThresholdRule threshold;  ///< from which on the member votes

    /// {"algorithm": name, "parameters": {...}, "scale": name, "weight": w, "threshold": {...}}, or
    /// just the name. Throws InvalidParameter.
    static MemberSpec parse(const Json& member);
    static std::vector<MemberSpec> parse_list(const Json& members);
    Json to_json() const;
};

class Committee {
  public:
    /// -ln(0.01): a score of the tails that means "as rare as one row in a hundred".
    static constexpr double kUsualTail = 4.605170185988091;
    /// That, or what a row of so few is given by members that all find it the strangest.
    static double usual_tail(std::size_t rows);

    void fit(const Training& training, const std::vector<MemberSpec>& specs,
             Combination combination, Random random);
    void score(const Columns& rows, double* scores) const;
    /// A member's part of the score goes to the columns in the proportions of its own positive
    /// contributions, so that the contributions of a row add up to its score.
    void explain(const Columns& rows, std::size_t row, double* contributions) const;

    /// As Detector::largest_score.
    double largest_score() const;

    void save(Writer& out) const;
    void load(Reader& in, std::size_t columns);
    std::size_t memory_bytes() const;

    static std::uint64_t fit_bytes(const std::vector<MemberSpec>& specs, const FitShape& shape);
    static double fit_steps(const std::vector<MemberSpec>& specs, double rows, double columns);

  private:
    struct Member {
        Pipeline pipeline;
        double weight;  ///< of all members together 1
        double vote;    ///< the score from which on it votes
        TailCurve tail;
    };

    double opinion(const Member& member, double score) const;
    double combine(const double* opinions) const;
    void shares(const double* opinions, double* parts) const;

    Combination combination_ = Combination::LogRankTail;
    std::vector<Member> members_;
};

}  // namespace ad
