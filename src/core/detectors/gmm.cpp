// Gaussian mixture: finds rows that a few normal distributions, fitted together, make unlikely. Fit
// rounds x n_components x (rows x columns^2 + columns^3), score n_components x columns^2.
// Dempster, Laird, Rubin: "Maximum Likelihood from Incomplete Data via the EM Algorithm", J. Royal
// Statist. Soc. B 39 (1977). Start (k-means), ridge and end are those of scikit-learn.
#include "../clusters.hpp"
#include "../portable_math.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr double kLog2Pi = 1.837877066409345483560659472811;
constexpr int kMostRounds = 100;
constexpr double kTolerance = 1e-3;       ///< gain of the mean log-likelihood that ends the fit
constexpr double kLargestConstant = 1e6;  ///< logarithms of 500 variances stay below

/// A normal distribution times its share of the rows.
struct Component {
    Ellipsoid shape;
    double constant = 0.0;  ///< logarithm of the density at the center

    double log_density(double distance) const { return constant - 0.5 * distance; }
};

class Gmm final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Columns& rows = training.rows;
        ridge_ = params.number("reg_covar");
        const auto wanted = static_cast<std::size_t>(params.number("n_components"));
        Shares shares = first_shares(rows, wanted, random);
        double likelihood = -std::numeric_limits<double>::infinity();
        for (int round = 0; round < kMostRounds; ++round) {
            maximize(rows, shares);
            if (components_.size() == 1) break;
            const double before = likelihood;
            likelihood = expect(rows, shares);
            if (std::fabs(likelihood - before) < kTolerance) break;
        }
        if (components_.size() > 1) maximize(rows, shares);
    }

    void score(const Columns& rows, double* scores) const override {
        const Shares logs = log_densities(rows);
        std::vector<double> of_row(components_.size());
        for (std::size_t i = 0; i < rows.rows; ++i) {
            for (std::size_t k = 0; k < of_row.size(); ++k) of_row[k] = logs[k][i];
            scores[i] = std::min(-log_sum_exp(of_row.data(), of_row.size()), kLargestScore);
        }
    }

    /// Half of the squared Mahalanobis distance from each component, by the probability that the
    /// row belongs to it.
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        const Shares logs = log_densities(rows);
        std::vector<double> of_row;
        for (const auto& values : logs) of_row.push_back(values[row]);
        const double all = log_sum_exp(of_row.data(), of_row.size());
        std::fill_n(contributions, rows.count, 0.0);
        std::vector<double> part(rows.count);
        for (std::size_t k = 0; k < components_.size(); ++k) {
            const double share = portable_exp(of_row[k] - all);
            components_[k].shape.explain(rows, row, part.data());
            for (std::size_t j = 0; j < rows.count; ++j) contributions[j] += 0.5 * share * part[j];
        }
    }

    Json describe() const override { return {{"n_components", components_.size()}}; }

    void save(Writer& out) const override {
        out.number(static_cast<std::uint32_t>(components_.size()));
        for (const Component& component : components_) {
            out.number(component.constant);
            component.shape.save(out);
        }
    }

    void load(Reader& in, std::size_t columns) override {
        components_.resize(in.count(2 * sizeof(double)));
        if (components_.empty()) throw CorruptModel("there is no component");
        for (Component& component : components_) {
            component.constant = in.real(-kLargestConstant, kLargestConstant);
            component.shape = Ellipsoid::load(in, columns);
        }
    }

    std::size_t memory_bytes() const override {
        std::size_t bytes = 0;
        for (const Component& component : components_) {
            bytes += sizeof(Component) + component.shape.memory_bytes();
        }
        return bytes;
    }

  private:
    /// A number for each component and row.
    using Shares = std::vector<std::vector<double>>;

    static Shares first_shares(const Columns& rows, std::size_t wanted, Random random) {
        if (wanted == 1) return {std::vector<double>(rows.rows, 1.0)};
        const Clusters clusters = find_clusters(rows, wanted, 1, random);
        Shares shares(clusters.sizes.size(), std::vector<double>(rows.rows));
        for (std::size_t i = 0; i < rows.rows; ++i) shares[clusters.labels[i]][i] = 1.0;
        return shares;
    }

    Shares log_densities(const Columns& rows) const {
        Shares logs(components_.size(), std::vector<double>(rows.rows));
        for (std::size_t k = 0; k < components_.size(); ++k) {
            components_[k].shape.distances(rows, logs[k].data());
            for (double& value : logs[k]) value = components_[k].log_density(value);
        }
        return logs;
    }

    /// The components that fit the shares of the rows best; one without rows is left out.
    void maximize(const Columns& rows, const Shares& shares) {
        components_.clear();
        const auto all = first_numbers(rows.rows);
        const auto columns = static_cast<double>(rows.count);
        for (const auto& of_component : shares) {
            double total = 0.0;
            for (const double share : of_component) total += share;
            constexpr double kNone = 1e-10;
            if (total < kNone) continue;
            Moments moments = moments_of(rows, all, of_component.data());
            for (std::size_t j = 0; j < rows.count; ++j) moments.covariance.at(j, j) += ridge_;
            Component component{Ellipsoid(std::move(moments), ridge_)};
            component.constant =
                portable_log(total / static_cast<double>(rows.rows)) -
                0.5 * (columns * kLog2Pi + kLn2 * component.shape.log2_determinant());
            components_.push_back(std::move(component));
        }
    }

    /// What each component has in each row. Returns the mean log-likelihood.
    double expect(const Columns& rows, Shares& shares) const {
        shares = log_densities(rows);
        std::vector<double> of_row(components_.size());
        double sum = 0.0;
        for (std::size_t i = 0; i < rows.rows; ++i) {
            if (i % 1024 == 0) poll();
            for (std::size_t k = 0; k < of_row.size(); ++k) of_row[k] = shares[k][i];
            const double all = log_sum_exp(of_row.data(), of_row.size());
            for (std::size_t k = 0; k < of_row.size(); ++k) {
                shares[k][i] = portable_exp(of_row[k] - all);
            }
            sum += all;
        }
        return sum / static_cast<double>(rows.rows);
    }

    double ridge_ = 0.0;
    std::vector<Component> components_;
};

/// Components with hardly more rows than columns are flat: they keep their rows, and the fit ends
/// after few rounds.
double usual_rounds(double rows_of_component, double columns) {
    constexpr double kUsual = 20.0;
    constexpr double kEnough = 2.5;  ///< rows for each column
    const double filled = std::min(1.0, rows_of_component / (kEnough * columns));
    return std::max(2.0, kUsual * filled * filled);
}

double steps_of_fit(const Params& params, double rows, double columns) {
    const double components = params.number("n_components");
    const double of_round = components * (rows + columns) * columns * columns;
    if (components == 1.0) return of_round;
    return clusters_steps(rows, columns, components) +
           usual_rounds(rows / components, columns) * of_round;
}

constexpr ParamSpec kParams[] = {
    {"n_components", ParamType::Integer, 1, 1, 100, {}, "normal distributions, at most"},
    {"reg_covar", ParamType::Real, 1e-6, 1e-12, 1e6, {}, "added to every variance"},
};

}  // namespace

constexpr Algorithm kGmm{
    .name = "gmm",
    .family = "mixture",
    .summary = "rows that a mixture of normal distributions makes unlikely",
    .score_scale = "negative logarithm of the density",
    .paper =
        "Dempster, Laird, Rubin: Maximum Likelihood from Incomplete Data via the EM "
        "Algorithm (1977)",
    .random = true,
    .scale = Scale::Standard,
    .max_columns = 500,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Gmm>(); },
    .fit_bytes =
        [](const Params& params, const FitShape& shape) {
            const auto [rows, columns, categorical, scorings] = shape;
            const auto components = static_cast<std::uint64_t>(params.number("n_components"));
            return clusters_bytes(rows, columns, components) + moments_bytes(rows, columns) +
                   components * (2 * rows * sizeof(double) + Ellipsoid::expected_bytes(columns));
        },
    .fit_steps = steps_of_fit,
};

}  // namespace ad
