// Cluster-based local outlier factor: finds rows far from the centers of the large clusters; small
// clusters are strange as a whole. Fit and score as for k-means.
// He, Xu, Deng: "Discovering Cluster-Based Local Outliers", Pattern Recognition Letters 24 (2003).
// As in PyOD, k-means makes the clusters, and the size of the own cluster is no factor by default:
// with it, a row near a small cluster would hardly be strange.
#include <numeric>

#include "../clusters.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

/// How many of the clusters, whose sizes fall, are large: the fewest that hold the share `alpha` of
/// all rows and after which a cluster is `beta` times smaller; else the fewest that hold the share;
/// else the fewest before such a fall; else all.
std::size_t count_large(const std::vector<std::uint32_t>& sizes, double alpha, double beta) {
    const auto total = static_cast<double>(std::accumulate(sizes.begin(), sizes.end(), 0ULL));
    std::size_t by_share = 0, by_fall = 0;
    double held = 0.0;
    for (std::size_t i = 1; i < sizes.size(); ++i) {
        held += sizes[i - 1];
        const bool enough = held >= alpha * total;
        const bool falls = sizes[i - 1] >= beta * sizes[i];
        if (enough && falls) return i;
        if (enough && by_share == 0) by_share = i;
        if (falls && by_fall == 0) by_fall = i;
    }
    if (by_share > 0) return by_share;
    return by_fall > 0 ? by_fall : sizes.size();
}

class Cblof final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const std::size_t columns = training.rows.count;
        const Clusters clusters =
            find_clusters(training.rows, static_cast<std::size_t>(params.number("n_clusters")),
                          static_cast<std::size_t>(params.number("n_init")), random);
        std::vector<std::uint32_t> order = first_numbers(clusters.sizes.size());
        std::stable_sort(order.begin(), order.end(),
                         [&](auto a, auto b) { return clusters.sizes[a] > clusters.sizes[b]; });
        std::vector<std::uint32_t> sizes;
        for (const std::uint32_t k : order) sizes.push_back(clusters.sizes[k]);
        const std::size_t large = count_large(sizes, params.number("alpha"), params.number("beta"));
        large_.columns = small_.columns = columns;
        for (std::size_t k = 0; k < order.size(); ++k) {
            auto& values = (k < large ? large_ : small_).values;
            const double* center = clusters.centers.at(order[k]);
            values.insert(values.end(), center, center + columns);
        }
        if (params.flag("use_weights")) factors_.assign(sizes.begin(), sizes.end());
    }

    /// The center that is nearest of all large ones is the own one of a row in a large cluster.
    void score(const Columns& rows, double* scores) const override {
        std::vector<std::uint32_t> nearest(rows.rows);
        large_.find_nearest(rows, scores, nearest.data());
        std::vector<double> to_small(rows.rows);
        std::vector<std::uint32_t> nearest_small(rows.rows);
        if (!factors_.empty()) {
            small_.find_nearest(rows, to_small.data(), nearest_small.data());
        }
        for (std::size_t i = 0; i < rows.rows; ++i) {
            double factor = 1.0;
            if (!factors_.empty()) {
                const bool small = small_.count() > 0 && to_small[i] < scores[i];
                factor = factors_[small ? large_.count() + nearest_small[i] : nearest[i]];
            }
            scores[i] = std::min(factor * std::sqrt(scores[i]), kLargestScore);
        }
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        std::vector<double> scores(rows.rows);
        std::vector<std::uint32_t> nearest(rows.rows);
        large_.find_nearest(rows, scores.data(), nearest.data());
        const double distance = std::sqrt(scores[row]);
        explain_distance(rows, row, large_.at(nearest[row]), contributions);
        score(rows, scores.data());
        const double factor = factors_.empty() || distance == 0.0 ? 1.0 : scores[row] / distance;
        for (std::size_t j = 0; j < rows.count; ++j) contributions[j] *= factor;
    }

    Json describe() const override {
        return {{"large_clusters", large_.count()}, {"small_clusters", small_.count()}};
    }

    void save(Writer& out) const override {
        large_.save(out);
        small_.save(out);
        out.array(factors_);
    }

    void load(Reader& in, std::size_t columns) override {
        large_ = Points::load(in, columns);
        small_ = Points::load(in, columns);
        if (large_.count() == 0) throw CorruptModel("there is no large cluster");
        factors_ = in.array<double>();
        if (!factors_.empty() && factors_.size() != large_.count() + small_.count()) {
            throw CorruptModel("wrong number of clusters");
        }
        for (const double factor : factors_) {
            if (!(factor >= 1.0 && factor <= 0x1p32)) throw CorruptModel("size out of range");
        }
    }

    std::size_t memory_bytes() const override {
        return large_.memory_bytes() + small_.memory_bytes() + factors_.size() * sizeof(double);
    }

  private:
    Points large_, small_;
    std::vector<double> factors_;  ///< sizes of the large and then the small clusters, or none
};

constexpr ParamSpec kParams[] = {
    {"n_clusters", ParamType::Integer, 8, 1, 1000, {}, "number of clusters, at most"},
    {"alpha", ParamType::Real, 0.9, 0.5, 1.0, {}, "share of the rows that large clusters hold"},
    {"beta", ParamType::Real, 5.0, 1.0, 1e6, {}, "how many times smaller a small cluster is"},
    {"use_weights", ParamType::Boolean, 0, 0, 1, {}, "multiply by the size of the own cluster"},
    {"n_init", ParamType::Integer, 10, 1, 100, {}, "runs from different starts; the best is kept"},
};

}  // namespace

constexpr Algorithm kCblof{
    .name = "cblof",
    .family = "cluster",
    .summary = "rows far from the nearest large cluster",
    .score_scale =
        "distance to the nearest large cluster's center, 0 and up; times the size of the own "
        "cluster if use_weights is set",
    .paper = "He, Xu, Deng: Discovering Cluster-Based Local Outliers (2003)",
    .random = true,
    .scale = Scale::Standard,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Cblof>(); },
    .fit_bytes = kmeans_bytes,
    .fit_steps = kmeans_steps,
};

}  // namespace ad
