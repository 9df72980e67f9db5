// Scoring of whole queries: the executor hands its rows to a receiver of ours, which gathers them
// into blocks, scores each block and passes every row on with its verdict.
#pragma once

#include "model_cache.hpp"
#include "values.hpp"

extern "C" {
#include "executor/tuptable.h"
#include "tcop/dest.h"
}

namespace ad::pg {

/// Some columns of the scanned rows, as a JSON object.
struct RecordJson {
    TupleDesc descriptor;
    int* attributes;
    FmgrInfo* to_jsonb;
};

struct SourceScan {
    static constexpr int kBlock = 512;

    DestReceiver receiver;  ///< must come first: the executor only knows this part
    const CachedModel* cached;
    int key_count;
    const char* const* key_names;
    bool keep_rows;  ///< whether `consume` looks at `row`

    /// Called for each row in order. `prediction` is null if the model rejects the row; `row` has
    /// all its columns.
    void (*consume)(SourceScan* scan, int i, const Prediction* prediction);
    /// Called after each block, with the memory context that is reset after it.
    void (*end_block)(SourceScan* scan);
    void* consumer;

    TupleDesc descriptor;
    TupleTableSlot* row;
    int features;
    Converter* converters;
    int* feature_attributes;
    int* key_attributes;
    RecordJson key_json;
    RecordJson feature_json;
    RecordJson row_json;

    int rows_in_block;
    int last_attribute;
    Cell* cells;
    const Cell** columns;
    const Cell** one_row;
    double* scores;
    MinimalTuple* rows;
    std::string_view* texts;
    Scratch* scratch;
    MemoryContext memory;
    MemoryContext block_memory;
};

/// Prepares a scan by the model that `model_id` names; the caller fills in the consumer.
SourceScan* make_scan(const char* model_id, Oid schema, ArrayType* keys, bool keep_rows);

/// Runs `query` within SPI and scores its rows.
void run_scan(SourceScan* scan, const char* query);

/// Of the row at hand: the record key, the features, the whole row.
Datum record_json(const SourceScan* scan, const RecordJson& json);
/// Of the row at hand, which is row i of the block.
Datum explain_json(SourceScan* scan, int i);

}  // namespace ad::pg
