// What both ways of training share: the aggregate ad_fit, and _ad_fit_rows for a whole query.
#pragma once

#include "core/fit_state.hpp"

#include "values.hpp"

namespace ad::pg {

/// The columns that tell rows apart, as they are stored. The seeded hash of their values decides
/// whether a row belongs to the sample.
struct RowIdentity {
    static constexpr int kMaxColumns = 64;

    int count;
    std::int16_t length[kMaxColumns];
    bool by_value[kMaxColumns];
};

void add_identity_column(RowIdentity* identity, Oid type);

/// Combines the value of column k into `hash`, which starts as the seed.
std::uint64_t hash_identity(const RowIdentity& identity, int k, std::uint64_t hash, Datum value,
                            bool isnull);

/// Without an identity: the values themselves, told apart by the place in this process's stream.
std::uint64_t hash_content(const FitState* state, const Cell* cells);

/// How the values of a column become cells; raises if it cannot be a feature.
Converter feature_converter(const char* column, Oid type);

/// The bytes of the model that the rows make; null if "min_rows" wants more of them.
bytea* fit_model(FitState* state);

/// How long the last fit of this process took, without the reading of its rows.
double last_fit_seconds();

}  // namespace ad::pg
