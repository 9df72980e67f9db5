// The idea of evaluating trees without branches, by masks of the nodes that fail, is that of
// QuickScorer (Lucchese et al., SIGIR 2015). There a mask holds the leaves of a tree for one row;
// here it holds the rows of a block for one node, so that its cost is shared by all of them.
#include "forest_kernel.hpp"

#include <algorithm>
#include <numeric>

namespace ad {

/// Turns the trees into nodes to compare and bits to merge.
class KernelBuilder {
  public:
    KernelBuilder(ForestKernel& kernel, std::span<const ForestTree> trees)
        : kernel_(kernel), trees_(trees) {}

    bool build(std::size_t columns) {
        if (trees_.size() > ForestKernel::kMaxTrees ||
            2 * columns > std::numeric_limits<std::uint16_t>::max()) {
            return false;
        }
        for (const ForestTree& tree : trees_) {
            if (tree.depth > ForestKernel::kMaxHeight) return false;
        }
        collect_thresholds(columns);
        reserve();
        std::vector<std::vector<std::int8_t>> tables;
        for (std::size_t next = 0; next < trees_.size();) {
            poll();
            const std::size_t end = take_group(next);
            if (end == next) return false;
            ForestKernel::Group group;
            tables.push_back(make_rank_table());
            for (; next < end; ++next) group.trees.push_back(emit_tree(next, tables.back()));
            kernel_.groups_.push_back(std::move(group));
        }
        kernel_.group_ranks_.reserve(used_.size() * tables.size());
        for (std::size_t place = 0; place < used_.size(); ++place) {
            for (const auto& table : tables) kernel_.group_ranks_.push_back(table[place]);
        }
        // a walk down kTogether trees starts at any of them
        kernel_.heap_.resize(kernel_.heap_.size() + ForestKernel::kTogether * ForestKernel::kLeaves,
                             kAlwaysLeft);
        kernel_.tails_.resize(kernel_.tails_.size() +
                              ForestKernel::kTogether * ForestKernel::kTails);
        return true;
    }

  private:
    static constexpr std::uint16_t kAlwaysLeft = 0xff00;  ///< no rank is above it

    void reserve() {
        const std::size_t padded = trees_.size() + ForestKernel::kTogether;
        std::size_t nodes = 0;
        for (const ForestTree& tree : trees_) nodes += tree.nodes.size();
        kernel_.compares_.reserve(nodes / 2);
        kernel_.merges_.reserve(nodes / 2);
        kernel_.paths_.reserve(trees_.size() * ForestKernel::kLeaves);
        kernel_.heap_.reserve(padded * ForestKernel::kLeaves);
        kernel_.tails_.reserve(padded * ForestKernel::kTails);
        kernel_.upper_.reserve(trees_.size());
    }

    void collect_thresholds(std::size_t columns) {
        std::vector<std::vector<double>> thresholds(columns);
        std::vector<std::size_t> counts(columns);
        for (const ForestTree& tree : trees_) {
            for (std::uint32_t i = 0; i < tree.nodes.size(); ++i)
                counts[tree.nodes[i].feature] += static_cast<std::size_t>(!tree.is_leaf(i));
        }
        for (std::size_t j = 0; j < columns; ++j) thresholds[j].reserve(counts[j]);
        kernel_.columns_.reserve(columns);
        for (const ForestTree& tree : trees_) {
            for (std::uint32_t i = 0; i < tree.nodes.size(); ++i) {
                if (tree.is_leaf(i)) continue;
                thresholds[tree.nodes[i].feature].push_back(tree.nodes[i].threshold);
            }
        }
        std::uint32_t offset = 0;
        for (auto& values : thresholds) {
            std::sort(values.begin(), values.end());
            values.erase(std::unique(values.begin(), values.end()), values.end());
            kernel_.columns_.push_back({RankTable(values), offset});
            // ranks from 0 to the number of thresholds, and one for a missing value
            offset += static_cast<std::uint32_t>(values.size()) + 2;
        }
        make_batches();
        used_.assign(offset, 0);
        for (const ForestTree& tree : trees_) ranks_.push_back(ranks_of(tree));
    }

    void make_batches() {
        const auto& columns = kernel_.columns_;
        std::vector<std::uint16_t> order(columns.size());
        std::iota(order.begin(), order.end(), std::uint16_t{0});
        const auto levels = [&](std::uint16_t j) { return columns[j].table.levels(); };
        std::stable_sort(order.begin(), order.end(),
                         [&](std::uint16_t a, std::uint16_t b) { return levels(a) < levels(b); });
        for (std::size_t next = 0; next < order.size();) {
            ForestKernel::Batch& batch = kernel_.batches_.emplace_back();
            const std::uint16_t first = order[next];
            for (std::uint16_t& column : batch.column) {
                const bool same = next < order.size() && levels(order[next]) == levels(first);
                column = same ? order[next++] : first;
            }
        }
    }

    std::vector<std::uint16_t> ranks_of(const ForestTree& tree) const {
        std::vector<std::uint16_t> found(tree.nodes.size(), 0);
        for (std::uint32_t i = 0; i < tree.nodes.size(); ++i) {
            if (tree.is_leaf(i)) continue;
            const ForestNode& node = tree.nodes[i];
            const RankTable& table = kernel_.columns_[node.feature].table;
            found[i] = static_cast<std::uint16_t>(table.rank(node.threshold));
        }
        return found;
    }

    std::uint32_t place_of(std::size_t t, std::uint32_t i) const {
        return kernel_.columns_[trees_[t].nodes[i].feature].offset + ranks_[t][i];
    }

    /// Marks the thresholds of trees from `first` on until a column has too many; returns the
    /// first tree that does not belong to the group.
    std::size_t take_group(std::size_t first) {
        std::fill(used_.begin(), used_.end(), std::uint8_t{0});
        std::vector<int> counts(kernel_.columns_.size(), 0);
        std::size_t end = first;
        for (; end < trees_.size(); ++end) {
            std::vector<std::uint32_t> added;
            bool full = false;
            for (std::uint32_t i = 0; i < trees_[end].nodes.size(); ++i) {
                if (trees_[end].is_leaf(i) || used_[place_of(end, i)] != 0) continue;
                used_[place_of(end, i)] = 1;
                added.push_back(place_of(end, i));
                full = full || ++counts[trees_[end].nodes[i].feature] > ForestKernel::kMaxRank + 1;
            }
            if (!full) continue;
            for (const std::uint32_t place : added) used_[place] = 0;
            break;
        }
        return end;
    }

    /// For each rank among all thresholds of a column, the number of used ones below.
    std::vector<std::int8_t> make_rank_table() const {
        std::vector<std::int8_t> table(used_.size());
        for (const ForestKernel::Column& column : kernel_.columns_) {
            const auto missing =
                column.offset + static_cast<std::uint32_t>(column.table.count()) + 1;
            int rank = 0;
            for (std::uint32_t place = column.offset; place < missing; ++place) {
                table[place] = biased(rank);
                rank += used_[place];
            }
            table[missing] = biased(ForestKernel::kMissingRank);
        }
        return table;
    }

    static std::int8_t biased(int rank) { return static_cast<std::int8_t>(rank - 128); }

    /// What a subtree leaves behind: the words that hold the bits of its code.
    struct Code {
        std::uint32_t height = 0;
        std::uint8_t bits[ForestKernel::kMaxHeight] = {};
    };

    ForestKernel::Tree emit_tree(std::size_t t, const std::vector<std::int8_t>& rank_of) {
        const auto first_compare = static_cast<std::uint32_t>(kernel_.compares_.size());
        const auto first_merge = static_cast<std::uint32_t>(kernel_.merges_.size());
        const Code code = emit(t, 0, rank_of, first_compare);
        ForestKernel::Tree tree{
            first_compare,
            static_cast<std::uint32_t>(kernel_.compares_.size()) - first_compare,
            first_merge,
            static_cast<std::uint32_t>(kernel_.merges_.size()) - first_merge,
            {}};
        std::copy_n(code.bits, code.height, tree.bits);
        add_paths(t);
        if (kernel_.columns_.size() <= ForestKernel::kMaxWalkColumns) add_to_heap(t, rank_of);
        return tree;
    }

    /// Emits the nodes of a subtree, children before parents.
    Code emit(std::size_t t, std::uint32_t i, const std::vector<std::int8_t>& rank_of,
              std::uint32_t first_compare) {
        if (trees_[t].is_leaf(i)) return {};
        const ForestNode& node = trees_[t].nodes[i];
        const auto own = static_cast<std::uint8_t>(kernel_.compares_.size() - first_compare);
        kernel_.compares_.push_back(
            {plane_of(node),
             static_cast<std::int8_t>(rank_of[place_of(t, i)] + node.missing_left)});
        const Code left = emit(t, i + 1, rank_of, first_compare);
        const Code right = emit(t, node.right, rank_of, first_compare);
        const Code& higher = left.height > right.height ? left : right;
        Code code{higher.height + 1, {own}};
        for (std::uint32_t b = 0; b < higher.height; ++b) code.bits[b + 1] = higher.bits[b];
        for (std::uint32_t b = 0; b < std::min(left.height, right.height); ++b) {
            kernel_.merges_.push_back({left.bits[b], right.bits[b], own});
            code.bits[b + 1] = left.bits[b];
        }
        return code;
    }

    static std::uint16_t plane_of(const ForestNode& node) {
        return static_cast<std::uint16_t>(2 * node.feature + node.missing_left);
    }

    void add_paths(std::size_t t) {
        const std::size_t first = kernel_.paths_.size();
        kernel_.paths_.resize(first + ForestKernel::kLeaves, 0);
        place_paths(trees_[t], 0, 0, 0, &kernel_.paths_[first]);
    }

    void place_paths(const ForestTree& tree, std::uint32_t i, std::uint32_t depth,
                     std::uint32_t code, std::uint32_t* paths) {
        if (tree.is_leaf(i)) {
            const std::uint32_t below = ForestKernel::kMaxHeight - depth;
            std::fill_n(paths + (std::size_t{code} << below), std::size_t{1} << below,
                        tree.path[i]);
            return;
        }
        place_paths(tree, i + 1, depth + 1, 2 * code, paths);
        place_paths(tree, tree.nodes[i].right, depth + 1, 2 * code + 1, paths);
    }

    void add_to_heap(std::size_t t, const std::vector<std::int8_t>& rank_of) {
        const std::size_t first = kernel_.heap_.size();
        kernel_.heap_.resize(first + ForestKernel::kLeaves, kAlwaysLeft);
        UpperNodes& upper = kernel_.upper_.emplace_back();
        std::fill(std::begin(upper.rank), std::end(upper.rank), ForestKernel::kMissingRank);
        place_nodes(t, 0, 1, rank_of, &kernel_.heap_[first]);
        const std::uint16_t* heap = &kernel_.heap_[first];
        for (std::size_t at = UpperNodes::kNodes; at < 2 * UpperNodes::kNodes; ++at) {
            const std::uint32_t* paths = &kernel_.paths_[first + 4 * (at - UpperNodes::kNodes)];
            kernel_.tails_.push_back({{kAlwaysLeft, heap[at], heap[2 * at], heap[2 * at + 1]},
                                      {paths[0], paths[1], paths[2], paths[3]}});
        }
    }

    void place_nodes(std::size_t t, std::uint32_t i, std::size_t at,
                     const std::vector<std::int8_t>& rank_of, std::uint16_t* heap) {
        if (trees_[t].is_leaf(i)) return;
        const ForestNode& node = trees_[t].nodes[i];
        const int rank = rank_of[place_of(t, i)] + 128 + node.missing_left;
        heap[at] = static_cast<std::uint16_t>(rank << 8 | plane_of(node));
        if (at < UpperNodes::kNodes) {
            kernel_.upper_[t].plane[at] = static_cast<std::uint8_t>(plane_of(node));
            kernel_.upper_[t].rank[at] = static_cast<std::uint8_t>(rank);
        }
        place_nodes(t, i + 1, 2 * at, rank_of, heap);
        place_nodes(t, node.right, 2 * at + 1, rank_of, heap);
    }

    ForestKernel& kernel_;
    std::span<const ForestTree> trees_;
    std::vector<std::vector<std::uint16_t>> ranks_;  ///< of nodes, in the forest
    std::vector<std::uint8_t> used_;                 ///< by place: in the group at hand
};

ForestKernel::ForestKernel(std::span<const ForestTree> trees, std::size_t columns) {
    KernelBuilder builder(*this, trees);
    if (!builder.build(columns)) *this = ForestKernel();
}

/// Of trees that use the columns alike.
std::size_t ForestKernel::most_groups(std::size_t leaves, std::size_t columns) {
    const std::size_t together = std::max<std::size_t>(kMaxRank * columns / leaves, 1);
    return std::min(kMaxTrees, kMaxTrees / together + 1);
}

std::size_t ForestKernel::expected_bytes_of_tree(std::size_t leaves, std::size_t columns) {
    if (leaves > kLeaves) return 0;
    // of a split: its threshold in a table that may be twice as long, its rank in each group
    const std::size_t of_split = sizeof(ForestCompare) + sizeof(ForestMerge) + 2 * sizeof(double) +
                                 most_groups(leaves, columns);
    return kLeaves * (sizeof(std::uint32_t) + sizeof(std::uint16_t)) + kTails * sizeof(Tail) +
           sizeof(UpperNodes) + sizeof(Tree) + leaves * of_split;
}

std::size_t ForestKernel::building_bytes(std::size_t trees, std::size_t leaves,
                                         std::size_t columns) {
    if (leaves > kLeaves) return 0;
    // of a split: its threshold; the ranks of two nodes; whether it is there; its rank in each
    // group
    const std::size_t of_split =
        sizeof(double) + 2 * sizeof(std::uint16_t) + 1 + most_groups(leaves, columns);
    return columns * (2 * sizeof(std::vector<double>) + sizeof(Column)) +
           (std::min(trees, kMaxTrees) + kTogether) * leaves * of_split;
}

/// Working memory for blocks of rows.
struct ForestKernel::Block {
    struct alignas(64) Line {
        std::int8_t rank[kChunkRows];
    };

    static constexpr std::size_t kTreesTogether = 4;

    explicit Block(std::size_t columns)
        : ranks(columns * kBlockRows), planes(2 * columns * kBlockChunks) {}

    std::vector<std::uint16_t> ranks;  ///< of column j, from j * kBlockRows: in the forest
    std::vector<Line> planes;          ///< of ranks in the group
    std::vector<BlockBits> words = std::vector<BlockBits>(kLeaves);
    std::uint8_t codes[kTreesTogether][kBlockRows];
    std::uint32_t totals[kBlockRows];

    void rank(const RankTable& table, const double* values, std::size_t rows, std::size_t j) {
        constexpr std::size_t kStep = RankTable::kTogether;
        std::uint16_t* out = ranks.data() + j * kBlockRows;
        double rest[kStep] = {};
        for (std::size_t i = 0; i < rows; i += kStep) {
            const bool whole = i + kStep <= rows;
            if (!whole) std::copy(values + i, values + rows, rest);
            table.rank_all(whole ? values + i : rest, out + i);
        }
        const auto missing = static_cast<std::uint16_t>(table.count() + 1);
        for (std::size_t i = 0; i < rows; ++i) out[i] = std::isnan(values[i]) ? missing : out[i];
    }

    void fill_planes(const ForestKernel& kernel, std::size_t group, std::size_t chunks) {
        const std::size_t groups = kernel.groups_.size();
        for (std::size_t j = 0; j < kernel.columns_.size(); ++j) {
            const std::int8_t* rank_of = kernel.ranks_in_groups(kernel.columns_[j], 0) + group;
            const std::uint16_t* rank = ranks.data() + j * kBlockRows;
            Line* right = &planes[2 * j * kBlockChunks];
            Line* left = right + kBlockChunks;
            for (std::size_t c = 0; c < chunks; ++c, rank += kChunkRows) {
                for (std::size_t i = 0; i < kChunkRows; ++i)
                    right[c].rank[i] = rank_of[rank[i] * groups];
                // kMissingRank + 1 is 0: a missing value goes left
                for (std::size_t i = 0; i < kChunkRows; ++i) {
                    left[c].rank[i] = static_cast<std::int8_t>(right[c].rank[i] + 1U);
                }
            }
        }
    }

    /// Adds the paths of kCount trees, whose codes are in codes[first] and after.
    template <std::size_t kCount>
    void add_paths(const std::uint32_t* paths, std::size_t first, std::size_t rows) {
        for (std::size_t i = 0; i < rows; ++i) {
            std::uint32_t sum = totals[i];
#pragma GCC unroll 4
            for (std::size_t t = first; t < first + kCount; ++t) {
                sum += paths[t * kLeaves + codes[t][i]];
            }
            totals[i] = sum;
        }
    }
};

/// Adds the paths of one group of trees to `block.totals`; returns the paths of the next group.
const std::uint32_t* ForestKernel::sum_group(std::size_t group, const ForestLoops& loops,
                                             const std::uint32_t* paths, std::size_t rows,
                                             Block& block) const {
    const std::size_t chunks = (rows + kChunkRows - 1) / kChunkRows;
    block.fill_planes(*this, group, chunks);
    std::fill_n(block.totals, rows, 0);
    std::size_t pending = 0;
    for (const Tree& tree : groups_[group].trees) {
        BlockBits* words = block.words.data();
        loops.compare(compares_.data() + tree.first_compare, tree.compares, block.planes[0].rank,
                      chunks, words);
        loops.merge(merges_.data() + tree.first_merge, tree.merges, words);
        loops.gather(words, tree.bits, chunks, block.codes[pending]);
        if (++pending < Block::kTreesTogether) continue;
        block.add_paths<Block::kTreesTogether>(paths, 0, rows);
        paths += Block::kTreesTogether * kLeaves;
        pending = 0;
    }
    for (std::size_t t = 0; t < pending; ++t) block.add_paths<1>(paths, t, rows);
    return paths + pending * kLeaves;
}

void ForestKernel::sum_blocks(const Columns& rows, const ForestLoops& loops,
                              std::uint64_t* sums) const {
    Block block(columns_.size());
    for (std::size_t start = 0; start < rows.rows; start += kBlockRows) {
        const std::size_t count = std::min(kBlockRows, rows.rows - start);
        for (std::size_t j = 0; j < columns_.size(); ++j) {
            block.rank(columns_[j].table, rows.column[j] + start, count, j);
        }
        std::fill_n(sums + start, count, 0);
        const std::uint32_t* paths = paths_.data();
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            paths = sum_group(g, loops, paths, count, block);
            for (std::size_t i = 0; i < count; ++i) sums[start + i] += block.totals[i];
        }
    }
}

/// One row, ready for the trees of a group. What is not set is not used.
struct ForestKernel::Row {
    const std::int8_t* ranks[kMaxWalkColumns];  ///< of each column: in every group
    std::uint16_t planes[2 * kMaxWalkColumns];  ///< of ranks in the group, shifted as in heap_
    std::uint8_t upper[UpperNodes::kMaxPlanes];

    void rank(const ForestKernel& kernel, const Columns& rows, std::size_t row) {
        for (const Batch& batch : kernel.batches_) {
            const RankTable* tables[kTables];
            double values[kTables];
            std::uint32_t found[kTables];
#pragma GCC unroll 5
            for (std::size_t k = 0; k < kTables; ++k) {
                tables[k] = &kernel.columns_[batch.column[k]].table;
                values[k] = rows.at(row, batch.column[k]);
            }
            RankTable::rank_each(tables, values, found);
#pragma GCC unroll 5
            for (std::size_t k = 0; k < kTables; ++k) {
                const std::size_t rank = std::isnan(values[k]) ? tables[k]->count() + 1 : found[k];
                ranks[batch.column[k]] =
                    kernel.ranks_in_groups(kernel.columns_[batch.column[k]], rank);
            }
        }
    }

    void enter(std::size_t group, std::size_t columns) {
        for (std::size_t j = 0; j < columns; ++j) {
            const auto rank = static_cast<std::uint8_t>(ranks[j][group] + 128);
            const auto left = static_cast<std::uint8_t>(rank + 1);
            planes[2 * j] = static_cast<std::uint16_t>(rank << 8);
            planes[2 * j + 1] = static_cast<std::uint16_t>(left << 8);
            if (2 * j >= UpperNodes::kMaxPlanes) continue;
            upper[2 * j] = rank;
            upper[2 * j + 1] = left;
        }
    }
};

void ForestKernel::sum_each(const Columns& rows, const ForestLoops& loops,
                            std::uint64_t* sums) const {
    const bool decides = loops.decide != nullptr && 2 * columns_.size() <= UpperNodes::kMaxPlanes;
    Row row;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        row.rank(*this, rows, i);
        sums[i] = 0;
        std::size_t first = 0;
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            row.enter(g, columns_.size());
            const std::size_t together = decides ? kDecided : kTogether;
            for (const std::size_t end = first + groups_[g].trees.size(); first < end;) {
                const std::size_t count = std::min(together, end - first);
                sums[i] += decides ? decide_trees(row, loops, first, count)
                                   : walk_trees(row, first, count);
                first += count;
            }
        }
    }
}

/// The paths of a row in `count` trees, kTogether at most: node by node, one level after the other
/// in all of them, because each walk for itself would wait for memory.
std::uint64_t ForestKernel::walk_trees(const Row& row, std::size_t first, std::size_t count) const {
    const std::uint16_t* heap = heap_.data() + first * kLeaves;
    std::uint64_t at[kTogether];
    for (std::size_t k = 0; k < kTogether; ++k) at[k] = 1;
    for (std::uint32_t level = 0; level < kMaxHeight; ++level) {
#pragma GCC unroll 8
        for (std::size_t k = 0; k < kTogether; ++k) {
            const std::uint16_t node = heap[k * kLeaves + at[k]];
            // a rank above the node's is so with the plane in the low bits as well
            at[k] = descend(at[k], node, row.planes[node & 0xff]);
        }
    }
    const std::uint32_t* paths = paths_.data() + first * kLeaves;
    std::uint64_t sum = 0;
    for (std::size_t k = 0; k < count; ++k) sum += paths[k * kLeaves + at[k] - kLeaves];
    return sum;
}

/// As walk_trees, in kDecided trees at most. All upper nodes are compared at once: the way through
/// them is in registers.
std::uint64_t ForestKernel::decide_trees(const Row& row, const ForestLoops& loops,
                                         std::size_t first, std::size_t count) const {
    std::uint64_t places[kDecided];
    loops.decide(upper_.data() + first, count, row.upper, places);
    const Tail* tails = tails_.data() + first * kTails - kTails;
    std::uint64_t sum = 0;
#pragma GCC unroll 4
    for (std::size_t k = 0; k < count; ++k) {
        const Tail& tail = tails[k * kTails + places[k]];
        const std::uint16_t upper = tail.node[1];
        std::uint64_t at = descend(1, upper, row.planes[upper & 0xff]);
        const std::uint16_t lower = tail.node[at];
        at = descend(at, lower, row.planes[lower & 0xff]);
        sum += tail.path[at - 4];
    }
    return sum;
}

}  // namespace ad
