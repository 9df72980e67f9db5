// Kernel density: finds rows around which there are few others, by a sum of normal kernels over the
// rows of the fit. Fit copies at most max_reference rows, score max_reference x columns.
// Parzen: "On Estimation of a Probability Density Function and Mode", Ann. Math. Statist. 33
// (1962); as a score of outliers: Latecki, Lazarevic, Pokrajac: "Outlier Detection with Kernel
// Density Functions", MLDM 2007.
#include "../clusters.hpp"
#include "../portable_math.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr double kLog2Pi = 1.837877066409345483560659472811;
constexpr std::size_t kTile = 64;  ///< reference rows whose distances are kept at a time

/// e^x, x <= 0, in each row; what is below e^-700 counts as that.
Lanes exp_of(const Lanes& x) {
    Lanes result;
    for (std::size_t p = 0; p < std::size(x.part); ++p) {
        result.part[p] = portable_exp_pair(x.part[p]);
    }
    return result;
}

/// The sum over the reference of e^-(square / (2 bandwidth^2)), in eight rows side by side: kept
/// relative to the largest term so far, so that it is never 0.
class KernelSum {
  public:
    explicit KernelSum(double bandwidth) : factor_(0.5 / (bandwidth * bandwidth)) {
        for (auto& pack : nearest_.part) pack = Lanes::Pack{} + kFarthest;
    }

    void add(const Lanes* squares, std::size_t count) {
        Lanes nearest = nearest_;
        for (std::size_t t = 0; t < count; ++t) {
            for (std::size_t p = 0; p < std::size(nearest.part); ++p) {
                const Lanes::Pack& other = squares[t].part[p];
                nearest.part[p] = other < nearest.part[p] ? other : nearest.part[p];
            }
        }
        const Lanes shrunk = exp_of(exponent(nearest_, nearest));
        for (std::size_t p = 0; p < std::size(sum_.part); ++p) sum_.part[p] *= shrunk.part[p];
        nearest_ = nearest;
        for (std::size_t t = 0; t < count; ++t) {
            const Lanes term = exp_of(exponent(squares[t], nearest));
            for (std::size_t p = 0; p < std::size(sum_.part); ++p) sum_.part[p] += term.part[p];
        }
    }

    double log_sum(std::size_t i) const {
        return portable_log(sum_.get(i)) - factor_ * nearest_.get(i);
    }

  private:
    static constexpr double kFarthest = 1e210;  ///< beyond any square

    Lanes exponent(const Lanes& square, const Lanes& nearest) const {
        Lanes result;
        for (std::size_t p = 0; p < std::size(result.part); ++p) {
            result.part[p] = (nearest.part[p] - square.part[p]) * factor_;
        }
        return result;
    }

    double factor_;
    Lanes nearest_;
    Lanes sum_{};
};

class Kde final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Columns& rows = training.rows;
        auto chosen = first_numbers(rows.rows);
        const auto wanted = static_cast<std::size_t>(params.number("max_reference"));
        if (wanted < chosen.size()) {
            for (std::size_t i = 0; i < wanted; ++i) {
                const auto left = static_cast<std::uint32_t>(chosen.size() - i);
                std::swap(chosen[i], chosen[i + random.below(left)]);
            }
            chosen.resize(wanted);
        }
        reference_.columns = rows.count;
        reference_.values.reserve(chosen.size() * rows.count);
        for (const std::uint32_t i : chosen) {
            if (reference_.values.size() % 1024 < rows.count) poll();
            for (std::size_t j = 0; j < rows.count; ++j) {
                reference_.values.push_back(rows.at(i, j));
            }
        }
        bandwidth_ = params.number("bandwidth");
        if (!std::isnan(bandwidth_)) return;
        const auto d = static_cast<double>(rows.count);
        auto n = static_cast<double>(chosen.size());
        if (params.choice("bandwidth") == "silverman") n *= (d + 2.0) / 4.0;
        bandwidth_ = portable_exp2(-portable_log2(n) / (d + 4.0));
    }

    void score(const Columns& rows, double* scores) const override {
        const double constant = log_norm();
        RowGroup group(rows.count);
        Lanes squares[kTile];
        for (std::size_t first = 0; first < rows.rows; first += Lanes::kCount) {
            group.take(rows, first, nullptr);
            KernelSum sum(bandwidth_);
            for (std::size_t start = 0; start < reference_.count(); start += kTile) {
                const std::size_t count = std::min(kTile, reference_.count() - start);
                for (std::size_t t = 0; t < count; ++t) {
                    squares[t] = group.squared_distances(reference_.at(start + t));
                }
                sum.add(squares, count);
                poll();
            }
            for (std::size_t i = 0; i < group.rows(); ++i) {
                scores[first + i] = std::min(constant - sum.log_sum(i), kLargestScore);
            }
        }
    }

    /// By how much the logarithm of the kernel sum would rise without the column.
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        const std::size_t columns = rows.count;
        const double factor = 0.5 / (bandwidth_ * bandwidth_);
        std::vector<double> exponents(reference_.count());
        for (std::size_t t = 0; t < exponents.size(); ++t) {
            if (t % 1024 == 0) poll();
            double square = 0.0;
            for (std::size_t j = 0; j < columns; ++j) square += square_of(rows, row, t, j);
            exponents[t] = -factor * square;
        }
        const double all = log_sum_exp(exponents.data(), exponents.size());
        std::vector<double> without(exponents.size());
        for (std::size_t j = 0; j < columns; ++j) {
            poll();
            for (std::size_t t = 0; t < exponents.size(); ++t) {
                without[t] = std::min(exponents[t] + factor * square_of(rows, row, t, j), 0.0);
            }
            contributions[j] = log_sum_exp(without.data(), without.size()) - all;
        }
    }

    Json describe() const override {
        return {{"bandwidth", bandwidth_}, {"reference_rows", reference_.count()}};
    }

    void save(Writer& out) const override {
        out.number(bandwidth_);
        reference_.save(out);
    }

    void load(Reader& in, std::size_t columns) override {
        bandwidth_ = in.real(kSmallestBandwidth, kLargestBandwidth);
        reference_ = Points::load(in, columns);
        if (reference_.count() == 0) throw CorruptModel("there are no reference rows");
    }

    std::size_t memory_bytes() const override { return reference_.memory_bytes(); }

    static constexpr double kSmallestBandwidth = 1e-6;
    static constexpr double kLargestBandwidth = 1e6;

  private:
    double square_of(const Columns& rows, std::size_t row, std::size_t t, std::size_t j) const {
        const double offset = rows.at(row, j) - reference_.at(t)[j];
        return offset * offset;
    }

    double log_norm() const {
        const auto columns = static_cast<double>(reference_.columns);
        return portable_log(static_cast<double>(reference_.count())) +
               columns * (portable_log(bandwidth_) + 0.5 * kLog2Pi);
    }

    double bandwidth_ = 0.0;
    Points reference_;
};

constexpr std::string_view kRules[] = {"scott", "silverman"};

constexpr ParamSpec kParams[] = {
    {"bandwidth", ParamType::Real, 1.0, Kde::kSmallestBandwidth, Kde::kLargestBandwidth, kRules,
     "standard deviation of the kernels, in units of the scaled columns, or the rule that gives "
     "it: n^(-1/(columns + 4)), for \"silverman\" with n (columns + 2) / 4 in place of n"},
    {"max_reference",
     ParamType::Integer,
     8192,
     1,
     1e6,
     {},
     "rows that are kept; of more, as many are drawn"},
};

}  // namespace

constexpr Algorithm kKde{
    .name = "kde",
    .family = "density",
    .summary = "rows around which there are few others",
    .score_scale = "negative logarithm of the density",
    .paper = "Parzen: On Estimation of a Probability Density Function and Mode (1962)",
    .random = true,
    .scale = Scale::Standard,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Kde>(); },
    .fit_bytes =
        [](const Params& params, const FitShape& shape) {
            const auto [rows, columns, categorical, scorings] = shape;
            const auto kept =
                std::min(rows, static_cast<std::uint64_t>(params.number("max_reference")));
            return rows * sizeof(std::uint32_t) + kept * columns * sizeof(double) +
                   columns * sizeof(Lanes);
        },
    .fit_steps =
        [](const Params& params, double rows, double columns) {
            // the fit copies the reference; scoring the rows is what takes time
            constexpr double kOfExp = 15.0;
            return rows * std::min(rows, params.number("max_reference")) * (columns + kOfExp);
        },
};

}  // namespace ad
