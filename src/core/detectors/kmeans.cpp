// k-means: finds rows far from the centers of all clusters. Fit n_init x rounds x rows x n_clusters
// x columns, score n_clusters x columns.
// An outlier can be a cluster of its own, and would be ordinary then: the center of a single row
// does not count, unless all are such.
// MacQueen: "Some Methods for Classification and Analysis of Multivariate Observations", 1967; the
// clustering itself is in clusters.hpp.
#include "../clusters.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

class KMeans final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Clusters found =
            find_clusters(training.rows, static_cast<std::size_t>(params.number("n_clusters")),
                          static_cast<std::size_t>(params.number("n_init")), random);
        const bool all = *std::max_element(found.sizes.begin(), found.sizes.end()) == 1;
        centers_.columns = training.rows.count;
        for (std::size_t k = 0; k < found.sizes.size(); ++k) {
            if (found.sizes[k] == 1 && !all) continue;
            const double* center = found.centers.at(k);
            centers_.values.insert(centers_.values.end(), center, center + centers_.columns);
        }
    }

    void score(const Columns& rows, double* scores) const override {
        centers_.find_nearest(rows, scores, nullptr);
        for (std::size_t i = 0; i < rows.rows; ++i) {
            scores[i] = std::min(std::sqrt(scores[i]), kLargestScore);
        }
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        std::vector<double> squares(rows.rows);
        std::vector<std::uint32_t> nearest(rows.rows);
        centers_.find_nearest(rows, squares.data(), nearest.data());
        explain_distance(rows, row, centers_.at(nearest[row]), contributions);
    }

    Json describe() const override { return {{"n_clusters", centers_.count()}}; }

    void save(Writer& out) const override { centers_.save(out); }
    void load(Reader& in, std::size_t columns) override {
        centers_ = Points::load(in, columns);
        if (centers_.count() == 0) throw CorruptModel("there is no cluster");
    }
    std::size_t memory_bytes() const override { return centers_.memory_bytes(); }

  private:
    Points centers_;
};

constexpr ParamSpec kParams[] = {
    {"n_clusters", ParamType::Integer, 8, 1, 1000, {}, "number of clusters, at most"},
    {"n_init", ParamType::Integer, 10, 1, 100, {}, "runs from different starts; the best is kept"},
};

}  // namespace

constexpr Algorithm kKMeans{
    .name = "kmeans",
    .family = "cluster",
    .summary = "rows far from the nearest cluster center",
    .score_scale = "distance to the nearest cluster center, 0 and up",
    .paper = "Arthur, Vassilvitskii: k-means++: The Advantages of Careful Seeding (SODA 2007)",
    .random = true,
    .scale = Scale::Standard,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<KMeans>(); },
    .fit_bytes = kmeans_bytes,
    .fit_steps = kmeans_steps,
};

}  // namespace ad
