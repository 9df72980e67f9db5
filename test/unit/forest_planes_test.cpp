// Planes, sets of categories and what a forest of them promises: the kernel gives the sums of the
// plain walk on every instruction set; bytes that pass `load` can be scored.
#include "core/forest_planes.hpp"

#include <cstring>

#include "core/forest_planes_kernel.hpp"
#include "testing.hpp"

namespace ad::test {
namespace {

constexpr ForestSettings kSettings{.trees = 12,
                                   .samples = 128,
                                   .features = 1.0,
                                   .bootstrap = false,
                                   .max_depth = kMaxTreeDepth,
                                   .dimensions = 2,
                                   .tries = 1,
                                   .pooled = 1.0,
                                   .averaged = 0.0,
                                   .normal_coefficients = false,
                                   .penalizes_range = false,
                                   .weighs_by_kurtosis = false,
                                   .by_density = false};

/// Three columns of numbers, and two of 5 and of 40 categories.
struct Data {
    Matrix values;
    std::vector<std::uint32_t> categories{0, 0, 0, 5, 40};

    Data(std::size_t rows, bool missing, std::uint64_t seed) : values(rows, 5) {
        Random random(seed);
        for (std::size_t j = 0; j < 5; ++j) {
            for (std::size_t i = 0; i < rows; ++i) {
                double& value = values.column(j)[i];
                value = random.uniform() + random.uniform() * random.uniform() * 9.0;
                if (j > 2) value = random.below(random.below(categories[j]) + 1);
                if (missing && random.below(9) == 0) value = kMissing;
            }
        }
    }
    Training training() const {
        return {.rows = values.view(), .weights = nullptr, .categories = categories.data()};
    }
};

PlaneForest fit(const Training& training, const ForestSettings& settings) {
    PlaneForest forest;
    forest.fit(training, settings, Random(7));
    return forest;
}

std::vector<std::uint64_t> walked(const PlaneForest& forest, const Columns& rows) {
    std::vector<std::uint64_t> sums(rows.rows);
    forest.walk(rows, sums.data());
    return sums;
}

std::string bytes_of(const PlaneForest& forest) {
    Writer out;
    forest.save(out);
    return out.take();
}

std::vector<ForestSettings> variants() {
    std::vector<ForestSettings> all;
    for (const std::uint32_t dimensions : {1, 2, 3, 5}) {
        for (const double pooled : {0.0, 0.5, 1.0}) {
            for (const bool penalizes : {false, true}) {
                ForestSettings settings = kSettings;
                settings.dimensions = dimensions;
                settings.pooled = pooled;
                settings.averaged = (1.0 - pooled) / 2.0;
                settings.tries = dimensions == 3 ? 3 : 1;
                settings.penalizes_range = penalizes;
                settings.by_density = !penalizes && pooled == 0.5;
                settings.normal_coefficients = dimensions == 2;
                settings.weighs_by_kurtosis = dimensions != 2;
                all.push_back(settings);
            }
        }
    }
    return all;
}

TEST(PlaneForest, KernelEqualsTheWalk) {
    for (const bool missing : {false, true}) {
        const Data data(700, missing, 1);
        for (const ForestSettings& settings : variants()) {
            const auto forest = fit(data.training(), settings);
            const auto expected = walked(forest, data.values.view());
            const auto loaded_bytes = bytes_of(forest);
            for (const PlaneLoops& loops : plane_loops()) {
                std::vector<std::uint64_t> sums(700, 99);
                ASSERT_TRUE(forest.sum_by_kernel(data.values.view(), loops, sums.data()));
                ASSERT_EQ(sums, expected)
                    << loops.name << ", " << settings.dimensions << " columns a split, "
                    << settings.penalizes_range << missing;
            }
            std::vector<std::uint64_t> sums(700, 99);
            for (int i = 0; i < 2; ++i) {
                forest.sum_paths(data.values.view(), sums.data());
                ASSERT_EQ(sums, expected);
            }
        }
    }
}

TEST(PlaneForest, LargeTreesAreWalked) {
    const Data data(1500, true, 2);
    ForestSettings settings = kSettings;
    settings.samples = 1500;
    settings.trees = 2;
    const auto forest = fit(data.training(), settings);
    std::vector<std::uint64_t> sums(1500, 99);
    EXPECT_FALSE(forest.sum_by_kernel(data.values.view(), plane_loops().back(), sums.data()));
    forest.sum_paths(data.values.view(), sums.data());
    EXPECT_EQ(sums, walked(forest, data.values.view()));
}

TEST(PlaneForest, IsTheSameFromItsBytes) {
    const Data data(300, true, 3);
    for (const ForestSettings& settings : variants()) {
        const auto forest = fit(data.training(), settings);
        const auto bytes = bytes_of(forest);
        Reader in(bytes);
        PlaneForest loaded;
        loaded.load(in, 5);
        in.end();
        EXPECT_EQ(bytes_of(loaded), bytes);
        EXPECT_EQ(walked(loaded, data.values.view()), walked(forest, data.values.view()));
        std::vector<double> expected(5);
        std::vector<double> found(5);
        forest.explain(data.values.view(), 5, 1.0, expected.data());
        loaded.explain(data.values.view(), 5, 1.0, found.data());
        EXPECT_EQ(bits_of(found), bits_of(expected));
    }
}

/// Whatever passes `load` scores any row, and bytes that are cut do not pass.
TEST(PlaneForest, LoadsNothingThatItCannotScore) {
    const Data data(64, true, 4);
    Random random(5);
    for (const std::uint32_t dimensions : {1, 2}) {
        ForestSettings settings = kSettings;
        settings.dimensions = dimensions;
        settings.penalizes_range = true;
        settings.trees = 2;
        settings.samples = 40;
        const auto bytes = bytes_of(fit(data.training(), settings));
        for (std::size_t length = 0; length < bytes.size(); ++length) {
            Reader in(std::string_view(bytes).substr(0, length));
            PlaneForest forest;
            EXPECT_THROW(forest.load(in, 5), CorruptModel) << length;
        }
        std::size_t loaded = 0;
        for (int round = 0; round < 3000; ++round) {
            std::string changed = bytes;
            for (std::uint32_t k = 0; k <= random.below(3); ++k)
                changed[random.below(static_cast<std::uint32_t>(bytes.size()))] =
                    static_cast<char>(random.below(256));
            Reader in(changed);
            PlaneForest forest;
            try {
                forest.load(in, 5);
            } catch (const CorruptModel&) {
                continue;
            }
            ++loaded;
            std::vector<std::uint64_t> sums(64, 99);
            forest.sum_by_kernel(data.values.view(), plane_loops().back(), sums.data());
            EXPECT_EQ(sums, walked(forest, data.values.view()));
            for (const auto sum : sums) EXPECT_LT(sum, 2 * 600ULL << 16);
        }
        EXPECT_GT(loaded, 100U);
    }
}

}  // namespace
}  // namespace ad::test
