// The schedules of jobs, with the time zones of the server.
#include "core/schedule.hpp"

#include "module.hpp"

extern "C" {
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
}

namespace ad::pg {

namespace {

/// From 1970, where the core counts from, to 2000, where timestamps do.
constexpr int64 kEpochSeconds =
    static_cast<int64>(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;

/// Rounded down.
pg_time_t to_seconds(TimestampTz time) {
    if (TIMESTAMP_NOT_FINITE(time)) {
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("there is no next run after %s",
                       TIMESTAMP_IS_NOEND(time) ? "infinity" : "-infinity"));
    }
    return time / USECS_PER_SEC - (time % USECS_PER_SEC < 0 ? 1 : 0) + kEpochSeconds;
}

TimestampTz to_timestamp(pg_time_t instant) {
    const pg_time_t seconds = instant - kEpochSeconds;
    if (seconds >= END_TIMESTAMP / USECS_PER_SEC) {
        ereport(ERROR, errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
                errmsg("timestamp out of range"));
    }
    return seconds * USECS_PER_SEC;
}

/// A zone by name; null if there is none, or one with leap seconds, which timestamps do not have.
pg_tz* find_zone(const char* name) {
    if (name[0] == '\0') return nullptr;
    pg_tz* zone = pg_tzset(name);
    return zone != nullptr && pg_tz_acceptable(zone) ? zone : nullptr;
}

constexpr const char* kHint = "The view pg_timezone_names has the names.";

/// The zone of a schedule: as named, else anomaly_detect.timezone, else TimeZone.
const pg_tz* choose_zone(const char* name) {
    if (name == nullptr && settings.timezone[0] == '\0') return session_timezone;
    const char* chosen = name != nullptr ? name : settings.timezone;
    const pg_tz* zone = find_zone(chosen);
    if (zone == nullptr) {
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("time zone \"%s\" not recognized", chosen), errhint("%s", kHint));
    }
    return zone;
}

struct Zone {
    ZonePeriod* periods;
    std::size_t count;
};

/// The zone as Schedule::next wants it.
Zone describe(const pg_tz* zone, pg_time_t after) {
    constexpr std::size_t kFirstCapacity = 128;
    pg_time_t at = after - Schedule::kLookBack;
    const pg_tm* local = pg_localtime(&at, zone);
    if (local == nullptr) ereport(ERROR, errmsg_internal("no local time at " INT64_FORMAT, at));

    std::size_t capacity = kFirstCapacity;
    auto* periods = static_cast<ZonePeriod*>(palloc(capacity * sizeof(ZonePeriod)));
    std::size_t count = 0;
    periods[count++] = {at, local->tm_gmtoff};
    while (at < after + Schedule::kLookAhead) {
        long before_offset = 0;
        long offset = 0;
        int before_is_dst = 0;
        int is_dst = 0;
        if (pg_next_dst_boundary(&at, &before_offset, &before_is_dst, &at, &offset, &is_dst,
                                 zone) <= 0) {
            break;
        }
        if (count == capacity) {
            capacity *= 2;
            periods = static_cast<ZonePeriod*>(repalloc(periods, capacity * sizeof(ZonePeriod)));
        }
        periods[count++] = {at, offset};
    }
    return {periods, count};
}

}  // namespace

bool check_timezone(char** value, void** extra, GucSource source) {
    (void)extra;
    (void)source;
    if ((*value)[0] == '\0' || find_zone(*value) != nullptr) return true;
    GUC_check_errdetail("Time zone \"%s\" is not recognized.", *value);
    GUC_check_errhint("%s", kHint);
    return false;
}

}  // namespace ad::pg

extern "C" {

/// _ad_next_run(schedule text, timezone text, after timestamptz) RETURNS timestamptz: the first
/// run after an instant.
PG_FUNCTION_INFO_V1(_ad_next_run);
PGDLLEXPORT Datum _ad_next_run(PG_FUNCTION_ARGS) {
    if (PG_ARGISNULL(0) || PG_ARGISNULL(2)) {
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("%s must not be null", PG_ARGISNULL(0) ? "schedule" : "after"));
    }
    const char* schedule = ad::pg::to_utf8(text_to_cstring(PG_GETARG_TEXT_PP(0)));
    const char* name = PG_ARGISNULL(1) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(1));
    const pg_time_t after = ad::pg::to_seconds(PG_GETARG_TIMESTAMPTZ(2));
    const auto zone = ad::pg::describe(ad::pg::choose_zone(name), after);
    std::int64_t next = 0;
    ad::pg::run([&] {
        next = ad::Schedule::parse(schedule).next(after, {zone.periods, zone.count});
    });
    PG_RETURN_TIMESTAMPTZ(ad::pg::to_timestamp(next));
}
}
