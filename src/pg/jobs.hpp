// The processes of the scheduler. One launcher for the server keeps one scheduler in each database
// that has the extension; a scheduler starts one worker for each run that is due. What a run does
// is SQL.
#pragma once

#include "module.hpp"

extern "C" {
#include "postmaster/bgworker.h"
#include "storage/latch.h"
}

namespace ad::pg {

struct JobSettings {
    char* databases;  ///< names; empty: all
    bool launch_active_jobs;
    int max_running_jobs;
    int poll_interval;  ///< ms
    int job_timeout;    ///< s; 0: none
    int max_retries;
    int retry_period;           ///< s
    int run_history_retention;  ///< minutes; 0: for ever
    int results_retention;      ///< minutes; 0: for ever
    bool enable_superuser_jobs;
    char* notify_channel;
    char* mock_clock;  ///< of tests; empty: the real one
};
extern JobSettings job_settings;

void define_job_settings();

/// Whether anomaly_detect.databases has a database.
bool is_wanted(const char* database);

/// Called when the library is loaded: where that is by shared_preload_libraries, there will be
/// jobs.
void prepare_scheduling();

/// What a scheduler tells the launcher. Survives the scheduler.
struct SchedulerEntry {
    Oid database;
    int pid;  ///< 0: none
    Latch* latch;
    bool absent;  ///< ended because the database does not have the extension
};

/// Whether anything was prepared.
bool scheduling_is_prepared();

/// The launcher and the schedulers say that they are there, until they end.
void announce_launcher();
/// False if there is another one.
bool announce_scheduler();
void announce_absence();
/// The launcher says whether it finds a free process for a scheduler.
void announce_slots(bool out_of_slots);

/// Counts what might be news to the launcher: extensions made, jobs made.
std::uint32_t count_changes();
/// What is known of the scheduler of a database; zeros if nothing is.
SchedulerEntry find_scheduler(Oid database);
void wake_launcher();

/// A worker as all of ours are: never restarted by the postmaster, of this library.
BackgroundWorker make_worker(const char* type, const char* main_function);

/// Handles what may have come in while a process slept: its end, new settings.
void handle_signals();
/// Sleeps until something comes in; false if nothing does.
bool sleep_for(long milliseconds);

/// Has this process end at a time, if it is a worker, whatever it is at: what a user wrote may
/// catch the cancellation that comes before.
void end_worker_at(TimestampTz time);

/// What a scheduler tells its worker.
struct JobAssignment {
    Oid database;
    Oid owner;
    std::int64_t job_id;
};
static_assert(sizeof(JobAssignment) <= BGW_EXTRALEN);

/// The extension in this database. To be looked up in a transaction.
struct Extension {
    Oid id;
    const char* version;  ///< null: it is not there
    const char* schema;   ///< null, too, if this library does not know the version
};
Extension find_extension();

/// Locks the extension against DROP EXTENSION, whose first lock it is; false if somebody holds it
/// or waits for it. For the session, or for the transaction.
bool lock_extension(Oid id, bool for_session);
void unlock_extension(Oid id);

}  // namespace ad::pg
