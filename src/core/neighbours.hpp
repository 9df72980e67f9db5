// Exact nearest neighbours among reference rows, by Euclidean distance: a k-d tree whose leaves are
// gone through as a whole in few columns, all rows in many.
// Bentley: "Multidimensional Binary Search Trees Used for Associative Searching", CACM 1975.
//
// The tree is nothing but an order of the rows. A leaf is a block of rows, kBoxFan leaves in
// succession make a node, kBoxFan of these the next, and each knows the box around its rows. Any
// order gives the same neighbours, a good one gives them sooner: so a stored index is its rows, and
// bytes that lie can make it no worse than slow.
#pragma once

#include "detector.hpp"
#include "point_blocks.hpp"

namespace ad {

/// The nearest reference rows of some rows: near ones first, and of equally near ones that which
/// comes first in the index.
struct Neighbours {
    std::size_t per_row = 0;
    std::vector<double> squares;  ///< of the distances
    std::vector<std::uint32_t> places;

    const double* squares_of(std::size_t row) const { return squares.data() + row * per_row; }
    const std::uint32_t* places_of(std::size_t row) const { return places.data() + row * per_row; }
};

class NeighbourIndex {
  public:
    static constexpr std::uint32_t kMaxNeighbours = 1000;

    NeighbourIndex() = default;
    /// Of the rows, or of a random choice of `max_rows` of them.
    NeighbourIndex(const Columns& rows, std::size_t max_rows, Random random);

    const PointBlocks& points() const { return points_; }
    std::size_t rows() const { return points_.points(); }
    std::size_t columns() const { return points_.columns(); }

    /// So many, but not more than a reference row has others; at least 1.
    std::uint32_t usable_neighbours(double wanted) const;

    /// The `count` nearest, at most rows(), of each row. With `leave_out_equal`, a reference row at
    /// distance 0 is taken to be the row itself, and one of them is left out, as long as `count`
    /// others are there.
    void find(const Columns& rows, std::size_t count, bool leave_out_equal,
              Neighbours& found) const;
    /// The `count` nearest others of each reference row, by its place.
    Neighbours find_own(std::size_t count) const;

    void save(Writer& out) const { points_.save(out); }
    void load(Reader& in, std::size_t columns);
    std::size_t memory_bytes() const;
    /// At most what it takes to make an index with these parameters, and to search in it.
    static std::uint64_t fit_bytes(const Params& params, const FitShape& shape);
    /// And by find_own, beyond that.
    static std::uint64_t own_bytes(const Params& params, const FitShape& shape);
    /// How the time of a search among so many reference rows grows.
    static double search_steps(double rows, double columns);

    /// Loops other than the fastest that the CPU has.
    void use(const NeighbourLoops& loops) { points_.use(loops); }

  private:
    struct Search;
    /// Rows that go through the tree together, so that a leaf is in the cache for all of them.
    static constexpr std::size_t kPacket = 64;
    /// All nodes that have equally many levels below: the boxes of kBoxFan side by side.
    struct Level {
        std::size_t nodes;
        std::size_t rows;  ///< of each node, but for the last
        std::vector<Eight> boxes;
    };

    void make_levels();
    void fill_boxes(Level& level) const;
    const Eight* boxes_of(std::size_t level, std::size_t group) const {
        return levels_[level].boxes.data() + group * 2 * columns();
    }
    std::size_t home_of(const double* query) const;
    void search_block(Search& search, std::size_t block) const;
    void search_group(Search* const* packet, std::size_t size, std::size_t level,
                      std::size_t group) const;
    void search_packet(Search* const* packet, std::size_t size) const;

    PointBlocks points_;
    std::vector<Level> levels_;  ///< the leaves first; empty: no tree
};

/// One row of many.
class OneRow {
  public:
    OneRow(const Columns& rows, std::size_t row) {
        for (std::size_t j = 0; j < rows.count; ++j) pointers_.push_back(rows.column[j] + row);
    }
    Columns view() const { return {pointers_.data(), pointers_.size(), 1}; }

  private:
    std::vector<const double*> pointers_;
};

/// Shares `amount` out to the columns in proportion to what each adds to `square`, the positive
/// squared distance of the row from a point.
void add_shares(const PointBlocks& points, std::size_t point, const Columns& row, double square,
                double amount, double* shares);

inline constexpr ParamSpec kNoveltyParam{
    "novelty",
    ParamType::Boolean,
    0,
    0,
    1,
    {},
    "compare with all reference rows, also with one that equals the row"};
inline constexpr ParamSpec kMaxReferenceParam{
    "max_reference",
    ParamType::Integer,
    32768,
    2,
    1'000'000,
    {},
    "rows to compare with: if there are more, as many are drawn"};

}  // namespace ad
