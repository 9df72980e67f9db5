// The fast way through a PlaneForest of small trees. As in ForestKernel, no row walks: every node
// of a tree is compared for a block of rows, one bit a row, and the bits are combined, children
// before parents, into the number of the leaf that each row reaches. So a row costs as much as a
// tree has nodes, but a node costs a few instructions for a vector of rows.
//
// Where rows outside of a node's range are penalised, the number of times that each row was is
// added up in the same way, as a binary number of a bit a word.
#pragma once

#include "forest_planes.hpp"
#include "forest_planes_loops.hpp"

namespace ad {

class PlaneKernel {
  public:
    static constexpr std::size_t kMaxLeaves = 256;  ///< the number of a leaf is a byte

    PlaneKernel(const std::vector<PlaneTree>& trees, bool penalizes_range);

    /// Whether all trees are small enough.
    bool usable() const { return !trees_.empty(); }
    /// The same trees again, and columns; as PlaneForest::walk.
    void sum_paths(const std::vector<PlaneTree>& trees, const std::vector<PlaneColumn>& columns,
                   PlaneBlock& block, const PlaneLoops& loops, std::uint64_t* sums) const;

    /// About what a tree takes in a kernel; nothing if it has too many leaves.
    static std::size_t expected_bytes_of_tree(std::size_t leaves);

  private:
    friend class PlaneProgram;

    static constexpr std::size_t kBits = 8;

    struct Tree {
        std::uint32_t first_step;
        std::uint32_t steps;
        std::uint32_t first_op;
        std::uint32_t ops;
        std::uint16_t leaf[kBits];       ///< words of the leaf's number, the lowest bit first
        std::uint16_t penalties[kBits];  ///< and of how often a row was outside
        bool penalized;
    };
    class Working;

    bool penalizes_range_;
    std::size_t words_ = 0;
    std::vector<Tree> trees_;
    std::vector<PlaneStep> steps_;
    std::vector<WordOp> ops_;
    std::vector<std::uint32_t> paths_;  ///< of each tree kMaxLeaves, by the number of the leaf
};

}  // namespace ad
