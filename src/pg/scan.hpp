// Scoring of whole queries: the executor hands its rows to a receiver of ours, which gathers them
// into blocks, scores each block and passes every row on with its verdict.
#pragma once

#include "model_cache.hpp"
#include "record_json.hpp"
#include "values.hpp"

extern "C" {
#include "executor/tuptable.h"
#include "tcop/dest.h"
}

namespace ad::pg {

struct SourceScan {
    static constexpr int kBlock = 512;
    /// Of a partitioned model, so that detectors get more than a few rows of each entity at once.
    static constexpr int kEntitiesBlock = 16384;

    DestReceiver receiver;  ///< must come first: the executor only knows this part
    const CachedModel* cached;
    int block_rows;  ///< rows of a full block
    int key_count;
    const char* const* key_names;
    bool keep_rows;  ///< whether load_row is to work

    /// Where there is one, called for each row that comes, before it becomes row i of the block;
    /// false leaves it out.
    bool (*accept)(SourceScan* scan, TupleTableSlot* slot, int i);
    /// Called for each row of a block in order. `score` is NaN if the model rejects the row.
    void (*consume)(SourceScan* scan, int i, double score);
    /// Where there is one, called before what `consume` made in its memory context is freed: at the
    /// end of each block, and earlier where it is large.
    void (*flush)(SourceScan* scan);
    void* consumer;

    TupleDesc descriptor;
    TupleTableSlot* row;  ///< the row at hand, with all its columns
    int features;
    Converter* converters;
    int* feature_attributes;
    int* key_attributes;
    const RecordJson* key_json;
    const RecordJson* feature_json;
    const RecordJson* row_json;

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
    MemoryContext block_memory;   ///< of the rows
    MemoryContext output_memory;  ///< of what is made of them
};

/// Prepares a scan by the model that `model_id` names; the caller fills in the consumer.
SourceScan* make_scan(const char* model_id, Oid schema, ArrayType* keys, bool keep_rows);

/// Runs `query` within SPI and scores its rows.
void run_scan(SourceScan* scan, const char* query);

/// Runs a query within SPI and hands its rows to `receiver`, whose mydest must be DestTuplestore:
/// SPI counts DestNone as no query.
void read_query(const char* query, DestReceiver* receiver);

/// For the receiver's start: a string of several queries starts it several times.
void require_one_query(bool started);

/// The place of a column in a query's rows; raises if there is none.
int find_column(TupleDesc descriptor, const char* name);

/// The model that row i of the block was scored by.
inline const Model& model_of_row(const SourceScan* scan, int i) {
    const Cells cells{scan->columns, static_cast<std::size_t>(scan->rows_in_block)};
    return scan->cached->model->for_row(cells, i);
}

/// Makes row i of the block the row at hand.
void load_row(SourceScan* scan, int i);

/// Columns of the row at hand.
Datum columns_json(const SourceScan* scan, const RecordJson* json);
/// Why the row at hand, which is row i of the block, has its score.
Datum explain_json(SourceScan* scan, int i);

}  // namespace ad::pg
