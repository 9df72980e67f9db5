-- Partitioned models: one for each entity in one call, and one for all other rows.
CREATE SCHEMA partitions;
SET search_path = partitions, public;
SET client_min_messages = warning;
\set SHOW_CONTEXT never

-- Devices a and b have 40 rows each, b 1000 higher; c has too few for a model; five rows name no device.
CREATE TABLE r (id int PRIMARY KEY, x float8, device text, line int);
INSERT INTO r SELECT i, i, 'a', 1 FROM generate_series(1, 40) i;
INSERT INTO r SELECT 100 + i, 1000 + i, 'b', 2 FROM generate_series(1, 40) i;
INSERT INTO r SELECT 200 + i, i, 'c', 3 FROM generate_series(1, 29) i;
INSERT INTO r SELECT 300 + i, 500 + i, NULL, NULL FROM generate_series(1, 5) i;
SELECT ad_train('r', '{x}', 'devices', 'mad', partition_by => '{device}'), ad_train('r', '{x}', 'all', 'mad');
-- The features are as without partition_by; metadata say the rest.
SELECT feature_columns, training_rows, format_version, metadata FROM model_registry WHERE name IN ('devices', 'all') ORDER BY name;
SELECT feature, kind FROM model_feature_stats WHERE model_id = 'devices@1';
SELECT i->'metadata'->'entities' AS entities, jsonb_array_length(i->'features') AS features FROM ad_model_info('devices') i;

-- The median of 1 to 40 is 20.5; the median distance from it is 10. A distance of 14.826 scores 1.
SELECT ad_score('devices', 20.5::float8, 'a') AS a, ad_score('devices', 35.326::float8, 'a') AS one, ad_score('devices', 1020.5::float8, 'b') AS b,
       ad_score('devices', 1020.5::float8, 'a') AS b_in_a;
SELECT ad_is_anomaly('devices', 1020.5::float8, 'a') AS b_in_a, ad_is_anomaly('devices', 1020.5::float8, 'b') AS b;
-- Too few rows, unseen, missing: the model of all rows, which the other one is.
SELECT who, bool_and(ad_predict('devices', x, who) = ad_predict('all', x)) AS as_all, bool_and(ad_explain('devices', x, who) = ad_explain('all', x)) AS explained
FROM (VALUES ('c'), ('zebra'), (NULL)) v(who), generate_series(0, 2000, 250) t(i), CAST(i AS float8) x GROUP BY 1 ORDER BY 1;
-- Every form of a row
SELECT count(*), bool_and(plain = ad_score('devices', r)) AS row, bool_and(plain = ad_score('devices', to_jsonb(r))) AS json
FROM r, ad_score('devices', x, device) plain;
SELECT ad_score('devices', '{"x": 20.5, "device": "a"}'::jsonb) AS a, ad_score('devices', '{"x": 20.5}'::jsonb) = ad_score('all', 20.5::float8) AS absent;
SELECT ad_score('devices', 20.5::float8);
SELECT ad_score('devices', 20.5::float8, 1);
SELECT ad_score('devices', (SELECT n FROM (SELECT 20.5::float8 AS x) n));
-- Explanations have the features only, with what is expected of the entity.
SELECT ad_explain('devices', 20.5::float8, 'a')->0->'expected' AS a, jsonb_array_length(ad_explain('devices', 20.5::float8, 'a')) AS entries,
       ad_explain('devices', 20.5::float8, 'b')->0->>'direction' AS direction;

--
-- Whole sources, with thresholds that differ
--
SELECT ad_train('r', '{x}', 'forest', parameters => '{"n_estimators": 20, "contamination": 0.05}', where_clause => 'id NOT BETWEEN 131 AND 139', partition_by => '{device}');
CREATE VIEW single AS SELECT id, p.* FROM r, ad_predict('forest', r) p;
SELECT count(DISTINCT threshold) AS thresholds, bool_or(is_anomaly) AS anomalies FROM single;
SELECT count(*), bool_and((s.is_anomaly, s.anomaly_score, s.confidence, s.p_value) = (p.is_anomaly, p.anomaly_score, p.confidence, p.p_value)) AS same,
       bool_and(s.features = to_jsonb(r) - 'id' - 'line') AS features, bool_and(s.explanation = ad_explain('forest', r)) AS explained
FROM ad_scores('r', 'forest', explain => true) s JOIN single p ON s.record_key = jsonb_build_object('id', p.id) JOIN r USING (id);
SELECT (SELECT count(*) FROM ad_scores('r', 'forest', only_anomalies => true)) = (SELECT count(*) FROM single WHERE is_anomaly) AS only_anomalies;
SELECT ad_detect('r', '{x}', 'forest', options => '{"explain": true}')->'processed_records' AS processed;
SELECT ad_detect('r', '{device,x}', 'forest', options => '{"raw_data": "none"}')->'processed_records' AS processed;
CALL ad_detect_batches('r', model_id => 'forest', batch_size => 17) \gset
SELECT :'result'::jsonb->'processed_records' AS processed;
SELECT run_id - min(run_id) OVER () AS run, count(*), bool_and((r.is_anomaly, r.anomaly_score, r.p_value, r.threshold) = (p.is_anomaly, p.anomaly_score, p.p_value, p.threshold)) AS same
FROM anomaly_detection_results r JOIN single p ON p.id = r.source_record_id WHERE r.model_id = 'forest@1' GROUP BY run_id ORDER BY run_id;
-- also when the results have a trigger, and go in by a query
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE TRIGGER nothing BEFORE INSERT ON anomaly_detection_results FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT ad_detect('r', model_id => 'forest')->'run_id' AS run_id \gset
DROP TRIGGER nothing ON anomaly_detection_results;
SELECT count(*), bool_and(r.threshold = p.threshold AND r.anomaly_score = p.anomaly_score) AS same
FROM anomaly_detection_results r JOIN single p ON p.id = r.source_record_id WHERE run_id = :run_id;
SELECT ad_detect('r', '{x,line}', 'forest');

--
-- The model of an entity is the one that its rows would give alone
--
SELECT ad_train('r', '{x}', 'only_a', parameters => '{"n_estimators": 20, "contamination": 0.05}', where_clause => 'device = ''a''');
SELECT count(*), bool_and(ad_predict('forest', x, 'a') = ad_predict('only_a', x)) AS same FROM r;
-- whatever the way of reading, and whatever the order of the rows
SELECT array_agg(DISTINCT model_id) IS NOT NULL AS trained FROM (
    SELECT set_config('max_parallel_workers_per_gather', w, false), ad_train('r', '{x}', 'again', parameters => '{"n_estimators": 20}', partition_by => '{device}') AS model_id
    FROM unnest(ARRAY['0', '2']) w) t;
RESET max_parallel_workers_per_gather;
CREATE TABLE shuffled AS SELECT * FROM r ORDER BY md5(id::text);
ALTER TABLE shuffled ADD PRIMARY KEY (id);
SELECT ad_train('shuffled', '{x}', 'again', parameters => '{"n_estimators": 20}', partition_by => '{device}');
SELECT count(*), count(DISTINCT data) AS different FROM model_artifacts WHERE model_id LIKE 'again@%';
-- Nothing of the session is changed.
BEGIN;
SET LOCAL enable_hashagg = on;
SET LOCAL enable_sort = off;
SET LOCAL max_parallel_workers_per_gather = 3;
SELECT ad_train('r', '{x}', 'again', 'mad', partition_by => '{device}');
SELECT current_setting('enable_hashagg') AS hashagg, current_setting('enable_sort') AS sort, current_setting('max_parallel_workers_per_gather') AS workers, current_setting('search_path') AS path;
COMMIT;
SELECT metadata->'entities' AS entities FROM model_registry WHERE model_id = 'again@4';

--
-- What names an entity
--
CREATE TYPE place AS ENUM ('here', 'there');
CREATE DOMAIN code AS varchar(10);
CREATE TABLE typed (id int PRIMARY KEY, x float8, i2 int2, i4 int4, i8 int8, r real, f float8, n numeric, b boolean, iv interval, ts timestamp, tz timestamptz, d date, t time,
    c text, v varchar, ch char(8), co code, c1 "char", na name, e place, u uuid, ip inet);
INSERT INTO typed SELECT i, h * 1000 + i / 2, h, h, h, h, h / 3.0, h / 3.0, h = 1, h * interval '1 day', timestamp '2024-01-01' + h * interval '1 second', timestamptz '2024-01-01 00:00+00' + h * interval '1 hour',
    date '2024-01-01' + h, time '10:00' + h * interval '1 minute', 'c' || h, 'c' || h, 'c' || h, 'c' || h, (ARRAY['x', 'y'])[h + 1]::"char", 'c' || h, (ARRAY['here', 'there'])[h + 1]::place, md5(h::text)::uuid, inet '10.0.0.0' + h
FROM generate_series(0, 79) i, CAST(i % 2 AS int) h;
SELECT attname, ad_train('typed', '{x}', attname, 'mad', partition_by => ARRAY[attname::text]) IS NOT NULL AS trained FROM pg_attribute
WHERE attrelid = 'typed'::regclass AND attnum > 2 ORDER BY attnum;
-- Each half has 0 to 39 or 1000 to 1039: medians of 19.5 and 1019.5, which are both ordinary in their own. JSON has no
-- intervals.
SELECT name, metadata->'entities' AS entities, (SELECT max(anomaly_score) < 2 FROM ad_scores('typed', model_id)) AS at_home,
       CASE WHEN name <> 'iv' THEN (SELECT bool_and(ad_score(model_id, w) = ad_score(model_id, to_jsonb(w))) FROM typed w) END AS json
FROM model_registry WHERE source_table = 'partitions.typed' ORDER BY name COLLATE "C";
-- Several columns
SELECT ad_train('typed', '{x}', 'several', 'mad', partition_by => '{c,b,i8,e}');
SELECT metadata->'partition_by' AS partition_by, metadata->'entities' AS entities, ad_score('several', 19.5::float8, 'c0', false, 0, 'here'::place) AS first,
       ad_score('several', 1019.5::float8, 'c1', true, 1, 'there'::place) AS second, ad_score('several', 19.5::float8, 'c0', true, 0, 'here'::place) > 0 AS neither
FROM model_registry WHERE name = 'several';
-- Numbers are compared as double precision: -0 is 0, NaN is missing, beyond 2^53 neighbours are one. Padding and the collation do not count.
CREATE COLLATION same_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE odd (id serial PRIMARY KEY, x float8, f float8, big bigint, k text COLLATE same_case);
INSERT INTO odd (x, f, big, k) SELECT i, CASE WHEN i > 40 THEN 'NaN' WHEN i % 2 = 0 THEN -0.0 ELSE 0.0 END, 9007199254740992 + i % 2, CASE WHEN i % 2 = 0 THEN 'A' ELSE 'a' END FROM generate_series(1, 80) i;
SELECT p AS partition_by, ad_train('odd', '{x}', p, 'mad', partition_by => ARRAY[p]) IS NOT NULL AS trained FROM unnest(ARRAY['f', 'big', 'k']) p;
SELECT DISTINCT ON (name) name, metadata->'entities' AS entities, metadata->'entities_without_model' AS without FROM model_registry WHERE source_table = 'partitions.odd' ORDER BY name, version DESC;
SELECT ad_score('f', 20.5::float8, '-0'::float8) AS zero, ad_score('f', 40.5::float8, 'NaN'::float8) AS of_all;

--
-- Sources of other kinds
--
CREATE VIEW seen AS SELECT x, device FROM r;
CREATE TABLE parted (LIKE r) PARTITION BY LIST (line);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
INSERT INTO parted TABLE r;
SELECT s, ad_train(s::regclass, '{x}', s, 'mad', partition_by => '{device}') AS model_id FROM unnest(ARRAY['seen', 'parted']) s;
SELECT s, ad_score(s, 1020.5::float8, 'b') AS b, ad_score(s, 20.5::float8, 'a') AS a FROM unnest(ARRAY['seen', 'parted']) s;
-- Names that need care; more features than arguments are passed one by one
CREATE TABLE "Größe, ""neu""" ("a b" float8, "select" text);
INSERT INTO "Größe, ""neu""" SELECT x, device FROM r;
SELECT ad_train('"Größe, ""neu"""', model_name => 'names', algorithm => 'mad', partition_by => '{select}');
SELECT feature_columns, metadata->'partition_by' AS partition_by, ad_score('names', 20.5::float8, 'a') AS a FROM model_registry WHERE name = 'names';
DO $$
BEGIN
    EXECUTE (SELECT format('CREATE TABLE wide (k int PRIMARY KEY, device text, %s)', string_agg('c' || n || ' float8', ', ')) FROM generate_series(1, 95) n);
    EXECUTE (SELECT format('INSERT INTO wide SELECT id, device, %s FROM r', string_agg('x', ', ')) FROM generate_series(1, 95) n);
END
$$;
SELECT ad_train('wide', model_name => 'wide', algorithm => 'mad', partition_by => '{device}');
SELECT cardinality(feature_columns) AS features, metadata->'entities' AS entities FROM model_registry WHERE name = 'wide';
SELECT count(*), bool_and(ad_score('wide', w) = ad_score('devices', c1, device)) AS same FROM wide w;
-- Arrays of numbers, where all that names the entity is numbers
SELECT ad_train('r', '{x}', 'lines', 'mad', partition_by => '{line}');
SELECT p->'anomaly_score' AS score FROM jsonb_array_elements(ad_detect_data('{{20.5, 1}, {1020.5, 2}}', model_id => 'lines')->'predictions') p;
SELECT ad_detect_data('{{20.5, 1}}', '{x,line}', model_id => 'lines')->'model_info'->'features' AS features;
SELECT ad_detect_data('{{20.5}}', '{x}', model_id => 'lines');
SELECT ad_score('lines', VARIADIC ARRAY[1020.5, 2]) AS b;

--
-- Who gets no model
--
-- a p-value of 0.02 needs 49 rows
SELECT ad_train('r', '{x}', 'strict', 'mad', threshold => '{"method": "p_value", "value": 0.02}', partition_by => '{device}');
-- rows that are rejected do not count
CREATE TABLE gaps AS SELECT id, CASE WHEN device = 'a' AND id < 12 OR device = 'b' THEN NULL ELSE x END AS x, device FROM r WHERE device IN ('a', 'b', 'c');
SELECT ad_train('gaps', '{x}', 'gaps', 'mad', preprocess => '{"impute": "reject"}', partition_by => '{device}');
SELECT name, metadata->'entities' AS entities, metadata->'entities_without_model' AS without FROM model_registry WHERE name IN ('strict', 'gaps') ORDER BY 1 DESC;
SELECT ad_score('gaps', NULL::float8, 'b');
SELECT count(*) FROM ad_scores('gaps', 'gaps');
-- where_clause, exclude_windows and known anomalies count for entities too
ALTER TABLE r ADD bad boolean, ADD at timestamptz;
UPDATE r SET bad = true WHERE device = 'a' AND id <= 11;
UPDATE r SET at = '2024-01-01' WHERE device = 'b' AND id <= 111;
SELECT ad_train('r', '{x}', 'fewer', 'mad', where_clause => w, label_column => CASE n WHEN 1 THEN 'bad' END, partition_by => '{device}', time_column => CASE n WHEN 2 THEN 'at' END,
    exclude_windows => CASE n WHEN 2 THEN ARRAY[tstzrange('2023-01-01', '2025-01-01')] END)
FROM (VALUES (0, 'x > 2'), (1, NULL), (2, NULL), (3, 'device = ''a'' OR id = 101')) v(n, w);
SELECT version, metadata->'entities' AS entities, metadata->'entities_without_model' AS without FROM model_registry WHERE name = 'fewer' ORDER BY 1;

--
-- Limits and mistakes
--
CREATE FUNCTION fails(statement text, OUT result text) LANGUAGE plpgsql AS $$
DECLARE
    message text; hint text;
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    result := concat(sqlstate, ': ', regexp_replace(message, '\d+', '...', 'g'), E'\nHINT: ', hint);
END
$$;
\pset format unaligned
CREATE TABLE lots AS SELECT i AS id, i::float8 AS x, i % 60 AS device FROM generate_series(1, 1920) i;
SET anomaly_detect.max_training_memory = '1MB';
SELECT fails($$SELECT ad_train('lots', '{x}', 'large', parameters => '{"n_estimators": 50, "max_samples": 32}', partition_by => '{device}', sample_size => 256)$$);
RESET anomaly_detect.max_training_memory;
SET anomaly_detect.max_model_size = '100kB';
SELECT fails($$SELECT ad_train('r', '{x}', 'large', partition_by => '{device}')$$);
RESET anomaly_detect.max_model_size;
\pset format aligned
ALTER TABLE r ADD doc jsonb;
SELECT ad_train('r', '{x}', 'x', partition_by => '{}');
SELECT ad_train('r', '{x}', 'x', partition_by => '{nope}');
SELECT ad_train('r', '{x}', 'x', partition_by => '{doc}');
SELECT ad_train('r', '{x}', 'x', partition_by => '{device,device}');
SELECT ad_train('r', '{x}', 'x', partition_by => '{NULL}');
SELECT ad_train('r', '{x,line}', 'x', partition_by => '{line}');
SELECT ad_train('wide', '{device}', 'x', partition_by => ARRAY(SELECT 'c' || n FROM generate_series(1, 17) n));
SELECT count(*) AS models FROM model_registry WHERE name IN ('x', 'large');
-- The internals refuse what is not theirs.
SELECT _ad_join_entities((SELECT data FROM model_artifacts WHERE model_id = 'all@1'), 'SELECT 1');
SELECT _ad_join_entities((SELECT data FROM model_artifacts WHERE model_id = 'devices@1'), 'SELECT 1');
SELECT _ad_join_entities((SELECT data FROM model_artifacts WHERE model_id = 'devices@1'), $$SELECT ''::bytea, ''::bytea$$);
SELECT _ad_entity_key('{}'::jsonb);

-- ad_fit: with min_rows, fewer rows give no model and no error.
SELECT device, ad_fit('{"algorithm": "mad", "min_rows": 30}', x) IS NOT NULL AS model FROM r GROUP BY 1 ORDER BY 1;
SELECT ad_fit('{"algorithm": "mad", "partition_columns": 1}', x) FROM r;
SELECT length(ad_fit('{"algorithm": "mad", "partition_columns": 1}', x, device)) > 0 AS model FROM r;

-- ad_validate counts entities.
SELECT check_name, status, detail, suggestion FROM ad_validate('r', '{x}', 'mad', partition_by => '{device}') WHERE check_name NOT IN ('time', 'memory');
SELECT check_name, status, detail, suggestion FROM ad_validate('r', '{x}', 'mad', partition_by => '{id}') WHERE check_name = 'entities';
SELECT * FROM ad_validate('r', '{x}', 'mad', partition_by => '{nope}');

-- It says what their models take, within a quarter: of points kept (knn), of trees (300 rows make trees of 256), of the scores of training.
CREATE TABLE estimated AS SELECT i AS id, sqrt(i) AS x, i % 40 AS small, i % 3 AS large FROM generate_series(1, 12000) i;
CREATE TABLE compared (algorithm text, entity text, estimate float8);
INSERT INTO compared SELECT a, e, (SELECT substring(detail FROM '[0-9]+')::float8 * 1024 FROM ad_validate('estimated', '{x}', a, partition_by => ARRAY[e]) WHERE check_name = 'models')
FROM unnest(ARRAY['mad', 'knn', 'isolation_forest', 'loda']) a, unnest(ARRAY['small', 'large']) e;
SELECT count(ad_train('estimated', '{x}', algorithm || entity, algorithm, partition_by => ARRAY[entity])) AS trained FROM compared;
SELECT c.algorithm, entity, estimate / size_bytes BETWEEN 0.8 AND 1.25 AS near FROM compared c JOIN model_registry r ON r.name = c.algorithm || entity ORDER BY 1, 2;
-- Rows without a weight in the smaller of the two models that the estimate is made from; a threshold that 300 rows reach, and one that 300 do not
ALTER TABLE estimated ADD w int;
UPDATE estimated SET w = CASE WHEN id % 400 = 0 THEN 1 ELSE 0 END;
SELECT status, detail ~ '^about [0-9]+ kB for 40 entities' AS detail FROM ad_validate('estimated', '{x}', parameters => '{"n_estimators": 10}', partition_by => '{small}', weight_column => 'w') WHERE check_name = 'models';
SELECT value, check_name, status, detail FROM unnest(ARRAY[0.004, 0.001]) value,
    ad_validate('estimated', '{x}', 'mad', threshold => jsonb_build_object('method', 'p_value', 'value', value), partition_by => '{small}') WHERE check_name = 'entities';
SELECT value, ad_train('estimated', '{x}', 'of p_value', 'mad', threshold => jsonb_build_object('method', 'p_value', 'value', value), partition_by => '{small}') FROM unnest(ARRAY[0.004, 0.001]) value;
SELECT version, metadata->'entities' AS entities FROM model_registry WHERE name = 'of p_value' ORDER BY 1;
-- More than is allowed is an error, and what is near it a warning, which name the settings that are too small.
\pset format unaligned
CREATE FUNCTION of_models(settings text[], OUT result text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('anomaly_detect.max_training_memory', settings[1], true), set_config('anomaly_detect.max_model_size', settings[2], true);
    SELECT concat_ws(' | ', status, detail, suggestion) INTO result FROM ad_validate('estimated', '{x}', 'knn', partition_by => '{small}') WHERE check_name = 'models';
END
$$;
SELECT of_models(s) FROM (VALUES ('{-1,256MB}'::text[]), ('{64MB,400kB}'), ('{300kB,256MB}'), ('{300kB,200kB}')) s(s);
\pset format aligned

SELECT count(ad_drop_model(name)) > 0 AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
DELETE FROM anomaly_detection_results;
DELETE FROM anomaly_detection_runs;
DROP SCHEMA partitions CASCADE;
