-- Security: who sees what, with whose rights a condition runs, and what a hostile schema cannot do.
-- pg_regress runs this as a superuser; the roles below are none.
SET client_min_messages = warning;
\set VERBOSITY terse
CREATE ROLE regress_ad_alice;
CREATE ROLE regress_ad_bob;
CREATE ROLE regress_ad_team;
CREATE ROLE regress_ad_auditor;
CREATE SCHEMA security;
GRANT ALL ON SCHEMA security TO PUBLIC;
SET search_path = security, public;

-- Two users train and detect on their own tables.
SET ROLE regress_ad_alice;
CREATE TABLE alices (id int PRIMARY KEY, v float8);
INSERT INTO alices SELECT i, i % 10 FROM generate_series(1, 50) i;
SELECT ad_train('alices', model_name => 'alice', algorithm => 'mad'), ad_train('alices', model_name => 'shared name', algorithm => 'mad');
SELECT ad_detect('alices', model_id => 'alice')->'processed_records' AS processed;
SET ROLE regress_ad_bob;
CREATE TABLE bobs (id int PRIMARY KEY, v float8);
INSERT INTO bobs SELECT i, i % 7 FROM generate_series(1, 30) i;
SELECT ad_train('bobs', model_name => 'bob', algorithm => 'mad');
SELECT ad_detect('bobs', where_clause => 'id > 10', model_id => 'bob')->'processed_records' AS processed;
RESET ROLE;

--
-- Each sees and changes what is theirs
--
CREATE FUNCTION seen(OUT models text, OUT artifacts bigint, OUT stats bigint, OUT runs bigint, OUT results bigint) LANGUAGE sql AS $$
    SELECT (SELECT string_agg(model_id, ', ' ORDER BY model_id) FROM ad_model_versions), (SELECT count(*) FROM model_artifacts),
           (SELECT count(*) FROM model_feature_stats), (SELECT count(*) FROM anomaly_detection_runs), (SELECT count(*) FROM anomaly_detection_results)
$$;
SET ROLE regress_ad_alice;
SELECT * FROM seen();
SELECT ad_score('bob', 1);
SELECT ad_detect('alices', model_id => 'bob');
SELECT ad_drop_model('bob') AS dropped;
SET ROLE regress_ad_bob;
SELECT * FROM seen();
SELECT ad_score('alice@1', 1);
-- A name belongs to one role.
SELECT ad_train('bobs', model_name => 'shared name', algorithm => 'mad');
SELECT ad_train('bobs', model_name => 'shared name', activate => false);
\echo :LAST_ERROR_SQLSTATE
-- So it does for who writes into the registry, and an alias is no number and on one version.
INSERT INTO model_registry SELECT (jsonb_populate_record(r, '{"model_id": "alice@2", "name": "alice", "version": 2, "is_active": false}')).* FROM model_registry r WHERE name = 'bob';
\echo :LAST_ERROR_SQLSTATE
INSERT INTO model_registry SELECT (jsonb_populate_record(r, '{"model_id": "alice@7", "name": "alice", "version": 7, "aliases": ["1", "prod"]}')).* FROM model_registry r WHERE name = 'bob';
INSERT INTO model_registry SELECT (jsonb_populate_record(r, '{"model_id": "bob@5", "version": 5, "is_active": false, "aliases": ["five"]}')).* FROM model_registry r WHERE name = 'bob';
UPDATE model_registry SET aliases = '{prod,1}' WHERE model_id = 'bob@5';
UPDATE model_registry SET aliases = '{five}' WHERE model_id = 'bob@1';
SELECT ad_set_alias('bob', 'five', 1);
SELECT model_id, aliases FROM model_registry ORDER BY version;
SELECT ad_drop_model('bob@5');
-- The source needs privileges of its own, for training as for scoring.
SELECT ad_train('alices', model_name => 'theft');
SELECT * FROM ad_scores('alices', 'bob');
SELECT ad_detect('alices', model_id => 'bob');
RESET ROLE;
-- Members of the owner see as the owner does.
GRANT regress_ad_alice TO regress_ad_team;
SET ROLE regress_ad_team;
SELECT models, runs, results FROM seen();
SELECT ad_score('alice', 4.5) AS median;
-- A new version would not be alice's.
GRANT SELECT ON alices TO regress_ad_team;
SELECT ad_train('alices', model_name => 'alice');
RESET ROLE;
SELECT ad_train('alices', model_name => 'alice');
-- Members of anomaly_detect.admin_role see all; a name that is no role grants nothing.
SET anomaly_detect.admin_role = 'regress_ad_nobody';
SET ROLE regress_ad_auditor;
SELECT * FROM seen();
RESET ROLE;
SET anomaly_detect.admin_role = 'regress_ad_auditor';
SET ROLE regress_ad_auditor;
SELECT * FROM seen();
SELECT ad_score('alice', 4.5) = 0 AS alice, ad_score('bob', 3) = 0 AS bob;
SET ROLE regress_ad_bob;
SELECT models FROM seen();
-- Only a superuser sets it,
SET anomaly_detect.admin_role = 'regress_ad_bob';
-- also in a session that has not loaded the library: the value is thrown away when that happens.
\c
\set VERBOSITY terse
SET search_path = security, public;
SET SESSION AUTHORIZATION regress_ad_bob;
SET anomaly_detect.admin_role = 'regress_ad_bob';
SELECT models FROM seen();
SHOW anomaly_detect.admin_role;
RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;

--
-- Direct writes: nobody's rows but one's own, and nothing that makes a version
--
SET ROLE regress_ad_bob;
INSERT INTO model_registry SELECT (jsonb_populate_record(r, '{"model_id": "b@1", "name": "b", "owner": "regress_ad_alice"}')).* FROM model_registry r;
INSERT INTO model_artifacts VALUES ('alice@1', '');
INSERT INTO model_feature_stats SELECT 'alice@1', 'x', 9, kind, 0, 0, 0, '{}', '{}' FROM model_feature_stats LIMIT 1;
UPDATE model_registry SET owner = 'regress_ad_alice';
UPDATE model_registry SET parameters = '{}';
UPDATE model_registry SET model_id = 'c@1', name = 'c';
UPDATE model_artifacts SET data = '';
UPDATE model_feature_stats SET mean = 0;
DELETE FROM model_artifacts WHERE model_id = 'alice@1' RETURNING model_id;
UPDATE anomaly_detection_results SET anomaly_score = 0;
UPDATE anomaly_detection_runs SET owner = 'regress_ad_alice';
INSERT INTO anomaly_detection_runs (source_table, model_id, status, owner) VALUES ('x', 'x', 'failed', 'regress_ad_alice');
INSERT INTO anomaly_detection_results (source_table, is_anomaly, anomaly_score, confidence, model_id, algorithm, source_record_key, run_id, p_value, threshold, owner)
VALUES ('x', true, 1, 1, 'x', 'x', '{}', 1, 0, 0, 'regress_ad_alice');
TRUNCATE model_registry CASCADE;
-- What is left to the owner: words, state, deletion.
WITH u AS (UPDATE model_registry SET description = 'changed' RETURNING model_id) SELECT * FROM u;
WITH d AS (DELETE FROM anomaly_detection_results RETURNING 1) SELECT count(*) > 0 AS own_results FROM d;
WITH d AS (DELETE FROM model_registry WHERE name <> 'bob' RETURNING 1) SELECT count(*) AS others_models FROM d;
RESET ROLE;
SELECT owner, count(*) AS results FROM anomaly_detection_results GROUP BY 1 ORDER BY 1;

--
-- Row-level security of the source
--
CREATE TABLE shared (id int PRIMARY KEY, who name, v float8);
INSERT INTO shared SELECT i, CASE WHEN i % 4 = 0 THEN 'regress_ad_bob' ELSE 'regress_ad_alice' END, i % 10 FROM generate_series(1, 100) i;
ALTER TABLE shared ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON shared USING (who = current_user);
GRANT SELECT ON shared TO PUBLIC;
SET ROLE regress_ad_bob;
SELECT ad_train('shared', '{v}', 'rls', 'mad');
SELECT training_rows FROM ad_models WHERE name = 'rls';
SELECT ad_detect('shared', model_id => 'rls')->'processed_records' AS processed, (SELECT count(*) FROM ad_scores('shared', 'rls', 'true OR id > 0')) AS scored;
CALL ad_detect_batches('shared', model_id => 'rls', batch_size => 10) \gset
SELECT :'result'::jsonb->'processed_records' AS in_batches;
SET ROLE regress_ad_team;
SELECT ad_train('shared', '{v}', 'team''s');  -- sees no row
RESET ROLE;
-- Entities whose rows are hidden get no model; columns that cannot be read are no labels, weights or names of entities.
CREATE TABLE fleet (id int PRIMARY KEY, who name, device text, v float8, bad boolean, w float8, line int);
INSERT INTO fleet SELECT i, CASE i % 3 WHEN 0 THEN 'regress_ad_bob' ELSE 'regress_ad_alice' END, 'device ' || i % 3, i, i > 110, 1, 1 FROM generate_series(1, 120) i;
ALTER TABLE fleet ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON fleet USING (who = current_user);
GRANT SELECT (id, who, device, v) ON fleet TO PUBLIC;
SELECT ad_train('fleet', '{v}', 'fleet of all', 'mad', partition_by => '{device}');
SELECT metadata->'entities' AS entities FROM model_registry WHERE name = 'fleet of all';
SET ROLE regress_ad_bob;
SELECT ad_train('fleet', '{v}', 'fleet', 'mad', partition_by => '{device}');
SELECT training_rows, metadata->'entities' AS entities, metadata->'entities_without_model' AS without FROM model_registry WHERE name = 'fleet';
SELECT ad_score('fleet', v, 'device 0') = ad_score('fleet', v, 'device 1') AS same FROM fleet LIMIT 1;
SELECT a->'rows' AS rows, a->'unlabelled_rows' AS unlabelled FROM ad_evaluate('fleet', 'fleet', 'id') a;
SELECT ad_evaluate('fleet', 'fleet', 'bad');
SELECT ad_evaluate('fleet of all', 'fleet', 'id');
SELECT ad_train('fleet', '{v}', 'fleet', 'mad', label_column => 'bad');
SELECT ad_train('fleet', '{v}', 'fleet', 'mad', partition_by => '{line}');
SELECT ad_train('fleet', '{v}', 'fleet', 'isolation_forest', weight_column => 'w');
SELECT status, detail FROM ad_validate('fleet', '{v}', 'mad', label_column => 'bad');
RESET ROLE;

--
-- search_path: the caller's for where_clause, none of it for anything of ours
--
CREATE SCHEMA hostile;
GRANT ALL ON SCHEMA hostile TO PUBLIC;
CREATE FUNCTION hostile.trap() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'captured'; END $$;
DO $$
DECLARE
    t name; o text; f text;
BEGIN
    -- operators of the usual types,
    FOREACH t IN ARRAY ARRAY['text', 'int4', 'int8', 'float8', 'jsonb', 'bool', 'timestamptz', 'oid', 'name'] LOOP
        EXECUTE format('CREATE FUNCTION hostile.trap(pg_catalog.%1$I, pg_catalog.%1$I) RETURNS pg_catalog.bool LANGUAGE sql AS ''SELECT hostile.trap()''', t);
        FOREACH o IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>=', '+', '-', '/', '||', '->', '->>', '?'] LOOP
            EXECUTE format('CREATE OPERATOR hostile.%1$s (FUNCTION = hostile.trap, LEFTARG = pg_catalog.%2$I, RIGHTARG = pg_catalog.%2$I)', o, t);
        END LOOP;
    END LOOP;
    -- functions,
    FOREACH f IN ARRAY ARRAY['format(text, VARIADIC text[])', 'to_jsonb(anyelement)', 'jsonb_build_object(VARIADIC text[])', 'now()', 'clock_timestamp()',
            'current_setting(text)', 'set_config(text, text, boolean)', 'length(text)', 'reverse(text)', 'strpos(text, text)', 'row_number()', 'count()',
            'ad_score(text, float8)', '_ad_next_batch(bigint, regclass, integer, text)', 'quote_ident(text)', 'to_regclass(text)'] LOOP
        EXECUTE format('CREATE FUNCTION hostile.%s RETURNS pg_catalog.bool LANGUAGE sql AS ''SELECT hostile.trap()''', f);
    END LOOP;
    -- relations,
    FOREACH t IN ARRAY ARRAY['model_registry', 'model_artifacts', 'anomaly_detection_runs', 'anomaly_detection_results', 'pg_class', 'pg_attribute'] LOOP
        EXECUTE format('CREATE VIEW hostile.%I AS SELECT hostile.trap()', t);
    END LOOP;
    -- and types.
    FOREACH t IN ARRAY ARRAY['text', 'int8', 'float8', 'jsonb', 'bool', 'timestamptz', 'regclass'] LOOP
        EXECUTE format('CREATE DOMAIN hostile.%1$I AS pg_catalog.%1$I CHECK (hostile.trap())', t);
    END LOOP;
END
$$;
CREATE TABLE victim (id int PRIMARY KEY, k text NOT NULL UNIQUE, v float8, at timestamptz DEFAULT '2024-01-01');
INSERT INTO victim SELECT i, 'k' || i, i FROM generate_series(1, 20) i;
CREATE TABLE victims AS SELECT i AS id, (i % 10 = 0)::int AS num, i % 2 AS line, i::float8 AS v FROM generate_series(0, 99) i;
CREATE VIEW victim_view AS SELECT id, v FROM victim;
CREATE FUNCTION caller_finds_this(float8) RETURNS boolean LANGUAGE sql AS 'SELECT $1 OPERATOR(pg_catalog.>) 0';
CREATE FUNCTION hostile.fails(int4) RETURNS boolean LANGUAGE sql AS 'SELECT 1 OPERATOR(pg_catalog./) ($1 OPERATOR(pg_catalog.-) 5) IS NOT NULL';
SET search_path = hostile, pg_catalog, security, public;
SELECT public.ad_train('victim', '{v,k}', 'victim', where_clause => 'caller_finds_this(v)', time_column => 'at', exclude_windows => '{}');
SELECT public.ad_train('victim_view', '{v}', 'victim', 'mad', threshold => '{"method": "score", "value": 1}');
SELECT public.ad_train_data('{{1},{2}}', '{x}', 'victim data');
SELECT public.ad_train('victims', '{v}', 'victims', 'mad', where_clause => 'caller_finds_this(v)', label_column => 'num', partition_by => '{line}');
SELECT metadata FROM public.model_registry WHERE name OPERATOR(pg_catalog.=) 'victims';
SELECT public.ad_evaluate('victims', 'victims', 'num', 'caller_finds_this(v)') IS NOT NULL, public.ad_score('victims', 50::pg_catalog.float8, 1) IS NOT NULL;
SELECT public.ad_detect('victims', NULL, 'victims', options => '{"id_column": "id"}') IS NOT NULL;
SELECT public.ad_score('victim', 20::pg_catalog.float8) IS NOT NULL, public.ad_score('victim@1', victim) IS NOT NULL, public.ad_explain('victim', victim) IS NOT NULL FROM victim LIMIT 1;
SELECT s.is_anomaly FROM public.ad_scores('victim', 'victim', 'caller_finds_this(v)', true, true) s LIMIT 1;
SELECT public.ad_detect('victim', NULL, 'victim', 'caller_finds_this(v)', 7, '{"explain": true, "raw_data": "all"}') IS NOT NULL;
SELECT public.ad_detect_data('{{1},{2}}', '{v}', include_explanations => true) IS NOT NULL, public.ad_detect_data('{{1},{2}}', model_id => 'victim') IS NOT NULL;
CALL public.ad_detect_batches('victim', model_id => 'victim', where_clause => 'caller_finds_this(v)', batch_size => 7) \g /dev/null
CALL public.ad_detect_batches('victim', model_id => 'victim', batch_size => 7, options => '{"id_column": "k"}') \g /dev/null
SELECT public.ad_schedule('victim', 'victim', NULL, 'victim', '@hourly', '{"watermark_column": "id", "where_clause": "caller_finds_this(v) AND hostile.fails(id)",
    "store": "all", "explain": true, "min_confidence": 0, "batch_size": 7, "alerts": {"min_anomalies": 2, "window": "1 hour"}, "shadow_model": "victim@1"}') IS NOT NULL;
SELECT public.ad_schedule('victim by time', 'victim', NULL, 'victim', '@daily', '{"watermark_column": "at"}') IS NOT NULL;
SELECT public.ad_schedule_training('victim training', 'victim', '@daily', '{"activate": "if_better", "where_clause": "caller_finds_this(v)"}') IS NOT NULL;
SELECT pg_catalog.jsonb_extract_path(public.ad_run_job(j), 'status'), pg_catalog.jsonb_extract_path(public.ad_run_job(j), 'error') FROM pg_catalog.unnest('{victim,victim by time,victim training}'::pg_catalog.text[]) j;
INSERT INTO victim VALUES (0, 'k0', 0);
SELECT pg_catalog.jsonb_extract_path(public.ad_run_job('victim'), 'late_records');
SELECT pg_catalog.count(*) FROM public.ad_job_status;
SELECT pg_catalog.count(*) FROM public.ad_open_alerts;
SELECT pg_catalog.count(*) FROM public.anomaly_detection_dead_letters;
SELECT public.ad_alter_job('victim', cron_schedule => '@daily', configuration => '{"late_window": 5}') IS NOT NULL, public.ad_pause_job('victim'), public.ad_resume_job('victim');
SELECT public.ad_snooze_job('victim', '1 hour') IS NOT NULL, public.ad_close_alert(0), public.ad_health() IS NOT NULL;
SELECT public.ad_unschedule(j) FROM pg_catalog.unnest('{victim,victim by time,victim training}'::pg_catalog.text[]) j;
DELETE FROM victim WHERE id OPERATOR(pg_catalog.=) 0;
SELECT public.ad_set_alias('victim', 'a', 1), public.ad_activate('victim@1');
SELECT public.ad_model_info('victim@a') IS NOT NULL;
SELECT pg_catalog.count(*) FROM public.ad_validate('victim');
SELECT pg_catalog.count(*) FROM public.ad_validate('victims', '{v}', 'mad', label_column => 'num', partition_by => '{line}');
SELECT pg_catalog.count(*) FROM public.ad_validate('victims', '{v}', 'mad', where_clause => 'caller_finds_this(v)', partition_by => '{line}');
SELECT public.ad_summary('victim') IS NOT NULL, public.ad_prune('1 day') IS NOT NULL;
SELECT (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 FROM public.ad_models), (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 FROM public.ad_algorithms),
       (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 FROM public.ad_results_flat), (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.=) 0 FROM public.ad_progress);
SELECT public.ad_drop_model('victim data');
-- The condition itself means what it means to the caller.
SELECT public.ad_train('victim', '{v}', where_clause => 'v > 1');
SET search_path = security, public;
SELECT sum(processed_records), count(*) FROM anomaly_detection_runs WHERE source_table = 'security.victim';

--
-- What the extension is made of: every object explains itself, every table is dumped with its rows
--
SELECT pg_describe_object(classid, objid, 0) AS without_comment FROM pg_depend d
WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'anomaly_detect') AND deptype = 'e'
  AND NOT EXISTS (SELECT FROM pg_class WHERE oid = objid AND relkind = 'S')
  AND NOT EXISTS (SELECT FROM pg_type WHERE oid = objid AND (typelem <> 0 OR (SELECT relkind <> 'c' FROM pg_class WHERE pg_class.oid = typrelid)))  -- members since 17
  AND coalesce(obj_description(objid, classid::regclass::name), obj_description((SELECT oid FROM pg_type WHERE typrelid = objid AND classid = 'pg_class'::regclass), 'pg_type')) IS NULL;
SELECT pg_describe_object('pg_class'::regclass, d.objid, 0) AS not_dumped FROM pg_depend d JOIN pg_class c ON c.oid = d.objid, pg_extension e
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'anomaly_detect'
  AND c.relkind IN ('r', 'p') AND d.objid <> ALL (e.extconfig);
SELECT s.oid::regclass AS sequence, s.oid = ANY (e.extconfig) AS dumped FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.refclassid = 'pg_class'::regclass, pg_extension e
WHERE s.relkind = 'S' AND d.refobjid = ANY (e.extconfig) AND e.extname = 'anomaly_detect' ORDER BY 1;
-- Functions run with the rights of their caller, and pin their search_path unless they must not.
SELECT count(*) AS security_definers FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'anomaly_detect') AND p.prosecdef;
SELECT p.proname AS not_pinned, l.lanname AS language, p.prosqlbody IS NOT NULL AS bound FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'anomaly_detect') AND p.proconfig IS NULL AND l.lanname NOT IN ('c', 'internal') ORDER BY 1;
SELECT relname AS without_rls FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'anomaly_detect') AND relkind = 'r' AND NOT relrowsecurity;

--
-- A schema of its own, with a name that needs quotes and is in nobody's search_path
--
SELECT current_database() AS db \gset
CREATE DATABASE regress_ad_schema TEMPLATE template0;
\c regress_ad_schema
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE TABLE model_registry (mine int);
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE EXTENSION anomaly_detect;
\echo :LAST_ERROR_SQLSTATE
CREATE EXTENSION anomaly_detect SCHEMA "My Schema";
CREATE SCHEMA "My Schema";
CREATE EXTENSION anomaly_detect SCHEMA "My Schema";
CREATE TABLE t (id int PRIMARY KEY, v float8);
INSERT INTO t SELECT i, i FROM generate_series(1, 20) i;
SET search_path = public;
SELECT "My Schema".ad_train('t', '{v}', 'm', 'mad'), "My Schema".ad_train('t', '{v}', 'm');
SELECT "My Schema".ad_score('m@1', 10.5), "My Schema".ad_is_anomaly('m@1', t), jsonb_array_length("My Schema".ad_explain('m', t)), ("My Schema".ad_predict('m@1', 10.5)).p_value FROM t WHERE id = 1;
SELECT count(*) FROM "My Schema".ad_scores('t', 'm', 'v > 2', explain => true);
SELECT "My Schema".ad_detect('t', where_clause => 'v > 2', options => '{"explain": true}')->'processed_records' AS processed;
CALL "My Schema".ad_detect_batches('t', batch_size => 6) \gset
SELECT :'result'::jsonb->'processed_records' AS processed;
SELECT "My Schema".ad_detect_data('{{1},{2}}', model_id => 'm')->'summary'->'total_samples' AS samples, "My Schema".ad_train_data('{{1},{2}}', NULL, 'd');
SELECT "My Schema".ad_summary('t')->'summary'->'total_records' AS records, "My Schema".ad_activate('m@1'), "My Schema".ad_set_alias('m', 'a', 1);
SELECT count(*) > 0 AS ok FROM "My Schema".ad_validate('t');
CREATE TABLE entities AS SELECT i AS id, i % 3 AS entity, i % 7 AS x, i % 11 = 0 AS bad FROM generate_series(1, 120) i;
SELECT "My Schema".ad_train('entities', '{x}', 'e', 'mad', label_column => 'bad', partition_by => '{entity}'), count(*) > 0 AS ok FROM "My Schema".ad_validate('entities', '{x}', partition_by => '{entity}');
SELECT "My Schema".ad_evaluate('e', 'entities', 'bad')->'rows' AS rows, (SELECT metadata->'entities' FROM "My Schema".model_registry WHERE name = 'e') AS entities;
SELECT (SELECT count(*) FROM "My Schema".ad_models) AS models, (SELECT count(*) FROM "My Schema".ad_results_flat) AS results, "My Schema".ad_prune('0');
SELECT "My Schema".ad_drop_model('m'), "My Schema".ad_model_info('d') IS NOT NULL AS info;
SELECT count(*) FROM model_registry;
DROP EXTENSION anomaly_detect;
\c :db
\set VERBOSITY terse
SET client_min_messages = warning;
DROP DATABASE regress_ad_schema;

SELECT count(ad_drop_model(name)) > 0 AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
SELECT ad_prune('0') IS NOT NULL AS pruned;
DROP SCHEMA security, hostile CASCADE;
DROP ROLE regress_ad_alice, regress_ad_bob, regress_ad_team, regress_ad_auditor;
