-- Jobs without a scheduler: what ad_run_job does is what the scheduler's workers do.
CREATE SCHEMA jobs;
SET search_path = jobs, public;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
\set VERBOSITY terse
CREATE ROLE regress_ad_owner LOGIN;
CREATE ROLE regress_ad_other LOGIN;
GRANT ALL ON SCHEMA jobs TO PUBLIC;
SET anomaly_detect.mock_clock = '2100-03-01 12:00:00+00';
SET anomaly_detect.retry_period = '1min';

SET ROLE regress_ad_owner;
CREATE TABLE readings (id bigint PRIMARY KEY, at timestamptz, v float8);
CREATE INDEX ON readings (at);
-- median 50.5, mad 25: a score of 1.2 or more takes v <= 5 or v >= 96
INSERT INTO readings SELECT i, timestamptz '2100-03-01 11:00+00' + i * interval '10 s', i FROM generate_series(1, 100) i;
SELECT ad_train('readings', '{v}', 'm', 'mad', threshold => '{"method": "score", "value": 1.2}');

--
-- What can be wrong with a job
--
SELECT ad_schedule('j', 'readings', NULL, 'm', '* * * *');
SELECT ad_schedule('j', 'readings', NULL, 'm', '@hourly', timezone => 'Atlantis');
SELECT ad_schedule('', 'readings', NULL, 'm', '@hourly');
SELECT ad_schedule('j', 'readings', NULL, 'nothing', '@hourly');
SELECT ad_schedule('j', 'readings', '{id}', 'm', '@hourly');
CREATE FUNCTION attempt(config jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    PERFORM ad_schedule('j', 'readings', NULL, 'm', '@hourly', config);
    RETURN 'good';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || SQLERRM || ' | ' || hint;
END
$$;
\x
SELECT c AS config, attempt(c::jsonb) FROM unnest(ARRAY['[]', '{"batch": 1}', '{"batch_size": 0}', '{"batch_size": "x"}', '{"timeout": "soon"}', '{"timeout": "-1 s"}',
    '{"overlap_policy": "both"}', '{"where_clause": "a; b"}', '{"watermark_column": "w"}', '{"watermark_column": "v"}', '{"watermark_column": "id", "window_delay": "1 s"}',
    '{"store": "some"}', '{"store": "none"}', '{"min_confidence": 2}', '{"alerts": {"min": 1}}', '{"alerts": {"high": "x"}}', '{"alerts": 1}', '{"late_rows": "lose"}',
    '{"where_clause": "x > 1"}', '{"where_clause": "id"}', '{"watermark_column": "id", "late_window": "5 minutes"}', '{"watermark_column": "at", "late_window": 5}',
    '{"alerts": {"high": 0.5, "medium": 0.9}}', '{"id_column": "x"}', '{"shadow_model": "x"}', '{"max_retries": -1}', '{"retention": "300000 years"}', '{"dead_letter": "no"}', '{"activate": "always"}']) c;
\x
SELECT count(*) FROM anomaly_detection_jobs;
SELECT ad_run_job('j');
SELECT ad_alter_job('j', active => true);
SELECT ad_unschedule('j');

CREATE TEMP TABLE passing (id int PRIMARY KEY, v float8);
SELECT ad_schedule('j', 'passing', NULL, 'm', '@hourly');

--
-- A job that follows an id
--
SELECT ad_schedule('follow', 'readings', NULL, 'm', '*/5 * * * *', '{"watermark_column": "id", "batch_size": 30, "min_confidence": 0}') > 0 AS scheduled;
SELECT ad_schedule('follow', 'readings', NULL, 'm', '@daily');
SELECT job_name, kind, source_table, model_id, schedule_cron, next_run, is_active, owner, timezone, watermark FROM anomaly_detection_jobs;
CREATE FUNCTION run(job text) RETURNS TABLE (status text, processed text, anomalies text, late text, dead text, alerts text, watermark text, error text)
LANGUAGE sql AS $$
    SELECT r->>'status', r->>'processed_records', r->>'anomalies_found', r->>'late_records', r->>'dead_letters', r->>'alerts', r->>'watermark',
           coalesce(r->>'error', r->>'reason')
    FROM ad_run_job(job) r
$$;
SELECT * FROM run('follow');
SELECT * FROM run('follow');
INSERT INTO readings SELECT i, timestamptz '2100-03-01 11:00+00' + i * interval '10 s', 1000 FROM generate_series(101, 103) i;
SELECT * FROM run('follow');
SELECT status, attempt, processed_records, anomalies_found, batches, watermark_from, watermark_to, alerts FROM anomaly_detection_runs ORDER BY id;
SELECT count(*), count(DISTINCT source_record_id), count(job_id) AS of_job, bool_and(is_anomaly) FROM anomaly_detection_results;
-- One alert for each batch with anomalies, each with one message
SELECT kind, severity, message, anomalies, cardinality(result_ids) AS results, status FROM anomaly_detection_alerts ORDER BY id;
SELECT count(*), count(DISTINCT alert_id), bool_and((payload->>'id')::bigint = alert_id) AS own FROM anomaly_detection_outbox;
SELECT severity, message FROM ad_open_alerts ORDER BY alert_id DESC LIMIT 1;
SELECT ad_close_alert(max(alert_id), 'seen') FROM ad_open_alerts;
SELECT count(*) AS open FROM ad_open_alerts;
SELECT ad_close_alert(0);

--
-- Report 27: late data is noticed: rows behind the watermark that no run has seen
--
INSERT INTO readings VALUES (0, '2100-03-01 11:00+00', 2000), (-1, '2100-03-01 11:00+00', 50);
SELECT * FROM run('follow');
SELECT * FROM run('follow');
SELECT ad_alter_job('follow', configuration => '{"late_rows": "count"}') > 0 AS altered;
INSERT INTO readings VALUES (-2, '2100-03-01 11:00+00', 2000);
SELECT * FROM run('follow');
SELECT count(*) FROM anomaly_detection_results WHERE source_record_id <= 0;
-- beyond the window they are not looked for
SELECT ad_alter_job('follow', configuration => '{"late_rows": null, "late_window": 10}') > 0 AS altered;
INSERT INTO readings VALUES (-3, '2100-03-01 11:00+00', 2000), (99999, '2100-03-01 11:00+00', 50);
SELECT * FROM run('follow');
-- From anywhere
SELECT ad_alter_job('follow', watermark => '99') > 0 AS altered;
SELECT * FROM run('follow');
SELECT ad_alter_job('follow', watermark => 'x');
SELECT ad_alter_job('follow', watermark => 'NaN');
SELECT ad_alter_job('follow', watermark => '1.5');
SELECT ad_alter_job('follow', configuration => '[]');
SELECT ad_schedule('other', 'readings', NULL, 'm', '@daily', '{"watermark_column": "at"}') > 0 AS scheduled;
SELECT ad_alter_job('other', new_name => 'follow');
SELECT ad_alter_job('other', watermark => 'infinity');
SELECT ad_unschedule('other');
SELECT ad_unschedule('follow'), ad_unschedule('follow');
DELETE FROM anomaly_detection_results;
DELETE FROM readings WHERE id NOT BETWEEN 1 AND 100;

--
-- A job that follows a time, with a delay; the clock stands at 12:00
--
SELECT ad_schedule('delayed', 'readings', NULL, 'm', '@hourly', '{"watermark_column": "at", "window_delay": "50 minutes", "alerts": false}') > 0 AS scheduled;
SELECT * FROM run('delayed');
RESET ROLE; SET anomaly_detect.mock_clock = '2100-03-01 12:05:00+00'; SET ROLE regress_ad_owner;
SELECT * FROM run('delayed');
SELECT max(at) FROM readings WHERE at <= '2100-03-01 11:15+00';
INSERT INTO readings VALUES (200, '2100-03-01 11:14:55+00', 1000);
SELECT * FROM run('delayed');
SELECT ad_unschedule('delayed');
DELETE FROM anomaly_detection_results;
DELETE FROM readings WHERE id NOT BETWEEN 1 AND 100;

-- A run that failed took what it says and nothing else: what is mended then is scored by the next one.
SELECT ad_schedule('mended', 'readings', NULL, 'm', '@hourly', '{"watermark_column": "id", "batch_size": 30, "where_clause": "10 / (v - 50) IS NOT NULL",
    "dead_letter": false, "store": "all", "alerts": false, "max_retries": 0, "late_window": 0}') > 0 AS scheduled;
SELECT * FROM run('mended');
UPDATE readings SET v = 50.5 WHERE id IN (20, 50, 80);
SELECT * FROM run('mended');
SELECT * FROM run('mended');
SELECT count(*), count(DISTINCT source_record_id) FROM anomaly_detection_results;
-- Behind the watermark, a row that the transaction of a run writes itself is taken by the next run.
BEGIN;
INSERT INTO readings VALUES (101, NULL, 1000);
SAVEPOINT s;
INSERT INTO readings VALUES (102, NULL, 1000);
SELECT status, processed FROM run('mended');
UPDATE readings SET v = 2000 WHERE id = 101;
RELEASE s;
INSERT INTO readings VALUES (103, NULL, 1000);
COMMIT;
SELECT status, processed FROM run('mended');
BEGIN;
INSERT INTO readings VALUES (110, NULL, 1000);
COMMIT;
BEGIN;
SELECT status, processed FROM run('mended');
INSERT INTO readings VALUES (105, NULL, 1000);
COMMIT;
SELECT status, processed FROM run('mended');
SELECT ad_unschedule('mended');
DELETE FROM anomaly_detection_results;
UPDATE readings SET v = id;
DELETE FROM readings WHERE id NOT BETWEEN 1 AND 100;

--
-- A day is taken when it is over, in the zone of the job
--
CREATE TABLE days (id int PRIMARY KEY, d date, v float8);
INSERT INTO days VALUES (1, '2100-02-27', 1), (2, '2100-02-28', 1), (3, '2100-03-01', 1);
SELECT ad_schedule('days', 'days', NULL, 'm', '@daily', '{"watermark_column": "d", "late_rows": "count"}', 'UTC') > 0 AS scheduled;
SELECT processed, watermark FROM run('days');
INSERT INTO days VALUES (4, '2100-03-01', 1);
SELECT ad_alter_job('days', timezone => 'Pacific/Kiritimati') > 0 AS altered;  -- where it is the second of March
SELECT processed, watermark FROM run('days');
SELECT ad_unschedule('days');
DELETE FROM anomaly_detection_results;

--
-- Ids that start again are behind the watermark, and the job says so
--
CREATE TABLE again (id bigserial PRIMARY KEY, v float8);
INSERT INTO again (v) SELECT i FROM generate_series(1, 20) i;
SELECT ad_schedule('again', 'again', NULL, 'm', '@daily', '{"watermark_column": "id", "late_window": 0}') > 0 AS scheduled;
SELECT processed, watermark FROM run('again');
TRUNCATE again RESTART IDENTITY;
SELECT processed, watermark FROM run('again');
INSERT INTO again (v) VALUES (1), (2);
SELECT processed, watermark FROM run('again');
SELECT waiting_for FROM ad_job_status;
SELECT p FROM jsonb_array_elements_text(ad_health()->'problems') p WHERE p ~ 'watermark';
SELECT ad_alter_job('again', watermark => '0') > 0 AS altered;
SELECT processed, watermark FROM run('again');
SELECT waiting_for FROM ad_job_status;
SELECT ad_unschedule('again');
DELETE FROM anomaly_detection_results;

--
-- where_clause, explain, and a shadow model
--
SELECT ad_train('readings', '{v}', 'shadow', 'mad', threshold => '{"method": "score", "value": 0}');
SELECT ad_schedule('some', 'readings', NULL, 'm', '@hourly', '{"where_clause": "id > 90", "store": "all", "explain": true, "shadow_model": "shadow"}') > 0 AS scheduled;
SELECT * FROM run('some');
SELECT model_id, count(*), count(*) FILTER (WHERE is_anomaly) AS anomalies, count(explanation) AS explained FROM anomaly_detection_results GROUP BY 1 ORDER BY 1;
SELECT ad_alter_job('some', configuration => '{"shadow_model": "m"}');
SELECT ad_alter_job('some', configuration => '{"shadow_model": "m@1"}');
-- nor does it count when it has become the model of the job
SELECT ad_alter_job('some', model_id => 'm@1', configuration => '{"shadow_model": "shadow"}') > 0 AS altered;
UPDATE anomaly_detection_jobs SET model_id = 'shadow' WHERE job_name = 'some';
DELETE FROM anomaly_detection_results;
SELECT processed FROM run('some');
SELECT model_id, count(*) FROM anomaly_detection_results GROUP BY 1 ORDER BY 1;
SELECT ad_unschedule('some');
DELETE FROM anomaly_detection_results;

--
-- Rows that cannot be scored
--
CREATE TABLE broken (a int, b text, v numeric, PRIMARY KEY (a, b));
INSERT INTO broken SELECT i, 'row ' || i, i FROM generate_series(1, 100) i;
SELECT ad_schedule('broken', 'broken', NULL, 'm', '@hourly', '{"watermark_column": "a", "where_clause": "10 / (a - 50) IS NOT NULL", "store": "all", "batch_size": 40}') > 0 AS scheduled;
SELECT * FROM run('broken');
SELECT source_record_key, left(payload::text, 30) AS payload, reason, sqlstate FROM anomaly_detection_dead_letters ORDER BY id;
SELECT count(*), count(DISTINCT source_record_key) FROM anomaly_detection_results;
-- one letter for each row, however often it fails; and any error of a row
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION odd(x int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    found int;
BEGIN
    IF x = 60 THEN
        SELECT a INTO STRICT found FROM broken WHERE a < 0;
    ELSIF x = 70 THEN
        RETURN (-x)::positive;
    END IF;
    RETURN x;
END
$$;
SELECT ad_alter_job('broken', configuration => '{"watermark_column": null, "where_clause": "10 / (a - 50) IS NOT NULL AND odd(a) > 0"}') > 0 AS altered;
SELECT * FROM run('broken');
SELECT * FROM run('broken');
SELECT source_record_key->'a' AS a, attempts, reason, sqlstate FROM anomaly_detection_dead_letters ORDER BY 1;
SELECT ad_alter_job('broken', configuration => '{"watermark_column": "a", "where_clause": "10 / (a - 50) IS NOT NULL"}') > 0 AS altered;
-- when what was wrong is mended, they are scored again: 60 and 70 now, 50 never
CREATE OR REPLACE FUNCTION odd(x int) RETURNS int LANGUAGE sql AS 'SELECT x';
DELETE FROM anomaly_detection_results;
SELECT ad_alter_job('broken', configuration => '{"where_clause": "10 / (a - 50) IS NOT NULL AND odd(a) > 0"}') > 0 AS altered;
INSERT INTO anomaly_detection_dead_letters (job_id, run_id, source_table, source_record_key, reason, sqlstate)
SELECT job_id, 1, source_table, '{"a": 1000, "b": "gone"}', 'x', '22000' FROM anomaly_detection_dead_letters LIMIT 1;
SELECT ad_retry_dead_letters('broken');
SELECT source_record_key->'a' AS a, attempts FROM anomaly_detection_dead_letters;
SELECT source_record_key->'a' AS a, job_id IS NOT NULL AS of_job FROM anomaly_detection_results ORDER BY 1;
SELECT status, processed_records, skipped_records, dead_letters, batches FROM anomaly_detection_runs ORDER BY id DESC LIMIT 1;
SELECT ad_retry_dead_letters('nothing');
-- nor is a row scored twice whose key is another's, too
ALTER TABLE broken DROP CONSTRAINT broken_pkey;
INSERT INTO broken SELECT a, b, v FROM broken WHERE a > 98;
DELETE FROM anomaly_detection_results;
SELECT ad_alter_job('broken', configuration => '{"id_column": "a", "batch_size": 1000}', watermark => '0') > 0 AS altered;
SELECT * FROM run('broken');
SELECT count(*), count(DISTINCT source_record_key) FROM anomaly_detection_results;
SELECT ad_alter_job('broken', configuration => '{"dead_letter": false}', watermark => '0') > 0 AS altered;
SELECT * FROM run('broken');
SELECT ad_unschedule('broken');
DELETE FROM anomaly_detection_results;
DELETE FROM anomaly_detection_dead_letters;
-- a model that rejects missing values
SELECT ad_train('readings', '{v}', 'whole', 'mad', preprocess => '{"impute": "reject"}');
CREATE TABLE gaps (id int PRIMARY KEY, v float8);
INSERT INTO gaps SELECT i, CASE WHEN i % 10 > 0 THEN i END FROM generate_series(1, 30) i;
SELECT ad_schedule('gaps', 'gaps', NULL, 'whole', '@hourly', '{"watermark_column": "id", "store": "all"}') > 0 AS scheduled;
SELECT * FROM run('gaps');
SELECT source_record_key, payload, reason, sqlstate FROM anomaly_detection_dead_letters ORDER BY id;
SELECT ad_unschedule('gaps');
DELETE FROM anomaly_detection_results;

--
-- Failure: retries, then the next time; the circuit opens and tries once after its pause
--
CREATE FUNCTION nothing() RETURNS float8 LANGUAGE sql AS 'SELECT 0::float8';
SELECT ad_schedule('fragile', 'readings', NULL, 'm', '0 0 * * *', '{"where_clause": "v < nothing()", "max_retries": 2, "circuit_breaker_threshold": 4, "circuit_breaker_pause": "30 minutes"}') > 0 AS scheduled;
DROP FUNCTION nothing();
CREATE FUNCTION state(job text, OUT status text, OUT attempts int, OUT failures int, OUT circuit text, OUT next_in interval, OUT error text) LANGUAGE sql AS $$
    SELECT last_status, failed_attempts, consecutive_failures, circuit_state, date_trunc('minute', next_run - current_setting('anomaly_detect.mock_clock')::timestamptz), last_error
    FROM anomaly_detection_jobs WHERE job_name = job
$$;
SELECT status, error FROM run('fragile');
SELECT * FROM state('fragile');
SELECT status FROM run('fragile');
SELECT * FROM state('fragile');
SELECT status FROM run('fragile');
SELECT * FROM state('fragile');
SELECT status FROM run('fragile');
SELECT * FROM state('fragile');
SELECT status, error FROM run('fragile');
SELECT kind, severity, message FROM ad_open_alerts WHERE kind = 'circuit_open';
SELECT state, last_error FROM ad_job_status;
SELECT p FROM jsonb_array_elements_text(ad_health()->'problems') p WHERE p !~ 'scheduler|preload';
RESET ROLE; SET anomaly_detect.mock_clock = '2100-03-01 12:35:00+00'; SET ROLE regress_ad_owner;
SELECT status FROM run('fragile');
SELECT * FROM state('fragile');
RESET ROLE; SET anomaly_detect.mock_clock = '2100-03-01 13:05:00+00'; SET ROLE regress_ad_owner;
CREATE FUNCTION nothing() RETURNS float8 LANGUAGE sql AS 'SELECT 0::float8';
SELECT status, processed FROM run('fragile');
SELECT * FROM state('fragile');
SELECT attempt, status, sqlstate FROM anomaly_detection_runs WHERE job_id = (SELECT id FROM anomaly_detection_jobs) ORDER BY id;
SELECT ad_unschedule('fragile');

--
-- A limit of time
--
SELECT ad_schedule('slow', 'readings', NULL, 'm', '@hourly', '{"where_clause": "pg_sleep(0.02) IS NOT NULL", "timeout": "300 ms"}') > 0 AS scheduled;
SELECT status, error FROM run('slow');
SHOW statement_timeout;
-- which is that of the run, not of its caller; the caller's own stays
SELECT ad_schedule('quick', 'readings', NULL, 'm', '@hourly', '{"alerts": false, "timeout": "300 ms"}') > 0 AS scheduled;
DO $$ BEGIN PERFORM ad_run_job('quick'); PERFORM pg_sleep(0.4); END $$;
DO $$ BEGIN PERFORM ad_run_job('slow'); PERFORM pg_sleep(0.4); END $$;
SET statement_timeout = '400 ms';
DO $$ BEGIN PERFORM ad_run_job('quick'); PERFORM pg_sleep(5); END $$;
RESET statement_timeout;
SELECT ad_unschedule('quick');
SELECT ad_unschedule('slow');

--
-- Alerts: enough anomalies in a window, cooldown, snooze, severity
--
DELETE FROM anomaly_detection_outbox;
DELETE FROM anomaly_detection_alerts;
SELECT ad_schedule('alerts', 'readings', NULL, 'm', '@hourly', '{"watermark_column": "id", "store": "all", "min_confidence": 0, "cooldown": "10 minutes",
    "alerts": {"min_anomalies": 12, "window": "1 hour", "high": 1, "medium": 0.995}}') > 0 AS scheduled;
SELECT processed, anomalies, alerts FROM run('alerts');
INSERT INTO readings SELECT i, now(), 1000 FROM generate_series(101, 102) i;
SELECT processed, anomalies, alerts FROM run('alerts');
INSERT INTO readings VALUES (103, now(), 1000);
SELECT processed, anomalies, alerts FROM run('alerts');
RESET ROLE; SET anomaly_detect.mock_clock = '2100-03-01 13:15:01+00'; SET ROLE regress_ad_owner;
INSERT INTO readings VALUES (104, now(), 1000);
SELECT processed, anomalies, alerts FROM run('alerts');
SELECT ad_snooze_job('alerts', '1 hour');
RESET ROLE; SET anomaly_detect.mock_clock = '2100-03-01 13:30:00+00'; SET ROLE regress_ad_owner;
INSERT INTO readings VALUES (105, now(), 1000);
SELECT processed, anomalies, alerts FROM run('alerts');
SELECT ad_snooze_job('alerts', '0'), ad_snooze_job('alerts', '-1 s');
SELECT ad_snooze_job('alerts', '300000 years');
INSERT INTO readings VALUES (106, now(), 1000);
SELECT processed, anomalies, alerts FROM run('alerts');
SELECT severity, message, anomalies, cardinality(result_ids) AS results FROM anomaly_detection_alerts ORDER BY id;
SELECT suppressed_alerts FROM ad_job_status WHERE job_name = 'alerts';
SELECT ad_pause_job('alerts'), ad_pause_job('alerts'), (SELECT state FROM ad_job_status);
SELECT ad_resume_job('alerts'), ad_resume_job('alerts'), (SELECT next_run FROM ad_job_status);
SELECT ad_unschedule('alerts');
DELETE FROM readings WHERE id > 100;

--
-- Training jobs
--
SELECT ad_schedule_training('train', 'no such', '@daily');
SELECT ad_schedule_training('train', 'm', '@daily', '{"activate": "maybe"}');
CREATE FUNCTION attempt_training(config jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ad_schedule_training('train', 'm', '@daily', config);
    RETURN 'good';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT c AS config, attempt_training(c::jsonb) FROM unnest(ARRAY['{"sample_size": 0}', '{"sample_size": "x"}', '{"algorithm": "magic"}', '{"source": "nowhere"}', '{"source": "passing"}',
    '{"label_column": "nowhere"}', '{"label_column": "at"}', '{"feature_columns": ["nowhere"]}', '{"where_clause": "nowhere > 1"}', '{"parameters": 1}', '{"min_rows": -1}',
    '{"random_seed": "x"}']) c;
DROP TABLE passing;
SELECT ad_schedule_training('train', 'm', '@daily') > 0 AS scheduled;
SELECT status, processed FROM run('train');
SELECT model_id, is_active, algorithm, feature_columns, threshold, source_table FROM ad_model_versions WHERE name = 'm' ORDER BY version;
SELECT ad_alter_job('train', configuration => '{"activate": "never", "where_clause": "id <= 50"}') > 0 AS altered;
SELECT status, processed FROM run('train');
-- with labels
ALTER TABLE readings ADD fault boolean;
UPDATE readings SET fault = id > 95;
SELECT ad_alter_job('train', configuration => '{"activate": "if_better", "label_column": "fault", "parameters": {}, "where_clause": null}') > 0 AS altered;
SELECT status, processed FROM run('train');
ALTER TABLE readings ADD noise int;
UPDATE readings SET noise = id * 37 % 100;
SELECT ad_alter_job('train', configuration => '{"feature_columns": ["noise"]}') > 0 AS altered;
SELECT status FROM run('train');
-- without: only if it ranks the rows as before
SELECT ad_alter_job('train', configuration => '{"label_column": null}') > 0 AS altered;
SELECT status FROM run('train');
SELECT ad_alter_job('train', configuration => '{"feature_columns": ["v"]}') > 0 AS altered;
SELECT status FROM run('train');
-- and never on few rows
SELECT ad_alter_job('train', configuration => '{"where_clause": "id <= 99"}') > 0 AS altered;
SELECT status FROM run('train');
SELECT version, is_active, round((performance_metrics->'comparison'->>'new')::numeric, 3) AS new, round((performance_metrics->'comparison'->>'old')::numeric, 3) AS old,
       performance_metrics->'comparison'->>'measure' AS measure, performance_metrics->'activated' AS activated
FROM model_registry WHERE name = 'm' ORDER BY version;
SELECT ad_unschedule('train');
RESET ROLE;

RESET anomaly_detect.mock_clock;
RESET search_path;
SELECT ad_drop_model(name) FROM ad_models WHERE owner::text ~ '^regress_ad_';
TRUNCATE public.anomaly_detection_runs, public.anomaly_detection_results, public.anomaly_detection_jobs, public.anomaly_detection_alerts,
    public.anomaly_detection_outbox, public.anomaly_detection_dead_letters;
DROP SCHEMA jobs CASCADE;
DROP ROLE regress_ad_owner, regress_ad_other;
