// What PlaneWalk and WideWalk have in common: the order of the nodes, and which rows go down which
// trees together.
#pragma once

#include <algorithm>
#include <bit>
#include <limits>

#include "forest_planes.hpp"

namespace ad {

/// Some walks side by side, each with its tree and its values: independent, so that they hide each
/// other's latency.
struct WalkGroup {
    static constexpr std::size_t kTogether = 16;

    struct Tree {
        std::uint32_t root;
        std::uint32_t depth;
        std::uint32_t seed;
    };

    alignas(64) std::uint32_t at[kTogether];  ///< first the roots
    std::uint32_t outside[kTogether];         ///< how often a sum was outside of its node's width
    std::uint32_t seed[kTogether];
    std::uint64_t path[kTogether];  ///< in the end
    std::uint32_t depth = 0;

    WalkGroup(const Tree* trees, std::size_t count) {
        for (std::size_t k = 0; k < kTogether; ++k) {
            const Tree& tree = trees[std::min(k, count - 1)];
            at[k] = tree.root;
            seed[k] = tree.seed;
            outside[k] = 0;
            depth = std::max(depth, tree.depth);
        }
    }
};

/// A leaf leads to itself, so that a walk may take more steps than it needs: its threshold is above
/// all sums. It also holds the length of the path.
constexpr std::uint32_t kLeafBits = std::bit_cast<std::uint32_t>(0x1p100F);
static_assert(kLeafBits + (kMaxTreeDepth + 64U) * static_cast<std::uint32_t>(kPathUnit) <
              std::bit_cast<std::uint32_t>(std::numeric_limits<float>::max()));

inline float leaf_threshold(std::uint32_t path) { return std::bit_cast<float>(kLeafBits + path); }

/// The path of a walk that has come to a leaf.
inline std::uint64_t walked_path(float threshold, std::uint32_t outside) {
    const std::uint32_t path = std::bit_cast<std::uint32_t>(threshold) - kLeafBits;
    return path - outside * static_cast<std::uint64_t>(kPathUnit);
}

/// Steps between two looks whether all walks of a group have ended.
inline constexpr std::uint32_t kStepsBetweenLooks = 8;

/// Appends the children of a node together, and after them those of the child with more rows, so
/// that most steps are to a place nearby. Nodes: `append` returns the place of a node, as if it
/// were a leaf; `link` sets the place of the first child.
template <typename Nodes>
WalkGroup::Tree lay_out(const PlaneTree& tree, Nodes& nodes) {
    struct Open {
        std::uint32_t node;
        std::uint32_t at;
    };
    const std::uint32_t root = nodes.append(tree, 0);
    std::vector<Open> open{{0, root}};
    while (!open.empty()) {
        const auto [i, at] = open.back();
        open.pop_back();
        if (tree.is_leaf(i)) continue;
        const std::uint32_t right = tree.nodes[i].right;
        const std::uint32_t first = nodes.append(tree, i + 1);
        const std::uint32_t second = nodes.append(tree, right);
        nodes.link(at, first);
        open.push_back({i + 1, first});
        open.push_back({right, second});
        if (tree.rows[i + 1] > tree.rows[right]) std::swap(open.back(), open.end()[-2]);
    }
    return {root, tree.depth, tree.seed};
}

/// Those that walk together take as many steps as the deepest.
inline void sort_by_depth(std::vector<WalkGroup::Tree>& trees) {
    std::sort(trees.begin(), trees.end(),
              [](const auto& a, const auto& b) { return a.depth < b.depth; });
}

/// Sums of paths, as of PlaneForest::walk. Walk: `take` brings rows into `line_count` lines, if it
/// is one, for all walks, and returns whether a value is missing; `prepare` makes them fit for the
/// trees of a group; `run` walks.
template <typename Walk>
class SideBySide {
  public:
    SideBySide(const Walk& walk, const std::vector<PlaneColumn>& columns, const Columns& rows)
        : walk_(walk), columns_(columns), rows_(rows) {}

    void sum(std::uint64_t* sums) {
        std::fill_n(sums, rows_.rows, 0);
        const std::size_t together = rows_.rows / kTogether * kTogether;
        const std::size_t block = std::min(Detector::kMaxBlock, together);
        lines_.resize(std::max<std::size_t>(block / kTogether, 1) * walk_.line_count());
        for (std::size_t first = 0; first < together; first += Detector::kMaxBlock) {
            const std::size_t groups = std::min(Detector::kMaxBlock, together - first) / kTogether;
            sum_groups(first, groups, sums);
        }
        for (std::size_t i = together; i < rows_.rows; ++i) sums[i] = sum_row(i);
    }

  private:
    static constexpr std::size_t kTogether = WalkGroup::kTogether;

    /// Down one tree after the other with many rows, so that a tree stays in the caches.
    void sum_groups(std::size_t first, std::size_t groups, std::uint64_t* sums) {
        const std::size_t stride = walk_.line_count();
        bool missing[Detector::kMaxBlock / kTogether];
        for (std::size_t g = 0; g < groups; ++g) {
            missing[g] = walk_.take(columns_, rows_, first + g * kTogether, kTogether,
                                    lines_.data() + g * stride);
        }
        for (const WalkGroup::Tree& tree : walk_.trees()) {
            poll();
            for (std::size_t g = 0; g < groups; ++g) {
                WalkGroup group(&tree, 1);
                walk_.prepare(group, lines_.data() + g * stride);
                walk_.run(group, lines_.data() + g * stride, missing[g]);
                for (std::size_t k = 0; k < kTogether; ++k)
                    sums[first + g * kTogether + k] += group.path[k];
            }
        }
    }

    /// Down some trees at a time.
    std::uint64_t sum_row(std::size_t row) {
        const bool missing = walk_.take(columns_, rows_, row, 1, lines_.data());
        const std::vector<WalkGroup::Tree>& trees = walk_.trees();
        std::uint64_t sum = 0;
        for (std::size_t t = 0; t < trees.size(); t += kTogether) {
            const std::size_t count = std::min(kTogether, trees.size() - t);
            WalkGroup group(&trees[t], count);
            walk_.prepare(group, lines_.data());
            walk_.run(group, lines_.data(), missing);
            for (std::size_t k = 0; k < count; ++k) sum += group.path[k];
        }
        return sum;
    }

    const Walk& walk_;
    const std::vector<PlaneColumn>& columns_;
    const Columns& rows_;
    std::vector<typename Walk::Line> lines_;
};

}  // namespace ad
