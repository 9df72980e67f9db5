-- Scoring: the four forms of a row, verdicts, explanations, whole sources.
--
-- Scores are compared, not printed, except where they can be computed by hand.
CREATE SCHEMA score;
SET search_path = score, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE TABLE r (id int PRIMARY KEY, a float8, b int, c text, at timestamptz, flag boolean);
INSERT INTO r
SELECT i, (i * 37) % 101, CASE WHEN i % 10 > 0 THEN i % 13 END, 'c' || i % 4, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour',
       i % 3 = 0
FROM generate_series(1, 300) i;
INSERT INTO r VALUES (301, 1e6, 500, 'never seen', '2024-06-01 00:00+00', NULL);
CREATE TABLE n (id int PRIMARY KEY, x float8, y float8);
INSERT INTO n SELECT i, i % 10, i % 7 FROM generate_series(1, 100) i;
SELECT ad_train('r', model_name => 'forest'), ad_train('n', model_name => 'numbers');

--
-- mad by hand. The values are 1 to 9: median 5, absolute deviations 4 3 2 1 0 1 2 3 4, their median
-- 2; so the score of v is |v - 5| / (1.4826 * 2), and 3.5 the threshold.
--
CREATE TABLE nine AS SELECT v::float8 AS v, 7::float8 AS w FROM generate_series(1, 9) v;
SELECT ad_train('nine', '{v}', 'nine', 'mad');
SELECT v, ad_score('nine', v) = abs(v - 5) / 2.9652 AS by_hand, (ad_predict('nine', v)).p_value,
       ad_is_anomaly('nine', v) AS is_anomaly
FROM unnest(ARRAY[5, 1, 9, 15.3, 15.4, -20]::float8[]) v;
-- A column without spread: its median deviation is 0 and so is the mean one; any other value is
-- worth 1e9. With 0 0 0 0 10 the mean deviation is 2: the score of 10 is 10 / (1.2533 * 2).
SELECT ad_train('nine', '{w}', 'flat', 'mad'), ad_train_data('{{0},{0},{0},{0},{10}}', '{v}', 'spike', 'mad');
SELECT ad_score('flat', 7::float8), ad_score('flat', 8::float8), ad_score('spike', 10::float8) = 10 / 2.5066::float8 AS by_hand;
-- Two columns: the largest of their scores. The p-value of a score is (1 + scores at least as large)
-- / (1 + 9), confidence its complement.
SELECT ad_train('nine', '{v,w}', 'both', 'mad');
SELECT ad_score('both', 9, 7) = ad_score('nine', 9) AS v, ad_score('both', 9, 6) AS w;
SELECT (ad_predict('nine', 8)).*;

--
-- One row, four forms: the same score bit for bit
--
SELECT count(*) AS rows,
       bool_and(ad_score('forest', a, b, c, at, flag) = ad_score('forest', r)) AS row_form,
       bool_and(ad_score('forest', a, b, c, at, flag) = ad_score('forest', to_jsonb(r))) AS json_form,
       bool_and(ad_score('forest', a, b, c, at, flag) = ad_score('forest', a::numeric, b::int8, c::varchar, at AT TIME ZONE 'UTC', flag)) AS other_types
FROM r;
SELECT bool_and(ad_score('numbers', x, y) = ad_score('numbers', VARIADIC ARRAY[x, y])) AS array_form,
       bool_and(ad_score('numbers', x, y) = ad_score('numbers', VARIADIC ARRAY[x, y]::numeric[])) AS numeric_array,
       bool_and(ad_score('numbers', x, y) = ad_score('numbers', n)) AS row_form,
       bool_and(ad_score('numbers', x, y) = ad_score('numbers', jsonb_build_object('y', y, 'x', x, 'more', 'ignored'))) AS json_form
FROM n;
-- A row is matched by name: other columns and another order do not matter, nor does a subquery.
SELECT bool_and(ad_score('numbers', s) = ad_score('numbers', s.x, s.y)) AS same FROM (SELECT y, 'z' AS z, x FROM n) s;
SELECT bool_and(ad_score('numbers', ROW(n.*)::n) = ad_score('numbers', n)) AS same FROM n;
-- A JSON key that is absent is a missing value, as null is.
SELECT ad_score('forest', '{"a": 1, "b": 2}'::jsonb) = ad_score('forest', 1, 2, NULL, NULL, NULL) AS absent,
       ad_score('forest', '{"a": 1, "b": 2, "c": null}'::jsonb) = ad_score('forest', 1, 2, NULL, NULL, NULL) AS is_null;

-- NULL, NaN and infinity
SELECT ad_score('numbers', NULL, 1) = ad_score('numbers', 'NaN'::float8, 1) AS nan_is_missing,
       ad_score('numbers', 'NaN'::numeric, 1) = ad_score('numbers', 'NaN'::float8, 1) AS numeric_nan,
       ad_score('numbers', '{"x": "NaN", "y": 1}'::jsonb) = ad_score('numbers', NULL, 1) AS json_nan,
       ad_score('numbers', 'Infinity'::float8, 1) = ad_score('numbers', 1e300::float8, 1) AS infinity_is_extreme,
       ad_score('numbers', '-Infinity'::float8, 1) = ad_score('numbers', -1e300::float8, 1) AS minus_infinity;
-- beyond 1e100 all numbers are the same to an algorithm that measures distances
SELECT ad_score('nine', 'Infinity'::float8) = ad_score('nine', 1e100::float8) AS largest_number, ad_score('nine', 1e100::float8) > 1e99 AS far,
       ad_score('nine', NULL::float8) AS median_stands_in, ad_score('nine', 1e1000) = ad_score('nine', 1e100::float8) AS huge_numeric;
SELECT ad_score('forest', NULL::r) = ad_score('forest', NULL, NULL, NULL, NULL, NULL) AS null_row,
       ad_score('forest', NULL::jsonb) = ad_score('forest', NULL::r) AS null_json,
       ad_score('numbers', VARIADIC NULL::float8[]) = ad_score('numbers', NULL, NULL) AS null_array;

--
-- References: a name, name@version, name@alias
--
SELECT ad_train('n', model_name => 'numbers', random_seed => 1), ad_set_alias('numbers', 'prod', 1);
SELECT bool_and(ad_score('numbers', n) = ad_score('numbers@2', n)) AS active,
       bool_and(ad_score('numbers@prod', n) = ad_score('numbers@1', n)) AS alias,
       bool_or(ad_score('numbers@1', n) <> ad_score('numbers@2', n)) AS versions_differ,
       bool_and(ad_score(m.ref, n) = ad_score(m.pinned, n)) AS in_turns
FROM n, (VALUES ('numbers@prod', 'numbers@1'), ('numbers', 'numbers@2')) m(ref, pinned);

-- Prepared, in WHERE, in a generic plan.
PREPARE score(text, float8, float8) AS SELECT ad_score($1, $2, $3) = ad_score('numbers@1', $2, $3) AS same;
SET plan_cache_mode = force_generic_plan;
EXECUTE score('numbers@prod', 3, 4);
EXECUTE score('numbers@1', 9, 1);
SELECT ad_activate('numbers@1');
EXECUTE score('numbers', 9, 1);
RESET plan_cache_mode;
SELECT count(*) = (SELECT count(*) FROM n WHERE ad_is_anomaly('numbers', x, y)) AS same
FROM n WHERE ad_score('numbers', x, y) >= (SELECT threshold FROM ad_models WHERE name = 'numbers');

-- A name follows ad_activate within a transaction; a call site that was used before does, too.
DO $$
DECLARE
    row n := (SELECT n FROM n WHERE id = 5);
    expected float8;
BEGIN
    FOR round IN 1..6 LOOP
        PERFORM ad_activate('numbers@' || 1 + round % 2);
        EXECUTE format('SELECT ad_score(%L, $1)', 'numbers@' || 1 + round % 2) INTO expected USING row;
        IF ad_score('numbers', row) <> expected THEN
            RAISE 'round %: the wrong version', round;
        END IF;
    END LOOP;
END
$$;
BEGIN;
SELECT ad_activate('numbers@2');
ROLLBACK;
SELECT bool_and(ad_score('numbers', n) = ad_score('numbers@1', n)) AS rolled_back FROM n;
-- What ROLLBACK TO undoes is undone for call sites as well, though the snapshot looks the same after it.
CREATE FUNCTION score_of_eleven() RETURNS float8 LANGUAGE plpgsql AS 'BEGIN RETURN ad_score(''undone'', 11); END';
CREATE TABLE scratch (i int);
SELECT ad_train_data('{{0},{1},{2}}', NULL, 'undone', 'mad');
BEGIN;
SAVEPOINT trained;
SELECT ad_train_data('{{10},{11},{12}}', NULL, 'undone', 'mad');
SAVEPOINT written;
INSERT INTO scratch VALUES (1);
ROLLBACK TO written;
SELECT score_of_eleven();
ROLLBACK TO trained;
SELECT score_of_eleven() = 10 / 1.4826::float8 AS by_hand;
ROLLBACK;
-- A domain may be checked while no snapshot is active: after the COMMIT of a procedure.
CREATE DOMAIN calm AS float8 CHECK (ad_score('undone', value) < 10);
DO $$
BEGIN
    COMMIT;
    DECLARE v calm; BEGIN RAISE NOTICE 'null becomes the median: %', v IS NULL; END;
    DECLARE v calm := 100; BEGIN RAISE NOTICE 'not reached'; END;
END
$$;
-- A name that is dropped and used again is another model, even with the same version.
SELECT ad_train_data('{{0},{1},{2}}', NULL, 'reused', 'mad');
SELECT ad_score('reused@1', 1);
SELECT ad_drop_model('reused');
SELECT ad_train_data('{{10},{11},{12}}', NULL, 'reused', 'mad');
SELECT ad_score('reused@1', 11), ad_score('reused@1', 1) = 10 / 1.4826::float8 AS by_hand;
-- A statement sees the models that were there when it began.
SELECT ad_train_data('{{0},{1},{2}}', NULL, 'reused', 'mad'), ad_score('reused', 11);

--
-- Verdicts
--
SELECT count(*) AS rows, bool_and(p.anomaly_score = ad_score('forest', r)) AS score, bool_and(p.confidence = 1 - p.p_value) AS confidence,
       bool_and(p.is_anomaly = (p.anomaly_score >= p.threshold)) AS threshold, bool_and(p.is_anomaly = ad_is_anomaly('forest', r)) AS is_anomaly,
       bool_and(p.p_value > 0 AND p.p_value <= 1) AS p_range, bool_and(p.anomaly_score > 0 AND p.anomaly_score < 1) AS score_range,
       bool_and(p.threshold = m.threshold) AS stored_threshold
FROM r, ad_predict('forest', r) p, ad_models m WHERE m.name = 'forest';
-- The planted row is the strangest; 1 of 301 calibration scores reaches its own.
SELECT id, (ad_predict('forest', r)).p_value = 2 / 302::float8 AS smallest, ad_is_anomaly('forest', r) FROM r
ORDER BY ad_score('forest', r) DESC LIMIT 1;

--
-- Explanations: one entry for each feature, largest contribution first
--
SELECT e->>'feature' AS feature, e->'value' AS value, e->'expected' AS expected, e->>'direction' AS direction,
       round((e->>'contribution')::numeric, 4) AS contribution
FROM jsonb_array_elements(ad_explain('both', 1, 8)) e;
SELECT jsonb_agg(e - 'contribution') AS entries FROM jsonb_array_elements(ad_explain('both', NULL, 7)) e;
SELECT count(*) AS rows, bool_and(jsonb_array_length(x) = 5) AS every_feature,
       bool_and((SELECT bool_and(e ?& '{feature,value,expected,contribution,direction}') FROM jsonb_array_elements(x) e)) AS shape,
       bool_and((SELECT array_agg(e->>'feature' ORDER BY e->>'feature') FROM jsonb_array_elements(x) e) = '{a,at,b,c,flag}') AS names,
       bool_and((SELECT array_agg((e->>'contribution')::float8 ORDER BY i) = array_agg((e->>'contribution')::float8 ORDER BY (e->>'contribution')::float8 DESC)
                 FROM jsonb_array_elements(x) WITH ORDINALITY t(e, i))) AS ordered
FROM r, ad_explain('forest', r) x;
-- The contributions of a forest add up to 1 + log2(score), but for the rounding of paths; the
-- largest one of mad is the score.
SELECT bool_and(abs(total - (1 + ln(ad_score('forest', r)) / ln(2))) < 1e-6) AS forest
FROM r, LATERAL (SELECT sum((e->>'contribution')::float8) AS total FROM jsonb_array_elements(ad_explain('forest', r)) e) t;
SELECT bool_and((ad_explain('both', v, w)->0->>'contribution')::float8 = ad_score('both', v, w)) AS mad FROM nine;
-- Values appear as the user writes them; a category is usual (null), rare or unseen.
SELECT e->>'feature' AS feature, e->'value' AS value, e->>'direction' AS direction
FROM r, jsonb_array_elements(ad_explain('forest', r)) e WHERE id = 301 ORDER BY 1;
SELECT bool_and(ad_explain('numbers', x, y) = ad_explain('numbers', n)) AS same_in_both_forms FROM n;

--
-- ad_scores: a whole source, nothing stored; equal to ad_score bit for bit
--
SELECT count(*) AS rows, bool_and(s.anomaly_score = ad_score('forest', r)) AS same, bool_and(s.is_anomaly = ad_is_anomaly('forest', r)) AS verdict,
       bool_and(s.confidence = (ad_predict('forest', r)).confidence AND s.p_value = (ad_predict('forest', r)).p_value) AS p_value,
       bool_and(s.features = to_jsonb(r) - 'id') AS features, bool_and(s.explanation IS NULL) AS unexplained
FROM ad_scores('r', 'forest') s JOIN r ON r.id = (s.record_key->>'id')::int;
SELECT count(*) AS rows, bool_and(s.anomaly_score = ad_score('forest@1', r)) AS same FROM ad_scores('r', 'forest@1', 'id BETWEEN 11 AND 20') s
JOIN r ON r.id = (s.record_key->>'id')::int;
SELECT count(*) = (SELECT count(*) FROM r WHERE ad_is_anomaly('forest', r)) AS same, bool_and(is_anomaly) AS anomalies
FROM ad_scores('r', 'forest', only_anomalies => true);
SELECT record_key, explanation = (SELECT ad_explain('forest', r) FROM r WHERE id = 301) AS explained
FROM ad_scores('r', 'forest', 'id = 301', explain => true);
-- Without a model: the newest active one that was trained on the source.
SELECT bool_and(s.anomaly_score = ad_score('forest', r)) AS same FROM ad_scores('r') s JOIN r ON r.id = (s.record_key->>'id')::int;
-- A source that has the features, in other places, under another name.
CREATE TABLE other (y numeric, k text PRIMARY KEY, "other" int, x int);
INSERT INTO other VALUES (3, 'eins', 1, 2), (6, 'zwei', 1, 9);
SELECT record_key, anomaly_score = ad_score('numbers', o.x, o.y) AS same, features
FROM ad_scores('other', 'numbers') s JOIN other o ON o.k = record_key->>'k' ORDER BY k;

-- A model that rejects missing values: an error for a row alone, left out of a source.
SELECT ad_train('r', '{a,b}', 'strict', 'mad', preprocess => '{"impute": "reject"}');
SELECT count(*) AS rows FROM r WHERE b IS NOT NULL;
SELECT count(*) AS rows, bool_and(s.anomaly_score = ad_score('strict', a, b)) AS same
FROM ad_scores('r', 'strict') s JOIN r ON r.id = (s.record_key->>'id')::int;
SELECT ad_score('strict', 1, NULL);
SELECT ad_predict('strict', NULL::r);
SELECT ad_explain('strict', 1, NULL);

-- A source without a key has none to show, unless a column is named.
CREATE VIEW keyless AS SELECT * FROM r;
SELECT count(*) AS rows, count(record_key) AS keys FROM ad_scores('keyless', 'strict');
SELECT count(*) AS rows, count(DISTINCT record_key->>'id') AS keys FROM ad_scores('keyless', 'strict', id_column => 'id');

SELECT count(*) AS results FROM anomaly_detection_results;
SELECT count(ad_drop_model(name)) AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
SET client_min_messages = warning;
DROP SCHEMA score CASCADE;
