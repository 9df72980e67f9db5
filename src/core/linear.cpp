#include "linear.hpp"

#include <array>
#include <cstring>
#include <numeric>

#include "portable_math.hpp"

namespace ad {

namespace {

/// W and d are kept below these, so that products with them stay finite.
constexpr double kLargestWeight = 1e100;
constexpr double kSmallestVariance = 1.0 / (kLargestWeight * kLargestWeight);
constexpr std::size_t kTile = 32;  ///< groups of rows whose covariance is added up at a time

/// One column of a tile.
using TileColumn = std::array<Lanes, kTile>;

double product_sum(const TileColumn& a, const TileColumn& b) {
    Lanes sum{};
    for (std::size_t g = 0; g < kTile; ++g) sum.add(a[g], b[g]);
    return sum.sum();
}

/// Adds the products of a tile's columns to the lower triangle.
void add_products(const std::vector<TileColumn>& tile, const TileColumn* weights, Square& sums) {
    TileColumn weighted;
    for (std::size_t j = 0; j < sums.size; ++j) {
        const TileColumn* left = &tile[j];
        if (weights != nullptr) {
            weighted = TileColumn{};
            for (std::size_t g = 0; g < kTile; ++g) weighted[g].add(tile[j][g], (*weights)[g]);
            left = &weighted;
        }
        for (std::size_t k = 0; k <= j; ++k) sums.at(j, k) += product_sum(*left, tile[k]);
    }
}

}  // namespace

void RowGroup::take(const Columns& rows, std::size_t first, const double* center) {
    rows_ = std::min(Lanes::kCount, rows.rows - first);
    for (std::size_t j = 0; j < lanes_.size(); ++j) {
        double values[Lanes::kCount];
        for (std::size_t i = 0; i < Lanes::kCount; ++i) {
            values[i] = rows.column[j][first + std::min(i, rows_ - 1)];
        }
        const double from = center == nullptr ? 0.0 : center[j];
        std::memcpy(&lanes_[j], values, sizeof(values));
        lanes_[j] = lanes_[j].less(Lanes::Pack{from, from});
    }
}

Lanes RowGroup::combine(const double* factors, std::size_t n) const {
    Lanes sum{};
    for (std::size_t j = 0; j < n; ++j) sum.add(Lanes::Pack{factors[j], factors[j]}, lanes_[j]);
    return sum;
}

Lanes RowGroup::squared_distances(const double* point) const {
    Lanes sum{};
    for (std::size_t j = 0; j < lanes_.size(); ++j) {
        const Lanes offset = lanes_[j].less(Lanes::Pack{point[j], point[j]});
        sum.add(offset, offset);
    }
    return sum;
}

void squared_distances(const Columns& rows, const double* point, double* distances) {
    RowGroup group(rows.count);
    for (std::size_t first = 0; first < rows.rows; first += Lanes::kCount) {
        if (first % 1024 == 0) poll();
        group.take(rows, first, nullptr);
        const Lanes squares = group.squared_distances(point);
        for (std::size_t i = 0; i < group.rows(); ++i) distances[first + i] = squares.get(i);
    }
}

Moments moments_of(const Columns& rows, std::span<const std::uint32_t> chosen,
                   const double* weights) {
    const std::size_t columns = rows.count;
    const auto weight_of = [&](std::uint32_t i) { return weights == nullptr ? 1.0 : weights[i]; };
    Moments moments{std::vector<double>(columns), Square(columns)};
    double total = 0.0;
    for (const std::uint32_t i : chosen) total += weight_of(i);
    for (std::size_t j = 0; j < columns; ++j) {
        poll();
        double sum = 0.0;
        for (const std::uint32_t i : chosen) sum += weight_of(i) * rows.at(i, j);
        moments.mean[j] = sum / total;
    }
    constexpr std::size_t kRows = kTile * Lanes::kCount;
    std::vector<TileColumn> tile(columns);
    TileColumn tile_weights{};
    std::array<double, kRows> values{};
    for (std::size_t first = 0; first < chosen.size(); first += kRows) {
        poll();
        const std::size_t count = std::min(kRows, chosen.size() - first);
        const std::uint32_t* part = chosen.data() + first;
        for (std::size_t j = 0; j < columns; ++j) {
            const double mean = moments.mean[j];
            std::fill(values.begin(), values.end(), 0.0);
            for (std::size_t i = 0; i < count; ++i) values[i] = rows.at(part[i], j) - mean;
            std::memcpy(&tile[j], values.data(), sizeof(values));
        }
        if (weights != nullptr) {
            for (std::size_t i = 0; i < count; ++i) values[i] = weights[part[i]];
            std::memcpy(&tile_weights, values.data(), sizeof(values));
        }
        add_products(tile, weights == nullptr ? nullptr : &tile_weights, moments.covariance);
    }
    for (std::size_t j = 0; j < columns; ++j) {
        for (std::size_t k = 0; k <= j; ++k) {
            moments.covariance.at(j, k) /= total;
            moments.covariance.at(k, j) = moments.covariance.at(j, k);
        }
    }
    return moments;
}

void add_ridge(Moments& moments, double share) {
    const std::size_t n = moments.mean.size();
    double trace = 0.0;
    for (std::size_t j = 0; j < n; ++j) trace += moments.covariance.at(j, j);
    const double ridge = share * (trace > 0.0 ? trace / static_cast<double>(n) : 1.0);
    for (std::size_t j = 0; j < n; ++j) moments.covariance.at(j, j) += ridge;
}

std::uint64_t moments_bytes(std::uint64_t rows, std::uint64_t columns) {
    return rows * sizeof(std::uint32_t) + columns * sizeof(TileColumn) +
           4 * columns * columns * sizeof(double);  // and those that its decomposition makes
}

std::vector<std::uint32_t> first_numbers(std::size_t count) {
    std::vector<std::uint32_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0U);
    return numbers;
}

Ellipsoid::Ellipsoid(Moments moments, double floor) : center_(std::move(moments.mean)) {
    const std::size_t n = center_.size();
    Square lower = moments.covariance;
    if (cholesky(lower)) {
        for (std::size_t i = 0; i < n; ++i) {
            log2_determinant_ += 2.0 * portable_log2(lower.at(i, i));
        }
        invert_lower(lower);
        bool in_range = true;
        for (const double value : lower.values) {
            in_range = in_range && std::fabs(value) <= kLargestWeight;
        }
        if (in_range) {
            for (std::size_t i = 0; i < n; ++i) {
                rows_.emplace_back(lower.row(i), lower.row(i) + i + 1);
            }
            return;
        }
    }
    const EigenSystem system = eigen_system(std::move(moments.covariance));
    // below this, a variance is what rounding left of none (as in scikit-learn and SciPy)
    const double rounding =
        system.values[0] * static_cast<double>(n) * std::numeric_limits<double>::epsilon();
    log2_determinant_ = 0.0;
    for (std::size_t k = 0; k < n; ++k) {
        const double least = floor > 0.0 ? floor : rounding;
        const double variance = std::max({system.values[k], least, kSmallestVariance});
        log2_determinant_ += portable_log2(variance);
        if (floor == 0.0 && !(system.values[k] > rounding)) continue;
        const double* vector = system.vectors.row(k);
        auto& row = rows_.emplace_back(vector, vector + n);
        for (double& value : row) value /= std::sqrt(variance);
    }
}

void Ellipsoid::distances(const Columns& rows, double* distances) const {
    RowGroup group(rows.count);
    for (std::size_t first = 0; first < rows.rows; first += Lanes::kCount) {
        if (first % 1024 == 0) poll();
        group.take(rows, first, center_.data());
        Lanes sum{};
        for (const auto& row : rows_) {
            const Lanes part = group.combine(row.data(), row.size());
            sum.add(part, part);
        }
        for (std::size_t i = 0; i < group.rows(); ++i) {
            distances[first + i] = std::min(sum.get(i), kLargestScore);
        }
    }
}

void Ellipsoid::explain(const Columns& rows, std::size_t row, double* contributions) const {
    constexpr double kFar = 1e40;
    std::vector<double> offset(rows.count);
    double farthest = kFar;
    for (std::size_t j = 0; j < rows.count; ++j) {
        offset[j] = rows.at(row, j) - center_[j];
        farthest = std::max(farthest, std::fabs(offset[j]));
    }
    for (double& value : offset) value *= kFar / farthest;
    std::vector<double> precise(rows.count);  // P d
    for (const auto& weights : rows_) {
        double part = 0.0;
        for (std::size_t j = 0; j < weights.size(); ++j) part += weights[j] * offset[j];
        for (std::size_t j = 0; j < weights.size(); ++j) precise[j] += weights[j] * part;
    }
    for (std::size_t j = 0; j < rows.count; ++j) contributions[j] = offset[j] * precise[j];
}

void Ellipsoid::save(Writer& out) const {
    out.array(center_);
    out.number(static_cast<std::uint32_t>(rows_.size()));
    for (const auto& row : rows_) out.array(row);
}

Ellipsoid Ellipsoid::load(Reader& in, std::size_t columns) {
    Ellipsoid ellipsoid;
    ellipsoid.center_ = in.array<double>();
    if (ellipsoid.center_.size() != columns) throw CorruptModel("wrong number of columns");
    for (const double value : ellipsoid.center_) {
        if (!(std::fabs(value) <= 2.0 * kLargestValue)) throw CorruptModel("center out of range");
    }
    const auto rank = in.count(sizeof(std::uint32_t));
    if (rank > columns) throw CorruptModel("rank exceeds the number of columns");
    for (std::uint32_t k = 0; k < rank; ++k) {
        const auto& row = ellipsoid.rows_.emplace_back(in.array<double>());
        if (row.size() > columns) throw CorruptModel("wrong number of columns");
        for (const double value : row) {
            if (!(std::fabs(value) <= kLargestWeight)) throw CorruptModel("weight out of range");
        }
    }
    return ellipsoid;
}

std::size_t Ellipsoid::memory_bytes() const {
    std::size_t bytes = center_.size() * sizeof(double);
    for (const auto& row : rows_) bytes += sizeof(row) + row.size() * sizeof(double);
    return bytes;
}

std::uint64_t Ellipsoid::expected_bytes(std::uint64_t columns) {
    return columns * (columns * sizeof(double) + sizeof(std::vector<double>) + sizeof(double));
}

}  // namespace ad
