// The kernel gives the sums of the plain walk, on every instruction set that this CPU has.
#include "core/forest_kernel.hpp"

#include "forest_testing.hpp"

namespace ad::test {
namespace {

/// All splits of one column, every leaf at the same depth.
std::uint32_t grow_full(ForestTree& tree, double low, double high, std::uint32_t depth,
                        std::uint32_t max_depth) {
    if (depth == max_depth) return tree.add_leaf(1, depth);
    const double middle = (low + high) / 2;
    const auto i = tree.add_split(2, 0, middle, false);
    grow_full(tree, low, middle, depth + 1, max_depth);
    const auto right = grow_full(tree, middle, high, depth + 1, max_depth);
    tree.nodes[i].right = right;
    return i;
}

void expect_equal_sums(const std::vector<ForestTree>& trees, const ForestKernel& kernel,
                       const std::vector<std::vector<double>>& values) {
    for (const std::size_t rows : {1, 31, 64, 512, 777}) {
        const std::vector<const double*> pointers = pointers_to(values);
        const Columns block{pointers.data(), pointers.size(), rows};
        std::vector<std::uint64_t> expected(rows);
        walk_forest(trees, block, expected.data());
        for (const ForestLoops& loops : forest_loops()) {
            std::vector<std::uint64_t> sums(rows, 99);
            kernel.sum_blocks(block, loops, sums.data());
            ASSERT_EQ(sums, expected) << rows << " rows, " << loops.name;
            if (!kernel.usable(1)) continue;  // too many columns for single rows
            std::fill(sums.begin(), sums.end(), 99);
            kernel.sum_each(block, loops, sums.data());
            ASSERT_EQ(sums, expected) << rows << " rows one by one, " << loops.name;
        }
    }
}

TEST(ForestKernel, EqualsTheWalk) {
    Random random(1);
    for (const std::size_t columns : {1, 3, 9, 40, 64, 65, 128, 129}) {
        for (const std::uint32_t depth : {0, 1, 5, 8}) {
            const auto trees = make_trees(53, columns, depth, random);
            const ForestKernel kernel(trees, columns);
            ASSERT_TRUE(kernel.usable(32)) << columns << " columns, depth " << depth;
            ASSERT_EQ(kernel.usable(31), columns <= 128);
            expect_equal_sums(trees, kernel, make_columns(columns, 777, random));
        }
    }
}

/// One column with more distinct thresholds than a group can hold: several groups.
TEST(ForestKernel, SplitsIntoGroups) {
    Random random(2);
    std::vector<ForestTree> trees(ForestKernel::kMaxTrees);
    for (auto& tree : trees) {
        const auto root = tree.add_split(3, 0, random.uniform(), false);
        const auto inner = tree.add_split(2, 0, random.uniform(), true);
        tree.add_leaf(1, 2);
        tree.nodes[inner].right = tree.add_leaf(1, 2);
        tree.nodes[root].right = tree.add_leaf(1, 1);
    }
    const ForestKernel kernel(trees, 1);
    ASSERT_TRUE(kernel.usable(1));
    expect_equal_sums(trees, kernel, make_columns(1, 777, random));
}

/// The most nodes that a tree can have, and one too many thresholds for 8-bit ranks with a missing
/// value.
TEST(ForestKernel, TakesFullTrees) {
    Random random(3);
    std::vector<ForestTree> trees(5);
    for (auto& tree : trees) grow_full(tree, 0.0, 1.0, 0, 7);
    expect_equal_sums(trees, ForestKernel(trees, 1), make_columns(1, 777, random));
    grow_full(trees.emplace_back(), 0.0, 1.0, 0, 8);
    EXPECT_FALSE(ForestKernel(trees, 1).usable(1000));
}

/// A tree that asks for thresholds of a column that no other tree has asked for, low to high.
std::uint32_t grow_fresh(ForestTree& tree, std::uint16_t column, double& next, std::uint32_t depth,
                         std::uint32_t max_depth, Random& random) {
    if (depth == max_depth) return tree.add_leaf(1 + random.below(9), depth);
    const auto i = tree.add_split(2, column, 0.0, random.below(2) == 0);
    grow_fresh(tree, column, next, depth + 1, max_depth, random);
    tree.nodes[i].threshold = next++;
    const auto right = grow_fresh(tree, column, next, depth + 1, max_depth, random);
    tree.nodes[i].right = right;
    return i;
}

/// Whole numbers up to `most`, their neighbours, what is beyond them, and missing values.
std::vector<double> values_around(double most, std::size_t rows, Random& random) {
    std::vector<double> values(rows);
    for (double& value : values) {
        value = std::floor(random.uniform() * (most + 3.0)) - 1.0;
        switch (random.below(10)) {
            case 0:
                value = random.below(2) == 0 ? kMissing : -kMissing;
                break;
            case 1:
                value = std::nextafter(value, kInfinity);
                break;
            case 2:
                value = std::nextafter(value, -kInfinity);
                break;
            default:
                break;
        }
    }
    return values;
}

/// Tables with from 0 to 9 levels, in batches that are full and others that are not, and more than
/// a group can hold in the largest of them.
TEST(ForestKernel, TakesColumnsOfEverySize) {
    Random random(5);
    std::vector<std::uint32_t> sizes{0,  1,  2,  3,  4,  5,  6,   7,   8,
                                     15, 16, 17, 31, 32, 33, 250, 300, 400};
    for (const std::uint32_t more : {0, 1, 2, 3, 7, 15, 16, 100}) sizes.push_back(more);
    sizes.insert(sizes.end(), 6, 5);
    for (const std::size_t columns : {sizes.size(), std::size_t{11}, std::size_t{1}}) {
        shuffle(sizes, columns);
        std::vector<ForestTree> trees;
        std::vector<std::vector<double>> values;
        for (std::size_t j = 0; j < columns; ++j) {
            double next = 0.0;
            while (next < sizes[j]) {
                std::uint32_t depth = 1;
                while (depth < 6 && next + (2U << depth) - 1 <= sizes[j]) ++depth;
                grow_fresh(trees.emplace_back(), static_cast<std::uint16_t>(j), next, 0, depth,
                           random);
            }
            values.push_back(values_around(sizes[j], 777, random));
        }
        if (trees.empty()) trees.emplace_back().add_leaf(3, 0);
        shuffle(trees, 1);
        const ForestKernel kernel(trees, columns);
        ASSERT_TRUE(kernel.usable(1));
        expect_equal_sums(trees, kernel, values);
    }
}

TEST(ForestKernel, DeclinesMoreTrees) {
    Random random(6);
    const auto trees = make_trees(ForestKernel::kMaxTrees + 1, 3, 3, random);
    EXPECT_FALSE(ForestKernel(trees, 3).usable(1000));
    EXPECT_TRUE(ForestKernel(std::span(trees).first(ForestKernel::kMaxTrees), 3).usable(1000));
}

/// The longest paths that there are, in one group: their sum still has 32 bits.
TEST(ForestKernel, AddsUpTheLongestPaths) {
    Random random(9);
    constexpr std::uint32_t kLargestLeaf = std::numeric_limits<std::uint32_t>::max();
    const auto longest = static_cast<std::uint32_t>((8 + average_path(kLargestLeaf)) * kPathUnit);
    auto trees = make_trees(ForestKernel::kMaxTrees, 3, 3, random);
    for (ForestTree& tree : trees) {
        for (std::uint32_t i = 0; i < tree.nodes.size(); ++i) tree.path[i] = longest - i;
    }
    expect_equal_sums(trees, ForestKernel(trees, 3), make_columns(3, 777, random));
}

/// As many trees to a group as their thresholds allow: two.
TEST(ForestKernel, TakesManyGroups) {
    Random random(7);
    double next = 0.0;
    std::vector<ForestTree> trees(ForestKernel::kMaxTrees);
    for (ForestTree& tree : trees) grow_fresh(tree, 0, next, 0, 7, random);
    ASSERT_GT(next, 16000.0);
    shuffle(trees, 2);
    const ForestKernel kernel(trees, 1);
    ASSERT_TRUE(kernel.usable(1));
    expect_equal_sums(trees, kernel, {values_around(next, 777, random)});
}

TEST(ForestKernel, DeclinesHigherTrees) {
    std::vector<ForestTree> trees(1);
    grow_full(trees[0], 0.0, 1.0, 0, 9);
    EXPECT_FALSE(ForestKernel(trees, 1).usable(1000));
}

}  // namespace
}  // namespace ad::test
