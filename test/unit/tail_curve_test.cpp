#include "core/tail_curve.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

// 4 scores: p-values (1 + #{>= s}) / 5
TEST(TailCurve, IsMinusLogOfThePValue) {
    const TailCurve curve({1.0, 2.0, 2.0, 4.0});
    EXPECT_EQ(curve.at(0.5), 0.0);
    EXPECT_EQ(curve.at(1.0), 0.0);
    EXPECT_DOUBLE_EQ(curve.at(2.0), -std::log(4.0 / 5));
    EXPECT_DOUBLE_EQ(curve.at(4.0), -std::log(2.0 / 5));
    EXPECT_DOUBLE_EQ(curve.at(3.0), (curve.at(2.0) + curve.at(4.0)) / 2);
    EXPECT_NEAR(curve.confidence(4.0), 3.0 / 5, 1e-15);
    EXPECT_EQ(curve.confidence(1.0), 0.0);
}

// The mean excess of the highest twentieth (one score) is 4 - 2.
TEST(TailCurve, GoesOnBeyondTheLargestScore) {
    const TailCurve curve({1.0, 2.0, 4.0});
    EXPECT_DOUBLE_EQ(curve.at(4.0 + 2.0) - curve.at(4.0), std::log(2.0));
    double last = curve.at(4.0);
    for (const double score : {4.1, 5.0, 1e3, 1e100, kLargest}) {
        EXPECT_GT(curve.at(score), last);
        EXPECT_TRUE(std::isfinite(curve.at(score)));
        last = curve.at(score);
    }
}

TEST(TailCurve, DegenerateScores) {
    for (const auto& scores :
         {std::vector<double>{0.0}, {3.0, 3.0, 3.0}, {-kLargest, kLargest}, {-kLargest, 0.0}}) {
        const TailCurve curve(scores);
        EXPECT_EQ(curve.at(scores.front()), 0.0);
        EXPECT_EQ(curve.at(-kLargest), 0.0);
        EXPECT_TRUE(std::isfinite(curve.at(kLargest)));
        EXPECT_GE(curve.at(1.0), 0.0);
    }
}

// Of many scores a selection is kept: the highest one by one.
TEST(TailCurve, StaysSmallAndClose) {
    constexpr int kCount = 100000;
    std::vector<double> scores;
    for (int i = 0; i < kCount; ++i) scores.push_back(i);
    const TailCurve curve(scores);
    EXPECT_LE(curve.memory_bytes(), 2 * 4096 * sizeof(double));
    for (int i = 0; i < kCount; i += i < kCount - 100 ? 997 : 1) {
        const double expected = -std::log((1.0 + kCount - i) / (1.0 + kCount));
        EXPECT_NEAR(curve.at(i), expected, i > kCount - 2000 ? 1e-12 : 1e-3) << i;
    }
}

TEST(TailCurve, SurvivesSavingAndRefusesWhatDoesNotAscend) {
    const TailCurve curve({1.0, 2.0, 2.5, 4.0});
    Writer out;
    curve.save(out);
    Reader in(out.bytes());
    const TailCurve loaded = TailCurve::load(in);
    in.end();
    for (const double score : {0.0, 1.5, 2.2, 3.0, 9.0})
        EXPECT_EQ(loaded.at(score), curve.at(score));
    for (const auto& [scores, tails] :
         std::vector<std::pair<std::vector<double>, std::vector<double>>>{
             {{}, {}},
             {{1.0}, {}},
             {{1.0, 1.0}, {0.0, 0.5}},
             {{1.0, 2.0}, {0.5, 0.0}},
             {{1.0, kMissing}, {0.0, 0.5}},
             {{1.0, kInfinity}, {0.0, 0.5}},
             {{1.0, 2.0}, {0.0, 65.0}},
             {{1.0}, {-0.1}}}) {
        Writer bad;
        bad.array(scores);
        bad.array(tails);
        bad.number(1.0);
        Reader hostile(bad.bytes());
        EXPECT_THROW(TailCurve::load(hostile), CorruptModel);
    }
}

}  // namespace
}  // namespace ad::test
