#include "core/exact_sum.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

ExactSum sum_of(const std::vector<double>& values) {
    ExactSum sum;
    for (const double value : values) sum.add(value);
    return sum;
}

double mean_of(const std::vector<double>& values) { return sum_of(values).mean(); }

std::string bytes_of(const ExactSum& sum) {
    Writer out;
    sum.save(out);
    return out.take();
}

TEST(ExactSum, OfNothingHasNoMean) { EXPECT_TRUE(std::isnan(ExactSum().mean())); }

TEST(ExactSum, OfOneValueIsTheValue) {
    Random random(3);
    std::vector<double> values{0.0,
                               1.0,
                               -1.0,
                               0.1,
                               kLargest,
                               -kLargest,
                               kDenormal,
                               -kDenormal,
                               0x1p-1022,
                               0x1p-1023,
                               0x1.fffffffffffffp-1022};
    while (values.size() < 5000) {
        const auto value = std::bit_cast<double>(random.next());
        if (std::isfinite(value)) values.push_back(value);
    }
    for (const double value : values) EXPECT_EQ(mean_of({value}), value);
}

TEST(ExactSum, Cancels) {
    EXPECT_EQ(mean_of({1e308, 1.0, -1e308}), 1.0 / 3.0);
    EXPECT_EQ(mean_of({1e308, kDenormal, -1e308}), kDenormal / 3.0);
    EXPECT_EQ(mean_of({1e308, 1e308, -1e308, -1e308}), 0.0);
    EXPECT_EQ(mean_of({-1e308, -3.0, 1e308, 1.0}), -0.5);
    EXPECT_EQ(mean_of({kDenormal, kDenormal, kDenormal, kDenormal}), kDenormal);
    EXPECT_EQ(mean_of({1.0, kDenormal, -1.0}), kDenormal / 3.0);
}

TEST(ExactSum, MeanOfLargeValuesDoesNotOverflow) {
    EXPECT_EQ(mean_of({1e308, 1e308}), 1e308);
    EXPECT_EQ(mean_of({kLargest, kLargest, kLargest, kLargest}), kLargest);
    EXPECT_EQ(mean_of({-kLargest, -kLargest}), -kLargest);
}

// Multiples of 2^-40 below 2^30: 70 bits a value, a million of which fit 128 bits.
TEST(ExactSum, AgreesWithWideIntegers) {
    Random random(5);
    for (int round = 0; round < 50; ++round) {
        ExactSum sum;
        __int128 oracle = 0;
        const std::uint32_t n = 1 + random.below(2000);
        for (std::uint32_t i = 0; i < n; ++i) {
            const auto digits = static_cast<std::int64_t>(random.next() >> 11);
            const auto shift = random.below(18);
            const std::int64_t sign = random.below(3) == 0 ? 1 : -1;
            oracle += static_cast<__int128>(sign * digits) << shift;
            sum.add(std::ldexp(static_cast<double>(sign * digits), static_cast<int>(shift) - 40));
        }
        const long double expected = std::ldexp(static_cast<long double>(oracle) / n, -40);
        const double ulp = std::fabs(static_cast<double>(expected)) * 0x1p-52;
        EXPECT_NEAR(sum.mean(), static_cast<double>(expected), 2 * ulp);
    }
}

/// Random finite bits: every exponent, both signs.
std::vector<double> wild_values(std::size_t count) {
    Random random(7);
    std::vector<double> values;
    while (values.size() < count) {
        const auto value = std::bit_cast<double>(random.next());
        if (std::isfinite(value)) values.push_back(value);
    }
    return values;
}

TEST(ExactSum, DoesNotDependOnOrder) {
    auto values = wild_values(3000);
    const auto expected = bytes_of(sum_of(values));
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
        shuffle(values, seed);
        EXPECT_EQ(bytes_of(sum_of(values)), expected);
    }
}

TEST(ExactSum, CancelsWildValues) {
    auto values = wild_values(2000);
    for (std::size_t i = 0; i < 2000; ++i) values.push_back(-values[i]);
    values.push_back(0x1.8p-1000);
    shuffle(values, 1);
    EXPECT_EQ(mean_of(values), 0x1.8p-1000 / 4001);
}

TEST(ExactSum, MergesAsIfAddedInOnePlace) {
    const auto values = wild_values(1000);
    const auto expected = bytes_of(sum_of(values));
    for (const std::size_t parts : {1, 2, 5, 1000}) {
        std::vector<ExactSum> sums(parts);
        for (std::size_t i = 0; i < values.size(); ++i) sums[i % parts].add(values[i]);
        ExactSum all;
        for (const auto& sum : sums) {
            const auto bytes = bytes_of(sum);
            Reader in(bytes);
            all.merge(ExactSum::load(in));
        }
        EXPECT_EQ(bytes_of(all), expected);
        EXPECT_EQ(all.count(), values.size());
    }
}

TEST(ExactSum, NegativeSumSurvivesSaving) {
    const auto bytes = bytes_of(sum_of({-2.5, -1e300, 1e300}));
    Reader in(bytes);
    EXPECT_EQ(ExactSum::load(in).mean(), -2.5 / 3);
}

TEST(ExactSum, RefusesDigitsThatNoSumHas) {
    const auto good = bytes_of(sum_of({1.0}));
    const std::size_t digits = good.size() / 8 - 1;
    for (std::size_t i = 0; i < digits; ++i) {
        for (const std::int64_t hostile :
             {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()}) {
            auto bytes = good;
            std::memcpy(bytes.data() + 8 * i, &hostile, 8);
            Reader in(bytes);
            EXPECT_THROW(ExactSum::load(in), CorruptModel);
        }
    }
}

}  // namespace
}  // namespace ad::test
