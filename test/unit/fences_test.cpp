// Scores of the detectors "zscore" and "iqr" against numbers worked out by hand.
#include "testing.hpp"

namespace ad::test {
namespace {

double score_of(std::string_view algorithm, const std::vector<double>& training, double value) {
    Rows rows;
    for (const double each : training) rows.push_back({each});
    return score(fit(request(algorithm), rows), Rows{{value}})[0];
}

// mean 3, variance 2
TEST(Zscore, CountsStandardDeviations) {
    const std::vector<double> training{1, 2, 3, 4, 5};
    EXPECT_EQ(score_of("zscore", training, 3), 0.0);
    EXPECT_DOUBLE_EQ(score_of("zscore", training, 5), 2 / std::sqrt(2.0));
    EXPECT_DOUBLE_EQ(score_of("zscore", training, -7), 10 / std::sqrt(2.0));
}

// quartiles 2 and 4
TEST(Iqr, CountsInterquartileRanges) {
    const std::vector<double> training{1, 2, 3, 4, 5};
    for (const double inside : {2.0, 3.0, 3.9, 4.0}) {
        EXPECT_EQ(score_of("iqr", training, inside), 0.0);
    }
    EXPECT_DOUBLE_EQ(score_of("iqr", training, 5), 0.5);
    EXPECT_DOUBLE_EQ(score_of("iqr", training, 7), 1.5);
    EXPECT_DOUBLE_EQ(score_of("iqr", training, -2), 2.0);
}

// quartiles 0 and 0; the mean deviation from the median is 2
TEST(Iqr, FallsBackToTheMeanDeviation) {
    EXPECT_DOUBLE_EQ(score_of("iqr", {0, 0, 10, 0, 0}, 10), 10 / (1.6907 * 2));
}

TEST(Fences, ConstantColumn) {
    for (const auto algorithm : {"zscore", "iqr"}) {
        for (const std::vector<double>& training :
             {std::vector<double>{0.1}, {0.1, 0.1, 0.1}, std::vector<double>(1000, 0.1)}) {
            EXPECT_EQ(score_of(algorithm, training, 0.1), 0.0);
            EXPECT_EQ(score_of(algorithm, training, 0.2), 1e9);
            EXPECT_EQ(score_of(algorithm, training, -kInfinity), 1e9);
        }
    }
}

TEST(Fences, ScoreIsTheLargestOfTheColumns) {
    const Rows training{{1, 10}, {2, 20}, {3, 30}, {4, 40}, {5, 50}};
    for (const auto algorithm : {"zscore", "iqr"}) {
        const double f0 = algorithm == std::string_view("iqr") ? 2 / 2.0 : 3 / std::sqrt(2.0);
        const double f1 = algorithm == std::string_view("iqr") ? 5.0 / 2 : 6 / std::sqrt(2.0);
        const auto model = fit(request(algorithm), training);
        const auto scores = score(model, Rows{{3, 30}, {6, 30}, {3, 90}, {6, 90}});
        EXPECT_EQ(scores[0], 0.0);
        EXPECT_DOUBLE_EQ(scores[1], f0);
        EXPECT_DOUBLE_EQ(scores[2], f1);
        EXPECT_DOUBLE_EQ(scores[3], f1);
        const auto list = explain(model, {{6, 90}});
        EXPECT_EQ(list[0]["feature"], "f1");
        EXPECT_DOUBLE_EQ(list[0]["contribution"].get<double>(), f1);
        EXPECT_DOUBLE_EQ(list[1]["contribution"].get<double>(), f0);
    }
}

// Quartiles, mean and median are those of the values that are there, however many are not.
TEST(Fences, MissingValuesSayNothing) {
    for (const auto algorithm : {"zscore", "iqr", "mad"}) {
        SCOPED_TRACE(algorithm);
        Rows present{{1, 10}, {2, 20}, {3, 30}, {4, 40}, {5, 50}};
        Rows training = present;
        for (int i = 0; i < 95; ++i) training.push_back({kMissing, 30.0 + (i % 2 == 0 ? 5 : -5)});
        for (auto& row : present) row[1] = kMissing;
        const auto expected = score(fit(request(algorithm), {{1}, {2}, {3}, {4}, {5}}),
                                    Rows{{1}, {2}, {3}, {4}, {5}});
        const auto model = fit(request(algorithm), training);
        EXPECT_EQ(score(model, present), expected);
        EXPECT_EQ(score(model, Rows{{kMissing, kMissing}})[0], 0.0);
        EXPECT_EQ(Json::parse(model.describe())["preprocess"]["impute"], "none");
        // of a column without a value nothing is known
        const auto blank = fit(request(algorithm), Rows(10, {kMissing, 1.0}));
        EXPECT_FALSE(blank.predict(score(blank, Rows{{7.0, 1.0}})[0]).is_anomaly);
    }
}

TEST(Fences, ThresholdsAreTheUsualOnes) {
    const Rows training{{1}, {2}, {3}, {4}, {5}};
    EXPECT_EQ(fit(request("zscore"), training).predict(0.0).threshold, 3.0);
    const auto model = fit(request("iqr"), training);
    EXPECT_EQ(model.predict(0.0).threshold, 1.5);
    EXPECT_TRUE(model.predict(score(model, Rows{{7}})[0]).is_anomaly);
    EXPECT_FALSE(model.predict(score(model, Rows{{6.99}})[0]).is_anomaly);
}

}  // namespace
}  // namespace ad::test
