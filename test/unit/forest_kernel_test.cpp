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
    std::vector<ForestTree> trees(300);
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

TEST(ForestKernel, DeclinesHigherTrees) {
    std::vector<ForestTree> trees(1);
    grow_full(trees[0], 0.0, 1.0, 0, 9);
    EXPECT_FALSE(ForestKernel(trees, 1).usable(1000));
}

}  // namespace
}  // namespace ad::test
