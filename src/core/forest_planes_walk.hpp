// The way through a PlaneForest of large trees, or with few rows: down one tree with some rows, or
// down some trees with one row, side by side and without branches. Adds up the same integers as
// PlaneForest::walk. For planes of few terms; WideWalk takes more.
#pragma once

#include <variant>

#include "forest_planes_groups.hpp"
#include "large_pages.hpp"

namespace ad {

/// Children lie side by side. Planes with fewer terms than others have some of the coefficient 0.
template <std::size_t kTerms>
struct WalkNode {
    float threshold;      ///< a sum above it goes to the second child
    std::uint32_t child;  ///< the first, in the forest
    std::uint16_t column[kTerms];
    float coefficient[kTerms - 1];  ///< of the terms but the first, which has 1
};

/// A subset has an infinite threshold, and a plane a set in which nothing is: whatever the node,
/// the second child is taken if either says so.
template <>
struct WalkNode<1> {
    float threshold;
    std::uint32_t child;
    std::uint16_t column[1];
    std::uint16_t last_word;   ///< this one also stands for all categories beyond it
    std::uint32_t first_word;  ///< of the set
};

/// What a node has for missing values and penalties only.
template <std::size_t kTerms>
struct WalkException {
    float width;
    float fill[kTerms];
};
template <std::size_t kTerms>
struct WalkForm {
    std::vector<WalkNode<kTerms>, LargePages<WalkNode<kTerms>>> nodes;
    std::vector<WalkException<kTerms>, LargePages<WalkException<kTerms>>> exceptions;
};

class PlaneWalk {
  public:
    static constexpr std::size_t kMaxTerms = 3;

    PlaneWalk(const std::vector<PlaneTree>& trees, const std::vector<PlaneColumn>& columns,
              bool codes, bool penalizes_range);

    /// Whether there is this form of the trees; not if sets of categories would take too much room.
    bool usable() const { return !trees_.empty(); }
    /// The same columns again; as PlaneForest::walk.
    void sum_paths(const std::vector<PlaneColumn>& columns, const Columns& rows,
                   std::uint64_t* sums) const;

    /// What a tree of so many nodes takes at most, whose planes have so many terms; `sets`: of
    /// categories.
    static std::size_t expected_bytes_of_tree(std::size_t nodes, std::size_t terms, bool sets);

  private:
    static constexpr std::size_t kTogether = WalkGroup::kTogether;
    static constexpr std::size_t kWordsOfNode = 4;

    /// A column's value for each walk, of which 0 is stored if it is missing.
    struct alignas(64) Line {
        float value[kTogether];
        float missing[kTogether];  ///< 1 if it is, else 0: how often the fill counts
    };
    friend class SideBySide<PlaneWalk>;
    template <std::size_t kTerms>
    class Nodes;
    template <std::size_t kTerms, bool kSubsets, bool kMissing, bool kPenalty>
    struct Step;

    const std::vector<WalkGroup::Tree>& trees() const { return trees_; }
    /// Of a row: its columns, and the categories again, as integers.
    std::size_t line_count() const { return columns_ + categories_.size(); }
    bool take(const std::vector<PlaneColumn>& columns, const Columns& rows, std::size_t row,
              std::size_t count, Line* lines) const;
    void prepare(const WalkGroup& group, Line* lines) const;
    void run(WalkGroup& group, const Line* lines, bool missing) const;
    template <typename Form>
    static void run_steps(WalkGroup& group, const Form& step, const Line* lines);

    bool codes_;
    bool penalizes_range_;
    bool has_subsets_ = false;
    std::size_t columns_;
    std::vector<std::uint32_t> categories_;  ///< columns of them
    std::variant<WalkForm<1>, WalkForm<2>, WalkForm<3>> form_;
    std::vector<std::uint32_t> words_;  ///< sets of categories, a bit each
    std::vector<WalkGroup::Tree> trees_;
};

}  // namespace ad
