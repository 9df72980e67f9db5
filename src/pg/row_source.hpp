// The four ways in which a call hands over one row: plain arguments, VARIADIC array, a row, a JSON
// object.
#pragma once

#include "values.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
}

namespace ad::pg {

/// Where the features of a row come from, and room for one row of them. Made once a statement.
struct RowSource {
    enum class Form : std::uint8_t { Plain, Array, Row, Json };

    Form form;
    int first_argument;
    int count;
    const Feature* features;
    const char* model_id;       ///< for messages
    Converter* converters;      ///< one a feature
    const char** names;         ///< of the features
    MemoryContext row_context;  ///< Form::Row: owns
    TupleDesc descriptor;       ///< that of the rows seen last, with
    TupleTableSlot* slot;       ///< room for one of them,
    int* attributes;            ///< the index of each feature's column and
    int last_attribute;         ///< how many columns are needed
    Cell* cells;
    const Cell** columns;  ///< columns[j] == cells + j: the row as a block of one
    std::string_view* texts;

    Cells block() const { return {columns, 1}; }
};

/// Looks at the arguments from `first_argument` on; raises if they cannot give these features.
RowSource* make_row_source(FunctionCallInfo fcinfo, int first_argument, const Schema& schema,
                           const char* model_id, MemoryContext context);

/// Reads the row of this call into `cells`. `texts` holds the text of categories, and with
/// `all_texts` of dates and times.
void read_row(RowSource* source, FunctionCallInfo fcinfo, bool all_texts);

/// The descriptor of a composite value, copied into the current memory context.
TupleDesc copy_descriptor(HeapTupleHeader row);

/// The form in which the arguments from `first_argument` on come.
RowSource::Form form_of_arguments(FunctionCallInfo fcinfo, int first_argument);

}  // namespace ad::pg
