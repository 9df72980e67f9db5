// Columns of rows as jsonb, byte for byte what to_jsonb(record) makes of them, several times
// faster.
//
// to_jsonb prints every number, parses it, sorts the keys and looks types up, all for each row.
// Here the keys are sorted and laid out once, and values are written right behind them: numbers
// from their digits, text as it is. Other types, and numbers that are not of the usual shape, go
// through to_jsonb one by one.
//
// This depends on two formats on disk. That of jsonb is public (utils/jsonb.h). That of numeric is
// known to the server's numeric.c alone; record_json.cpp writes its short form only. pg_upgrade
// needs every version to read what the last one wrote, so that a version with another numeric
// would still read ours, and bytes that are not to_jsonb's are all that can come of it. Hence there
// is no check at run time: test/t/008_record_json.pl compares with the server it runs on.
#pragma once

#include "boundary.hpp"

extern "C" {
#include "access/tupdesc.h"
}

namespace ad::pg {

struct RecordJson;

/// Prepares the jsonb of rows like `source`, of `count` columns of it, in the current memory
/// context. Of columns with the same name, the last one is used. Keeps neither of the arguments.
RecordJson* make_record_json(TupleDesc source, const int* attributes, int count);

/// The jsonb of a row. The arrays have a value for each column of the source, used or not.
Datum record_json(const RecordJson* json, const Datum* values, const bool* nulls);

}  // namespace ad::pg
