// What an isolation forest leaves to chance: the rows of a tree, the columns of a split, and the
// numbers that its planes are made of.
#pragma once

#include <algorithm>
#include <span>

#include "columns.hpp"
#include "random.hpp"

namespace ad {

/// A fraction up to 1 of `total`, or a count; at least 1.
std::uint32_t fraction_or_count(double value, std::size_t total);

/// Moves a random choice of `k` elements to the front.
void choose(std::vector<std::uint32_t>& items, std::uint32_t k, Random& random);

/// A normal deviate, by Marsaglia's polar method.
double normal_deviate(Random& random);

/// Draws the rows of each tree, with equal probabilities or in proportion to weights. Without
/// replacement a weighted draw takes the rows with the smallest exponential keys, -log(u) / weight
/// (Efraimidis, Spirakis: "Weighted random sampling with a reservoir", 2006).
class RowDraw {
  public:
    /// `weights` is null or one a row, positive, and kept by the caller.
    RowDraw(std::size_t rows, const double* weights, std::uint32_t wanted, bool bootstrap);

    /// Upper bound of what it takes to draw so many of the rows.
    static std::uint64_t bytes(std::uint64_t rows, std::uint64_t wanted) {
        return rows * sizeof(Key) + std::min(rows, wanted) * sizeof(std::uint32_t);
    }

    /// Of a tree: as many as wanted, or all if there are fewer.
    std::uint32_t size() const { return size_; }
    void draw(Random& random, std::vector<std::uint32_t>& rows);

  private:
    void draw_weighted(Random& random, std::vector<std::uint32_t>& rows);

    using Key = std::pair<double, std::uint32_t>;

    std::uint32_t rows_;
    const double* weights_;  ///< null: all alike
    bool bootstrap_;
    std::uint32_t size_;
    // one of these
    std::vector<std::uint32_t> items_;  ///< all rows
    std::vector<double> sums_;          ///< of the weights up to each, for a bootstrap
    std::vector<Key> keys_;
};

/// The columns of a tree, in an order that changes as columns are set aside.
class ColumnDraw {
  public:
    /// `weights` is empty or one a column.
    ColumnDraw(std::vector<std::uint32_t> columns, std::vector<double> weights)
        : columns_(std::move(columns)), weights_(std::move(weights)) {}

    std::size_t size() const { return columns_.size(); }
    std::uint32_t operator[](std::size_t place) const { return columns_[place]; }

    /// A place in [first, end), or `end` if no column there may be drawn.
    std::size_t pick(std::size_t first, std::size_t end, Random& random) const;
    void swap(std::size_t a, std::size_t b);

  private:
    std::vector<std::uint32_t> columns_;
    std::vector<double> weights_;
};

/// A column's weight by the kurtosis of its values (NaN is missing): the kurtosis less 1, which is
/// the least that there is; 0 if the column is constant.
double kurtosis_weight(std::span<const double> values);

}  // namespace ad
