// Partitioned models: which entity a row belongs to, and a model for each of them.
#include "core/model.hpp"

#include "module.hpp"
#include "scan.hpp"
#include "values.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

namespace {

/// What a call site of _ad_entity_key keeps between rows.
struct KeyCall {
    int count;
    Converter converters[kMaxPartitionColumns];
    Schema* partition;
};

KeyCall* prepare_key(FunctionCallInfo fcinfo) {
    MemoryContext const context = fcinfo->flinfo->fn_mcxt;
    const int count = PG_NARGS();
    if (count > static_cast<int>(kMaxPartitionColumns)) {
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("a model has at most %d partition columns",
                       static_cast<int>(kMaxPartitionColumns)));
    }
    auto* call = static_cast<KeyCall*>(MemoryContextAllocZero(context, sizeof(KeyCall)));
    call->count = count;
    for (int k = 0; k < count; ++k) {
        const Oid type = get_fn_expr_argtype(fcinfo->flinfo, k);
        if (!find_converter(type, &call->converters[k])) {
            ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("a column of type %s cannot name entities", format_type_be(type)));
        }
    }
    call->partition = own<Schema>(context, [&] {
        Schema partition;
        for (int k = 0; k < count; ++k) partition.push_back({{}, call->converters[k].kind});
        return partition;
    });
    return call;
}

struct JoinScan {
    DestReceiver receiver;  ///< must come first: the executor only knows this part
    PartitionJoin* join;
    bool started;
};

void start_receiver(DestReceiver* self, int, TupleDesc descriptor) {
    auto* scan = reinterpret_cast<JoinScan*>(self);
    require_one_query(scan->started);
    scan->started = true;
    if (descriptor->natts != 2 || TupleDescAttr(descriptor, 0)->atttypid != BYTEAOID ||
        TupleDescAttr(descriptor, 1)->atttypid != BYTEAOID) {
        elog(ERROR, "the models of entities come as keys and bytes");
    }
}

std::string_view bytes_of(Datum value) {
    const varlena* packed = PG_DETOAST_DATUM_PACKED(value);
    return {VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed)};
}

bool receive_row(TupleTableSlot* slot, DestReceiver* self) {
    auto* scan = reinterpret_cast<JoinScan*>(self);
    slot_getallattrs(slot);
    if (slot->tts_isnull[0]) return true;  // rows that belong to no entity
    if (slot->tts_isnull[1]) {
        scan->join->add_without_model();
        return true;
    }
    const std::string_view key = bytes_of(slot->tts_values[0]);
    const std::string_view model = bytes_of(slot->tts_values[1]);
    run([&] { scan->join->add(key, model); });
    return true;
}

void end_receiver(DestReceiver*) {}

/// What could be stored, but not loaded.
void refuse_unusable(std::size_t size) {
    if (size / 1024 <= static_cast<std::size_t>(settings.max_model_size)) return;
    ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
            errmsg("the models of all entities take %zu kB, more than the %d kB allowed",
                   size / 1024, settings.max_model_size),
            errhint("Choose an algorithm or parameters that make smaller models, partition into "
                    "fewer entities, or increase \"anomaly_detect.max_model_size\"."));
}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

/// _ad_entity_key(VARIADIC "any") RETURNS bytea: the entity that the values name; null if one of
/// them is missing.
PG_FUNCTION_INFO_V1(_ad_entity_key);
PGDLLEXPORT Datum _ad_entity_key(PG_FUNCTION_ARGS) {
    auto* call = static_cast<KeyCall*>(fcinfo->flinfo->fn_extra);
    if (call == nullptr) fcinfo->flinfo->fn_extra = call = prepare_key(fcinfo);
    ad::Cell cells[ad::kMaxPartitionColumns];
    const ad::Cell* columns[ad::kMaxPartitionColumns];
    std::uint64_t key[ad::kMaxPartitionColumns];
    for (int k = 0; k < call->count; ++k) {
        cells[k] = read_cell(call->converters[k], PG_GETARG_DATUM(k), PG_ARGISNULL(k));
        columns[k] = &cells[k];
    }
    if (!ad::entity_key(*call->partition, columns, 0, key)) PG_RETURN_NULL();
    const std::size_t size = sizeof(std::uint64_t) * call->count;
    auto* bytes = static_cast<bytea*>(palloc(size + VARHDRSZ));
    SET_VARSIZE(bytes, size + VARHDRSZ);
    memcpy(VARDATA(bytes), key, size);
    PG_RETURN_BYTEA_P(bytes);
}

/// _ad_join_entities(fallback bytea, query text) RETURNS bytea: the query returns the key and the
/// model of each entity.
PG_FUNCTION_INFO_V1(_ad_join_entities);
PGDLLEXPORT Datum _ad_join_entities(PG_FUNCTION_ARGS) {
    auto* scan = static_cast<JoinScan*>(palloc0(sizeof(JoinScan)));
    scan->receiver.receiveSlot = receive_row;
    scan->receiver.rStartup = start_receiver;
    scan->receiver.rShutdown = end_receiver;
    scan->receiver.rDestroy = end_receiver;
    scan->receiver.mydest = DestTuplestore;  // SPI counts DestNone as no query
    const bytea* fallback = PG_GETARG_BYTEA_PP(0);
    const std::string_view bytes(VARDATA_ANY(fallback), VARSIZE_ANY_EXHDR(fallback));
    const std::uint64_t limit =
        std::min<std::uint64_t>(max_training_memory_bytes(), MaxAllocSize - 1024);
    scan->join = own<ad::PartitionJoin>(CurrentMemoryContext,
                                        [&] { return ad::PartitionJoin(bytes, limit); });
    const char* query = text_to_cstring(PG_GETARG_TEXT_PP(1));
    SPI_connect();
    read_query(query, &scan->receiver);
    SPI_finish();
    const auto* joined = own<std::string>(CurrentMemoryContext, [&] { return scan->join->save(); });
    refuse_unusable(joined->size());
    PG_RETURN_BYTEA_P(make_bytea(*joined));
}
}
