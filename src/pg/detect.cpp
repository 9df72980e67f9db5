// _ad_score_rows and _ad_detect_rows: what the SQL functions ad_scores, ad_detect and
// ad_detect_batches do with the rows of a scan.
#include "scan.hpp"

#include "module.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

namespace {

enum class Selection : std::uint8_t { None, Anomalies, All };

Selection read_selection(const text* option) {
    const char* name = text_to_cstring(option);
    if (strcmp(name, "all") == 0) return Selection::All;
    return strcmp(name, "anomalies") == 0 ? Selection::Anomalies : Selection::None;
}

bool is_selected(Selection selection, bool is_anomaly) {
    return selection == Selection::All || (selection == Selection::Anomalies && is_anomaly);
}

struct Output {
    Tuplestorestate* store;
    TupleDesc descriptor;
};

Output make_output(FunctionCallInfo fcinfo) {
    InitMaterializedSRF(fcinfo, 0);
    const auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    return {result->setResult, result->setDesc};
}

// ad_scores

struct ScoreList {
    Output output;
    bool only_anomalies;
    bool explain;
};

void list_row(SourceScan* scan, int i, const Prediction* prediction) {
    const auto* list = static_cast<const ScoreList*>(scan->consumer);
    if (prediction == nullptr || (list->only_anomalies && !prediction->is_anomaly)) return;
    const bool keyed = scan->key_count > 0;
    Datum values[] = {keyed ? record_json(scan, scan->key_json) : static_cast<Datum>(0),
                      BoolGetDatum(prediction->is_anomaly),
                      Float8GetDatum(prediction->score),
                      Float8GetDatum(prediction->confidence),
                      Float8GetDatum(prediction->p_value),
                      record_json(scan, scan->feature_json),
                      list->explain ? explain_json(scan, i) : static_cast<Datum>(0)};
    bool nulls[] = {!keyed, false, false, false, false, false, !list->explain};
    tuplestore_putvalues(list->output.store, list->output.descriptor, values, nulls);
}

// ad_detect

constexpr int kLists = 9;  // the columns of a result that differ from row to row

struct Detection {
    Output output;
    Selection store;
    Selection raw_data;
    bool explain;
    int batch_size;
    Datum constants[4];  ///< source_table, model_id, algorithm, run_id
    SPIPlanPtr insert;
    int pending;  ///< rows of this block to be stored
    Datum values[kLists][SourceScan::kBlock];
    bool nulls[kLists][SourceScan::kBlock];
    bool want_key;
    Datum last_key;  ///< of the last row of the last block, if it is wanted
    int64 batch;     ///< the one that is being filled
    int64 records;
    int64 scored;
    int64 anomalies;
};

const char* insert_query(Oid schema) {
    return psprintf(
        "INSERT INTO %1$s.anomaly_detection_results (source_table, model_id, algorithm, run_id,"
        " source_record_id, source_record_key, is_anomaly, anomaly_score, confidence, p_value,"
        " features, raw_data, explanation, threshold, severity)"
        " SELECT $1, $2, $3, $4, u.*, $14, %1$s._ad_severity(u.is_anomaly, u.confidence)"
        " FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
        " pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10),"
        " pg_catalog.unnest($11), pg_catalog.unnest($12), pg_catalog.unnest($13))"
        " AS u(id, key, is_anomaly, score, confidence, p_value, features, raw_data, explanation)",
        quote_identifier(get_namespace_name(schema)));
}

constexpr Oid kElementTypes[kLists] = {INT8OID,   JSONBOID, BOOLOID,  FLOAT8OID, FLOAT8OID,
                                       FLOAT8OID, JSONBOID, JSONBOID, JSONBOID};

SPIPlanPtr prepare_insert(Oid schema) {
    Oid types[] = {TEXTOID,       TEXTOID,       TEXTOID,        INT8OID,        INT8ARRAYOID,
                   JSONBARRAYOID, BOOLARRAYOID,  FLOAT8ARRAYOID, FLOAT8ARRAYOID, FLOAT8ARRAYOID,
                   JSONBARRAYOID, JSONBARRAYOID, JSONBARRAYOID,  FLOAT8OID};
    SPIPlanPtr plan = SPI_prepare(insert_query(schema), lengthof(types), types);
    if (plan == nullptr) elog(ERROR, "could not prepare to store results");
    return plan;
}

/// The record key as a bigint, where it is one integer column.
bool integer_key(const SourceScan* scan, Datum* key) {
    if (scan->key_count != 1) return false;
    const int attribute = scan->key_attributes[0];
    const Datum value = scan->row->tts_values[attribute];
    switch (TupleDescAttr(scan->descriptor, attribute)->atttypid) {
        case INT2OID:
            *key = Int64GetDatum(DatumGetInt16(value));
            return true;
        case INT4OID:
            *key = Int64GetDatum(DatumGetInt32(value));
            return true;
        case INT8OID:
            *key = value;
            return true;
        default:
            return false;
    }
}

void require_key(const SourceScan* scan) {
    for (int k = 0; k < scan->key_count; ++k) {
        if (!scan->row->tts_isnull[scan->key_attributes[k]]) continue;
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("column \"%s\", which identifies the rows, is null in one of them",
                       scan->key_names[k]),
                errhint("Leave such rows out by where_clause, or name another \"id_column\"."));
    }
}

void queue_result(SourceScan* scan, Detection* detection, int i, const Prediction& prediction) {
    require_key(scan);
    const int n = detection->pending++;
    const bool raw = is_selected(detection->raw_data, prediction.is_anomaly);
    const bool explained = detection->explain && prediction.is_anomaly;
    Datum id = 0;
    const bool has_id = integer_key(scan, &id);
    const Datum values[kLists] = {id,
                                  record_json(scan, scan->key_json),
                                  BoolGetDatum(prediction.is_anomaly),
                                  Float8GetDatum(prediction.score),
                                  Float8GetDatum(prediction.confidence),
                                  Float8GetDatum(prediction.p_value),
                                  record_json(scan, scan->feature_json),
                                  raw ? record_json(scan, scan->row_json) : static_cast<Datum>(0),
                                  explained ? explain_json(scan, i) : static_cast<Datum>(0)};
    const bool nulls[kLists] = {!has_id, false, false, false,     false,
                                false,   false, !raw,  !explained};
    for (int c = 0; c < kLists; ++c) {
        detection->values[c][n] = values[c];
        detection->nulls[c][n] = nulls[c];
    }
}

/// Text that reads the same whatever the settings of the session that reads it, as in pg_dump.
void write_portably() {
    const auto set = [](const char* name, const char* value) {
        set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    };
    set("datestyle", "ISO");
    set("intervalstyle", "iso_8601");
    set("extra_float_digits", "3");
}

/// The key of the row at hand, as text[].
Datum key_texts(const SourceScan* scan) {
    const int settings_level = NewGUCNestLevel();
    write_portably();
    auto* texts = static_cast<Datum*>(palloc(sizeof(Datum) * scan->key_count));
    for (int k = 0; k < scan->key_count; ++k) {
        const int attribute = scan->key_attributes[k];
        Oid output;
        bool is_varlena;
        getTypeOutputInfo(TupleDescAttr(scan->descriptor, attribute)->atttypid, &output,
                          &is_varlena);
        texts[k] =
            CStringGetTextDatum(OidOutputFunctionCall(output, scan->row->tts_values[attribute]));
    }
    AtEOXact_GUC(true, settings_level);
    return PointerGetDatum(
        construct_array(texts, scan->key_count, TEXTOID, -1, false, TYPALIGN_INT));
}

void finish_batch(Detection* detection, Datum last_key) {
    if (detection->records == 0) return;
    Datum values[] = {Int64GetDatum(++detection->batch), Int64GetDatum(detection->records),
                      Int64GetDatum(detection->scored), Int64GetDatum(detection->anomalies),
                      last_key};
    bool nulls[] = {false, false, false, false, !detection->want_key};
    tuplestore_putvalues(detection->output.store, detection->output.descriptor, values, nulls);
    detection->records = detection->scored = detection->anomalies = 0;
}

void detect_row(SourceScan* scan, int i, const Prediction* prediction) {
    auto* detection = static_cast<Detection*>(scan->consumer);
    ++detection->records;
    if (prediction != nullptr) {
        ++detection->scored;
        detection->anomalies += prediction->is_anomaly ? 1 : 0;
        if (is_selected(detection->store, prediction->is_anomaly)) {
            queue_result(scan, detection, i, *prediction);
        }
    }
    if (detection->records < detection->batch_size) return;
    finish_batch(detection, detection->want_key ? key_texts(scan) : static_cast<Datum>(0));
}

/// Keeps the key of the row at hand for the end of the scan, when no row is.
void remember_key(const SourceScan* scan, Detection* detection) {
    if (!detection->want_key) return;
    MemoryContext const previous = MemoryContextSwitchTo(scan->memory);
    if (detection->last_key != 0) pfree(DatumGetPointer(detection->last_key));
    detection->last_key = key_texts(scan);
    MemoryContextSwitchTo(previous);
}

/// Stores the results of a block by one INSERT, so that indexes, row-level security and triggers
/// of the table do what they always do.
void store_block(SourceScan* scan) {
    auto* detection = static_cast<Detection*>(scan->consumer);
    remember_key(scan, detection);
    if (detection->pending == 0) return;
    constexpr int kArguments = 4 + kLists + 1;
    Datum arguments[kArguments];
    for (int a = 0; a < 4; ++a) arguments[a] = detection->constants[a];
    for (int c = 0; c < kLists; ++c) {
        int16 length;
        bool by_value;
        char alignment;
        get_typlenbyvalalign(kElementTypes[c], &length, &by_value, &alignment);
        int lower = 1;
        arguments[4 + c] = PointerGetDatum(
            construct_md_array(detection->values[c], detection->nulls[c], 1, &detection->pending,
                               &lower, kElementTypes[c], length, by_value, alignment));
    }
    arguments[kArguments - 1] = Float8GetDatum(scan->cached->model->threshold());
    SPI_connect();
    if (SPI_execute_plan(detection->insert, arguments, nullptr, false, 0) != SPI_OK_INSERT) {
        elog(ERROR, "could not store results");
    }
    SPI_finish();
    detection->pending = 0;
}

void store_nothing(SourceScan*) {}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

/// _ad_score_rows(query text, model_id text, keys text[], only_anomalies boolean, explain boolean)
PG_FUNCTION_INFO_V1(_ad_score_rows);
PGDLLEXPORT Datum _ad_score_rows(PG_FUNCTION_ARGS) {
    ScoreList list{make_output(fcinfo), PG_GETARG_BOOL(3), PG_GETARG_BOOL(4)};
    SourceScan* scan = make_scan(text_to_cstring(PG_GETARG_TEXT_PP(1)), extension_schema(fcinfo),
                                 PG_GETARG_ARRAYTYPE_P(2), true);
    scan->consume = list_row;
    scan->end_block = store_nothing;
    scan->consumer = &list;
    const char* query = text_to_cstring(PG_GETARG_TEXT_PP(0));
    SPI_connect();
    run_scan(scan, query);
    SPI_finish();
    return static_cast<Datum>(0);
}

/// _ad_detect_rows(query text, model_id text, algorithm text, keys text[], run_id bigint,
/// source_table text, store text, raw_data text, explain boolean, batch_size integer)
PG_FUNCTION_INFO_V1(_ad_detect_rows);
PGDLLEXPORT Datum _ad_detect_rows(PG_FUNCTION_ARGS) {
    auto* detection = static_cast<Detection*>(palloc0(sizeof(Detection)));
    detection->output = make_output(fcinfo);
    detection->store = read_selection(PG_GETARG_TEXT_PP(6));
    detection->raw_data = read_selection(PG_GETARG_TEXT_PP(7));
    detection->explain = PG_GETARG_BOOL(8);
    detection->batch_size = PG_GETARG_INT32(9);
    detection->constants[0] = PG_GETARG_DATUM(5);
    detection->constants[1] = PG_GETARG_DATUM(1);
    detection->constants[2] = PG_GETARG_DATUM(2);
    detection->constants[3] = PG_GETARG_DATUM(4);
    const Oid schema = extension_schema(fcinfo);
    detection->want_key = PG_GETARG_BOOL(10);
    const bool keep_rows = detection->want_key || detection->store != Selection::None;
    SourceScan* scan = make_scan(text_to_cstring(PG_GETARG_TEXT_PP(1)), schema,
                                 PG_GETARG_ARRAYTYPE_P(3), keep_rows);
    scan->consume = detect_row;
    scan->end_block = store_block;
    scan->consumer = detection;
    const char* query = text_to_cstring(PG_GETARG_TEXT_PP(0));
    SPI_connect();
    detection->insert = prepare_insert(schema);
    run_scan(scan, query);
    finish_batch(detection, detection->last_key);
    SPI_finish();
    return static_cast<Datum>(0);
}
}
