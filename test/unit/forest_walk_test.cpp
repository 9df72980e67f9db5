// The walk down large trees gives the sums of the plain one.
#include "core/forest_walk.hpp"

#include "forest_testing.hpp"

namespace ad::test {
namespace {

TEST(ForestWalk, EqualsThePlainWalk) {
    Random random(1);
    for (const std::size_t columns : {1, 3, 200}) {
        for (const std::uint32_t depth : {0, 1, 9, 13}) {
            const auto trees = make_trees(11, columns, depth, random);
            const ForestWalk walk(trees, columns);
            const auto values = make_columns(columns, 100, random);
            for (const std::size_t rows : {1, 7, 8, 100}) {
                const std::vector<const double*> pointers = pointers_to(values);
                const Columns block{pointers.data(), columns, rows};
                std::vector<std::uint64_t> expected(rows);
                walk_forest(trees, block, expected.data());
                std::vector<std::uint64_t> sums(rows, 99);
                walk.sum_paths(block, sums.data());
                ASSERT_EQ(sums, expected) << columns << " columns, " << rows << " rows";
            }
        }
    }
}

}  // namespace
}  // namespace ad::test
