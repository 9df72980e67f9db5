// The kernel gives the sums of the plain walk, on every instruction set that this CPU has.
#include "core/forest.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "core/random.hpp"

namespace ad {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Few distinct values, so that some equal a threshold; some missing, some infinite.
std::vector<std::vector<double>> make_columns(std::size_t columns, std::size_t rows,
                                              Random& random) {
    std::vector<std::vector<double>> values(columns, std::vector<double>(rows));
    for (auto& column : values) {
        for (double& value : column) {
            value = random.below(50) / 50.0;
            if (random.below(20) == 0) value = kMissing;
            if (random.below(50) == 0) value = random.below(2) == 0 ? kInfinity : -kInfinity;
        }
    }
    return values;
}

std::uint32_t grow(ForestTree& tree, std::size_t columns, std::uint32_t depth, Random& random) {
    if (depth == 0 || random.below(8) == 0)
        return tree.add_leaf(1 + random.below(30), 8 - std::min(depth, 8U));
    const auto feature =
        static_cast<std::uint16_t>(random.below(static_cast<std::uint32_t>(columns)));
    const auto i = tree.add_split(2, feature, random.below(50) / 50.0, random.below(2) == 0);
    tree.depth = std::max(tree.depth, 12U);
    grow(tree, columns, depth - 1, random);
    const auto right = grow(tree, columns, depth - 1, random);
    tree.nodes[i].right = right;
    return i;
}

std::vector<ForestTree> make_trees(std::size_t count, std::size_t columns, std::uint32_t depth,
                                   Random& random) {
    std::vector<ForestTree> trees(count);
    for (auto& tree : trees) grow(tree, columns, depth, random);
    return trees;
}

void expect_equal_sums(const std::vector<ForestTree>& trees, const ForestKernel& kernel,
                       const std::vector<std::vector<double>>& values) {
    for (const std::size_t rows :
         {std::size_t{1}, std::size_t{31}, std::size_t{256}, std::size_t{777}}) {
        std::vector<const double*> pointers;
        for (const auto& column : values) pointers.push_back(column.data());
        const Columns block{pointers.data(), pointers.size(), rows};
        std::vector<std::uint64_t> expected(rows);
        walk_forest(trees, block, expected.data());
        for (const auto variant : ForestKernel::variants()) {
            std::vector<std::uint64_t> sums(rows, 99);
            (kernel.*variant)(block, sums.data());
            ASSERT_EQ(sums, expected) << rows << " rows";
        }
    }
}

TEST(ForestKernel, EqualsTheWalk) {
    Random random(1);
    for (const std::size_t columns : {std::size_t{1}, std::size_t{3}, std::size_t{40}}) {
        for (const std::uint32_t depth : {0U, 1U, 5U, 8U}) {
            const auto trees = make_trees(50, columns, depth, random);
            const ForestKernel kernel(trees, columns);
            ASSERT_TRUE(kernel.usable()) << columns << " columns, depth " << depth;
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
    ASSERT_TRUE(kernel.usable());
    expect_equal_sums(trees, kernel, make_columns(1, 777, random));
}

TEST(ForestKernel, DeclinesTreesOfMoreThan256Leaves) {
    Random random(3);
    std::vector<ForestTree> trees(1);
    for (std::uint32_t depth = 9; trees[0].path.size() <= 2 * 256; ++depth) {
        trees[0] = ForestTree();
        grow(trees[0], 4, depth, random);
    }
    EXPECT_FALSE(ForestKernel(trees, 4).usable());
}

}  // namespace
}  // namespace ad
