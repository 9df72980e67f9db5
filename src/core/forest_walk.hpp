// The way through a forest of large trees: down one tree with a block of rows, or down some trees
// at a time with one row, without branches. Adds up the same integers as walk_forest.
#pragma once

#include "detector.hpp"
#include "forest.hpp"

namespace ad {

class ForestWalk {
  public:
    ForestWalk(const std::vector<ForestTree>& trees, std::size_t columns);

    /// As walk_forest.
    void sum_paths(const Columns& rows, std::uint64_t* sums) const;

    /// About what a tree of so many nodes takes.
    static std::size_t expected_bytes_of_tree(std::size_t nodes) { return nodes * sizeof(Node); }

    /// What it takes beside that.
    static std::size_t scoring_bytes(std::size_t columns) {
        return Detector::kMaxBlock * 2 * columns * sizeof(std::uint64_t);
    }

  private:
    /// Children lie side by side. A leaf has no value above its threshold and leads to itself, so
    /// that a walk may take more steps than it needs.
    struct Node {
        std::uint64_t threshold;  ///< as a key; a value above it goes to the second child
        std::uint32_t child;      ///< the first, in the forest
        std::uint32_t plane;      ///< of keys: 2 * column, + 1 if missing values go left
    };
    struct Tree {
        std::uint32_t root;
        std::uint32_t depth;
    };
    static constexpr std::size_t kTogether = 16;  ///< independent walks hide each other's latency

    void append(const ForestTree& tree);
    void make_keys(const Columns& rows, std::size_t row, std::uint64_t* keys) const;
    void walk_rows(const Tree& tree, const std::uint64_t* keys, std::uint64_t* sums) const;
    std::uint64_t walk_trees(const Tree* trees, std::size_t count, const std::uint64_t* keys) const;

    std::size_t planes_;
    std::vector<Node> nodes_;
    std::vector<Tree> trees_;
};

}  // namespace ad
