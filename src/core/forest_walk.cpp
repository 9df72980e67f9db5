#include "forest_walk.hpp"

#include <algorithm>

#include "ordered_key.hpp"

namespace ad {

namespace {

// Keys of a missing value, below and above those of all numbers; and above these, the thresholds of
// leaves, which hold the length of the path in their lower half.
constexpr std::uint64_t kLeaf = 0xffffffff00000000;
constexpr std::uint64_t kHighest = kLeaf - 1;
constexpr std::uint64_t kLowest = 0;

}  // namespace

ForestWalk::ForestWalk(const std::vector<ForestTree>& trees, std::size_t columns)
    : planes_(2 * columns) {
    std::size_t nodes = 0;
    for (const ForestTree& tree : trees) nodes += tree.nodes.size();
    nodes_.reserve(nodes);
    trees_.reserve(trees.size());
    for (const ForestTree& tree : trees) {
        poll();
        append(tree);
    }
}

/// Level by level, so that the children of a node are appended together.
void ForestWalk::append(const ForestTree& tree) {
    const auto root = static_cast<std::uint32_t>(nodes_.size());
    std::vector<std::uint32_t> level{0};
    std::uint32_t next = root + 1;
    while (!level.empty()) {
        std::vector<std::uint32_t> below;
        for (const std::uint32_t i : level) {
            const ForestNode& node = tree.nodes[i];
            if (tree.is_leaf(i)) {
                nodes_.push_back(
                    {kLeaf | tree.path[i], static_cast<std::uint32_t>(nodes_.size()), 0});
                continue;
            }
            nodes_.push_back(
                {ordered_key(node.threshold), next, 2U * node.feature + node.missing_left});
            below.push_back(i + 1);
            below.push_back(node.right);
            next += 2;
        }
        level.swap(below);
    }
    trees_.push_back({root, tree.depth});
}

void ForestWalk::make_keys(const Columns& rows, std::size_t row, std::uint64_t* keys) const {
    for (std::size_t j = 0; j < rows.count; ++j) {
        const double value = rows.at(row, j);
        const bool missing = std::isnan(value);
        const std::uint64_t key = ordered_key(value);
        keys[2 * j] = missing ? kHighest : key;
        keys[2 * j + 1] = missing ? kLowest : key;
    }
}

/// Down one tree with the rows whose keys are at `keys`.
void ForestWalk::walk_rows(const Tree& tree, const std::uint64_t* keys, std::uint64_t* sums) const {
    const Node* const nodes = nodes_.data();
    std::uint64_t at[kTogether];
    for (std::size_t k = 0; k < kTogether; ++k) at[k] = tree.root;
    for (std::uint32_t step = 0; step < tree.depth; ++step) {
#pragma GCC unroll 16
        for (std::size_t k = 0; k < kTogether; ++k) {
            const Node& node = nodes[at[k]];
            at[k] = second_if_below(node.child, node.threshold, keys[k * planes_ + node.plane]);
        }
    }
    for (std::size_t k = 0; k < kTogether; ++k)
        sums[k] += static_cast<std::uint32_t>(nodes[at[k]].threshold);
}

/// Down `count` trees, kTogether at most, with one row.
std::uint64_t ForestWalk::walk_trees(const Tree* trees, std::size_t count,
                                     const std::uint64_t* keys) const {
    const Node* const nodes = nodes_.data();
    std::uint64_t at[kTogether];
    std::uint32_t depth = 0;
    for (std::size_t k = 0; k < kTogether; ++k) {
        const Tree& tree = trees[std::min(k, count - 1)];
        at[k] = tree.root;
        depth = std::max(depth, tree.depth);
    }
    for (std::uint32_t step = 0; step < depth; ++step) {
#pragma GCC unroll 16
        for (std::size_t k = 0; k < kTogether; ++k) {
            const Node& node = nodes[at[k]];
            at[k] = second_if_below(node.child, node.threshold, keys[node.plane]);
        }
    }
    std::uint64_t sum = 0;
    for (std::size_t k = 0; k < count; ++k)
        sum += static_cast<std::uint32_t>(nodes[at[k]].threshold);
    return sum;
}

void ForestWalk::sum_paths(const Columns& rows, std::uint64_t* sums) const {
    std::fill_n(sums, rows.rows, 0);
    std::vector<std::uint64_t> keys(rows.rows * planes_);
    for (std::size_t i = 0; i < rows.rows; ++i) make_keys(rows, i, &keys[i * planes_]);
    const std::size_t together = rows.rows / kTogether * kTogether;
    for (const Tree& tree : trees_) {
        for (std::size_t i = 0; i < together; i += kTogether) {
            walk_rows(tree, &keys[i * planes_], sums + i);
        }
    }
    for (std::size_t i = together; i < rows.rows; ++i) {
        for (std::size_t t = 0; t < trees_.size(); t += kTogether) {
            const std::size_t count = std::min(kTogether, trees_.size() - t);
            sums[i] += walk_trees(&trees_[t], count, &keys[i * planes_]);
        }
    }
}

}  // namespace ad
