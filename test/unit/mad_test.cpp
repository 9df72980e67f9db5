// Scores of the detector "mad" against numbers worked out by hand.
#include "testing.hpp"

namespace ad::test {
namespace {

/// One column.
Rows column(const std::vector<double>& values) {
    Rows rows;
    for (const double value : values) rows.push_back({value});
    return rows;
}

double score_of(const std::vector<double>& training, double value) {
    return score(fit(request("mad"), column(training)), Rows{{value}})[0];
}

// median 3, deviations 2 1 0 1 97, their median 1
TEST(Mad, OddNumberOfRows) {
    const std::vector<double> training{1, 2, 3, 4, 100};
    EXPECT_EQ(score_of(training, 3), 0.0);
    EXPECT_DOUBLE_EQ(score_of(training, 4), 1 / 1.4826);
    EXPECT_DOUBLE_EQ(score_of(training, 100), 97 / 1.4826);
    EXPECT_DOUBLE_EQ(score_of(training, -7), 10 / 1.4826);
}

// median 2.5, deviations 1.5 0.5 0.5 1.5, their median 1
TEST(Mad, EvenNumberOfRows) {
    EXPECT_DOUBLE_EQ(score_of({4, 1, 3, 2}, 4), 1.5 / 1.4826);
    EXPECT_DOUBLE_EQ(score_of({4, 1, 3, 2}, 2.5), 0.0);
}

// median 0 and median deviation 0; the mean deviation is 10 / 5
TEST(Mad, FallsBackToTheMeanDeviation) {
    EXPECT_DOUBLE_EQ(score_of({0, 0, 10, 0, 0}, 10), 10 / (1.2533 * 2));
}

TEST(Mad, ConstantColumn) {
    for (const std::vector<double>& training : {std::vector<double>{5}, {5, 5}, {5, 5, 5}}) {
        EXPECT_EQ(score_of(training, 5), 0.0);
        EXPECT_EQ(score_of(training, 5.1), 1e9);
        EXPECT_EQ(score_of(training, -kInfinity), 1e9);
    }
}

TEST(Mad, ScoreIsTheLargestOfTheColumns) {
    // medians 3 and 30, scales 1.4826 and 14.826
    const Rows training{{1, 10}, {2, 20}, {3, 30}, {4, 40}, {5, 50}};
    const auto model = fit(request("mad"), training);
    const auto scores = score(model, Rows{{3, 30}, {6, 30}, {3, 90}, {6, 90}});
    EXPECT_EQ(scores[0], 0.0);
    EXPECT_DOUBLE_EQ(scores[1], 3 / 1.4826);
    EXPECT_DOUBLE_EQ(scores[2], 60 / 14.826);
    EXPECT_DOUBLE_EQ(scores[3], 60 / 14.826);
    const auto list = explain(model, {{6, 90}});
    EXPECT_EQ(list[0]["feature"], "f1");
    EXPECT_DOUBLE_EQ(list[0]["contribution"].get<double>(), 60 / 14.826);
    EXPECT_DOUBLE_EQ(list[1]["contribution"].get<double>(), 3 / 1.4826);
}

TEST(Mad, ThresholdIsTheUsualOne) {
    const auto model = fit(request("mad"), column({1, 2, 3, 4, 5}));
    const double edge = 3 + 3.5 * 1.4826;
    const auto scores = score(model, column({edge - 0.001, edge + 0.001}));
    EXPECT_FALSE(model.predict(scores[0]).is_anomaly);
    EXPECT_TRUE(model.predict(scores[1]).is_anomaly);
    EXPECT_EQ(model.predict(0.0).threshold, 3.5);
}

TEST(Mad, MissingValuesScoreAsTheMedian) {
    const auto model = fit(request("mad"), column({1, 2, kMissing, 3, 4, 5}));
    EXPECT_EQ(score(model, column({kMissing}))[0], 0.0);
    EXPECT_EQ(score(model, column({3}))[0], 0.0);
}

TEST(Mad, ExtremeTraining) {
    // numbers end at 1e100: median 0, deviation 1e100
    EXPECT_DOUBLE_EQ(score_of({-1e308, 1e308}, 1e308), 1 / 1.4826);
    EXPECT_DOUBLE_EQ(score_of({-1e308, 1e308}, kInfinity), 1 / 1.4826);
    EXPECT_DOUBLE_EQ(score_of({1, 2, 3}, kLargest), 1e100 / 1.4826);
    EXPECT_DOUBLE_EQ(score_of({1, 2, 3}, -kInfinity), 1e100 / 1.4826);
    // the middle of two denormals is not lost
    EXPECT_EQ(score_of({kDenormal, kDenormal}, kDenormal), 0.0);
    EXPECT_EQ(score_of({kDenormal, kDenormal}, 0.0), 1e9);
}

}  // namespace
}  // namespace ad::test
