// Measures of ranking against their definitions.
#include "core/evaluation.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

struct Labelled {
    double score;
    bool anomaly;
};
using LabelledRows = std::vector<Labelled>;

EvaluationCounts count(const LabelledRows& rows) {
    EvaluationCounts counts;
    for (const auto& row : rows) ++(row.anomaly ? counts.anomalies : counts.normal);
    return counts;
}

Ranking rank(LabelledRows rows) {
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.score > b.score; });
    const auto counts = count(rows);
    Ranking ranking(counts.anomalies, counts.normal);
    for (const auto& row : rows) ranking.add(row.score, row.anomaly);
    ranking.end();
    return ranking;
}

/// Over all pairs of an anomaly and a normal row.
double auroc_of_pairs(const LabelledRows& rows) {
    double sum = 0.0;
    double pairs = 0.0;
    for (const auto& a : rows) {
        for (const auto& b : rows) {
            if (!a.anomaly || b.anomaly) continue;
            sum += a.score > b.score ? 1.0 : a.score == b.score ? 0.5 : 0.0;
            pairs += 1.0;
        }
    }
    return sum / pairs;
}

/// Precision of the rows with at least this score.
double precision_from(const LabelledRows& rows, double threshold, double* recall) {
    double hits = 0.0;
    double flagged = 0.0;
    double anomalies = 0.0;
    for (const auto& row : rows) {
        anomalies += row.anomaly ? 1.0 : 0.0;
        if (row.score < threshold) continue;
        flagged += 1.0;
        hits += row.anomaly ? 1.0 : 0.0;
    }
    *recall = hits / anomalies;
    return hits / flagged;
}

/// scikit-learn's: the sum over distinct thresholds of precision times gain of recall.
double average_precision_of_thresholds(const LabelledRows& rows) {
    std::vector<double> thresholds;
    for (const auto& row : rows) thresholds.push_back(row.score);
    std::sort(thresholds.rbegin(), thresholds.rend());
    thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
    double sum = 0.0;
    double recall_before = 0.0;
    for (const double threshold : thresholds) {
        double recall = 0.0;
        const double precision = precision_from(rows, threshold, &recall);
        sum += precision * (recall - recall_before);
        recall_before = recall;
    }
    return sum;
}

/// Precision of the first n rows, averaged over all orders of equal ones.
double precision_at_n_of_orders(LabelledRows rows) {
    const auto n = static_cast<std::size_t>(count(rows).anomalies);
    std::vector<std::size_t> order(rows.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    double sum = 0.0;
    double orders = 0.0;
    do {
        bool descending = true;
        for (std::size_t i = 0; i + 1 < order.size(); ++i) {
            descending = descending && rows[order[i]].score >= rows[order[i + 1]].score;
        }
        if (!descending) continue;
        for (std::size_t i = 0; i < n; ++i) sum += rows[order[i]].anomaly ? 1.0 : 0.0;
        orders += 1.0;
    } while (std::next_permutation(order.begin(), order.end()));
    return sum / orders / static_cast<double>(n);
}

TEST(Ranking, HandWorked) {
    // 9 anomaly, 8 normal, 7 anomaly, 5 normal, 5 anomaly, 1 normal
    const LabelledRows rows{{9, true}, {8, false}, {7, true}, {5, false}, {5, true}, {1, false}};
    const auto ranking = rank(rows);
    EXPECT_DOUBLE_EQ(ranking.auroc(), (3.0 + 2.0 + 1.5) / 9.0);
    EXPECT_DOUBLE_EQ(ranking.average_precision(), (1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0);
    EXPECT_DOUBLE_EQ(ranking.precision_at_n(), 2.0 / 3.0);
}

TEST(Ranking, PerfectReversedAndConstant) {
    const auto perfect = rank({{3, true}, {2, true}, {1, false}, {0, false}});
    EXPECT_EQ(perfect.auroc(), 1.0);
    EXPECT_EQ(perfect.average_precision(), 1.0);
    EXPECT_EQ(perfect.precision_at_n(), 1.0);
    const auto reversed = rank({{3, false}, {2, false}, {1, true}, {0, true}});
    EXPECT_EQ(reversed.auroc(), 0.0);
    EXPECT_EQ(reversed.precision_at_n(), 0.0);
    const auto constant = rank({{1, true}, {1, false}, {1, false}, {1, false}});
    EXPECT_EQ(constant.auroc(), 0.5);
    EXPECT_EQ(constant.average_precision(), 0.25);
    EXPECT_EQ(constant.precision_at_n(), 0.25);
}

TEST(Ranking, AgreesWithTheDefinitionsWhateverTheTies) {
    Random random(5);
    for (int round = 0; round < 200; ++round) {
        const std::uint32_t distinct = 1 + random.below(6);
        LabelledRows rows{{static_cast<double>(random.below(distinct)), true},
                          {static_cast<double>(random.below(distinct)), false}};
        for (auto more = random.below(5); more > 0; --more) {
            rows.push_back({static_cast<double>(random.below(distinct)), random.below(3) == 0});
        }
        const auto ranking = rank(rows);
        EXPECT_NEAR(ranking.auroc(), auroc_of_pairs(rows), 1e-12);
        EXPECT_NEAR(ranking.average_precision(), average_precision_of_thresholds(rows), 1e-12);
        EXPECT_NEAR(ranking.precision_at_n(), precision_at_n_of_orders(rows), 1e-12);
    }
}

TEST(Ranking, TakesAMillionRows) {
    constexpr int kRows = 1'000'000;
    Ranking ranking(kRows / 2, kRows / 2);
    for (int i = 0; i < kRows; ++i) ranking.add(-i / 2, i % 2 == 0);  // in tied pairs
    ranking.end();
    EXPECT_NEAR(ranking.auroc(), 0.5, 1e-12);
    EXPECT_NEAR(ranking.average_precision(), 0.5, 1e-12);
}

TEST(Evaluation, CountsAtTheThreshold) {
    const EvaluationCounts counts{.anomalies = 4,
                                  .normal = 6,
                                  .flagged_anomalies = 3,
                                  .flagged_normal = 1,
                                  .unlabelled = 5,
                                  .rejected = 2};
    const auto result = describe_evaluation(counts, Ranking(4, 6));
    EXPECT_EQ(result["rows"], 10);
    EXPECT_EQ(result["labelled_anomalies"], 4);
    EXPECT_EQ(result["flagged"], 4);
    EXPECT_EQ(result["precision"], 0.75);
    EXPECT_EQ(result["recall"], 0.75);
    EXPECT_EQ(result["f1"], 0.75);
    EXPECT_EQ(result["unlabelled_rows"], 5);
    EXPECT_EQ(result["rejected_rows"], 2);
    EXPECT_EQ(result["note"], nullptr);
}

TEST(Evaluation, NothingFlaggedHasNoPrecision) {
    const auto result = describe_evaluation({.anomalies = 1, .normal = 1}, Ranking(1, 1));
    EXPECT_EQ(result["precision"], nullptr);
    EXPECT_EQ(result["recall"], 0.0);
    EXPECT_EQ(result["f1"], 0.0);
}

TEST(Evaluation, OneClassIsSaid) {
    for (const auto& [counts, note] :
         {std::pair(EvaluationCounts{.anomalies = 3, .flagged_anomalies = 2}, "as normal"),
          std::pair(EvaluationCounts{.normal = 3, .flagged_normal = 2}, "as an anomaly"),
          std::pair(EvaluationCounts{.unlabelled = 3}, "as an anomaly")}) {
        const auto result = describe_evaluation(counts, Ranking(counts.anomalies, counts.normal));
        for (const auto key :
             {"auroc", "average_precision", "precision_at_n", "precision", "recall", "f1"}) {
            EXPECT_EQ(result[key], nullptr) << key;
        }
        EXPECT_EQ(result["flagged"], counts.flagged_anomalies + counts.flagged_normal);
        EXPECT_NE(result["note"].get<std::string>().find(note), std::string::npos);
    }
}

}  // namespace
}  // namespace ad::test
