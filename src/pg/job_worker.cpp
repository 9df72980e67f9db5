// The worker: one process for one run, logged in as the owner of the job. It calls one procedure.
#include "jobs.hpp"

extern "C" {
#include "access/xact.h"
#include "commands/dbcommands.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
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

/// The call, once it is known that the extension is there.
const char* find_procedure(int64 job_id) {
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
    const char* call = find_procedure(assignment.job_id);
    if (call != nullptr) call_procedure(call);
}
}
