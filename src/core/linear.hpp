// Means, covariances and distances: what the linear, mixture, cluster and density detectors share.
// All sums have a fixed order, and rows are worked on side by side: what one of them gets does not
// depend on the others.
#pragma once

#include <algorithm>
#include <span>

#include "columns.hpp"
#include "decompose.hpp"
#include "wire.hpp"

namespace ad {

/// Distances end here, so that sums of scores stay finite.
inline constexpr double kLargestScore = 1e100;

/// One number in each of 8 rows, in four vector registers of the smallest kind there is.
struct Lanes {
    typedef double Pack __attribute__((vector_size(16)));
    static constexpr std::size_t kCount = 8;

    double get(std::size_t i) const { return part[i / 2][i % 2]; }
    double sum() const {
        const Pack all = (part[0] + part[1]) + (part[2] + part[3]);
        return all[0] + all[1];
    }
    /// Adds factor * x in each row.
    void add(const Pack& factor, const Lanes& x) {
        part[0] += factor * x.part[0];
        part[1] += factor * x.part[1];
        part[2] += factor * x.part[2];
        part[3] += factor * x.part[3];
    }
    /// Adds x * y in each row.
    void add(const Lanes& x, const Lanes& y) {
        part[0] += x.part[0] * y.part[0];
        part[1] += x.part[1] * y.part[1];
        part[2] += x.part[2] * y.part[2];
        part[3] += x.part[3] * y.part[3];
    }
    Lanes less(const Pack& value) const {
        return {{part[0] - value, part[1] - value, part[2] - value, part[3] - value}};
    }

    Pack part[4];
};

/// Up to 8 rows side by side.
class RowGroup {
  public:
    explicit RowGroup(std::size_t columns) : lanes_(columns) {}

    /// Takes the rows from `first` on, less `center` unless it is null.
    void take(const Columns& rows, std::size_t first, const double* center);
    std::size_t rows() const { return rows_; }
    double at(std::size_t i, std::size_t j) const { return lanes_[j].get(i); }

    /// sum over j < n of factors[j] * column j
    Lanes combine(const double* factors, std::size_t n) const;
    /// Squared distances from `point`, one number a column.
    Lanes squared_distances(const double* point) const;

  private:
    std::size_t rows_ = 0;
    std::vector<Lanes> lanes_;
};

/// Squared distances of all rows from a point.
void squared_distances(const Columns& rows, const double* point, double* distances);

struct Moments {
    std::vector<double> mean;
    Square covariance;  ///< that of n, not n - 1
};

/// Of the rows that `chosen` lists (any order, not empty), each `weights[row]` times unless null.
Moments moments_of(const Columns& rows, std::span<const std::uint32_t> chosen,
                   const double* weights = nullptr);

/// Adds that share of the columns' mean variance to the variance of each.
void add_ridge(Moments& moments, double share);

/// Upper bound of what moments_of takes, and first_numbers of all rows.
std::uint64_t moments_bytes(std::uint64_t rows, std::uint64_t columns);

/// 0, 1, ..., count - 1
std::vector<std::uint32_t> first_numbers(std::size_t count);

/// The squared Mahalanobis distance d' P d, d = x - center, P = W' W. In a direction in which the
/// rows of the fit did not vary at all, a covariance has no inverse, and W has no row: it counts
/// nothing (the pseudo-inverse).
class Ellipsoid {
  public:
    Ellipsoid() = default;
    /// Directions of less than `floor` variance count as if they had it.
    explicit Ellipsoid(Moments moments, double floor = 0.0);

    const std::vector<double>& center() const { return center_; }
    /// Of the covariance. A direction without variance counts as if it had what rounding leaves.
    double log2_determinant() const { return log2_determinant_; }
    std::size_t rank() const { return rows_.size(); }

    /// At most kLargestScore each.
    void distances(const Columns& rows, double* distances) const;
    /// d_j (P d)_j, whose sum over the columns is the distance. Of a row too far away to compute
    /// with, their proportions.
    void explain(const Columns& rows, std::size_t row, double* contributions) const;

    void save(Writer& out) const;
    static Ellipsoid load(Reader& in, std::size_t columns);
    std::size_t memory_bytes() const;
    /// Upper bound of memory_bytes.
    static std::uint64_t expected_bytes(std::uint64_t columns);

  private:
    std::vector<double> center_;
    std::vector<std::vector<double>> rows_;  ///< of W, without the zeros at the end of each
    double log2_determinant_ = 0.0;          ///< known to the fit only
};

}  // namespace ad
