// The criteria against what follows from their definitions.
#include "core/forest_cuts.hpp"

#include <numeric>

#include "core/forest.hpp"
#include "core/forest_draw.hpp"
#include "testing.hpp"

namespace ad::test {
namespace {

double deviation(std::span<const float> values) {
    const double mean =
        std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    double squares = 0.0;
    for (const float value : values) squares += (value - mean) * (value - mean);
    return std::sqrt(squares / static_cast<double>(values.size()));
}

/// The best gain by trying each cut.
Cut tried(Criterion criterion, std::span<const float> sorted) {
    Cut best;
    const double n = static_cast<double>(sorted.size());
    const double all = deviation(sorted);
    for (std::size_t left = 1; left < sorted.size(); ++left) {
        if (sorted[left - 1] == sorted[left]) continue;
        const double a = deviation(sorted.first(left));
        const double b = deviation(sorted.subspan(left));
        const double share = static_cast<double>(left) / n;
        const double gain = criterion == Criterion::Averaged
                                ? 1.0 - (a + b) / (2.0 * all)
                                : 1.0 - (share * a * a + (1.0 - share) * b * b) / (all * all);
        if (gain > best.gain) best = {gain, left, 0.0F};
    }
    return best;
}

TEST(ForestCuts, FindTheBestPlace) {
    Random random(1);
    for (const Criterion criterion : {Criterion::Pooled, Criterion::Averaged}) {
        for (int round = 0; round < 200; ++round) {
            std::vector<float> values(2 + random.below(30));
            for (float& value : values) value = static_cast<float>(random.below(40)) - 1000.0F;
            values[0] = 50.0F;
            std::sort(values.begin(), values.end());
            std::vector<double> scratch(values.size());
            const Cut cut = best_cut(criterion, values, scratch);
            const Cut expected = tried(criterion, values);
            EXPECT_NEAR(cut.gain, std::max(expected.gain, 0.0), 1e-9);
            if (!(cut.gain > 0.0)) continue;
            EXPECT_GE(cut.threshold, values[cut.left - 1]);
            EXPECT_LT(cut.threshold, values[cut.left]);
        }
    }
}

// Averaged gain sets one value apart, pooled gain a cluster.
TEST(ForestCuts, CriteriaDiffer) {
    const std::vector<float> values{0, 0.1F, 0.2F, 5, 5.1F, 5.2F, 20};
    std::vector<double> scratch(values.size());
    EXPECT_EQ(best_cut(Criterion::Averaged, values, scratch).left, 6U);
    const std::vector<float> clusters{0, 0.1F, 0.2F, 5, 5.1F, 5.2F, 6};
    EXPECT_EQ(best_cut(Criterion::Pooled, clusters, scratch).left, 3U);
}

TEST(ForestCuts, OfCategories) {
    const std::vector<std::uint32_t> counts{1, 1, 2, 4};
    const Cut even = best_cut(Criterion::Pooled, counts);
    EXPECT_EQ(even.left, 3U);
    EXPECT_NEAR(even.gain, std::log(2.0), 1e-14);
    // of 8 rows sum p^2 is 22/64; without one of the rarest, of 7 rows 21/49
    const Cut averaged = best_cut(Criterion::Averaged, counts);
    EXPECT_EQ(averaged.left, 1U);
    EXPECT_NEAR(averaged.gain, 1 - std::sqrt(28.0 / 49) / (2 * std::sqrt(42.0 / 64)), 1e-14);
}

TEST(ForestDraw, WeightedRowsComeInProportion) {
    const std::vector<double> weights{1, 2, 4, 1};
    for (const bool bootstrap : {false, true}) {
        RowDraw draw(weights.size(), weights.data(), 1, bootstrap);
        std::vector<int> found(weights.size());
        std::vector<std::uint32_t> rows;
        Random random(2);
        for (int i = 0; i < 20000; ++i) {
            draw.draw(random, rows);
            ASSERT_EQ(rows.size(), 1U);
            ++found[rows[0]];
        }
        for (std::size_t i = 0; i < weights.size(); ++i)
            EXPECT_NEAR(found[i], 20000 * weights[i] / 8, 250) << i;
    }
    RowDraw all(weights.size(), weights.data(), 6, false);
    std::vector<std::uint32_t> rows;
    Random random(3);
    all.draw(random, rows);
    std::sort(rows.begin(), rows.end());
    EXPECT_EQ(rows, (std::vector<std::uint32_t>{0, 1, 2, 3}));
}

TEST(ForestDraw, Kurtosis) {
    EXPECT_EQ(kurtosis_weight(std::vector<double>{3, 3, kMissing, 3}), 0.0);
    EXPECT_NEAR(kurtosis_weight(std::vector<double>{-1, 1, kMissing, -1, 1}), 1e-8, 1e-12);
    // of one in ten, (1 - 3 p q) / (p q)
    std::vector<double> rare(100, 0.0);
    for (std::size_t i = 0; i < 10; ++i) rare[i] = kLargest;
    EXPECT_NEAR(kurtosis_weight(rare), (1 - 3 * 0.09) / 0.09 - 1, 1e-9);
}

TEST(ForestDraw, NormalDeviates) {
    Random random(4);
    double sum = 0.0;
    double squares = 0.0;
    double fourth = 0.0;
    constexpr int kCount = 100000;
    for (int i = 0; i < kCount; ++i) {
        const double z = normal_deviate(random);
        sum += z;
        squares += z * z;
        fourth += z * z * z * z;
    }
    EXPECT_NEAR(sum / kCount, 0.0, 0.02);
    EXPECT_NEAR(squares / kCount, 1.0, 0.02);
    EXPECT_NEAR(fourth / kCount, 3.0, 0.2);
}

TEST(ForestPaths, ExactMeanOfSmallTrees) {
    double harmonic = 0.0;
    for (int n = 1; n <= 300; ++n) {
        harmonic += 1.0 / n;
        EXPECT_NEAR(exact_average_path(n), 2.0 * (harmonic - 1.0), 1e-13) << n;
    }
    EXPECT_EQ(exact_average_path(0), 0.0);
}

}  // namespace
}  // namespace ad::test
