// The state of the aggregate ad_fit: what is kept of the rows that went by. It can be merged and
// sent between processes, and depends on neither the order of the rows nor on who saw them.
#pragma once

#include <unordered_map>

#include "exact_sum.hpp"
#include "features.hpp"
#include "fit_request.hpp"

namespace ad {

/// The kept rows: column-major cells of all that came with them, in the order of their hashes.
struct Sample {
    std::size_t rows = 0;
    std::vector<std::vector<Cell>> columns;
    std::unordered_map<std::uint64_t, std::string> labels;  ///< of the categories among them
};

class FitState {
  public:
    static constexpr auto kNoLimit = std::numeric_limits<std::uint64_t>::max();

    /// `max_memory` bounds the sample, in bytes.
    FitState(std::string request, Schema schema, std::uint64_t max_memory = kNoLimit);

    const FitRequest& request() const { return request_; }
    const Schema& schema() const { return schema_; }
    std::uint64_t rows_seen() const { return rows_seen_; }

    /// Counts a row and says whether its cells are wanted: it belongs to the sample so far, or a
    /// mean over all rows is asked for. `hash` is the seeded hash of the row's identity.
    bool offer(std::uint64_t hash) noexcept {
        ++rows_seen_;
        return hash <= limit_ || !sums_.empty();
    }

    /// Takes a row that `offer` wanted. `labels[j]` is the text of a category.
    void add(std::uint64_t hash, const Cell* cells, const std::string_view* labels);

    /// Both states must come from the same request and schema.
    void merge(const FitState& other);

    Sample sample();
    /// The mean of a feature over all rows; NaN unless the request asks for means.
    double mean(std::size_t feature) const {
        return sums_.empty() ? kMissing : sums_[feature].mean();
    }

    std::string save();
    static FitState load(std::string_view bytes);

  private:
    // Bottom-k sampling: the k rows with the smallest keyed hashes are a uniform sample without
    // replacement (Cohen, Kaplan: "Summarizing data using bottom-k sketches", PODC 2007).
    void keep(std::uint64_t hash, const Cell* cells);
    struct Place {
        std::uint64_t hash;
        std::size_t row;
    };
    std::vector<Place> places(std::size_t count) const;
    void shrink();
    void forget_labels();
    using Labels = std::unordered_map<std::uint64_t, std::string>;
    void copy_labels(const Cell* cells, const Labels& from, Labels& to) const;
    /// Its infinities are kept, to be refused.
    bool is_weight(std::size_t j) const {
        return !request_.weight.empty() && j + 1 == schema_.size();
    }
    const Cell* row(std::size_t i) const { return cells_.data() + i * schema_.size(); }

    std::string request_text_;
    FitRequest request_;
    Schema schema_;
    std::uint32_t sample_size_;
    std::uint64_t rows_seen_ = 0;
    std::uint64_t limit_ = std::numeric_limits<std::uint64_t>::max();
    std::vector<std::uint64_t> hashes_;
    std::vector<Cell> cells_;  ///< row-major
    Labels labels_;
    std::vector<ExactSum> sums_;
};

}  // namespace ad
