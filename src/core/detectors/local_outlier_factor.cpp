// Local outlier factor: finds rows around which it is emptier than around their neighbours. Fit:
// the neighbours of all reference rows, in an index; score: those of the row. A search in the index
// takes less the fewer the columns and the more the rows cluster, at worst all reference rows.
// Breunig, Kriegel, Ng, Sander: "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000; with
// scikit-learn's 1e-10, which keeps the density of duplicates finite.
#include "../neighbours.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr double kLeastReach = 1e-10;
constexpr double kLargestDistance = 1e110;
constexpr double kUsualThreshold = 1.5;  ///< scikit-learn's, for contamination "auto"

class LocalOutlierFactor final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        novelty_ = params.flag("novelty");
        index_ = NeighbourIndex(training.rows,
                                static_cast<std::size_t>(params.number("max_reference")), random);
        neighbours_ = index_.usable_neighbours(params.number("n_neighbors"));
        radius_.resize(index_.rows());
        density_.resize(index_.rows());
        const Neighbours all = index_.find_own(neighbours_);
        for (std::size_t i = 0; i < index_.rows(); ++i) {
            radius_[i] = std::sqrt(all.squares_of(i)[all.per_row - 1]);
        }
        for (std::size_t i = 0; i < index_.rows(); ++i) {
            if (i % 1024 == 0) poll();
            density_[i] = 1.0 / mean_reach(all, i);
        }
    }

    void score(const Columns& rows, double* scores) const override {
        Neighbours found;
        index_.find(rows, neighbours_, !novelty_, found);
        for (std::size_t i = 0; i < rows.rows; ++i) scores[i] = factor(found, i);
    }

    /// The factor is the mean density of the neighbours times the mean reach of the row. The former
    /// is a property of the neighbours; the latter's distances are shared out by their columns'
    /// squared differences. An approximation: a reach that a neighbour's radius widens is treated
    /// as if it were a distance.
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        const OneRow one(rows, row);
        Neighbours found;
        index_.find(one.view(), neighbours_, !novelty_, found);
        std::fill_n(contributions, rows.count, 0.0);
        const double share = factor(found, 0) / (mean_reach(found, 0) * neighbours_);
        for (std::size_t n = 0; n < neighbours_; ++n) {
            if (found.squares[n] == 0.0) continue;
            add_shares(index_.points(), found.places[n], one.view(), found.squares[n],
                       share * reach(found, 0, n), contributions);
        }
    }

    double natural_threshold() const override { return kUsualThreshold; }

    void save(Writer& out) const override {
        out.number(static_cast<std::uint8_t>(novelty_));
        out.number(neighbours_);
        index_.save(out);
        out.array(radius_);
        out.array(density_);
    }

    void load(Reader& in, std::size_t columns) override {
        novelty_ = in.at_most<std::uint8_t>(1) != 0;
        neighbours_ = in.number<std::uint32_t>();
        index_.load(in, columns);
        if (neighbours_ == 0 || neighbours_ != index_.usable_neighbours(neighbours_))
            throw CorruptModel("wrong number of neighbors");
        radius_ = in.array<double>();
        density_ = in.array<double>();
        if (radius_.size() != index_.rows() || density_.size() != index_.rows())
            throw CorruptModel("wrong number of densities");
        constexpr double kLowest = 1.0 / (2.0 * kLargestDistance);
        constexpr double kHighest = 2.0 / kLeastReach;
        for (std::size_t i = 0; i < index_.rows(); ++i) {
            if (!(radius_[i] >= 0.0 && radius_[i] <= kLargestDistance) ||
                !(density_[i] >= kLowest && density_[i] <= kHighest)) {
                throw CorruptModel("radius or density out of range");
            }
        }
    }

    std::size_t memory_bytes() const override {
        return index_.memory_bytes() + 2 * radius_.size() * sizeof(double);
    }

  private:
    /// Reachability distance of the n-th neighbour of a row.
    double reach(const Neighbours& found, std::size_t row, std::size_t n) const {
        return std::max(std::sqrt(found.squares_of(row)[n]), radius_[found.places_of(row)[n]]);
    }

    double mean_reach(const Neighbours& found, std::size_t row) const {
        double sum = 0.0;
        for (std::size_t n = 0; n < found.per_row; ++n) sum += reach(found, row, n);
        return sum / static_cast<double>(found.per_row) + kLeastReach;
    }

    double factor(const Neighbours& found, std::size_t row) const {
        double sum = 0.0;
        for (std::size_t n = 0; n < found.per_row; ++n) sum += density_[found.places_of(row)[n]];
        const double density = 1.0 / mean_reach(found, row);
        return sum / static_cast<double>(found.per_row) / density;
    }

    bool novelty_ = false;
    std::uint32_t neighbours_ = 0;
    NeighbourIndex index_;
    std::vector<double> radius_;   ///< of a reference row: the distance of its last neighbour
    std::vector<double> density_;  ///< of a reference row: local reachability density
};

std::uint64_t bytes_of_fit(const Params& params, const FitShape& shape) {
    const auto reference =
        std::min(shape.rows, static_cast<std::uint64_t>(params.number("max_reference")));
    return NeighbourIndex::fit_bytes(params, shape) + NeighbourIndex::own_bytes(params, shape) +
           2 * reference * sizeof(double);
}

/// A search for every reference row, and to score every row.
double steps_of_fit(const Params& params, double rows, double columns) {
    const double reference = std::min(rows, params.number("max_reference"));
    return (reference + rows) * NeighbourIndex::search_steps(reference, columns);
}

constexpr ParamSpec kParams[] = {
    {"n_neighbors",
     ParamType::Integer,
     20,
     1,
     NeighbourIndex::kMaxNeighbours,
     {},
     "neighbors of a row; all others if there are fewer"},
    kNoveltyParam,
    kMaxReferenceParam,
};

}  // namespace

constexpr Algorithm kLocalOutlierFactor{
    .name = "local_outlier_factor",
    .family = "neighbors",
    .summary = "rows around which it is emptier than around their neighbors",
    .score_scale =
        "density of the neighbors by that of the row; about 1 is ordinary, 1.5 is the "
        "usual threshold",
    .paper =
        "Breunig, Kriegel, Ng, Sander: LOF: Identifying Density-Based Local Outliers "
        "(SIGMOD 2000)",
    .random = true,
    .scale = Scale::Standard,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<LocalOutlierFactor>(); },
    .fit_bytes = bytes_of_fit,
    .fit_steps = steps_of_fit,
};

}  // namespace ad
