// SQL functions that hold src/pg/record_json.hpp to to_jsonb, and to its time.
#include <chrono>
#include <cstring>

#include "pg/record_json.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace {

using ad::pg::make_record_json;
using ad::pg::record_json;
using ad::pg::RecordJson;

/// Both ways to make jsonb of columns of the rows of a query.
struct Comparison {
    int count;
    int* attributes;
    RecordJson* json;
    TupleDesc record;
    FmgrInfo* to_jsonb;
    Datum* values;
    bool* nulls;
};

template <typename T>
T* make_array(int count) {
    return static_cast<T*>(palloc0(sizeof(T) * count));
}

/// The columns that are named by number, or all.
void choose_columns(Comparison* both, ArrayType* chosen) {
    Datum* numbers;
    deconstruct_array(chosen, INT4OID, sizeof(int32), true, TYPALIGN_INT, &numbers, nullptr,
                      &both->count);
    const bool all = both->count == 0;
    const int natts = SPI_tuptable->tupdesc->natts;
    if (all) both->count = natts;
    both->attributes = make_array<int>(both->count);
    for (int i = 0; i < both->count; ++i) {
        both->attributes[i] = all ? i : DatumGetInt32(numbers[i]) - 1;
        if (both->attributes[i] < 0 || both->attributes[i] >= natts) elog(ERROR, "no such column");
    }
}

Comparison start(FunctionCallInfo fcinfo) {
    Comparison both{};
    SPI_connect();
    if (SPI_execute(text_to_cstring(PG_GETARG_TEXT_PP(0)), true, 0) != SPI_OK_SELECT) {
        elog(ERROR, "not a query");
    }
    TupleDesc source = SPI_tuptable->tupdesc;
    choose_columns(&both, PG_GETARG_ARRAYTYPE_P(1));
    both.json = make_record_json(source, both.attributes, both.count);
    both.record = CreateTemplateTupleDesc(both.count);
    for (int i = 0; i < both.count; ++i) {
        TupleDescCopyEntry(both.record, static_cast<AttrNumber>(i + 1), source,
                           static_cast<AttrNumber>(both.attributes[i] + 1));
    }
    BlessTupleDesc(both.record);
    Node* argument = reinterpret_cast<Node*>(makeNullConst(RECORDOID, -1, InvalidOid));
    both.to_jsonb = make_array<FmgrInfo>(1);
    fmgr_info(F_TO_JSONB, both.to_jsonb);
    fmgr_info_set_expr(
        reinterpret_cast<Node*>(makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument), InvalidOid,
                                             InvalidOid, COERCE_EXPLICIT_CALL)),
        both.to_jsonb);
    both.values = make_array<Datum>(source->natts);
    both.nulls = make_array<bool>(source->natts);
    return both;
}

void read_row(const Comparison& both, std::uint64_t row) {
    heap_deform_tuple(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, both.values, both.nulls);
}

Jsonb* ours(const Comparison& both) {
    return DatumGetJsonbP(record_json(both.json, both.values, both.nulls));
}

Jsonb* theirs(const Comparison& both) {
    auto* values = make_array<Datum>(both.count);
    auto* nulls = make_array<bool>(both.count);
    for (int i = 0; i < both.count; ++i) {
        values[i] = both.values[both.attributes[i]];
        nulls[i] = both.nulls[both.attributes[i]];
    }
    const HeapTuple tuple = heap_form_tuple(both.record, values, nulls);
    return DatumGetJsonbP(FunctionCall1(both.to_jsonb, HeapTupleGetDatum(tuple)));
}

bool same_bytes(const Jsonb* a, const Jsonb* b) {
    return VARSIZE(a) == VARSIZE(b) && std::memcmp(a, b, VARSIZE(a)) == 0;
}

char* to_string(Jsonb* json) {
    return JsonbToCString(nullptr, &json->root, static_cast<int>(VARSIZE(json)));
}

/// A context that is made empty before every row.
MemoryContext row_context() {
    return AllocSetContextCreate(CurrentMemoryContext, "record_json_test row",
                                 ALLOCSET_DEFAULT_SIZES);
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(compare_record_json);
PGDLLEXPORT Datum compare_record_json(PG_FUNCTION_ARGS) {
    MemoryContext const caller = CurrentMemoryContext;
    const Comparison both = start(fcinfo);
    MemoryContext const working = MemoryContextSwitchTo(row_context());
    for (std::uint64_t row = 0; row < SPI_processed; ++row) {
        MemoryContextReset(CurrentMemoryContext);
        read_row(both, row);
        Jsonb* our_json = ours(both);
        Jsonb* their_json = theirs(both);
        if (same_bytes(our_json, their_json)) continue;
        elog(ERROR, "row %llu: %s in %u bytes, but to_jsonb gives %s in %u bytes",
             static_cast<unsigned long long>(row + 1), to_string(our_json), VARSIZE(our_json),
             to_string(their_json), VARSIZE(their_json));
    }
    MemoryContextSwitchTo(working);
    const auto rows = static_cast<int64>(SPI_processed);
    SPI_finish();
    MemoryContextSwitchTo(caller);
    PG_RETURN_INT64(rows);
}

PG_FUNCTION_INFO_V1(time_record_json);
PGDLLEXPORT Datum time_record_json(PG_FUNCTION_ARGS) {
    using Clock = std::chrono::steady_clock;
    const bool reference = PG_GETARG_BOOL(2);
    const Comparison both = start(fcinfo);
    MemoryContext const working = MemoryContextSwitchTo(row_context());
    Clock::duration time{};
    for (std::uint64_t row = 0; row < SPI_processed; ++row) {
        if (row % 512 == 0) MemoryContextReset(CurrentMemoryContext);
        read_row(both, row);
        const auto begin = Clock::now();
        if (reference) {
            theirs(both);
        } else {
            ours(both);
        }
        time += Clock::now() - begin;
    }
    MemoryContextSwitchTo(working);
    const double rows = SPI_processed > 0 ? static_cast<double>(SPI_processed) : 1.0;
    SPI_finish();
    const std::chrono::duration<double, std::micro> microseconds = time;
    PG_RETURN_FLOAT8(microseconds.count() / rows);
}

PG_FUNCTION_INFO_V1(float8_of_bits);
PGDLLEXPORT Datum float8_of_bits(PG_FUNCTION_ARGS) {
    const int64 bits = PG_GETARG_INT64(0);
    double value;
    std::memcpy(&value, &bits, sizeof(value));
    PG_RETURN_FLOAT8(value);
}

PG_FUNCTION_INFO_V1(float4_of_bits);
PGDLLEXPORT Datum float4_of_bits(PG_FUNCTION_ARGS) {
    const int32 bits = PG_GETARG_INT32(0);
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    PG_RETURN_FLOAT4(value);
}
}
