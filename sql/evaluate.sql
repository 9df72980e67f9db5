-- Labels: known anomalies are kept out of the fit, and scores are compared with what is known.
CREATE SCHEMA evaluate;
SET search_path = evaluate, public;
SET client_min_messages = warning;
\set SHOW_CONTEXT never

-- 40 rows known to be normal, with 1 to 40; two known anomalies, one of them far out and one in the middle; 8 rows of
-- which nothing is known.
CREATE TABLE r (id int PRIMARY KEY, x float8, bad boolean);
INSERT INTO r SELECT i, i, false FROM generate_series(1, 40) i;
INSERT INTO r VALUES (101, 1000, true), (102, 20.5, true);
INSERT INTO r SELECT 200 + i, 16 + i, NULL FROM generate_series(1, 8) i;

SELECT ad_train('r', model_name => 'm', algorithm => 'mad', label_column => 'bad');
-- The label is no feature; 42 - 2 + 8 rows were learned from. Median 20.5.
SELECT feature_columns, training_rows, metadata FROM model_registry WHERE name = 'm';
SELECT ad_score('m', 20.5::float8) AS median;
-- 1000 is above all 40 normal rows, 20.5 below all: of 80 pairs, 40 are in order. The precision is 1 at a recall of 1/2, then
-- 2/42; of the two highest scores one is an anomaly; only 1000 is above the threshold.
\x on
SELECT a->'rows' AS rows, a->'labelled_anomalies' AS anomalies, a->'auroc' AS auroc, round((a->>'average_precision')::numeric, 9) AS average_precision,
       round(0.5 + 0.5 * 2 / 42, 9) AS by_hand, a->'precision_at_n' AS precision_at_n, a->'precision' AS precision, a->'recall' AS recall,
       round((a->>'f1')::numeric, 9) AS f1, a->'flagged' AS flagged, a->'unlabelled_rows' AS unlabelled, a->'rejected_rows' AS rejected, a->'note' AS note
FROM ad_evaluate('m', 'r', 'bad') a;
\x off
SELECT performance_metrics - 'training_seconds' = ad_evaluate('m', 'r', 'bad') - 'model_id' AS same, performance_metrics ? 'training_seconds' AS timed,
       ad_evaluate('m', 'r', 'bad')->'model_id' AS model_id FROM model_registry WHERE name = 'm';

--
-- Labels of every type say the same: not 0 is an anomaly, null and NaN are unknown
--
CREATE DOMAIN grade AS smallint CHECK (VALUE >= 0);
CREATE DOMAIN flag AS boolean;
CREATE TABLE typed AS SELECT id, x, bad, bad::int::int2 AS i2, bad::int * 7 AS i4, bad::int * -1::int8 AS i8, CASE WHEN bad THEN 0.5 WHEN NOT bad THEN 0 ELSE 'NaN' END::real AS r,
    CASE WHEN bad THEN 'Infinity' WHEN NOT bad THEN '-0' ELSE 'NaN' END::float8 AS f, CASE WHEN bad THEN 0.001 WHEN NOT bad THEN 0 ELSE 'NaN' END::numeric AS n,
    bad::int::int2::grade AS g, bad::flag AS b FROM r;
SELECT attname, ad_evaluate('m', 'typed', attname) = ad_evaluate('m', 'r', 'bad') AS same FROM pg_attribute WHERE attrelid = 'typed'::regclass AND attnum > 2 ORDER BY attnum;
SELECT attname, ad_train('typed', '{x}', 'typed', 'mad', label_column => attname) FROM pg_attribute WHERE attrelid = 'typed'::regclass AND attnum > 2 ORDER BY attnum;
SELECT DISTINCT training_rows, performance_metrics - 'training_seconds' = ad_evaluate('m', 'r', 'bad') - 'model_id' AS same FROM model_registry WHERE name = 'typed';

--
-- Against other ways to the same figures: ranks, and groups of equal scores
--
CREATE TABLE many AS SELECT i AS id, (i * 7919 % 1009)::float8 AS x, (i * 104729 % 997)::float8 AS y, CASE i % 10 WHEN 0 THEN NULL ELSE i % 13 = 0 END AS bad FROM generate_series(1, 5000) i;
UPDATE many SET x = x + 600, y = y - 600 WHERE bad AND id % 3 > 0;
SELECT ad_train('many', '{x,y}', 'many', parameters => '{"n_estimators": 5, "max_samples": 16}', label_column => 'bad');
WITH scored AS (
    SELECT anomaly_score AS score, is_anomaly AS flagged, bad FROM ad_scores('many', 'many', id_column => 'id') s JOIN many m ON m.id = (s.record_key->>'id')::int WHERE bad IS NOT NULL
), ranked AS (
    SELECT *, rank() OVER (ORDER BY score) + (count(*) OVER (PARTITION BY score) - 1) / 2.0 AS average_rank FROM scored
), total AS (
    SELECT count(*) FILTER (WHERE bad) AS anomalies, count(*) FILTER (WHERE NOT bad) AS normal FROM scored
), groups AS (
    SELECT score, count(*) FILTER (WHERE bad) AS hits, sum(count(*) FILTER (WHERE bad)) OVER up AS hits_above, sum(count(*)) OVER up AS above FROM scored GROUP BY score WINDOW up AS (ORDER BY score DESC)
), figures AS (
    SELECT (SELECT (sum(average_rank) - anomalies * (anomalies + 1) / 2.0) / (anomalies * normal) FROM ranked WHERE bad) AS auroc,
           (SELECT sum(hits / anomalies::float8 * (hits_above / above)) FROM groups) AS average_precision,
           (SELECT avg(bad::int) FROM scored WHERE flagged) AS precision, (SELECT avg(flagged::int) FROM scored WHERE bad) AS recall, total.* FROM total
)
SELECT (SELECT count(DISTINCT score) < count(*) FROM scored) AS has_ties, abs((a->>'auroc')::float8 - auroc::float8) < 1e-9 AS auroc, abs((a->>'average_precision')::float8 - average_precision) < 1e-9 AS average_precision,
       abs((a->>'precision')::float8 - precision::float8) < 1e-9 AS precision, abs((a->>'recall')::float8 - recall::float8) < 1e-9 AS recall,
       (a->>'rows')::bigint = anomalies + normal AS rows, (a->>'unlabelled_rows')::bigint = 500 AS unlabelled, (a->>'auroc')::float8 > 0.5 AS better_than_chance
FROM figures, ad_evaluate('many', 'many', 'bad') a;
-- A sort that does not fit into memory says the same.
SET work_mem = '64kB';
SELECT ad_evaluate('many', 'many', 'bad') = (SELECT performance_metrics - 'training_seconds' || '{"model_id": "many@1"}' FROM model_registry WHERE name = 'many') AS same;
RESET work_mem;

--
-- Conditions
--
SELECT a->'rows' AS rows, a->'labelled_anomalies' AS anomalies, a->'auroc' AS auroc, a->'unlabelled_rows' AS unlabelled
FROM ad_evaluate('m', 'r', 'bad', 'id > 30 AND x <> 20.5 -- and no more') a;
SELECT ad_train('r', '{x}', 'some', 'mad', where_clause => 'id BETWEEN 11 AND 101', label_column => 'bad');
SELECT training_rows, performance_metrics->'rows' AS rows, performance_metrics->'labelled_anomalies' AS anomalies FROM model_registry WHERE name = 'some';
ALTER TABLE r ADD at date;
UPDATE r SET at = '2024-01-01' WHERE id <= 10;
SELECT ad_train('r', '{x}', 'some', 'mad', label_column => 'bad', time_column => 'at', exclude_windows => ARRAY[tstzrange('2023-12-01', '2024-02-01')]);
SELECT training_rows, performance_metrics->'rows' AS rows FROM model_registry WHERE model_id = 'some@2';
-- Rows that the model rejects are counted.
UPDATE r SET x = NULL WHERE id IN (1, 2, 102);
SELECT ad_train('r', '{x}', 'rejecting', 'mad', preprocess => '{"impute": "reject"}');
SELECT a->'rows' AS rows, a->'labelled_anomalies' AS anomalies, a->'rejected_rows' AS rejected, a->'auroc' AS auroc FROM ad_evaluate('rejecting', 'r', 'bad') a;

--
-- One class, or none
--
SELECT w, a->'rows' AS rows, a->'labelled_anomalies' AS anomalies, a->'flagged' AS flagged, a->'auroc' AS auroc, a->'f1' AS f1, a->>'note' AS note
FROM unnest(ARRAY['bad', 'NOT bad', 'bad IS NULL', 'false']) w, ad_evaluate('m', 'r', 'bad', w) a;
SELECT ad_train('r', '{x}', 'normal', 'mad', where_clause => 'bad IS NOT TRUE', label_column => 'bad');
SELECT performance_metrics->>'note' AS note FROM model_registry WHERE name = 'normal';
SELECT ad_train('r', '{x}', 'anomalies', 'mad', where_clause => 'bad', label_column => 'bad');

--
-- Every kind of source, on a standby or in a read-only transaction as well
--
CREATE VIEW seen AS SELECT x, bad FROM typed;
SELECT ad_evaluate('m', 'seen', 'bad') = ad_evaluate('m', 'typed', 'bad') AS view;
CREATE TABLE "Größe" (x float8, "bad label" boolean, "Größe" int);
INSERT INTO "Größe" SELECT x, bad, 1 FROM typed;
SELECT ad_evaluate('m', '"Größe"', 'bad label') = ad_evaluate('m', 'typed', 'bad') AS names;
BEGIN READ ONLY;
SELECT ad_evaluate('m', 'typed', 'bad') IS NOT NULL AS read_only;
COMMIT;
-- By the models of entities
ALTER TABLE typed ADD who text;
UPDATE typed SET who = CASE WHEN id % 2 = 0 THEN 'even' ELSE 'odd' END;
SELECT ad_train('typed', '{x}', 'who', 'mad', parameters => '{"contamination": 0.1}', label_column => 'bad', partition_by => '{who}');
SELECT (a->>'flagged')::int = (SELECT count(*) FROM typed WHERE bad IS NOT NULL AND ad_is_anomaly('who', x, who)) AS flagged, a - 'model_id' = performance_metrics - 'training_seconds' AS same
FROM model_registry, ad_evaluate('who', 'typed', 'bad') a WHERE name = 'who';

--
-- Mistakes
--
SELECT ad_evaluate(NULL, 'r', 'bad');
SELECT ad_evaluate('nope', 'r', 'bad');
SELECT ad_evaluate('m', 'r', NULL);
SELECT ad_evaluate('m', 'r', 'nope');
SELECT ad_evaluate('m', 'typed', 'who');
SELECT ad_evaluate('m', 'r', 'at');
SELECT ad_evaluate('m', NULL, 'bad');
SELECT ad_evaluate('m', 'r', 'bad', 'x > 1; SELECT 1');
ALTER TABLE r RENAME x TO y;
SELECT ad_evaluate('m', 'r', 'bad');
ALTER TABLE r RENAME y TO x;
SELECT ad_train('typed', '{x}', 'x', label_column => 'who');
SELECT ad_train('r', '{x}', 'x', label_column => 'nope');
SELECT ad_train('r', '{x,bad}', 'x', label_column => 'bad');
SELECT ad_train('r', '{x}', 'x', label_column => 'bad', partition_by => '{bad}');
SELECT ad_train('r', '{x}', 'x', weight_column => 'bad');
SELECT ad_train('r', '{x}', 'x', weight_column => 'at');
SELECT ad_train('r', '{x}', 'x', weight_column => 'nope');
SELECT ad_train('r', '{x,id}', 'x', weight_column => 'id');
\set VERBOSITY terse
SELECT ad_train('r', '{x}', 'x', 'mad', weight_column => 'id');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
-- Labels that take out every row, as the -1 and 1 of other tools do, neither of which is 0; and labels that cannot measure the model
CREATE TABLE labelled AS SELECT i AS id, i::float8 AS x, CASE WHEN i % 10 = 0 THEN -1 ELSE 1 END AS outlier, true AS every, NULL::boolean AS nothing, i % 10 = 0 AS bad, CASE WHEN i % 10 = 0 THEN 1 END AS only_bad FROM generate_series(1, 200) i;
SELECT ad_train('labelled', '{x}', 'x', 'mad', label_column => 'outlier');
SELECT ad_train('labelled', '{x}', 'x', 'mad', where_clause => 'id <= 50', label_column => 'every');
SELECT ad_train('labelled', '{x}', 'x', 'mad', where_clause => 'id > 200', label_column => 'every');
SELECT l, v.* FROM unnest(ARRAY['outlier', 'every', 'nothing', 'bad', 'only_bad']) l, ad_validate('labelled', '{x}', 'mad', label_column => l) v WHERE check_name IN ('training', 'rows', 'labels') ORDER BY l, check_name;
-- ad_validate says the same.
SELECT check_name, status, detail FROM ad_validate('r', '{x}', 'mad', label_column => 'bad') WHERE check_name NOT IN ('time', 'memory');
SELECT check_name, status, detail FROM ad_validate('r', '{x}', 'mad', label_column => 'nope');
SELECT check_name, status, detail FROM ad_validate('r', '{x}', 'mad', weight_column => 'id');
SELECT check_name, status, detail FROM ad_validate('r', '{x}', 'mad', preprocess => '{"impute": "guess"}');
SELECT check_name, status, detail FROM ad_validate('r', '{x}', 'mad', sample_size => 0);
SELECT check_name, status, detail FROM ad_validate('r', '{x}', 'mad', time_column => 'at', exclude_windows => ARRAY[tstzrange('2023-12-01', '2024-02-01')]) WHERE check_name = 'rows';
-- A training that takes more than a minute is a warning.
SELECT status = CASE WHEN substring(detail FROM '[0-9.]+')::float8 > 60 THEN 'warning' ELSE 'ok' END AS status, detail ~ '^about [0-9.]+ seconds$' AS detail
FROM ad_validate('many', '{x,y}') WHERE check_name = 'time';

-- Weights: the weight is no feature, and of three entities each has 100 rows.
CREATE TABLE weighted AS SELECT i AS id, (i % 17)::float8 AS x, 1::float8 AS w, i % 3 AS dev FROM generate_series(1, 300) i;
ALTER TABLE weighted ADD PRIMARY KEY (id);
SELECT ad_train('weighted', NULL, 'w', 'isolation_forest', weight_column => 'w', partition_by => '{dev}');
SELECT feature_columns, metadata->'entities' AS entities FROM model_registry WHERE model_id = 'w@1';
UPDATE weighted SET w = -1 WHERE id = 5;
SELECT ad_train('weighted', '{x}', 'w', 'isolation_forest', weight_column => 'w');
UPDATE weighted SET w = 'Infinity' WHERE id = 5;
SELECT ad_train('weighted', '{x}', 'w', 'isolation_forest', weight_column => 'w');
-- null is 0: such a row is never drawn, and neither are all if no row has a weight
UPDATE weighted SET w = NULL WHERE id = 5;
SELECT ad_train('weighted', '{x}', 'w', 'isolation_forest', weight_column => 'w');
UPDATE weighted SET w = 0;
SELECT ad_train('weighted', '{x}', 'w', 'isolation_forest', weight_column => 'w');
-- an entity whose rows all have weight 0 is left to the fallback
UPDATE weighted SET w = CASE WHEN dev = 1 THEN 0 ELSE 1 END;
SELECT ad_train('weighted', '{x}', 'w', 'isolation_forest', weight_column => 'w', partition_by => '{dev}');
SELECT metadata->'entities' AS entities, metadata->'entities_without_model' AS without FROM model_registry WHERE model_id = 'w@3';
SELECT ad_train('weighted', '{x}', 'w', 'mad', weight_column => 'w');
-- A row of weight 0 leaves fit, calibration and threshold as if it were not there.
UPDATE weighted SET w = CASE WHEN id <= 30 THEN 0 ELSE 1 END;
UPDATE weighted SET x = 1e6 + id WHERE id <= 30;
SELECT ad_train('weighted', '{x}', 'zero', 'isolation_forest', weight_column => 'w');
SELECT ad_train('weighted', '{x}', 'without', 'isolation_forest', weight_column => 'w', where_clause => 'id > 30');
SELECT z.training_rows, z.metadata->'fitted_rows' AS fitted, z.metadata->'calibration_scores' AS calibration, z.threshold = w.threshold AS threshold
FROM model_registry z, model_registry w WHERE z.model_id = 'zero@1' AND w.model_id = 'without@1';

SELECT count(ad_drop_model(name)) > 0 AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
DROP SCHEMA evaluate CASCADE;
