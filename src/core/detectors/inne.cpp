// Isolation using nearest-neighbour ensembles: finds rows that lie in no ball around a few drawn
// rows, or in one that is large beside that of its neighbour. Fit: n_estimators x max_samples^2
// distances, whatever the size of the table. Score: n_estimators x max_samples distances.
// Bandaragoda, Ting, Albrecht, Liu, Zhu, Wells: "Isolation-based anomaly detection using
// nearest-neighbor ensembles", Computational Intelligence 34 (4), 2018.
#include <numeric>

#include "../neighbours.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr std::uint32_t kMaxEstimators = 10000;
constexpr std::uint32_t kMaxSamples = 65536;
constexpr double kUsualSamples = 8.0;
constexpr double kLargestSquare = 1e220;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();  ///< as PyOD has it

/// The score cannot exceed 1, which a fence around the usual scores may: most estimators isolate
/// rows at the rim of ordinary data, nearly all isolate those beyond.
constexpr double kUsualThreshold = 0.95;

constexpr std::string_view kAuto[] = {"auto"};

/// Rows of each estimator.
std::uint32_t samples_of(const Params& params, double rows) {
    double wanted = params.number("max_samples");
    if (std::isnan(wanted)) wanted = kUsualSamples;
    if (wanted <= 1.0) wanted *= rows;
    const double least = std::min(rows, 2.0);  // one row alone has no neighbour
    const double most = std::min(rows, static_cast<double>(kMaxSamples));
    return static_cast<std::uint32_t>(std::clamp(wanted, least, most));
}

class Inne final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Columns& rows = training.rows;
        samples_ = samples_of(params, static_cast<double>(rows.rows));
        const auto estimators = static_cast<std::size_t>(params.number("n_estimators"));
        centers_ = PointBlocks(estimators * samples_, rows.count);
        balls_.resize(centers_.points());
        std::vector<std::uint32_t> order(rows.rows);
        std::iota(order.begin(), order.end(), 0U);
        std::vector<double> squares(centers_.blocks() * kBlockPoints);
        for (std::size_t e = 0; e < estimators; ++e) {
            poll();
            for (std::uint32_t i = 0; i < samples_; ++i) {
                std::swap(order[i],
                          order[i + random.below(static_cast<std::uint32_t>(order.size() - i))]);
                for (std::size_t j = 0; j < rows.count; ++j) {
                    centers_.set(e * samples_ + i, j, rows.at(order[i], j));
                }
            }
            make_balls(e * samples_, squares.data());
        }
    }

    void score(const Columns& rows, double* scores) const override {
        std::vector<double> query(rows.count);
        std::vector<double> squares(centers_.blocks() * kBlockPoints);
        for (std::size_t i = 0; i < rows.rows; ++i) {
            poll();
            for (std::size_t j = 0; j < rows.count; ++j) query[j] = rows.at(i, j);
            measure(query.data(), 0, balls_.size(), squares.data());
            double sum = 0.0;
            for (std::size_t first = 0; first < balls_.size(); first += samples_) {
                const std::size_t ball = covering(first, squares.data());
                sum += ball == kNone ? 1.0 : balls_[ball].isolation;
            }
            scores[i] = sum / static_cast<double>(balls_.size() / samples_);
        }
    }

    /// Each estimator's part of the score is shared out by the columns' squared differences from
    /// the center of the ball, or from the nearest center if the row lies in no ball: an
    /// approximation, because the size of the balls is no property of a column.
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        const OneRow one(rows, row);
        std::vector<double> query(rows.count);
        std::vector<double> squares(centers_.blocks() * kBlockPoints);
        for (std::size_t j = 0; j < rows.count; ++j) query[j] = rows.at(row, j);
        measure(query.data(), 0, balls_.size(), squares.data());
        std::fill_n(contributions, rows.count, 0.0);
        const double share = static_cast<double>(samples_) / static_cast<double>(balls_.size());
        for (std::size_t first = 0; first < balls_.size(); first += samples_) {
            std::size_t center = covering(first, squares.data());
            const double isolation = center == kNone ? 1.0 : balls_[center].isolation;
            if (center == kNone) center = nearest(first, squares.data());
            if (squares[center] == 0.0) continue;
            add_shares(centers_, center, one.view(), squares[center], isolation * share,
                       contributions);
        }
    }

    double natural_threshold() const override { return kUsualThreshold; }
    double largest_score() const override { return 1.0; }

    void save(Writer& out) const override {
        out.number(samples_);
        centers_.save(out);
        for (const Ball& ball : balls_) {
            out.number(ball.square);
            out.number(ball.isolation);
        }
    }

    void load(Reader& in, std::size_t columns) override {
        samples_ = in.at_most(kMaxSamples);
        centers_.load(in, columns);
        if (samples_ == 0 || centers_.points() % samples_ != 0)
            throw CorruptModel("wrong number of centers");
        balls_.reserve(centers_.points());
        for (std::size_t i = 0; i < centers_.points(); ++i) {
            const double square = in.real(0.0, kLargestSquare);
            balls_.push_back({square, in.real(0.0, 1.0)});
        }
    }

    std::size_t memory_bytes() const override {
        return centers_.memory_bytes() + balls_.size() * sizeof(Ball);
    }

  private:
    struct Ball {
        double square;  ///< of the radius
        double isolation;
    };
    static constexpr std::size_t kNone = SIZE_MAX;

    /// Writes, for the centers [first, last) and others of their blocks, the squared distances.
    void measure(const double* query, std::size_t first, std::size_t last, double* squares) const {
        constexpr double kInfinity = std::numeric_limits<double>::infinity();
        for (std::size_t b = first / kBlockPoints; b * kBlockPoints < last; ++b) {
            if (b % 64 == 0) poll();
            centers_.squares(b, query, kInfinity, squares + b * kBlockPoints);
        }
    }

    std::size_t nearest(std::size_t first, const double* squares) const {
        const double* own = squares + first;
        return first + static_cast<std::size_t>(std::min_element(own, own + samples_) - own);
    }

    /// A ball reaches to the nearest other center of its estimator; it isolates as much as it is
    /// larger than the ball of that.
    void make_balls(std::size_t first, double* squares) {
        std::vector<double> query(centers_.columns());
        std::vector<std::size_t> neighbours(samples_);
        for (std::size_t i = 0; i < samples_; ++i) {
            poll();
            for (std::size_t j = 0; j < query.size(); ++j) query[j] = centers_.at(first + i, j);
            measure(query.data(), first, first + samples_, squares);
            squares[first + i] = std::numeric_limits<double>::infinity();
            neighbours[i] = nearest(first, squares);
            balls_[first + i].square = samples_ == 1 ? 0.0 : squares[neighbours[i]];
        }
        for (std::size_t i = 0; i < samples_; ++i) {
            Ball& ball = balls_[first + i];
            ball.isolation =
                1.0 - (balls_[neighbours[i]].square + kEpsilon) / (ball.square + kEpsilon);
        }
    }

    /// The smallest ball of an estimator that a row lies in.
    std::size_t covering(std::size_t first, const double* squares) const {
        std::size_t best = kNone;
        double smallest = std::numeric_limits<double>::infinity();
        for (std::size_t i = first; i < first + samples_; ++i) {
            const double square = balls_[i].square;
            if (squares[i] <= square && square < smallest) {
                smallest = square;
                best = i;
            }
        }
        return best;
    }

    std::uint32_t samples_ = 0;  ///< of an estimator
    PointBlocks centers_;        ///< of one estimator after the other
    std::vector<Ball> balls_;    ///< around them
};

std::uint64_t bytes_of_fit(const Params& params, const FitShape& shape) {
    const auto [rows, columns, categorical, scorings] = shape;
    const std::uint64_t samples = samples_of(params, static_cast<double>(rows));
    const std::uint64_t centers =
        samples * static_cast<std::uint64_t>(params.number("n_estimators"));
    return rows * sizeof(std::uint32_t) + PointBlocks::bytes(centers, columns) +
           (centers + kBlockPoints) * 3 * sizeof(double) + samples * sizeof(std::size_t);
}

double steps_of_fit(const Params& params, double rows, double columns) {
    const double samples = samples_of(params, rows);
    return params.number("n_estimators") * samples * (samples + rows) * columns;
}

constexpr ParamSpec kParams[] = {
    {"n_estimators", ParamType::Integer, 200, 1, kMaxEstimators, {}, "number of estimators"},
    {"max_samples", ParamType::Real, kMissing, 1e-6, kMaxSamples, kAuto,
     "rows drawn for each estimator: a fraction up to 1, a count, or \"auto\", which is 8"},
};

}  // namespace

constexpr Algorithm kInne{
    .name = "inne",
    .family = "isolation",
    .summary =
        "rows outside the balls around a few rows, or in balls that are large for their "
        "neighborhood",
    .score_scale =
        "0 to 1: how much the estimators isolate the row on average; 0.95 and up is unusual",
    .paper =
        "Bandaragoda et al.: Isolation-Based Anomaly Detection Using Nearest-Neighbor "
        "Ensembles (2018)",
    .random = true,
    .scale = Scale::Standard,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Inne>(); },
    .fit_bytes = bytes_of_fit,
    .fit_steps = steps_of_fit,
};

}  // namespace ad
