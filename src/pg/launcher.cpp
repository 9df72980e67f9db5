// The launcher: one process for the server, connected to no database. It starts a scheduler
// wherever the extension may be, and again when one has ended.
#include "jobs.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace ad::pg {

namespace {

/// What the launcher remembers of a database.
struct Known {
    Oid database;
    TimestampTz started;  ///< when a scheduler was last started
    std::uint32_t changes;
    BackgroundWorkerHandle* handle;
    bool listed;  ///< in pg_database, this time
};

/// A scheduler that ended comes back after a moment; where the extension was not found, after a
/// while, or when a transaction has said that there is something new.
constexpr int kRestartMs = 2000;
constexpr int kAbsentMs = 60 * 1000;

struct Launcher {
    Known* known;
    int count;
    int capacity;
    bool out_of_slots;
};

Known* remember(Launcher* launcher, Oid database) {
    for (int i = 0; i < launcher->count; ++i) {
        if (launcher->known[i].database == database) return &launcher->known[i];
    }
    if (launcher->count == launcher->capacity) {
        launcher->capacity *= 2;
        launcher->known = static_cast<Known*>(repalloc(
            launcher->known, sizeof(Known) * static_cast<std::size_t>(launcher->capacity)));
    }
    Known* added = &launcher->known[launcher->count++];
    *added = {database, 0, 0, nullptr, true};
    return added;
}

void forget_dropped(Launcher* launcher) {
    int kept = 0;
    for (int i = 0; i < launcher->count; ++i) {
        if (launcher->known[i].listed) {
            launcher->known[kept++] = launcher->known[i];
        } else if (launcher->known[i].handle != nullptr) {
            pfree(launcher->known[i].handle);
        }
    }
    launcher->count = kept;
}

/// Marks the databases that can be connected to and are wanted.
void list_databases(Launcher* launcher) {
    for (int i = 0; i < launcher->count; ++i) launcher->known[i].listed = false;
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    Relation relation = table_open(DatabaseRelationId, AccessShareLock);
    TableScanDesc scan = table_beginscan_catalog(relation, 0, nullptr);
    for (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection); tuple != nullptr;
         tuple = heap_getnext(scan, ForwardScanDirection)) {
        const auto* database = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
        if (!database->datallowconn || !is_wanted(NameStr(database->datname))) continue;
        MemoryContext const previous = MemoryContextSwitchTo(TopMemoryContext);
        remember(launcher, database->oid)->listed = true;
        MemoryContextSwitchTo(previous);
    }
    table_endscan(scan);
    table_close(relation, AccessShareLock);
    PopActiveSnapshot();
    CommitTransactionCommand();
    forget_dropped(launcher);
}

bool is_running(Known* known) {
    if (known->handle == nullptr) return false;
    pid_t pid = 0;
    if (GetBackgroundWorkerPid(known->handle, &pid) != BGWH_STOPPED) return true;
    pfree(known->handle);
    known->handle = nullptr;
    return false;
}

bool is_due(Known* known, TimestampTz now) {
    if (is_running(known)) return false;
    const SchedulerEntry entry = find_scheduler(known->database);
    if (entry.pid != 0) return false;  // of a launcher before this one
    if (known->started == 0 || (entry.absent && known->changes != count_changes())) return true;
    return TimestampDifferenceExceeds(known->started, now, entry.absent ? kAbsentMs : kRestartMs);
}

/// False if the server has no slot for another process.
bool start_scheduler(Known* known, TimestampTz now) {
    BackgroundWorker worker = make_worker("anomaly_detect scheduler", "_ad_scheduler_main");
    worker.bgw_main_arg = ObjectIdGetDatum(known->database);
    worker.bgw_notify_pid = MyProcPid;
    known->changes = count_changes();
    known->started = now;
    MemoryContext const previous = MemoryContextSwitchTo(TopMemoryContext);
    const bool started = RegisterDynamicBackgroundWorker(&worker, &known->handle);
    MemoryContextSwitchTo(previous);
    if (!started) known->handle = nullptr;
    return started;
}

void report_slots(Launcher* launcher, bool out_of_slots) {
    if (out_of_slots && !launcher->out_of_slots) {
        ereport(WARNING,
                errmsg("anomaly_detect cannot start a scheduler: no background worker is free"),
                errhint("Increase max_worker_processes."));
    }
    launcher->out_of_slots = out_of_slots;
    announce_slots(out_of_slots);
}

/// Starts one scheduler at most: its end, or its first sleep, comes before the next.
void start_one(Launcher* launcher) {
    const TimestampTz now = GetCurrentTimestamp();
    for (int i = 0; i < launcher->count; ++i) {
        Known* known = &launcher->known[i];
        if (!is_due(known, now)) continue;
        const bool started = start_scheduler(known, now);
        report_slots(launcher, !started);
        if (!started) known->started = 0;
        return;
    }
}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

PGDLLEXPORT void _ad_launcher_main(Datum) {
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    announce_launcher();
    constexpr int kFirstCapacity = 16;
    Launcher launcher = {nullptr, 0, kFirstCapacity, false};
    launcher.known =
        static_cast<Known*>(MemoryContextAlloc(TopMemoryContext, sizeof(Known) * kFirstCapacity));
    ereport(LOG, errmsg("anomaly_detect launcher started"));
    for (;;) {
        handle_signals();
        list_databases(&launcher);
        start_one(&launcher);
        sleep_for(job_settings.poll_interval);
    }
}
}
