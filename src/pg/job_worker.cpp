// The worker: one process for one run, logged in as the owner of the job. It calls one procedure.
#include "jobs.hpp"

extern "C" {
#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
}

namespace ad::pg {

namespace {

/// Runs a CALL as a client's would be, so that the procedure may commit.
void call_procedure(const char* call) {
    MessageContext =
        AllocSetContextCreate(TopMemoryContext, "MessageContext", ALLOCSET_DEFAULT_SIZES);
    debug_query_string = call;
    pgstat_report_activity(STATE_RUNNING, call);
    StartTransactionCommand();
    MemoryContextSwitchTo(MessageContext);  // outlives the commits
    auto* raw = linitial_node(RawStmt, pg_parse_query(call));
    PushActiveSnapshot(GetTransactionSnapshot());
    List* queries = pg_analyze_and_rewrite_fixedparams(raw, call, nullptr, 0, nullptr);
    List* plans = pg_plan_queries(queries, call, 0, nullptr);
    PopActiveSnapshot();
    Portal portal = CreatePortal("", true, true);
    portal->visible = false;
    PortalDefineQuery(portal, nullptr, call, CreateCommandTag(raw->stmt), plans, nullptr);
    PortalStart(portal, nullptr, 0, InvalidSnapshot);
    DestReceiver* receiver = CreateDestReceiver(DestNone);
    PortalRun(portal, FETCH_ALL, true, true, receiver, receiver, nullptr);
    receiver->rDestroy(receiver);
    PortalDrop(portal, false);
    CommitTransactionCommand();
    pgstat_report_activity(STATE_IDLE, nullptr);
}

/// Set in a worker only.
struct Ender {
    bool prepared;
    TimeoutId timeout;
};
Ender ender;

/// As a signal from pg_terminate_backend.
void end_now() {
    InterruptPending = 1;
    ProcDiePending = 1;
    SetLatch(MyLatch);
}

/// What the owner may have set for himself, and a run cannot do with.
void set_up() {
    ender = {true, RegisterTimeout(USER_TIMEOUT, end_now)};
    SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_OVERRIDE);
    SetConfigOption("row_security", "on", PGC_USERSET, PGC_S_OVERRIDE);
}

/// The end of a session does not release what it has locked for itself outside of a transaction.
void let_go(int, Datum extension) { unlock_extension(DatumGetObjectId(extension)); }

/// Keeps DROP EXTENSION, which would deadlock with a run, until the end of this process; false if
/// there is nothing to keep.
bool keep_extension() {
    StartTransactionCommand();
    const Extension extension = find_extension();
    const bool kept = extension.version != nullptr && lock_extension(extension.id, true);
    CommitTransactionCommand();
    if (kept) before_shmem_exit(let_go, ObjectIdGetDatum(extension.id));
    return kept;
}

/// The call, once it is known that the extension is there.
const char* find_procedure(int64 job_id) {
    if (!keep_extension()) return nullptr;
    StartTransactionCommand();
    const char* schema = find_extension().schema;
    const char* call = nullptr;
    if (schema != nullptr) {
        MemoryContext const previous = MemoryContextSwitchTo(TopMemoryContext);
        call = psprintf("CALL %s._ad_run_job(" INT64_FORMAT ")", quote_identifier(schema), job_id);
        MemoryContextSwitchTo(previous);
    }
    CommitTransactionCommand();
    return call;
}

}  // namespace

void end_worker_at(TimestampTz time) {
    if (!ender.prepared) return;
    if (!get_timeout_active(ender.timeout) || get_timeout_finish_time(ender.timeout) > time) {
        enable_timeout_at(ender.timeout, time);
    }
}

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

PGDLLEXPORT void _ad_worker_main(Datum) {
    JobAssignment assignment;
    memcpy(&assignment, MyBgworkerEntry->bgw_extra, sizeof(assignment));
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(assignment.database, assignment.owner, 0);
    pgstat_report_appname(MyBgworkerEntry->bgw_name);
    set_up();
    const char* call = find_procedure(assignment.job_id);
    if (call != nullptr) call_procedure(call);
}
}
