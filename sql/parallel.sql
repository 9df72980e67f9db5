-- Parallel plans: the same model bytes for any number of workers, the same scores in any plan.
CREATE SCHEMA parallel;
SET search_path = parallel, public;
SET client_min_messages = warning;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
CREATE TABLE keyed (id int PRIMARY KEY, a float8, b float8, c text, d date);
INSERT INTO keyed
SELECT i, (i * 7919) % 1009, CASE WHEN i % 11 > 0 THEN sqrt(i) END, 'c' || (i * 31) % 17, date '2024-01-01' + i % 400
FROM generate_series(1, 10000) i;
CREATE TABLE keyless AS SELECT a, b, c, d FROM keyed;
-- The same rows in another order, some in places that others left
CREATE TABLE shuffled (LIKE keyed INCLUDING ALL);
INSERT INTO shuffled SELECT * FROM keyed ORDER BY md5(id::text);
UPDATE shuffled SET a = a WHERE id % 3 = 0;
CREATE TABLE parted (LIKE keyed, PRIMARY KEY (id)) PARTITION BY HASH (id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT * FROM keyed;
ANALYZE keyed, keyless, shuffled, parted;

--
-- Training happens in the workers
--
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT ad_fit('{}', a, b, c, d) FROM keyed;
EXPLAIN (COSTS OFF) SELECT c, ad_fit('{"features": ["a", "b"]}', keyed) FROM keyed GROUP BY c;
-- Also that of ad_train: with a leader that takes no part, rows that only workers see are all rows.
CREATE FUNCTION is_worker(leader int) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS
$$ BEGIN RETURN pg_backend_pid() <> leader; END $$;
SELECT pg_backend_pid() AS leader \gset
SET parallel_leader_participation = off;
SELECT ad_train('keyed', '{a,b}', 'm', where_clause => format('is_worker(%s)', :leader));
SELECT training_rows FROM ad_models WHERE name = 'm';
RESET parallel_leader_participation;

--
-- The same seed gives the same bytes with 0, 1 and 2 workers, and whatever the order of the rows and
-- how they are partitioned, as long as a primary key tells which row is which
--
CREATE FUNCTION trained(options jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT ad_train((options->>'source')::regclass, ARRAY['a', 'b', 'c', 'd'], 'p', options->>'algorithm', preprocess => options->'preprocess',
                    where_clause => options->>'where', sample_size => (options->'sample_size')::bigint, random_seed => 11)
$$;
CREATE TABLE cases (n int, workers int, source text, options jsonb, model_id text);
INSERT INTO cases SELECT n, w, source, options || jsonb_build_object('source', source)
FROM jsonb_array_elements('[{}, {"sample_size": 500}, {"sample_size": 500, "algorithm": "mad"}, {"sample_size": 5000, "where": "a > 100"},
    {"sample_size": 500, "algorithm": "mad", "preprocess": {"impute": "mean"}}, {"algorithm": "mad", "preprocess": {"impute": "reject"}}]'::jsonb)
    WITH ORDINALITY o(options, n), generate_series(0, 2) w, unnest(ARRAY['keyed', 'shuffled', 'parted', 'keyless']) source;
DO $$
DECLARE
    c cases;
BEGIN
    FOR c IN SELECT * FROM cases LOOP
        PERFORM set_config('max_parallel_workers_per_gather', c.workers::text, true);
        UPDATE cases SET model_id = trained(c.options) WHERE (n, workers, source) = (c.n, c.workers, c.source);
    END LOOP;
END
$$;
SELECT n, options - 'source' AS options, count(*) AS trainings,
       count(DISTINCT data) FILTER (WHERE source = 'keyed') AS keyed, count(DISTINCT data) FILTER (WHERE source = 'shuffled') AS shuffled,
       count(DISTINCT data) FILTER (WHERE source = 'parted') AS parted, count(DISTINCT data) FILTER (WHERE source = 'keyless') AS keyless,
       count(DISTINCT data) FILTER (WHERE source <> 'keyless') AS with_key
FROM cases JOIN model_artifacts USING (model_id) GROUP BY 1, 2 ORDER BY 1;

--
-- Scoring happens in the workers and gives the same answers, bit for bit
--
SELECT ad_train('keyed', '{a,b,c,d}', 'm', sample_size => 1000);
SET max_parallel_workers_per_gather = 0;
CREATE TABLE serial AS SELECT id, ad_score('m', a, b, c, d) AS score, ad_predict('m', keyed) AS prediction, ad_explain('m', keyed) AS explanation FROM keyed;
ANALYZE serial;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT count(*) FROM keyed WHERE ad_is_anomaly('m', keyed);
EXPLAIN (COSTS OFF) SELECT max(ad_score('m', a, b, c, d)) FROM keyed;
SET parallel_leader_participation = off;
SELECT count(*) FROM keyed JOIN serial USING (id)
WHERE is_worker(:leader) AND ad_score('m', a, b, c, d) = score AND ad_score('m', keyed) = score
      AND ad_score('m', to_jsonb(keyed)) = score AND ad_predict('m', keyed) = prediction;
SELECT count(*) FROM keyed JOIN serial USING (id) WHERE ad_explain('m', keyed) = explanation AND id <= 500;
RESET parallel_leader_participation;
-- Whole sources
SELECT count(*) FROM ad_scores('keyed', 'm') s JOIN serial ON serial.id = (record_key->>'id')::int WHERE s.anomaly_score = serial.score;
SELECT ad_detect('keyed', model_id => 'm')->'processed_records' AS processed;
SELECT count(*) FROM anomaly_detection_results r JOIN serial ON serial.id = source_record_id
WHERE source_table = 'parallel.keyed' AND r.anomaly_score = serial.score AND r.p_value = (serial.prediction).p_value;
-- Everything that is marked as safe, in a worker
SELECT set_config(CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'force_parallel_mode' ELSE 'debug_parallel_query' END, 'on', false);
SELECT ad_score('m', a, b, c, d) = score AS same FROM keyed JOIN serial USING (id) WHERE id = 77;
SELECT count(*) FROM ad_algorithms;
-- without an identity one process must see all rows
ALTER TABLE keyless SET (parallel_workers = 0);
SELECT ad_fit('{"random_seed": 3}', a, b) = (SELECT ad_fit('{"random_seed": 3}', a, b) FROM keyless) AS same FROM keyless;
SELECT ad_score('nope', 1);

--
-- A view has no identity: one process reads it, whatever the plan of its query could be
--
RESET ALL;
SET search_path = parallel, public;
SET client_min_messages = warning;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE VIEW seen AS SELECT * FROM keyed;
EXPLAIN (COSTS OFF) SELECT a, b FROM seen WHERE a < 900;
SELECT count(ad_train('seen', '{a,b}', 'view', where_clause => 'a < 900', sample_size => 100)) AS trained FROM generate_series(1, 4);
SELECT count(*), count(DISTINCT md5(data)) AS different FROM model_artifacts WHERE model_id LIKE 'view@%';

\set VERBOSITY terse
SELECT count(ad_drop_model(name)) AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
SELECT ad_prune('0') IS NOT NULL AS pruned;
DROP SCHEMA parallel CASCADE;
