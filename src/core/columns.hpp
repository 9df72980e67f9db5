// The one shape in which detectors see rows: a list of column pointers. A single row, a block of a
// running scan and a whole training sample all fit it without being copied.
#pragma once

#include "base.hpp"

namespace ad {

struct Columns {
    const double* const* column;  ///< `count` pointers to `rows` values; NaN is a missing value
    std::size_t count;
    std::size_t rows;

    double at(std::size_t row, std::size_t j) const { return column[j][row]; }
};

/// A column-major matrix that owns its values.
class Matrix {
  public:
    Matrix(std::size_t rows, std::size_t columns) : rows_(rows), values_(rows * columns) {
        pointers_.reserve(columns);
        for (std::size_t j = 0; j < columns; ++j) pointers_.push_back(values_.data() + j * rows);
    }
    Matrix(Matrix&&) = default;

    std::size_t rows() const { return rows_; }
    std::size_t columns() const { return pointers_.size(); }
    double* column(std::size_t j) { return values_.data() + j * rows_; }
    Columns view() const { return {pointers_.data(), pointers_.size(), rows_}; }

  private:
    std::size_t rows_;
    std::vector<double> values_;
    std::vector<const double*> pointers_;
};

}  // namespace ad
