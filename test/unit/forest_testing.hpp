// Random trees and rows for the tests of what walks through forests.
#pragma once

#include "core/forest.hpp"
#include "testing.hpp"

namespace ad::test {

/// Few distinct values, so that some equal a threshold; some NaN, of either sign, some infinite.
inline std::vector<std::vector<double>> make_columns(std::size_t columns, std::size_t rows,
                                                     Random& random) {
    std::vector<std::vector<double>> values(columns, std::vector<double>(rows));
    for (auto& column : values) {
        for (double& value : column) {
            value = random.below(50) / 50.0;
            if (random.below(20) == 0) value = random.below(2) == 0 ? kMissing : -kMissing;
            if (random.below(50) == 0) value = random.below(2) == 0 ? kInfinity : -kInfinity;
        }
    }
    return values;
}

inline std::uint32_t grow(ForestTree& tree, std::size_t columns, std::uint32_t depth,
                          std::uint32_t max_depth, Random& random) {
    if (depth == max_depth || random.below(8) == 0)
        return tree.add_leaf(1 + random.below(30), depth);
    const auto feature =
        static_cast<std::uint16_t>(random.below(static_cast<std::uint32_t>(columns)));
    const auto i = tree.add_split(2, feature, random.below(50) / 50.0, random.below(2) == 0);
    grow(tree, columns, depth + 1, max_depth, random);
    const auto right = grow(tree, columns, depth + 1, max_depth, random);
    tree.nodes[i].right = right;
    return i;
}

inline std::vector<ForestTree> make_trees(std::size_t count, std::size_t columns,
                                          std::uint32_t depth, Random& random) {
    std::vector<ForestTree> trees(count);
    for (auto& tree : trees) grow(tree, columns, 0, depth, random);
    return trees;
}

inline std::vector<const double*> pointers_to(const std::vector<std::vector<double>>& values) {
    std::vector<const double*> pointers;
    for (const auto& column : values) pointers.push_back(column.data());
    return pointers;
}

}  // namespace ad::test
