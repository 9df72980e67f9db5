// One-class support vector machine: finds rows outside of a region that holds about 1 - nu of the
// training rows and is as tight as its kernel allows. Exact fit n^2 to n^3, approximate fit
// n * n_components^2; score one kernel a support vector, or a landmark.
// Schoelkopf, Platt, Shawe-Taylor, Smola, Williamson: "Estimating the Support of a
// High-Dimensional Distribution", Neural Computation 13, 2001. Scores are in LIBSVM's units.
#include <algorithm>
#include <numeric>

#include "../one_class.hpp"
#include "../portable_math.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr std::size_t kTile = PointTiles::kTile;
constexpr std::size_t kPollPoints = 256;
constexpr std::uint32_t kMostRows = 10'000'000;
constexpr double kLargestGamma = 1e100;
constexpr double kSmallestGamma = 1e-250;
constexpr double kLargestWeight = 1e100;
constexpr double kLargestNormal = 1e110;  ///< a sum of up to kMostRows values
constexpr double kLargestOffset = 1e250;

/// What a fit does, by its parameters.
struct Plan {
    Plan(const Params& params, std::uint64_t rows) {
        const auto way = params.choice("approximation");
        exact = way == "exact" || (way == "auto" && rows <= params.number("max_exact"));
        used = rows;
        if (exact) return;
        used = std::min(used, static_cast<std::uint64_t>(params.number("max_reference")));
        components = std::min(used, static_cast<std::uint64_t>(params.number("n_components")));
    }

    bool exact;
    std::uint64_t used;  ///< rows
    std::uint64_t components = 0;
};

/// gamma as scikit-learn defines it.
double gamma_of(const Params& params, const Columns& rows) {
    const double given = params.number("gamma");
    if (!std::isnan(given)) return given;
    const auto columns = static_cast<double>(rows.count);
    if (params.choice("gamma") == "auto") return 1.0 / columns;
    const double cells = columns * static_cast<double>(rows.rows);
    double mean = 0.0;
    double variance = 0.0;
    for (std::size_t j = 0; j < rows.count; ++j) {
        poll();
        for (std::size_t i = 0; i < rows.rows; ++i) mean += rows.at(i, j) / cells;
    }
    for (std::size_t j = 0; j < rows.count; ++j) {
        for (std::size_t i = 0; i < rows.rows; ++i) {
            variance += (rows.at(i, j) - mean) * (rows.at(i, j) - mean) / cells;
        }
    }
    if (variance == 0.0) return 1.0;
    return std::clamp(1.0 / (columns * variance), kSmallestGamma, kLargestGamma);
}

/// `count` different rows in an order of the seed's; all as they are if there are no more.
std::vector<std::uint32_t> choose_rows(std::size_t all, std::size_t count, Random& random) {
    std::vector<std::uint32_t> rows(all);
    std::iota(rows.begin(), rows.end(), 0);
    if (count == all) return rows;
    for (std::uint32_t i = 0; i < count; ++i) {
        std::swap(rows[i], rows[i + random.below(static_cast<std::uint32_t>(all) - i)]);
    }
    rows.resize(count);
    return rows;
}

class OneClassSvm final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Columns& rows = training.rows;
        const Plan plan(params, rows.rows);
        const bool linear = params.choice("kernel") == "linear";
        kernel_ = linear ? Kernel{Kernel::Type::Linear, 1.0}
                         : Kernel{Kernel::Type::Rbf, gamma_of(params, rows)};
        const auto chosen = choose_rows(rows.rows, plan.used, random);
        // The solver wants values of the kernel up to 1. A product of rows becomes that when they
        // are divided by the length of the longest.
        PointTiles points = take(rows, chosen, 1.0);
        double longest = 0.0;
        for (std::size_t i = 0; linear && i < points.count(); ++i) {
            longest = std::max(longest, kernel_diagonal(kernel_, points, i));
        }
        if (longest > 0.0) points = take(rows, chosen, std::sqrt(longest));
        // what rounding, in single precision, leaves of the sums of a gradient
        const double rounding = 1e-7 * params.number("nu") * static_cast<double>(points.count());
        const double unit = longest > 0.0 ? longest : 1.0;
        const double tolerance = std::max(params.number("tol") / unit, rounding);
        OneClassSolution solution;
        if (plan.exact) {
            solution = solve_exact(kernel_, points, params.number("nu"), tolerance);
            keep_support_vectors(points, solution);
        } else {
            solution = approximate(points, params.number("nu"), tolerance, plan.components, random);
        }
        if (linear) become_plane(rows.count, longest > 0.0 ? std::sqrt(longest) : 1.0);
        describe_fit(plan, solution);
        find_offset(rows, chosen, solution, unit);
    }

    void score(const Columns& rows, double* scores) const override {
        const std::size_t columns = rows.count;
        std::vector<double> by_row(rows.rows * columns);
        for (std::size_t j = 0; j < columns; ++j) {
            for (std::size_t i = 0; i < rows.rows; ++i) by_row[i * columns + j] = rows.at(i, j);
        }
        const TileKernel values_of = tile_kernel();
        double values[kTile];
        std::fill_n(scores, rows.rows, 0.0);
        for (std::size_t t = 0; t < points_.tiles(); ++t) {
            poll();
            const double* weights = weights_.data() + t * kTile;
            for (std::size_t i = 0; i < rows.rows; ++i) {
                values_of(kernel_, points_.tile(t), columns, &by_row[i * columns], values);
                scores[i] += tile_sum(weights, values);
            }
        }
        for (std::size_t i = 0; i < rows.rows; ++i) scores[i] = offset_ - scores[i];
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        std::fill_n(contributions, rows.count, 0.0);
        if (kernel_.type == Kernel::Type::Linear) {
            for (std::size_t j = 0; j < rows.count; ++j) {
                contributions[j] = -points_.at(0, j) * rows.at(row, j);
            }
            return;
        }
        std::vector<double> exponents(points_.count());
        for (std::size_t k = 0; k < points_.count(); ++k) {
            if (k % kPollPoints == 0) poll();
            for (std::size_t j = 0; j < rows.count; ++j) {
                exponents[k] += part_of(rows.at(row, j), k, j);
            }
        }
        const double least =
            exponents.empty() ? 0.0 : *std::min_element(exponents.begin(), exponents.end());
        double total = 0.0;
        for (std::size_t k = 0; k < points_.count(); ++k) {
            exponents[k] = std::fabs(weights_[k]) * portable_exp(least - exponents[k]);
            total += exponents[k];
        }
        if (total == 0.0) return;
        for (std::size_t k = 0; k < points_.count(); ++k) {
            if (k % kPollPoints == 0) poll();
            const double share = exponents[k] / total;
            for (std::size_t j = 0; share > 0.0 && j < rows.count; ++j) {
                contributions[j] += share * part_of(rows.at(row, j), k, j);
            }
        }
    }

    /// A score of 0 lies on the boundary, which belongs to the region.
    double natural_threshold() const override { return std::numeric_limits<double>::denorm_min(); }

    /// Of a row that is like no other. With the negative weights of an approximation some rows may
    /// exceed it a little.
    double largest_score() const override {
        return kernel_.type == Kernel::Type::Rbf ? offset_ : Detector::largest_score();
    }

    Json describe() const override { return description_; }

    void save(Writer& out) const override {
        out.number(static_cast<std::uint8_t>(kernel_.type));
        out.number(kernel_.gamma);
        out.number(offset_);
        out.array(std::vector<double>(weights_.begin(), weights_.begin() + count()));
        for (std::size_t i = 0; i < points_.count(); ++i) {
            for (std::size_t j = 0; j < points_.columns(); ++j) out.number(points_.at(i, j));
        }
    }

    void load(Reader& in, std::size_t columns) override {
        kernel_.type = static_cast<Kernel::Type>(in.at_most<std::uint8_t>(1));
        kernel_.gamma = in.real(kSmallestGamma, kLargestGamma);
        offset_ = in.real(-kLargestOffset, kLargestOffset);
        const bool linear = kernel_.type == Kernel::Type::Linear;
        const auto count = in.count((columns + 1) * sizeof(double));
        if (count == 0 || (linear && count != 1)) throw CorruptModel("wrong number of points");
        points_ = PointTiles(count, columns);
        weights_.assign(points_.tiles() * kTile, 0.0);
        for (std::size_t i = 0; i < count; ++i) {
            weights_[i] = in.real(-kLargestWeight, kLargestWeight);
        }
        const double largest = linear ? kLargestNormal : kLargestValue;
        for (std::size_t i = 0; i < count; ++i) {
            for (std::size_t j = 0; j < columns; ++j) points_.at(i, j) = in.real(-largest, largest);
        }
    }

    std::size_t memory_bytes() const override {
        return PointTiles::bytes(points_.count(), points_.columns() + 1);
    }

  private:
    std::ptrdiff_t count() const { return static_cast<std::ptrdiff_t>(points_.count()); }

    /// What column j adds to the negative exponent of the kernel of point k.
    double part_of(double value, std::size_t k, std::size_t j) const {
        const double difference = value - points_.at(k, j);
        return kernel_.gamma * (difference * difference);
    }

    static PointTiles take(const Columns& rows, const std::vector<std::uint32_t>& chosen,
                           double unit) {
        PointTiles points(chosen.size(), rows.count);
        for (std::size_t j = 0; j < rows.count; ++j) {
            poll();
            for (std::size_t i = 0; i < chosen.size(); ++i) {
                points.at(i, j) = rows.at(chosen[i], j) / unit;
            }
        }
        return points;
    }

    /// Makes the model of those points, with weights that the caller fills in.
    void keep(const PointTiles& points, const std::vector<std::uint32_t>& chosen) {
        points_ = PointTiles(chosen.size(), points.columns());
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            if (i % kPollPoints == 0) poll();
            for (std::size_t j = 0; j < points.columns(); ++j) {
                points_.at(i, j) = points.at(chosen[i], j);
            }
        }
        weights_.assign(points_.tiles() * kTile, 0.0);
    }

    void keep_support_vectors(const PointTiles& points, const OneClassSolution& solution) {
        std::vector<std::uint32_t> support;
        for (std::uint32_t i = 0; i < points.count(); ++i) {
            if (solution.alpha[i] > 0.0) support.push_back(i);
        }
        keep(points, support);
        for (std::size_t i = 0; i < support.size(); ++i) weights_[i] = solution.alpha[support[i]];
    }

    OneClassSolution approximate(const PointTiles& points, double nu, double tolerance,
                                 std::size_t components, Random& random) {
        const LowRank factors = factorize(kernel_, points, components, random);
        LinearSolution solution =
            solve_linear(factors.features, factors.landmarks.size(), nu, tolerance);
        keep(points, factors.landmarks);
        const auto weights = landmark_weights(factors, solution.w);
        std::copy(weights.begin(), weights.end(), weights_.begin());
        return solution;
    }

    /// A sum of products with rows, each divided by `unit`, is one product with the sum of rows.
    void become_plane(std::size_t columns, double unit) {
        PointTiles plane(1, columns);
        for (std::size_t j = 0; j < columns; ++j) {
            poll();
            for (std::size_t k = 0; k < points_.count(); ++k) {
                plane.at(0, j) += weights_[k] * points_.at(k, j);
            }
            plane.at(0, j) *= unit;
        }
        points_ = std::move(plane);
        weights_.assign(kTile, 0.0);
        weights_[0] = 1.0;
    }

    /// By the scores of the rows that lie on the boundary, so that these are as near 0 as can be.
    void find_offset(const Columns& rows, const std::vector<std::uint32_t>& chosen,
                     OneClassSolution& solution, double unit) {
        offset_ = 0.0;
        for (double& gradient : solution.gradient) gradient *= unit;
        std::vector<const double*> row(rows.count);
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            if (solution.alpha[i] <= 0.0 || solution.alpha[i] >= 1.0) continue;
            for (std::size_t j = 0; j < rows.count; ++j) row[j] = rows.column[j] + chosen[i];
            double value = 0.0;
            score({row.data(), rows.count, 1}, &value);
            solution.gradient[i] = -value;
        }
        offset_ = offset_of(solution.alpha, solution.gradient);
    }

    void describe_fit(const Plan& plan, const OneClassSolution& solution) {
        description_ = {{"approximation", plan.exact ? "exact" : "nystroem"},
                        {"rows_used", plan.used},
                        {kernel_.type == Kernel::Type::Linear ? "planes"
                         : plan.exact                         ? "support_vectors"
                                                              : "landmarks",
                         points_.count()},
                        {"steps", solution.steps},
                        {"converged", solution.converged}};
        if (kernel_.type == Kernel::Type::Rbf) description_["gamma"] = kernel_.gamma;
    }

    Kernel kernel_{Kernel::Type::Rbf, 1.0};
    PointTiles points_;            ///< of a linear kernel one, the normal of the plane
    std::vector<double> weights_;  ///< of whole tiles
    double offset_ = 0.0;
    Json description_;  ///< known after a fit
};

std::uint64_t bytes_of_svm(const Params& params, const FitShape& shape) {
    const auto [rows, columns, categorical, scorings] = shape;
    const Plan plan(params, rows);
    const std::uint64_t solver =
        plan.exact ? solve_exact_bytes(plan.used)
                   : PointTiles::bytes(plan.used, plan.components) + 8 * plan.used * sizeof(double);
    // the points twice, as they are divided, or in the model
    return 2 * PointTiles::bytes(plan.used, columns + 1) + solver + rows * sizeof(std::uint32_t);
}

double steps_of_svm(const Params& params, double rows, double columns) {
    const Plan plan(params, static_cast<std::uint64_t>(rows));
    const auto used = static_cast<double>(plan.used);
    if (plan.exact) return used * used * columns;
    const auto components = static_cast<double>(plan.components);
    return used * components * (columns + components);
}

constexpr std::string_view kKernels[] = {"rbf", "linear"};
constexpr std::string_view kGammas[] = {"scale", "auto"};
constexpr std::string_view kWays[] = {"auto", "exact", "nystroem"};

constexpr ParamSpec kParams[] = {
    {"kernel", ParamType::Choice, 0, 0, 0, kKernels, "measure of likeness of two rows"},
    {"nu",
     ParamType::Real,
     0.5,
     1e-6,
     1,
     {},
     "share of the training rows that may lie outside, and at least are support vectors"},
    {"gamma", ParamType::Real, kMissing, 1e-100, kLargestGamma, kGammas,
     "of rbf, exp(-gamma * distance^2); scale: 1 / (columns * variance), auto: 1 / columns"},
    {"tol",
     ParamType::Real,
     1e-3,
     1e-12,
     1e3,
     {},
     "how far the optimum's conditions may be missed"},
    {"approximation", ParamType::Choice, 0, 0, 0, kWays, "auto: exact up to max_exact rows"},
    {"max_exact",
     ParamType::Integer,
     10000,
     1,
     kMostRows,
     {},
     "training rows above which auto approximates; then the seed matters"},
    {"n_components", ParamType::Integer, 256, 1, 4096, {}, "landmarks of nystroem"},
    {"max_reference",
     ParamType::Integer,
     16384,
     1,
     kMostRows,
     {},
     "rows that nystroem draws from the training sample, at most"},
};

}  // namespace

constexpr Algorithm kOneClassSvm{
    .name = "one_class_svm",
    .family = "boundary",
    .summary = "rows outside of the region where most rows are, drawn by a kernel",
    .score_scale =
        "minus scikit-learn's decision_function: above 0 is outside of the region; at most rho",
    .paper =
        "Schoelkopf, Platt, Shawe-Taylor, Smola, Williamson: Estimating the Support of a "
        "High-Dimensional Distribution (Neural Computation 2001)",
    .random = true,
    .scale = Scale::Standard,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<OneClassSvm>(); },
    .fit_bytes = bytes_of_svm,
    .fit_steps = steps_of_svm,
};

}  // namespace ad
