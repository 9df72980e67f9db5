#include "forest.hpp"

#include <algorithm>

#include "portable_math.hpp"

namespace ad {

double average_path(double n) {
    if (n <= 1.0) return 0.0;
    if (n <= 2.0) return 1.0;
    return 2.0 * (portable_log(n - 1.0) + kEulerGamma) - 2.0 * (n - 1.0) / n;
}

std::uint32_t ForestTree::add_leaf(std::uint32_t count, std::uint32_t at_depth) {
    const auto i = static_cast<std::uint32_t>(nodes.size());
    nodes.push_back({kMissing, i, 0, 0});
    rows.push_back(count);
    path.push_back(static_cast<std::uint32_t>((at_depth + average_path(count)) * kPathUnit + 0.5));
    depth = std::max(depth, at_depth);
    return i;
}

std::uint32_t ForestTree::add_split(std::uint32_t count, std::uint16_t feature, double threshold,
                                    bool missing_left) {
    const auto i = static_cast<std::uint32_t>(nodes.size());
    nodes.push_back({threshold, 0, feature, static_cast<std::uint16_t>(missing_left)});
    rows.push_back(count);
    path.push_back(0);
    return i;
}

namespace {

constexpr std::size_t kLanes = 8;  ///< independent walks at a time hide the latency of each

/// Eight rows down one tree.
void walk_rows(const ForestTree& tree, const Columns& rows, std::size_t first,
               std::uint64_t* sums) {
    std::uint32_t at[kLanes] = {};
    for (std::uint32_t step = 0; step < tree.depth; ++step) {
#pragma GCC unroll 8
        for (std::size_t k = 0; k < kLanes; ++k) {
            at[k] = tree.child(at[k], rows.at(first + k, tree.nodes[at[k]].feature));
        }
    }
    for (std::size_t k = 0; k < kLanes; ++k) sums[first + k] += tree.path[at[k]];
}

/// One row down eight trees.
std::uint64_t walk_trees(const ForestTree* trees, const Columns& rows, std::size_t row) {
    std::uint32_t at[kLanes] = {};
    std::uint32_t depth = 0;
    for (std::size_t k = 0; k < kLanes; ++k) depth = std::max(depth, trees[k].depth);
    for (std::uint32_t step = 0; step < depth; ++step) {
#pragma GCC unroll 8
        for (std::size_t k = 0; k < kLanes; ++k) {
            at[k] = trees[k].child(at[k], rows.at(row, trees[k].nodes[at[k]].feature));
        }
    }
    std::uint64_t sum = 0;
    for (std::size_t k = 0; k < kLanes; ++k) sum += trees[k].path[at[k]];
    return sum;
}

std::uint64_t walk_tree(const ForestTree& tree, const Columns& rows, std::size_t row) {
    std::uint32_t at = 0;
    while (!tree.is_leaf(at)) at = tree.child(at, rows.at(row, tree.nodes[at].feature));
    return tree.path[at];
}

}  // namespace

void walk_forest(const std::vector<ForestTree>& trees, const Columns& rows, std::uint64_t* sums) {
    std::fill_n(sums, rows.rows, 0);
    const std::size_t together = rows.rows / kLanes * kLanes;
    for (const ForestTree& tree : trees) {
        for (std::size_t i = 0; i < together; i += kLanes) walk_rows(tree, rows, i, sums);
    }
    for (std::size_t i = together; i < rows.rows; ++i) {
        std::size_t t = 0;
        for (; t + kLanes <= trees.size(); t += kLanes) sums[i] += walk_trees(&trees[t], rows, i);
        for (; t < trees.size(); ++t) sums[i] += walk_tree(trees[t], rows, i);
    }
}

}  // namespace ad
