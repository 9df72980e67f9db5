#include <climits>

#include "jobs.hpp"

extern "C" {
#include "utils/varlena.h"
}

namespace ad::pg {

JobSettings job_settings;

namespace {

constexpr int kSecondsPerHour = 3600;
constexpr int kMinutesPerDay = 24 * 60;
constexpr int kMostJobs = 10000;

/// The names in the list; false if it is no list.
bool split_names(const char* databases, List** names) {
    return SplitGUCList(pstrdup(databases), ',', names);
}

bool check_databases(char** value, void**, GucSource) {
    List* names = NIL;
    if (split_names(*value, &names)) return true;
    GUC_check_errdetail("List syntax is invalid.");
    return false;
}

void define_scheduler_settings() {
    DefineCustomStringVariable(
        "anomaly_detect.databases", "Databases whose jobs are run, separated by commas.",
        "Empty stands for all that have the extension.", &job_settings.databases, "", PGC_SIGHUP,
        GUC_LIST_INPUT, check_databases, nullptr, nullptr);
    DefineCustomBoolVariable("anomaly_detect.launch_active_jobs", "Whether jobs are run.", nullptr,
                             &job_settings.launch_active_jobs, true, PGC_SIGHUP, 0, nullptr,
                             nullptr, nullptr);
    DefineCustomIntVariable(
        "anomaly_detect.max_running_jobs", "Jobs of a database that run at the same time.",
        "Each takes one of max_worker_processes.", &job_settings.max_running_jobs, 4, 1, kMostJobs,
        PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("anomaly_detect.poll_interval",
                            "Time after which the scheduler looks for what nobody told it.",
                            nullptr, &job_settings.poll_interval, 1000, 100, 60 * 1000, PGC_SIGHUP,
                            GUC_UNIT_MS, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("anomaly_detect.enable_superuser_jobs",
                             "Whether jobs that belong to superusers are run.", nullptr,
                             &job_settings.enable_superuser_jobs, false, PGC_SIGHUP, 0, nullptr,
                             nullptr, nullptr);
    DefineCustomIntVariable("anomaly_detect.run_history_retention",
                            "Age at which runs of jobs are deleted; 0 keeps them.", nullptr,
                            &job_settings.run_history_retention, 30 * kMinutesPerDay, 0, INT_MAX,
                            PGC_SIGHUP, GUC_UNIT_MIN, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("anomaly_detect.results_retention",
                            "Age at which results are deleted; 0 keeps them.", nullptr,
                            &job_settings.results_retention, 0, 0, INT_MAX, PGC_SIGHUP,
                            GUC_UNIT_MIN, nullptr, nullptr, nullptr);
    DefineCustomStringVariable("anomaly_detect.mock_clock",
                               "Time that jobs take for the present one, in tests.", nullptr,
                               &job_settings.mock_clock, "", PGC_SUSET,
                               GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL, nullptr, nullptr, nullptr);
}

void define_run_settings() {
    DefineCustomIntVariable("anomaly_detect.job_timeout",
                            "Time after which a run is ended whose job does not say.",
                            "0 stands for no limit.", &job_settings.job_timeout, kSecondsPerHour, 0,
                            INT_MAX, PGC_USERSET, GUC_UNIT_S, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("anomaly_detect.max_retries",
                            "Times that a failed run is repeated whose job does not say.", nullptr,
                            &job_settings.max_retries, 3, 0, INT_MAX, PGC_USERSET, 0, nullptr,
                            nullptr, nullptr);
    DefineCustomIntVariable("anomaly_detect.retry_period",
                            "Time until a failed run is repeated; doubles with each failure.",
                            nullptr, &job_settings.retry_period, 60, 0, INT_MAX, PGC_USERSET,
                            GUC_UNIT_S, nullptr, nullptr, nullptr);
    DefineCustomStringVariable("anomaly_detect.notify_channel",
                               "Channel on which alerts are notified of; empty for none.", nullptr,
                               &job_settings.notify_channel, "anomaly_detect", PGC_USERSET, 0,
                               nullptr, nullptr, nullptr);
}

}  // namespace

bool is_wanted(const char* database) {
    List* names = NIL;
    split_names(job_settings.databases, &names);
    ListCell* cell = nullptr;
    foreach (cell, names) {
        if (strcmp(static_cast<const char*>(lfirst(cell)), database) == 0) return true;
    }
    return names == NIL;
}

void define_job_settings() {
    define_scheduler_settings();
    define_run_settings();
}

}  // namespace ad::pg
