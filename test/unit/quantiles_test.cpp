// Quantiles of unsorted values are those of the sorted ones.
#include "core/quantiles.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/random.hpp"

namespace ad {
namespace {

constexpr double kLargest = std::numeric_limits<double>::max();

void expect_sorted_quantiles(std::vector<double> values) {
    constexpr std::size_t kCount = 21;
    const std::vector<double> found = quantiles(values, kCount);
    std::sort(values.begin(), values.end());
    ASSERT_EQ(found.size(), kCount);
    for (std::size_t i = 0; i < kCount; ++i) {
        EXPECT_EQ(found[i], quantile(values, static_cast<double>(i) / (kCount - 1)))
            << "quantile " << i << " of " << values.size() << " values";
    }
}

TEST(Quantiles, EqualThoseOfSortedValues) {
    Random random(1);
    for (std::size_t n = 1; n < 60; ++n) {
        std::vector<double> values(n);
        for (double& value : values) value = random.below(10) - 5.0;
        expect_sorted_quantiles(values);
        for (double& value : values) value = random.uniform() - 0.5;
        expect_sorted_quantiles(values);
    }
}

TEST(Quantiles, TakeEveryDistribution) {
    Random random(2);
    constexpr std::size_t kValues = 20000;
    std::vector<double> values(kValues);
    for (double& value : values) value = random.uniform();
    expect_sorted_quantiles(values);
    for (double& value : values) value = 1e6 + 1e-9 * random.uniform();  // one bucket
    values[7] = -kLargest;
    values[8] = kLargest;
    expect_sorted_quantiles(values);
    for (double& value : values)
        value = std::ldexp(random.uniform() - 0.5, static_cast<int>(random.below(2000)) - 1000);
    expect_sorted_quantiles(values);
    std::fill(values.begin(), values.end(), 0.25);
    expect_sorted_quantiles(values);
}

}  // namespace
}  // namespace ad
