#include "fit_state.hpp"

#include <algorithm>
#include <cstring>

namespace ad {

namespace {

constexpr std::size_t kLongestLabel = 63;

/// At most kLongestLabel bytes, not cutting a UTF-8 sequence.
std::string_view clip(std::string_view label) {
    if (label.size() <= kLongestLabel) return label;
    std::size_t size = kLongestLabel;
    while (size > 0 && (static_cast<unsigned char>(label[size]) & 0xc0) == 0x80) --size;
    return label.substr(0, size);
}

}  // namespace

FitState::FitState(std::string request, Schema schema, std::uint64_t max_memory)
    : request_text_(std::move(request)),
      request_(FitRequest::parse(request_text_)),
      schema_(std::move(schema)) {
    if (schema_.empty()) {
        throw InvalidParameter("a model needs at least one feature", "Name at least one column.");
    }
    sample_size_ = request_.affordable_sample(schema_, max_memory);
    if (request_.preprocess.impute == Impute::Mean) sums_.resize(schema_.size());
}

void FitState::add(std::uint64_t hash, const Cell* cells, const std::string_view* labels) {
    for (std::size_t j = 0; j < sums_.size(); ++j) {
        const bool number = schema_[j].kind != FeatureKind::Category;
        if (number && std::isfinite(cells[j].number)) sums_[j].add(cells[j].number);
    }
    if (hash > limit_) return;
    keep(hash, cells);
    Cell* kept = cells_.data() + (hashes_.size() - 1) * schema_.size();
    for (std::size_t j = 0; j < schema_.size(); ++j) {
        if (schema_[j].kind == FeatureKind::Category) {
            if (cells[j].category != kMissingCategory) {
                labels_.try_emplace(cells[j].category, clip(labels[j]));
            }
        } else if (!std::isfinite(cells[j].number)) {
            kept[j] = missing_cell(schema_[j].kind);
        }
    }
    if (hashes_.size() >= 2 * std::size_t{sample_size_}) shrink(false);
}

void FitState::keep(std::uint64_t hash, const Cell* cells) {
    hashes_.push_back(hash);
    cells_.insert(cells_.end(), cells, cells + schema_.size());
}

/// Forgets all but the k rows with the smallest hashes; equal hashes are ordered by their cells, so
/// that the outcome depends on the rows only. The kept rows stay in no order unless `sorted`.
void FitState::shrink(bool sorted) {
    const std::size_t width = schema_.size();
    struct Place {
        std::uint64_t hash;
        std::uint32_t row;
    };
    std::vector<Place> order(hashes_.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        order[i] = {hashes_[i], static_cast<std::uint32_t>(i)};
    }
    const auto before = [&](const Place& a, const Place& b) {
        if (a.hash != b.hash) return a.hash < b.hash;
        return std::memcmp(row(a.row), row(b.row), width * sizeof(Cell)) < 0;
    };
    const bool full = order.size() >= sample_size_;
    if (full) {
        const auto last = order.begin() + sample_size_ - 1;
        std::nth_element(order.begin(), last, order.end(), before);
        limit_ = last->hash;
        order.resize(sample_size_);
    }
    if (sorted) std::sort(order.begin(), order.end(), before);
    std::vector<std::uint64_t> hashes;
    std::vector<Cell> cells;
    hashes.reserve(2 * order.size());
    cells.reserve(2 * order.size() * width);
    for (const Place& place : order) {
        hashes.push_back(place.hash);
        cells.insert(cells.end(), row(place.row), row(place.row) + width);
    }
    hashes_.swap(hashes);
    cells_.swap(cells);
    forget_labels();
}

void FitState::forget_labels() {
    if (labels_.empty()) return;
    Labels used;
    for (std::size_t i = 0; i < hashes_.size(); ++i) copy_labels(row(i), labels_, used);
    labels_.swap(used);
}

/// Only the labels of kept rows: a state that merges many others must not gather all of theirs.
void FitState::copy_labels(const Cell* cells, const Labels& from, Labels& to) const {
    if (from.empty()) return;
    for (std::size_t j = 0; j < schema_.size(); ++j) {
        if (schema_[j].kind != FeatureKind::Category) continue;
        const auto label = from.find(cells[j].category);
        if (label != from.end()) to.insert(*label);
    }
}

void FitState::merge(const FitState& other) {
    rows_seen_ += other.rows_seen_;
    limit_ = std::min(limit_, other.limit_);
    for (std::size_t i = 0; i < other.hashes_.size(); ++i) {
        if (other.hashes_[i] > limit_) continue;
        keep(other.hashes_[i], other.row(i));
        copy_labels(other.row(i), other.labels_, labels_);
    }
    for (std::size_t j = 0; j < sums_.size(); ++j) sums_[j].merge(other.sums_[j]);
    if (hashes_.size() >= 2 * std::size_t{sample_size_}) shrink(false);
}

Sample FitState::sample() {
    shrink(true);
    Sample sample;
    sample.rows = hashes_.size();
    sample.columns.resize(schema_.size());
    for (std::size_t j = 0; j < schema_.size(); ++j) {
        sample.columns[j].reserve(sample.rows);
        for (std::size_t i = 0; i < sample.rows; ++i) sample.columns[j].push_back(row(i)[j]);
    }
    sample.labels = labels_;
    return sample;
}

std::string FitState::save() {
    shrink(true);
    Writer out;
    out.text(request_text_);
    save_schema(schema_, out);
    out.number(sample_size_);
    out.number(rows_seen_);
    out.number(limit_);
    out.array(hashes_);
    for (const Cell cell : cells_) out.number(cell.category);
    out.number(static_cast<std::uint32_t>(labels_.size()));
    for (const auto& [hash, label] : labels_) {
        out.number(hash);
        out.text(label);
    }
    for (const auto& sum : sums_) sum.save(out);
    return out.take();
}

FitState FitState::load(std::string_view bytes) {
    Reader in(bytes);
    auto request = in.text();
    auto schema = load_schema(in);
    FitState state(std::move(request), std::move(schema));
    state.sample_size_ = in.number<std::uint32_t>();
    if (state.sample_size_ == 0) throw CorruptModel("the sample has no size");
    state.rows_seen_ = in.number<std::uint64_t>();
    state.limit_ = in.number<std::uint64_t>();
    state.hashes_ = in.array<std::uint64_t>();
    if (state.hashes_.size() > state.sample_size_) throw CorruptModel("too many rows");
    for (std::size_t i = 0; i < state.hashes_.size(); ++i) {
        for (const auto& feature : state.schema_) {
            const Cell cell = category_cell(in.number<std::uint64_t>());
            if (feature.kind != FeatureKind::Category && std::isinf(cell.number)) {
                throw CorruptModel("a number of the sample is infinite");
            }
            state.cells_.push_back(cell);
        }
    }
    constexpr std::size_t kSmallestLabel = 12;
    for (auto n = in.count(kSmallestLabel); n > 0; --n) {
        const auto hash = in.number<std::uint64_t>();
        state.labels_.emplace(hash, in.text());
    }
    for (auto& sum : state.sums_) sum = ExactSum::load(in);
    in.end();
    return state;
}

}  // namespace ad
