-- What the scheduler of a database asks, as a superuser: only about rows of ours, and nothing here runs
-- what a user wrote. So all that it calls, here and elsewhere, finds nothing outside of pg_catalog but by
-- its qualified name and its exact types: whoever may create in the schema of the extension would
-- otherwise offer it an operator or a function that fits better.

CREATE FUNCTION _ad_due_jobs(running bigint[], served oid[], OUT job_id bigint, OUT owner oid, OUT due timestamptz, OUT wait_ms float8)
RETURNS SETOF record
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH at_work AS MATERIALIZED (
        SELECT j.id, j.owner::oid AS owner FROM @extschema@.anomaly_detection_jobs j
        WHERE j.id = ANY (running)
           OR j.id IN (SELECT r.job_id FROM @extschema@._ad_running_jobs('@extschema@.anomaly_detection_jobs'::regclass) r)),
    waiting AS (
        SELECT j.id, j.owner::oid AS owner, j.next_run, j.last_run,
               greatest(extract(epoch FROM j.next_run - t.now)::float8 * 1000, 0) AS wait_ms
        FROM (SELECT @extschema@._ad_now() AS now OFFSET 0) t, @extschema@.anomaly_detection_jobs j
        WHERE j.is_active AND j.next_run <= t.now + interval '1 minute' AND j.id NOT IN (SELECT a.id FROM at_work a)
          AND (@extschema@._ad_setting('anomaly_detect.enable_superuser_jobs'::text)::boolean
               OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = j.owner::oid AND r.rolsuper)))
    SELECT w.id, w.owner, w.next_run, w.wait_ms FROM waiting w
    ORDER BY w.wait_ms,
        -- roles take turns, whatever they write into their rows
        (SELECT count(*) FROM at_work a WHERE a.owner = w.owner)
            + row_number() OVER (PARTITION BY w.owner, w.wait_ms > 0 ORDER BY w.next_run, w.last_run NULLS FIRST, w.id),
        array_position(served, w.owner) NULLS FIRST, w.next_run, w.id
$$;
COMMENT ON FUNCTION _ad_due_jobs(bigint[], oid[]) IS
'jobs that are due, in the order in which they are to be started, then those that soon will be; not those that run, superusers'' only if allowed. "served" are the owners of the last runs, the last one last';

CREATE FUNCTION _ad_hold_jobs(reason text, held bigint[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.anomaly_detection_jobs j SET waiting_for = reason
    WHERE j.id IN (SELECT h.id FROM @extschema@.anomaly_detection_jobs h WHERE h.id = ANY (held) AND h.waiting_for IS DISTINCT FROM reason
                   FOR UPDATE SKIP LOCKED)
$$;
COMMENT ON FUNCTION _ad_hold_jobs(text, bigint[]) IS 'says why jobs that are due have not been started';

CREATE FUNCTION _ad_interval(value text) RETURNS interval
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    longest constant interval := '100 years';
BEGIN
    RETURN CASE WHEN value::interval BETWEEN interval '0' AND longest THEN value::interval END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION _ad_interval(text) IS 'an interval from 0 to 100 years, or null if the text is none';

CREATE FUNCTION _ad_why_not_begun(owner oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = owner) THEN 'the role that owns the job does not exist'
        WHEN NOT (SELECT r.rolcanlogin FROM pg_roles r WHERE r.oid = owner) THEN format('role %s may not log in', owner::regrole)
        WHEN NOT has_database_privilege(owner, current_database(), 'CONNECT') THEN format('role %s may not connect to the database', owner::regrole)
        WHEN NOT has_schema_privilege(owner, '@extschema@'::regnamespace::oid, 'USAGE') THEN format('role %s has no USAGE on schema %s', owner::regrole, '@extschema@')
        ELSE 'the process of the run ended before it began; the log of the server says why' END
$$;
COMMENT ON FUNCTION _ad_why_not_begun(oid) IS 'what keeps the worker of a role from its work';

CREATE FUNCTION _ad_settle_job(job_id bigint, due timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    twice constant text := 'the process of the run ended before it began';
    job @extschema@.anomaly_detection_jobs;
    run @extschema@.anomaly_detection_runs;
    time_limit text;
BEGIN
    SELECT * INTO job FROM @extschema@.anomaly_detection_jobs j WHERE j.id = job_id FOR UPDATE SKIP LOCKED;
    IF job.id IS NULL
       OR job.id IN (SELECT r.job_id FROM @extschema@._ad_running_jobs('@extschema@.anomaly_detection_jobs'::regclass) r) THEN
        RETURN;
    END IF;
    SELECT * INTO run FROM @extschema@.anomaly_detection_runs r
    WHERE r.job_id = job.id AND r.owner::oid = job.owner::oid ORDER BY r.id DESC LIMIT 1;
    IF run.status = 'running' THEN
        time_limit := coalesce(job.configuration->>'timeout'::text, @extschema@._ad_setting('anomaly_detect.job_timeout'::text));
        -- a worker that would not be cancelled
        IF due IS NOT NULL AND run.started_at + nullif(@extschema@._ad_interval(time_limit), interval '0') <= clock_timestamp() THEN
            PERFORM @extschema@._ad_fail_job(job, run.id, '57014'::text, format('the run took longer than %s and was ended', time_limit), false);
        ELSE
            PERFORM @extschema@._ad_fail_job(job, run.id, '57P01'::text, 'the process of the run ended before its time'::text, true);
        END IF;
    ELSIF job.next_run = due AND job.is_active AND job.waiting_for IS DISTINCT FROM twice THEN
        -- it may have met another run
        UPDATE @extschema@.anomaly_detection_jobs j SET waiting_for = twice WHERE j.id = job.id;
    ELSIF job.next_run = due AND job.is_active THEN
        PERFORM @extschema@._ad_fail_job(job, NULL::bigint, '08006'::text, @extschema@._ad_why_not_begun(job.owner::oid), false);
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_settle_job(bigint, timestamptz) IS 'records what did not end as it should, and when it is tried again';

CREATE FUNCTION _ad_reap_job(job_id bigint, due timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message text;
    state text;
BEGIN
    PERFORM @extschema@._ad_settle_job(job_id, due);
EXCEPTION
    WHEN lock_not_available OR transaction_rollback THEN
        RETURN;  -- somebody holds something: the next look comes soon
    WHEN OTHERS THEN
        -- Written by hand, with what no function of ours would let pass. Nothing of it is left to be settled.
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
        UPDATE @extschema@.anomaly_detection_jobs j SET is_active = false, last_status = 'failed', last_error = message
        WHERE j.id = _ad_reap_job.job_id;
        UPDATE @extschema@.anomaly_detection_runs r SET status = 'failed', error = message, sqlstate = state, finished_at = clock_timestamp()
        WHERE r.job_id = _ad_reap_job.job_id AND r.status = 'running';
        PERFORM @extschema@._ad_log(format('job %s is paused, as its row is broken: %s', job_id, message));
END
$$;
COMMENT ON FUNCTION _ad_reap_job(bigint, timestamptz) IS
'after the end of a worker: whatever did not end as it should is recorded, and tried again';

CREATE FUNCTION _ad_reap_all() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT count(@extschema@._ad_reap_job(j.id, NULL::timestamptz)) FROM @extschema@.anomaly_detection_jobs j
            WHERE (SELECT r.status FROM @extschema@.anomaly_detection_runs r
                   WHERE r.job_id = j.id AND r.owner::oid = j.owner::oid ORDER BY r.id DESC LIMIT 1) = 'running'::text);
EXCEPTION WHEN lock_not_available OR transaction_rollback THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION _ad_reap_all() IS 'after a start: runs that the end of a server, or of a scheduler, interrupted';

CREATE FUNCTION _ad_prune_table(name text, condition text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    max_rows constant integer := 10000;
    deleted bigint;
BEGIN
    EXECUTE format('DELETE FROM @extschema@.%1$I d WHERE d.id IN (
                        SELECT o.id FROM @extschema@.%1$I o WHERE %2$s LIMIT %3$s FOR UPDATE OF o SKIP LOCKED)', name, condition, max_rows);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
EXCEPTION WHEN OTHERS THEN
    PERFORM @extschema@._ad_log(format('table %s could not be pruned: %s', name, SQLERRM));
    RETURN 0;
END
$$;
COMMENT ON FUNCTION _ad_prune_table(text, text) IS 'deletes a portion of the rows of a table for which a condition holds';

CREATE FUNCTION _ad_prune_history() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    runs interval := nullif(@extschema@._ad_setting('anomaly_detect.run_history_retention'::text)::interval, interval '0');
    results interval := nullif(@extschema@._ad_setting('anomaly_detect.results_retention'::text)::interval, interval '0');
BEGIN
    RETURN @extschema@._ad_prune_table('anomaly_detection_runs'::text, format('o.job_id IS NOT NULL AND o.finished_at < now() - %L::interval', runs))
        + @extschema@._ad_prune_table('anomaly_detection_outbox'::text, format('o.delivered_at < now() - %L::interval', runs))
        + @extschema@._ad_prune_table('anomaly_detection_alerts'::text, format('o.closed_at < now() - %L::interval', runs))
        + @extschema@._ad_prune_table('anomaly_detection_results'::text, format('o.detection_timestamp < now() - %L::interval', results))
        + @extschema@._ad_prune_table('anomaly_detection_results'::text, 'EXISTS (
            SELECT FROM (SELECT j.id, j.owner::oid AS owner, nullif(@extschema@._ad_interval(j.configuration->>''retention''::text), interval ''0'') AS keep
                         FROM @extschema@.anomaly_detection_jobs j OFFSET 0) k
            WHERE k.id = o.job_id AND k.owner = o.owner::oid AND o.detection_timestamp < now() - k.keep)'::text);
END
$$;
COMMENT ON FUNCTION _ad_prune_history() IS
'deletes a portion of the runs and results that are older than they are to be kept, and says how many; with them delivered messages and closed alerts';

DO $$
DECLARE
    f text;
BEGIN
    FOREACH f IN ARRAY ARRAY['_ad_due_jobs(bigint[], oid[])', '_ad_hold_jobs(text, bigint[])', '_ad_settle_job(bigint, timestamptz)',
                             '_ad_reap_job(bigint, timestamptz)', '_ad_reap_all()', '_ad_prune_table(text, text)', '_ad_prune_history()'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END
$$;
