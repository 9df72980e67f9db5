#include "empirical_tails.hpp"

#include <algorithm>

#include "portable_math.hpp"

namespace ad {

namespace {

constexpr double kResolution = 1024.0;

/// The sign of the third central moment; 0 if it is lost in rounding.
int sign_of_skewness(const double* values, std::size_t rows) {
    const auto n = static_cast<double>(rows);
    double sum = 0.0;
    for (std::size_t i = 0; i < rows; ++i) sum += values[i];
    const double mean = sum / n;
    double squares = 0.0;
    double cubes = 0.0;
    for (std::size_t i = 0; i < rows; ++i) {
        const double distance = values[i] - mean;
        squares += distance * distance;
        cubes += distance * distance * distance;
    }
    constexpr double kNone = 1e-12;
    const double variance = squares / n;
    const double least = kNone * variance * std::sqrt(variance);
    const double moment = cubes / n;
    if (std::fabs(moment) <= least) return 0;
    return moment > 0.0 ? 1 : -1;
}

}  // namespace

ColumnTails ColumnTails::learn(const double* values, std::size_t rows, CombineTails combine) {
    ColumnTails tails;
    tails.rows_ = static_cast<std::uint32_t>(rows);
    tails.skewness_ = static_cast<std::int8_t>(sign_of_skewness(values, rows));
    std::vector<double> sorted(values, values + rows);
    for (double& value : sorted) value += 0.0;  // one zero only
    std::sort(sorted.begin(), sorted.end());
    tails.keep(sorted);
    tails.prepare(combine);
    return tails;
}

std::uint64_t ColumnTails::most_kept(std::uint64_t rows) {
    const double beyond = std::max(static_cast<double>(rows) / (2.0 * kResolution), 1.0);
    const double kept = 2.0 * (kResolution + 1.0) * (2.0 + portable_log(beyond));
    return std::min(rows, static_cast<std::uint64_t>(kept));
}

/// Leaves a value out if both shares would be the same to within 1 / kResolution, were it equal to
/// the last value that is kept.
void ColumnTails::keep(const std::vector<double>& sorted) {
    const double n = rows_;
    for (std::size_t i = 0; i < sorted.size();) {
        std::size_t next = i + 1;
        while (next < sorted.size() && sorted[next] == sorted[i]) ++next;
        const double left = upto_.empty() ? 0.0 : upto_.back();
        const auto count = static_cast<double>(next);
        const bool alike = (count - left) * kResolution <= left &&
                           (count - left) * kResolution <= n - count && next < sorted.size();
        if (!alike) {
            values_.push_back(sorted[i]);
            below_.push_back(static_cast<std::uint32_t>(i));
            upto_.push_back(static_cast<std::uint32_t>(next));
        }
        i = next;
    }
    values_.push_back(std::numeric_limits<double>::infinity());
}

void ColumnTails::prepare(CombineTails combine) {
    ranks_ = RankTable(std::vector<double>(values_.begin(), values_.end() - 1));
    const double n = rows_;
    const double log_n = portable_log(n);
    const auto surprise = [&](double count) {
        return count > 0.0 ? std::max(log_n - portable_log(count), 0.0) : portable_log(n + 1.0);
    };
    const auto add = [&](double left, double right) {
        strangeness_.push_back(combine(surprise(left), surprise(right), skewness_));
    };
    double left = 0.0;
    for (std::size_t i = 0; i < upto_.size(); ++i) {
        add(left, n - left);
        add(upto_[i], n - below_[i]);
        left = upto_[i];
    }
    add(left, n - left);
    strangeness_.push_back(0.0);  // at infinity, where no value is
}

void ColumnTails::add(const double* values, std::size_t rows, double* sums) const {
    constexpr std::size_t kTogether = RankTable::kTogether;
    std::uint32_t ranks[kTogether];
    std::size_t i = 0;
    for (; i + kTogether <= rows; i += kTogether) {
        ranks_.rank_all(values + i, ranks);
        for (std::size_t k = 0; k < kTogether; ++k) sums[i + k] += of_rank(ranks[k], values[i + k]);
    }
    for (; i < rows; ++i) sums[i] += strangeness(values[i]);
}

void ColumnTails::save(Writer& out) const {
    out.number(rows_);
    out.number(skewness_);
    out.number(static_cast<std::uint32_t>(upto_.size()));
    for (std::size_t i = 0; i < upto_.size(); ++i) {
        out.number(values_[i]);
        out.number(below_[i]);
        out.number(upto_[i]);
    }
}

ColumnTails ColumnTails::load(Reader& in, CombineTails combine) {
    ColumnTails tails;
    tails.rows_ = in.number<std::uint32_t>();
    tails.skewness_ = in.number<std::int8_t>();
    const auto count = in.count(sizeof(double) + 2 * sizeof(std::uint32_t));
    if (count == 0 || tails.skewness_ < -1 || tails.skewness_ > 1) {
        throw CorruptModel("bad distribution");
    }
    double last = -2.0 * kLargestValue;
    std::uint32_t left = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        const double value = in.real(last, 2.0 * kLargestValue);
        const auto below = in.number<std::uint32_t>();
        const auto upto = in.at_most(tails.rows_);
        if (value <= last || below < left || below >= upto) {
            throw CorruptModel("the values of a distribution are in no order");
        }
        tails.values_.push_back(value);
        tails.below_.push_back(below);
        tails.upto_.push_back(upto);
        last = value;
        left = upto;
    }
    if (left != tails.rows_) throw CorruptModel("the shares of a distribution do not add up");
    tails.values_.push_back(std::numeric_limits<double>::infinity());
    tails.prepare(combine);
    return tails;
}

std::size_t ColumnTails::memory_bytes() const {
    const std::size_t kept = upto_.size() + 1;
    const std::size_t pivots = std::size_t{1} << ranks_.levels();
    return sizeof(ColumnTails) + kept * (3 * sizeof(double) + 2 * sizeof(std::uint32_t)) +
           pivots * sizeof(std::uint64_t);
}

namespace {

class TailDetector final : public Detector {
  public:
    explicit TailDetector(CombineTails combine) : combine_(combine) {}

    void fit(const Training& training, const Params&, Random) override {
        const Columns& sample = training.rows;
        for (std::size_t j = 0; j < sample.count; ++j) {
            poll();
            columns_.push_back(ColumnTails::learn(sample.column[j], sample.rows, combine_));
        }
    }

    void score(const Columns& rows, double* scores) const override {
        std::fill_n(scores, rows.rows, 0.0);
        for (std::size_t j = 0; j < rows.count; ++j) {
            columns_[j].add(rows.column[j], rows.rows, scores);
        }
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        for (std::size_t j = 0; j < rows.count; ++j) {
            contributions[j] = columns_[j].strangeness(rows.at(row, j));
        }
    }

    void save(Writer& out) const override {
        for (const ColumnTails& column : columns_) column.save(out);
    }

    void load(Reader& in, std::size_t columns) override {
        for (std::size_t j = 0; j < columns; ++j) {
            columns_.push_back(ColumnTails::load(in, combine_));
        }
    }

    std::size_t memory_bytes() const override {
        std::size_t bytes = sizeof(TailDetector);
        for (const ColumnTails& column : columns_) bytes += column.memory_bytes();
        return bytes;
    }

  private:
    CombineTails combine_;
    std::vector<ColumnTails> columns_;
};

}  // namespace

std::unique_ptr<Detector> make_tail_detector(CombineTails combine) {
    return std::make_unique<TailDetector>(combine);
}

std::uint64_t bytes_of_tails(const Params&, const FitShape& shape) {
    const auto [rows, columns, categorical, scorings] = shape;
    // vectors grow by doubling, and the rank table fills its levels up
    constexpr std::uint64_t kOfValue =
        2 * (3 * sizeof(double) + 2 * sizeof(std::uint32_t) + sizeof(std::uint64_t));
    const std::uint64_t kept = ColumnTails::most_kept(rows);
    const std::uint64_t of_category = std::min<std::uint64_t>(kept, Training::kMaxCategories + 1);
    return rows * sizeof(double) + columns * (2 * sizeof(ColumnTails) + 2 * kOfValue) +
           ((columns - categorical) * kept + categorical * of_category) * kOfValue;
}

double steps_of_tails(const Params&, double rows, double columns) {
    return columns * rows * std::log2(rows + 1.0);
}

}  // namespace ad
