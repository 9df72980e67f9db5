// Scores of the detector "hbos" against numbers worked out by hand.
#include "testing.hpp"

namespace ad::test {
namespace {

/// Five bins of width 2 with 4, 1, 0, 0 and 1 of the six values.
const Rows kTraining{{0}, {0}, {0}, {1}, {2}, {10}};

Model five_bins(const char* scale, const Json& more = Json::object()) {
    Json parameters{{"n_bins", 5}};
    parameters.update(more);
    return fit(request("hbos", {{"parameters", parameters}, {"preprocess", {{"scale", scale}}}}),
               kTraining);
}

TEST(Hbos, ScoreIsTheLogarithmOfTheDensity) {
    const auto scores = score(five_bins("none"), Rows{{0.5}, {3}, {5}, {10}});
    EXPECT_DOUBLE_EQ(scores[0], -std::log2(4.0 / 6 / 2 + 0.1));
    EXPECT_DOUBLE_EQ(scores[1], -std::log2(1.0 / 6 / 2 + 0.1));
    EXPECT_DOUBLE_EQ(scores[2], -std::log2(0.1));
    EXPECT_DOUBLE_EQ(scores[3], scores[1]);
}

// A border is counted above and scored below, as PyOD does: 2 lies in the second bin, and gets the
// score of the first.
TEST(Hbos, BordersAreScoredBelow) {
    const auto scores = score(five_bins("none"), Rows{{0}, {2}, {4}, {8}});
    EXPECT_DOUBLE_EQ(scores[0], -std::log2(4.0 / 6 / 2 + 0.1));
    EXPECT_DOUBLE_EQ(scores[1], scores[0]);
    EXPECT_DOUBLE_EQ(scores[2], -std::log2(1.0 / 6 / 2 + 0.1));
    EXPECT_DOUBLE_EQ(scores[3], -std::log2(0.1));
}

TEST(Hbos, OutsideCountsAsTheEmptiestBin) {
    const Rows probes{{-1}, {-1.01}, {11}, {11.01}, {-kInfinity}, {kInfinity}};
    const auto scores = score(five_bins("none"), probes);
    EXPECT_DOUBLE_EQ(scores[0], -std::log2(4.0 / 6 / 2 + 0.1));
    EXPECT_DOUBLE_EQ(scores[1], -std::log2(0.1));
    EXPECT_DOUBLE_EQ(scores[2], -std::log2(1.0 / 6 / 2 + 0.1));
    for (std::size_t i = 3; i < 6; ++i) EXPECT_DOUBLE_EQ(scores[i], -std::log2(0.1));
    EXPECT_DOUBLE_EQ(score(five_bins("none", {{"tol", 0}}), Rows{{-0.01}})[0], -std::log2(0.1));
    EXPECT_DOUBLE_EQ(score(five_bins("none", {{"alpha", 0.5}}), Rows{{5}})[0], 1.0);
}

TEST(Hbos, DefaultDoesNotDependOnTheUnit) {
    const auto scores = score(five_bins("minmax"), Rows{{0.5}, {5}});
    EXPECT_DOUBLE_EQ(scores[0], -std::log2(4.0 / 6 / 0.2 + 0.1));
    EXPECT_DOUBLE_EQ(scores[1], -std::log2(0.1));
    Rows stretched = kTraining;
    for (auto& row : stretched) row[0] *= 1024.0;
    const auto model = fit(request("hbos", {{"parameters", {{"n_bins", 5}}}}), stretched);
    EXPECT_EQ(bits_of(score(model, Rows{{512}, {5120}})), bits_of(scores));
}

TEST(Hbos, ContributionsAddUpToTheScore) {
    const auto rows = normal_rows(200, 5);
    const auto model = fit(request("hbos"), rows);
    const auto scores = score(model, rows);
    for (std::size_t i = 0; i < rows.size(); i += 17) {
        double sum = 0.0;
        for (const auto& entry : explain(model, rows, i)) {
            sum += entry["contribution"].get<double>();
        }
        EXPECT_NEAR(sum, scores[i], 1e-12);
    }
}

TEST(Hbos, NumberOfBinsMayBeChosen) {
    const auto rows = normal_rows(2000, 1);
    const auto of = [&](const Json& bins) {
        return bits_of(
            score(fit(request("hbos", {{"parameters", {{"n_bins", bins}}}}), rows), rows));
    };
    const auto chosen = of("auto");
    EXPECT_NE(chosen, of(10));
    int same = 0;
    for (int bins = 1; bins < 44; ++bins) same += chosen == of(bins);
    EXPECT_EQ(same, 1);
}

}  // namespace
}  // namespace ad::test
