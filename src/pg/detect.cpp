// _ad_score_rows and _ad_detect_rows: what the SQL functions ad_scores, ad_detect and
// ad_detect_batches do with the rows of a scan.
#include "scan.hpp"

#include "module.hpp"
#include "result_writer.hpp"

extern "C" {
#include "access/xact.h"
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

void list_row(SourceScan* scan, int i, double score) {
    const auto* list = static_cast<const ScoreList*>(scan->consumer);
    if (std::isnan(score)) return;
    const Model& model = model_of_row(scan, i);
    if (list->only_anomalies && !model.is_anomaly(score)) return;
    load_row(scan, i);
    const Prediction prediction = model.predict(score);
    const bool keyed = scan->key_count > 0;
    Datum values[] = {keyed ? columns_json(scan, scan->key_json) : static_cast<Datum>(0),
                      BoolGetDatum(prediction.is_anomaly),
                      Float8GetDatum(prediction.score),
                      Float8GetDatum(prediction.confidence),
                      Float8GetDatum(prediction.p_value),
                      columns_json(scan, scan->feature_json),
                      list->explain ? explain_json(scan, i) : static_cast<Datum>(0)};
    bool nulls[] = {!keyed, false, false, false, false, false, !list->explain};
    tuplestore_putvalues(list->output.store, list->output.descriptor, values, nulls);
}

// ad_detect

struct Batch {
    int64 records;
    int64 scored;
    int64 anomalies;
};

struct Detection {
    static constexpr int kMaxBatches = 1000;

    Output output;
    Selection store;
    Selection raw_data;
    bool explain;
    int64 batch_size;
    ResultWriter* results;
    bool want_key;
    Datum last_key;  ///< of the last row of the last block, if it is wanted
    int full;        ///< batches before the one that is being filled
    Batch batches[kMaxBatches];
};

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

/// How sure an anomaly is, or null.
const char* severity_of(const Prediction& prediction) {
    if (!prediction.is_anomaly) return nullptr;
    if (prediction.confidence >= 0.999) return "high";
    return prediction.confidence >= 0.99 ? "medium" : "low";
}

void keep_result(SourceScan* scan, const Detection* detection, int i, double score) {
    load_row(scan, i);
    require_key(scan);
    const Prediction prediction = model_of_row(scan, i).predict(score);
    const bool raw = is_selected(detection->raw_data, prediction.is_anomaly);
    const bool explained = detection->explain && prediction.is_anomaly;
    const char* severity = severity_of(prediction);
    Datum id = 0;
    const bool has_id = integer_key(scan, &id);
    add_result(detection->results,
               {{id, columns_json(scan, scan->key_json), BoolGetDatum(prediction.is_anomaly),
                 Float8GetDatum(prediction.score), Float8GetDatum(prediction.confidence),
                 Float8GetDatum(prediction.p_value), Float8GetDatum(prediction.threshold),
                 columns_json(scan, scan->feature_json),
                 raw ? columns_json(scan, scan->row_json) : static_cast<Datum>(0),
                 explained ? explain_json(scan, i) : static_cast<Datum>(0),
                 severity != nullptr ? CStringGetTextDatum(severity) : static_cast<Datum>(0)},
                {!has_id, false, false, false, false, false, false, false, !raw, !explained,
                 severity == nullptr}});
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
    require_key(scan);
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

/// Adds neighbours up and doubles batch_size, so that the figures of any number of rows fit.
void halve_batches(Detection* detection) {
    detection->full /= 2;
    detection->batch_size *= 2;
    for (int b = 0; b < detection->full; ++b) {
        const Batch& first = detection->batches[2 * b];
        const Batch& second = detection->batches[2 * b + 1];
        detection->batches[b] = {first.records + second.records, first.scored + second.scored,
                                 first.anomalies + second.anomalies};
    }
    memset(&detection->batches[detection->full], 0, sizeof(Batch) * detection->full);
}

void list_batches(const Detection* detection) {
    const bool partly = detection->batches[detection->full].records > 0;
    const int count = detection->full + (partly ? 1 : 0);
    for (int b = 0; b < count; ++b) {
        const Batch& batch = detection->batches[b];
        const bool keyed = detection->want_key && b == count - 1;
        Datum values[] = {Int64GetDatum(b + 1), Int64GetDatum(batch.records),
                          Int64GetDatum(batch.scored), Int64GetDatum(batch.anomalies),
                          detection->last_key};
        bool nulls[] = {false, false, false, false, !keyed};
        tuplestore_putvalues(detection->output.store, detection->output.descriptor, values, nulls);
    }
}

/// Keeps the key of the last row of a block for the end of the scan, when no row is.
void remember_key(SourceScan* scan, Detection* detection) {
    load_row(scan, scan->rows_in_block - 1);
    MemoryContext const previous = MemoryContextSwitchTo(scan->memory);
    if (detection->last_key != 0) pfree(DatumGetPointer(detection->last_key));
    detection->last_key = key_texts(scan);
    MemoryContextSwitchTo(previous);
}

void detect_row(SourceScan* scan, int i, double score) {
    auto* detection = static_cast<Detection*>(scan->consumer);
    if (detection->want_key && i == scan->rows_in_block - 1) remember_key(scan, detection);
    Batch& batch = detection->batches[detection->full];
    ++batch.records;
    if (!std::isnan(score)) {
        const bool is_anomaly = model_of_row(scan, i).is_anomaly(score);
        ++batch.scored;
        batch.anomalies += is_anomaly ? 1 : 0;
        if (is_selected(detection->store, is_anomaly)) keep_result(scan, detection, i, score);
    }
    if (batch.records < detection->batch_size) return;
    if (++detection->full == Detection::kMaxBatches) halve_batches(detection);
}

void store_results(SourceScan* scan) {
    auto* detection = static_cast<Detection*>(scan->consumer);
    if (detection->results != nullptr) write_results(detection->results);
}

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
    const Oid schema = extension_schema(fcinfo);
    detection->want_key = PG_GETARG_BOOL(10);
    const bool keep_rows = detection->want_key || detection->store != Selection::None;
    SourceScan* scan = make_scan(text_to_cstring(PG_GETARG_TEXT_PP(1)), schema,
                                 PG_GETARG_ARRAYTYPE_P(3), keep_rows);
    scan->consume = detect_row;
    scan->flush = store_results;
    scan->consumer = detection;
    const char* query = text_to_cstring(PG_GETARG_TEXT_PP(0));
    SPI_connect();
    if (detection->store != Selection::None) {
        MemoryContext const previous = MemoryContextSwitchTo(scan->memory);
        detection->results = open_results(schema, {PG_GETARG_DATUM(5), PG_GETARG_DATUM(1),
                                                   PG_GETARG_DATUM(2), PG_GETARG_DATUM(4)});
        MemoryContextSwitchTo(previous);
    }
    run_scan(scan, query);
    if (detection->results != nullptr) close_results(detection->results);
    list_batches(detection);
    SPI_finish();
    return static_cast<Datum>(0);
}

/// _ad_in_transaction_block() RETURNS boolean
PG_FUNCTION_INFO_V1(_ad_in_transaction_block);
PGDLLEXPORT Datum _ad_in_transaction_block(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    PG_RETURN_BOOL(IsTransactionBlock());
}
}
