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
    request_.model_features(schema_);  // refuses what makes no model
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
        } else if (!std::isfinite(cells[j].number) && !is_weight(j)) {
            kept[j] = missing_cell(schema_[j].kind);
        }
    }
    if (hashes_.size() >= 2 * std::size_t{sample_size_}) shrink();
}

void FitState::keep(std::uint64_t hash, const Cell* cells) {
    // what doubles regardless may end up with twice the room that is ever needed
    const std::size_t most = 2 * std::size_t{sample_size_};
    if (hashes_.size() == hashes_.capacity() && hashes_.size() < most) {
        constexpr std::size_t kFew = 64;
        const std::size_t room = std::min(std::max(2 * hashes_.size(), kFew), most);
        hashes_.reserve(room);
        cells_.reserve(room * schema_.size());
    }
    hashes_.push_back(hash);
    cells_.insert(cells_.end(), cells, cells + schema_.size());
}

/// The kept rows in the order of their hashes, equal ones in that of their cells: it depends on the
/// rows only. Of more than `count`, the first `count` in no order.
std::vector<FitState::Place> FitState::places(std::size_t count) const {
    std::vector<Place> found(hashes_.size());
    for (std::size_t i = 0; i < found.size(); ++i) found[i] = {hashes_[i], i};
    const auto before = [&](const Place& a, const Place& b) {
        if (a.hash != b.hash) return a.hash < b.hash;
        return std::memcmp(row(a.row), row(b.row), schema_.size() * sizeof(Cell)) < 0;
    };
    if (found.size() <= count) {
        std::sort(found.begin(), found.end(), before);
    } else {
        std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count),
                         found.end(), before);
        found.resize(count);
    }
    return found;
}

/// Forgets all but the k rows with the smallest hashes.
void FitState::shrink() {
    if (hashes_.size() < sample_size_) return;
    std::vector<std::uint8_t> kept(hashes_.size(), 0);
    limit_ = 0;
    for (const Place& place : places(sample_size_)) {
        kept[place.row] = 1;
        limit_ = std::max(limit_, place.hash);
    }
    const std::size_t width = schema_.size();
    std::size_t next = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) {
        if (kept[i] == 0) continue;
        hashes_[next] = hashes_[i];
        if (next != i) std::copy_n(row(i), width, cells_.data() + next * width);
        ++next;
    }
    hashes_.resize(next);
    cells_.resize(next * width);
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
    if (hashes_.size() >= 2 * std::size_t{sample_size_}) shrink();
}

Sample FitState::sample() {
    shrink();
    const std::vector<Place> order = places(sample_size_);
    Sample sample;
    sample.rows = order.size();
    sample.columns.resize(schema_.size());
    for (auto& column : sample.columns) column.resize(sample.rows);
    for (std::size_t i = 0; i < order.size(); ++i) {
        const Cell* cells = row(order[i].row);
        for (std::size_t j = 0; j < schema_.size(); ++j) sample.columns[j][i] = cells[j];
    }
    sample.labels = labels_;
    return sample;
}

std::string FitState::save() {
    shrink();
    Writer out;
    out.text(request_text_);
    save_schema(schema_, out);
    out.number(sample_size_);
    out.number(rows_seen_);
    out.number(limit_);
    const std::vector<Place> order = places(sample_size_);
    out.number(static_cast<std::uint32_t>(order.size()));
    for (const Place& place : order) out.number(place.hash);
    for (const Place& place : order) {
        for (std::size_t j = 0; j < schema_.size(); ++j) out.number(row(place.row)[j].category);
    }
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
        for (std::size_t j = 0; j < state.schema_.size(); ++j) {
            const Cell cell = category_cell(in.number<std::uint64_t>());
            const bool number = state.schema_[j].kind != FeatureKind::Category;
            if (number && std::isinf(cell.number) && !state.is_weight(j)) {
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
