#include "evaluation.hpp"

#include <algorithm>

namespace ad {

void Ranking::close_ties() {
    const double tied = tied_anomalies_ + tied_normal_;
    if (tied == 0.0) return;
    area_ += tied_anomalies_ * (normal_ - normal_above_ - 0.5 * tied_normal_);
    const double places = anomalies_ - anomalies_above_ - normal_above_;
    hits_ += tied_anomalies_ * std::clamp(places / tied, 0.0, 1.0);
    anomalies_above_ += tied_anomalies_;
    normal_above_ += tied_normal_;
    precisions_ += tied_anomalies_ * anomalies_above_ / (anomalies_above_ + normal_above_);
    tied_anomalies_ = tied_normal_ = 0.0;
}

Json describe_evaluation(const EvaluationCounts& counts, const Ranking& ranking) {
    const std::uint64_t flagged = counts.flagged_anomalies + counts.flagged_normal;
    Json result{{"rows", counts.anomalies + counts.normal},
                {"labelled_anomalies", counts.anomalies},
                {"auroc", nullptr},
                {"average_precision", nullptr},
                {"precision_at_n", nullptr},
                {"precision", nullptr},
                {"recall", nullptr},
                {"f1", nullptr},
                {"flagged", flagged},
                {"unlabelled_rows", counts.unlabelled},
                {"rejected_rows", counts.rejected},
                {"note", nullptr}};
    if (counts.anomalies == 0) {
        result["note"] = "no row is labelled as an anomaly";
    } else if (counts.normal == 0) {
        result["note"] = "no row is labelled as normal";
    } else {
        const auto hits = static_cast<double>(counts.flagged_anomalies);
        const auto anomalies = static_cast<double>(counts.anomalies);
        result["auroc"] = ranking.auroc();
        result["average_precision"] = ranking.average_precision();
        result["precision_at_n"] = ranking.precision_at_n();
        if (flagged > 0) result["precision"] = hits / static_cast<double>(flagged);
        result["recall"] = hits / anomalies;
        result["f1"] = 2.0 * hits / (static_cast<double>(flagged) + anomalies);
    }
    return result;
}

}  // namespace ad
