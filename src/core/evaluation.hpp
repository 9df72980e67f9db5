// How well scores tell rows that are known to be anomalies from rows that are known not to be.
#pragma once

#include "params.hpp"

namespace ad {

/// Measures of an order of rows, from the highest score to the lowest.
class Ranking {
  public:
    Ranking(std::uint64_t anomalies, std::uint64_t normal)
        : anomalies_(static_cast<double>(anomalies)), normal_(static_cast<double>(normal)) {}

    /// The next row; no score is above the one before.
    void add(double score, bool anomaly) {
        if (score != score_) close_ties();
        score_ = score;
        ++(anomaly ? tied_anomalies_ : tied_normal_);
    }
    void end() { close_ties(); }

    /// The probability that an anomaly is above a normal row; a tie counts half.
    double auroc() const { return area_ / (anomalies_ * normal_); }
    /// Sum of precision times gain of recall, as the threshold passes each distinct score.
    double average_precision() const { return precisions_ / anomalies_; }
    /// Precision of as many rows as there are anomalies; of ties at the border, a share.
    double precision_at_n() const { return hits_ / anomalies_; }

  private:
    void close_ties();

    double anomalies_;
    double normal_;
    double score_ = kMissing;
    double tied_anomalies_ = 0.0;
    double tied_normal_ = 0.0;
    double anomalies_above_ = 0.0;
    double normal_above_ = 0.0;
    double area_ = 0.0;
    double precisions_ = 0.0;
    double hits_ = 0.0;
};

struct EvaluationCounts {
    std::uint64_t anomalies = 0;  ///< labelled
    std::uint64_t normal = 0;
    std::uint64_t flagged_anomalies = 0;
    std::uint64_t flagged_normal = 0;
    std::uint64_t unlabelled = 0;
    std::uint64_t rejected = 0;
};

/// What ad_evaluate returns. Measures that need both classes are null without them.
Json describe_evaluation(const EvaluationCounts& counts, const Ranking& ranking);

}  // namespace ad
