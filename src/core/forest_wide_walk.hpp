// The way through a PlaneForest as PlaneWalk's, for planes with more terms than it takes: the terms
// of a node are read and multiplied as vectors.
#pragma once

#include "forest_planes_groups.hpp"
#include "forest_wide_loops.hpp"
#include "large_pages.hpp"

namespace ad {

class WideWalk {
  public:
    WideWalk(const std::vector<PlaneTree>& trees, const std::vector<PlaneColumn>& columns,
             std::size_t terms, bool penalizes_range);

    /// Whether there is this form of the trees; not if one cuts by sets of categories.
    bool usable() const { return !trees_.empty(); }
    /// The same columns again; as PlaneForest::walk.
    void sum_paths(const std::vector<PlaneColumn>& columns, const Columns& rows,
                   const WideLoops& loops, std::uint64_t* sums) const;

    /// What a tree of so many nodes takes at most, whose planes have so many terms.
    static std::size_t expected_bytes_of_tree(std::size_t nodes, std::size_t terms,
                                              std::size_t columns);

  private:
    struct Nodes;
    struct Walk;

    /// Of rows, whose columns follow each other, and after those the numbers of their categories.
    struct alignas(64) Line {
        static constexpr std::size_t kValues = 16;
        float value[kValues];
    };
    struct alignas(WideTrees::kPlaceBytes) Place {
        std::byte bytes[WideTrees::kPlaceBytes];
    };

    /// Of one row.
    std::size_t lines() const;
    WideTrees view() const { return {nodes_.data()->bytes, exceptions_.data(), terms_, places_}; }

    bool penalizes_range_;
    std::size_t columns_;
    std::vector<std::uint32_t> categories_;  ///< columns of them
    std::uint32_t terms_;
    std::uint32_t places_;
    std::vector<Place, LargePages<Place>> nodes_;
    std::vector<float, LargePages<float>> exceptions_;
    std::vector<WalkGroup::Tree> trees_;
};

}  // namespace ad
