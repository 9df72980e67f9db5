-- Jobs and roles: a job runs as its owner, whoever writes what; how long its traces stay; whose turn comes next.
CREATE SCHEMA job_rights;
SET search_path = job_rights, public;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
\set VERBOSITY terse
CREATE ROLE regress_ad_owner LOGIN;
CREATE ROLE regress_ad_other LOGIN;
CREATE ROLE regress_ad_nologin;
GRANT ALL ON SCHEMA job_rights TO PUBLIC;
SET anomaly_detect.mock_clock = '2100-03-01 12:00:00+00';
SET ROLE regress_ad_owner;
CREATE TABLE readings (id bigint PRIMARY KEY, at timestamptz, v float8);
INSERT INTO readings SELECT i, timestamptz '2100-03-01 11:00+00' + i * interval '10 s', i FROM generate_series(1, 100) i;
CREATE FUNCTION run(job text) RETURNS TABLE (status text, processed text, error text) LANGUAGE sql AS $$
    SELECT r->>'status', r->>'processed_records', coalesce(r->>'error', r->>'reason') FROM ad_run_job(job) r
$$;
SELECT ad_train('readings', '{v}', 'm', 'mad');

--
-- Security: a job runs as its owner, whoever writes what (reports 19 to 22)
--
SELECT ad_schedule('mine', 'readings', NULL, 'm@1', '@hourly', '{"watermark_column": "id"}') > 0 AS scheduled;
SELECT id AS mine FROM anomaly_detection_jobs WHERE job_name = 'mine' \gset
RESET ROLE;
SET ROLE regress_ad_other;
SELECT count(*) FROM ad_job_status;
SELECT ad_run_job('mine'), 1;
SELECT ad_alter_job('mine', active => false);
SELECT ad_unschedule('mine');
SELECT ad_schedule('mine', 'readings', NULL, 'm', '@hourly');
INSERT INTO anomaly_detection_jobs (job_name, source_table, schedule_cron, next_run, owner) VALUES ('theirs', 'readings', '1 second', now(), 'regress_ad_owner');
INSERT INTO anomaly_detection_jobs (job_name, source_table, schedule_cron, next_run) VALUES ('own', 'job_rights.readings', '1 second', now());
UPDATE anomaly_detection_jobs SET owner = 'regress_ad_owner';
INSERT INTO anomaly_detection_alerts (job_id, job_name, run_id, kind, severity, message, owner) VALUES (1, 'x', 1, 'anomalies', 'high', 'x', 'regress_ad_owner');
INSERT INTO anomaly_detection_outbox (alert_id, job_id, payload, owner) VALUES (1, 1, '{}', 'regress_ad_owner');
INSERT INTO anomaly_detection_dead_letters (job_id, run_id, source_table, source_record_key, reason, sqlstate, owner) VALUES (1, 1, 'x', '{}', 'x', 'x', 'regress_ad_owner');
-- a run of somebody else's job: not to be made, not to be gone on with
INSERT INTO anomaly_detection_runs (job_id, source_table, model_id, status) SELECT 1000000, 'x', 'x', 'running';
INSERT INTO anomaly_detection_runs (job_id, source_table, model_id, status) SELECT id, 'x', 'x', 'failed' FROM anomaly_detection_jobs WHERE job_name = 'own';
UPDATE anomaly_detection_runs SET job_id = 1000000;
\set VERBOSITY sqlstate
SELECT _ad_job_step(1, true);
\set VERBOSITY terse
-- ids are not to be chosen
INSERT INTO anomaly_detection_jobs (id, job_name, schedule_cron) OVERRIDING SYSTEM VALUE VALUES (1000000, 'x', '@hourly');
INSERT INTO anomaly_detection_runs (id, source_table, model_id, status) OVERRIDING SYSTEM VALUE VALUES (1000000, 'x', 'x', 'running');
INSERT INTO anomaly_detection_results (id, source_table, is_anomaly, anomaly_score, confidence, model_id, algorithm, source_record_key, run_id, p_value, threshold)
OVERRIDING SYSTEM VALUE VALUES (1000000, 'x', true, 1, 1, 'x', 'x', '{}', 1, 0, 0);
INSERT INTO anomaly_detection_alerts (id, job_id, job_name, run_id, kind, severity, message) OVERRIDING SYSTEM VALUE VALUES (1000000, 1, 'x', 1, 'anomalies', 'high', 'x');
INSERT INTO anomaly_detection_outbox (id, alert_id, job_id, payload) OVERRIDING SYSTEM VALUE VALUES (1000000, 1, 1, '{}');
INSERT INTO anomaly_detection_dead_letters (id, job_id, run_id, source_table, source_record_key, reason, sqlstate) OVERRIDING SYSTEM VALUE VALUES (1000000, 1, 1, 'x', '{}', 'x', 'x');
-- nor is the table of jobs to be locked, which every scheduler reads
BEGIN;
LOCK TABLE anomaly_detection_jobs IN ACCESS EXCLUSIVE MODE;
ROLLBACK;
BEGIN;
LOCK TABLE anomaly_detection_jobs IN SHARE MODE;
ROLLBACK;
DELETE FROM anomaly_detection_jobs;
SELECT _ad_remove_job(:mine), _ad_stop_run(:mine);
SELECT status, error FROM run('own');
\set VERBOSITY sqlstate
SELECT _ad_lock_job(1, true, false);  -- would keep it from running
\set VERBOSITY terse
SELECT _ad_due_jobs('{}', '{}');
SELECT _ad_prune_history();
SELECT _ad_reap_all();
SET anomaly_detect.mock_clock = '2030-01-01';
RESET ROLE;
-- nor does a superuser run what others wrote
SELECT ad_run_job('mine');
CALL _ad_run_job(:mine);
\set VERBOSITY sqlstate
SELECT ad_retry_dead_letters('mine');
\set VERBOSITY terse
SELECT ad_pause_job('mine');
-- nor evaluates, in a check, what is constant
SET ROLE regress_ad_owner;
CREATE FUNCTION whoami() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'evaluated as %', current_user; RETURN true; END $$;
SELECT ad_alter_job('mine', configuration => '{"where_clause": "whoami()"}') > 0 AS altered;
RESET ROLE;
SELECT ad_alter_job('mine', active => false) > 0 AS altered;
SELECT job_name, owner, is_active, last_status FROM anomaly_detection_jobs ORDER BY 1;
-- members of the admin role see jobs and may remove them, but not change what runs as somebody else
SET anomaly_detect.admin_role = 'regress_ad_other';
SET ROLE regress_ad_other;
SELECT count(*) FROM ad_job_status;
SELECT ad_alter_job('mine', configuration => '{"where_clause": "false"}');
SELECT ad_pause_job('mine');
SELECT ad_unschedule('mine'), ad_unschedule('own');
RESET ROLE;
RESET anomaly_detect.admin_role;

--
-- What is kept how long
--
SET ROLE regress_ad_other;
INSERT INTO anomaly_detection_jobs (job_name, schedule_cron, configuration)
SELECT 'keep ' || k, '@yearly', jsonb_build_object('retention', k) FROM unnest('{0,1 day,300000 years,x}'::text[]) k;
INSERT INTO anomaly_detection_results (source_table, detection_timestamp, is_anomaly, anomaly_score, confidence, model_id, algorithm, source_record_key, run_id, job_id, p_value, threshold)
SELECT 'kept', now() - interval '2 days', true, 1, 1, 'x', 'x', '{}', 1, id, 0, 0 FROM anomaly_detection_jobs;
RESET ROLE;
-- the results of another role, of a job of the first
INSERT INTO anomaly_detection_results (source_table, detection_timestamp, is_anomaly, anomaly_score, confidence, model_id, algorithm, source_record_key, run_id, job_id, p_value, threshold)
SELECT 'kept', now() - interval '2 days', true, 1, 1, 'x', 'x', '{}', 1, id, 0, 0 FROM anomaly_detection_jobs WHERE job_name = 'keep 1 day';
SELECT _ad_prune_history();
SELECT r.owner = current_user::regrole AS others, j.job_name FROM anomaly_detection_results r JOIN anomaly_detection_jobs j ON j.id = r.job_id
WHERE r.source_table = 'kept' ORDER BY 1, 2;
DELETE FROM anomaly_detection_results WHERE source_table = 'kept';
SELECT count(ad_unschedule(job_name)) FROM anomaly_detection_jobs WHERE job_name ~ '^keep';

--
-- Who has the next place: roles take turns, whatever their rows say
--
INSERT INTO anomaly_detection_jobs (job_name, schedule_cron, next_run, owner)
SELECT 'greedy ' || i, '@yearly', timestamptz '4713-01-01 BC', 'regress_ad_other'::regrole FROM generate_series(1, 3) i
UNION ALL SELECT 'modest ' || i, '@yearly', '2100-01-01', 'regress_ad_owner'::regrole FROM generate_series(1, 2) i
UNION ALL SELECT 'soon ' || i, '@yearly', _ad_now() + i * interval '10 s', 'regress_ad_owner'::regrole FROM generate_series(1, 2) i;
SELECT j.job_name, d.wait_ms FROM _ad_due_jobs('{}', '{}') WITH ORDINALITY d JOIN anomaly_detection_jobs j ON j.id = d.job_id ORDER BY d.ordinality;
-- the greedy one had the last turn, and has a job that runs
SELECT j.job_name FROM _ad_due_jobs(ARRAY(SELECT id FROM anomaly_detection_jobs WHERE job_name = 'greedy 1'), ARRAY['regress_ad_other'::regrole::oid])
    WITH ORDINALITY d JOIN anomaly_detection_jobs j ON j.id = d.job_id WHERE d.wait_ms = 0 ORDER BY d.ordinality;
SELECT count(ad_unschedule(job_name)) FROM anomaly_detection_jobs WHERE job_name ~ '^(greedy|modest|soon)';

--
-- What waits, and for what
--
SET ROLE regress_ad_owner;
SELECT ad_train('readings', '{v}', 'waits', 'mad');
SELECT ad_schedule('waits', 'readings', NULL, 'waits', '@hourly', '{"watermark_column": "id"}') > 0 AS scheduled;
UPDATE anomaly_detection_jobs SET next_run = '2100-01-01' WHERE job_name = 'waits';
SELECT state, waiting_for FROM ad_job_status WHERE job_name = 'waits';
DELETE FROM anomaly_detection_outbox;
INSERT INTO anomaly_detection_outbox (alert_id, job_id, payload, created_at) VALUES (1, 1, '{}', clock_timestamp() - interval '30 minutes');
SELECT p FROM jsonb_array_elements_text(ad_health()->'problems') p WHERE p ~ 'preload|messages';
INSERT INTO anomaly_detection_outbox (alert_id, job_id, payload, created_at) VALUES (1, 1, '{}', clock_timestamp() - interval '2 hours');
SELECT p FROM jsonb_array_elements_text(ad_health()->'problems') p WHERE p ~ 'messages';
SELECT ad_unschedule('waits');
RESET ROLE;
-- who may not log in, and superusers, are told
SET client_min_messages = notice;
GRANT SELECT ON readings TO PUBLIC;
SET ROLE regress_ad_nologin;
SELECT ad_train('readings', '{v}', 'nologin', 'mad');
SELECT ad_schedule('nologin', 'readings', NULL, 'nologin', '@hourly', '{"watermark_column": "id"}') > 0 AS scheduled;
RESET ROLE;
SELECT ad_train('readings', '{v}', 'super', 'mad');
SELECT ad_schedule('super', 'readings', NULL, 'super', '@hourly', '{"watermark_column": "id", "alerts": false}') > 0 AS scheduled;
SELECT status, processed FROM run('super');
SELECT ad_unschedule(j) FROM unnest('{nologin,super}'::text[]) j;
SET client_min_messages = warning;

RESET anomaly_detect.mock_clock;
RESET search_path;
SELECT ad_drop_model(name) FROM ad_models WHERE owner::text ~ '^regress_ad_' OR name = 'super';
TRUNCATE public.anomaly_detection_runs, public.anomaly_detection_results, public.anomaly_detection_jobs, public.anomaly_detection_alerts,
    public.anomaly_detection_outbox, public.anomaly_detection_dead_letters;
DROP SCHEMA job_rights CASCADE;
DROP ROLE regress_ad_owner, regress_ad_other, regress_ad_nologin;
