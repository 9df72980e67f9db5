// Kernels of support vector machines, of one point with many: the loops run over points side by
// side, in an order that does not depend on the instruction set.
#pragma once

#include <algorithm>

#include "columns.hpp"

namespace ad {

/// K(x, y) = exp(-gamma |x - y|^2), or x . y
struct Kernel {
    enum class Type : std::uint8_t { Rbf, Linear };
    Type type;
    double gamma;
};

/// Points in tiles of 64 that lie side by side, column after column; the last is filled with zeros.
class PointTiles {
  public:
    static constexpr std::size_t kTile = 64;

    PointTiles() = default;
    /// `count` points of zeros.
    PointTiles(std::size_t count, std::size_t columns) : count_(count), columns_(columns) {
        const std::size_t size = tiles() * kTile * columns;
        values_.reserve(size);
        while (values_.size() < size) {  // they may be gigabytes
            poll();
            values_.resize(std::min(size, values_.size() + kStep));
        }
    }

    std::size_t count() const { return count_; }
    std::size_t columns() const { return columns_; }
    std::size_t tiles() const { return (count_ + kTile - 1) / kTile; }
    const double* tile(std::size_t t) const { return values_.data() + t * kTile * columns_; }

    double& at(std::size_t i, std::size_t j) {
        return values_[(i / kTile * columns_ + j) * kTile + i % kTile];
    }
    double at(std::size_t i, std::size_t j) const {
        return values_[(i / kTile * columns_ + j) * kTile + i % kTile];
    }
    void copy(std::size_t i, double* out) const {
        for (std::size_t j = 0; j < columns_; ++j) out[j] = at(i, j);
    }

    static std::uint64_t bytes(std::uint64_t count, std::uint64_t columns) {
        return (count + kTile) * columns * sizeof(double);
    }

  private:
    static constexpr std::size_t kStep = std::size_t{1} << 22;

    std::size_t count_ = 0;
    std::size_t columns_ = 0;
    std::vector<double> values_;
};

/// K(point i, point i)
double kernel_diagonal(const Kernel& kernel, const PointTiles& points, std::size_t i);

/// values[i] = K(point i of the tile, x), of the first `columns` columns.
using TileKernel = void (*)(const Kernel& kernel, const double* tile, std::size_t columns,
                            const double* x, double* values);

/// The fastest that this CPU has; all give the same bits.
TileKernel tile_kernel();
/// Every one that this CPU has, for tests.
std::vector<TileKernel> tile_kernels();

/// values[i] = K(point i, x), of the first `columns` columns; room for whole tiles.
void kernel_values(const Kernel& kernel, const PointTiles& points, std::size_t columns,
                   const double* x, double* values);

/// sum over i < PointTiles::kTile of a[i] b[i]
double tile_sum(const double* a, const double* b);

}  // namespace ad
