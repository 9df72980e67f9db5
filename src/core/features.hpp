// Features as the user names them, before preprocessing. A value of a feature travels from the
// server to the core as a Cell.
#pragma once

#include "wire.hpp"

namespace ad {

enum class FeatureKind : std::uint8_t {
    Number,     ///< any numeric type; an interval in seconds
    Boolean,    ///< 0 or 1
    Timestamp,  ///< seconds since 2000-01-01 00:00 UTC
    Date,       ///< days since 2000-01-01
    Time,       ///< seconds since midnight
    Category,   ///< a hash of the text
};
inline constexpr std::uint8_t kFeatureKinds = 6;
inline constexpr std::uint64_t kMissingCategory = 0;

std::string_view kind_name(FeatureKind kind);

/// How many columns preprocessing makes of a feature.
std::size_t columns_of(FeatureKind kind);

union Cell {
    double number;           ///< NaN is missing
    std::uint64_t category;  ///< kMissingCategory is missing
};
static_assert(sizeof(Cell) == 8);

struct Feature {
    std::string name;
    FeatureKind kind;
};
using Schema = std::vector<Feature>;

inline Cell number_cell(double value) { return Cell{.number = value}; }
inline Cell category_cell(std::uint64_t hash) { return Cell{.category = hash}; }
inline Cell missing_cell(FeatureKind kind) {
    return kind == FeatureKind::Category ? category_cell(kMissingCategory) : number_cell(kMissing);
}
inline bool is_missing(Cell cell, FeatureKind kind) {
    return kind == FeatureKind::Category ? cell.category == kMissingCategory
                                         : std::isnan(cell.number);
}

/// Column-major cells: `column[j][i]` is feature j of row i.
struct Cells {
    const Cell* const* column;
    std::size_t rows;
};

/// The hash that stands for a category; never kMissingCategory.
std::uint64_t category_hash(std::string_view text);

void save_schema(const Schema& schema, Writer& out);
Schema load_schema(Reader& in);

}  // namespace ad
