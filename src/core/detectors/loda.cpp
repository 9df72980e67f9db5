// Lightweight on-line detector of anomalies: finds rows that lie where few rows do on random sparse
// projections. Fit and score cuts x sqrt(columns) a row.
// Pevny: "Loda: Lightweight on-line detector of anomalies", Machine Learning 2016.
#include <algorithm>

#include "../histogram.hpp"
#include "../portable_math.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr std::uint32_t kMaxBins = 10000;
constexpr std::uint32_t kMaxCuts = 10000;
constexpr double kMostNats = 64.0;
constexpr double kLargestWeight = 64.0;
/// What a bin without rows, and all that is outside, counts for.
constexpr double kOfEmptyBin = 0.5;
/// Widths of a bin by which a value may lie outside and still count to the outermost one: otherwise
/// ordinary new rows would be outside on one projection or another.
constexpr double kTolerance = 0.5;

/// Marsaglia, Bray: "A Convenient Method for Generating Normal Variables", SIAM Review 1964.
double standard_normal(Random& random) {
    for (;;) {
        const double u = 2.0 * random.uniform() - 1.0;
        const double v = 2.0 * random.uniform() - 1.0;
        const double s = u * u + v * v;
        if (s > 0.0 && s < 1.0) return u * std::sqrt(-2.0 * portable_log(s) / s);
    }
}

/// A projection and the histogram of the training rows on it.
struct Cut {
    std::vector<std::uint32_t> columns;
    std::vector<double> weights;
    Bins bins{0.0, 1.0, 1};
    std::vector<double> nats;  ///< -ln of the share of rows, by bin, and one for what is outside

    void project(const Columns& rows, double* out) const {
        std::fill_n(out, rows.rows, 0.0);
        for (std::size_t k = 0; k < columns.size(); ++k) {
            const double* values = rows.column[columns[k]];
            for (std::size_t i = 0; i < rows.rows; ++i) out[i] += weights[k] * values[i];
        }
    }

    double nats_of(double projected) const {
        const double reach = kTolerance * bins.width();
        const bool outside = projected < bins.low() - reach || projected > bins.high() + reach;
        return nats[outside ? bins.count() : bins.above(projected)];
    }
};

/// Draws k of the columns into the front of `order`, and their weights.
Cut draw(std::vector<std::uint32_t>& order, std::size_t k, Random random) {
    Cut cut;
    for (std::size_t i = 0; i < k; ++i) {
        const auto left = static_cast<std::uint32_t>(order.size() - i);
        std::swap(order[i], order[i + random.below(left)]);
        cut.columns.push_back(order[i]);
        cut.weights.push_back(standard_normal(random));
    }
    return cut;
}

class Loda final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Columns& sample = training.rows;
        const double wanted = params.number("n_bins");
        const auto n = static_cast<double>(sample.rows);
        std::vector<std::uint32_t> order(sample.count);
        for (std::size_t j = 0; j < order.size(); ++j) order[j] = static_cast<std::uint32_t>(j);
        const auto k = static_cast<std::size_t>(std::sqrt(static_cast<double>(sample.count)));
        std::vector<double> projected(sample.rows);
        for (auto left = static_cast<std::uint32_t>(params.number("n_random_cuts")); left > 0;
             --left) {
            poll();
            Cut cut = draw(order, k, random.split());
            cut.project(sample, projected.data());
            const auto count = std::isnan(wanted) ? choose_bins(projected.data(), sample.rows)
                                                  : static_cast<std::uint32_t>(wanted);
            cut.bins = Bins::of(projected.data(), sample.rows, count);
            for (const double rows : cut.bins.histogram(projected.data(), sample.rows)) {
                cut.nats.push_back(portable_log(n / std::max(rows, kOfEmptyBin)));
            }
            cut.nats.push_back(portable_log(n / kOfEmptyBin));
            cuts_.push_back(std::move(cut));
        }
    }

    void score(const Columns& rows, double* scores) const override {
        std::fill_n(scores, rows.rows, 0.0);
        double projected[kMaxBlock];
        for (const Cut& cut : cuts_) {
            cut.project(rows, projected);
            for (std::size_t i = 0; i < rows.rows; ++i) scores[i] += cut.nats_of(projected[i]);
        }
        const auto count = static_cast<double>(cuts_.size());
        for (std::size_t i = 0; i < rows.rows; ++i) scores[i] /= count;
    }

    /// The paper's: Welch's t statistic of the cuts that use a column against those that do not;
    /// the score itself if there is no other column.
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        std::vector<Moments> with(rows.count);
        Moments all;
        std::vector<const double*> pointers;
        for (std::size_t j = 0; j < rows.count; ++j) pointers.push_back(rows.column[j] + row);
        for (const Cut& cut : cuts_) {
            double projected = 0.0;
            cut.project({pointers.data(), rows.count, 1}, &projected);
            const double nats = cut.nats_of(projected);
            all.add(nats);
            for (const auto j : cut.columns) with[j].add(nats);
        }
        for (std::size_t j = 0; j < rows.count; ++j) {
            contributions[j] = rows.count == 1 ? all.mean() : statistic(with[j], all);
        }
    }

    void save(Writer& out) const override {
        out.number(static_cast<std::uint32_t>(cuts_.size()));
        for (const Cut& cut : cuts_) {
            out.array(cut.columns);
            out.array(cut.weights);
            out.number(cut.bins.low());
            out.number(cut.bins.high());
            out.array(cut.nats);
        }
    }

    void load(Reader& in, std::size_t columns) override {
        constexpr std::size_t kSmallestCut = 56;
        const auto count = in.count(kSmallestCut);
        if (count == 0 || count > kMaxCuts) throw CorruptModel("bad number of projections");
        for (std::uint32_t c = 0; c < count; ++c) cuts_.push_back(load_cut(in, columns));
    }

    std::size_t memory_bytes() const override {
        std::size_t bytes = sizeof(Loda);
        for (const Cut& cut : cuts_) {
            bytes += sizeof(Cut) + cut.columns.size() * (sizeof(std::uint32_t) + sizeof(double)) +
                     2 * cut.nats.size() * sizeof(double);
        }
        return bytes;
    }

  private:
    struct Moments {
        double count = 0.0;
        double sum = 0.0;
        double squares = 0.0;

        void add(double value) {
            count += 1.0;
            sum += value;
            squares += value * value;
        }
        double mean() const { return sum / count; }
        double variance_of_mean() const {
            const double deviation = squares - sum * mean();
            return count > 1.0 ? std::max(deviation, 0.0) / ((count - 1.0) * count) : 0.0;
        }
    };

    static double statistic(const Moments& with, const Moments& all) {
        const Moments without{all.count - with.count, all.sum - with.sum,
                              all.squares - with.squares};
        if (with.count == 0.0 || without.count == 0.0) return 0.0;
        const double difference = with.mean() - without.mean();
        constexpr double kRounding = 1e-12;
        const double variance = with.variance_of_mean() + without.variance_of_mean();
        return difference / std::sqrt(std::max(variance, kRounding));
    }

    static Cut load_cut(Reader& in, std::size_t columns) {
        Cut cut;
        cut.columns = in.array<std::uint32_t>();
        cut.weights = in.array<double>();
        if (cut.columns.empty() || cut.columns.size() != cut.weights.size() ||
            cut.columns.size() > columns) {
            throw CorruptModel("bad projection");
        }
        for (std::size_t k = 0; k < cut.columns.size(); ++k) {
            if (cut.columns[k] >= columns || !(std::fabs(cut.weights[k]) <= kLargestWeight)) {
                throw CorruptModel("bad projection");
            }
        }
        constexpr double kFarthest = 1e10 * kLargestValue;
        const double low = in.real(-kFarthest, kFarthest);
        const double high = in.real(low, kFarthest);
        cut.nats = in.array<double>();
        if (!Bins::have_width(low, high) || cut.nats.size() < 2 || cut.nats.size() > kMaxBins + 1) {
            throw CorruptModel("bad histogram");
        }
        for (const double nats : cut.nats) {
            if (!(nats >= 0.0 && nats <= kMostNats)) throw CorruptModel("bad share");
        }
        cut.bins = Bins(low, high, static_cast<std::uint32_t>(cut.nats.size() - 1));
        return cut;
    }

    std::vector<Cut> cuts_;
};

double most_bins(const Params& params, double rows) {
    const double wanted = params.number("n_bins");
    return std::isnan(wanted) ? std::sqrt(rows) : wanted;
}

constexpr std::string_view kAuto[] = {"auto"};
constexpr ParamSpec kParams[] = {
    {"n_bins", ParamType::Integer, 10, 1, kMaxBins, kAuto,
     "number of bins of each projection; auto: chosen for each by penalised likelihood"},
    {"n_random_cuts", ParamType::Integer, 100, 1, kMaxCuts, {}, "number of random projections"},
};

}  // namespace

constexpr Algorithm kLoda{
    .name = "loda",
    .family = "projection",
    .summary = "rows that lie alone on random projections of few columns each",
    .score_scale = "mean over the projections of -ln(share of rows in the same bin), 0 and up",
    .paper = "Pevny: Loda: Lightweight on-line detector of anomalies (Machine Learning 2016)",
    .random = true,
    .scale = Scale::Standard,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Loda>(); },
    .fit_bytes =
        [](const Params& params, const FitShape& shape) {
            const auto [rows, columns, categorical, scorings] = shape;
            const double bins = most_bins(params, static_cast<double>(rows));
            const double used = std::sqrt(static_cast<double>(columns));
            const double of_cut = sizeof(Cut) * 2.0 + 24.0 * used + 4.0 * sizeof(double) * bins;
            return rows * sizeof(double) + columns * sizeof(std::uint32_t) +
                   static_cast<std::uint64_t>(params.number("n_random_cuts") * of_cut);
        },
    .fit_steps =
        [](const Params& params, double rows, double columns) {
            const bool chosen = std::isnan(params.number("n_bins"));
            const double of_row = std::sqrt(columns) + (chosen ? std::sqrt(rows) : 1.0);
            return params.number("n_random_cuts") * rows * of_row;
        },
};

}  // namespace ad
