#include "clusters.hpp"

#include "portable_math.hpp"

namespace ad {

namespace {

constexpr int kMostRounds = 300;
constexpr double kTolerance = 1e-4;  ///< of the mean variance: centers that move less are at rest

/// Centers drawn with a probability that grows with the squared distance from those before; of a
/// few candidates for each, the one that leaves the smallest sum of squares.
class Seeding {
  public:
    Seeding(const Columns& rows, Random& random)
        : rows_(rows), random_(random), squares_(rows.rows), tried_(rows.rows) {}

    Points draw(std::size_t count) {
        const auto trials = 2 + static_cast<int>(portable_log(static_cast<double>(count)));
        Points centers{rows_.count, {}};
        append(centers, random_.below(static_cast<std::uint32_t>(rows_.rows)));
        squared_distances(rows_, centers.at(0), squares_.data());
        while (centers.count() < count) {
            const double potential = sum(squares_);
            if (!(potential > 0.0)) break;  // every row lies on a center
            double best = std::numeric_limits<double>::infinity();
            std::size_t chosen = 0;
            for (int t = 0; t < trials; ++t) {
                const std::size_t row = pick(random_.uniform() * potential);
                const double left = sum(squares_with(row));
                if (left < best) {
                    best = left;
                    chosen = row;
                }
            }
            squares_ = squares_with(chosen);
            append(centers, chosen);
        }
        return centers;
    }

  private:
    static double sum(const std::vector<double>& values) {
        double total = 0.0;
        for (const double value : values) total += value;
        return total;
    }

    void append(Points& centers, std::size_t row) const {
        for (std::size_t j = 0; j < rows_.count; ++j) centers.values.push_back(rows_.at(row, j));
    }

    /// The first row up to which the squares add up to `target`; it is no center.
    std::size_t pick(double target) const {
        std::size_t last = 0;
        double total = 0.0;
        for (std::size_t i = 0; i < squares_.size(); ++i) {
            if (squares_[i] == 0.0) continue;
            last = i;
            if ((total += squares_[i]) > target) break;
        }
        return last;
    }

    /// The squares with one more center, in `row`.
    const std::vector<double>& squares_with(std::size_t row) {
        Points point{rows_.count, {}};
        append(point, row);
        squared_distances(rows_, point.at(0), tried_.data());
        for (std::size_t i = 0; i < tried_.size(); ++i) {
            tried_[i] = std::min(tried_[i], squares_[i]);
        }
        return tried_;
    }

    const Columns& rows_;
    Random& random_;
    std::vector<double> squares_, tried_;
};

double mean_variance(const Columns& rows) {
    double sum = 0.0;
    const auto n = static_cast<double>(rows.rows);
    for (std::size_t j = 0; j < rows.count; ++j) {
        poll();
        double mean = 0.0, squares = 0.0;
        for (std::size_t i = 0; i < rows.rows; ++i) mean += rows.at(i, j) / n;
        for (std::size_t i = 0; i < rows.rows; ++i) {
            squares += (rows.at(i, j) - mean) * (rows.at(i, j) - mean) / n;
        }
        sum += squares;
    }
    return sum / static_cast<double>(rows.count);
}

class Lloyd {
  public:
    Lloyd(const Columns& rows, Points centers)
        : rows_(rows), centers_(std::move(centers)), squares_(rows.rows), labels_(rows.rows) {}

    Clusters run(double tolerance) {
        assign();
        for (int round = 0; round < kMostRounds; ++round) {
            const double moved = move_centers();
            assign();
            if (moved <= tolerance) break;
        }
        drop_empty();
        double inertia = 0.0;
        for (const double square : squares_) inertia += square;
        return {std::move(centers_), std::move(labels_), std::move(sizes_), inertia};
    }

  private:
    void assign() {
        centers_.find_nearest(rows_, squares_.data(), labels_.data());
        sizes_.assign(centers_.count(), 0);
        for (const std::uint32_t label : labels_) ++sizes_[label];
    }

    /// To the means of the rows; a center without rows goes to the row that is farthest from its
    /// own. Returns the sum of the squares of all moves.
    double move_centers() {
        Points means{rows_.count, std::vector<double>(centers_.values.size())};
        for (std::size_t j = 0; j < rows_.count; ++j) average(j, means);
        double moved = 0.0;
        for (std::size_t k = 0; k < means.count(); ++k) {
            if (sizes_[k] == 0) take_farthest(means.at(k));
            for (std::size_t j = 0; j < rows_.count; ++j) {
                const double step = means.at(k)[j] - centers_.at(k)[j];
                moved += step * step;
            }
        }
        centers_ = std::move(means);
        return moved;
    }

    /// Column j of the means, which rounding must not bring outside of the values: the mean of
    /// equal values is that value, and the rows lie on their center.
    void average(std::size_t j, Points& means) const {
        poll();
        constexpr double kInfinity = std::numeric_limits<double>::infinity();
        std::vector<double> lowest(sizes_.size(), kInfinity), highest(sizes_.size(), -kInfinity);
        for (std::size_t i = 0; i < rows_.rows; ++i) {
            const std::uint32_t k = labels_[i];
            const double value = rows_.at(i, j);
            means.at(k)[j] += value;
            lowest[k] = std::min(lowest[k], value);
            highest[k] = std::max(highest[k], value);
        }
        for (std::size_t k = 0; k < sizes_.size(); ++k) {
            if (sizes_[k] == 0) continue;
            means.at(k)[j] = std::clamp(means.at(k)[j] / sizes_[k], lowest[k], highest[k]);
        }
    }

    void take_farthest(double* center) {
        const auto farthest = std::max_element(squares_.begin(), squares_.end());
        const auto row = static_cast<std::size_t>(farthest - squares_.begin());
        *farthest = 0.0;
        for (std::size_t j = 0; j < rows_.count; ++j) center[j] = rows_.at(row, j);
    }

    void drop_empty() {
        std::vector<std::uint32_t> renamed;
        std::size_t kept = 0;
        for (std::size_t k = 0; k < sizes_.size(); ++k) {
            renamed.push_back(static_cast<std::uint32_t>(kept));
            if (sizes_[k] == 0) continue;
            std::copy_n(centers_.at(k), rows_.count, centers_.at(kept));
            sizes_[kept++] = sizes_[k];
        }
        sizes_.resize(kept);
        centers_.values.resize(kept * rows_.count);
        for (std::uint32_t& label : labels_) label = renamed[label];
    }

    const Columns& rows_;
    Points centers_;
    std::vector<double> squares_;
    std::vector<std::uint32_t> labels_;
    std::vector<std::uint32_t> sizes_;
};

}  // namespace

void Points::find_nearest(const Columns& rows, double* squares, std::uint32_t* nearest) const {
    RowGroup group(columns);
    for (std::size_t first = 0; first < rows.rows; first += Lanes::kCount) {
        if (first % 1024 == 0) poll();
        group.take(rows, first, nullptr);
        std::fill_n(squares + first, group.rows(), std::numeric_limits<double>::infinity());
        for (std::size_t k = 0; k < count(); ++k) {
            const Lanes distances = group.squared_distances(at(k));
            for (std::size_t i = 0; i < group.rows(); ++i) {
                if (!(distances.get(i) < squares[first + i])) continue;
                squares[first + i] = distances.get(i);
                if (nearest != nullptr) nearest[first + i] = static_cast<std::uint32_t>(k);
            }
        }
    }
}

void Points::save(Writer& out) const { out.array(values); }

Points Points::load(Reader& in, std::size_t columns) {
    Points points{columns, in.array<double>()};
    if (points.values.size() % columns != 0) {
        throw CorruptModel("wrong number of columns");
    }
    for (const double value : points.values) {
        if (!(std::fabs(value) <= 2.0 * kLargestValue)) throw CorruptModel("point out of range");
    }
    return points;
}

Clusters find_clusters(const Columns& rows, std::size_t count, std::size_t starts, Random random) {
    const double tolerance = kTolerance * mean_variance(rows);
    Clusters best;
    best.inertia = std::numeric_limits<double>::infinity();
    for (std::size_t s = 0; s < starts; ++s) {
        Random of_start = random.split();
        Clusters found =
            Lloyd(rows, Seeding(rows, of_start).draw(std::min(count, rows.rows))).run(tolerance);
        if (found.inertia < best.inertia) best = std::move(found);
    }
    return best;
}

std::uint64_t clusters_bytes(std::uint64_t rows, std::uint64_t columns, std::uint64_t count) {
    return rows * (3 * sizeof(double) + 2 * sizeof(std::uint32_t)) +
           count * ((4 * columns + 2) * sizeof(double) + 4 * sizeof(std::uint32_t)) +
           columns * sizeof(Lanes);
}

std::uint64_t kmeans_bytes(const Params& params, const FitShape& shape) {
    return clusters_bytes(shape.rows, shape.columns,
                          static_cast<std::uint64_t>(params.number("n_clusters")));
}

/// The more rows, the more rounds it takes until centers are at rest: in experience by the fourth
/// root, 20 with 1000 rows.
double clusters_steps(double rows, double columns, double count) {
    constexpr double kOfRoot = 3.6;
    const double rounds = std::min<double>(kMostRounds, kOfRoot * std::sqrt(std::sqrt(rows)));
    return rounds * count * rows * columns;
}

double kmeans_steps(const Params& params, double rows, double columns) {
    return params.number("n_init") * clusters_steps(rows, columns, params.number("n_clusters"));
}

void explain_distance(const Columns& rows, std::size_t row, const double* point,
                      double* contributions) {
    double sum = 0.0;
    for (std::size_t j = 0; j < rows.count; ++j) {
        const double offset = rows.at(row, j) - point[j];
        contributions[j] = offset * offset;
        sum += contributions[j];
    }
    const double distance = sum > 0.0 ? std::sqrt(sum) : 1.0;
    for (std::size_t j = 0; j < rows.count; ++j) contributions[j] /= distance;
}

}  // namespace ad
