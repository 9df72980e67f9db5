-- Bad input: each has its SQLSTATE, a message with what matters, and mostly a hint.
CREATE SCHEMA errors;
SET search_path = errors, public;
SET client_min_messages = warning;
-- Runs a statement and shows how it fails.
CREATE FUNCTION fails(statement text, OUT result text) LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    EXECUTE statement;
    result := 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    result := state || ': ' || message || coalesce(E'\nDETAIL: ' || nullif(detail, ''), '') || coalesce(E'\nHINT: ' || nullif(hint, ''), '');
END
$$;
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
CREATE TABLE t (id int PRIMARY KEY, a float8, b float8, c text, blob bytea, nothing float8);
INSERT INTO t SELECT i, i % 10, i % 7, 'c' || i % 3, '', NULL FROM generate_series(1, 100) i;
CREATE TABLE no_key AS SELECT a, b FROM t;
CREATE TABLE empty (id int PRIMARY KEY, a float8);
CREATE TABLE zero ();
SELECT ad_train('t', '{a,b}', 'm'), ad_train('t', '{a,c}', 'categories');

--
-- Algorithms, parameters, options
--
SELECT fails($$SELECT ad_train('t', '{a}', algorithm => 'forest')$$);
SELECT fails(format('SELECT ad_train(%L, %L, %L, NULL, %L)', 't', '{a}', 'x', p)) FROM unnest(ARRAY[
    '{"trees": 10}', '{"n_estimators": 0}', '{"n_estimators": 1e9}', '{"n_estimators": "many"}', '{"n_estimators": 1.5}',
    '{"n_estimators": 1e400}', '{"n_estimators": null}', '{"bootstrap": 1}', '[]', '"x"', '{"contamination": 0.6}', '{"contamination": "some"}']) p;
SELECT fails($$SELECT ad_train('t', '{a}', 'x', 'mad', '{"n_estimators": 10}')$$);
SELECT fails(format('SELECT ad_train(%L, %L, %L, threshold => %L)', 't', '{a}', 'x', p)) FROM unnest(ARRAY[
    '{"method": "magic"}', '{"value": 1}', '{"method": "quantile"}', '{"method": "quantile", "value": 2}', '{"method": "auto", "value": 1}',
    '{"method": "p_value", "value": 0.0001}', '{"cutoff": 1}', '[1]']) p;
SELECT fails($$SELECT ad_train('t', '{a}', 'x', parameters => '{"contamination": 0.1}', threshold => '{"method": "auto"}')$$);
SELECT fails(format('SELECT ad_train(%L, %L, %L, %L, preprocess => %L)', 't', '{a}', 'x', 'knn', p)) FROM unnest(ARRAY[
    '{"impute": "guess"}', '{"impute": "none"}', '{"fill_value": 1}', '{"impute": "constant", "fill_value": "x"}', '{"scale": true}']) p;
SELECT fails($$SELECT ad_train('t', '{a}', 'x', sample_size => 0)$$);
SELECT fails($$SELECT ad_train('t', '{a}', 'x', sample_size => 100000000)$$);
SELECT fails(format('SELECT ad_train(%L, %L, %L)', 't', '{a}', name)) FROM unnest(ARRAY['', 'a@b', repeat('x', 101)]) name;
SELECT fails($$SELECT ad_train('t', '{a}', 'x', time_column => 'a', exclude_windows => '{}')$$);
SELECT fails($$SELECT ad_train('t', '{a}', 'x', time_column => 'a')$$);
SELECT regexp_replace(fails('SET anomaly_detect.' || s), '(\d) kB', '\1', 'g') FROM unnest(ARRAY['default_algorithm = nonsense', 'random_seed = -1', 'max_model_size = 0', 'no_such = 1']) s;

--
-- Columns and rows
--
SELECT fails(format('SELECT ad_train(%L, %L)', s, f)) FROM (VALUES
    ('t', '{nope}'), ('t', '{a,A}'), ('t', '{a,blob}'), ('t', '{a,a}'), ('t', '{a,NULL}'), ('t', '{}'), ('t', '{{a},{b}}'),
    ('t', '{ctid}'), ('zero', NULL), ('empty', NULL), ('t_pkey', '{a}'), ('nope', '{a}')) v(s, f);
SELECT fails('SELECT ad_train(999999999::oid::regclass)');
SELECT fails($$SELECT ad_train('t', '{a,nothing}', 'x', 'mad', preprocess => '{"impute": "reject"}')$$);
SELECT fails($$SELECT ad_train('t', '{a}', 'x', where_clause => 'a > 1000')$$);
-- One row, a constant column and one without a value are enough to train; no row like those is an anomaly.
CREATE TABLE edge (f text[], w text);
INSERT INTO edge VALUES ('{a,b}', 'id = 1'), ('{a}', 'a = 1'), ('{nothing}', 'true');
SELECT f, count(ad_train('t', f, f::text, algorithm, where_clause => w)) FROM edge, unnest(ARRAY['isolation_forest', 'mad']) algorithm
GROUP BY 1 ORDER BY 1;
SELECT name, version, (SELECT count(*) FILTER (WHERE ad_is_anomaly(model_id, t)) FROM t WHERE CASE name WHEN '{a,b}' THEN id = 1 WHEN '{a}' THEN a = 1 ELSE true END)
FROM model_registry WHERE name LIKE '{%' ORDER BY 1, 2;
-- NaN and infinity are no values to learn from; rows that have them can be scored.
CREATE TABLE odd (id int PRIMARY KEY, v float8);
INSERT INTO odd SELECT i, i FROM generate_series(1, 6) i UNION ALL VALUES (7, 'NaN'::float8), (8, 'Infinity'), (9, '-Infinity'), (10, NULL);
SELECT ad_train('odd', '{v}', 'odd'), ad_train('odd', '{v}', 'odd', 'mad');
SELECT model_id, missing_fraction, mean, quantiles[1], quantiles[21] FROM model_feature_stats WHERE model_id LIKE 'odd@%' ORDER BY 1;
SELECT count(*), bool_and(anomaly_score BETWEEN 0 AND 1) FROM ad_scores('odd', 'odd@1');
SELECT record_key, is_anomaly FROM ad_scores('odd', 'odd@2', only_anomalies => true) ORDER BY 1;
SELECT ad_train('odd', '{v}', 'odd', algorithm, where_clause => 'id > 6') FROM unnest(ARRAY['isolation_forest', 'mad']) algorithm;
-- 1,600 columns
DO $$ BEGIN EXECUTE 'CREATE TABLE wide (' || (SELECT string_agg(format('c%s int2', i), ', ') FROM generate_series(1, 1600) i) || ')'; END $$;
DO $$ BEGIN EXECUTE 'INSERT INTO wide SELECT ' || (SELECT string_agg(format('(g * %s) %% 11', i), ', ') FROM generate_series(1, 1600) i) || ' FROM generate_series(1, 30) g'; END $$;
SELECT ad_train('wide', parameters => '{"n_estimators": 20}'), ad_train('wide', algorithm => 'mad');
SELECT cardinality(feature_columns), training_rows FROM ad_models WHERE name = 'wide';
SELECT bool_and(ad_score('wide@1', w) = ad_score('wide@1', to_jsonb(w))) FROM wide w;
-- PostgreSQL passes at most 100 arguments.
SELECT fails('SELECT ad_score(''wide'', ' || (SELECT string_agg(i::text, ', ') FROM generate_series(1, 100) i) || ')');
SELECT fails('SELECT ad_score(''wide'', ' || (SELECT string_agg(i::text, ', ') FROM generate_series(1, 99) i) || ')') ~
       '^22023: model "wide@2" has 1600 features, but 99 values were given';
-- Memory
SET anomaly_detect.max_training_memory = '1MB';
SELECT fails($$SELECT ad_train('wide')$$);
SELECT fails($$SELECT ad_train('t', '{a}', sample_size => 100000)$$);
SELECT fails($$SELECT ad_train('t', '{a}', parameters => '{"n_estimators": 10000}')$$);
SELECT ad_train('t', '{a}', 'small', parameters => '{"n_estimators": 50}');
RESET anomaly_detect.max_training_memory;
SET anomaly_detect.max_model_size = '1kB';
SET anomaly_detect.model_cache_size = 0;
SELECT fails($$SELECT ad_score('m', 1, 1)$$) ~ '^54000: model "m@1" takes [0-9]+ kB, more than the 1 kB allowed\nHINT: Increase "anomaly_detect.max_model_size".$';
RESET anomaly_detect.max_model_size;
RESET anomaly_detect.model_cache_size;

--
-- where_clause is one boolean expression
--
SELECT w || ' -> ' || fails(format('SELECT ad_train(%L, %L, %L, where_clause => %L)', 't', '{a}', 'x', w)) FROM unnest(ARRAY[
    'a > 1; DROP TABLE t', 'a > 1;', 'a > 1)', '(a > 1', 'a > 1) OR (a > 1', '', '-- nothing', 'a > 1 /*', 'a > 1 ORDER BY a', 'a > 1 LIMIT 1',
    'a > 1 UNION SELECT true', 'a > 1, b > 1', 'a > 1 AS x', '*', 'SELECT true', 'DROP TABLE t', 'a', 'c', 'sum(a) > 1',
    'row_number() OVER () > 1', 'generate_series(1, 2) = 1', 'nope > 1', 'a > $1', 'a >', 'a / 0 > 1', 'E''\']) w;
SELECT fails($$SELECT * FROM ad_scores('t', 'm', 'a > 1) OR (a > 1')$$);
SELECT fails($$SELECT ad_detect('t', model_id => 'm', where_clause => 'a;')$$);
-- The message points into the clause.
SELECT ad_train('t', '{a}', where_clause => 'a > 1 AND ) b');
SELECT ad_train('t', '{a}', where_clause => 'a >');
SELECT fails(format('SELECT ad_train(%L, %L, %L, where_clause => %L)', 't', '{a}', 'x', w)) FROM unnest(ARRAY[
    'a > 1 -- a comment', 'EXISTS (SELECT FROM empty) IS FALSE', '(SELECT true)', 'a > 1 /* ) */', 'c <> '';''', 'true) IS NOT (false']) w;

--
-- Scoring
--
SELECT fails('SELECT ' || s) FROM unnest(ARRAY[
    $$ad_score('nope', 1)$$, $$ad_score('m@9', 1, 1)$$, $$ad_score('m@', 1, 1)$$, $$ad_score('', 1, 1)$$, $$ad_score('m@latest', 1, 1)$$,
    $$ad_score('m', 1)$$, $$ad_score('m', 1, 2, 3)$$, $$ad_score('m', VARIADIC ARRAY[1])$$, $$ad_score('m', VARIADIC ARRAY[1,2,3]::int[])$$,
    $$ad_score('m', 1, 'x'::text)$$, $$ad_score('m', 1, 'x')$$, $$ad_score('m', 1, true)$$, $$ad_score('m', 1, now())$$, $$ad_score('categories', 1, 2)$$,
    $$ad_score('m', VARIADIC ARRAY['x','y'])$$, $$ad_score('m', ROW(1, 2))$$, $$ad_score('m', '{"a": 1}'::json)$$, $$ad_score('m', '[1, 2]'::jsonb)$$,
    $$ad_score('m', '{"x": 1}'::jsonb)$$, $$ad_score('m', '{"a": "1"}'::jsonb)$$, $$ad_score('m', '{"a": true}'::jsonb)$$,
    $$ad_score('m', '{"a": [1]}'::jsonb)$$, $$ad_score('categories', '{"c": 1}'::jsonb)$$, $$ad_score('m')$$,
    $$ad_is_anomaly('m', 1)$$, $$ad_predict('nope', 1)$$, $$ad_explain('m', 1)$$]) s;
-- A column that is gone, renamed or of another type
CREATE TABLE changed AS SELECT id, a, b FROM t;
SELECT ad_train('changed', '{a,b}', 'changed');
ALTER TABLE changed ALTER b TYPE text;
SELECT fails($$SELECT ad_score('changed', changed) FROM changed$$);
SELECT fails($$SELECT ad_detect('changed', options => '{"id_column": "id"}')$$);
ALTER TABLE changed ALTER b TYPE numeric USING b::numeric;
SELECT fails($$SELECT ad_score('changed', changed) FROM changed$$);
ALTER TABLE changed DROP COLUMN b;
SELECT fails($$SELECT ad_score('changed', changed) FROM changed$$);
SELECT fails($$SELECT * FROM ad_scores('changed')$$);
SELECT fails($$SELECT ad_detect('changed', options => '{"id_column": "id"}')$$);

--
-- Detection
--
SELECT fails('SELECT ' || s) FROM unnest(ARRAY[
    $$ad_detect('no_key', model_id => 'm')$$, $$ad_detect('t', model_id => 'm', options => '{"id_column": "nope"}')$$,
    $$ad_detect('t', model_id => 'm', options => '{"keep": "all"}')$$, $$ad_detect('t', model_id => 'm', options => '{"store": "some"}')$$,
    $$ad_detect('t', model_id => 'm', options => '{"raw_data": true}')$$, $$ad_detect('t', model_id => 'm', options => '{"explain": "yes"}')$$,
    $$ad_detect('t', model_id => 'm', options => '{"id_column": 1}')$$, $$ad_detect('t', model_id => 'm', options => '[]')$$,
    $$ad_detect('t', '{a}', 'm')$$, $$ad_detect('t', model_id => 'm', batch_size => 0)$$, $$ad_detect('no_key')$$, $$ad_detect('t', model_id => 'nope')$$,
    $$ad_prune('-1 day')$$, $$ad_activate('nope')$$, $$ad_set_alias('m', '1', 1)$$, $$ad_set_alias('m', 'a@b', 1)$$, $$ad_set_alias('m', 'a', 99)$$,
    $$ad_model_info('nope')$$]) s;
SELECT ad_drop_model('nope'), ad_drop_model('m@99');

--
-- NULL arguments
--
SELECT s || ' -> ' || fails('SELECT ' || s) FROM unnest(ARRAY[
    'ad_train(NULL)', 'ad_train_data(NULL, NULL, ''x'')', 'ad_train_data(''{{1}}'', NULL, NULL)', 'ad_score(NULL, 1)', 'ad_is_anomaly(NULL, 1)',
    'ad_predict(NULL, 1)', 'ad_explain(NULL, 1)', '* FROM ad_scores(NULL)', '* FROM ad_scores(NULL, ''m'')', 'ad_detect(NULL)', 'ad_detect(NULL, model_id => ''m'')',
    'ad_detect(''t'', NULL, ''m'', NULL, NULL)', 'ad_detect_data(NULL)', 'ad_detect_data(NULL, model_id => ''m'')', 'ad_model_info(NULL)', 'ad_activate(NULL)',
    'ad_set_alias(NULL, ''a'', 1)', 'ad_set_alias(''m'', NULL, 1)', 'ad_set_alias(''m'', ''a'', NULL)', 'ad_drop_model(NULL)', 'ad_prune(NULL)',
    'ad_fit(NULL, a) FROM t']) s;
-- Null options are the defaults.
SELECT fails($$SELECT ad_train('t', '{a}', 'x', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$),
       fails($$SELECT ad_detect('t', NULL, 'm', NULL, 10, NULL)$$), fails($$SELECT * FROM ad_scores('t', 'm', NULL, NULL, NULL)$$);
SELECT jsonb_array_length(ad_detect_data('{{1},{2}}', NULL, NULL, NULL, NULL, NULL)->'predictions');
SELECT check_name, status, detail FROM ad_validate(NULL);

--
-- Arrays
--
SELECT fails('SELECT ' || s) FROM unnest(ARRAY[
    $$ad_detect_data('{}')$$, $$ad_detect_data('{1,2}')$$, $$ad_detect_data('{{{1}}}')$$, $$ad_detect_data('{{1},{2}}', '{a,b}')$$,
    $$ad_detect_data('{{1},{2}}', model_id => 'm')$$, $$ad_detect_data('{{1,2}}', '{b,a}', model_id => 'm')$$,
    $$ad_detect_data('{{1,2}}', NULL, 'mad', model_id => 'm')$$, $$ad_detect_data('{{1,2}}', NULL, NULL, '{"n_estimators": 5}', model_id => 'm')$$,
    $$ad_detect_data('{{1,2}}', '{a,a}')$$, $$ad_train_data('{{1,2,3}}', '{a,b,a}', 'x')$$,
    $$ad_detect_data('{{1,2}}', model_id => 'categories')$$, $$ad_train_data('{{1}}', '{a,b}', 'x')$$, $$ad_train_data('{{NULL}}', NULL, 'x', 'mad', preprocess => '{"impute": "reject"}')$$]) s;

--
-- ad_fit
--
SELECT fails('SELECT ' || s || ' FROM t') FROM unnest(ARRAY[
    $$ad_fit('{}')$$, $$ad_fit('[]', a)$$, $$ad_fit('{"trees": 1}', a)$$, $$ad_fit('{"features": ["x"]}', a, b)$$, $$ad_fit('{}', VARIADIC ARRAY[a, b])$$,
    $$ad_fit('{}', to_jsonb(t))$$, $$ad_fit('{}', blob)$$, $$ad_fit('{"features": ["nope"]}', t)$$, $$ad_fit('{"identity_columns": 1}', a)$$,
    $$ad_fit('{"identity_columns": 5}', a)$$, $$ad_fit('{}', NULL::t)$$, $$ad_fit('{}', a) OVER ()$$, $$ad_fit('{"sample_size": 1e300}', a)$$,
    $$ad_fit('{"random_seed": 18446744073709551615}', a)$$]) s;
SELECT ad_fit('{}', a) IS NULL FROM empty;  -- as any aggregate without rows

--
-- Damaged model bytes, each in a version of its own, scored in a session that has not seen them
--
CREATE FUNCTION damaged(label text, damage text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO model_registry
    SELECT (jsonb_populate_record(r, jsonb_build_object('model_id', label || '@1', 'name', label))).* FROM model_registry r WHERE model_id = 'm@1';
    EXECUTE format('INSERT INTO model_artifacts SELECT %L, %s FROM model_artifacts WHERE model_id = ''m@1''', label || '@1', damage);
    RETURN label;
END
$$;
SELECT damaged(label, damage) FROM (VALUES
    ('intact', 'data'), ('empty bytes', $d$''::bytea$d$), ('one byte short', 'substr(data, 1, length(data) - 1)'), ('half', 'substr(data, 1, length(data) / 2)'),
    ('no magic', 'overlay(data PLACING ''x'' FROM 5)'), ('a bit in the middle', 'set_bit(data, length(data) * 4, 1 - get_bit(data, length(data) * 4))'),
    ('last bit', 'set_bit(data, length(data) * 8 - 1, 1 - get_bit(data, length(data) * 8 - 1))'), ('trailing byte', 'data || ''\x00''::bytea')) v(label, damage);
SELECT damaged('no bytes', 'data');
DELETE FROM model_artifacts WHERE model_id = 'no bytes@1';
\c
SET search_path = errors, public;
SELECT name || ': ' || fails(format('SELECT ad_score(%L, 1, 1)', name)) FROM model_registry
WHERE name IN ('intact', 'empty bytes', 'one byte short', 'half', 'no magic', 'a bit in the middle', 'last bit', 'trailing byte', 'no bytes') ORDER BY 1;
-- The context names the model.
SELECT ad_score('half', 1, 1);
SELECT fails($$SELECT _ad_describe('\x0102')$$);

--
-- Read-only transactions: scoring works, training and detection say why they do not
--
BEGIN READ ONLY;
SELECT ad_score('m', 1, 1) > 0, (SELECT count(*) FROM ad_scores('t', 'm'));
SELECT fails($$SELECT ad_train('t', '{a}', 'x')$$);
SELECT fails($$SELECT ad_train_data('{{1}}', NULL, 'x')$$);
SELECT fails($$SELECT ad_detect('t', model_id => 'm')$$);
SELECT fails($$SELECT ad_activate('m')$$), fails($$SELECT ad_prune('1 day')$$), fails($$SELECT ad_drop_model('m')$$);
SELECT ad_fit('{}', a, b) IS NOT NULL, (ad_detect_data('{{1},{2},{3}}')->'summary'->>'total_samples') FROM t;
COMMIT;

-- Functions that everybody can call by themselves take nothing that their callers would never pass.
CREATE TABLE half_keyed AS SELECT nullif(i, 3) AS k, i::float8 AS v FROM generate_series(1, 5) i;
SELECT ad_train('half_keyed', '{v}', 'half_keyed', 'mad');
SELECT fails($$SELECT _ad_detect_rows('SELECT k, v FROM errors.half_keyed ORDER BY k', 'half_keyed', 'mad', '{k}', 1, 'x', 'none', 'none', false, 3, true)$$);
SELECT fails($$SELECT _ad_fit_rows('SELECT 1::float8 AS v', '{"algorithm": "mad", "features": ["v"]}', array_fill('v'::text, ARRAY[65]))$$);
SELECT fails($$SELECT _ad_fit_rows('SELECT 1 AS v; SELECT 2 AS v', '{"algorithm": "mad", "features": ["v"]}', '{v}')$$);
SELECT fails($$SELECT _ad_score_rows('SELECT 1 AS v; SELECT 2 AS v', 'half_keyed', '{v}', false, false)$$);

SELECT count(ad_drop_model(name)) > 0 FROM (SELECT DISTINCT name FROM model_registry) m;
SELECT (ad_prune('0')->>'runs')::int > 0;
SET client_min_messages = warning;
DROP SCHEMA errors CASCADE;
