// Histogram-based outlier score: finds rows whose values lie where few values of their columns do,
// each column by itself. Fit linear (with chosen numbers of bins n sqrt n), score one lookup a
// column.
// Goldstein, Dengel: "Histogram-based Outlier Score (HBOS)", KI 2012, in the form of PyOD.
#include <algorithm>

#include "../histogram.hpp"
#include "../portable_math.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr std::uint32_t kMaxBins = 10000;
constexpr double kMostBits = 2000.0;  ///< densities are within 2^+-1100

/// The score of a value is -log2(density + alpha) of its bin, or of the emptiest bin if the value
/// lies more than `tol` bins outside.
struct BinnedColumn {
    Bins bins;
    std::vector<double> bits;  ///< by bin, and one for what is outside
    double first = 0.0;
    double last = 0.0;

    BinnedColumn(Bins of, double tolerance) : bins(std::move(of)) {
        first = bins.low() - tolerance * bins.width();
        last = bins.high() + tolerance * bins.width();
    }

    /// A value on a border is counted above it and scored below it, as PyOD does.
    double score(double value) const {
        const std::size_t bin = bins.below(value);
        return bits[value < first || value > last ? bins.count() : bin];
    }
};

class Hbos final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random) override {
        const Columns& sample = training.rows;
        const double alpha = params.number("alpha");
        const double wanted = params.number("n_bins");
        tolerance_ = params.number("tol");
        for (std::size_t j = 0; j < sample.count; ++j) {
            poll();
            const double* values = sample.column[j];
            const auto count = std::isnan(wanted) ? choose_bins(values, sample.rows)
                                                  : static_cast<std::uint32_t>(wanted);
            BinnedColumn column(Bins::of(values, sample.rows, count), tolerance_);
            const double share = 1.0 / (column.bins.width() * static_cast<double>(sample.rows));
            for (const auto rows : column.bins.histogram(values, sample.rows)) {
                column.bits.push_back(-portable_log2(rows * share + alpha));
            }
            column.bits.push_back(*std::max_element(column.bits.begin(), column.bits.end()));
            columns_.push_back(std::move(column));
        }
    }

    void score(const Columns& rows, double* scores) const override {
        std::fill_n(scores, rows.rows, 0.0);
        for (std::size_t j = 0; j < rows.count; ++j) {
            const BinnedColumn& column = columns_[j];
            for (std::size_t i = 0; i < rows.rows; ++i) scores[i] += column.score(rows.at(i, j));
        }
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        for (std::size_t j = 0; j < rows.count; ++j) {
            contributions[j] = columns_[j].score(rows.at(row, j));
        }
    }

    void save(Writer& out) const override {
        out.number(tolerance_);
        for (const BinnedColumn& column : columns_) {
            out.number(column.bins.low());
            out.number(column.bins.high());
            out.array(column.bits);
        }
    }

    void load(Reader& in, std::size_t columns) override {
        tolerance_ = in.real(0.0, 1.0);
        for (std::size_t j = 0; j < columns; ++j) {
            const double low = in.real(-4.0 * kLargestValue, 4.0 * kLargestValue);
            const double high = in.real(low, 4.0 * kLargestValue);
            auto bits = in.array<double>();
            if (!Bins::have_width(low, high) || bits.size() < 2 || bits.size() > kMaxBins + 1) {
                throw CorruptModel("bad histogram");
            }
            for (const double score : bits) {
                if (!(std::fabs(score) <= kMostBits)) throw CorruptModel("bad density");
            }
            columns_.emplace_back(Bins(low, high, static_cast<std::uint32_t>(bits.size() - 1)),
                                  tolerance_);
            columns_.back().bits = std::move(bits);
        }
    }

    std::size_t memory_bytes() const override {
        std::size_t bytes = 0;
        for (const BinnedColumn& column : columns_) {
            bytes += sizeof(BinnedColumn) + 2 * column.bits.size() * sizeof(double);
        }
        return bytes;
    }

  private:
    double tolerance_ = 0.0;
    std::vector<BinnedColumn> columns_;
};

double most_bins(const Params& params, double rows) {
    const double wanted = params.number("n_bins");
    return std::isnan(wanted) ? std::sqrt(rows) : wanted;
}

constexpr std::string_view kAuto[] = {"auto"};
constexpr ParamSpec kParams[] = {
    {"n_bins", ParamType::Integer, 10, 1, kMaxBins, kAuto,
     "number of bins of each column; auto: chosen for each column by penalised likelihood"},
    {"alpha", ParamType::Real, 0.1, 1e-9, 1, {}, "added to every density: limits the score"},
    {"tol", ParamType::Real, 0.5, 0, 1, {}, "widths of a bin by which a value may lie outside"},
};

}  // namespace

constexpr Algorithm kHbos{
    .name = "hbos",
    .family = "univariate",
    .summary = "rows with values where the histograms of their columns are low",
    .score_scale = "sum over the columns of -log2(density + alpha), any real number",
    .paper = "Goldstein, Dengel: Histogram-based Outlier Score (KI 2012)",
    .random = false,
    .scale = Scale::MinMax,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Hbos>(); },
    .fit_bytes =
        [](const Params& params, const FitShape& shape) {
            const auto [rows, columns, categorical, scorings] = shape;
            const auto bins =
                static_cast<std::uint64_t>(most_bins(params, static_cast<double>(rows)));
            return columns * (sizeof(BinnedColumn) * 3 + (bins + 2) * 4 * sizeof(double));
        },
    .fit_steps =
        [](const Params& params, double rows, double columns) {
            const bool chosen = std::isnan(params.number("n_bins"));
            return columns * rows * (chosen ? std::sqrt(rows) + 1.0 : 2.0);
        },
};

}  // namespace ad
