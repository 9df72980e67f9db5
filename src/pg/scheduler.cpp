// The scheduler: one process for each database with the extension. It looks for jobs that are due,
// starts a worker for each, and sees to what a worker leaves that did not end well.
#include "jobs.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace ad::pg {

namespace {

constexpr const char* kVersion = "1.0";
constexpr int kRecheckMs = 10 * 1000;     ///< runs that nobody looks after
constexpr int kPruneMs = 10 * 60 * 1000;  ///< what is to be kept no longer
constexpr int kMaxDue = 1000;
constexpr int kMaxServed = 1000;
constexpr int kPortion = 10 * 1000;  ///< of what is pruned: as many, and there may be more
constexpr long kGlanceMs = 1000;     ///< who wants the database waits five seconds

/// A worker that this scheduler has started, or whose end it has still to see to.
struct Worker {
    int64 job_id;
    TimestampTz due;
    BackgroundWorkerHandle* handle;  ///< null: ended
};

struct Scheduler {
    Worker* workers;  ///< as many as the server can have
    int count;
    bool out_of_slots;
    TimestampTz checked;
    TimestampTz pruned;
    bool strange_version;
    long sleep;     ///< ms, until the next look
    Oid extension;  ///< as of the last look
    Oid* served;    ///< owners of jobs, in the order of their last runs
    int served_count;
};

struct DueJob {
    int64 job_id;
    Oid owner;
    TimestampTz due;
    double wait;  ///< ms until then
};

/// A transaction for queries. What a user holds locked must not hold the scheduler up.
void begin() {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    SPI_connect();
    PushActiveSnapshot(GetTransactionSnapshot());
    pgstat_report_activity(STATE_RUNNING, "looking for jobs that are due");
}

void commit() {
    PopActiveSnapshot();
    SPI_finish();
    CommitTransactionCommand();
    pgstat_report_stat(false);
    pgstat_report_activity(STATE_IDLE, nullptr);
}

/// Calls a function of ours. To be called between begin and commit.
void call(const char* schema, const char* function, int count, Oid* types, Datum* values) {
    const char* text = psprintf("SELECT * FROM %s.%s", quote_identifier(schema), function);
    if (SPI_execute_with_args(text, count, types, values, nullptr, false, kMaxDue) !=
        SPI_OK_SELECT) {
        elog(ERROR, "could not call %s", function);
    }
}

Datum id_array(const int64* ids, int count) {
    auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * static_cast<std::size_t>(count + 1)));
    for (int i = 0; i < count; ++i) values[i] = Int64GetDatum(ids[i]);
    return PointerGetDatum(
        construct_array(values, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum oid_array(const Oid* ids, int count) {
    auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * static_cast<std::size_t>(count + 1)));
    for (int i = 0; i < count; ++i) values[i] = ObjectIdGetDatum(ids[i]);
    return PointerGetDatum(construct_array(values, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

bool is_at_work(Scheduler* scheduler, int i) {
    Worker* worker = &scheduler->workers[i];
    if (worker->handle == nullptr) return false;
    pid_t pid = 0;
    if (GetBackgroundWorkerPid(worker->handle, &pid) != BGWH_STOPPED) return true;
    pfree(worker->handle);
    worker->handle = nullptr;
    return false;
}

/// Sees to workers that have ended.
void reap(Scheduler* scheduler, const char* schema) {
    int kept = 0;
    for (int i = 0; i < scheduler->count; ++i) {
        const Worker worker = scheduler->workers[i];
        if (!is_at_work(scheduler, i)) {
            Oid types[] = {INT8OID, TIMESTAMPTZOID};
            Datum values[] = {Int64GetDatum(worker.job_id), TimestampTzGetDatum(worker.due)};
            call(schema, "_ad_reap_job($1, $2)", 2, types, values);
        } else {
            scheduler->workers[kept++] = scheduler->workers[i];
        }
    }
    scheduler->count = kept;
}

/// Remembers whose turn it was, in memory, where nobody else can write.
void note_turn(Scheduler* scheduler, Oid owner) {
    int kept = 0;
    for (int i = 0; i < scheduler->served_count; ++i) {
        if (scheduler->served[i] != owner) scheduler->served[kept++] = scheduler->served[i];
    }
    if (kept == kMaxServed) {
        memmove(scheduler->served, scheduler->served + 1, sizeof(Oid) * (kMaxServed - 1));
        --kept;
    }
    scheduler->served[kept] = owner;
    scheduler->served_count = kept + 1;
}

bool start_worker(Scheduler* scheduler, const DueJob* job) {
    BackgroundWorker worker = make_worker("anomaly_detect job", "_ad_worker_main");
    snprintf(worker.bgw_name, BGW_MAXLEN, "anomaly_detect job " INT64_FORMAT, job->job_id);
    worker.bgw_notify_pid = MyProcPid;
    const JobAssignment assignment = {MyDatabaseId, job->owner, job->job_id};
    memcpy(worker.bgw_extra, &assignment, sizeof(assignment));
    BackgroundWorkerHandle* handle = nullptr;
    MemoryContext const previous = MemoryContextSwitchTo(TopMemoryContext);
    const bool started = RegisterDynamicBackgroundWorker(&worker, &handle);
    MemoryContextSwitchTo(previous);
    if (!started) return false;
    scheduler->workers[scheduler->count++] = {job->job_id, job->due, handle};
    note_turn(scheduler, job->owner);
    return true;
}

int find_due(const Scheduler* scheduler, const char* schema, DueJob* due) {
    auto* ids =
        static_cast<int64*>(palloc(sizeof(int64) * static_cast<std::size_t>(scheduler->count + 1)));
    for (int i = 0; i < scheduler->count; ++i) ids[i] = scheduler->workers[i].job_id;
    Oid types[] = {INT8ARRAYOID, OIDARRAYOID};
    Datum values[] = {id_array(ids, scheduler->count),
                      oid_array(scheduler->served, scheduler->served_count)};
    call(schema, "_ad_due_jobs($1, $2)", 2, types, values);
    const TupleDesc descriptor = SPI_tuptable->tupdesc;
    const int count = static_cast<int>(SPI_processed);
    for (int i = 0; i < count; ++i) {
        const HeapTuple tuple = SPI_tuptable->vals[i];
        bool isnull = false;
        due[i].job_id = DatumGetInt64(SPI_getbinval(tuple, descriptor, 1, &isnull));
        due[i].owner = DatumGetObjectId(SPI_getbinval(tuple, descriptor, 2, &isnull));
        due[i].due = DatumGetTimestampTz(SPI_getbinval(tuple, descriptor, 3, &isnull));
        due[i].wait = DatumGetFloat8(SPI_getbinval(tuple, descriptor, 4, &isnull));
    }
    return count;
}

/// Says why jobs wait, in their rows; and in the log when it begins.
void hold(Scheduler* scheduler, const char* schema, const DueJob* due, int count,
          bool out_of_slots) {
    if (out_of_slots && !scheduler->out_of_slots) {
        ereport(WARNING,
                errmsg("anomaly_detect: %d jobs wait: no background worker is free", count),
                errhint("Increase max_worker_processes."));
    }
    scheduler->out_of_slots = out_of_slots;
    if (count == 0) return;
    auto* ids = static_cast<int64*>(palloc(sizeof(int64) * static_cast<std::size_t>(count)));
    for (int i = 0; i < count; ++i) ids[i] = due[i].job_id;
    Oid types[] = {TEXTOID, INT8ARRAYOID};
    Datum values[] = {
        CStringGetTextDatum(out_of_slots ? "no background worker is free (max_worker_processes)"
                                         : "anomaly_detect.max_running_jobs is reached"),
        id_array(ids, count)};
    call(schema, "_ad_hold_jobs($1, $2)", 2, types, values);
}

void start_due(Scheduler* scheduler, const char* schema) {
    if (!job_settings.launch_active_jobs) return;
    auto* due = static_cast<DueJob*>(palloc(sizeof(DueJob) * kMaxDue));
    const int listed = find_due(scheduler, schema, due);
    int count = 0;
    while (count < listed && due[count].wait <= 0) ++count;
    if (count < listed && due[count].wait < static_cast<double>(scheduler->sleep)) {
        scheduler->sleep = static_cast<long>(due[count].wait) + 1;
    }
    const int places = job_settings.max_running_jobs < max_worker_processes
                           ? job_settings.max_running_jobs
                           : max_worker_processes;
    int started = 0;
    bool out_of_slots = false;
    while (started < count && scheduler->count < places) {
        if (!start_worker(scheduler, &due[started])) {
            out_of_slots = true;
            break;
        }
        ++started;
    }
    hold(scheduler, schema, due + started, count - started, out_of_slots);
}

/// Deletes a portion of what is to be kept no longer; how many rows.
int64 prune(const char* schema) {
    call(schema, "_ad_prune_history()", 0, nullptr, nullptr);
    bool isnull = false;
    return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/// Does what is due, not each time but after a while.
void look_after(Scheduler* scheduler, const char* schema) {
    const TimestampTz now = GetCurrentTimestamp();
    if (TimestampDifferenceExceeds(scheduler->checked, now, kRecheckMs)) {
        scheduler->checked = now;
        call(schema, "_ad_reap_all()", 0, nullptr, nullptr);
    }
    if (TimestampDifferenceExceeds(scheduler->pruned, now, kPruneMs)) {
        if (prune(schema) < kPortion) scheduler->pruned = now;
    }
}

/// Whether somebody wants the database for himself: to drop it, to rename it, to copy it. Who does
/// holds a lock on it, and waits a few seconds for others to leave.
bool is_in_the_way() {
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
    if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL) return true;
    LockRelease(&tag, RowExclusiveLock, false);
    return false;
}

/// Ends the runs of this scheduler; they continue later.
void stop_workers(Scheduler* scheduler, const char* reason) {
    for (int i = 0; i < scheduler->count; ++i) {
        if (!is_at_work(scheduler, i)) continue;
        ereport(LOG, errmsg("anomaly_detect: the run of job " INT64_FORMAT " is ended: %s",
                            scheduler->workers[i].job_id, reason));
        TerminateBackgroundWorker(scheduler->workers[i].handle);
    }
}

[[noreturn]] void leave(Scheduler* scheduler) {
    ereport(
        LOG,
        errmsg(
            "anomaly_detect scheduler leaves database %u, which another session wants for itself",
            MyDatabaseId));
    stop_workers(scheduler, "another session wants the database for itself");
    proc_exit(0);
}

/// Runs that go on come to their end.
void leave_unwanted() {
    if (is_wanted(get_database_name(MyDatabaseId))) return;
    ereport(LOG, errmsg("anomaly_detect scheduler leaves database %u, which is not in"
                        " anomaly_detect.databases any more",
                        MyDatabaseId));
    proc_exit(0);
}

/// An upgrade of the files comes before ALTER EXTENSION UPDATE; in between, nothing is run.
void report_version(Scheduler* scheduler, const char* version) {
    const bool strange = strcmp(version, kVersion) != 0;
    if (strange && !scheduler->strange_version) {
        ereport(WARNING,
                errmsg("anomaly_detect runs no jobs in this database: the extension has version "
                       "%s, the library %s",
                       version, kVersion),
                errhint("Use ALTER EXTENSION anomaly_detect UPDATE."));
    }
    scheduler->strange_version = strange;
}

/// One look at everything; false if the extension is not there.
bool look(Scheduler* scheduler) {
    begin();
    if (is_in_the_way()) leave(scheduler);
    leave_unwanted();
    scheduler->sleep = job_settings.poll_interval;
    const Extension extension = find_extension();
    scheduler->extension = extension.id;
    if (extension.version != nullptr) report_version(scheduler, extension.version);
    if (extension.version != nullptr && !lock_extension(extension.id, false)) {
        stop_workers(scheduler, "another session wants to drop the extension");
    } else if (extension.schema != nullptr) {
        reap(scheduler, extension.schema);
        start_due(scheduler, extension.schema);
        look_after(scheduler, extension.schema);
    }
    const bool there = extension.version != nullptr;
    commit();
    return there;
}

/// Whether somebody waits for this process, or for its workers.
bool is_waited_for(const Scheduler* scheduler) {
    StartTransactionCommand();
    const bool waited = is_in_the_way() || !lock_extension(scheduler->extension, false);
    CommitTransactionCommand();
    return waited;
}

/// Sleeps until the next look, but not so deeply that others would have to wait for it.
void rest(const Scheduler* scheduler) {
    for (long left = scheduler->sleep; left > 0; left -= kGlanceMs) {
        if (sleep_for(left < kGlanceMs ? left : kGlanceMs)) return;
        if (left > kGlanceMs && is_waited_for(scheduler)) return;
    }
}

void set_up() {
    const auto set = [](const char* name, const char* value) {
        SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
    };
    set("search_path", "pg_catalog, pg_temp");
    set("default_transaction_read_only", "off");
    set("synchronous_commit", "local");  // a standby that hangs holds nothing up here
    set("lock_timeout", "2s");
    set("statement_timeout", "0");
}

}  // namespace

Extension find_extension() {
    Extension found = {InvalidOid, nullptr, nullptr};
    Relation relation = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
                CStringGetDatum("anomaly_detect"));
    SysScanDesc scan = systable_beginscan(relation, ExtensionNameIndexId, true, nullptr, 1, &key);
    const HeapTuple tuple = systable_getnext(scan);
    if (HeapTupleIsValid(tuple)) {
        bool isnull = false;
        found.id = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->oid;
        found.version = TextDatumGetCString(
            heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(relation), &isnull));
        if (strcmp(found.version, kVersion) == 0) {
            found.schema = get_namespace_name(
                reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extnamespace);
        }
    }
    systable_endscan(scan);
    table_close(relation, AccessShareLock);
    return found;
}

namespace {

LOCKTAG extension_lock(Oid id) {
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, id, 0);
    return tag;
}

}  // namespace

void unlock_extension(Oid id) {
    const LOCKTAG tag = extension_lock(id);
    LockRelease(&tag, AccessShareLock, true);
}

bool lock_extension(Oid id, bool for_session) {
    const LOCKTAG tag = extension_lock(id);
    return LockAcquire(&tag, AccessShareLock, for_session, true) != LOCKACQUIRE_NOT_AVAIL;
}

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

PGDLLEXPORT void _ad_scheduler_main(Datum database) {
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
    pgstat_report_appname(MyBgworkerEntry->bgw_name);
    if (!announce_scheduler()) proc_exit(0);
    set_up();
    Scheduler scheduler = {};
    scheduler.workers = static_cast<Worker*>(MemoryContextAlloc(
        TopMemoryContext, sizeof(Worker) * static_cast<std::size_t>(max_worker_processes)));
    scheduler.served =
        static_cast<Oid*>(MemoryContextAlloc(TopMemoryContext, sizeof(Oid) * kMaxServed));
    for (;;) {
        handle_signals();
        if (!look(&scheduler)) {
            announce_absence();
            proc_exit(0);
        }
        rest(&scheduler);
    }
}
}
