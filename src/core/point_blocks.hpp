// Points to which distances are measured many at a time: blocks of kBlockPoints, in a block column
// after column. The last block is filled up, to a multiple of kPointLanes, with points at infinity.
#pragma once

#include <algorithm>

#include "neighbour_loops.hpp"
#include "wire.hpp"

namespace ad {

/// Eight numbers where vector instructions want them.
struct alignas(64) Eight {
    double lane[kPointLanes];
};

class PointBlocks {
  public:
    PointBlocks() = default;
    PointBlocks(std::size_t points, std::size_t columns);

    std::size_t points() const { return points_; }
    std::size_t columns() const { return columns_; }
    std::size_t blocks() const { return (points_ + kBlockPoints - 1) / kBlockPoints; }
    /// Points in a block, without those at infinity.
    std::size_t points_in(std::size_t block) const {
        return std::min(kBlockPoints, points_ - block * kBlockPoints);
    }

    double at(std::size_t point, std::size_t column) const {
        const std::size_t i = place(point, column);
        return values_[i / kPointLanes].lane[i % kPointLanes];
    }
    /// Finite, within kLargestValue.
    void set(std::size_t point, std::size_t column, double value) {
        const std::size_t i = place(point, column);
        values_[i / kPointLanes].lane[i % kPointLanes] = value;
    }

    /// As NeighbourLoops::squares, of a block; has room for kBlockPoints.
    std::uint64_t squares(std::size_t block, const double* query, double limit,
                          double* squares) const;
    void box_squares(const Eight* boxes, const double* query, double* squares) const {
        loops_->box_squares(boxes->lane, query, columns_, squares);
    }

    void save(Writer& out) const;
    void load(Reader& in, std::size_t columns);
    static std::uint64_t bytes(std::uint64_t points, std::uint64_t columns);
    std::size_t memory_bytes() const { return values_.size() * sizeof(Eight); }

    /// Loops other than the fastest that the CPU has.
    void use(const NeighbourLoops& loops) { loops_ = &loops; }

  private:
    std::size_t lanes_in(std::size_t block) const;
    std::size_t place(std::size_t point, std::size_t column) const {
        const std::size_t block = point / kBlockPoints;
        return block * kBlockPoints * columns_ + column * lanes_in(block) + point % kBlockPoints;
    }

    std::size_t points_ = 0;
    std::size_t columns_ = 0;
    std::vector<Eight> values_;
    const NeighbourLoops* loops_ = nullptr;
};

}  // namespace ad
