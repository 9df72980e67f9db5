-- Training: from the columns of a source to a version in the registry.
--
-- Every value printed here follows from the contract: names, kinds and counts, never raw scores.
CREATE SCHEMA train;
SET search_path = train, public;
SET client_min_messages = warning;

--
-- Types: each usable one is a number, boolean, timestamp, date, time or category
--
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN percent AS numeric CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE all_types (
    id bigint PRIMARY KEY,
    c_int2 smallint, c_int4 integer, c_int8 bigint, c_float4 real, c_float8 double precision,
    c_numeric numeric(10, 2), c_domain percent, c_interval interval, c_bool boolean,
    c_timestamp timestamp, c_timestamptz timestamptz, c_date date, c_time time, c_timetz timetz,
    c_text text, c_varchar varchar(20), c_char char(20), c_name name, c_char1 "char",
    c_enum mood, c_uuid uuid, c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8,
    -- not features:
    c_bytea bytea, c_array integer[], c_json json, c_jsonb jsonb, c_point point, c_range int4range,
    dropped integer
);
ALTER TABLE all_types DROP COLUMN dropped;
INSERT INTO all_types
SELECT i, i, i, i, i, i, i, i, i * interval '1 hour', i % 2 = 0,
       timestamp '2024-01-01' + i * interval '1 hour', timestamptz '2024-01-01 00:00+00' + i * interval '1 hour',
       date '2024-01-01' + i, time '00:00' + i * interval '10 minutes', timetz '00:00+02' + i * interval '10 minutes',
       'text ' || i % 3, 'varchar ' || i % 3, 'char ' || i % 3, 'name ' || i % 3, chr(65 + i % 3)::"char",
       (ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::mood, md5((i % 3)::text)::uuid,
       inet '10.0.0.0' + i % 3, '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
       '\x00', '{1}', '{}', '{}', '(1,2)', '[1,2)'
FROM generate_series(1, 100) i;

-- Without feature_columns: every usable column but the primary key. The model gets the table's name.
SELECT ad_train('all_types');
SELECT position, feature, kind, missing_fraction
FROM model_feature_stats WHERE model_id = 'all_types@1' ORDER BY position;

-- The statistics follow from the rows: 1 to 100; half of them true; three texts in turn. The
-- deviation of 1 to n is sqrt(n * (n + 1) / 12); an interval counts its seconds.
SELECT feature, mean, round(stddev::numeric, 4) AS stddev, quantiles[1] AS min, quantiles[11] AS median,
       quantiles[21] AS max, cardinality(quantiles) AS quantiles, categories
FROM model_feature_stats
WHERE model_id = 'all_types@1' AND feature IN ('c_int2', 'c_numeric', 'c_domain', 'c_interval', 'c_bool') ORDER BY position;
SELECT feature, mean, stddev, quantiles, categories
FROM model_feature_stats
WHERE model_id = 'all_types@1' AND feature IN ('c_text', 'c_char', 'c_enum', 'c_cidr') ORDER BY position;

-- Each usable column can also be the only one, with each algorithm.
SELECT a.name, count(ad_train('all_types', ARRAY[c.attname::text], 'alone', a.name)) AS models
FROM ad_algorithms a, pg_attribute c
WHERE c.attrelid = 'all_types'::regclass AND c.attname LIKE 'c\_%' AND _ad_feature_kind(c.atttypid) IS NOT NULL
  AND (a.name <> 'rare_category' OR _ad_feature_kind(c.atttypid) = 'category')
GROUP BY 1 ORDER BY 1;

--
-- Names
--
CREATE SCHEMA "Werk Süd";
CREATE TABLE "Werk Süd"."Meß""werte; DROP" ("Größe" float8, "a,b" int, "select" text, "温度" numeric, "Meß""werte; DROP" int);
INSERT INTO "Werk Süd"."Meß""werte; DROP" SELECT i, i % 7, i % 5, i % 3, i % 2 FROM generate_series(1, 50) i;
SELECT ad_train('"Werk Süd"."Meß""werte; DROP"');
SELECT ad_train('"Werk Süd"."Meß""werte; DROP"', ARRAY['温度', 'a,b'], 'Modell № 1', where_clause => '"Größe" > 10 AND "select" <> ''0''');
SELECT model_id, source_table, feature_columns, training_rows FROM model_registry WHERE source_table LIKE '"Werk%' ORDER BY 1;

--
-- Sources
--
CREATE TABLE plain (a float8, b float8);
INSERT INTO plain SELECT i % 17, i % 23 FROM generate_series(1, 200) i;
CREATE VIEW some_view AS SELECT a, b FROM plain WHERE a > 3;
CREATE MATERIALIZED VIEW mat AS SELECT a, b FROM plain;
CREATE TABLE parted (k int, a float8, b float8) PARTITION BY RANGE (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_2 (b float8, k int, a float8);  -- its columns in another order
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (100) TO (1000);
INSERT INTO parted SELECT i, i % 17, i % 23 FROM generate_series(1, 200) i;
CREATE TABLE parent (a float8, b float8);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent SELECT i % 17, i % 23 FROM generate_series(1, 80) i;
INSERT INTO child SELECT i % 17, i % 23 FROM generate_series(1, 120) i;
CREATE TEMP TABLE temporary (a float8, b float8);
INSERT INTO temporary SELECT * FROM plain;
SELECT ad_train(s::regclass) AS model_id
FROM unnest(ARRAY['plain', 'some_view', 'mat', 'parted', 'parent', 'temporary']) s ORDER BY 1;
SELECT name, source_table ~ '^pg_temp' AS temporary, feature_columns, training_rows FROM ad_models
WHERE name IN ('plain', 'some_view', 'mat', 'parted', 'parent', 'temporary') ORDER BY 1;

--
-- What the registry says about a version
--
SELECT ad_train('plain', ARRAY['b', 'a'], 'described', 'isolation_forest', '{"n_estimators": 10, "contamination": 0.1}',
                'a < 10', 'a model for this test', random_seed => 42);
\x on
SELECT model_id, name, algorithm, version, source_table, feature_columns, (SELECT jsonb_object_agg(k, parameters->k) FROM unnest(ARRAY['n_estimators', 'max_samples', 'bootstrap']) k) AS parameters,
       performance_metrics ? 'training_seconds' AS timed, is_active, description, owner = current_user::regrole AS mine,
       status, aliases, preprocess, threshold - 'threshold' AS threshold, (threshold->>'threshold')::float8 > 0 AS has_threshold,
       training_rows, random_seed, format_version, metadata
FROM model_registry WHERE name = 'described';
\x off
-- 119 rows: 11 rounds of 0 to 9, then 1 to 9 of the last 13 rows, 188 to 200.
SELECT r.size_bytes = length(a.data) AS size FROM model_registry r JOIN model_artifacts a USING (model_id) WHERE name = 'described';


--
-- Versions: consecutive, the newest is active unless activate is false, the older ones stay
--
SELECT ad_train('plain', model_name => 'described', random_seed => 42);
SELECT ad_train('plain', model_name => 'described', activate => false);
SELECT ad_train('plain', model_name => 'described', activate => NULL);  -- the default
SELECT model_id, is_active FROM model_registry WHERE name = 'described' ORDER BY version;

--
-- Seeds: the same seed gives the same bytes, another one does not
--
SELECT ad_train('plain', model_name => 'seeds', random_seed => s) FROM unnest(ARRAY[7, 7, 8, -1]) s;
SET anomaly_detect.random_seed = 7;
SELECT ad_train('plain', model_name => 'seeds');
RESET anomaly_detect.random_seed;
SELECT ad_train('plain', model_name => 'seeds');
SELECT ad_train('plain', model_name => 'seeds', random_seed => 0);
SELECT version, random_seed, dense_rank() OVER (ORDER BY random_seed) = dense_rank() OVER (ORDER BY first) AS same_as_seed
FROM (SELECT version, random_seed, min(random_seed) OVER (PARTITION BY md5(data)) AS first
      FROM model_registry r JOIN model_artifacts USING (model_id) WHERE name = 'seeds') s ORDER BY 1;
SELECT count(DISTINCT random_seed) AS seeds, count(DISTINCT md5(data)) AS models
FROM model_registry r JOIN model_artifacts USING (model_id) WHERE name = 'seeds';

-- mad draws nothing: every seed learns the same from a sample that holds all rows.
CREATE FUNCTION verdict(model text) RETURNS text LANGUAGE sql AS
$$ SELECT md5(string_agg(ad_score(model, a, b)::text, ' ' ORDER BY a, b)) FROM plain $$;
SELECT count(DISTINCT verdict(ad_train('plain', model_name => 'mad', algorithm => 'mad', random_seed => s))) AS verdicts
FROM generate_series(1, 3) s;

-- The setting names the algorithm of a training that does not.
SET anomaly_detect.default_algorithm = 'mad';
SELECT ad_train('plain', model_name => 'default');
SELECT algorithm FROM model_registry WHERE name = 'default';
RESET anomaly_detect.default_algorithm;

--
-- sample_size: rows kept, of all rows read
--
SELECT ad_train('plain', model_name => 'sampled', sample_size => 50);
SELECT training_rows, metadata->'fitted_rows' AS fitted_rows, metadata->'calibration_scores' AS calibration_scores
FROM model_registry WHERE name = 'sampled';

--
-- where_clause and exclude_windows choose the rows
--
CREATE TABLE events (id int PRIMARY KEY, at timestamptz, day date, v float8);
INSERT INTO events
SELECT i, timestamptz '2024-03-01 00:00+00' + i * interval '1 hour', date '2024-03-01' + i / 24, i % 10 FROM generate_series(0, 99) i;
INSERT INTO events VALUES (100, NULL, NULL, 5);
-- 101 rows; 10 of them from 05:00 up to, not including, 15:00; one more window removes 1; a row without a time stays
SELECT ad_train('events', '{v}', 'windows', time_column => 'at', exclude_windows =>
    ARRAY[tstzrange('2024-03-01 05:00+00', '2024-03-01 15:00+00'), tstzrange('2024-03-02 00:00+00', '2024-03-02 00:00+00', '[]')]);
SELECT ad_train('events', '{v}', 'windows', where_clause => 'v >= 5', time_column => 'at', exclude_windows => '{}');
SELECT ad_train('events', '{v}', 'windows', where_clause => 'v >= 5 OR v IS NULL -- a comment');
SELECT ad_train('events', '{v}', 'windows', where_clause => 'v > (SELECT avg(v) FROM events)');
SELECT version, training_rows FROM model_registry WHERE name = 'windows' ORDER BY 1;

--
-- Preprocessing: what stands in for a missing value. The values are 1 to 9; 0 and 10 are NULL.
--
CREATE TABLE gaps (id int PRIMARY KEY, v float8);
INSERT INTO gaps SELECT i, CASE WHEN i BETWEEN 1 AND 9 THEN i END FROM generate_series(0, 10) i;
SELECT ad_train('gaps', '{v}', 'gaps', 'mad', preprocess => p) AS model_id, p AS preprocess
FROM unnest(ARRAY['{}', '{"impute": "median"}', '{"impute": "mean"}', '{"impute": "constant", "fill_value": 9}',
                  '{"impute": "constant"}', '{"impute": "reject"}']::jsonb[]) p;
SELECT version, preprocess, training_rows, metadata->'fitted_rows' AS fitted_rows
FROM model_registry WHERE name = 'gaps' ORDER BY 1;
-- A missing value scores like the value that stands in for it. Median and mean are both 5.
SELECT version, ad_score(model_id, NULL::float8) = ad_score(model_id, (ARRAY[5, 5, 5, 9, 0])[version]::float8) AS same
FROM model_registry WHERE name = 'gaps' AND version < 6 ORDER BY 1;
SELECT round(missing_fraction::numeric, 4) AS missing_fraction, mean, quantiles[11] AS median
FROM model_feature_stats WHERE model_id = 'gaps@1';  -- 2 of 11
-- The isolation forest takes missing values as they are.
SELECT ad_train('gaps', '{v}', 'gaps', p->>'algorithm', preprocess => p - 'algorithm') AS model_id, p AS preprocess
FROM unnest(ARRAY['{"algorithm": "isolation_forest"}', '{"algorithm": "isolation_forest", "impute": "none"}']::jsonb[]) p;
SELECT preprocess FROM model_registry WHERE name = 'gaps' AND version > 6 ORDER BY version;

--
-- Thresholds, on 1 to 100 and mad: median 50.5, so that i and 101 - i have the same score, and
-- mad 25, so that the largest score is 49.5 / (1.4826 * 25) = 1.34
--
CREATE TABLE hundred AS SELECT i::float8 AS v FROM generate_series(1, 100) i;
CREATE TABLE rules (n serial, threshold jsonb, parameters jsonb DEFAULT '{}');
INSERT INTO rules (threshold, parameters) VALUES
    ('{}', '{}'),                                           -- the usual 3.5: none reaches it
    ('{"method": "auto"}', '{"contamination": "auto"}'),    -- the same
    ('{"method": "contamination", "value": 0.1}', '{}'),    -- 10 of 100
    ('{}', '{"contamination": 0.1}'),                       -- the same
    ('{"method": "contamination", "value": 0}', '{}'),      -- none
    ('{"method": "contamination", "value": 0.03}', '{}'),   -- 3, but they come in pairs: 2
    ('{"method": "quantile", "value": 0.8}', '{}'),         -- above 80 of 100
    ('{"method": "quantile", "value": 1}', '{}'),           -- above the largest
    ('{"method": "score", "value": 1.0}', '{}'),            -- |v - 50.5| >= 37.065: 1 to 13, 88 to 100
    ('{"method": "p_value", "value": 0.1}', '{}');          -- (1 + k) / 101 <= 0.1: k = 9, in pairs 8
SELECT n, ad_train('hundred', '{v}', 'rules', 'mad', parameters, threshold => threshold) FROM rules ORDER BY n \g /dev/null
SELECT r.n, m.threshold - 'threshold' AS threshold,
       (SELECT count(*) FILTER (WHERE ad_is_anomaly(m.model_id, v)) FROM hundred) AS anomalies
FROM rules r JOIN model_registry m ON m.name = 'rules' AND m.version = r.n ORDER BY 1;
SELECT threshold->'threshold' AS threshold FROM model_registry WHERE name = 'rules' AND version IN (1, 9) ORDER BY version;

--
-- ad_train_data: the rows of an array
--
SELECT ad_train_data(ARRAY[[1, 10], [2, 20], [3, 30], [4, 40], [NULL, 50]], '{x,y}', 'from data', 'mad', description => 'five rows');
SELECT model_id, source_table, feature_columns, training_rows, description FROM ad_model_versions WHERE name = 'from data';
SELECT feature, missing_fraction, quantiles[11] AS median FROM model_feature_stats WHERE model_id = 'from data@1' ORDER BY position;
SELECT ad_train_data('{{1},{2}}', NULL, 'unnamed', algorithm => 'mad');
SELECT feature_columns FROM ad_models WHERE name = 'unnamed';

-- Training in a transaction that fails leaves nothing.
BEGIN;
SELECT ad_train('plain', model_name => 'undone');
ROLLBACK;
SELECT count(*) AS models FROM model_registry WHERE name = 'undone';

-- A training on a view keeps parallel query out of its own query only.
BEGIN;
SET LOCAL max_parallel_workers_per_gather = 3;
SELECT ad_train('some_view');
SHOW max_parallel_workers_per_gather;
COMMIT;

SELECT count(ad_drop_model(name)) > 0 AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
DROP SCHEMA train, "Werk Süd" CASCADE;
