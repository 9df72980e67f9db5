-- Training reads a source in one of two ways: by a parallel aggregate, or row by row where parallel
-- query is off. Both give the bytes that ad_fit gives.
CREATE SCHEMA training;
SET search_path = training, public;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE ROLE regress_ad_trainer;
GRANT USAGE ON SCHEMA training TO PUBLIC;

-- Every kind of feature, each with nulls; keys of every storage: by value, of fixed length, short,
-- compressed.
CREATE TYPE color AS ENUM ('red', 'green', 'blue');
CREATE TABLE base (id bigint, code text, u uuid, g "char", n name, at timestamptz, amount numeric, span interval, flag boolean,
    f float8, i int2, r real, m numeric, m_wide numeric, ok boolean, ts timestamp, d date, t time, tz timetz, iv interval, c text, e color, ip inet, big text);
INSERT INTO base
SELECT x, CASE WHEN x % 50 = 0 THEN repeat('long ', 500) ELSE 'code ' END || x, md5(x::text)::uuid, chr(65 + x % 26)::"char", 'name ' || x, timestamptz '2024-01-01 00:00+00' + x * interval '1 minute',
       x / 8.0, x * interval '1 hour', x % 2 = 0,
       CASE WHEN x % 7 > 0 THEN sqrt(x) END, CASE WHEN x % 11 > 0 THEN x % 1009 END, CASE WHEN x % 13 > 0 THEN x / 3.0 END, CASE WHEN x % 5 > 0 THEN x / 100.0 END,
       CASE WHEN x % 17 > 0 THEN x * 123456789012345678901234567890.123456789 END, CASE WHEN x % 19 > 0 THEN x % 3 = 0 END, CASE WHEN x % 23 > 0 THEN timestamp '2024-01-01' + x * interval '1 hour' END,
       CASE WHEN x % 29 > 0 THEN date '2024-01-01' + x % 400 END, CASE WHEN x % 31 > 0 THEN time '00:00' + x * interval '1 minute' END, timetz '00:00+02' + x * interval '7 minutes',
       CASE WHEN x % 37 > 0 THEN x * interval '1 second' END, CASE WHEN x % 41 > 0 THEN 'c' || x % 17 END, (ARRAY['red', 'green', 'blue', NULL])[1 + x % 4]::color, inet '10.0.0.0' + x % 5,
       CASE WHEN x % 1000 = 0 THEN (SELECT string_agg(md5((x + y)::text), '') FROM generate_series(1, 300) y) ELSE 'b' || x % 3 END
FROM generate_series(1, 3000) x;

CREATE TABLE sources (source text PRIMARY KEY, identity text, features text[]);
CREATE TABLE by_bigint AS TABLE base;
ALTER TABLE by_bigint ADD PRIMARY KEY (id);
CREATE TABLE by_text AS TABLE base;
ALTER TABLE by_text ADD PRIMARY KEY (code);
CREATE TABLE by_uuid AS TABLE base;
ALTER TABLE by_uuid ADD PRIMARY KEY (u);
CREATE TABLE by_many AS TABLE base;
ALTER TABLE by_many ADD PRIMARY KEY (span, n, amount, g, flag, at, id, code);
CREATE TABLE keyless AS TABLE base;
CREATE MATERIALIZED VIEW stored AS TABLE base;
CREATE TEMP TABLE temporary AS TABLE base;
ALTER TABLE temporary ADD PRIMARY KEY (id);
INSERT INTO sources VALUES ('by_bigint', 'id'), ('by_text', 'code'), ('by_uuid', 'u'), ('by_many', 'span, n, amount, g, flag, at, id, code'), ('keyless', 'ctid'), ('stored', 'ctid'), ('temporary', 'id');
UPDATE sources SET features = '{f,i,r,m,m_wide,ok,ts,d,t,tz,iv,c,e,ip,big}';
-- Partitions whose columns come in another order and have other types before them
CREATE TABLE parted (k int, a float8, c text) PARTITION BY RANGE (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE TABLE parted_2 (gone text, c text, k int, a float8);
ALTER TABLE parted_2 DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (1000) TO (2000);
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM (2000) TO (4000) PARTITION BY LIST (c);
CREATE TABLE parted_3_rest PARTITION OF parted_3 DEFAULT;
INSERT INTO parted SELECT id, f, c FROM base;
CREATE TABLE parted_key (LIKE parted, PRIMARY KEY (k)) PARTITION BY HASH (k);
CREATE TABLE parted_key_0 PARTITION OF parted_key FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_key_1 PARTITION OF parted_key FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted_key TABLE parted;
CREATE TABLE parent (k int PRIMARY KEY, a float8, c text);
CREATE TABLE child (more float8, PRIMARY KEY (k)) INHERITS (parent);
INSERT INTO parent SELECT id, f, c FROM base WHERE id <= 1800;
INSERT INTO child SELECT id, f, c, 0 FROM base WHERE id > 1200;
-- Columns that are gone, and such as came when rows were there
CREATE TABLE altered (gone int, k int PRIMARY KEY, gone_too text, a float8);
INSERT INTO altered SELECT 0, id, 'x', f FROM base;
ALTER TABLE altered DROP gone, DROP gone_too, ADD c text DEFAULT 'old', ADD n numeric, ADD s float8 DEFAULT 2.5;
UPDATE altered SET c = 'c' || k % 3, n = k / 4.0, s = k WHERE k % 3 = 0;
-- More features than arguments are passed one by one
DO $$
BEGIN
    EXECUTE (SELECT format('CREATE TABLE wide (k int PRIMARY KEY, %s)', string_agg('c' || x || ' float8', ', ')) FROM generate_series(1, 120) x);
    EXECUTE (SELECT format('INSERT INTO wide SELECT id, %s FROM base WHERE id <= 1200', string_agg(format('CASE WHEN id %% %s > 0 THEN (id * %s) %% 1009 END', x + 1, x), ', '))
             FROM generate_series(1, 120) x);
END
$$;
-- Names that need care
CREATE TABLE "Werte, ""neu""" ("select" int PRIMARY KEY, "Größe" float8, "a b.c" int, "温度" numeric);
INSERT INTO "Werte, ""neu""" SELECT id, f, i, m FROM base;
CREATE TABLE eponym (k int PRIMARY KEY, eponym float8, parted float8);
INSERT INTO eponym SELECT id, f, i FROM base;
CREATE TABLE composite (composite parent, k int PRIMARY KEY, a float8);
INSERT INTO composite SELECT parent, k, a FROM ONLY parent;
CREATE VIEW seen AS SELECT k, a, c FROM parted_key ORDER BY k;
INSERT INTO sources VALUES ('parted', 'tableoid, ctid', '{a,c,k}'), ('parted_key', 'k', '{c,a}'), ('parent', 'tableoid, ctid', '{a,c}'), ('altered', 'k', '{a,c,n,s}'), ('wide', 'k', NULL),
    ('"Werte, ""neu"""', '"select"', '{"温度","Größe","a b.c"}'), ('eponym', 'k', '{eponym,parted}'), ('composite', 'k', '{a}'), ('seen', NULL, '{a,c}');
ANALYZE;

--
-- ad_train without and with parallel workers, and ad_fit
--
CREATE FUNCTION trained(source regclass, features text[], options jsonb, workers int, OUT way text, OUT model text, OUT training_rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    trained_id text;
BEGIN
    PERFORM set_config('max_parallel_workers_per_gather', workers::text, true);
    way := CASE WHEN _ad_fit_query(source, coalesce(features, '{a}'), '{}', 'true') LIKE '%._ad_fit_rows(%' THEN 'rows' ELSE 'aggregate' END;
    trained_id := ad_train(source, features, 'model', options->>'algorithm', options->'parameters', options->>'where', preprocess => options->'preprocess',
                           sample_size => (options->>'sample_size')::bigint, random_seed => (options->>'random_seed')::bigint);
    SELECT md5(data), r.training_rows INTO STRICT model, training_rows FROM model_artifacts JOIN model_registry r USING (model_id) WHERE model_id = trained_id;
END
$$;
CREATE FUNCTION fitted(source regclass, identity text, features text[], options jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    model bytea;
    columns text := coalesce((SELECT string_agg(quote_ident(f), ', ' ORDER BY n) FROM unnest(features) WITH ORDINALITY t(f, n)), format('COALESCE(%s.*, NULL)', source));
BEGIN
    IF features IS NULL THEN
        features := (SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = source AND attnum > 1);
    END IF;
    SET LOCAL max_parallel_workers_per_gather = 0;
    EXECUTE format('SELECT ad_fit($1, %s%s) FROM %s WHERE %s', identity || ', ', columns, source, coalesce(options->>'where', 'true')) INTO model
        USING options - 'where' || jsonb_build_object('features', features, 'identity_columns', coalesce(cardinality(string_to_array(identity, ',')), 0));
    RETURN md5(model);
END
$$;
CREATE TABLE cases AS
SELECT row_number() OVER () AS n, o || '{"random_seed": 7}' AS options FROM unnest(ARRAY[
    '{"algorithm": "isolation_forest", "sample_size": 400, "parameters": {"n_estimators": 10}}',
    '{"algorithm": "mad", "sample_size": 400, "preprocess": {"impute": "mean"}, "parameters": {}}',
    '{"algorithm": "mad", "sample_size": 3500, "preprocess": {"impute": "reject"}, "parameters": {}}']::jsonb[]) o;
CREATE TABLE models AS
SELECT source, n, r.way AS one_way, p.way AS other_way, r.model AS rows, p.model AS aggregate, fitted(source::regclass, identity, features, options) AS fit
FROM sources, cases, trained(source::regclass, features, options, 0) r, trained(source::regclass, features, options, 2) p;
SELECT source, one_way, other_way, count(*) AS cases, bool_and(rows = fit) AS rows, bool_and(aggregate = fit) AS aggregate, count(DISTINCT fit) AS models
FROM models GROUP BY 1, 2, 3 ORDER BY source COLLATE "C";
-- The key, not the table, makes the sample: with rows of the same values under other keys it is another.
SELECT n, count(DISTINCT rows) AS models FROM models WHERE source LIKE 'by\_%' OR source IN ('keyless', 'temporary') GROUP BY 1 ORDER BY 1;
-- With a condition
CREATE TABLE conditions (source text, condition text);
INSERT INTO conditions VALUES ('by_bigint', 'id > 500 AND c <> ''c3'' -- and no more'), ('by_bigint', 'f > (SELECT avg(f) FROM base)'), ('keyless', 'f > 20 OR f IS NULL'), ('eponym', 'eponym > 20'),
    ('parted', 'k % 10 = 0'), ('seen', 'k BETWEEN 11 AND 20'), ('"Werte, ""neu"""', '"Größe" > 20 AND "select" <> 0');
SELECT source, condition, r.training_rows, r.model = fit AND p.model = fit AND p.training_rows = r.training_rows AS same
FROM sources JOIN conditions USING (source), LATERAL (SELECT options || jsonb_build_object('where', condition) AS o FROM cases WHERE n = 1) o,
     trained(source::regclass, features, o, 0) r, trained(source::regclass, features, o, 2) p, fitted(source::regclass, identity, features, o) fit
ORDER BY source COLLATE "C", condition COLLATE "C";
-- exclude_windows is a condition too; ad_validate reads the source as ad_train does.
CREATE FUNCTION validated(source regclass, workers int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('max_parallel_workers_per_gather', workers::text, true);
    RETURN (SELECT jsonb_object_agg(check_name, detail) FROM ad_validate(source, '{f,c}', where_clause => 'id > 100') WHERE check_name NOT IN ('time', 'memory'));
END
$$;
SELECT validated('by_bigint', 0)->'rows' AS rows, validated('by_bigint', 0) = validated('by_bigint', 2) AS same;
SET max_parallel_workers_per_gather = 0;
SELECT ad_train('by_bigint', '{f,c}', 'windows', random_seed => 1, sample_size => 300, time_column => 'at', exclude_windows => ARRAY[tstzrange('2024-01-01 10:00+00', '2024-01-01 20:00+00')]);
SET max_parallel_workers_per_gather = 2;
SELECT ad_train('by_bigint', '{f,c}', 'windows', random_seed => 1, sample_size => 300, time_column => 'at', exclude_windows => ARRAY[tstzrange('2024-01-01 10:00+00', '2024-01-01 20:00+00')]);
SELECT count(DISTINCT data) AS models, min(training_rows), max(training_rows) FROM model_registry JOIN model_artifacts USING (model_id) WHERE name = 'windows';

--
-- What the sample depends on: the seed, and not the place of the rows where they have a key
--
SELECT count(DISTINCT (trained('by_bigint', '{f,c}', jsonb_build_object('algorithm', 'mad', 'sample_size', 400, 'random_seed', seed), workers)).model) AS models
FROM generate_series(1, 3) seed, generate_series(0, 2, 2) workers;
CREATE TABLE before AS SELECT source, (trained(source, '{f,c}', '{"algorithm": "mad", "sample_size": 400, "random_seed": 1}', 0)).model FROM unnest(ARRAY['by_bigint', 'by_text', 'keyless']::regclass[]) source;
CREATE INDEX by_name ON by_bigint (u);
CLUSTER by_bigint USING by_name;
CREATE TABLE old AS TABLE by_text;
DELETE FROM by_text;
INSERT INTO by_text SELECT * FROM old ORDER BY md5(code);
UPDATE by_text SET f = f WHERE id % 3 = 0;
CREATE INDEX by_name_too ON keyless (u);
CLUSTER keyless USING by_name_too;
SELECT source, (trained(source, '{f,c}', '{"algorithm": "mad", "sample_size": 400, "random_seed": 1}', 0)).model = model AS rows,
       (trained(source, '{f,c}', '{"algorithm": "mad", "sample_size": 400, "random_seed": 1}', 2)).model = model AS aggregate FROM before;

--
-- Nothing to train on
--
CREATE TABLE nothing (k int PRIMARY KEY, a float8);
CREATE VIEW nothing_seen AS TABLE nothing;
SET max_parallel_workers_per_gather = 0;
SELECT ad_train('nothing');
SELECT ad_train('nothing_seen');
SELECT ad_train('by_bigint', '{f}', where_clause => 'id < 0');
\set VERBOSITY terse
SET max_parallel_workers_per_gather = 2;
SELECT ad_train('nothing');
\echo :LAST_ERROR_SQLSTATE
SELECT ad_train('nothing_seen');
SELECT ad_train('by_bigint', '{f}', where_clause => 'id < 0');
-- Errors of the condition and of the values come through, and the next training works.
SET max_parallel_workers_per_gather = 0;
\set VERBOSITY sqlstate
SELECT ad_train('by_bigint', '{f}', where_clause => '1 / (id - 1500) < 2');
SELECT ad_train('by_bigint', '{f}', where_clause => 'nowhere > 1');
SELECT ad_train('by_bigint', '{f}', algorithm => 'nope');
SELECT ad_train('by_bigint', '{f}');
\set VERBOSITY terse

--
-- Privileges and policies
--
GRANT SELECT (id, f, c) ON by_bigint TO regress_ad_trainer;
GRANT SELECT (f, c) ON by_text TO regress_ad_trainer;
GRANT SELECT (f, c, ctid) ON keyless TO regress_ad_trainer;
CREATE TABLE guarded AS SELECT id, f, c FROM base;
ALTER TABLE guarded ADD PRIMARY KEY (id);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY two_thirds ON guarded USING (id % 3 > 0);
GRANT SELECT ON guarded TO regress_ad_trainer;
CREATE TABLE expected AS SELECT (trained('by_bigint', '{f,c}', '{"algorithm": "mad", "sample_size": 400, "random_seed": 1}', 0)).model AS columns,
                                (trained('guarded', '{f,c}', '{"algorithm": "mad", "sample_size": 400, "random_seed": 1, "where": "id % 3 > 0"}', 0)).model AS policy;
GRANT SELECT ON expected TO regress_ad_trainer;
SELECT ad_drop_model('model');
SET ROLE regress_ad_trainer;
SELECT x AS workers, c.way, c.training_rows, c.model = columns AS columns, p.training_rows, p.model = policy AS policy
FROM expected, generate_series(0, 2, 2) x, trained('by_bigint', '{f,c}', '{"algorithm": "mad", "sample_size": 400, "random_seed": 1}', x) c,
     trained('guarded', '{f,c}', '{"algorithm": "mad", "sample_size": 400, "random_seed": 1}', x) p;
SET max_parallel_workers_per_gather = 0;
SELECT ad_train('by_bigint', '{f,i}');
SELECT ad_train('by_bigint', '{f}', where_clause => 'i > 0');
SELECT ad_train('by_text', '{f,c}');  -- the key tells rows apart
SELECT ad_train('keyless', '{f,c}');  -- and so does ctid
SET max_parallel_workers_per_gather = 2;
SELECT ad_train('by_bigint', '{f,i}');
SELECT ad_train('by_bigint', '{f}', where_clause => 'i > 0');
SELECT ad_train('by_text', '{f,c}');
SELECT ad_train('keyless', '{f,c}');
RESET ROLE;

SELECT count(ad_drop_model(name)) > 0 AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
DROP SCHEMA training CASCADE;
DROP ROLE regress_ad_trainer;
