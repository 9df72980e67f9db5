// k-means clustering, for the detectors that start from clusters.
// Arthur, Vassilvitskii: "k-means++: The Advantages of Careful Seeding", SODA 2007; Lloyd: "Least
// Squares Quantization in PCM", IEEE Trans. Inf. Theory 28 (1982).
#pragma once

#include "detector.hpp"
#include "linear.hpp"

namespace ad {

/// Points of as many numbers each.
struct Points {
    std::size_t columns = 0;
    std::vector<double> values;  ///< point after point

    std::size_t count() const { return columns == 0 ? 0 : values.size() / columns; }
    const double* at(std::size_t k) const { return values.data() + k * columns; }
    double* at(std::size_t k) { return values.data() + k * columns; }

    /// Squared distance of each row to the nearest point, of equal ones the first, and which that
    /// is; `nearest` may be null.
    void find_nearest(const Columns& rows, double* squares, std::uint32_t* nearest) const;

    void save(Writer& out) const;
    static Points load(Reader& in, std::size_t columns);
    std::size_t memory_bytes() const { return values.size() * sizeof(double); }
};

struct Clusters {
    Points centers;
    std::vector<std::uint32_t> labels;  ///< of the rows
    std::vector<std::uint32_t> sizes;   ///< none is empty
    double inertia;                     ///< sum of squared distances to the own center
};

/// The best of `starts` runs. There are fewer than `count` clusters if the rows have fewer
/// different values.
Clusters find_clusters(const Columns& rows, std::size_t count, std::size_t starts, Random random);

/// Upper bound of the memory that this takes.
std::uint64_t clusters_bytes(std::uint64_t rows, std::uint64_t columns, std::uint64_t count);

/// How the time of one start grows.
double clusters_steps(double rows, double columns, double count);

/// fit_bytes and fit_steps of algorithms with the parameters "n_clusters" and "n_init".
std::uint64_t kmeans_bytes(const Params& params, const FitShape& shape);
double kmeans_steps(const Params& params, double rows, double columns);

/// What each column adds to the distance of a row from a point: its share of the square.
void explain_distance(const Columns& rows, std::size_t row, const double* point,
                      double* contributions);

}  // namespace ad
