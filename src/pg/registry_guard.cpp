// The trigger on model_registry. Row-level security shows a role its own models only, and a
// transaction those that its snapshot sees, so that neither can tell whether a name is taken: this
// looks with the rights of the table's owner at what is there now, as a foreign key does.
#include "module.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
}

namespace ad::pg {

namespace {

/// The columns of a new row that the query below compares, in the order of its parameters.
constexpr const char* kColumns[] = {"name", "owner", "model_id", "aliases"};
constexpr Oid kTypes[] = {TEXTOID, OIDOID, TEXTOID, TEXTARRAYOID};
constexpr int kCount = lengthof(kColumns);

/// Whether a version in the way belongs to another role; no row if none is.
SPIPlanPtr prepare_search(Relation registry) {
    const char* schema = quote_identifier(get_namespace_name(RelationGetNamespace(registry)));
    const char* query = psprintf(
        "SELECT owner OPERATOR(pg_catalog.<>) $2 FROM %s.%s WHERE name OPERATOR(pg_catalog.=) $1"
        " AND (owner OPERATOR(pg_catalog.<>) $2 OR (model_id OPERATOR(pg_catalog.<>) $3"
        " AND aliases OPERATOR(pg_catalog.&&) $4)) ORDER BY 1 DESC",
        schema, quote_identifier(RelationGetRelationName(registry)));
    SPIPlanPtr plan = SPI_prepare(query, kCount, const_cast<Oid*>(kTypes));
    if (plan == nullptr) elog(ERROR, "could not prepare to read the model registry");
    return plan;
}

/// Whoever adds a version of the same name comes before or after.
void lock_name(Relation registry, Datum name) {
    const char* query =
        psprintf("SELECT %s._ad_lock_name($1)",
                 quote_identifier(get_namespace_name(RelationGetNamespace(registry))));
    Oid type = TEXTOID;
    if (SPI_execute_with_args(query, 1, &type, &name, nullptr, false, 1) != SPI_OK_SELECT) {
        elog(ERROR, "could not lock a model name");
    }
}

void require_free(Relation registry, Datum* values) {
    lock_name(registry, values[0]);
    const SPIPlanPtr plan = prepare_search(registry);
    if (SPI_execute_snapshot(plan, values, nullptr, GetLatestSnapshot(), InvalidSnapshot, true,
                             false, 1) != SPI_OK_SELECT) {
        elog(ERROR, "could not read the model registry");
    }
    if (SPI_processed == 0) return;
    bool isnull;
    if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull))) {
        ereport(
            ERROR, errcode(ERRCODE_DUPLICATE_OBJECT),
            errmsg("model name \"%s\" is in use by another role", TextDatumGetCString(values[0])),
            errhint("Choose another name."));
    }
    ereport(ERROR, errcode(ERRCODE_DUPLICATE_OBJECT),
            errmsg("an alias of model \"%s\" belongs to another version",
                   TextDatumGetCString(values[2])),
            errhint("ad_set_alias moves an alias."));
}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

/// _ad_check_version() RETURNS trigger: the versions of a name belong to one role, and an alias to
/// one of them. Those who see every row see it for themselves, and restore dumps.
PG_FUNCTION_INFO_V1(_ad_check_version);
PGDLLEXPORT Datum _ad_check_version(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo)) elog(ERROR, "_ad_check_version is a trigger");
    const auto* trigger = reinterpret_cast<const TriggerData*>(fcinfo->context);
    Relation registry = trigger->tg_relation;
    HeapTuple row =
        TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? trigger->tg_trigtuple : trigger->tg_newtuple;
    if (check_enable_rls(RelationGetRelid(registry), InvalidOid, true) != RLS_ENABLED) {
        return PointerGetDatum(row);
    }
    SPI_connect();
    Datum values[kCount];
    for (int c = 0; c < kCount; ++c) {
        const int attribute = SPI_fnumber(registry->rd_att, kColumns[c]);
        bool isnull;
        values[c] = SPI_getbinval(row, registry->rd_att, attribute, &isnull);
        if (isnull) {  // none of them may be; the table says so
            SPI_finish();
            return PointerGetDatum(row);
        }
    }
    Oid user;
    int security_context;
    GetUserIdAndSecContext(&user, &security_context);
    SetUserIdAndSecContext(registry->rd_rel->relowner,
                           security_context | SECURITY_LOCAL_USERID_CHANGE);
    require_free(registry, values);
    SetUserIdAndSecContext(user, security_context);
    SPI_finish();
    return PointerGetDatum(row);
}
}
