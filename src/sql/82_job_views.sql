-- What jobs do, for people and for monitoring.

CREATE FUNCTION _ad_why_no_scheduler() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN pg_is_in_recovery() THEN 'the server is a standby'
                WHEN NOT s.preloaded THEN 'anomaly_detect is not in shared_preload_libraries'
                WHEN NOT @extschema@._ad_setting('anomaly_detect.launch_active_jobs'::text)::boolean THEN 'anomaly_detect.launch_active_jobs is off'
                WHEN s.scheduler IS NULL AND s.out_of_slots THEN 'no background worker is free for a scheduler (max_worker_processes)'
                WHEN s.scheduler IS NULL THEN 'no scheduler runs in this database' END
    FROM @extschema@._ad_scheduler_state() s
$$;
COMMENT ON FUNCTION _ad_why_no_scheduler() IS 'why no job of this database is started; null if nothing keeps them all';

CREATE VIEW ad_job_status WITH (security_invoker = true) AS
SELECT j.id AS job_id, j.job_name, j.kind, j.owner, j.source_table, j.model_id, j.schedule_cron, j.timezone,
       CASE WHEN running.pid IS NOT NULL THEN 'running'
            WHEN j.circuit_state = 'open' THEN 'circuit open'
            WHEN NOT j.is_active THEN 'paused'
            WHEN j.failed_attempts > 0 THEN 'retrying'
            WHEN j.next_run <= _ad_now() THEN 'due' ELSE 'scheduled' END AS state,
       CASE WHEN running.pid IS NOT NULL THEN NULL
            WHEN NOT j.is_active OR j.next_run > _ad_now() THEN j.waiting_for
            ELSE coalesce(_ad_why_no_scheduler(),
                 CASE WHEN (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = j.owner::oid) AND NOT _ad_setting('anomaly_detect.enable_superuser_jobs')::boolean
                      THEN 'anomaly_detect.enable_superuser_jobs is off' END,
                 j.waiting_for) END AS waiting_for,
       running.pid,
       j.last_run, j.next_run, j.last_status, j.last_error, j.circuit_state, j.consecutive_failures, j.failed_attempts, j.skipped_runs,
       j.watermark, r.id AS last_run_id, r.processed_records AS last_processed, r.anomalies_found AS last_anomalies,
       r.finished_at - r.started_at AS last_duration,
       (SELECT count(*) FROM anomaly_detection_dead_letters d WHERE d.job_id = j.id AND d.owner::oid = j.owner::oid) AS dead_letters,
       (SELECT count(*) FROM anomaly_detection_alerts a WHERE a.job_id = j.id AND a.owner::oid = j.owner::oid AND a.status = 'open') AS open_alerts,
       j.suppressed_alerts, j.snoozed_until
FROM anomaly_detection_jobs j
LEFT JOIN _ad_running_jobs('anomaly_detection_jobs') running ON running.job_id = j.id
LEFT JOIN LATERAL (SELECT * FROM anomaly_detection_runs r WHERE r.job_id = j.id AND r.owner::oid = j.owner::oid ORDER BY r.id DESC LIMIT 1) r ON true;
COMMENT ON VIEW ad_job_status IS 'every job that you may see: what it does, did last and does next';

CREATE VIEW ad_open_alerts WITH (security_invoker = true) AS
SELECT a.id AS alert_id, a.created_at, a.severity, a.kind, a.job_name, a.message, a.source_table, a.model_id, a.anomalies, a.max_score,
       a.max_confidence, a.result_ids, a.run_id, o.delivered_at
FROM anomaly_detection_alerts a LEFT JOIN anomaly_detection_outbox o ON o.alert_id = a.id
WHERE a.status = 'open';
COMMENT ON VIEW ad_open_alerts IS 'alerts that nobody has closed, and when each was delivered';

CREATE FUNCTION ad_health() RETURNS jsonb
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH jobs AS (
        SELECT j.*, j.is_active AND j.next_run < @extschema@._ad_now() - interval '1 minute' AND j.id NOT IN (
            SELECT r.job_id FROM @extschema@._ad_running_jobs('@extschema@.anomaly_detection_jobs'::regclass) r) AS late
        FROM @extschema@.anomaly_detection_jobs j),
    facts AS (SELECT
        (SELECT to_jsonb(s) FROM @extschema@._ad_scheduler_state() s) AS scheduler,
        (SELECT count(*) FROM jobs) AS jobs,
        (SELECT count(*) FROM jobs WHERE NOT is_active) AS paused,
        (SELECT count(*) FROM jobs WHERE late) AS late,
        (SELECT count(*) FROM jobs WHERE circuit_state <> 'closed') AS open_circuits,
        (SELECT count(*) FROM jobs WHERE last_status = 'failed') AS failing,
        (SELECT string_agg(format('job "%s" waits for %s', job_name, waiting_for), '; ' ORDER BY job_name) FROM jobs
         WHERE last_status = 'succeeded' AND waiting_for ~ '^(rows above|the end of a transaction)') AS stuck,
        (SELECT count(*) FROM @extschema@.anomaly_detection_dead_letters) AS dead_letters,
        (SELECT count(*) FROM @extschema@.anomaly_detection_alerts WHERE status = 'open') AS open_alerts,
        (SELECT count(*) FROM @extschema@.anomaly_detection_outbox WHERE delivered_at IS NULL) AS undelivered,
        (SELECT min(created_at) FROM @extschema@.anomaly_detection_outbox WHERE delivered_at IS NULL) AS undelivered_since,
        (SELECT count(*) FROM @extschema@.anomaly_detection_runs WHERE status = 'running') AS running,
        (SELECT min(started_at) FROM @extschema@.anomaly_detection_runs) AS oldest_run,
        (SELECT min(detection_timestamp) FROM @extschema@.anomaly_detection_results) AS oldest_result),
    problems AS (
        SELECT unnest(array_remove(ARRAY[
            CASE WHEN jobs > paused AND NOT pg_is_in_recovery() THEN 'jobs are not started: ' || @extschema@._ad_why_no_scheduler() END,
            CASE WHEN late > 0 THEN format('%s jobs are late', late) END,
            CASE WHEN open_circuits > 0 THEN format('%s circuits are open', open_circuits) END,
            CASE WHEN failing > 0 THEN format('%s jobs failed last time', failing) END,
            stuck,
            CASE WHEN dead_letters > 0 THEN format('%s rows could not be scored', dead_letters) END,
            CASE WHEN undelivered_since < clock_timestamp() - interval '1 hour' THEN format('%s messages are not delivered', undelivered) END],
            NULL)) AS problem FROM facts)
    SELECT jsonb_build_object(
        'status', CASE WHEN EXISTS (SELECT FROM problems) THEN 'warning' ELSE 'ok' END,
        'problems', coalesce((SELECT jsonb_agg(problem) FROM problems), '[]'),
        'checked_at', @extschema@._ad_now(),
        'retention', jsonb_build_object('runs', @extschema@._ad_setting('anomaly_detect.run_history_retention'::text),
            'results', @extschema@._ad_setting('anomaly_detect.results_retention'::text), 'oldest_run', oldest_run, 'oldest_result', oldest_result))
        || to_jsonb(f) - '{oldest_run,oldest_result,stuck}'::text[]
    FROM facts f
$$;
COMMENT ON FUNCTION ad_health() IS 'whether jobs run as they should, of those that you may see; "problems" says what does not';

GRANT SELECT ON ad_job_status, ad_open_alerts TO PUBLIC;

SELECT _ad_wake_scheduler();

