// What the unit tests share: matrices of doubles in, fit states, models and scores out.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

#include "core/hash.hpp"
#include "core/model.hpp"
#include "core/quantiles.hpp"
#include "core/registry.hpp"

namespace ad::test {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kLargest = std::numeric_limits<double>::max();
inline constexpr double kDenormal = std::numeric_limits<double>::denorm_min();

using Rows = std::vector<std::vector<double>>;  ///< row by row

/// Columns of cells that own their values.
struct Table {
    std::vector<std::vector<Cell>> columns;
    std::vector<const Cell*> pointers;
    std::size_t rows = 0;

    Table() = default;
    explicit Table(const Rows& from) : rows(from.size()) {
        columns.resize(from.empty() ? 0 : from[0].size());
        for (const auto& row : from) {
            for (std::size_t j = 0; j < row.size(); ++j) columns[j].push_back(number_cell(row[j]));
        }
        point();
    }
    void point() {
        pointers.clear();
        for (const auto& column : columns) pointers.push_back(column.data());
    }
    Cells cells() const { return {pointers.data(), rows}; }
};

inline Schema numbers(std::size_t count) {
    Schema schema;
    for (std::size_t j = 0; j < count; ++j) {
        schema.push_back({"f" + std::to_string(j), FeatureKind::Number});
    }
    return schema;
}

/// The first argument of ad_fit; `more` is merged into it.
inline std::string request(std::string_view algorithm, const Json& more = Json::object()) {
    Json options{{"algorithm", algorithm}};
    options.update(more);
    return options.dump();
}

/// The hash of row `i`, as the server makes it from a key and the seed.
inline std::uint64_t row_hash(std::uint64_t i) { return hash_bytes(&i, sizeof(i), 42); }

inline void add_row(FitState& state, std::uint64_t identity, const std::vector<double>& row) {
    std::vector<Cell> cells;
    for (const double value : row) cells.push_back(number_cell(value));
    const std::vector<std::string_view> labels(row.size());
    if (state.offer(row_hash(identity))) state.add(row_hash(identity), cells.data(), labels.data());
}

inline FitState state_of(const std::string& request, const Rows& rows) {
    FitState state(request, numbers(rows.at(0).size()));
    for (std::size_t i = 0; i < rows.size(); ++i) add_row(state, i, rows[i]);
    return state;
}

inline Model fit(const std::string& request, const Rows& rows) {
    FitState state = state_of(request, rows);
    return Model::fit(state);
}

inline std::vector<double> score(const Model& model, const Table& table) {
    std::vector<double> scores(table.rows, -1.0);
    Scratch scratch;
    model.score(table.cells(), scratch, scores.data());
    return scores;
}

inline std::vector<double> score(const Model& model, const Rows& rows) {
    return score(model, Table(rows));
}

inline Json explain(const Model& model, const Rows& rows, std::size_t row = 0) {
    const Table table(rows);
    const std::vector<std::string_view> texts(table.columns.size());
    Scratch scratch;
    return Json::parse(model.explain(table.cells(), row, texts.data(), scratch));
}

/// Bell-shaped values (the sum of 12 uniforms), independent, of mean 0 and variance 1.
inline Rows normal_rows(std::size_t count, std::size_t columns, std::uint64_t seed = 1) {
    Random random(seed);
    Rows rows(count, std::vector<double>(columns));
    for (auto& row : rows) {
        for (double& value : row) {
            value = -6.0;
            for (int k = 0; k < 12; ++k) value += random.uniform();
        }
    }
    return rows;
}

template <typename T>
void shuffle(std::vector<T>& items, std::uint64_t seed) {
    Random random(seed);
    for (std::size_t i = items.size(); i > 1; --i) {
        std::swap(items[i - 1], items[random.below(static_cast<std::uint32_t>(i))]);
    }
}

/// The rows, shuffled and dealt to `parts` states that travel as bytes, merged again.
inline FitState gathered(const std::string& request, const Rows& rows, std::size_t parts,
                         std::uint64_t seed) {
    std::vector<std::size_t> order(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) order[i] = i;
    shuffle(order, seed);
    std::vector<FitState> states;
    for (std::size_t p = 0; p < parts; ++p) states.emplace_back(request, numbers(rows[0].size()));
    for (std::size_t i = 0; i < order.size(); ++i) {
        add_row(states[i % parts], order[i], rows[order[i]]);
    }
    FitState all(request, numbers(rows[0].size()));
    for (auto& state : states) all.merge(FitState::load(state.save()));
    return all;
}

inline std::vector<std::uint64_t> bits_of(const std::vector<double>& values) {
    std::vector<std::uint64_t> bits;
    for (const double value : values) bits.push_back(std::bit_cast<std::uint64_t>(value));
    return bits;
}

/// Replaces the checksum at the end, so that changed bytes get past it.
inline void sign(std::string& bytes) {
    const std::size_t body = bytes.size() - sizeof(std::uint64_t);
    const auto sum = hash_bytes(std::string_view(bytes).substr(0, body));
    std::memcpy(bytes.data() + body, &sum, sizeof(sum));
}

/// Expects `action` to throw exactly an E whose message and hint contain all of these parts.
template <typename E, typename Action>
void expect_error(Action&& action, std::initializer_list<std::string_view> message,
                  std::initializer_list<std::string_view> hint = {}) {
    try {
        action();
        ADD_FAILURE() << "nothing was thrown; expected: " << *message.begin();
    } catch (const E& error) {
        for (const auto part : message) {
            EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos)
                << "message \"" << error.what() << "\" lacks \"" << part << "\"";
        }
        for (const auto part : hint) {
            EXPECT_NE(error.hint().find(part), std::string::npos)
                << "hint \"" << error.hint() << "\" lacks \"" << part << "\"";
        }
    }
}

/// Counts calls of poll() while it lives and, if asked, throws at one of them.
class PollCounter {
  public:
    struct Cancel {};  ///< like the server's, no std::exception

    explicit PollCounter(std::uint64_t cancel_at = 0) {
        calls_ = 0;
        cancel_at_ = cancel_at;
        poll_hook = [] {
            if (++calls_ == cancel_at_) throw Cancel{};
        };
    }
    ~PollCounter() { poll_hook = nullptr; }
    std::uint64_t calls() const { return calls_; }

  private:
    static inline std::uint64_t calls_ = 0;
    static inline std::uint64_t cancel_at_ = 0;
};

}  // namespace ad::test
