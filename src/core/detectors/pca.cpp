// Principal components: finds rows far out along the directions in which the data varies least. Fit
// rows x columns^2 + columns^3, score columns^2.
// Shyu, Chen, Sarinnapakorn, Chang: "A Novel Anomaly Detection Scheme Based on Principal Component
// Classifier", 2003. The score is PyOD's: the sum of a row's distances from the unit vectors of the
// components, each divided by the share of the variance that the component explains.
#include "../linear.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

/// Turns each vector so that the row that is farthest out along it lies on its positive side: the
/// distance from the unit vector depends on it (the convention of scikit-learn).
void choose_signs(const Columns& rows, const std::vector<double>& mean, EigenSystem& system) {
    std::vector<double> farthest(mean.size());
    RowGroup group(mean.size());
    for (std::size_t first = 0; first < rows.rows; first += Lanes::kCount) {
        if (first % 128 == 0) poll();
        group.take(rows, first, mean.data());
        for (std::size_t k = 0; k < mean.size(); ++k) {
            const Lanes along = group.combine(system.vectors.row(k), mean.size());
            for (std::size_t i = 0; i < group.rows(); ++i) {
                if (std::fabs(along.get(i)) > std::fabs(farthest[k])) farthest[k] = along.get(i);
            }
        }
    }
    for (std::size_t k = 0; k < mean.size(); ++k) {
        double* vector = system.vectors.row(k);
        for (std::size_t j = 0; j < mean.size() && farthest[k] < 0.0; ++j) vector[j] = -vector[j];
    }
}

class Pca final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random) override {
        const Columns& rows = training.rows;
        Moments moments = moments_of(rows, first_numbers(rows.rows));
        EigenSystem system = eigen_system(std::move(moments.covariance));
        choose_signs(rows, moments.mean, system);
        double total = 0.0;
        for (const double variance : system.values) total += std::max(variance, 0.0);
        // a direction without variance would be divided by what rounding left of it
        std::vector<double> shares;
        for (const double variance : system.values) {
            shares.push_back(total > 0.0 ? std::max(variance / total, kEpsilon) : 1.0);
        }
        shares.resize(std::min(rows.rows, rows.count));
        const std::size_t kept = count_kept(shares, params.number("n_components"));
        const double wanted = params.number("n_selected_components");
        selected_ = std::isnan(wanted) ? kept : std::min(kept, static_cast<std::size_t>(wanted));
        vectors_.assign(system.vectors.row(kept - selected_), system.vectors.row(kept));
        for (std::size_t k = kept - selected_; k < kept; ++k) {
            factors_.push_back(params.flag("weighted") ? 1.0 / shares[k] : 1.0);
        }
    }

    void score(const Columns& rows, double* scores) const override {
        RowGroup group(rows.count);
        for (std::size_t first = 0; first < rows.rows; first += Lanes::kCount) {
            group.take(rows, first, nullptr);
            std::fill_n(scores + first, group.rows(), 0.0);
            for (std::size_t k = 0; k < selected_; ++k) {
                const Lanes squares = group.squared_distances(vectors_.data() + k * rows.count);
                for (std::size_t i = 0; i < group.rows(); ++i) {
                    scores[first + i] += factors_[k] * std::sqrt(squares.get(i));
                }
            }
        }
        for (std::size_t i = 0; i < rows.rows; ++i) {
            scores[i] = std::min(scores[i], kLargestScore);
        }
    }

    /// Each distance is shared among the columns as its square is.
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        std::fill_n(contributions, rows.count, 0.0);
        std::vector<double> offsets(rows.count);
        for (std::size_t k = 0; k < selected_; ++k) {
            double squares = 0.0;
            for (std::size_t j = 0; j < rows.count; ++j) {
                offsets[j] = rows.at(row, j) - vectors_[k * rows.count + j];
                squares += offsets[j] * offsets[j];
            }
            if (squares == 0.0) continue;
            for (std::size_t j = 0; j < rows.count; ++j) {
                contributions[j] += factors_[k] * offsets[j] * offsets[j] / std::sqrt(squares);
            }
        }
    }

    Json describe() const override { return {{"n_selected_components", selected_}}; }

    void save(Writer& out) const override {
        out.array(factors_);
        out.array(vectors_);
    }

    void load(Reader& in, std::size_t columns) override {
        factors_ = in.array<double>();
        vectors_ = in.array<double>();
        selected_ = factors_.size();
        if (selected_ == 0 || selected_ > columns || vectors_.size() != selected_ * columns) {
            throw CorruptModel("wrong number of components");
        }
        for (const double factor : factors_) {
            if (!(factor >= 0.0 && factor <= 2.0 / kEpsilon)) {
                throw CorruptModel("weight out of range");
            }
        }
        for (const double value : vectors_) {
            if (!(std::fabs(value) <= 2.0)) throw CorruptModel("component out of range");
        }
    }

    std::size_t memory_bytes() const override {
        return (factors_.size() + vectors_.size()) * sizeof(double);
    }

  private:
    /// NaN: all; below 1: the fewest that explain more than that share of the variance.
    static std::size_t count_kept(const std::vector<double>& shares, double wanted) {
        if (std::isnan(wanted)) return shares.size();
        if (wanted >= 1.0) return std::min(shares.size(), static_cast<std::size_t>(wanted));
        std::size_t kept = 1;
        for (double sum = shares[0]; kept < shares.size() && sum <= wanted; sum += shares[kept++]) {
        }
        return kept;
    }

    std::size_t selected_ = 0;
    std::vector<double> factors_;  ///< of the selected components
    std::vector<double> vectors_;  ///< one after the other
};

constexpr std::string_view kAll[] = {"all"};

constexpr ParamSpec kParams[] = {
    {"n_components", ParamType::Real, kMissing, 1e-6, 500, kAll,
     "components that are kept, those of most variance first: a count, a share of the variance "
     "below 1, or \"all\""},
    {"n_selected_components", ParamType::Integer, kMissing, 1, 500, kAll,
     "components of those kept that count, those of least variance first, or \"all\""},
    {"weighted",
     ParamType::Boolean,
     1,
     0,
     1,
     {},
     "divide by the share of the variance that a component explains"},
};

}  // namespace

constexpr Algorithm kPca{
    .name = "pca",
    .family = "linear",
    .summary = "rows far out along the directions of least variance",
    .score_scale =
        "sum of the distances from the principal components, each divided by its share of the "
        "variance; 0 and up, equal in meaning to PyOD's",
    .paper =
        "Shyu, Chen, Sarinnapakorn, Chang: A Novel Anomaly Detection Scheme Based on "
        "Principal Component Classifier (2003)",
    .random = false,
    .scale = Scale::Standard,
    .max_columns = 500,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Pca>(); },
    .fit_bytes =
        [](const Params&, const FitShape& shape) {
            const auto [rows, columns, categorical, scorings] = shape;
            return moments_bytes(rows, columns) + (columns + 1) * columns * sizeof(double);
        },
    .fit_steps = [](const Params&, double rows,
                    double columns) { return (2.0 * rows + 10.0 * columns) * columns * columns; },
};

}  // namespace ad
