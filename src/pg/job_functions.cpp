// What the SQL of jobs needs from the server: a clock, the lock of a running job, a limit of time,
// and snapshots that can be kept.
#include <algorithm>

#include "jobs.hpp"

extern "C" {
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "postmaster/interrupt.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

namespace {

/// The lock that whoever runs a job holds. No other function takes locks of this kind, so that
/// nobody but its owner can pretend to run a job.
LOCKTAG job_lock(Oid jobs, int64 job_id) {
    LOCKTAG tag;
    constexpr int kBits = 32;
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, jobs, static_cast<std::uint32_t>(job_id),
                       static_cast<std::uint16_t>(job_id >> kBits));
    return tag;
}

void require_own_job(Oid schema, int64 job_id) {
    const char* query = psprintf(
        "SELECT FROM %s.anomaly_detection_jobs WHERE id OPERATOR(pg_catalog.=) $1"
        " AND owner::pg_catalog.oid OPERATOR(pg_catalog.=) $2",
        quote_identifier(get_namespace_name(schema)));
    Oid types[] = {INT8OID, OIDOID};
    Datum values[] = {Int64GetDatum(job_id), ObjectIdGetDatum(GetUserId())};
    SPI_connect();
    const bool is_own =
        SPI_execute_with_args(query, 2, types, values, nullptr, true, 1) == SPI_OK_SELECT &&
        SPI_processed == 1;
    SPI_finish();
    if (!is_own) {
        ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                errmsg("job " INT64_FORMAT " does not belong to the current user", job_id));
    }
}

/// The lock that outlives the commits of a run, so that a run that fails altogether gives it up.
struct SessionLock {
    bool held;
    bool watched;
    LOCKTAG tag;
};
SessionLock session_lock;

void give_up_lock() {
    if (!session_lock.held) return;
    session_lock.held = false;
    LockRelease(&session_lock.tag, ExclusiveLock, true);
}

void at_transaction_end(XactEvent event, void*) {
    if (event == XACT_EVENT_ABORT) give_up_lock();
}

/// A snapshot as text, with what it takes to tell which rows it saw.
struct KnownSnapshot {
    int length;  ///< of the text
    char* text;
    TransactionId xmin;
    TransactionId xmax;
    int count;
    TransactionId* running;  ///< sorted as numbers
};

std::uint64_t widen(TransactionId xid, FullTransactionId next) {
    std::uint32_t epoch = EpochFromFullTransactionId(next);
    if (xid > XidFromFullTransactionId(next)) --epoch;
    return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

[[noreturn]] void refuse_snapshot(const char* text) {
    ereport(ERROR, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
            errmsg("invalid snapshot: \"%s\"", text));
}

/// Reads a number of 64 bits, of which a transaction id is the lower half.
TransactionId read_xid(const char** at, const char* text) {
    char* end = nullptr;
    const unsigned long long value = strtoull(*at, &end, 10);
    if (end == *at) refuse_snapshot(text);
    *at = end;
    return static_cast<TransactionId>(value);
}

void read_snapshot(KnownSnapshot* known, const text* given, MemoryContext context) {
    const char* plain = text_to_cstring(given);
    MemoryContext const previous = MemoryContextSwitchTo(context);
    known->length = static_cast<int>(VARSIZE_ANY_EXHDR(given));
    known->text = pstrdup(plain);
    known->running =
        static_cast<TransactionId*>(palloc(sizeof(TransactionId) * (strlen(plain) / 2 + 1)));
    MemoryContextSwitchTo(previous);
    known->count = 0;
    const char* at = strchr(plain, ':');
    if (at == nullptr) refuse_snapshot(plain);
    known->xmin = read_xid(&(++at), plain);
    if (*at != ':') refuse_snapshot(plain);
    known->xmax = read_xid(&(++at), plain);
    if (*at != ':') refuse_snapshot(plain);
    ++at;
    while (*at != '\0' && *at != ':') {
        known->running[known->count++] = read_xid(&at, plain);
        if (*at == ',') ++at;
    }
    std::sort(known->running, known->running + known->count);
}

bool has_seen(const KnownSnapshot* known, TransactionId xid) {
    if (!TransactionIdIsNormal(xid) || TransactionIdPrecedes(xid, known->xmin)) return true;
    if (TransactionIdPrecedes(xid, known->xmax)) {
        return !std::binary_search(known->running, known->running + known->count, xid);
    }
    // An id that has not been given out is one of a row that was frozen more than 2 billion ago.
    return !TransactionIdPrecedes(xid, XidFromFullTransactionId(ReadNextFullTransactionId()));
}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

/// _ad_now() RETURNS timestamptz
PG_FUNCTION_INFO_V1(_ad_now);
PGDLLEXPORT Datum _ad_now(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    if (job_settings.mock_clock[0] == '\0') PG_RETURN_TIMESTAMPTZ(GetCurrentTimestamp());
    if (MyBgworkerEntry != nullptr && ConfigReloadPending) {
        ConfigReloadPending = false;  // a test has moved the clock
        ProcessConfigFile(PGC_SIGHUP);
    }
    return DirectFunctionCall3(timestamptz_in, CStringGetDatum(job_settings.mock_clock),
                               ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

/// _ad_log(message text) RETURNS void
PG_FUNCTION_INFO_V1(_ad_log);
PGDLLEXPORT Datum _ad_log(PG_FUNCTION_ARGS) {
    const char* message = text_to_cstring(PG_GETARG_TEXT_PP(0));
    ereport(LOG, errmsg_internal("anomaly_detect: %s", message), errhidestmt(true),
            errhidecontext(true));
    PG_RETURN_VOID();
}

/// _ad_lock_job(job_id bigint, for_session boolean, wait boolean) RETURNS boolean
PG_FUNCTION_INFO_V1(_ad_lock_job);
PGDLLEXPORT Datum _ad_lock_job(PG_FUNCTION_ARGS) {
    const int64 job_id = PG_GETARG_INT64(0);
    const bool for_session = PG_GETARG_BOOL(1);
    const Oid schema = extension_schema(fcinfo);
    require_own_job(schema, job_id);
    const LOCKTAG tag = job_lock(get_relname_relid("anomaly_detection_jobs", schema), job_id);
    if (session_lock.held) {
        ereport(ERROR, errcode(ERRCODE_OBJECT_IN_USE), errmsg("this session runs another job"));
    }
    if (for_session && !session_lock.watched) {
        RegisterXactCallback(at_transaction_end, nullptr);
        session_lock.watched = true;
    }
    if (LockAcquire(&tag, ExclusiveLock, for_session, !PG_GETARG_BOOL(2)) ==
        LOCKACQUIRE_NOT_AVAIL) {
        PG_RETURN_BOOL(false);
    }
    if (for_session) {
        session_lock.held = true;
        session_lock.tag = tag;
    }
    PG_RETURN_BOOL(true);
}

/// _ad_unlock_job() RETURNS void
PG_FUNCTION_INFO_V1(_ad_unlock_job);
PGDLLEXPORT Datum _ad_unlock_job(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    give_up_lock();
    PG_RETURN_VOID();
}

/// _ad_limit_time(until timestamptz) RETURNS timestamptz
PG_FUNCTION_INFO_V1(_ad_limit_time);
PGDLLEXPORT Datum _ad_limit_time(PG_FUNCTION_ARGS) {
    if (!PostmasterIsAlive()) {
        ereport(FATAL, errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("the server is gone"));
    }
    const bool was_limited = get_timeout_active(STATEMENT_TIMEOUT);
    const TimestampTz before = was_limited ? get_timeout_finish_time(STATEMENT_TIMEOUT) : DT_NOEND;
    const TimestampTz until = PG_ARGISNULL(0) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(0);
    if (until < before) enable_timeout_at(STATEMENT_TIMEOUT, until);
    constexpr std::int64_t kGrace = 5 * USECS_PER_SEC;
    if (until != DT_NOEND) end_worker_at(until + kGrace);
    PG_RETURN_TIMESTAMPTZ(before);
}

/// _ad_lift_limit(before timestamptz) RETURNS void
PG_FUNCTION_INFO_V1(_ad_lift_limit);
PGDLLEXPORT Datum _ad_lift_limit(PG_FUNCTION_ARGS) {
    const TimestampTz before = PG_GETARG_TIMESTAMPTZ(0);
    if (before != DT_NOEND) {
        enable_timeout_at(STATEMENT_TIMEOUT, before);
    } else if (get_timeout_active(STATEMENT_TIMEOUT)) {
        disable_timeout(STATEMENT_TIMEOUT, false);
    }
    PG_RETURN_VOID();
}

/// _ad_snapshot() RETURNS text: cluster/database:xmin:xmax:running:next[:overflowed]
///
/// The transaction itself counts as running: what it writes later has the same ids as what it
/// wrote.
PG_FUNCTION_INFO_V1(_ad_snapshot);
PGDLLEXPORT Datum _ad_snapshot(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    const SnapshotData* snapshot = GetActiveSnapshot();
    const FullTransactionId next = ReadNextFullTransactionId();
    // Too many subtransactions to be listed: then it counts as having seen none that might be one.
    const bool is_complete = !snapshot->suboverflowed && !MyProc->subxidStatus.overflowed;
    StringInfoData out;
    initStringInfo(&out);
    appendStringInfo(&out, UINT64_FORMAT "/%u:" UINT64_FORMAT ":" UINT64_FORMAT ":",
                     GetSystemIdentifier(), MyDatabaseId, widen(snapshot->xmin, next),
                     widen(is_complete ? snapshot->xmax : snapshot->xmin, next));
    const auto list = [&](const TransactionId* xids, std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            const char* separator = out.data[out.len - 1] == ':' ? "" : ",";
            appendStringInfo(&out, "%s" UINT64_FORMAT, separator, widen(xids[i], next));
        }
    };
    if (is_complete) {
        const TransactionId own = MyProc->xid;
        list(snapshot->xip, snapshot->xcnt);
        list(snapshot->subxip, static_cast<std::uint32_t>(snapshot->subxcnt));
        list(&own, TransactionIdIsValid(own) ? 1 : 0);
        list(MyProc->subxids.xids, MyProc->subxidStatus.count);
    }
    appendStringInfo(&out, ":" UINT64_FORMAT "%s", U64FromFullTransactionId(next),
                     is_complete ? "" : ":overflowed");
    PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/// _ad_in_snapshot(xid xid, snapshot text) RETURNS boolean
PG_FUNCTION_INFO_V1(_ad_in_snapshot);
PGDLLEXPORT Datum _ad_in_snapshot(PG_FUNCTION_ARGS) {
    const TransactionId xid = PG_GETARG_TRANSACTIONID(0);
    const text* given = PG_GETARG_TEXT_PP(1);
    auto* known = static_cast<KnownSnapshot*>(fcinfo->flinfo->fn_extra);
    if (known == nullptr) {
        known = static_cast<KnownSnapshot*>(
            MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(KnownSnapshot)));
        known->length = -1;
        fcinfo->flinfo->fn_extra = known;
    }
    if (known->length != static_cast<int>(VARSIZE_ANY_EXHDR(given)) ||
        memcmp(known->text, VARDATA_ANY(given), known->length) != 0) {
        read_snapshot(known, given, fcinfo->flinfo->fn_mcxt);
    }
    PG_RETURN_BOOL(has_seen(known, xid));
}
}
