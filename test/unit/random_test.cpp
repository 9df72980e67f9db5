#include "core/random.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

// The first outputs of the reference implementation (Vigna, splitmix64.c) for seed 1234567.
TEST(Random, IsSplitMix64) {
    Random random(1234567);
    for (const std::uint64_t expected :
         {6457827717110365317ULL, 3203168211198807973ULL, 9817491932198370423ULL,
          4593380528125082431ULL, 16408922859458223821ULL}) {
        EXPECT_EQ(random.next(), expected);
    }
}

TEST(Random, UniformStaysInItsInterval) {
    Random random(1);
    double sum = 0.0;
    constexpr int kDraws = 100000;
    for (int i = 0; i < kDraws; ++i) {
        const double u = random.uniform();
        ASSERT_GE(u, 0.0);
        ASSERT_LT(u, 1.0);
        sum += u;
    }
    EXPECT_NEAR(sum / kDraws, 0.5, 5 / std::sqrt(12.0 * kDraws));  // five standard errors
}

TEST(Random, BelowIsUniform) {
    for (const std::uint32_t bound : {1U, 2U, 3U, 7U, 100U}) {
        Random random(bound);
        std::vector<double> counts(bound);
        constexpr int kDraws = 70000;
        for (int i = 0; i < kDraws; ++i) {
            const auto drawn = random.below(bound);
            ASSERT_LT(drawn, bound);
            counts[drawn] += 1;
        }
        double chi_square = 0.0;
        const double expected = static_cast<double>(kDraws) / bound;
        for (const double count : counts) {
            chi_square += (count - expected) * (count - expected) / expected;
        }
        // mean bound - 1, variance 2 (bound - 1)
        EXPECT_LE(chi_square, bound - 1 + 5 * std::sqrt(2.0 * bound));
    }
}

TEST(Random, BelowTakesTheLargestBound) {
    Random random(1);
    std::uint32_t highest = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto drawn = random.below(0xffffffff);
        ASSERT_LT(drawn, 0xffffffff);
        highest = std::max(highest, drawn);
    }
    EXPECT_GT(highest, 0xf0000000);  // all below it: once in 10^28
}

TEST(Random, SplitStreamsAreIndependentOfLaterDraws) {
    Random one(9);
    Random two(9);
    Random of_one = one.split();
    Random of_two = two.split();
    two.next();
    EXPECT_EQ(of_one.next(), of_two.next());
    EXPECT_NE(of_one.next(), one.next());
}

}  // namespace
}  // namespace ad::test
