// How many of a sorted list of numbers are below a value, for many values, without branches.
#pragma once

#include "ordered_key.hpp"

namespace ad {

/// A binary search tree without pointers, level by level, in which one that fills all levels up is
/// searched with a fixed number of steps (Khuong, Morin: "Array Layouts for Comparison-Based
/// Searching", JEA 2017).
class RankTable {
  public:
    static constexpr std::size_t kTogether = 8;  ///< searches side by side hide their latency

    RankTable() = default;
    /// `sorted`: finite, ascending, each once.
    explicit RankTable(const std::vector<double>& sorted) : count_(sorted.size()) {
        while ((std::size_t{1} << levels_) <= count_) ++levels_;
        pivots_.assign(std::size_t{1} << levels_, std::numeric_limits<std::uint64_t>::max());
        auto next = sorted.begin();
        fill(1, next, sorted.end());
    }

    std::size_t count() const { return count_; }

    unsigned levels() const { return levels_; }

    /// From 0 to count(). NaN gives anything.
    std::uint32_t rank(double value) const {
        std::uint32_t found[1];
        const RankTable* tables[] = {this};
        rank_each(tables, &value, found);
        return found[0];
    }

    /// The ranks of values in tables of their own, which have the same number of levels.
    template <std::size_t kCount>
    static void rank_each(const RankTable* const (&tables)[kCount], const double* values,
                          std::uint32_t (&ranks)[kCount]) {
        std::uint64_t key[kCount];
        std::uint64_t at[kCount];
        const std::uint64_t* pivots[kCount];
        for (std::size_t k = 0; k < kCount; ++k) {
            key[k] = ordered_key(values[k]);
            at[k] = 1;
            pivots[k] = tables[k]->pivots_.data();
        }
        for (unsigned level = 0; level < tables[0]->levels_; ++level) {
#pragma GCC unroll 5
            for (std::size_t k = 0; k < kCount; ++k)
                at[k] = descend(at[k], pivots[k][at[k]], key[k]);
        }
        for (std::size_t k = 0; k < kCount; ++k) {
            ranks[k] = static_cast<std::uint32_t>(at[k] - tables[k]->pivots_.size());
        }
    }

    /// The ranks of kTogether values.
    template <typename Rank>
    void rank_all(const double* values, Rank* ranks) const {
        std::uint64_t key[kTogether];
        std::uint64_t at[kTogether];
        for (std::size_t k = 0; k < kTogether; ++k) {
            key[k] = ordered_key(values[k]);
            at[k] = 1;
        }
        for (unsigned level = 0; level < levels_; ++level) {
#pragma GCC unroll 8
            for (std::size_t k = 0; k < kTogether; ++k) {
                at[k] = descend(at[k], pivots_[at[k]], key[k]);
            }
        }
        for (std::size_t k = 0; k < kTogether; ++k) {
            ranks[k] = static_cast<Rank>(at[k] - pivots_.size());
        }
    }

  private:
    /// In order: the left subtree, the node, the right subtree. The last places stay above all.
    void fill(std::size_t at, std::vector<double>::const_iterator& next,
              std::vector<double>::const_iterator end) {
        if (at >= pivots_.size()) return;
        fill(2 * at, next, end);
        if (next != end) pivots_[at] = ordered_key(*next++);
        fill(2 * at + 1, next, end);
    }

    std::vector<std::uint64_t> pivots_ = std::vector<std::uint64_t>(1);  ///< the first is unused
    std::size_t count_ = 0;
    unsigned levels_ = 0;
};

}  // namespace ad
