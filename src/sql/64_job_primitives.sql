-- What jobs need from C: a clock that tests can set, a lock that says which run is alive, a limit of
-- time, and the transactions that a run sees.

CREATE FUNCTION _ad_now() RETURNS timestamptz
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_now() IS 'clock_timestamp(), or the time of anomaly_detect.mock_clock';

CREATE FUNCTION _ad_log(message text) RETURNS void
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_log(text) IS 'a line in the log of the server, without the statement and the context';

CREATE FUNCTION _ad_lock_job(job_id bigint, for_session boolean, wait boolean) RETURNS boolean
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_lock_job(bigint, boolean, boolean) IS
'takes the lock that the run of a job holds, which must be one''s own, for the transaction or until the transaction that gives up or ends it';

CREATE FUNCTION _ad_unlock_job() RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_unlock_job() IS 'gives up a lock that was taken for the session';

CREATE FUNCTION _ad_running_jobs(jobs regclass, OUT job_id bigint, OUT pid integer) RETURNS SETOF record
LANGUAGE sql STABLE STRICT ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.objid::bigint | (l.objsubid::bigint << 32), l.pid FROM pg_locks l
    WHERE l.locktype = 'object' AND l.classid = jobs::oid AND l.mode = 'ExclusiveLock' AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
$$;
COMMENT ON FUNCTION _ad_running_jobs(regclass) IS 'jobs that run at this moment, each with its process';

CREATE FUNCTION _ad_limit_time(until timestamptz) RETURNS timestamptz
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_limit_time(timestamptz) IS
'cancels the statement at a time, unless something does so earlier; returns when it would have been cancelled without. Ends the process if the server is gone';

CREATE FUNCTION _ad_lift_limit(before timestamptz) RETURNS void
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_lift_limit(timestamptz) IS 'takes back what _ad_limit_time did, which returned this';

CREATE FUNCTION _ad_snapshot() RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_snapshot() IS
'cluster, xmin, xmax, running transactions, next transaction, "overflowed" if not all are listed; with subtransactions, so that it tells for every row whether it was seen';

CREATE FUNCTION _ad_in_snapshot(xid xid, snapshot text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_in_snapshot(xid, text) IS 'whether a committed transaction is one of those that _ad_snapshot saw';

CREATE FUNCTION _ad_wake_scheduler() RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_wake_scheduler() IS 'has the launcher and the scheduler look when this transaction has committed';

CREATE FUNCTION _ad_scheduler_state(OUT preloaded boolean, OUT launcher integer, OUT scheduler integer, OUT out_of_slots boolean)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_scheduler_state() IS
'process ids of the launcher and of the scheduler of this database; whether the launcher finds no free process for a scheduler';

CREATE FUNCTION _ad_stop_run(job_id bigint) RETURNS boolean
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_stop_run(bigint) IS
'ends the worker that runs a job, or cancels the statement of another session that does; for whoever sees the job';

CREATE FUNCTION _ad_remove_job(job_id bigint) RETURNS boolean
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_remove_job(bigint) IS
'deletes a job, for whoever sees it; a privilege to delete jobs would be one to lock the table';
