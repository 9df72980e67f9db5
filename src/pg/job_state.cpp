// What the processes of the scheduler know of each other, in shared memory.
#include "jobs.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"
}

namespace ad::pg {

namespace {

constexpr int kEntries = 1024;

struct Shared {
    slock_t mutex;
    int launcher;
    Latch* launcher_latch;
    std::uint32_t changes;
    bool out_of_slots;
    SchedulerEntry entries[kEntries];
};

Shared* shared;
shmem_request_hook_type previous_request_hook;
shmem_startup_hook_type previous_startup_hook;

void request_memory() {
    if (previous_request_hook != nullptr) previous_request_hook();
    RequestAddinShmemSpace(sizeof(Shared));
}

void make_memory() {
    if (previous_startup_hook != nullptr) previous_startup_hook();
    bool found = false;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    shared = static_cast<Shared*>(ShmemInitStruct("anomaly_detect", sizeof(Shared), &found));
    if (!found) {
        memset(shared, 0, sizeof(Shared));
        SpinLockInit(&shared->mutex);
    }
    LWLockRelease(AddinShmemInitLock);
}

/// The entry of a database, or else one that nobody needs; null if there is none. Under the mutex.
SchedulerEntry* entry_of(Oid database) {
    SchedulerEntry* free = nullptr;
    for (SchedulerEntry& entry : shared->entries) {
        if (entry.database == database) return &entry;
        if (entry.pid == 0 && (free == nullptr || entry.database == InvalidOid)) free = &entry;
    }
    return free;
}

void forget_launcher(int, Datum) {
    SpinLockAcquire(&shared->mutex);
    shared->launcher = 0;
    shared->launcher_latch = nullptr;
    SpinLockRelease(&shared->mutex);
}

void forget_scheduler(int, Datum) {
    SpinLockAcquire(&shared->mutex);
    SchedulerEntry* entry = entry_of(MyDatabaseId);
    if (entry != nullptr && entry->pid == MyProcPid) {
        entry->pid = 0;
        entry->latch = nullptr;
    }
    SpinLockRelease(&shared->mutex);
    wake_launcher();
}

/// Set by _ad_wake_scheduler for the end of the transaction.
struct Wake {
    bool wanted;
    bool watched;
};
Wake wake;

void at_transaction_end(XactEvent event, void*) {
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT) return;
    if (event == XACT_EVENT_COMMIT && wake.wanted) {
        SpinLockAcquire(&shared->mutex);
        ++shared->changes;
        const SchedulerEntry* entry = entry_of(MyDatabaseId);
        const bool there = entry != nullptr && entry->database == MyDatabaseId && entry->pid != 0;
        Latch* latch = there ? entry->latch : nullptr;
        SpinLockRelease(&shared->mutex);
        if (latch != nullptr) SetLatch(latch);
        wake_launcher();
    }
    wake.wanted = false;
}

}  // namespace

void prepare_scheduling() {
    if (!process_shared_preload_libraries_in_progress) return;
    previous_request_hook = shmem_request_hook;
    shmem_request_hook = request_memory;
    previous_startup_hook = shmem_startup_hook;
    shmem_startup_hook = make_memory;
    if (IsBinaryUpgrade) return;
    constexpr int kRestartSeconds = 1;
    BackgroundWorker worker = make_worker("anomaly_detect launcher", "_ad_launcher_main");
    worker.bgw_restart_time = kRestartSeconds;
    RegisterBackgroundWorker(&worker);
}

bool scheduling_is_prepared() { return shared != nullptr; }

void announce_launcher() {
    before_shmem_exit(forget_launcher, 0);
    SpinLockAcquire(&shared->mutex);
    shared->launcher = MyProcPid;
    shared->launcher_latch = &MyProc->procLatch;
    SpinLockRelease(&shared->mutex);
}

bool announce_scheduler() {
    SpinLockAcquire(&shared->mutex);
    SchedulerEntry* entry = entry_of(MyDatabaseId);
    const bool alone = entry != nullptr && entry->pid == 0;
    if (alone) *entry = {MyDatabaseId, MyProcPid, &MyProc->procLatch, false};
    SpinLockRelease(&shared->mutex);
    if (alone) before_shmem_exit(forget_scheduler, 0);
    return alone;
}

void announce_absence() {
    SpinLockAcquire(&shared->mutex);
    SchedulerEntry* entry = entry_of(MyDatabaseId);
    if (entry != nullptr && entry->pid == MyProcPid) entry->absent = true;
    SpinLockRelease(&shared->mutex);
}

void announce_slots(bool out_of_slots) {
    SpinLockAcquire(&shared->mutex);
    shared->out_of_slots = out_of_slots;
    SpinLockRelease(&shared->mutex);
}

std::uint32_t count_changes() {
    SpinLockAcquire(&shared->mutex);
    const std::uint32_t changes = shared->changes;
    SpinLockRelease(&shared->mutex);
    return changes;
}

SchedulerEntry find_scheduler(Oid database) {
    SchedulerEntry found = {InvalidOid, 0, nullptr, false};
    SpinLockAcquire(&shared->mutex);
    const SchedulerEntry* entry = entry_of(database);
    if (entry != nullptr && entry->database == database) found = *entry;
    SpinLockRelease(&shared->mutex);
    return found;
}

void wake_launcher() {
    SpinLockAcquire(&shared->mutex);
    Latch* latch = shared->launcher_latch;
    SpinLockRelease(&shared->mutex);
    if (latch != nullptr) SetLatch(latch);
}

BackgroundWorker make_worker(const char* type, const char* main_function) {
    BackgroundWorker worker;
    memset(&worker, 0, sizeof(worker));
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    strlcpy(worker.bgw_library_name, "anomaly_detect", BGW_MAXLEN);
    strlcpy(worker.bgw_function_name, main_function, BGW_MAXLEN);
    strlcpy(worker.bgw_name, type, BGW_MAXLEN);
    strlcpy(worker.bgw_type, type, BGW_MAXLEN);
    worker.bgw_notify_pid = 0;
    return worker;
}

void handle_signals() {
    CHECK_FOR_INTERRUPTS();
    if (!ConfigReloadPending) return;
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
}

bool sleep_for(long milliseconds) {
    const int events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                                 milliseconds, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    return (events & WL_LATCH_SET) != 0;
}

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

/// _ad_wake_scheduler() RETURNS void
PG_FUNCTION_INFO_V1(_ad_wake_scheduler);
PGDLLEXPORT Datum _ad_wake_scheduler(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    if (shared == nullptr) PG_RETURN_VOID();
    if (!wake.watched) RegisterXactCallback(at_transaction_end, nullptr);
    wake = {true, true};
    PG_RETURN_VOID();
}

/// _ad_scheduler_state(OUT preloaded boolean, OUT launcher integer, OUT scheduler integer,
///                     OUT out_of_slots boolean)
PG_FUNCTION_INFO_V1(_ad_scheduler_state);
PGDLLEXPORT Datum _ad_scheduler_state(PG_FUNCTION_ARGS) {
    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE) {
        elog(ERROR, "return type must be a row type");
    }
    int launcher = 0;
    int scheduler = 0;
    bool out_of_slots = false;
    if (shared != nullptr) {
        scheduler = find_scheduler(MyDatabaseId).pid;
        SpinLockAcquire(&shared->mutex);
        launcher = shared->launcher;
        out_of_slots = shared->out_of_slots;
        SpinLockRelease(&shared->mutex);
    }
    Datum values[] = {BoolGetDatum(shared != nullptr), Int32GetDatum(launcher),
                      Int32GetDatum(scheduler), BoolGetDatum(out_of_slots)};
    bool nulls[] = {false, launcher == 0, scheduler == 0, false};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}
}
