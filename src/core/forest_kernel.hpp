// The fast way through a forest of small trees. Values become ranks among the thresholds of their
// column; then a block of rows goes through each tree at once: every node is compared, one bit a
// row, and the bits are merged into the code of the leaf that the row reaches. A single row walks
// down trees whose nodes take four bytes each. Both add up the same integers as walk_forest.
#pragma once

#include "forest.hpp"
#include "forest_loops.hpp"
#include "rank_table.hpp"

namespace ad {

class ForestKernel {
  public:
    /// Single rows have this many columns at most.
    static constexpr std::size_t kMaxWalkColumns = 128;  // planes have 8 bits in heap_
    /// Its tables grow with the square of the number of trees: a larger forest takes several.
    static constexpr std::size_t kMaxTrees = 128;
    /// Empty, and never usable, when a tree has more than kMaxHeight levels, or there are more
    /// trees.
    ForestKernel() = default;
    ForestKernel(std::span<const ForestTree> trees, std::size_t columns);

    /// Whether it can sum the paths of so many rows.
    bool usable(std::size_t rows) const {
        return !groups_.empty() && (!few(rows) || columns_.size() <= kMaxWalkColumns);
    }
    /// As walk_forest.
    void sum_paths(const Columns& rows, std::uint64_t* sums) const {
        if (few(rows.rows)) {
            sum_each(rows, forest_loops().back(), sums);
        } else {
            sum_blocks(rows, forest_loops().back(), sums);
        }
    }

    void sum_blocks(const Columns& rows, const ForestLoops& loops, std::uint64_t* sums) const;
    void sum_each(const Columns& rows, const ForestLoops& loops, std::uint64_t* sums) const;

    /// At most what a tree takes in a kernel; nothing if it has more leaves than one can have.
    static std::size_t expected_bytes_of_tree(std::size_t leaves, std::size_t columns);
    /// At most what it takes to make kernels of so many trees, beside that.
    static std::size_t building_bytes(std::size_t trees, std::size_t leaves, std::size_t columns);

  private:
    static std::size_t most_groups(std::size_t leaves, std::size_t columns);
    /// Most of a block's work would be for rows that are not there.
    static bool few(std::size_t rows) { return 2 * rows < kChunkRows; }

    friend class KernelBuilder;

    static constexpr std::uint32_t kMaxHeight = 8;  ///< the code of a leaf is a byte
    static constexpr std::size_t kLeaves = std::size_t{1} << kMaxHeight;
    static constexpr int kMaxRank = 253;
    static constexpr std::uint8_t kMissingRank = 255;
    // Trees side by side: walks hide each other's latency.
    static constexpr std::size_t kTogether = 8;
    static constexpr std::size_t kDecided = 64;

    /// A leaf's code is the decisions on the way to it, the first as the highest of kMaxHeight
    /// bits, 1 for right. Below a leaf that is higher up, any bits do.
    struct Tree {
        std::uint32_t first_compare;
        std::uint32_t compares;
        std::uint32_t first_merge;
        std::uint32_t merges;
        std::uint8_t bits[kMaxHeight];  ///< places of the words of the code
    };
    /// Trees whose thresholds in any one column are at most kMaxRank + 1.
    struct Group {
        std::vector<Tree> trees;
    };
    struct Column {
        RankTable table;       ///< of its thresholds
        std::uint32_t offset;  ///< of its ranks in group_ranks_
    };

    /// Columns whose tables have as many levels are searched side by side: a loop of always the
    /// same length is what a CPU predicts best. The first one fills up a batch that is not full.
    static constexpr std::size_t kTables = 5;
    struct Batch {
        std::uint16_t column[kTables];
    };

    /// A rank among all thresholds of a column, as a rank in each group.
    const std::int8_t* ranks_in_groups(const Column& column, std::size_t rank) const {
        return group_ranks_.data() + (column.offset + rank) * groups_.size();
    }

    /// What hangs below an upper node: two more levels and the paths of their leaves, in one line
    /// of the cache.
    struct alignas(32) Tail {
        std::uint16_t node[4];  ///< as in heap_
        std::uint32_t path[4];
    };
    static constexpr std::size_t kTails = UpperNodes::kNodes;
    static_assert(kTails * 4 == kLeaves);

    struct Block;
    const std::uint32_t* sum_group(std::size_t group, const ForestLoops& loops,
                                   const std::uint32_t* paths, std::size_t rows,
                                   Block& block) const;
    struct Row;
    std::uint64_t walk_trees(const Row& row, std::size_t first, std::size_t count) const;
    std::uint64_t decide_trees(const Row& row, const ForestLoops& loops, std::size_t first,
                               std::size_t count) const;

    std::vector<Column> columns_;
    std::vector<Batch> batches_;
    std::vector<Group> groups_;
    std::vector<std::int8_t> group_ranks_;  ///< less by 128
    std::vector<ForestCompare> compares_;
    std::vector<ForestMerge> merges_;
    // Of each tree kLeaves elements.
    std::vector<std::uint32_t> paths_;  ///< by the code of the leaf
    std::vector<std::uint16_t> heap_;   ///< rank << 8 | plane; the children of i are 2 i, 2 i + 1
    // Of each tree once more, for decide_trees.
    std::vector<UpperNodes> upper_;
    std::vector<Tail> tails_;  ///< kTails a tree
};

}  // namespace ad
