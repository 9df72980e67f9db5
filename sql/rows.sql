-- Rows and numbers as they come: a row is read column by column up to the last feature, a numeric
-- from its digits. What is read shows in ad_explain, value by value.
CREATE SCHEMA rows;
SET search_path = rows, public;
SET client_min_messages = warning;
SET timezone = 'UTC';
\set VERBOSITY terse

--
-- Rows: each must be worth what its features are worth one by one
--
CREATE TABLE t (id int PRIMARY KEY, gone text, a float8, gone_too int, c text, n numeric, ok boolean, at timestamp, long text, z float8);
INSERT INTO t
SELECT i, 'gone ' || i, CASE WHEN i % 7 > 0 THEN sqrt(i) END, i, CASE WHEN i % 5 > 0 THEN repeat('c', i % 40) END, CASE WHEN i % 3 > 0 THEN i / 8.0 END, i % 2 = 0,
       timestamp '2024-01-01' + i * interval '1 hour', repeat('long ', i * 20), i
FROM generate_series(1, 200) i;
ALTER TABLE t DROP gone, DROP gone_too;
SELECT ad_train('t', '{a,c,n,ok,at}', 'm', parameters => '{"n_estimators": 20}');
CREATE VIEW one_by_one AS SELECT id, ad_score('m', a, c, n, ok, at) AS score, ad_explain('m', a, c, n, ok, at) AS reasons FROM t;
CREATE FUNCTION agree(query text, OUT rows bigint, OUT same boolean) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT count(*), bool_and(q.score = o.score AND (q.reasons IS NULL OR q.reasons::text = o.reasons::text)) FROM (%s) q(id, score, reasons) JOIN one_by_one o USING (id)', query)
    INTO rows, same;
END
$$;
CREATE FUNCTION row_of(id int) RETURNS t LANGUAGE sql STABLE AS $$ SELECT t FROM t WHERE t.id = row_of.id $$;
CREATE FUNCTION record_of(id int) RETURNS record LANGUAGE plpgsql STABLE AS $$ DECLARE r record; BEGIN SELECT n, c, long, a, at, ok INTO r FROM t WHERE t.id = record_of.id; RETURN r; END $$;
CREATE TYPE pair AS (a float8, c text);
SELECT q AS query, g.* FROM unnest(ARRAY[
    -- what lies behind the last feature, whole or cut off by its length
    'SELECT id, ad_score(''m'', t), ad_explain(''m'', t) FROM t',
    'SELECT id, ad_score(''m'', t.*), ad_explain(''m'', t.*) FROM t',
    'SELECT id, ad_score(''m'', r), ad_explain(''m'', r) FROM (SELECT at, ok, n, c, a, id FROM t) r',
    'SELECT id, ad_score(''m'', r), ad_explain(''m'', r) FROM (SELECT * FROM t ORDER BY long OFFSET 0) r',
    'SELECT id, ad_score(''m'', r), ad_explain(''m'', r) FROM (SELECT DISTINCT long, at, a, ok, n, c, id FROM t) r',
    'SELECT id, ad_score(''m'', r), ad_explain(''m'', r) FROM (SELECT t.*, u.z AS y FROM t JOIN t u USING (id)) r',
    'SELECT (r).id, ad_score(''m'', r), ad_explain(''m'', r) FROM (SELECT t AS r FROM t OFFSET 0) s',
    'SELECT id, ad_score(''m'', row_of(id)), ad_explain(''m'', row_of(id)) FROM t',
    'SELECT id, ad_score(''m'', record_of(id)), ad_explain(''m'', record_of(id)) FROM t',
    'SELECT id, ad_score(''m'', ROW(t.*)::t), ad_explain(''m'', ROW(t.*)::t) FROM t',
    'SELECT r.id, ad_score(''m'', r), ad_explain(''m'', r) FROM t, jsonb_populate_record(NULL::t, to_jsonb(t)) r',
    'SELECT r.id, ad_score(''m'', r), NULL::jsonb FROM t, jsonb_to_record(to_jsonb(t)) AS r(z int, ok boolean, c varchar, n float8, id int, a numeric, at timestamptz)',
    'SELECT id, ad_score(''m'', r), ad_explain(''m'', r) FROM (SELECT array_agg(t) AS all_rows FROM t) s, unnest(all_rows) r',
    'SELECT id, ad_score(''m'', r), ad_explain(''m'', r) FROM (SELECT ROW(a, c)::pair AS pair, ROW(1, ROW(2)) AS nested, t.* FROM t) r']) q, agree(q) g;

-- Columns that were added when the rows were there, at the end of what is stored
CREATE TABLE grown (id int PRIMARY KEY, a float8);
INSERT INTO grown SELECT id, a FROM t WHERE id <= 100;
ALTER TABLE grown ADD c text DEFAULT 'cc', ADD n numeric DEFAULT 12.5, ADD ok boolean DEFAULT true, ADD at timestamp;
INSERT INTO grown SELECT id, a, c, n, ok, at FROM t WHERE id > 100;
ALTER TABLE grown ADD b text DEFAULT 'behind';
UPDATE grown SET at = timestamp '2024-01-02' WHERE id % 10 = 0;
SELECT count(*) AS rows, bool_and(ad_explain('m', g)::text = ad_explain('m', a, c, n, ok, at)::text AND ad_score('m', g) = ad_score('m', a, c, n, ok, at)) AS same,
       bool_and(id > 100 OR c = 'cc' AND n = 12.5 AND ok AND (at IS NULL OR id % 10 = 0)) AS filled FROM grown g;
SELECT ad_train('grown', '{a,c,n,ok,at}', 'grown', 'mad');
SELECT bool_and(s.anomaly_score = ad_score('grown', a, c, n, ok, at) AND s.explanation = ad_explain('grown', g) AND s.features = to_jsonb(g) - 'id' - 'b') AS same
FROM ad_scores('grown', 'grown', explain => true) s JOIN grown g ON g.id = (s.record_key->>'id')::int;
-- Rows within rows: short ones, such as are stored out of line, such as are older than a column of their type
CREATE TABLE holder (id int, held t, grown grown);
INSERT INTO holder SELECT id, t, g FROM t JOIN grown g USING (id);
INSERT INTO holder SELECT id + 1000, ROW(t.id, a, c, n, ok, at, (SELECT string_agg(md5((i * id)::text), '') FROM generate_series(1, 1000) i), z)::t FROM t;
ALTER TABLE t ADD later float8;
ALTER TABLE grown ADD later float8;
SELECT count(*) AS rows, max(pg_column_size(held)) > 30000 AS out_of_line, bool_and(ad_score('m', held) = score AND ad_explain('m', held) = reasons) AS same FROM holder JOIN one_by_one o ON o.id = holder.id % 1000;
SELECT count(grown) AS rows, bool_and(ad_explain('m', grown)::text = ad_explain('m', (grown).a, (grown).c, (grown).n, (grown).ok, (grown).at)::text) AS same FROM holder;
UPDATE grown SET later = id WHERE id % 2 = 0;
INSERT INTO holder SELECT id + 2000, NULL, g FROM grown g WHERE id % 4 > 0;
SELECT ad_train('grown', '{later,a}', 'later');
SELECT count(grown) AS rows, count((grown).later) AS filled, bool_and(ad_explain('later', grown)::text = ad_explain('later', (grown).later, (grown).a)::text) AS same FROM holder;

-- Trailing blanks of categories do not count: jsonb keeps the padding of character(n).
CREATE TABLE padded AS SELECT i AS id, repeat('x', i % 3)::char(5) AS ch, repeat('y', i % 4) || repeat(' ', i % 2) AS tx FROM generate_series(1, 60) i;
SELECT ad_train('padded', '{ch,tx}', 'padded', 'rare_category');
SELECT bool_and(ad_score('padded', p) = ad_score('padded', ch, tx)) AS row_form, bool_and(ad_score('padded', to_jsonb(p)) = ad_score('padded', ch, tx)) AS json_form,
       bool_and(ad_score('padded', rtrim(ch), rtrim(tx)) = ad_score('padded', ch, tx)) AS trimmed, bool_and(ad_score('padded', '?', tx) > ad_score('padded', ch, tx)) AS known FROM padded p;
-- An interval has its seconds in jsonb.
SELECT ad_train_data('{{0},{3600},{7200}}', '{span}', 'span', 'mad');
SELECT ad_score('span', '{"span": 90000}'::jsonb) = ad_score('span', interval '1 day 1 hour') AS seconds;
\set VERBOSITY default
SELECT ad_score('span', jsonb_build_object('span', interval '1 day'));
\set VERBOSITY terse

-- Nothing in the place of a row
SELECT ad_explain('m', NULL::t) = ad_explain('m', NULL, NULL, NULL, NULL, NULL) AS null_row, ad_score('m', ROW(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::t) = ad_score('m', NULL::t) AS row_of_nulls;
SELECT count(*) AS rows, bool_and(ad_explain('m', t)::text = ad_explain('m', a, c, n, ok, at)::text) AS same, bool_and((ad_score('m', t) = ad_score('m', NULL::t)) = (t.id IS NULL)) AS missing
FROM generate_series(199, 202) i LEFT JOIN t ON t.id = i;
CREATE DOMAIN some_pair AS pair CHECK ((VALUE).a > 0);
SELECT ad_train('t', '{a,c}', 'pairs');
SELECT bool_and(ad_score('pairs', ROW(a, c)::some_pair) = ad_score('pairs', a, c) AND ad_score('pairs', (ROW(a, c)::pair)) = ad_score('pairs', a, c)) AS domains FROM t WHERE a > 0;

-- One call whose rows change their type from row to row: more columns, other columns, others in the same places
SELECT ad_train_data((SELECT array_agg(ARRAY[i, i * i % 17]::float8[]) FROM generate_series(1, 100) i), '{f1,f2}', 'f');
CREATE FUNCTION shape(i int) RETURNS record LANGUAGE sql AS $$
    SELECT CASE i % 4 WHEN 0 THEN ROW(i::float8, (i % 13)::float8) WHEN 1 THEN ROW(i::numeric, (i % 13)::int2, 'more'::text) WHEN 2 THEN ROW(i, (i % 13)::float4, NULL::int, ROW(1, 2)) ELSE ROW(i::int8, (i % 13)::float8) END
$$;
SELECT count(*) AS rows, bool_and(ad_score('f', shape(i)) = ad_score('f', i, i % 13)) AS same FROM generate_series(1, 100) i;
SELECT count(*) AS rows, bool_and(ad_explain('f', shape(i)) = ad_explain('f', i, i % 13)) AS same FROM generate_series(1, 100) i;
SELECT ad_score('f', CASE i WHEN 3 THEN ROW(1::float8, 'x'::text) ELSE ROW(1::float8, 2::float8) END) > 0 AS scored FROM generate_series(1, 3) i;
SELECT ad_score('f', CASE i WHEN 3 THEN ROW(1::float8) ELSE ROW(1::float8, 2::float8) END) > 0 AS scored FROM generate_series(1, 3) i;
-- A prepared statement follows the table.
PREPARE p AS SELECT ad_score('m', t) = ad_score('m', a, c, n, ok, at) AS same FROM t WHERE id = 100;
EXECUTE p;
BEGIN;
ALTER TABLE t ADD first int, DROP long;
EXECUTE p;
ALTER TABLE t RENAME ok TO fine;
SELECT ad_score('m', t) FROM t;
ROLLBACK;
-- PL/pgSQL goes on after such an error.
DO $$
DECLARE
    seen text := '';
    r record;
BEGIN
    FOR i IN 1 .. 6 LOOP
        BEGIN
            IF i % 2 = 0 THEN SELECT i::float8 AS f1, 'x' AS f2 INTO r; ELSE SELECT 'y' AS f0, 2.0 AS f2, i AS f1 INTO r; END IF;
            IF ad_score('f', r) = ad_score('f', i, 2) THEN seen := seen || ' same'; END IF;
        EXCEPTION WHEN OTHERS THEN
            seen := seen || ' ' || SQLSTATE;
        END;
    END LOOP;
    ASSERT seen = ' same 42804 same 42804 same 42804', seen;
END
$$;

--
-- Numbers: a numeric and a JSON number have the value that a cast to float8 gives them
--
SELECT ad_train_data('{{-1},{0},{1}}', '{x}', 'x', 'mad');
CREATE FUNCTION read(numeric) RETURNS text LANGUAGE sql STABLE AS $$ SELECT ad_explain('x', $1)::text $$;
CREATE TABLE numbers (n numeric);
INSERT INTO numbers
SELECT n::numeric FROM unnest(ARRAY['0', '-0', '0.0000', '1', '-1', '10000', '9999', '0.1', '-0.1', '0.3', '4.35', '1e-5', '1e16', '1e20', '1e22', '1e23', '123456789.125', '9007199254740991', '9007199254740992',
    '9007199254740993', '9007199254740993.0000000001', '-9007199254740993', '9007199254740995', '18446744073709551615', '18446744073709551616', '18446744073709551617', '18439999999999999999',
    '18440000000000000000', '1843.9999999999999999', '1844.0000000000000000', '99999999999999999999', '0.18439999999999999999', '1.7976931348623157e308', '-1.7976931348623157e308', '1e300', '1e308', '1e-300', '-1e-300', '2.2250738585072014e-308',
    '5e-324', '1e63', '1e64', '1e251', '1e252', '1e255', '1e256', '1e-63', '1e-64', '1e-251', '1e-252', '1e-256', '1e-260', 'NaN', 'Infinity', '-Infinity', '1.50', '100.000000', '0.1000000000000000000000000000000000000000000000000000000000000000000001',
    '0.30000000000000000000000000000000000000000000000000000000000000000000000000', '179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880']) n
UNION ALL SELECT s * ((2::numeric ^ e)::numeric(200, 0) + d) FROM generate_series(50, 130) e, generate_series(-2, 2) d, unnest(ARRAY[1, -1]) s
UNION ALL SELECT ((2::numeric ^ e)::numeric(200, 0) + d) / 10::numeric ^ (e % 30) FROM generate_series(50, 130) e, generate_series(-2, 2) d
UNION ALL SELECT s * 10::numeric ^ e * m FROM generate_series(-30, 60) e, unnest(ARRAY[1, 3, 7.25, 9999.9999]) m, unnest(ARRAY[1, -1]) s;
-- Any digits, up to 25 of them, with up to 30 of them behind the point, and zeros after those
INSERT INTO numbers
SELECT CASE i % 3 WHEN 0 THEN n WHEN 1 THEN -n ELSE round(n, i % 40) END
FROM (SELECT i, trunc(abs(hashint8extended(i, 1)::numeric * 10000000 + hashint8extended(i, 2) % 10000000) / 10::numeric ^ (25 - i % 26)) * ('1e-' || i / 26 % 31)::numeric AS n FROM generate_series(1, 100000) i) d;
SELECT count(*) > 100000 AS many, count(DISTINCT n) > 90000 AS different FROM numbers;
SELECT n, ad_explain('x', n)->0->'value' AS value FROM numbers WHERE (ad_explain('x', n)->0->>'value')::float8 IS DISTINCT FROM nullif(n::float8, 'NaN') LIMIT 10;
SELECT n AS of_json FROM numbers WHERE (ad_explain('x', jsonb_build_object('x', n))->0->>'value')::float8 IS DISTINCT FROM nullif(n::float8, 'NaN') LIMIT 10;
SELECT n AS of_array FROM numbers WHERE ad_score('x', VARIADIC ARRAY[n]) <> ad_score('x', n::float8) LIMIT 10;
-- With headers as expressions have them, and beyond what a float8 holds
SELECT count(*) AS different FROM numbers TABLESAMPLE system (20) REPEATABLE (1) WHERE read(n + 0) <> read(n) OR read(-n) <> ad_explain('x', -(n::float8))::text AND n <> 0;
SELECT read('1e400') = ad_explain('x', 'Infinity'::float8)::text AS too_large, read('-1e400') = ad_explain('x', '-Infinity'::float8)::text AS too_small, read('1e-400') = read(0) AS nearly_zero,
       read('NaN') = ad_explain('x', NULL::float8)::text AS nan;
-- A float8 is NaN with either sign; a bigint may have more digits than one.
SELECT ad_explain('f', 'Infinity'::float8 - 'Infinity'::float8, 1)::text = ad_explain('f', NULL, 1)::text AS difference, ad_explain('f', -'NaN'::float8, 1)::text = ad_explain('f', 'NaN'::float8, 1)::text AS negative;
SELECT bool_and((ad_explain('x', i)->0->>'value')::float8 = i::float8) AS bigint FROM unnest(ARRAY[9007199254740991, 9007199254740992, 9007199254740993, -9007199254740993, 9223372036854775807, -9223372036854775808]) i;
-- Stored compressed and out of line, in a table that is scored, trained on and read as rows
CREATE TABLE digits (id int PRIMARY KEY, x numeric, y numeric);
ALTER TABLE digits ALTER y SET STORAGE external;
INSERT INTO digits SELECT i, ('1' || repeat('0', i * 2000) || '.5')::numeric * ('1e-' || i * 2000)::numeric, repeat((1234567 + i)::text, i * 300)::numeric * ('1e-' || i * 2050)::numeric FROM generate_series(1, 6) i;
SELECT bool_and(read(x) = ad_explain('x', x::float8)::text AND read(y) = ad_explain('x', y::float8)::text) AS alone, bool_and(ad_explain('x', d)::text = ad_explain('x', x::float8)::text) AS row, max(pg_column_size(y)) > 6000 AS long FROM digits d;
SELECT bool_and(s.anomaly_score = ad_score('x', x::float8) AND s.explanation = ad_explain('x', x::float8)) AS scanned FROM ad_scores('digits', 'x', explain => true) s JOIN digits d ON d.id = (s.record_key->>'id')::int;
SELECT count(DISTINCT f) AS models FROM (SELECT ad_fit('{"algorithm": "mad"}', n) FROM numbers WHERE abs(n) < 1e300 UNION ALL SELECT ad_fit('{"algorithm": "mad"}', n::float8) FROM numbers WHERE abs(n) < 1e300) m(f);

SELECT count(ad_drop_model(name)) > 0 AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
DROP SCHEMA rows CASCADE;
