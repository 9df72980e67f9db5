// Trees of an isolation forest, and the two ways to walk rows through them. Both give the same
// integer for the same row, whatever the CPU and the number of rows in the call.
#pragma once

#include <span>

#include "columns.hpp"

namespace ad {

/// Path lengths are added as integers in units of 2^-16, so that no order of summation and no
/// instruction set changes a score.
inline constexpr double kPathUnit = 65536.0;

/// Average path length of an unsuccessful search in a binary search tree of n keys.
double average_path(double n);

/// A tree lies in preorder: the left child follows its parent. A leaf points to itself and has a
/// threshold that no value is below, so that a walk may take more steps than it needs.
struct ForestNode {
    double threshold;  ///< value <= threshold goes left
    std::uint32_t right;
    std::uint16_t feature;
    std::uint16_t missing_left;
};
static_assert(sizeof(ForestNode) == 16);

struct ForestTree {
    std::vector<ForestNode> nodes;
    std::vector<std::uint32_t> rows;  ///< of the sample, in each node
    std::vector<std::uint32_t> path;  ///< of each leaf, in units of 1 / kPathUnit
    std::uint32_t depth = 0;

    bool is_leaf(std::uint32_t i) const { return nodes[i].right == i; }

    /// Both append a node and return its place; the caller sets the right child of a split.
    std::uint32_t add_leaf(std::uint32_t count, std::uint32_t at_depth);
    std::uint32_t add_split(std::uint32_t count, std::uint16_t feature, double threshold,
                            bool missing_left);

    std::uint32_t child(std::uint32_t i, double value) const {
        const ForestNode& node = nodes[i];
        // arithmetic, because a branch that nobody can predict would cost most of the time
        const std::uint32_t left = static_cast<std::uint32_t>(value <= node.threshold) |
                                   (static_cast<std::uint32_t>(value != value) & node.missing_left);
        return node.right + (i + 1 - node.right) * left;
    }
};

/// Adds up the path lengths of each row, tree by tree and node by node.
void walk_forest(const std::vector<ForestTree>& trees, const Columns& rows, std::uint64_t* sums);

/// The fast way for many rows: values become ranks among the thresholds of their column, and each
/// tree is evaluated bottom-up for a vector of rows at once, every node, without a branch. It needs
/// trees of at most 256 leaves.
class ForestKernel {
  public:
    /// Empty, for `usable() == false`, when the trees do not fit.
    ForestKernel() = default;
    ForestKernel(const std::vector<ForestTree>& trees, std::size_t columns);

    bool usable() const { return !groups_.empty(); }
    /// As walk_forest.
    void sum_paths(const Columns& rows, std::uint64_t* sums) const {
        (this->*variants().back())(rows, sums);
    }

    using Sum = void (ForestKernel::*)(const Columns& rows, std::uint64_t* sums) const;
    /// What this CPU can run, the fastest last.
    static std::span<const Sum> variants();
    std::size_t memory_bytes() const;

  private:
    friend struct KernelBuilder;

    /// One node. Operands are leaf numbers, or kFirstSlot + the slot of an inner node.
    struct Step {
        std::uint16_t plane;  ///< of ranks: 2 * column, + 1 if missing values go left
        std::uint8_t rank;    ///< ranks up to this go left
        std::uint8_t slot;    ///< where the outcome goes
        std::uint16_t left;
        std::uint16_t right;
    };
    struct Tree {
        std::uint32_t first_step;
        std::uint32_t steps;
        std::uint16_t root;  ///< operand that holds the leaf number in the end
    };
    /// Trees whose thresholds in any one column are at most kMaxRank + 1.
    struct Group {
        std::vector<Tree> trees;
        std::vector<std::uint8_t> rank_of;  ///< by offset of the column + rank in the forest
    };

    static constexpr std::uint16_t kFirstSlot = 256;
    static constexpr std::size_t kSlots = 16;
    static constexpr int kMaxRank = 253;
    static constexpr std::uint8_t kMissingRank = 255;

    static constexpr std::size_t kBlockRows = 256;

    template <std::size_t kBytes>
    struct Block;
    template <std::size_t kBytes>
    void sum_in(const Columns& rows, std::uint64_t* sums) const;
    void sum_portable(const Columns& rows, std::uint64_t* sums) const;
    void sum_avx2(const Columns& rows, std::uint64_t* sums) const;
    void sum_avx512(const Columns& rows, std::uint64_t* sums) const;

    std::vector<std::vector<double>> thresholds_;  ///< of each column, sorted
    std::vector<std::uint32_t> offsets_;           ///< of each column, in rank_of
    std::vector<Step> steps_;
    std::vector<std::uint32_t> leaf_paths_;  ///< 256 a tree, in the order of the groups
    std::vector<Group> groups_;
};

}  // namespace ad
