// Evaluation of whole forests on blocks of rows. The idea of evaluating trees without branches is
// that of QuickScorer (Lucchese et al., SIGIR 2015); here every node of a small tree is evaluated
// bottom-up for a vector of rows, which costs two instructions a node.
#include <algorithm>
#include <cstring>

#include "forest.hpp"

namespace ad {

/// Turns the trees into steps.
struct KernelBuilder {
    ForestKernel& kernel;
    const std::vector<ForestTree>& trees;
    std::vector<std::vector<std::uint32_t>> places = {};  ///< of nodes: column offset + rank
    std::vector<std::uint8_t> used = {};                  ///< by place: in the group at hand
    std::uint32_t leaves = 0;
    bool fits = true;

    bool build(std::size_t columns) {
        if (2 * columns > std::numeric_limits<std::uint16_t>::max()) return false;
        if (!collect_thresholds(columns)) return false;
        for (std::size_t next = 0; next < trees.size();) {
            poll();
            const std::size_t end = take_group(next);
            if (end == next) return false;
            ForestKernel::Group group;
            group.rank_of = make_rank_table();
            for (; next < end; ++next) group.trees.push_back(emit_tree(next, group.rank_of));
            kernel.groups_.push_back(std::move(group));
        }
        return fits;
    }

    bool collect_thresholds(std::size_t columns) {
        auto& thresholds = kernel.thresholds_;
        thresholds.resize(columns);
        for (const ForestTree& tree : trees) {
            for (std::uint32_t i = 0; i < tree.nodes.size(); ++i) {
                if (tree.is_leaf(i)) continue;
                thresholds[tree.nodes[i].feature].push_back(tree.nodes[i].threshold);
            }
        }
        std::uint32_t offset = 0;
        for (auto& column : thresholds) {
            std::sort(column.begin(), column.end());
            column.erase(std::unique(column.begin(), column.end()), column.end());
            constexpr std::size_t kMaxThresholds = 65000;  // ranks have 16 bits
            if (column.size() > kMaxThresholds) return false;
            kernel.offsets_.push_back(offset);
            // ranks from 0 to the number of thresholds, and one for a missing value
            offset += static_cast<std::uint32_t>(column.size()) + 2;
        }
        used.assign(offset, 0);
        for (const ForestTree& tree : trees) places.push_back(places_of(tree));
        return true;
    }

    std::vector<std::uint32_t> places_of(const ForestTree& tree) const {
        std::vector<std::uint32_t> found(tree.nodes.size(), 0);
        for (std::uint32_t i = 0; i < tree.nodes.size(); ++i) {
            if (tree.is_leaf(i)) continue;
            const auto& column = kernel.thresholds_[tree.nodes[i].feature];
            const auto rank =
                std::lower_bound(column.begin(), column.end(), tree.nodes[i].threshold);
            found[i] = kernel.offsets_[tree.nodes[i].feature] +
                       static_cast<std::uint32_t>(rank - column.begin());
        }
        return found;
    }

    /// Marks the thresholds of trees from `first` on until a column has too many; returns the
    /// first tree that does not belong to the group.
    std::size_t take_group(std::size_t first) {
        constexpr std::size_t kMaxTrees = 1024;  // the sum of their paths stays below 2^32
        std::fill(used.begin(), used.end(), std::uint8_t{0});
        std::vector<int> counts(kernel.thresholds_.size(), 0);
        std::size_t end = first;
        for (; end < trees.size() && end - first < kMaxTrees; ++end) {
            std::vector<std::uint32_t> added;
            bool full = false;
            for (std::uint32_t i = 0; i < trees[end].nodes.size(); ++i) {
                if (trees[end].is_leaf(i) || used[places[end][i]] != 0) continue;
                used[places[end][i]] = 1;
                added.push_back(places[end][i]);
                full = full || ++counts[trees[end].nodes[i].feature] > ForestKernel::kMaxRank + 1;
            }
            if (!full) continue;
            for (const std::uint32_t place : added) used[place] = 0;
            break;
        }
        return end;
    }

    /// For each rank among all thresholds of a column, the number of used ones below.
    std::vector<std::uint8_t> make_rank_table() const {
        std::vector<std::uint8_t> table(used.size());
        for (std::size_t j = 0; j < kernel.thresholds_.size(); ++j) {
            const std::uint32_t missing =
                kernel.offsets_[j] + static_cast<std::uint32_t>(kernel.thresholds_[j].size()) + 1;
            std::uint8_t rank = 0;
            for (std::uint32_t place = kernel.offsets_[j]; place < missing; ++place) {
                table[place] = rank;
                rank = static_cast<std::uint8_t>(rank + used[place]);
            }
            table[missing] = ForestKernel::kMissingRank;
        }
        return table;
    }

    ForestKernel::Tree emit_tree(std::size_t t, const std::vector<std::uint8_t>& rank_of) {
        leaves = 0;
        const auto first = static_cast<std::uint32_t>(kernel.steps_.size());
        const std::size_t paths = kernel.leaf_paths_.size();
        const std::uint16_t root = emit(t, 0, 0, rank_of);
        kernel.leaf_paths_.resize(paths + ForestKernel::kFirstSlot);
        return {first, static_cast<std::uint32_t>(kernel.steps_.size()) - first, root};
    }

    /// Emits the steps of a subtree, children first, and returns its operand. `slot` and those
    /// above it are free.
    std::uint16_t emit(std::size_t t, std::uint32_t i, std::size_t slot,
                       const std::vector<std::uint8_t>& rank_of) {
        const bool leaf = trees[t].is_leaf(i);
        if (leaf ? leaves == ForestKernel::kFirstSlot : slot + 1 == ForestKernel::kSlots) {
            fits = false;
            return 0;
        }
        if (leaf) {
            kernel.leaf_paths_.push_back(trees[t].path[i]);
            return static_cast<std::uint16_t>(leaves++);
        }
        const ForestNode& node = trees[t].nodes[i];
        const std::uint16_t left = emit(t, i + 1, slot, rank_of);
        const std::uint16_t right = emit(t, node.right, slot + 1, rank_of);
        kernel.steps_.push_back(
            {static_cast<std::uint16_t>(2 * node.feature + node.missing_left),
             static_cast<std::uint8_t>(rank_of[places[t][i]] + node.missing_left),
             static_cast<std::uint8_t>(slot), left, right});
        return static_cast<std::uint16_t>(ForestKernel::kFirstSlot + slot);
    }
};

ForestKernel::ForestKernel(const std::vector<ForestTree>& trees, std::size_t columns) {
    KernelBuilder builder{*this, trees};
    if (!builder.build(columns)) *this = ForestKernel();
}

std::size_t ForestKernel::memory_bytes() const {
    std::size_t bytes = steps_.size() * sizeof(Step) + leaf_paths_.size() * sizeof(std::uint32_t);
    for (const auto& column : thresholds_) bytes += column.size() * sizeof(double);
    for (const auto& group : groups_)
        bytes += group.rank_of.size() + group.trees.size() * sizeof(Tree);
    return bytes;
}

namespace {

/// How many of the sorted thresholds are below each value; one more than all for a missing value.
/// Searches for eight values at a time, without branches.
void rank_values(const std::vector<double>& thresholds, const double* values, std::size_t count,
                 std::uint16_t* ranks) {
    constexpr std::size_t kTogether = 8;
    const auto missing = static_cast<std::uint16_t>(thresholds.size() + 1);
    for (std::size_t start = 0; start < count; start += kTogether) {
        const std::size_t n = std::min(kTogether, count - start);
        const double* base[kTogether];
        double value[kTogether];
        for (std::size_t k = 0; k < kTogether; ++k) {
            base[k] = thresholds.data();
            value[k] = values[start + std::min(k, n - 1)];
        }
        std::size_t length = thresholds.size();
        while (length > 1) {
            const std::size_t half = length / 2;
            for (std::size_t k = 0; k < kTogether; ++k) {
                base[k] = base[k][half - 1] < value[k] ? base[k] + half : base[k];
            }
            length -= half;
        }
        for (std::size_t k = 0; k < n; ++k) {
            const auto last = static_cast<std::ptrdiff_t>(length > 0 && *base[k] < value[k]);
            const auto below = static_cast<std::uint16_t>(base[k] - thresholds.data() + last);
            ranks[start + k] = std::isnan(value[k]) ? missing : below;
        }
    }
}

template <std::size_t kBytes>
struct VectorOf {
    typedef std::uint8_t Type __attribute__((vector_size(kBytes)));
};

}  // namespace

/// One block of rows, in pairs of vectors of kBytes rows each. It is inlined into functions that
/// are compiled for one instruction set each.
template <std::size_t kBytes>
struct ForestKernel::Block {
    using Vector = typename VectorOf<kBytes>::Type;
    struct Pair {
        Vector low;
        Vector high;
    };
    static constexpr std::size_t kLanes = sizeof(Pair);
    static constexpr std::size_t kChunks = kBlockRows / kLanes;

    const ForestKernel& kernel;
    std::size_t columns = kernel.thresholds_.size();
    std::vector<std::uint16_t> ranks = std::vector<std::uint16_t>(columns * kBlockRows);
    std::vector<std::uint8_t> storage =
        std::vector<std::uint8_t>((2 * columns * kChunks + kFirstSlot + kSlots + 1) * kLanes);
    Pair* operands = nullptr;  ///< the leaf numbers, then the slots
    Pair* planes = nullptr;    ///< of chunk c: from 2 * columns * c

    [[gnu::always_inline]] inline void prepare() {
        // operator new aligns to less than the largest vectors
        const auto address = reinterpret_cast<std::uintptr_t>(storage.data());
        operands = reinterpret_cast<Pair*>((address + kLanes - 1) / kLanes * kLanes);
        planes = operands + kFirstSlot + kSlots;
        for (std::size_t leaf = 0; leaf < kFirstSlot; ++leaf) {
            operands[leaf].low = operands[leaf].high = Vector{} + static_cast<std::uint8_t>(leaf);
        }
    }

    /// Ranks among all thresholds become ranks among those of the group.
    [[gnu::always_inline]] inline void fill_planes(const Group& group, std::size_t chunks) {
        for (std::size_t j = 0; j < columns; ++j) {
            const std::uint8_t* rank_of = group.rank_of.data() + kernel.offsets_[j];
            const std::uint16_t* rank = ranks.data() + j * kBlockRows;
            for (std::size_t c = 0; c < chunks; ++c, rank += kLanes) {
                Pair* plane = planes + 2 * (c * columns + j);
                auto* lane = reinterpret_cast<std::uint8_t*>(plane);
                for (std::size_t k = 0; k < kLanes; ++k) lane[k] = rank_of[rank[k]];
                // kMissingRank + 1 is 0: a missing value goes left
                plane[1].low = plane[0].low + 1;
                plane[1].high = plane[0].high + 1;
            }
        }
    }

    /// Adds the paths of the trees of a group to the rows of one chunk.
    [[gnu::always_inline]] inline void walk(const Group& group, const std::uint32_t* paths,
                                            std::size_t chunk, std::uint32_t* totals) {
        const Pair* plane = planes + 2 * columns * chunk;
        for (const Tree& tree : group.trees) {
            const Step* const end = kernel.steps_.data() + tree.first_step + tree.steps;
            for (const Step* step = end - tree.steps; step != end; ++step) {
                const Vector rank = Vector{} + step->rank;
                const Pair& value = plane[step->plane];
                const Pair& left = operands[step->left];
                const Pair& right = operands[step->right];
                Pair& out = operands[kFirstSlot + step->slot];
                const Vector low = value.low <= rank ? left.low : right.low;
                const Vector high = value.high <= rank ? left.high : right.high;
                out.low = low;
                out.high = high;
            }
            const auto* leaf = reinterpret_cast<const std::uint8_t*>(operands + tree.root);
            for (std::size_t k = 0; k < kLanes; ++k) totals[k] += paths[leaf[k]];
            paths += kFirstSlot;
        }
    }

    [[gnu::always_inline]] inline void sum(const Columns& rows, std::size_t start,
                                           std::size_t count, std::uint64_t* sums) {
        for (std::size_t j = 0; j < columns; ++j) {
            rank_values(kernel.thresholds_[j], rows.column[j] + start, count,
                        ranks.data() + j * kBlockRows);
        }
        const std::size_t chunks = (count + kLanes - 1) / kLanes;
        const std::uint32_t* paths = kernel.leaf_paths_.data();
        for (const Group& group : kernel.groups_) {
            fill_planes(group, chunks);
            for (std::size_t c = 0; c < chunks; ++c) {
                std::uint32_t totals[kLanes] = {};
                walk(group, paths, c, totals);
                const std::size_t lanes = std::min(kLanes, count - c * kLanes);
                for (std::size_t k = 0; k < lanes; ++k) sums[c * kLanes + k] += totals[k];
            }
            paths += group.trees.size() * kFirstSlot;
        }
    }
};

template <std::size_t kBytes>
[[gnu::always_inline]] inline void ForestKernel::sum_in(const Columns& rows,
                                                        std::uint64_t* sums) const {
    Block<kBytes> block{*this};
    block.prepare();
    std::fill_n(sums, rows.rows, 0);
    for (std::size_t start = 0; start < rows.rows; start += kBlockRows) {
        block.sum(rows, start, std::min(kBlockRows, rows.rows - start), sums + start);
    }
}

void ForestKernel::sum_portable(const Columns& rows, std::uint64_t* sums) const {
    sum_in<16>(rows, sums);  // SSE2 on x86-64, NEON on ARM
}

#if defined(__x86_64__)

[[gnu::target("avx2")]] void ForestKernel::sum_avx2(const Columns& rows,
                                                    std::uint64_t* sums) const {
    sum_in<32>(rows, sums);
}

[[gnu::target("avx512f,avx512bw,avx512vl")]] void ForestKernel::sum_avx512(
    const Columns& rows, std::uint64_t* sums) const {
    sum_in<64>(rows, sums);
}

std::span<const ForestKernel::Sum> ForestKernel::variants() {
    static constexpr Sum kSums[] = {&ForestKernel::sum_portable, &ForestKernel::sum_avx2,
                                    &ForestKernel::sum_avx512};
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) return kSums;
    return std::span(kSums).first(__builtin_cpu_supports("avx2") ? 2 : 1);
}

#else

std::span<const ForestKernel::Sum> ForestKernel::variants() {
    static constexpr Sum kSums[] = {&ForestKernel::sum_portable};
    return kSums;
}

#endif

}  // namespace ad
