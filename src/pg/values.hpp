// From Datums to the cells that core code sees.
#pragma once

#include <string_view>

#include "core/features.hpp"

#include "boundary.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/jsonb.h"
}

namespace ad::pg {

/// How values of one SQL type become cells.
struct Converter {
    Oid type;          ///< base type of a domain
    FeatureKind kind;  ///< what the type is by nature
    Oid output;        ///< of a category without a text representation of its own
};

/// False if a type cannot be a feature (bytea, arrays, json, geometric types ...).
bool find_converter(Oid type, Converter* converter);

/// The converter of an argument or column for a feature of known kind. `where` names the model.
Converter require_converter(Oid type, const Feature& feature, const char* where);

Cell to_cell(const Converter& converter, Datum value, bool isnull);

/// to_cell, with the most frequent type in line.
inline Cell read_cell(const Converter& converter, Datum value, bool isnull) {
    if (converter.type == FLOAT8OID && !isnull) return number_cell(DatumGetFloat8(value));
    return to_cell(converter, value, isnull);
}

/// The value as the user would write it, in UTF-8; for categories the very text that is hashed.
std::string_view to_text(const Converter& converter, Datum value);

/// A value of a JSON object, for a feature of the given kind; `text` as of to_text.
Cell json_to_cell(const Feature& feature, const JsonbValue* value, std::string_view* text);

}  // namespace ad::pg
