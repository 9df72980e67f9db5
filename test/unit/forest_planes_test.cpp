// Planes, sets of categories and what a forest of them promises: the kernel gives the sums of the
// plain walk on every instruction set; bytes that pass `load` can be scored.
#include "core/forest_planes.hpp"
#include "core/forest_wide_loops.hpp"

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

/// Calls of one row, of more and fewer than walk together, and of more than are walked at a time.
void expect_walk(const PlaneForest& forest, const WideLoops& loops, const Matrix& values,
                 const std::string& what) {
    const Columns all = values.view();
    const auto expected = walked(forest, all);
    for (const std::size_t size : {std::size_t{1}, std::size_t{15}, std::size_t{37}, all.rows}) {
        for (std::size_t first = 0; first < std::min(2 * size, all.rows); first += size) {
            std::vector<const double*> columns(all.column, all.column + all.count);
            for (const double*& column : columns) column += first;
            const std::size_t rows = std::min(size, all.rows - first);
            std::vector<std::uint64_t> sums(rows, 99);
            ASSERT_TRUE(forest.sum_by_walk({columns.data(), all.count, rows}, loops, sums.data()));
            const auto from = expected.begin() + static_cast<std::ptrdiff_t>(first);
            const std::vector<std::uint64_t> of_rows(from,
                                                     from + static_cast<std::ptrdiff_t>(rows));
            ASSERT_EQ(sums, of_rows) << loops.name << ", " << what << ", " << rows << " rows";
        }
    }
}

void expect_walk(const PlaneForest& forest, const Matrix& values, const std::string& what) {
    for (const WideLoops& loops : wide_loops()) expect_walk(forest, loops, values, what);
}

TEST(PlaneForest, SideBySideEqualsTheWalk) {
    for (const bool missing : {false, true}) {
        const Data data(700, missing, 1);
        for (const ForestSettings& settings : variants()) {
            const auto forest = fit(data.training(), settings);
            expect_walk(forest, data.values,
                        std::to_string(settings.dimensions) + " columns a split, " +
                            std::to_string(settings.penalizes_range) + std::to_string(missing));
        }
    }
}

/// Whatever the numbers of terms and columns.
TEST(PlaneForest, WideEqualsTheWalk) {
    struct Case {
        std::size_t columns;
        std::uint32_t dimensions;
        bool penalizes;
        double missing;
    };
    for (const Case& of : {Case{9, 4, false, 0.02}, Case{9, 6, true, 0.02}, Case{9, 9, false, 0.0},
                           Case{16, 5, true, 0.0}, Case{17, 4, false, 0.02},
                           Case{17, 17, true, 0.0}, Case{40, 33, true, 0.02}}) {
        Matrix values(300, of.columns);
        std::vector<std::uint32_t> categories(of.columns, 0);
        categories.back() = 7;
        Random random(8);
        for (std::size_t j = 0; j < of.columns; ++j) {
            for (std::size_t i = 0; i < 300; ++i) {
                const double value = categories[j] > 0 ? random.below(7) : random.uniform();
                values.column(j)[i] = random.uniform() < of.missing ? kMissing : value;
            }
        }
        ForestSettings settings = kSettings;
        settings.dimensions = of.dimensions;
        settings.penalizes_range = of.penalizes;
        const auto forest = fit(
            {.rows = values.view(), .weights = nullptr, .categories = categories.data()}, settings);
        expect_walk(forest, values,
                    std::to_string(of.dimensions) + " of " + std::to_string(of.columns));
    }
}

TEST(PlaneForest, LargeTreesAreWalkedSideBySide) {
    const Data data(1500, true, 2);
    for (const std::uint32_t dimensions : {1, 2, 5}) {
        ForestSettings settings = kSettings;
        settings.samples = 1500;
        settings.trees = 2;
        settings.dimensions = dimensions;
        const auto forest = fit(data.training(), settings);
        std::vector<std::uint64_t> sums(1500, 99);
        EXPECT_FALSE(forest.sum_by_kernel(data.values.view(), plane_loops().back(), sums.data()));
        expect_walk(forest, data.values, "large trees");
        forest.sum_paths(data.values.view(), sums.data());
        EXPECT_EQ(sums, walked(forest, data.values.view()));
    }
}

/// Sets with a bit for each of thousands of categories would take more than the trees.
TEST(PlaneForest, DeclinesSetsOfThousandsOfCategories) {
    constexpr std::uint32_t kCategories = 60000;
    Matrix values(500, 1);
    Random random(6);
    for (std::size_t i = 0; i < 500; ++i) values.column(0)[i] = random.below(kCategories);
    ForestSettings settings = kSettings;
    settings.dimensions = 1;
    settings.samples = 500;
    const auto forest =
        fit({.rows = values.view(), .weights = nullptr, .categories = &kCategories}, settings);
    std::vector<std::uint64_t> sums(500, 99);
    EXPECT_FALSE(forest.sum_by_walk(values.view(), wide_loops().back(), sums.data()));
    forest.sum_paths(values.view(), sums.data());
    EXPECT_EQ(sums, walked(forest, values.view()));
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
    for (const std::uint32_t dimensions : {1, 2, 5}) {
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
            forest.sum_by_walk(data.values.view(), wide_loops().back(), sums.data());
            EXPECT_EQ(sums, walked(forest, data.values.view()));
            for (const auto sum : sums) EXPECT_LT(sum, 2 * 600ULL << 16);
        }
        EXPECT_GT(loaded, 100U);
    }
}

}  // namespace
}  // namespace ad::test
