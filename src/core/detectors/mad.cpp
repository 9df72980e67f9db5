// Robust z-score: finds rows with a value far from the median of its column, in units of the
// median absolute deviation. Fit n log n, score one division a column.
// Iglewicz, Hoaglin: "How to Detect and Handle Outliers", ASQC 1993 (the modified z-score, the
// mean absolute deviation where the median one is 0, and the threshold 3.5).
#include <algorithm>
#include <numeric>

#include "../fences.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr double kMedianScale = 1.4826;  // MAD of a normal distribution is sigma / 1.4826
constexpr double kMeanScale = 1.2533;    // mean absolute deviation: sigma / 1.2533
constexpr double kUsualThreshold = 3.5;
constexpr double kLargest = std::numeric_limits<double>::max();
constexpr double kLargestScore = 1e100;  ///< of an infinite value: sums of scores stay finite
constexpr double kConstantColumn = 1e9;  ///< score of any deviation from a column without spread

double median_of(std::vector<double>& values) {
    const std::size_t middle = values.size() / 2;
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(middle);
    std::nth_element(values.begin(), at, values.end());
    const double upper = *at;
    if (values.size() % 2 == 1) return upper;
    return std::midpoint(*std::max_element(values.begin(), at), upper);
}

class Mad final : public Detector {
  public:
    void fit(const Training& training, const Params&, Random) override {
        const Columns& sample = training.rows;
        center_.reserve(sample.count);
        scale_.reserve(sample.count);
        for (std::size_t j = 0; j < sample.count; ++j) {
            poll();
            std::vector<double> values = present_values(sample.column[j], sample.rows);
            if (values.empty()) {  // nothing is known: whatever comes is usual
                center_.push_back(0.0);
                scale_.push_back(kLargest);
                continue;
            }
            const double center = median_of(values);
            double sum = 0.0;
            for (double& value : values) {
                value = std::min(std::fabs(value - center), kLargest);
                sum += value / static_cast<double>(values.size());
            }
            const double deviation = median_of(values);
            center_.push_back(center);
            scale_.push_back(
                std::min(deviation > 0.0 ? kMedianScale * deviation : kMeanScale * sum, kLargest));
        }
    }

    void score(const Columns& rows, double* scores) const override {
        std::fill_n(scores, rows.rows, 0.0);
        for (std::size_t j = 0; j < rows.count; ++j) {
            for (std::size_t i = 0; i < rows.rows; ++i) {
                scores[i] = std::max(scores[i], z_score(j, rows.at(i, j)));
            }
        }
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        for (std::size_t j = 0; j < rows.count; ++j) {
            contributions[j] = z_score(j, rows.at(row, j));
        }
    }

    double natural_threshold() const override { return kUsualThreshold; }

    void save(Writer& out) const override {
        out.array(center_);
        out.array(scale_);
    }

    void load(Reader& in, std::size_t columns) override {
        center_ = in.array<double>();
        scale_ = in.array<double>();
        if (center_.size() != columns || scale_.size() != columns) {
            throw CorruptModel("wrong number of columns");
        }
        for (std::size_t j = 0; j < columns; ++j) {
            if (!std::isfinite(center_[j]) || !(scale_[j] >= 0.0 && scale_[j] <= kLargest)) {
                throw CorruptModel("center or scale out of range");
            }
        }
    }

    std::size_t memory_bytes() const override { return 2 * center_.size() * sizeof(double); }

  private:
    double z_score(std::size_t j, double value) const {
        if (std::isnan(value)) return 0.0;
        const double distance =
            std::fabs(std::clamp(value, -kLargestValue, kLargestValue) - center_[j]);
        if (distance == 0.0) return 0.0;
        if (scale_[j] == 0.0) return kConstantColumn;
        return std::min(distance / scale_[j], kLargestScore);
    }

    std::vector<double> center_;
    std::vector<double> scale_;
};

}  // namespace

constexpr Algorithm kMad{
    .name = "mad",
    .family = "univariate",
    .summary = "values far from the median of their own column",
    .score_scale = "largest modified z-score of the columns, 0 and up; 3.5 is the usual threshold",
    .paper = "Iglewicz, Hoaglin: How to Detect and Handle Outliers (1993)",
    .random = false,
    .takes_missing = true,
    .payload_version = 1,
    .params = {},
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Mad>(); },
    .fit_bytes =
        [](const Params&, const FitShape& shape) {
            return (shape.rows + 2 * shape.columns) * sizeof(double);
        },
    .fit_steps = [](const Params&, double rows, double columns) { return rows * columns; },
};

}  // namespace ad
