#include "preprocess.hpp"

#include <algorithm>

#include "quantiles.hpp"

namespace ad {

namespace {

constexpr double kDay = 86400.0;
constexpr double kWeek = 7 * kDay;
constexpr double kDaysAWeek = 7.0;
constexpr double kDaysAYear = 365.2425;

/// Infinity is an extreme number, but has no time of day.
bool is_absent(Cell cell, FeatureKind kind) {
    return columns_of(kind) > 1 ? !std::isfinite(cell.number) : is_missing(cell, kind);
}

/// Triangle wave of period 1 between -1 (phase 0) and 1 (phase 0.5). Two of them, a quarter apart,
/// trace a closed curve without the trigonometry that differs between C libraries.
double wave(double phase) {
    const double fraction = phase - std::floor(phase);
    return 1.0 - 4.0 * std::fabs(fraction - 0.5);
}

void put_phase(double position, double period, double* first, double* second) {
    if (!std::isfinite(position)) {
        *first = *second = kMissing;
        return;
    }
    *first = wave(position / period);
    *second = wave(position / period + 0.25);
}

void learn_numbers(const std::vector<Cell>& cells, FeatureStats& stats) {
    std::vector<double> values;
    values.reserve(cells.size());
    double sum = 0.0;
    for (const Cell cell : cells) {
        if (std::isnan(cell.number)) continue;
        values.push_back(cell.number);
        sum += cell.number;
    }
    const auto missing = static_cast<double>(cells.size() - values.size());
    stats.missing_fraction = missing / static_cast<double>(cells.size());
    if (values.empty()) return;
    const auto n = static_cast<double>(values.size());
    stats.mean = sum / n;
    if (!std::isfinite(sum)) {  // too large: less exact, but within range
        stats.mean = 0.0;
        for (const double value : values) stats.mean += value / n;
    }
    double squares = 0.0;
    for (const double value : values) squares += (value - stats.mean) * (value - stats.mean);
    constexpr double kLargest = std::numeric_limits<double>::max();
    stats.mean = std::clamp(stats.mean, -kLargest, kLargest);
    stats.stddev = std::min(kLargest, n > 1.0 ? std::sqrt(squares / (n - 1.0)) : 0.0);
    stats.quantiles = quantiles(values, FeatureStats::kQuantiles);
}

void learn_categories(const std::vector<Cell>& cells, const Sample& sample, FeatureStats& stats) {
    std::unordered_map<std::uint64_t, std::uint32_t> counts;
    std::size_t missing = 0;
    for (const Cell cell : cells) {
        if (cell.category == kMissingCategory) {
            ++missing;
        } else {
            ++counts[cell.category];
        }
    }
    stats.missing_fraction = static_cast<double>(missing) / static_cast<double>(cells.size());
    for (const auto& [hash, count] : counts) {
        const auto label = sample.labels.find(hash);
        stats.categories.push_back(
            {hash, count, label == sample.labels.end() ? std::string() : label->second});
    }
    std::sort(stats.categories.begin(), stats.categories.end(), [](const auto& a, const auto& b) {
        return a.count != b.count ? a.count > b.count : a.hash < b.hash;
    });
    if (stats.categories.size() > Preprocess::kMaxCategories) {
        stats.categories.resize(Preprocess::kMaxCategories);
    }
}

}  // namespace

Preprocess::Preprocess(const Schema& schema, const Sample& sample, FitState& state)
    : rule_(state.request().preprocess) {
    for (std::size_t j = 0; j < schema.size(); ++j) {
        poll();
        Learned learned{.kind = schema[j].kind, .stats = {}, .fill = kMissing, .numbers = {}};
        if (learned.kind == FeatureKind::Category) {
            learn_categories(sample.columns[j], sample, learned.stats);
        } else {
            learn_numbers(sample.columns[j], learned.stats);
        }
        switch (rule_.impute) {
            case Impute::Median:
                learned.fill = learned.stats.median();
                break;
            case Impute::Mean:
                learned.fill = state.mean(j);
                break;
            case Impute::Constant:
                learned.fill = rule_.fill_value;
                break;
            default:
                break;
        }
        // a column without a single value: any constant serves
        if (imputes() && std::isnan(learned.fill)) learned.fill = 0.0;
        features_.push_back(std::move(learned));
    }
    finish();
}

void Preprocess::finish() {
    columns_ = 0;
    passes_through_ = !imputes();
    for (auto& learned : features_) {
        columns_ += columns_of(learned.kind);
        passes_through_ = passes_through_ && (learned.kind == FeatureKind::Number ||
                                              learned.kind == FeatureKind::Boolean);
        for (const auto& category : learned.stats.categories) {
            learned.numbers.emplace(category.hash, static_cast<double>(learned.numbers.size()));
        }
    }
}

std::vector<std::uint32_t> Preprocess::categories() const {
    std::vector<std::uint32_t> counts;
    for (std::size_t j = 0; j < features_.size(); ++j) {
        if (features_[j].kind != FeatureKind::Category) continue;
        counts.resize(columns_, 0);
        counts[first_column(j)] = static_cast<std::uint32_t>(
            std::max<std::size_t>(1, features_[j].stats.categories.size()));
    }
    return counts;
}

std::size_t Preprocess::first_column(std::size_t feature) const {
    std::size_t first = 0;
    for (std::size_t j = 0; j < feature; ++j) first += columns_of(features_[j].kind);
    return first;
}

void Preprocess::encode(const Learned& learned, const Cell* in, std::size_t rows,
                        double* out) const {
    if (learned.kind == FeatureKind::Category) {
        const auto unseen = static_cast<double>(std::max<std::size_t>(1, learned.numbers.size()));
        for (std::size_t i = 0; i < rows; ++i) {
            const auto found = learned.numbers.find(in[i].category);
            out[i] = in[i].category == kMissingCategory ? learned.fill
                     : found == learned.numbers.end()   ? unseen
                                                        : found->second;
        }
        return;
    }
    for (std::size_t i = 0; i < rows; ++i) {
        double value = in[i].number;
        if (imputes() && is_absent(in[i], learned.kind)) value = learned.fill;
        switch (learned.kind) {
            case FeatureKind::Timestamp:
                put_phase(value, kDay, out + i, out + rows + i);
                put_phase(value, kWeek, out + 2 * rows + i, out + 3 * rows + i);
                break;
            case FeatureKind::Date:
                put_phase(value, kDaysAWeek, out + i, out + rows + i);
                put_phase(value, kDaysAYear, out + 2 * rows + i, out + 3 * rows + i);
                break;
            case FeatureKind::Time:
                put_phase(value, kDay, out + i, out + rows + i);
                break;
            default:
                out[i] = value;
        }
    }
}

void Preprocess::apply(const Cells& cells, Block& block) const {
    const std::size_t rows = cells.rows;
    block.rejected.clear();  // of the model that used the block before
    block.pointers.resize(columns_);
    if (passes_through_) {
        for (std::size_t j = 0; j < columns_; ++j) block.pointers[j] = &cells.column[j]->number;
        return;
    }
    block.storage.resize(columns_ * rows);
    std::size_t column = 0;
    for (std::size_t j = 0; j < features_.size(); ++j) {
        const Learned& learned = features_[j];
        const bool plain =
            learned.kind == FeatureKind::Number || learned.kind == FeatureKind::Boolean;
        if (plain && !imputes()) {
            block.pointers[column++] = &cells.column[j]->number;
            continue;
        }
        double* out = block.storage.data() + column * rows;
        encode(learned, cells.column[j], rows, out);
        for (std::size_t k = 0; k < columns_of(learned.kind); ++k) {
            block.pointers[column++] = out + k * rows;
        }
    }
    if (rule_.impute == Impute::Reject) mark_rejected(cells, block.rejected);
}

void Preprocess::mark_rejected(const Cells& cells, std::vector<std::uint8_t>& rejected) const {
    rejected.assign(cells.rows, 0);
    for (std::size_t j = 0; j < features_.size(); ++j) {
        for (std::size_t i = 0; i < cells.rows; ++i) {
            if (is_absent(cells.column[j][i], features_[j].kind)) rejected[i] = 1;
        }
    }
}

void Preprocess::save(Writer& out) const {
    out.number(static_cast<std::uint8_t>(rule_.impute));
    out.number(rule_.fill_value);
    out.number(static_cast<std::uint8_t>(rule_.scale));
    for (const auto& learned : features_) {
        out.number(learned.fill);
        out.number(learned.stats.missing_fraction);
        out.number(learned.stats.mean);
        out.number(learned.stats.stddev);
        out.array(learned.stats.quantiles);
        out.number(static_cast<std::uint32_t>(learned.stats.categories.size()));
        for (const auto& category : learned.stats.categories) {
            out.number(category.hash);
            out.number(category.count);
            out.text(category.label);
        }
    }
}

void Preprocess::load(Reader& in, const Schema& schema) {
    rule_.impute = static_cast<Impute>(in.at_most(static_cast<std::uint8_t>(Impute::Reject)));
    constexpr double kLargest = std::numeric_limits<double>::max();
    rule_.fill_value = in.real(-kLargest, kLargest);
    rule_.scale = static_cast<Scale>(in.at_most<std::uint8_t>(kScales - 1));
    for (const auto& feature : schema) {
        Learned learned{
            .kind = feature.kind, .stats = {}, .fill = in.number<double>(), .numbers = {}};
        FeatureStats& stats = learned.stats;
        stats.missing_fraction = in.real(0.0, 1.0);
        stats.mean = in.number<double>();
        stats.stddev = in.number<double>();
        stats.quantiles = in.array<double>();
        if (!stats.quantiles.empty() && stats.quantiles.size() != FeatureStats::kQuantiles) {
            throw CorruptModel("wrong number of quantiles");
        }
        constexpr std::size_t kSmallestCategory = 16;
        const auto categories = in.count(kSmallestCategory);
        if (categories > kMaxCategories) throw CorruptModel("too many categories");
        stats.categories.resize(categories);
        for (auto& category : stats.categories) {
            category.hash = in.number<std::uint64_t>();
            category.count = in.number<std::uint32_t>();
            category.label = in.text();
        }
        if (std::isinf(learned.fill) || (imputes() && std::isnan(learned.fill))) {
            throw CorruptModel("fill value is not a number");
        }
        features_.push_back(std::move(learned));
    }
    finish();
}

}  // namespace ad
