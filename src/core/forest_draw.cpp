#include "forest_draw.hpp"

#include <algorithm>
#include <numeric>

#include "portable_math.hpp"

namespace ad {

std::uint32_t fraction_or_count(double value, std::size_t total) {
    const double wanted = value <= 1.0 ? value * static_cast<double>(total) : value;
    return static_cast<std::uint32_t>(std::clamp(wanted, 1.0, static_cast<double>(total)));
}

void choose(std::vector<std::uint32_t>& items, std::uint32_t k, Random& random) {
    for (std::uint32_t i = 0; i < k; ++i) {
        std::swap(items[i], items[i + random.below(static_cast<std::uint32_t>(items.size()) - i)]);
    }
}

double normal_deviate(Random& random) {
    for (;;) {
        const double x = 2.0 * random.uniform() - 1.0;
        const double y = 2.0 * random.uniform() - 1.0;
        const double s = x * x + y * y;
        if (s > 0.0 && s < 1.0) return x * std::sqrt(-2.0 * portable_log(s) / s);
    }
}

RowDraw::RowDraw(std::size_t rows, const double* weights, std::uint32_t wanted, bool bootstrap)
    : rows_(static_cast<std::uint32_t>(rows)),
      weights_(weights),
      bootstrap_(bootstrap),
      size_(std::min(wanted, rows_)) {
    if (weights == nullptr) {
        items_.resize(bootstrap ? 0 : rows);
        std::iota(items_.begin(), items_.end(), 0U);
    } else if (bootstrap) {
        const double largest = *std::max_element(weights, weights + rows);
        sums_.reserve(rows);
        double sum = 0.0;
        for (std::size_t i = 0; i < rows; ++i) sums_.push_back(sum += weights[i] / largest);
    } else {
        keys_.reserve(rows);
    }
}

void RowDraw::draw(Random& random, std::vector<std::uint32_t>& rows) {
    rows.resize(size_);
    if (weights_ != nullptr) return draw_weighted(random, rows);
    if (bootstrap_) {
        for (auto& row : rows) row = random.below(rows_);
    } else {
        choose(items_, size_, random);
        std::copy_n(items_.begin(), size_, rows.begin());
    }
}

void RowDraw::draw_weighted(Random& random, std::vector<std::uint32_t>& rows) {
    if (bootstrap_) {
        for (auto& row : rows) {
            const double wanted = random.uniform() * sums_.back();
            const auto found = std::upper_bound(sums_.begin(), sums_.end() - 1, wanted);
            row = static_cast<std::uint32_t>(found - sums_.begin());
        }
        return;
    }
    keys_.clear();
    for (std::uint32_t i = 0; i < rows_; ++i) {
        if (i % 1024 == 1023) poll();
        keys_.emplace_back(-portable_log(1.0 - random.uniform()) / weights_[i], i);
    }
    const auto end = keys_.begin() + static_cast<std::ptrdiff_t>(size_);
    if (end != keys_.end()) std::nth_element(keys_.begin(), end, keys_.end());
    std::sort(keys_.begin(), end);  // the same order with every standard library
    for (std::size_t i = 0; i < size_; ++i) rows[i] = keys_[i].second;
}

std::size_t ColumnDraw::pick(std::size_t first, std::size_t end, Random& random) const {
    if (weights_.empty()) return first + random.below(static_cast<std::uint32_t>(end - first));
    double total = 0.0;
    for (std::size_t i = first; i < end; ++i) total += weights_[i];
    const double wanted = random.uniform() * total;
    double sum = 0.0;
    std::size_t found = end;
    for (std::size_t i = first; i < end && !(sum > wanted); ++i) {
        if (weights_[i] == 0.0) continue;
        sum += weights_[i];
        found = i;
    }
    return found;
}

void ColumnDraw::swap(std::size_t a, std::size_t b) {
    std::swap(columns_[a], columns_[b]);
    if (!weights_.empty()) std::swap(weights_[a], weights_[b]);
}

double kurtosis_weight(std::span<const double> values) {
    constexpr double kLeast = 1e-8;  // every column that varies may be drawn
    double n = 0.0;
    double mean = 0.0;
    for (const double value : values) {
        if (!std::isnan(value)) mean += (0.5 * value - mean) / ++n;  // halves do not overflow
    }
    double farthest = 0.0;
    for (const double value : values) {
        if (!std::isnan(value)) farthest = std::max(farthest, std::fabs(0.5 * value - mean));
    }
    if (farthest == 0.0) return 0.0;
    double square = 0.0;
    double fourth = 0.0;
    for (const double value : values) {
        if (std::isnan(value)) continue;
        const double z = (0.5 * value - mean) / farthest;
        square += z * z;
        fourth += z * z * z * z;
    }
    return std::max(kLeast, n * fourth / (square * square) - 1.0);
}

}  // namespace ad
