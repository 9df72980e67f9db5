-- What the scheduler of a database asks, as a superuser: only about rows of ours, and nothing here runs
-- what a user wrote.

CREATE FUNCTION _ad_due_jobs(running bigint[], OUT job_id bigint, OUT owner oid, OUT due timestamptz, OUT wait_ms float8)
RETURNS SETOF record
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT j.id, j.owner::oid, j.next_run, extract(epoch FROM j.next_run - t.now)::float8 * 1000
    FROM (SELECT _ad_now() AS now OFFSET 0) t, anomaly_detection_jobs j
    WHERE j.is_active AND j.next_run <= t.now + interval '1 minute' AND j.id <> ALL (running)
      AND (_ad_setting('anomaly_detect.enable_superuser_jobs')::boolean
           OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = j.owner AND r.rolsuper))
      AND j.id NOT IN (SELECT r.job_id FROM _ad_running_jobs('anomaly_detection_jobs') r)
    ORDER BY j.next_run, j.last_run NULLS FIRST, j.id
$$;
COMMENT ON FUNCTION _ad_due_jobs(bigint[]) IS
'jobs that are due, those that have waited longest first, then those that soon will be; not those that run, superusers'' only if allowed';

CREATE FUNCTION _ad_hold_jobs(reason text, held bigint[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    UPDATE anomaly_detection_jobs j SET waiting_for = reason
    WHERE j.id IN (SELECT h.id FROM anomaly_detection_jobs h WHERE h.id = ANY (held) AND h.waiting_for IS DISTINCT FROM reason
                   FOR UPDATE SKIP LOCKED)
$$;
COMMENT ON FUNCTION _ad_hold_jobs(text, bigint[]) IS 'says why jobs that are due have not been started';

CREATE FUNCTION _ad_reap_job(job_id bigint, due timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    twice constant text := 'the process of the run ended before it began';
    job anomaly_detection_jobs;
    dead bigint;
BEGIN
    SELECT * INTO job FROM anomaly_detection_jobs j WHERE j.id = job_id FOR UPDATE SKIP LOCKED;
    IF job.id IS NULL OR EXISTS (SELECT FROM _ad_running_jobs('anomaly_detection_jobs') r WHERE r.job_id = job.id) THEN
        RETURN;
    END IF;
    SELECT r.id INTO dead FROM anomaly_detection_runs r
    WHERE r.id = (SELECT max(l.id) FROM anomaly_detection_runs l WHERE l.job_id = job.id) AND r.status = 'running';
    IF dead IS NOT NULL THEN
        PERFORM _ad_fail_job(job, dead, '57P01', 'the process of the run ended before its time', true);
    ELSIF job.next_run = due AND job.is_active AND job.waiting_for IS DISTINCT FROM twice THEN
        -- it may have met another run
        UPDATE anomaly_detection_jobs j SET waiting_for = twice WHERE j.id = job.id;
    ELSIF job.next_run = due AND job.is_active THEN
        PERFORM _ad_fail_job(job, NULL, '08006', CASE
            WHEN NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = job.owner) THEN 'the role that owns the job does not exist'
            WHEN NOT (SELECT r.rolcanlogin FROM pg_roles r WHERE r.oid = job.owner) THEN format('role %s may not log in', job.owner)
            WHEN NOT has_database_privilege(job.owner, current_database(), 'CONNECT') THEN format('role %s may not connect to the database', job.owner)
            WHEN NOT has_schema_privilege(job.owner, '@extschema@', 'USAGE') THEN format('role %s has no USAGE on schema %s', job.owner, '@extschema@')
            ELSE 'the process of the run ended before it began; the log of the server says why' END, false);
    END IF;
EXCEPTION WHEN OTHERS THEN
    -- Written by hand, with what no function of ours would let pass.
    UPDATE anomaly_detection_jobs j SET is_active = false, last_status = 'failed', last_error = SQLERRM WHERE j.id = job_id;
    PERFORM _ad_log(format('job %s is paused, as its row is broken: %s', job_id, SQLERRM));
END
$$;
COMMENT ON FUNCTION _ad_reap_job(bigint, timestamptz) IS
'after the end of a worker: whatever did not end as it should is recorded, and tried again';

CREATE FUNCTION _ad_reap_all() RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT count(_ad_reap_job(j.id, NULL)) FROM anomaly_detection_jobs j
    WHERE (SELECT r.status FROM anomaly_detection_runs r WHERE r.job_id = j.id ORDER BY r.id DESC LIMIT 1) = 'running'
$$;
COMMENT ON FUNCTION _ad_reap_all() IS 'after a start: runs that the end of a server, or of a scheduler, interrupted';

CREATE FUNCTION _ad_interval(value text) RETURNS interval
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RETURN value::interval;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION _ad_interval(text) IS 'an interval, or null if the text is none';

CREATE FUNCTION _ad_prune_history() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    max_rows constant integer := 10000;
    runs interval := _ad_setting('anomaly_detect.run_history_retention');
    results interval := _ad_setting('anomaly_detect.results_retention');
    deleted bigint := 0;
    n bigint;
BEGIN
    DELETE FROM anomaly_detection_runs r WHERE r.id IN (
        SELECT o.id FROM anomaly_detection_runs o
        WHERE runs > '0' AND o.job_id IS NOT NULL AND o.finished_at < now() - runs ORDER BY o.id LIMIT max_rows);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    DELETE FROM anomaly_detection_results r WHERE r.id IN (
        SELECT o.id FROM anomaly_detection_results o
        WHERE results > '0' AND o.detection_timestamp < now() - results ORDER BY o.detection_timestamp LIMIT max_rows);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM anomaly_detection_results r WHERE r.id IN (
        SELECT o.id FROM anomaly_detection_jobs j
        JOIN anomaly_detection_results o ON o.job_id = j.id AND o.detection_timestamp < now() - _ad_interval(j.configuration->>'retention')
        LIMIT max_rows);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM anomaly_detection_outbox o WHERE runs > '0' AND o.delivered_at < now() - runs;
    DELETE FROM anomaly_detection_alerts a WHERE runs > '0' AND a.closed_at < now() - runs;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION _ad_prune_history() IS
'deletes a portion of the runs and results that are older than they are to be kept, and says how many; with them delivered messages and closed alerts';

DO $$
DECLARE
    f text;
BEGIN
    FOREACH f IN ARRAY ARRAY['_ad_due_jobs(bigint[])', '_ad_hold_jobs(text, bigint[])', '_ad_reap_job(bigint, timestamptz)', '_ad_reap_all()',
                             '_ad_prune_history()'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END
$$;

