#include "model_cache.hpp"

#include "module.hpp"

extern "C" {
#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

namespace {

constexpr std::size_t kMaxModelId = sizeof(CachedModel::model_id);

struct Cache {
    MemoryContext context;
    CachedModel* first;
    std::size_t bytes;
};
Cache cache;

std::uint64_t ends = 0;  ///< of transactions, and of subtransactions that were rolled back

void at_transaction_end(XactEvent, void*) { ++ends; }

void at_subtransaction_end(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
    if (event == SUBXACT_EVENT_ABORT_SUB) ++ends;
}

struct Version {
    char model_id[kMaxModelId];
    TimestampTz created_at;
    Oid owner;
};

void release(CachedModel* entry) {
    cache.bytes -= entry->bytes;
    MemoryContextDelete(entry->context);
}

void unlink_entry(CachedModel* entry) {
    CachedModel** link = &cache.first;
    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
}

void unpin(void* entry) { --static_cast<CachedModel*>(entry)->pins; }

/// Drops the least recently used models until the rest fits. Those in use stay.
void shrink_cache(std::size_t limit) {
    while (cache.bytes > limit) {
        CachedModel* oldest = nullptr;
        for (CachedModel* entry = cache.first; entry != nullptr; entry = entry->next) {
            if (entry->pins == 0) oldest = entry;
        }
        if (oldest == nullptr) return;
        unlink_entry(oldest);
        release(oldest);
    }
}

/// Runs a one-row query in the current snapshot with text arguments; false if there is no row.
bool fetch_row(const char* query, const char* const* arguments, int count, SPITupleTable** rows) {
    constexpr int kMaxArguments = 3;
    Oid types[kMaxArguments];
    Datum values[kMaxArguments];
    for (int i = 0; i < count; ++i) {
        types[i] = TEXTOID;
        values[i] = CStringGetTextDatum(arguments[i]);
    }
    if (SPI_execute_with_args(query, count, types, values, nullptr, true, 1) != SPI_OK_SELECT) {
        elog(ERROR, "could not read the model registry");
    }
    *rows = SPI_tuptable;
    return SPI_processed > 0;
}

[[noreturn]] void refuse_unknown(const char* reference) {
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
            errmsg("model \"%s\" does not exist", reference),
            errhint("The models that you may use are listed in the view ad_models."));
}

/// Looks the reference up in the registry. To be called within SPI.
Version resolve(const char* reference, const char* schema) {
    // after the last @: a version or an alias; without one, the active version
    const char* at = strrchr(reference, '@');
    const char* name = at == nullptr ? reference : pnstrdup(reference, at - reference);
    const char* arguments[] = {name, at == nullptr ? "" : at + 1};
    const char* condition = at == nullptr ? "is_active AND $2 OPERATOR(pg_catalog.=) ''"
                                          : "(version::pg_catalog.text OPERATOR(pg_catalog.=) $2"
                                            " OR $2 OPERATOR(pg_catalog.=) ANY (aliases))";
    const char* query = psprintf(
        "SELECT model_id, created_at, owner FROM %s.model_registry"
        " WHERE name OPERATOR(pg_catalog.=) $1 AND %s",
        schema, condition);
    SPITupleTable* rows;
    if (!fetch_row(query, arguments, 2, &rows)) refuse_unknown(reference);
    Version version;
    bool isnull;
    strlcpy(version.model_id, SPI_getvalue(rows->vals[0], rows->tupdesc, 1), kMaxModelId);
    version.created_at =
        DatumGetTimestampTz(SPI_getbinval(rows->vals[0], rows->tupdesc, 2, &isnull));
    version.owner = DatumGetObjectId(SPI_getbinval(rows->vals[0], rows->tupdesc, 3, &isnull));
    return version;
}

CachedModel* find(const Version& version) {
    for (CachedModel* entry = cache.first; entry != nullptr; entry = entry->next) {
        if (entry->created_at != version.created_at || entry->owner != version.owner) continue;
        if (strcmp(entry->model_id, version.model_id) != 0) continue;
        unlink_entry(entry);
        entry->next = cache.first;
        cache.first = entry;
        return entry;
    }
    return nullptr;
}

/// Reads the bytes of a version. To be called within SPI; the result lives until SPI ends.
const bytea* fetch_bytes(const Version& version, const char* schema) {
    const char* query = psprintf(
        "SELECT data FROM %s.model_artifacts WHERE model_id OPERATOR(pg_catalog.=) $1", schema);
    const char* arguments[] = {version.model_id};
    SPITupleTable* rows;
    if (!fetch_row(query, arguments, 1, &rows)) {
        ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
                errmsg("model \"%s\" has no artifact", version.model_id),
                errhint("Restore it from a backup, or train the model again."));
    }
    bool isnull;
    const Datum data = SPI_getbinval(rows->vals[0], rows->tupdesc, 1, &isnull);
    const std::size_t size = toast_raw_datum_size(data);
    if (size / 1024 > static_cast<std::size_t>(settings.max_model_size)) {
        ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                errmsg("model \"%s\" takes %zu kB, more than the %d kB allowed", version.model_id,
                       size / 1024, settings.max_model_size),
                errhint("Increase \"anomaly_detect.max_model_size\"."));
    }
    return DatumGetByteaPP(data);
}

void name_model(void* version) {
    errcontext("model \"%s\"", static_cast<const Version*>(version)->model_id);
}

CachedModel* load(const Version& version, const char* schema) {
    if (cache.context == nullptr) {
        cache.context =
            AllocSetContextCreate(TopMemoryContext, "anomaly_detect models", ALLOCSET_SMALL_SIZES);
    }
    const bytea* data = fetch_bytes(version, schema);
    // under the current context until the model is complete: an error then frees what there is
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "anomaly_detect model", ALLOCSET_SMALL_SIZES);
    const std::string_view bytes(VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
    auto* entry = static_cast<CachedModel*>(MemoryContextAllocZero(context, sizeof(CachedModel)));
    strlcpy(entry->model_id, version.model_id, kMaxModelId);
    entry->created_at = version.created_at;
    entry->owner = version.owner;
    entry->context = context;
    ErrorContextCallback callback{error_context_stack, name_model, const_cast<Version*>(&version)};
    error_context_stack = &callback;
    entry->model = own<Model>(context, [&] { return Model::load(bytes); });
    error_context_stack = callback.previous;
    entry->bytes = entry->model->memory_bytes();
    MemoryContextSetParent(context, cache.context);
    cache.bytes += entry->bytes;
    entry->next = cache.first;
    cache.first = entry;
    return entry;
}

}  // namespace

SnapshotMark mark_snapshot() {
    const Snapshot snapshot = GetActiveSnapshot();
    return {snapshot->xmin,
            snapshot->xmax,
            snapshot->xcnt + static_cast<std::uint32_t>(snapshot->subxcnt),
            snapshot->curcid,
            GetUserId(),
            ends};
}

bool same_snapshot(const SnapshotMark& a, const SnapshotMark& b) {
    return a.xmin == b.xmin && a.xmax == b.xmax && a.running == b.running &&
           a.command == b.command && a.user == b.user && a.ends == b.ends;
}

void watch_transactions() {
    RegisterXactCallback(at_transaction_end, nullptr);
    RegisterSubXactCallback(at_subtransaction_end, nullptr);
}

CachedModel* pin_model(const char* reference, Oid schema, MemoryContext holder) {
    auto* callback = static_cast<MemoryContextCallback*>(
        MemoryContextAllocZero(holder, sizeof(MemoryContextCallback)));
    const char* quoted = quote_identifier(get_namespace_name(schema));
    SPI_connect();
    const Version version = resolve(reference, quoted);
    CachedModel* entry = find(version);
    if (entry == nullptr) entry = load(version, quoted);
    SPI_finish();
    ++entry->pins;
    callback->func = unpin;
    callback->arg = entry;
    MemoryContextRegisterResetCallback(holder, callback);
    shrink_cache(static_cast<std::size_t>(settings.model_cache_size) * 1024);
    return entry;
}

}  // namespace ad::pg
