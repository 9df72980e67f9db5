#include "point_blocks.hpp"

namespace ad {

namespace {

constexpr std::size_t round_up(std::size_t points) {
    return (points + kPointLanes - 1) / kPointLanes * kPointLanes;
}

}  // namespace

PointBlocks::PointBlocks(std::size_t points, std::size_t columns)
    : points_(points), columns_(columns), loops_(&neighbour_loops().back()) {
    Eight nowhere;
    std::fill_n(nowhere.lane, kPointLanes, std::numeric_limits<double>::infinity());
    values_.assign(round_up(points) / kPointLanes * columns, nowhere);
}

std::size_t PointBlocks::lanes_in(std::size_t block) const { return round_up(points_in(block)); }

std::uint64_t PointBlocks::squares(std::size_t block, const double* query, double limit,
                                   double* squares) const {
    const double* points = values_.data()->lane + block * kBlockPoints * columns_;
    const std::size_t count = points_in(block);
    const auto bits = loops_->squares(points, round_up(count), query, columns_, limit, squares);
    return bits & (~std::uint64_t{0} >> (kBlockPoints - count));
}

void PointBlocks::save(Writer& out) const {
    out.number(static_cast<std::uint32_t>(points_));
    for (std::size_t i = 0; i < points_; ++i) {
        if (i % 1024 == 0) poll();
        for (std::size_t j = 0; j < columns_; ++j) out.number(at(i, j));
    }
}

void PointBlocks::load(Reader& in, std::size_t columns) {
    const auto points = in.count(columns * sizeof(double));
    if (points == 0) throw CorruptModel("there are no points");
    *this = PointBlocks(points, columns);
    for (std::size_t i = 0; i < points; ++i) {
        if (i % 1024 == 0) poll();
        for (std::size_t j = 0; j < columns; ++j) {
            set(i, j, in.real(-kLargestValue, kLargestValue));
        }
    }
}

std::uint64_t PointBlocks::bytes(std::uint64_t points, std::uint64_t columns) {
    return round_up(points) * columns * sizeof(double);
}

}  // namespace ad
