-- Detection: a run over a source, its stored results, batches, figures and the registry.
CREATE SCHEMA detect;
SET search_path = detect, public;
SET timezone = 'UTC';
SET client_min_messages = warning;
-- 1 to 100 and mad with a threshold by hand: median 50.5 and mad 25, so a score of 100 / 37.065 or
-- more takes v >= 150.5; exactly the five planted rows have it.
CREATE TABLE s (id bigint PRIMARY KEY, v float8, note text);
INSERT INTO s SELECT i, i, 'row ' || i FROM generate_series(1, 100) i;
SELECT ad_train('s', '{v}', 'm', 'mad', threshold => '{"method": "score", "value": 2.69}');
INSERT INTO s SELECT 100 + i, 1000 * i, 'planted' FROM generate_series(1, 5) i;

--
-- ad_detect: the response, the run, the results
--
SELECT ad_detect('s', '{v}', 'm', 'id > 10', 40) AS r \gset
SELECT key, CASE WHEN key NOT IN ('run_id', 'processing_time_seconds') THEN value END AS value
FROM jsonb_each(:'r') WHERE key <> 'batch_results' ORDER BY 1;
SELECT * FROM jsonb_to_recordset(:'r'::jsonb->'batch_results')
    AS b(batch_number int, records_processed int, anomalies_found int, anomaly_rate float8) ORDER BY 1;
-- 5,000 rows one by one: at every 1000th entry neighbours are added up. 1000 of 1 become 500 of 2, 2,000 rows
-- make 500 of 4, 4,000 rows 500 of 8, and 1,000 more 125 of 8.
CREATE TABLE many AS SELECT i AS id, i AS v FROM generate_series(1, 5000) i;
SELECT count(*), min(batch_number), max(batch_number), min(records_processed), max(records_processed), sum(records_processed)
FROM jsonb_to_recordset(ad_detect('many', model_id => 'm', batch_size => 1, options => '{"id_column": "id", "store": "none"}')->'batch_results')
    AS b(batch_number int, records_processed int);
SELECT batch_number, records_processed, anomalies_found
FROM jsonb_to_recordset(ad_detect('many', NULL, 'm', 'id <= 2502', 1, '{"id_column": "id", "store": "none"}')->'batch_results')
    AS b(batch_number int, records_processed int, anomalies_found int)
WHERE batch_number IN (1, 37, 38, 500, 625, 626) ORDER BY 1;
SELECT count(*) AS results, count(*) FILTER (WHERE is_anomaly) AS anomalies, min(source_record_id), max(source_record_id),
       bool_and(source_record_key = jsonb_build_object('id', source_record_id)) AS key,
       bool_and(anomaly_score = ad_score('m', s.v)) AS score, bool_and(is_anomaly = (anomaly_score >= threshold)) AS verdict,
       bool_and(confidence = 1 - p_value) AS confidence, bool_and(features = jsonb_build_object('v', s.v)) AS features,
       bool_and((raw_data = to_jsonb(s)) IS NOT DISTINCT FROM CASE WHEN is_anomaly THEN true END) AS raw_data,
       bool_and(explanation IS NULL) AS unexplained, bool_and(detection_timestamp BETWEEN now() - interval '1 hour' AND now()) AS recent
FROM anomaly_detection_results JOIN s ON s.id = source_record_id WHERE run_id = (:'r'::jsonb->'run_id')::bigint;
SELECT DISTINCT source_table, model_id, algorithm, owner = current_user::regrole AS mine, threshold FROM anomaly_detection_results;
SELECT status, source_table, model_id, where_clause, options, processed_records, skipped_records, anomalies_found, batches, attempt,
       finished_at >= started_at AS finished, job_id, error, sqlstate, pid = pg_backend_pid() AS pid
FROM anomaly_detection_runs WHERE id = (:'r'::jsonb->'run_id')::bigint;
-- All five planted rows are stranger than all of 100 calibration scores: p-value 1 / 101, so
-- confidence 0.9901: medium.
SELECT source_record_id AS id, severity, p_value = 1 / 101::float8 AS smallest, raw_data FROM anomaly_detection_results WHERE is_anomaly ORDER BY 1;

-- Options: what is stored does not change what is counted.
CREATE FUNCTION stored(source regclass, model text, options jsonb, OUT counted text, OUT stored bigint, OUT raw bigint, OUT explained bigint)
LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := ad_detect(source, model_id => model, options => options);
BEGIN
    counted := (answer->>'processed_records') || ' with ' || (answer->>'anomalies_found');
    SELECT count(*), count(raw_data), count(explanation) INTO stored, raw, explained
    FROM anomaly_detection_results WHERE run_id = (answer->'run_id')::bigint;
END
$$;
SELECT o AS options, d.* FROM unnest(ARRAY['{}', '{"store": "anomalies"}', '{"store": "none"}', '{"raw_data": "all"}', '{"raw_data": "none"}',
    '{"explain": true}', '{"store": "anomalies", "raw_data": "none", "explain": true}']::jsonb[]) o, stored('s', 'm', o) d;
SELECT source_record_id AS id, explanation = (SELECT ad_explain('m', v) FROM s WHERE id = source_record_id) AS same
FROM anomaly_detection_results WHERE explanation IS NOT NULL ORDER BY run_id, 1 LIMIT 5;
-- Without a model: the newest active one of the source. Without a row: a run all the same.
SELECT ad_detect('s')->'anomalies_found' AS found;
SELECT ad_detect('s', where_clause => 'false') - 'run_id' - 'processing_time_seconds' AS nothing;

-- Rows that the model rejects are counted as skipped.
CREATE TABLE gaps AS SELECT id, CASE WHEN id % 5 > 0 THEN v END AS v FROM s;
ALTER TABLE gaps ADD PRIMARY KEY (id);
SELECT ad_train('gaps', '{v}', 'strict', 'mad', preprocess => '{"impute": "reject"}');
SELECT ad_detect('gaps') - 'run_id' - 'processing_time_seconds' - 'batch_results' - 'anomalies_found' - 'overall_anomaly_rate' AS skipped;

--
-- Keys: integer, uuid, text, several columns; id_column where there is none
--
CREATE TABLE by_uuid (k uuid PRIMARY KEY, v float8);
INSERT INTO by_uuid SELECT md5(i::text)::uuid, i FROM generate_series(1, 3) i;
CREATE TABLE by_text (v float8, "the key" text PRIMARY KEY);
INSERT INTO by_text VALUES (1, 'a"b'), (2, 'ß'), (3, '');
CREATE TABLE by_two (v float8, b date, a int2, PRIMARY KEY (a, b));
INSERT INTO by_two SELECT i, date '2024-01-01' + i, i % 2 FROM generate_series(1, 3) i;
CREATE VIEW by_view AS SELECT id AS n, v FROM s WHERE id <= 3;
SELECT x AS source, ad_detect(x::regclass, model_id => 'm', options => CASE x WHEN 'by_view' THEN '{"id_column": "n"}'::jsonb END)->'processed_records' AS rows
FROM unnest(ARRAY['by_uuid', 'by_text', 'by_two', 'by_view']) x;
SELECT source_table, source_record_key AS key, source_record_id AS id FROM anomaly_detection_results
WHERE source_table LIKE 'detect.by%' ORDER BY source_table, (features->>'v')::float8;
-- Names that the queries around the source also use
CREATE TABLE q (q int PRIMARY KEY, r float8, p float8, n float8, s float8, t float8, id float8, v float8);
INSERT INTO q SELECT i, i, i, i, i, i, i, i FROM generate_series(1, 10) i;
SELECT ad_train('q', model_name => 'q'), ad_detect('q', NULL, 'm', 'q > 2 AND r > 3 AND n < 10', 4, '{"explain": true}')->'processed_records' AS processed;
CALL ad_detect_batches('q', model_id => 'q', batch_size => 4) \gset
SELECT :'result'::jsonb->'processed_records' AS processed, (SELECT count(*) FROM ad_scores('q', 'q', 'p > 2 -- eight', false, true)) AS scored;

--
-- One transaction: an error in the middle leaves nothing
--
\set VERBOSITY terse
SELECT count(*) AS runs FROM anomaly_detection_runs \gset
SELECT count(*) AS results FROM anomaly_detection_results \gset
SELECT ad_detect('s', where_clause => '100 / (id - 50) < 1000');
SELECT count(*) = :runs AS same_runs, (SELECT count(*) = :results FROM anomaly_detection_results) AS same_results FROM anomaly_detection_runs;

--
-- ad_detect_batches: commits each batch, resumes after an error, stores each row once
--
CREATE TABLE stop_at (id bigint);
CREATE FUNCTION passes(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM stop_at t WHERE t.id = passes.id) THEN RAISE EXCEPTION 'stopped at %', passes.id; END IF;
    RETURN true;
END
$$;
INSERT INTO stop_at VALUES (47);
CALL ad_detect_batches('s', model_id => 'm', where_clause => 'passes(id)', batch_size => 20);
-- Two batches of 20 stand; the third had row 47.
SELECT status, error, sqlstate, processed_records, anomalies_found, batches, attempt, last_key,
       (SELECT count(*) FROM anomaly_detection_results r WHERE r.run_id = u.id) AS results
FROM anomaly_detection_runs u WHERE status <> 'succeeded';
DELETE FROM stop_at;
SET client_min_messages = error;
CALL ad_detect_batches('s', model_id => 'm', where_clause => 'passes(id)', batch_size => 20) \gset
SELECT :'result'::jsonb - 'run_id' - 'processing_time_seconds' AS result;
SELECT count(*) AS results, count(DISTINCT source_record_id) AS rows, count(*) FILTER (WHERE is_anomaly) AS anomalies
FROM anomaly_detection_results WHERE run_id = (:'result'::jsonb->'run_id')::bigint;
SELECT status, attempt, batches, last_key, (SELECT count(*) FROM ad_progress) AS in_progress
FROM anomaly_detection_runs WHERE id = (:'result'::jsonb->'run_id')::bigint;
-- A call after the end starts another run.
CALL ad_detect_batches('s', model_id => 'm', where_clause => 'passes(id)', batch_size => 20) \gset again_
SELECT (:'again_result'::jsonb->'run_id')::bigint > (:'result'::jsonb->'run_id')::bigint AS another;
RESET client_min_messages;

-- Whatever the batch size and the key, every row is stored once, with the score of ad_detect.
CREATE TABLE wide_key (c text, a date, b uuid, v float8, w numeric(6, 2) NOT NULL UNIQUE, PRIMARY KEY (b, a, c));
INSERT INTO wide_key SELECT 'k' || i % 3, date '2024-01-01' + i % 4, md5((i / 12)::text)::uuid, i, i + 0.25 FROM generate_series(0, 99) i;
CREATE FUNCTION batches_agree(run jsonb, source_rows bigint) RETURNS boolean LANGUAGE sql AS $$
    SELECT (run->>'processed_records')::bigint = source_rows AND count(*) = source_rows
           AND count(DISTINCT source_record_key) = source_rows AND bool_and(anomaly_score = ad_score('m', (features->>'v')::float8))
    FROM anomaly_detection_results WHERE run_id = (run->'run_id')::bigint
$$;
CALL ad_detect_batches('wide_key', model_id => 'm', batch_size => 1) \gset a_
CALL ad_detect_batches('wide_key', model_id => 'm', batch_size => 7) \gset b_
CALL ad_detect_batches('wide_key', model_id => 'm', batch_size => 50) \gset c_
CALL ad_detect_batches('wide_key', model_id => 'm', batch_size => 1000) \gset d_
CALL ad_detect_batches('wide_key', model_id => 'm', batch_size => 9, options => '{"id_column": "w"}') \gset e_
CALL ad_detect_batches('by_text', model_id => 'm', batch_size => 1) \gset f_
SELECT batches_agree(:'a_result', 100) AS a, batches_agree(:'b_result', 100) AS b, batches_agree(:'c_result', 100) AS c,
       batches_agree(:'d_result', 100) AS d, batches_agree(:'e_result', 100) AS e, batches_agree(:'f_result', 3) AS f;
-- 100 rows: a last batch that is not full ends the run, so 50 takes an empty third one, not counted.
SELECT batches FROM anomaly_detection_runs WHERE source_table = 'detect.wide_key' ORDER BY id;
CALL ad_detect_batches('s', model_id => 'm', batch_size => 10, where_clause => 'false') \gset g_
SELECT :'g_result'::jsonb - 'run_id' - 'processing_time_seconds' AS nothing;
-- Batches need a key with an order and without duplicates.
CALL ad_detect_batches('s', model_id => 'm', options => '{"id_column": "v"}');
CALL ad_detect_batches('by_view', model_id => 'm', options => '{"id_column": "n"}');
BEGIN;
CALL ad_detect_batches('s', model_id => 'm');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

--
-- Figures and views
--
SELECT ad_prune('0') - '{alerts,messages,dead_letters}'::text[] = jsonb_build_object('results', (SELECT count(*) FROM anomaly_detection_results), 'runs', (SELECT count(*) FROM anomaly_detection_runs)) AS all_pruned;
SELECT (SELECT count(*) FROM anomaly_detection_results) AS results, (SELECT count(*) FROM anomaly_detection_runs) AS runs;
SELECT ad_detect('s', options => '{"explain": true}')->'anomalies_found' AS s, ad_detect('by_two', model_id => 'm')->'anomalies_found' AS by_two;
SELECT (ad_summary()->'summary') - '{average_score,max_score,first_detection,last_detection}'::text[] AS summary;
SELECT (b - '{average_score,max_score,last_detection}'::text[]) AS by_table FROM jsonb_array_elements(ad_summary()->'breakdown_by_table') b;
SELECT (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(ad_summary()->'summary') k) AS keys;
SELECT ad_summary('s')->'summary'->'total_records' AS by_name, ad_summary('detect.s')->'summary'->'total_records' AS qualified,
       ad_summary('nope')->'summary'->'total_records' AS unknown, ad_summary(NULL, now() - interval '1 hour', now() + interval '1 hour')->'summary'->'total_records' AS hour,
       ad_summary(end_date => now() - interval '1 hour')->'summary'->'total_records' AS before, ad_summary('nope')->'breakdown_by_table' AS no_tables;
SELECT source_record_id AS id, is_anomaly, severity, top_feature, top_value, top_expected, top_direction, top_contribution = anomaly_score AS top
FROM ad_results_flat WHERE source_record_id > 99 ORDER BY 1;
SELECT source_record_key, severity, features, jsonb_array_length(explanation) AS reasons FROM ad_recent_anomalies ORDER BY source_record_id;
SELECT source_table, sum(records) AS records, sum(anomalies) AS anomalies, bool_and(date_trunc('hour', hour) = hour) AS hours,
       bool_and(anomaly_rate = anomalies / records::float8) AS rate FROM ad_anomaly_rate_by_hour GROUP BY 1 ORDER BY 1;
SELECT ad_prune('1 hour') AS pruned;

--
-- ad_detect_data: rows in, verdicts out, nothing stored
--
SELECT ad_detect_data('{{1,10},{2,20},{3,30},{4,40},{500,50}}', '{x,y}', 'mad', include_explanations => true) AS d \gset
SELECT array_agg(k ORDER BY k) AS keys FROM jsonb_object_keys(:'d'::jsonb) k;
SELECT p - 'anomaly_score' - 'confidence' AS prediction, (p->>'anomaly_score')::float8 > 0 AS score, p ? 'confidence' AS confidence
FROM jsonb_array_elements(:'d'::jsonb->'predictions') p;
SELECT (:'d'::jsonb->'summary') - '{average_score,min_score,max_score}'::text[] AS summary, :'d'::jsonb->'model_info' AS model_info;
-- median 3 and mad 1: the scores are 2 1 0 1 497 for x, and for y 2 1 0 1 2, in units of 1.4826
SELECT round((:'d'::jsonb->'summary'->>'max_score')::numeric, 4) AS max_score, round(497 / 1.4826, 4) AS by_hand, :'d'::jsonb->'summary'->'min_score' AS min_score;
SELECT jsonb_array_length(:'d'::jsonb->'explanations') AS explanations, :'d'::jsonb->'explanations'->4->0->>'feature' AS reason,
       (:'d'::jsonb->>'timestamp')::timestamptz <= clock_timestamp() AS timestamp, (:'d'::jsonb->>'processing_time_ms')::float8 >= 0 AS time;
SELECT ad_detect_data('{{50},{NULL},{5000}}', model_id => 'm') - '{timestamp,processing_time_ms,model_info}'::text[] #- '{summary,average_score}' #- '{summary,max_score}'
       #- '{predictions,0,anomaly_score}' #- '{predictions,2,anomaly_score}' #- '{summary,min_score}' #- '{predictions,0,confidence}' #- '{predictions,1,confidence}' #- '{predictions,2,confidence}' AS by_model;

--
-- ad_validate, ad_algorithms
--
SELECT check_name, status, CASE WHEN check_name NOT IN ('time', 'memory') THEN detail END AS detail, suggestion FROM ad_validate('gaps', NULL, 'mad');
CREATE TABLE poor AS SELECT CASE WHEN i = 1 THEN 1.5 END AS mostly_null, 7 AS constant, 'x' AS one_text, i AS fine FROM generate_series(1, 10) i;
SELECT check_name, status, detail, suggestion FROM ad_validate('poor') WHERE check_name NOT IN ('time', 'memory');
SELECT * FROM ad_validate('poor', '{nope}');
SELECT * FROM ad_validate('poor', algorithm => 'mad', parameters => '{"x": 1}');
-- 100 rows of one number: 11 cells of 8 bytes each; a forest of 100 trees: up to 200 nodes of 24 bytes each
CREATE TABLE hundred AS SELECT i::float8 AS v FROM generate_series(1, 100) i;
SELECT detail FROM ad_validate('hundred') WHERE check_name = 'memory';
SELECT check_name, status, detail FROM ad_validate('hundred', parameters => '{"n_estimators": 5000, "max_samples": 65536}') WHERE check_name = 'memory';
SET anomaly_detect.max_training_memory = '1MB';
SELECT check_name, status, detail FROM ad_validate('hundred', parameters => '{"n_estimators": 10000}');
-- What ad_train can do is no error: without "sample_size" the sample shrinks to the memory, of 1000 rows as of others.
SET anomaly_detect.max_training_memory = '64kB';
SELECT status, detail FROM ad_validate('hundred', NULL, 'mad') WHERE check_name = 'memory';
SELECT status, detail FROM ad_validate('hundred', NULL, 'mad', sample_size => 1000);
SELECT ad_train('hundred', NULL, 'hundred', 'mad'), ad_drop_model('hundred');
RESET anomaly_detect.max_training_memory;
SELECT count(*) AS stored FROM model_registry WHERE name = 'poor';
SELECT name, family, takes_missing, length(summary) > 0 AS summary, length(score_scale) > 0 AS score_scale, length(paper) > 0 AS paper FROM ad_algorithms ORDER BY 1;
SELECT p->>'name' AS parameter, p->>'type' AS type, p->'default' AS "default", p->'minimum' AS minimum, p->'maximum' AS maximum, length(p->>'help') > 0 AS help
FROM ad_algorithms, jsonb_array_elements(parameters) p WHERE name = 'isolation_forest';

--
-- The registry: versions, aliases, what is dropped
--
SELECT ad_train('s', '{v}', 'm', 'mad'), ad_train('s', '{v}', 'm', 'mad');
SELECT ad_set_alias('m', 'prod', 1) AS first, ad_set_alias('m', 'prod', 2) AS moved, ad_set_alias('m', 'test', 2) AS another;
SELECT model_id, is_active, aliases FROM ad_model_versions WHERE name = 'm' ORDER BY version;
SELECT ad_activate('m@prod');
SELECT model_id, version, algorithm, source_table, feature_columns, threshold, training_rows, owner = current_user::regrole AS mine FROM ad_models WHERE name <> 'q' ORDER BY 1;
SELECT i->>'model_id' AS model_id, i->'aliases' AS aliases, i->'features'->0->>'feature' AS feature, i->'features'->0->'missing_fraction' AS missing
FROM ad_model_info('m') i;
SELECT ad_drop_model('m@2') AS version, ad_drop_model('m@2') AS again, ad_drop_model('m@prod') AS alias;
SELECT model_id, is_active FROM ad_model_versions WHERE name = 'm' ORDER BY version;
SELECT ad_score('m', 1);  -- no active version
SELECT ad_activate('m@3'), ad_train('s', '{v}', 'm', 'mad');
SELECT ad_drop_model('m') AS all_versions;
SELECT (SELECT count(*) FROM model_artifacts WHERE model_id LIKE 'm@%') AS artifacts,
       (SELECT count(*) FROM model_feature_stats WHERE model_id LIKE 'm@%') AS stats;
SELECT count(*) AS results_stay FROM anomaly_detection_results WHERE model_id = 'm@1';

SELECT ad_drop_model('strict'), ad_drop_model('q');

--
-- The position of a batch run does not depend on how the session writes values
--
CREATE TABLE minutes (at timestamptz PRIMARY KEY, v float8);
INSERT INTO minutes SELECT timestamptz '2020-10-25 00:00+00' + i * interval '1 minute', i FROM generate_series(1, 40) i;
CREATE TABLE thirds (k float8 PRIMARY KEY, v float8);
INSERT INTO thirds SELECT i / 3.0, i FROM generate_series(1, 40) i;
SELECT ad_train('minutes', '{v}', 'minutes', 'mad'), ad_train('thirds', '{v}', 'thirds', 'mad');
SET timezone = 'Asia/Kolkata';  -- its name is written IST, which is read as Israel's
SET datestyle = 'SQL, MDY';
SET extra_float_digits = 0;
CALL ad_detect_batches('minutes', model_id => 'minutes', batch_size => 9) \gset
SELECT :'result'::jsonb->'processed_records' AS minutes;
CALL ad_detect_batches('thirds', model_id => 'thirds', batch_size => 1) \gset
SELECT :'result'::jsonb->'processed_records' AS thirds;
RESET timezone; RESET datestyle; RESET extra_float_digits;

-- The primary key of a table does not hold for those that inherit from it.
CREATE TABLE parent (id int PRIMARY KEY, v float8);
CREATE TABLE heir () INHERITS (parent);
INSERT INTO parent SELECT i, i FROM generate_series(1, 10) i;
INSERT INTO heir SELECT i, i FROM generate_series(1, 10) i;
SELECT ad_train('parent', '{v}', 'parent', 'mad');
CALL ad_detect_batches('parent', model_id => 'parent');
CALL ad_detect_batches('parent', model_id => 'parent', options => '{"id_column": "id"}');
SELECT ad_detect('parent', model_id => 'parent', options => '{"id_column": "id"}')->'processed_records' AS both;

-- Nor does every unique index make rows distinct: one that is not valid, partial, on an expression, of another equality, or
-- checked late. One that does is enough.
CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE TABLE loose (id int NOT NULL, name text COLLATE blind NOT NULL, v float8, later int GENERATED ALWAYS AS IDENTITY UNIQUE DEFERRABLE);
INSERT INTO loose SELECT i / 2, CASE WHEN i % 2 = 0 THEN 'n' ELSE 'N' END || i / 2, i FROM generate_series(0, 99) i;
CREATE UNIQUE INDEX CONCURRENTLY not_valid ON loose (id);
CREATE UNIQUE INDEX ON loose (name COLLATE "C");
CREATE UNIQUE INDEX ON loose (id) WHERE v < 1;
CREATE UNIQUE INDEX ON loose ((v::int), id);
SELECT ad_train('loose', '{v}', 'loose', 'mad');
CALL ad_detect_batches('loose', model_id => 'loose', batch_size => 7, options => '{"id_column": "id"}');
CALL ad_detect_batches('loose', model_id => 'loose', batch_size => 7, options => '{"id_column": "name"}');
CALL ad_detect_batches('loose', model_id => 'loose', batch_size => 7, options => '{"id_column": "later"}');
CREATE UNIQUE INDEX ON loose (later) INCLUDE (v);
CALL ad_detect_batches('loose', model_id => 'loose', batch_size => 7, options => '{"id_column": "later"}') \gset
SELECT :'result'::jsonb->'processed_records' AS all_rows;
-- The primary key of a partitioned table holds when every partition has one.
CREATE TABLE parts (id int NOT NULL, v float8) PARTITION BY LIST (id);
CREATE TABLE part PARTITION OF parts DEFAULT;
INSERT INTO parts VALUES (1, 1), (1, 2);
ALTER TABLE ONLY parts ADD PRIMARY KEY (id);
SELECT ad_detect('parts', model_id => 'loose');

-- A run is resumed on the table that it began with, not on one of the same name.
INSERT INTO stop_at VALUES (5);
CREATE TABLE again (id bigint PRIMARY KEY, v float8);
INSERT INTO again SELECT i, i FROM generate_series(1, 10) i;
SELECT ad_train('again', '{v}', 'again', 'mad');
CALL ad_detect_batches('again', where_clause => 'passes(id)', batch_size => 3);
DROP TABLE again;
CREATE TABLE again (id bigint PRIMARY KEY, v float8);
INSERT INTO again SELECT i, i FROM generate_series(11, 30) i;
CALL ad_detect_batches('again', model_id => 'again', where_clause => 'passes(id)', batch_size => 3) \gset
SELECT :'result'::jsonb->'processed_records' AS processed;

-- It cannot read what it stores.
SELECT ad_train('anomaly_detection_results', '{anomaly_score}', 'own', 'mad');
CALL ad_detect_batches('anomaly_detection_results', model_id => 'own');

-- Infinite values are as strange as can be, and can still be averaged.
CREATE TABLE extreme (id int PRIMARY KEY, v float8);
INSERT INTO extreme SELECT i, i % 10 FROM generate_series(1, 100) i;
SELECT ad_train('extreme', '{v}', 'extreme', 'mad');
INSERT INTO extreme VALUES (101, 'Infinity'), (102, '-Infinity'), (103, 1e308);
SELECT ad_detect('extreme', model_id => 'extreme')->'anomalies_found' AS anomalies;
SELECT ad_summary('extreme')->'summary'->'average_score' IS NOT NULL AS average, count(*) > 0 AS hours FROM ad_anomaly_rate_by_hour;

SELECT count(ad_drop_model(name)) AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
SET client_min_messages = warning;
SELECT ad_prune('0') IS NOT NULL AS pruned;
DROP SCHEMA detect CASCADE;
