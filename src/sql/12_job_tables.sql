-- Jobs and what they leave: dead letters, alerts, messages about alerts. A job runs as its owner, who
-- is whoever wrote the row: row-level security admits no other, and no one may change it.

CREATE TABLE anomaly_detection_jobs (
    -- as many bits as the lock of a run has
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id BETWEEN 1 AND 281474976710655),
    job_name text NOT NULL UNIQUE CHECK (octet_length(job_name) BETWEEN 1 AND 200),
    source_table text,
    feature_columns text[],
    model_id text,
    schedule_cron text NOT NULL,
    last_run timestamptz,
    next_run timestamptz CHECK (isfinite(next_run)),
    is_active boolean NOT NULL DEFAULT true,
    configuration jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(configuration) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    owner regrole NOT NULL DEFAULT current_user::regrole,
    kind text NOT NULL DEFAULT 'detection' CHECK (kind IN ('detection', 'training')),
    timezone text,
    search_path text NOT NULL DEFAULT current_setting('search_path'),
    watermark text,
    watermark_state jsonb NOT NULL DEFAULT '{}',
    last_status text,
    last_error text,
    failed_attempts integer NOT NULL DEFAULT 0,
    consecutive_failures integer NOT NULL DEFAULT 0,
    circuit_state text NOT NULL DEFAULT 'closed' CHECK (circuit_state IN ('closed', 'open', 'half_open')),
    skipped_runs bigint NOT NULL DEFAULT 0,
    waiting_for text,
    last_alert timestamptz,
    snoozed_until timestamptz,
    suppressed_alerts bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE anomaly_detection_jobs IS 'one row for each scheduled detection or training';
COMMENT ON COLUMN anomaly_detection_jobs.model_id IS
'reference to a model, resolved by each run; null stands for the newest active model of the source';
COMMENT ON COLUMN anomaly_detection_jobs.search_path IS 'of the session that scheduled the job; where_clause is read with it';
COMMENT ON COLUMN anomaly_detection_jobs.watermark IS 'value of watermark_column up to which rows are scored';
COMMENT ON COLUMN anomaly_detection_jobs.watermark_state IS
'which transactions the last runs saw: tells rows that came behind the watermark from those that are scored';
COMMENT ON COLUMN anomaly_detection_jobs.failed_attempts IS 'of the run that is to be repeated';
COMMENT ON COLUMN anomaly_detection_jobs.skipped_runs IS 'runs during which times of the schedule passed that were skipped';
COMMENT ON COLUMN anomaly_detection_jobs.waiting_for IS 'why a run that is due has not been started, or what the last one found nothing for';

CREATE TABLE anomaly_detection_dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL,
    run_id bigint NOT NULL,
    source_table text NOT NULL,
    source_record_key jsonb NOT NULL,
    payload jsonb,
    reason text NOT NULL,
    sqlstate text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    owner regrole NOT NULL DEFAULT current_user::regrole,
    attempts integer NOT NULL DEFAULT 1,
    last_attempt timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- one letter for each row and job; keys may be longer than an index takes
CREATE UNIQUE INDEX anomaly_detection_dead_letters_key ON anomaly_detection_dead_letters (job_id, owner, md5(source_record_key::text));
COMMENT ON TABLE anomaly_detection_dead_letters IS 'rows that a job could not score, each with its reason';
COMMENT ON COLUMN anomaly_detection_dead_letters.run_id IS 'the last run that could not score the row';
COMMENT ON COLUMN anomaly_detection_dead_letters.payload IS 'the row as it was; null if it cannot even be read';

CREATE TABLE anomaly_detection_alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL,
    job_name text NOT NULL,
    run_id bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('anomalies', 'circuit_open')),
    severity text NOT NULL CHECK (severity IN ('low', 'medium', 'high')),
    message text NOT NULL,
    source_table text,
    model_id text,
    anomalies bigint,
    max_score float8,
    max_confidence float8,
    result_ids bigint[] NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    note text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    owner regrole NOT NULL DEFAULT current_user::regrole
);
CREATE INDEX anomaly_detection_alerts_open ON anomaly_detection_alerts (created_at) WHERE status = 'open';
COMMENT ON TABLE anomaly_detection_alerts IS 'one row for each alert; a batch of a job raises at most one';
COMMENT ON COLUMN anomaly_detection_alerts.result_ids IS 'ids of the strangest results behind it, up to ten';

CREATE TABLE anomaly_detection_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL,
    job_id bigint NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    owner regrole NOT NULL DEFAULT current_user::regrole
);
CREATE INDEX anomaly_detection_outbox_waiting ON anomaly_detection_outbox (id) WHERE delivered_at IS NULL;
COMMENT ON TABLE anomaly_detection_outbox IS
'one message for each alert, written with it, for whoever delivers them; NOTIFY only says that there is one';

-- What is written is always the writer's own. A job is read by whoever may see it; changed only by who
-- has the privileges of its owner, as which it runs; removed by ad_unschedule.
CREATE FUNCTION _ad_is_member(owner oid) RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN pg_catalog.pg_has_role(owner, 'USAGE');
COMMENT ON FUNCTION _ad_is_member(oid) IS 'whether the current user has the privileges of a role';

ALTER TABLE anomaly_detection_jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_reads ON anomaly_detection_jobs FOR SELECT USING (_ad_may_see(owner));
CREATE POLICY owner_makes ON anomaly_detection_jobs FOR INSERT WITH CHECK (owner::oid = current_user::regrole::oid);
CREATE POLICY owner_changes ON anomaly_detection_jobs FOR UPDATE USING (_ad_is_member(owner));
CREATE POLICY of_own_job ON anomaly_detection_runs AS RESTRICTIVE FOR INSERT WITH CHECK (job_id IS NULL OR EXISTS (
    SELECT FROM anomaly_detection_jobs j WHERE j.id = job_id AND j.owner::oid = current_user::regrole::oid));

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['dead_letters', 'alerts', 'outbox'] LOOP
        EXECUTE format('ALTER TABLE anomaly_detection_%s ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY owner_access ON anomaly_detection_%s USING (_ad_may_see(owner))
                        WITH CHECK (_ad_may_see(owner))', t);
        EXECUTE format('CREATE POLICY owner_makes ON anomaly_detection_%s AS RESTRICTIVE FOR INSERT
                        WITH CHECK (owner::oid = current_user::regrole::oid)', t);
    END LOOP;
END
$$;

-- Nobody chooses ids: who could, would take those that are next, or those of others' rows. The table of
-- jobs admits no DELETE and no UPDATE as a whole, either of which is the privilege to lock it.
DO $$
DECLARE
    g record;
BEGIN
    FOR g IN SELECT c.relname, string_agg(quote_ident(a.attname), ', ') AS columns
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.oid IN ('anomaly_detection_jobs'::regclass::oid, 'anomaly_detection_runs'::regclass::oid, 'anomaly_detection_results'::regclass::oid,
                             'anomaly_detection_dead_letters'::regclass::oid, 'anomaly_detection_alerts'::regclass::oid, 'anomaly_detection_outbox'::regclass::oid)
               AND a.attnum > 0 AND a.attname <> 'id'
               -- of alerts the owner is written, as a scheduler raises them for him
               AND (a.attname <> 'owner' OR c.relname IN ('anomaly_detection_alerts', 'anomaly_detection_outbox'))
             GROUP BY c.relname LOOP
        EXECUTE format('GRANT INSERT (%s) ON %I TO PUBLIC', g.columns, g.relname);
    END LOOP;
END
$$;
GRANT SELECT ON anomaly_detection_jobs TO PUBLIC;
GRANT UPDATE (job_name, source_table, feature_columns, model_id, schedule_cron, last_run, next_run, is_active,
    configuration, timezone, search_path, watermark, watermark_state, last_status, last_error, failed_attempts,
    consecutive_failures, circuit_state, skipped_runs, waiting_for, last_alert, snoozed_until, suppressed_alerts)
    ON anomaly_detection_jobs TO PUBLIC;
GRANT SELECT, DELETE ON anomaly_detection_dead_letters, anomaly_detection_alerts, anomaly_detection_outbox TO PUBLIC;
GRANT UPDATE (run_id, payload, reason, sqlstate, attempts, last_attempt) ON anomaly_detection_dead_letters TO PUBLIC;
GRANT UPDATE (status, note, closed_at) ON anomaly_detection_alerts TO PUBLIC;
GRANT UPDATE (delivered_at, attempts, last_error) ON anomaly_detection_outbox TO PUBLIC;

SELECT pg_extension_config_dump('anomaly_detection_jobs', '');
SELECT pg_extension_config_dump('anomaly_detection_jobs_id_seq', '');
SELECT pg_extension_config_dump('anomaly_detection_dead_letters', '');
SELECT pg_extension_config_dump('anomaly_detection_dead_letters_id_seq', '');
SELECT pg_extension_config_dump('anomaly_detection_alerts', '');
SELECT pg_extension_config_dump('anomaly_detection_alerts_id_seq', '');
SELECT pg_extension_config_dump('anomaly_detection_outbox', '');
SELECT pg_extension_config_dump('anomaly_detection_outbox_id_seq', '');

