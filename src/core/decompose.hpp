// Decompositions of symmetric matrices, from additions, multiplications and square roots in a fixed
// order. Those of a library choose block sizes by the caches, and fused operations by the
// instruction set, of the CPU: their last bits differ, and so would models.
// Golub, Van Loan: "Matrix Computations", 4.2 and 8.3.
#pragma once

#include "base.hpp"

namespace ad {

/// A square matrix, row after row.
struct Square {
    explicit Square(std::size_t n = 0) : size(n), values(n * n) {}

    double* row(std::size_t i) { return values.data() + i * size; }
    const double* row(std::size_t i) const { return values.data() + i * size; }
    double& at(std::size_t i, std::size_t j) { return values[i * size + j]; }
    double at(std::size_t i, std::size_t j) const { return values[i * size + j]; }

    std::size_t size;
    std::vector<double> values;
};

struct EigenSystem {
    std::vector<double> values;  ///< largest first
    Square vectors;              ///< row k belongs to values[k]; orthonormal
};

/// Of a symmetric matrix; its lower triangle is read.
EigenSystem eigen_system(Square matrix);

/// Replaces the lower triangle by L of L L' = matrix, the upper one by zeros. False, and rubbish,
/// unless the matrix is positive definite by more than rounding.
bool cholesky(Square& matrix);

/// Replaces a lower triangle that `cholesky` made by its inverse.
void invert_lower(Square& lower);

}  // namespace ad
