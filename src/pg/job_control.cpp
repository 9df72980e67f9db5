// Stopping and removing jobs, for whoever row-level security shows them to. Neither needs a
// privilege of his: one to end processes would be one for all of a role's, one to delete jobs one
// to lock them.
#include <csignal>

#include "module.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace ad::pg {

namespace {

const char* qualified_jobs(Oid schema) {
    return quote_qualified_identifier(get_namespace_name(schema), "anomaly_detection_jobs");
}

/// Runs a query about the job whose id is $1; the first column of its row, if there is one.
bool ask(const char* query, int64 job_id, int expected, Datum* found) {
    Oid type = INT8OID;
    Datum value = Int64GetDatum(job_id);
    if (SPI_execute_with_args(query, 1, &type, &value, nullptr, false, 1) != expected) {
        elog(ERROR, "could not look for job " INT64_FORMAT, job_id);
    }
    if (SPI_processed == 0) return false;
    bool isnull = true;
    if (found != nullptr) {
        *found = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
    }
    return found == nullptr || !isnull;
}

/// The process that runs a job that the current user sees; 0 if there is none.
int find_runner(Oid schema, int64 job_id) {
    const char* jobs = qualified_jobs(schema);
    const char* query = psprintf(
        "SELECT r.pid FROM %s._ad_running_jobs(%s::pg_catalog.regclass) r"
        " JOIN %s j ON j.id OPERATOR(pg_catalog.=) r.job_id"
        " WHERE j.id OPERATOR(pg_catalog.=) $1",
        quote_identifier(get_namespace_name(schema)), quote_literal_cstr(jobs), jobs);
    Datum pid = 0;
    SPI_connect();
    const int found = ask(query, job_id, SPI_OK_SELECT, &pid) ? DatumGetInt32(pid) : 0;
    SPI_finish();
    return found;
}

bool sees_job(Oid schema, int64 job_id) {
    const char* query =
        psprintf("SELECT FROM %s WHERE id OPERATOR(pg_catalog.=) $1", qualified_jobs(schema));
    SPI_connect();
    const bool found = ask(query, job_id, SPI_OK_SELECT, nullptr);
    SPI_finish();
    return found;
}

bool is_worker(const PGPROC* process) {
#if PG_VERSION_NUM >= 180000
    return !process->isRegularBackend;
#else
    return process->isBackgroundWorker;
#endif
}

Oid owner_of_table(Oid id) {
    Relation relation = table_open(id, RowExclusiveLock);
    const Oid owner = relation->rd_rel->relowner;
    table_close(relation, NoLock);
    return owner;
}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

/// _ad_stop_run(job_id bigint) RETURNS boolean
PG_FUNCTION_INFO_V1(_ad_stop_run);
PGDLLEXPORT Datum _ad_stop_run(PG_FUNCTION_ARGS) {
    const int pid = find_runner(extension_schema(fcinfo), PG_GETARG_INT64(0));
    const PGPROC* process = pid == 0 || pid == MyProcPid ? nullptr : BackendPidGetProc(pid);
    if (process == nullptr) PG_RETURN_BOOL(false);
    PG_RETURN_BOOL(kill(pid, is_worker(process) ? SIGTERM : SIGINT) == 0);
}

/// _ad_remove_job(job_id bigint) RETURNS boolean
PG_FUNCTION_INFO_V1(_ad_remove_job);
PGDLLEXPORT Datum _ad_remove_job(PG_FUNCTION_ARGS) {
    const int64 job_id = PG_GETARG_INT64(0);
    const Oid schema = extension_schema(fcinfo);
    if (!sees_job(schema, job_id)) PG_RETURN_BOOL(false);
    const char* query =
        psprintf("DELETE FROM %s WHERE id OPERATOR(pg_catalog.=) $1", qualified_jobs(schema));
    Oid user = InvalidOid;
    int context = 0;
    GetUserIdAndSecContext(&user, &context);
    SetUserIdAndSecContext(owner_of_table(get_relname_relid("anomaly_detection_jobs", schema)),
                           context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
    SPI_connect();
    const bool removed = ask(query, job_id, SPI_OK_DELETE, nullptr);
    SPI_finish();
    SetUserIdAndSecContext(user, context);
    PG_RETURN_BOOL(removed);
}
}
