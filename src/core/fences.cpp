#include "fences.hpp"

#include <algorithm>

namespace ad {

namespace {

constexpr double kLargest = std::numeric_limits<double>::max();
constexpr double kLargestScore = 1e100;
constexpr double kConstantColumn = 1e9;  ///< score of any deviation from a column without spread
/// Of a column of missing values only: whatever comes is usual.
constexpr Fence kNothingKnown{-kLargest, kLargest, 0.0};

class Fences final : public Detector {
  public:
    using Learn = Fence (*)(const std::vector<double>& values);

    Fences(Learn learn, double threshold) : learn_(learn), threshold_(threshold) {}

    void fit(const Training& training, const Params&, Random) override {
        fences_.reserve(training.rows.count);
        for (std::size_t j = 0; j < training.rows.count; ++j) {
            poll();
            const auto values = present_values(training.rows.column[j], training.rows.rows);
            fences_.push_back(values.empty() ? kNothingKnown : learn_(values));
        }
    }

    void score(const Columns& rows, double* scores) const override {
        std::fill_n(scores, rows.rows, 0.0);
        for (std::size_t j = 0; j < rows.count; ++j) {
            const Fence fence = fences_[j];
            for (std::size_t i = 0; i < rows.rows; ++i) {
                scores[i] = std::max(scores[i], distance(fence, rows.at(i, j)));
            }
        }
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        for (std::size_t j = 0; j < rows.count; ++j) {
            contributions[j] = distance(fences_[j], rows.at(row, j));
        }
    }

    double natural_threshold() const override { return threshold_; }

    void save(Writer& out) const override {
        for (const Fence& fence : fences_) {
            out.number(fence.low);
            out.number(fence.high);
            out.number(fence.spread);
        }
    }

    void load(Reader& in, std::size_t columns) override {
        for (std::size_t j = 0; j < columns; ++j) {
            const double low = in.real(-kLargest, kLargest);
            const double high = in.real(low, kLargest);
            fences_.push_back({low, high, in.real(0.0, kLargest)});
        }
    }

    std::size_t memory_bytes() const override {
        return sizeof(Fences) + fences_.size() * sizeof(Fence);
    }

  private:
    static double distance(const Fence& fence, double value) {
        if (std::isnan(value)) return 0.0;
        value = std::clamp(value, -kLargestValue, kLargestValue);
        const double beyond = std::max(std::max(fence.low - value, value - fence.high), 0.0);
        if (fence.spread > 0.0) return std::min(beyond / fence.spread, kLargestScore);
        return beyond > 0.0 ? kConstantColumn : 0.0;
    }

    Learn learn_;
    double threshold_;
    std::vector<Fence> fences_;
};

}  // namespace

std::unique_ptr<Detector> make_fences(Fence (*learn)(const std::vector<double>& values),
                                      double threshold) {
    return std::make_unique<Fences>(learn, threshold);
}

std::vector<double> present_values(const double* column, std::size_t rows) {
    std::vector<double> values;
    values.reserve(rows);
    for (std::size_t i = 0; i < rows; ++i) {
        if (std::isnan(column[i])) continue;
        values.push_back(std::clamp(column[i], -kLargestValue, kLargestValue));
    }
    return values;
}

std::uint64_t bytes_of_fences(const Params&, const FitShape& shape) {
    return shape.rows * sizeof(double) + shape.columns * sizeof(Fence);
}

}  // namespace ad
