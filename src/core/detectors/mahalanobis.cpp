// Mahalanobis distance: finds rows far from the mean, measured in the spread and the correlations
// of the columns. Fit rows x columns^2 + columns^3, score columns^2.
// Mahalanobis: "On the generalised distance in statistics", Proc. Nat. Inst. Sci. India 2 (1936).
#include "../linear.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

/// A constant column and an exact relation between columns count as if they varied by a thousandth
/// of a standard deviation: what breaks them is strange, and the covariance has an inverse.
constexpr double kRidge = 1e-6;

class Mahalanobis final : public Detector {
  public:
    void fit(const Training& training, const Params&, Random) override {
        auto moments = moments_of(training.rows, first_numbers(training.rows.rows));
        add_ridge(moments, kRidge);
        ellipsoid_ = Ellipsoid(std::move(moments));
    }

    void score(const Columns& rows, double* scores) const override {
        ellipsoid_.distances(rows, scores);
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        ellipsoid_.explain(rows, row, contributions);
    }

    void save(Writer& out) const override { ellipsoid_.save(out); }
    void load(Reader& in, std::size_t columns) override {
        ellipsoid_ = Ellipsoid::load(in, columns);
    }
    std::size_t memory_bytes() const override { return ellipsoid_.memory_bytes(); }

  private:
    Ellipsoid ellipsoid_;
};

}  // namespace

constexpr Algorithm kMahalanobis{
    .name = "mahalanobis",
    .family = "linear",
    .summary = "rows far from the mean, by the covariance of the columns",
    .score_scale =
        "squared Mahalanobis distance, 0 and up; chi-squared with a degree of freedom for each "
        "column if the rows are normally distributed",
    .paper = "Mahalanobis: On the Generalised Distance in Statistics (1936)",
    .random = false,
    .scale = Scale::Standard,
    .max_columns = 500,
    .payload_version = 1,
    .params = {},
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Mahalanobis>(); },
    .fit_bytes =
        [](const Params&, const FitShape& shape) {
            const auto [rows, columns, categorical, scorings] = shape;
            return moments_bytes(rows, columns) + Ellipsoid::expected_bytes(columns);
        },
    .fit_steps = [](const Params&, double rows,
                    double columns) { return (rows + 10.0 * columns) * columns * columns; },
};

}  // namespace ad
