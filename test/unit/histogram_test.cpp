// Bins against a search from border to border, and their number against the formula.
#include "core/histogram.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

/// How many of the borders between bins are below a value, or equal to it.
std::size_t count_borders(double low, double high, std::uint32_t bins, double value, bool equal) {
    std::size_t count = 0;
    const double step = (high - low) / bins;
    for (std::uint32_t i = 1; i < bins; ++i) {
        const double border = i * step + low;
        count += border < value || (equal && border == value);
    }
    return count;
}

TEST(Bins, FindTheBinOfEveryValueAndBorder) {
    Random random(1);
    for (int round = 0; round < 300; ++round) {
        const double low = std::ldexp(random.uniform() - 0.5, static_cast<int>(random.below(80)));
        const double high = low + std::ldexp(random.uniform() + 0.1, 60 - round % 50);
        const std::uint32_t count = 1 + random.below(100);
        if (!Bins::have_width(low, high)) continue;
        const Bins bins(low, high, count);
        EXPECT_EQ(bins.count(), count);
        std::vector<double> values{low, high, low - 1.0, high + 1.0, -1e300, 1e300};
        for (std::uint32_t i = 0; i <= count; ++i) {
            const double border = i * ((high - low) / count) + low;
            values.insert(values.end(), {border, std::nextafter(border, kInfinity),
                                         std::nextafter(border, -kInfinity),
                                         low + random.uniform() * (high - low)});
        }
        for (const double value : values) {
            EXPECT_EQ(bins.above(value), count_borders(low, high, count, value, true)) << value;
            EXPECT_EQ(bins.below(value), count_borders(low, high, count, value, false)) << value;
        }
    }
}

TEST(Bins, AreWideEnoughAroundAnyValues) {
    for (const std::vector<double>& values : {std::vector<double>{0.0},
                                              {7.0, 7.0},
                                              {1e100, 1e100},
                                              {0.0, kDenormal},
                                              {-1e100, 1e100},
                                              {1e18, 1e18 + 256.0},
                                              {-1e-300, 1e-300}}) {
        const Bins bins = Bins::of(values.data(), values.size(), 10000);
        EXPECT_TRUE(Bins::have_width(bins.low(), bins.high()));
        EXPECT_LE(bins.low(), values.front());
        EXPECT_GE(bins.high(), values.back());
        for (std::uint32_t i = 1; i < 10000; ++i) {
            const double step = (bins.high() - bins.low()) / 10000;
            EXPECT_LT((i - 1) * step + bins.low(), i * step + bins.low());
        }
    }
    const Bins bins = Bins::of(std::vector<double>{3.0, 3.0}.data(), 2, 10);
    EXPECT_EQ(bins.low(), 2.5);  // as numpy has it
    EXPECT_EQ(bins.high(), 3.5);
}

TEST(Bins, CountEveryValueOnce) {
    const std::vector<double> values{0, 0, 0, 1, 2, 10};
    const auto counts = Bins::of(values.data(), values.size(), 5).histogram(values.data(), 6);
    EXPECT_EQ(counts, (std::vector<std::uint32_t>{4, 1, 0, 0, 1}));
}

std::uint32_t best_by_formula(const std::vector<double>& values) {
    const auto n = static_cast<double>(values.size());
    std::vector<double> likelihoods;
    for (int bins = 1; bins < static_cast<int>(std::sqrt(n)); ++bins) {
        const auto counts = Bins::of(values.data(), values.size(), static_cast<std::uint32_t>(bins))
                                .histogram(values.data(), values.size());
        double likelihood = 0.0;
        for (const double count : counts) {
            likelihood += count * std::log(bins * count / n + 1.0);
            likelihood -= bins - 1.0 + std::pow(std::log(bins), 2.5);
        }
        likelihoods.push_back(likelihood);
    }
    const auto best = std::max_element(likelihoods.begin(), likelihoods.end());
    return 1 + static_cast<std::uint32_t>(best - likelihoods.begin());
}

TEST(Bins, TheirNumberFollowsTheData) {
    std::vector<std::uint32_t> chosen;
    for (const std::size_t rows : {16, 100, 1000, 3000}) {
        for (const int power : {1, 3, 7}) {
            std::vector<double> values;
            for (const auto& row : normal_rows(rows, 1, rows)) {
                values.push_back(std::pow(row[0], power));
            }
            chosen.push_back(choose_bins(values.data(), rows));
            EXPECT_EQ(chosen.back(), best_by_formula(values)) << rows << " rows to the " << power;
        }
    }
    EXPECT_GT(*std::max_element(chosen.begin(), chosen.end()), 5U);
    const double one = 1.0;
    EXPECT_EQ(choose_bins(&one, 1), 1U);
}

}  // namespace
}  // namespace ad::test
