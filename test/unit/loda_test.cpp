// The detector "loda" where its projections do not matter, and what is known of those that do.
#include "testing.hpp"

namespace ad::test {
namespace {

// A projection of one column is that column, stretched and perhaps mirrored. Five bins of width 2
// have 4, 0, 0, 0 and 1 of the values.
TEST(Loda, OfOneColumnIsItsHistogram) {
    const Rows training{{0}, {1}, {1}, {1}, {10}};
    const auto model = fit(request("loda", {{"parameters", {{"n_bins", 5}}}}), training);
    const Rows probes{{1}, {0}, {10}, {5}, {10.9}, {11.1}, {-0.9}, {-1.1}, {kInfinity}};
    const double expected[] = {std::log(5.0 / 4), std::log(5.0 / 4), std::log(5.0),
                               std::log(10.0),    std::log(5.0),     std::log(10.0),
                               std::log(5.0 / 4), std::log(10.0),    std::log(10.0)};
    const auto scores = score(model, probes);
    for (std::size_t i = 0; i < probes.size(); ++i) {
        EXPECT_NEAR(scores[i], expected[i], 1e-12) << probes[i][0];
        EXPECT_NEAR(explain(model, probes, i)[0]["contribution"].get<double>(), expected[i], 1e-12);
    }
}

// Of two columns each projection uses one, so that the cuts with one are those without the other.
TEST(Loda, ContributionsCompareCutsWithAndWithoutAColumn) {
    const auto rows = normal_rows(500, 2);
    const auto model = fit(request("loda"), rows);
    const Rows probes{{6, 0}, {0, -6}, {1, 1}};
    for (std::size_t i = 0; i < probes.size(); ++i) {
        const auto list = explain(model, probes, i);
        const double first = list[0]["contribution"].get<double>();
        EXPECT_NEAR(first, -list[1]["contribution"].get<double>(), 1e-6 * std::fabs(first));
        EXPECT_GT(first, 0.0);
        if (i == 0) {
            EXPECT_EQ(list[0]["feature"], "f0");
        }
        if (i == 1) {
            EXPECT_EQ(list[0]["feature"], "f1");
        }
    }
}

/// How many of the other rows score less than the last one.
std::ptrdiff_t rank_of_last(std::string_view algorithm, const Rows& rows) {
    const auto scores = score(fit(request(algorithm), rows), rows);
    return std::count_if(scores.begin(), scores.end(),
                         [&](double score) { return score < scores.back(); });
}

// What no column shows by itself: a row beside the line on which the columns lie.
TEST(Loda, SeesUnusualCombinations) {
    Rows rows = normal_rows(1000, 4);
    for (auto& row : rows) row = {row[0], row[0] + row[1] / 20, row[0] + row[2] / 20, row[0]};
    rows.push_back({1.5, -1.5, 1.5, -1.5});
    EXPECT_GE(rank_of_last("loda", rows), 920);
    EXPECT_LT(rank_of_last("zscore", rows), 900);
}

TEST(Loda, MoreCutsMakeScoresLessRandom) {
    const auto rows = normal_rows(500, 6);
    const auto difference = [&](int cuts) {
        const auto scores = [&](int seed) {
            const Json more{{"random_seed", seed}, {"parameters", {{"n_random_cuts", cuts}}}};
            return score(fit(request("loda", more), rows), rows);
        };
        const auto a = scores(1);
        const auto b = scores(2);
        double sum = 0.0;
        for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
        return sum;
    };
    EXPECT_LT(difference(400), difference(20) / 5);
}

}  // namespace
}  // namespace ad::test
