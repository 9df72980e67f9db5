#include "pipeline.hpp"

#include <algorithm>

#include "portable_math.hpp"
#include "quantiles.hpp"
#include "registry.hpp"

namespace ad {

Pipeline::Pipeline(const Algorithm& algorithm)
    : algorithm_(&algorithm), detector_(algorithm.make()) {}

double Pipeline::Column::apply(double value, bool keep_extremes) const {
    if (!surprisals.empty() && !std::isnan(value)) {
        // a code, unless hostile bytes say that a number is a category
        const double code = std::clamp(value, 0.0, static_cast<double>(surprisals.size() - 1));
        value = surprisals[static_cast<std::size_t>(code)];
    }
    if (std::isnan(value)) value = fill;
    if (!keep_extremes) value = std::clamp(value, -kLargestValue, kLargestValue);
    value = scale.apply(value);
    return keep_extremes ? value : std::clamp(value, -kLargestValue, kLargestValue);
}

Pipeline::Column Pipeline::learn(const Training& training, std::size_t j, bool surprisals) {
    Column column;
    if (!surprisals) return column;
    std::vector<std::uint32_t> counts(training.categories_of(j) + 1);
    for (std::size_t i = 0; i < training.rows.rows; ++i) {
        const double code = training.rows.at(i, j);
        if (!std::isnan(code)) ++counts[static_cast<std::size_t>(code)];
    }
    counts.back() = 0;  // categories that are too many to tell apart count as unseen
    const double total = static_cast<double>(training.rows.rows) + 2.0;
    column.surprisals.reserve(counts.size());
    for (const auto count : counts) {
        column.surprisals.push_back(portable_log2(total / (count + 1.0)));
    }
    return column;
}

/// Whether the detector needs columns other than those that all algorithms share.
bool Pipeline::changes(const Algorithm& algorithm, Scale scale, bool categories) {
    return !algorithm.takes_missing || (categories && !algorithm.takes_categories) ||
           scale != Scale::None;
}

void Pipeline::fit(const Training& training, const Params& params, Scale scale, Random random) {
    const Columns& rows = training.rows;
    check_columns(*algorithm_, rows.count);
    const bool keeps_extremes = algorithm_->takes_missing;
    if (!changes(*algorithm_, scale, training.categories != nullptr)) {
        detector_->fit(training, params, random);
        return;
    }
    Matrix converted(rows.rows, rows.count);
    columns_.reserve(rows.count);
    for (std::size_t j = 0; j < rows.count; ++j) {
        poll();
        const bool category = training.categories_of(j) > 0;
        Column column = learn(training, j, category && !algorithm_->takes_categories);
        double* out = converted.column(j);
        for (std::size_t i = 0; i < rows.rows; ++i) {
            out[i] = column.apply(rows.at(i, j), keeps_extremes);
        }
        std::vector<double> present;
        present.reserve(rows.rows);
        for (std::size_t i = 0; i < rows.rows; ++i) {
            if (std::isnan(out[i])) continue;
            present.push_back(std::clamp(out[i], -kLargestValue, kLargestValue));
        }
        if (!keeps_extremes) {
            const double median = present.empty() ? 0.0 : quantiles(present, 3)[1];
            column.fill = !category                   ? median
                          : column.surprisals.empty() ? 0.0  // the most frequent category
                                                      : column.surprisals.front();
            std::replace_if(
                out, out + rows.rows, [](double v) { return std::isnan(v); }, column.fill);
        }
        if (!present.empty() && !(category && algorithm_->takes_categories)) {
            column.scale = ColumnScale::learn(scale, present.data(), present.size());
        }
        for (std::size_t i = 0; i < rows.rows; ++i) out[i] = column.scale.apply(out[i]);
        columns_.push_back(std::move(column));
    }
    detector_->fit({.rows = converted.view(),
                    .weights = training.weights,
                    .categories = algorithm_->takes_categories ? training.categories : nullptr},
                   params, random);
}

std::uint64_t Pipeline::converted_bytes(const Algorithm& algorithm, Scale scale,
                                        const FitShape& shape) {
    if (!changes(algorithm, scale, shape.categorical > 0)) return 0;
    return shape.rows * shape.columns * sizeof(double);
}

/// To score, only a block is converted: that takes no more than the rows of the fit.
std::uint64_t Pipeline::fit_bytes(const Algorithm& algorithm, const Params& params, Scale scale,
                                  const FitShape& shape) {
    const std::uint64_t of_detector = algorithm.fit_bytes(params, shape);
    // the detector itself, and the pointers to columns of a block
    constexpr std::uint64_t kOfAny = 1024;
    const std::uint64_t of_any = kOfAny + 2 * shape.columns * sizeof(const double*);
    const std::uint64_t converted = converted_bytes(algorithm, scale, shape);
    if (converted == 0) return of_any + of_detector;
    std::uint64_t kept = shape.columns * sizeof(Column);
    if (!algorithm.takes_categories) {
        kept += shape.categorical * sizeof(double) *
                (std::min<std::uint64_t>(shape.rows, Training::kMaxCategories) + 1);
    }
    // of a column at a time: the values that are not missing, a copy, and what quantiles need
    const std::uint64_t of_scale = 2 * shape.rows * sizeof(double) + quantiles_bytes(shape.rows);
    return of_any + converted + kept + std::max(of_scale, of_detector);
}

void Pipeline::convert(const Columns& rows, std::size_t first, std::size_t count,
                       double* storage) const {
    const bool keeps_extremes = algorithm_->takes_missing;
    for (std::size_t j = 0; j < columns_.size(); ++j) {
        const double* in = rows.column[j] + first;
        double* out = storage + j * count;
        for (std::size_t i = 0; i < count; ++i) out[i] = columns_[j].apply(in[i], keeps_extremes);
    }
}

void Pipeline::score(const Columns& rows, double* scores) const {
    constexpr std::size_t kBlock = Detector::kMaxBlock;
    if (changes_nothing() && rows.rows <= kBlock) return detector_->score(rows, scores);
    std::vector<const double*> pointers(rows.count);
    std::vector<double> storage(changes_nothing() ? 0 : rows.count * std::min(rows.rows, kBlock));
    for (std::size_t start = 0; start < rows.rows; start += kBlock) {
        if (start > 0) poll();
        const std::size_t count = std::min(kBlock, rows.rows - start);
        if (!changes_nothing()) convert(rows, start, count, storage.data());
        for (std::size_t j = 0; j < rows.count; ++j) {
            pointers[j] = changes_nothing() ? rows.column[j] + start : storage.data() + j * count;
        }
        detector_->score({pointers.data(), rows.count, count}, scores + start);
    }
}

void Pipeline::explain(const Columns& rows, std::size_t row, double* contributions) const {
    if (changes_nothing()) return detector_->explain(rows, row, contributions);
    std::vector<double> storage(rows.count);
    convert(rows, row, 1, storage.data());
    std::vector<const double*> pointers;
    for (const double& value : storage) pointers.push_back(&value);
    detector_->explain({pointers.data(), rows.count, 1}, 0, contributions);
}

void Pipeline::save(Writer& out) const {
    out.number(static_cast<std::uint32_t>(columns_.size()));
    for (const Column& column : columns_) {
        out.array(column.surprisals);
        out.number(column.fill);
        column.scale.save(out);
    }
    detector_->save(out);
}

void Pipeline::load(Reader& in, std::size_t columns) {
    constexpr std::size_t kSmallestColumn = 44;
    const auto converted = in.count(kSmallestColumn);
    if (converted != columns && converted != 0) throw CorruptModel("wrong number of columns");
    if (converted == 0 && !algorithm_->takes_missing)
        throw CorruptModel("the algorithm takes no missing values");
    columns_.resize(converted);
    for (Column& column : columns_) {
        column.surprisals = in.array<double>();
        for (const double bits : column.surprisals) {
            if (!(bits >= 0.0 && bits <= 64.0)) throw CorruptModel("surprisal out of range");
        }
        column.fill = in.number<double>();
        const bool missing = std::isnan(column.fill);
        if (missing ? !algorithm_->takes_missing : std::fabs(column.fill) > kLargestValue) {
            throw CorruptModel("fill value out of range");
        }
        column.scale = ColumnScale::load(in);
    }
    detector_->load(in, columns);
}

std::size_t Pipeline::memory_bytes() const {
    std::size_t bytes = sizeof(Pipeline) + detector_->memory_bytes();
    for (const Column& column : columns_) {
        bytes += sizeof(Column) + column.surprisals.size() * sizeof(double);
    }
    return bytes;
}

}  // namespace ad
