// The way through a PlaneForest of large trees, or with few rows: down one tree with some rows, or
// down some trees with one row, side by side and without branches. Adds up the same integers as
// PlaneForest::walk.
#pragma once

#include <variant>

#include "forest_planes.hpp"

namespace ad {

/// Children lie side by side. A leaf has a threshold above all sums, which also holds the length of
/// the path, and leads to itself, so that a walk may take more steps than it needs. Planes with
/// fewer terms than others have some of the coefficient 0.
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

/// Any number of terms.
inline constexpr std::size_t kAnyTerms = 0;
template <>
struct WalkNode<kAnyTerms> {
    float threshold;
    std::uint32_t child;
    std::uint32_t first_term;
    std::uint32_t terms;
};

/// What a node has for missing values and penalties only.
template <std::size_t kTerms>
struct WalkException {
    float width;
    float fill[kTerms];
};
template <>
struct WalkException<kAnyTerms> {
    float width;
};

template <std::size_t kTerms>
struct WalkForm {
    std::vector<WalkNode<kTerms>> nodes;
    std::vector<WalkException<kTerms>> exceptions;
};

class PlaneWalk {
  public:
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
    friend class PlaneWalkBuilder;

    static constexpr std::size_t kTogether = 16;  ///< independent walks hide each other's latency
    static constexpr std::size_t kWordsOfNode = 4;

    /// A column's value for each walk, of which 0 is stored if it is missing.
    struct alignas(64) Line {
        float value[kTogether];
        float missing[kTogether];  ///< 1 if it is, else 0: how often the fill counts
    };
    struct Tree {
        std::uint32_t root;
        std::uint32_t depth;
        std::uint32_t seed;
    };
    struct Group;
    template <std::size_t kTerms, bool kSubsets, bool kMissing, bool kPenalty>
    struct Step;

    /// Of a row: its columns, and the categories again, as integers.
    std::size_t line_count() const { return columns_ + categories_.size(); }
    bool take(const std::vector<PlaneColumn>& columns, const Columns& rows, std::size_t row,
              std::size_t count, Line* lines) const;
    void prepare(const Group& group, Line* lines) const;
    void run(Group& group, const Line* lines, bool missing) const;
    template <typename Form>
    static void run_steps(Group& group, const Form& step, const Line* lines);

    void sum_groups(const std::vector<PlaneColumn>& columns, const Columns& rows, std::size_t first,
                    std::size_t groups, Line* lines, std::uint64_t* sums) const;
    std::uint64_t sum_row(const std::vector<PlaneColumn>& columns, const Columns& rows,
                          std::size_t row, Line* lines) const;

    bool codes_;
    bool penalizes_range_;
    bool has_subsets_ = false;
    std::size_t columns_;
    std::vector<std::uint32_t> categories_;  ///< columns of them
    std::variant<WalkForm<1>, WalkForm<2>, WalkForm<3>, WalkForm<4>, WalkForm<5>,
                 WalkForm<kAnyTerms>>
        form_;
    std::vector<PlaneTerm> terms_;      ///< of WalkForm<kAnyTerms>
    std::vector<std::uint32_t> words_;  ///< sets of categories, a bit each
    std::vector<Tree> trees_;
};

}  // namespace ad
