// Elliptic envelope: finds rows far from the bulk of the data, whose center and covariance are
// those of the half of the rows with the smallest determinant, which outliers cannot move. Fit rows
// x columns^2, columns^3 some hundred times; score columns^2. Rousseeuw, Van Driessen: "A Fast
// Algorithm for the Minimum Covariance Determinant Estimator", Technometrics 41 (1999). Starts,
// correction and reweighting are those of scikit-learn's MinCovDet, and so is what happens when a
// covariance has no inverse.
#include "../linear.hpp"
#include "../portable_math.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr std::size_t kOneStage = 600;    ///< up to so many rows, all take part in every start
constexpr std::size_t kSubsetRows = 300;  ///< above, rows are dealt to subsets of that many
constexpr std::size_t kMostSubsets = 5;
constexpr std::size_t kStarts = 500;  ///< over all subsets, up to 50 columns
constexpr std::size_t kFewestStarts = 50;
constexpr std::size_t kKept = 10;  ///< the best that go on to the next stage
constexpr int kFirstSteps = 2;
constexpr int kMostSteps = 30;

/// A subset of the rows as its moments, and how good it is.
struct Candidate {
    Ellipsoid shape;

    bool on_plane() const { return shape.rank() < shape.center().size(); }
    /// Of all subsets on planes it is the same, so that the first of them is the best.
    double log_determinant() const {
        constexpr double kInfinity = std::numeric_limits<double>::infinity();
        return on_plane() ? -kInfinity : shape.log2_determinant();
    }
};

/// Looks for the `support` rows with the smallest covariance determinant.
class Search {
  public:
    Search(const Columns& rows, std::size_t support)
        : rows_(rows), support_(support), distances_(rows.rows), order_(first_numbers(rows.rows)) {}

    /// A row more than there are columns, and more while they lie on a plane.
    Candidate start(Random& random) {
        for (std::size_t i = 0; i < support_; ++i) {
            const auto left = static_cast<std::uint32_t>(order_.size() - i);
            std::swap(order_[i], order_[i + random.below(left)]);
        }
        for (std::size_t count = std::min(rows_.count + 1, support_);;
             count = std::min(count + 1 + count / 4, support_)) {
            Moments moments = moments_of(rows_, std::span(order_).first(count));
            Square lower = moments.covariance;
            if (count == support_ || cholesky(lower)) return {Ellipsoid(std::move(moments))};
        }
    }

    /// The rows nearest to the candidate: their determinant is not larger.
    Candidate concentrate(const Candidate& from) {
        from.shape.distances(rows_, distances_.data());
        const auto nearer = [&](std::uint32_t a, std::uint32_t b) {
            return distances_[a] != distances_[b] ? distances_[a] < distances_[b] : a < b;
        };
        std::nth_element(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(support_) - 1,
                         order_.end(), nearer);
        std::sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(support_));
        return {Ellipsoid(moments_of(rows_, std::span(order_).first(support_)))};
    }

    /// Concentrates until the determinant falls no more, or is 0: the rows of the subset lie on a
    /// plane, and nothing is smaller. Of such subsets that in the fewest dimensions is the best.
    Candidate descend(Candidate best, int steps) {
        while (steps-- > 0 && !best.on_plane()) {
            Candidate next = concentrate(best);
            if (!(next.log_determinant() < best.log_determinant())) break;
            best = std::move(next);
        }
        return best;
    }

  private:
    const Columns& rows_;
    std::size_t support_;
    std::vector<double> distances_;
    std::vector<std::uint32_t> order_;
};

std::size_t count_starts(std::size_t columns) {
    constexpr std::size_t kCheap = 50;
    return std::clamp(kStarts * kCheap * kCheap / (columns * columns), kFewestStarts, kStarts);
}

/// Keeps the best, in their order; equal ones in the order in which they were found.
void keep_best(std::vector<Candidate>& candidates, std::size_t count) {
    std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
        return a.log_determinant() < b.log_determinant();
    });
    if (candidates.size() > count) candidates.erase(candidates.begin() + count, candidates.end());
}

Matrix copy_rows(const Columns& rows, std::span<const std::uint32_t> chosen) {
    Matrix copy(chosen.size(), rows.count);
    for (std::size_t j = 0; j < rows.count; ++j) {
        double* out = copy.column(j);
        for (const std::uint32_t i : chosen) *out++ = rows.at(i, j);
    }
    return copy;
}

/// The raw estimate: center and covariance of the best `support` rows that were found.
Ellipsoid minimum_determinant(const Columns& rows, std::size_t support, Random random) {
    const double share = static_cast<double>(support) / static_cast<double>(rows.rows);
    const auto support_of = [&](std::size_t count) {
        return static_cast<std::size_t>(std::ceil(share * static_cast<double>(count)));
    };
    const std::size_t starts = count_starts(rows.count);
    std::vector<Candidate> candidates;
    const auto find_starts = [&](const Columns& some, std::size_t count) {
        Search search(some, support_of(some.rows));
        std::vector<Candidate> found;
        for (std::size_t s = 0; s < count; ++s) {
            Candidate start = search.start(random);
            found.push_back(start.on_plane()
                                ? std::move(start)
                                : search.descend(search.concentrate(start), kFirstSteps - 1));
            if (found.size() >= 2 * kKept) keep_best(found, kKept);
        }
        keep_best(found, kKept);
        for (auto& one : found) candidates.push_back(std::move(one));
    };
    const auto refine = [&](const Columns& some, int steps, std::size_t kept) {
        Search search(some, support_of(some.rows));
        for (auto& one : candidates) one = search.descend(search.concentrate(one), steps - 1);
        keep_best(candidates, kept);
    };
    if (rows.rows <= kOneStage) {
        find_starts(rows, starts);
    } else {
        const std::size_t subsets = std::min(rows.rows / kSubsetRows, kMostSubsets);
        auto order = first_numbers(rows.rows);
        const std::size_t merged = std::min(rows.rows, kSubsetRows * kMostSubsets);
        for (std::size_t i = 0; i < merged; ++i) {
            const auto left = static_cast<std::uint32_t>(order.size() - i);
            std::swap(order[i], order[i + random.below(left)]);
        }
        for (std::size_t s = 0; s < subsets; ++s) {
            const std::size_t from = s * merged / subsets, to = (s + 1) * merged / subsets;
            const Matrix part = copy_rows(rows, std::span(order).subspan(from, to - from));
            find_starts(part.view(), starts / subsets);
        }
        const Matrix part = copy_rows(rows, std::span(order).first(merged));
        refine(part.view(), kFirstSteps, kKept);
    }
    refine(rows, kMostSteps, 1);
    return std::move(candidates.front().shape);
}

double median_of(std::vector<double> values) {
    const auto middle = static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), values.begin() + middle, values.end());
    const double upper = values[static_cast<std::size_t>(middle)];
    if (values.size() % 2 == 1) return upper;
    return 0.5 * (*std::max_element(values.begin(), values.begin() + middle) + upper);
}

/// The rows that are no outliers to the raw estimate, corrected so that its median distance is what
/// a normal distribution gives. None if more than half of the rows lie on one point.
std::vector<std::uint32_t> bulk(const Columns& rows, const Ellipsoid& raw) {
    std::vector<double> distances(rows.rows);
    raw.distances(rows, distances.data());
    const auto columns = static_cast<double>(rows.count);
    const double limit = median_of(distances) / chi_squared_quantile(0.5, columns) *
                         chi_squared_quantile(0.975, columns);
    std::vector<std::uint32_t> inside;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        if (distances[i] < limit) inside.push_back(static_cast<std::uint32_t>(i));
    }
    return inside;
}

class EllipticEnvelope final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Columns& rows = training.rows;
        const auto n = static_cast<double>(rows.rows);
        const auto columns = static_cast<double>(rows.count);
        const double fraction = params.number("support_fraction");
        const double wanted =
            std::isnan(fraction) ? std::ceil(0.5 * (n + columns + 1.0)) : std::floor(fraction * n);
        const auto support = static_cast<std::size_t>(std::clamp(wanted, 1.0, n));
        std::vector<std::uint32_t> inside;
        // otherwise all subsets lie on planes, and none is better than the others
        if (support > rows.count) inside = bulk(rows, minimum_determinant(rows, support, random));
        if (inside.empty()) inside = first_numbers(rows.rows);
        ellipsoid_ = Ellipsoid(moments_of(rows, inside));
    }

    void score(const Columns& rows, double* scores) const override {
        ellipsoid_.distances(rows, scores);
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        ellipsoid_.explain(rows, row, contributions);
    }

    Json describe() const override { return {{"rank", ellipsoid_.rank()}}; }

    void save(Writer& out) const override { ellipsoid_.save(out); }
    void load(Reader& in, std::size_t columns) override {
        ellipsoid_ = Ellipsoid::load(in, columns);
    }
    std::size_t memory_bytes() const override { return ellipsoid_.memory_bytes(); }

  private:
    Ellipsoid ellipsoid_;
};

std::uint64_t bytes_of_fit(const Params&, const FitShape& shape) {
    const auto [rows, columns, categorical, scorings] = shape;
    const bool one_stage = rows <= kOneStage;
    const std::uint64_t subsets =
        one_stage ? 1 : std::min<std::uint64_t>(rows / kSubsetRows, kMostSubsets);
    const std::uint64_t candidates = (subsets + 2) * kKept;
    const std::uint64_t copied = one_stage ? 0 : subsets * kSubsetRows;
    return moments_bytes(rows, columns) + candidates * Ellipsoid::expected_bytes(columns) +
           (copied * columns + 3 * rows) * sizeof(double);
}

double steps_of_fit(const Params&, double rows, double columns) {
    const auto starts = static_cast<double>(count_starts(static_cast<std::size_t>(columns)));
    const double of_start = kFirstSteps * std::min<double>(rows, kSubsetRows) + 3.0 * columns;
    constexpr double kUsualSteps = 10.0;
    return (starts * of_start + kKept * kUsualSteps * rows) * columns * columns;
}

constexpr std::string_view kSmallest[] = {"smallest"};

constexpr ParamSpec kParams[] = {
    {"support_fraction", ParamType::Real, kMissing, 0.5, 1.0, kSmallest,
     "share of the rows that make up the raw estimate; \"smallest\" is (rows + columns + 1) / 2"},
};

}  // namespace

constexpr Algorithm kEllipticEnvelope{
    .name = "elliptic_envelope",
    .family = "linear",
    .summary = "rows far from the bulk, by a robust mean and covariance (FastMCD)",
    .score_scale =
        "squared robust Mahalanobis distance, 0 and up; roughly chi-squared with a degree of "
        "freedom for each column if the bulk is normally distributed",
    .paper =
        "Rousseeuw, Van Driessen: A Fast Algorithm for the Minimum Covariance Determinant "
        "Estimator (1999)",
    .random = true,
    .scale = Scale::Robust,
    .max_columns = 500,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<EllipticEnvelope>(); },
    .fit_bytes = bytes_of_fit,
    .fit_steps = steps_of_fit,
};

}  // namespace ad
