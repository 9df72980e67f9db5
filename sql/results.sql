-- Storing results: rows that go straight into the table are those that an INSERT makes, and whatever
-- was added to the table holds for them.
CREATE SCHEMA results;
SET search_path = results, public;
SET client_min_messages = warning;
\set VERBOSITY terse
CREATE ROLE regress_ad_writer;
CREATE ROLE regress_ad_other;
GRANT USAGE, CREATE ON SCHEMA results TO PUBLIC;

-- 1 to 600 and mad: median 300.5 and mad 150, so a score of 266.868 / 222.39 or more takes v <= 33 or
-- v >= 568: 66 rows, half of them in the first block of 512 and half in the second.
CREATE TABLE s (id bigint PRIMARY KEY, v float8, note text);
INSERT INTO s SELECT i, i, 'row ' || i FROM generate_series(1, 600) i;
CREATE TABLE by_text (v float8, "the key" text PRIMARY KEY, at timestamptz);
INSERT INTO by_text SELECT v, CASE id WHEN 1 THEN '' WHEN 2 THEN 'a"b' WHEN 3 THEN 'ß\' ELSE note END, timestamptz '2024-01-01' + id * interval '1 day' FROM s;
CREATE TABLE by_two (v float8, b date, a int2, n numeric, PRIMARY KEY (a, b));
INSERT INTO by_two SELECT v, date '2024-01-01' + id::int, id % 2, CASE WHEN id % 3 > 0 THEN id / 7.0 END FROM s;
CREATE VIEW by_view AS SELECT id::int2 AS n, v FROM s;
-- One megabyte each, some that cannot be compressed, in rows of both blocks.
CREATE TABLE large (id int PRIMARY KEY, v float8, t text);
INSERT INTO large SELECT id, v, CASE id WHEN 10 THEN repeat('x', 1048576) WHEN 590 THEN (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 32768) i) END FROM s;
CREATE FUNCTION train(source text) RETURNS text LANGUAGE sql AS
$$ SELECT ad_train(source::regclass, '{v}', source, 'mad', threshold => '{"method": "score", "value": 1.2}') $$;
SELECT count(train(t)) AS models FROM unnest(ARRAY['s', 'by_text', 'by_two', 'by_view', 'large']) t;

-- Which way rows went in shows in their command: that of the detection, or one for each block.
CREATE FUNCTION detect(source regclass DEFAULT 's', options jsonb DEFAULT '{}', where_clause text DEFAULT NULL,
                       OUT run bigint, OUT stored bigint, OUT way text) LANGUAGE plpgsql AS $$
BEGIN
    run := (ad_detect(source, where_clause => where_clause, options => options)->'run_id')::bigint;
    SELECT count(*), CASE count(DISTINCT cmin::text) WHEN 1 THEN 'directly' WHEN 2 THEN 'by INSERT' END INTO stored, way
    FROM anomaly_detection_results r WHERE r.run_id = run;
END
$$;
-- The way or the error, and how many rows came to the table, whoever may see them.
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT count(*) FROM public.anomaly_detection_results $$;
CREATE FUNCTION attempt(source regclass DEFAULT 's', where_clause text DEFAULT NULL, OUT outcome text, OUT stored bigint) LANGUAGE plpgsql AS $$
DECLARE
    before bigint := total();
BEGIN
    BEGIN
        outcome := (detect(source, where_clause => where_clause)).way;
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        outcome := SQLSTATE || ' ' || SQLERRM;
    END;
    stored := total() - before;
END
$$;
SELECT * FROM attempt();
DELETE FROM anomaly_detection_results;

--
-- The same rows both ways: all columns but id and run_id, in the order of id, bit for bit
--
CREATE FUNCTION same(a bigint, b bigint, OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
                     WHERE attrelid = 'anomaly_detection_results'::regclass AND attnum > 0 AND attname NOT IN ('id', 'run_id'));
BEGIN
    EXECUTE format('WITH rows AS (SELECT run_id, row_number() OVER (PARTITION BY run_id ORDER BY id) AS n, ROW(%s) AS columns FROM anomaly_detection_results)
        SELECT bool_and(coalesce(x.columns *= y.columns, false))
        FROM (SELECT * FROM rows WHERE run_id = $1) x FULL JOIN (SELECT * FROM rows WHERE run_id = $2) y USING (n)', columns) INTO same USING a, b;
END
$$;
BEGIN;
CREATE TABLE cases AS
SELECT source, options FROM unnest(ARRAY['s', 'by_text', 'by_two']) source, unnest(ARRAY['{}', '{"store": "anomalies"}', '{"raw_data": "all"}',
    '{"raw_data": "none"}', '{"explain": true}', '{"store": "anomalies", "raw_data": "none", "explain": true}']::jsonb[]) options
UNION ALL VALUES ('by_view', '{"id_column": "n"}'::jsonb), ('by_text', '{"id_column": "at", "raw_data": "all"}'), ('large', '{"raw_data": "all"}');
CREATE TABLE direct AS SELECT * FROM cases, detect(source::regclass, options);
CREATE FUNCTION unchanged() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER unchanged BEFORE INSERT ON anomaly_detection_results FOR EACH ROW EXECUTE FUNCTION unchanged();
CREATE TABLE inserted AS SELECT * FROM cases, detect(source::regclass, options);
SELECT source, options, d.stored, d.way AS one_way, i.way AS other_way, same(d.run, i.run)
FROM direct d JOIN inserted i USING (source, options) ORDER BY source COLLATE "C", options::text COLLATE "C";
-- To be sure that a difference is seen
SELECT same(run, run) AS itself, same(run, (SELECT run FROM direct WHERE source = 's' AND options = '{"raw_data": "all"}')) AS another
FROM direct WHERE source = 's' AND options = '{}';
SELECT count(*) AS rows, count(DISTINCT id) AS ids, max(id) - min(id) + 1 AS consecutive,
       max(id) = pg_sequence_last_value(pg_get_serial_sequence('anomaly_detection_results', 'id')::regclass) AS of_sequence
FROM anomaly_detection_results;
SELECT source_record_id AS id, octet_length(raw_data->>'t') AS bytes, raw_data->>'t' = t AS same
FROM anomaly_detection_results r JOIN large ON large.id = source_record_id WHERE source_table = 'results.large' AND t IS NOT NULL ORDER BY run_id, 1;
ROLLBACK;

--
-- Indexes, old and new ones, know all the rows
--
CREATE FUNCTION found(condition text, OUT index text, OUT by_index bigint, OUT by_scan bigint) LANGUAGE plpgsql AS $$
DECLARE
    query text := 'SELECT count(*) FROM anomaly_detection_results WHERE ' || condition;
    line text;
BEGIN
    PERFORM set_config('enable_' || t, CASE t WHEN 'seqscan' THEN 'off' ELSE 'on' END, true) FROM unnest(ARRAY['seqscan', 'indexscan', 'indexonlyscan', 'bitmapscan']) t;
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        index := coalesce(index, substring(line FROM '(?:using|Bitmap Index Scan on) (\w+)'));
    END LOOP;
    EXECUTE query INTO by_index;
    PERFORM set_config('enable_' || t, CASE t WHEN 'seqscan' THEN 'on' ELSE 'off' END, true) FROM unnest(ARRAY['seqscan', 'indexscan', 'indexonlyscan', 'bitmapscan']) t;
    EXECUTE query INTO by_scan;
END
$$;
BEGIN;
SELECT way, stored FROM detect();
CREATE INDEX results_of_value ON anomaly_detection_results (((features->>'v')::float8));
CREATE INDEX results_of_anomalies ON anomaly_detection_results (source_record_id) WHERE is_anomaly;
CREATE INDEX results_of_features ON anomaly_detection_results USING gin (features jsonb_path_ops);
CREATE INDEX results_of_score ON anomaly_detection_results USING hash (anomaly_score);
SELECT run, way, stored FROM detect() \gset
SELECT :'way' AS way, :stored AS stored;
-- Each row twice; scores come in pairs, those of 300 and 301 too
SELECT regexp_replace(c, '^run_id = .*', 'run_id = ...') AS condition, f.* FROM unnest(ARRAY['(features->>''v'')::float8 BETWEEN 501 AND 600', 'is_anomaly AND source_record_id > 560', 'features @> ''{"v": 513}''',
    'anomaly_score = 0.5::float8 / 222.39', 'id > 0', 'source_table = ''results.s'' AND source_record_id BETWEEN 500 AND 520', 'detection_timestamp = now()',
    'run_id = ' || :run]) c, found(c) f;
ROLLBACK;

--
-- Constraints: what breaks them in the second block stores nothing
--
BEGIN;
ALTER TABLE anomaly_detection_results ADD CONSTRAINT low CHECK (source_record_id < 590) NOT VALID;
SELECT * FROM attempt();
SELECT * FROM attempt(where_clause => 'id < 590');
ROLLBACK;
BEGIN;
CREATE UNIQUE INDEX once ON anomaly_detection_results (source_table, source_record_id);
SELECT * FROM attempt() UNION ALL SELECT * FROM attempt();
SELECT c.index, by_index, by_scan FROM found('source_table = ''results.s'' AND source_record_id > 0') c;
ROLLBACK;
BEGIN;
CREATE UNIQUE INDEX score ON anomaly_detection_results (run_id, anomaly_score);  -- 300 and 301, in one block
SELECT * FROM attempt();
SELECT * FROM attempt(where_clause => 'id > 300');
ROLLBACK;
BEGIN;
ALTER TABLE anomaly_detection_results ADD CONSTRAINT apart EXCLUDE (run_id WITH =, anomaly_score WITH =);
SELECT * FROM attempt();
SELECT * FROM attempt(where_clause => 'id > 300');
ROLLBACK;
BEGIN;
ALTER TABLE anomaly_detection_results ADD CONSTRAINT later UNIQUE (source_record_id) DEFERRABLE INITIALLY DEFERRED;
SELECT * FROM attempt() UNION ALL SELECT * FROM attempt();
SET CONSTRAINTS later IMMEDIATE;
ROLLBACK;
BEGIN;
ALTER TABLE anomaly_detection_results ADD needed int NOT NULL DEFAULT 1;
ALTER TABLE anomaly_detection_results ALTER needed DROP DEFAULT;
SELECT * FROM attempt();
ROLLBACK;
-- Keys of other tables
BEGIN;
CREATE TABLE reviews (result bigint REFERENCES anomaly_detection_results, verdict text);
SELECT way, stored FROM detect();
INSERT INTO reviews SELECT max(id), 'right' FROM anomaly_detection_results;
DELETE FROM anomaly_detection_results;
ROLLBACK;
BEGIN;
CREATE TABLE known (id text PRIMARY KEY);
ALTER TABLE anomaly_detection_results ADD FOREIGN KEY (source_table) REFERENCES known NOT VALID;
SELECT * FROM attempt();
INSERT INTO known VALUES ('results.s');
SELECT * FROM attempt();
ROLLBACK;
-- As a partition it has the constraint of one.
BEGIN;
CREATE TABLE whole (LIKE anomaly_detection_results) PARTITION BY LIST (is_anomaly);
ALTER EXTENSION anomaly_detect DROP SEQUENCE anomaly_detection_results_id_seq;  -- for 17, where no partition has an identity
CREATE SEQUENCE ids;
ALTER TABLE anomaly_detection_results ALTER id DROP IDENTITY, ALTER id SET DEFAULT nextval('ids');
ALTER TABLE whole ATTACH PARTITION anomaly_detection_results FOR VALUES IN (false);
SELECT * FROM attempt();
SELECT * FROM attempt(where_clause => 'id BETWEEN 34 AND 567');
ROLLBACK;

--
-- Columns
--
BEGIN;
ALTER TABLE anomaly_detection_results ADD gone text DEFAULT 'x', ADD five int NOT NULL DEFAULT 5, ADD who name DEFAULT session_user, ADD word varchar(3) DEFAULT 'abc',
    ADD long text DEFAULT repeat(session_user::text, 1000), ADD pair int[] DEFAULT '{1,2}', ADD nothing float8;
ALTER TABLE anomaly_detection_results DROP gone, DROP metadata, ADD CHECK (length(repeat('x', 20000 + length(source_table))) > 0);
CREATE DOMAIN results.grade AS int DEFAULT 3 CHECK (VALUE < 5);
ALTER TABLE anomaly_detection_results ADD grade grade;
SELECT run, way, stored FROM detect() \gset
SELECT :'way' AS way, :stored AS stored;
SELECT count(*) AS rows, bool_and(five = 5 AND who = session_user AND word = 'abc' AND long = repeat(session_user::text, 1000) AND pair = '{1,2}' AND nothing IS NULL AND grade = 3) AS filled,
       bool_and(features = jsonb_build_object('v', v) AND run_id = :run AND detection_timestamp = now() AND job_id IS NULL) AS in_place
FROM anomaly_detection_results JOIN s ON s.id = source_record_id WHERE run_id = :run;
ROLLBACK;
-- A domain that refuses null, of a column that gets none
BEGIN;
CREATE DOMAIN results.given AS text NOT NULL;
ALTER TABLE anomaly_detection_results ADD given results.given;
SELECT * FROM attempt();
ALTER TABLE anomaly_detection_results ALTER given SET DEFAULT 'x';
SELECT * FROM attempt();
ROLLBACK;
-- Values that differ from row to row
BEGIN;
ALTER TABLE anomaly_detection_results ADD random float8 DEFAULT random();
SELECT run, way FROM detect() \gset
SELECT :'way' AS way, count(random) AS rows, count(DISTINCT random) > 550 AS differ FROM anomaly_detection_results WHERE run_id = :run;
ROLLBACK;
BEGIN;
ALTER TABLE anomaly_detection_results ADD place bigserial, ADD other bigint GENERATED ALWAYS AS IDENTITY;
SELECT run, way FROM detect() \gset
SELECT :'way' AS way, count(DISTINCT place) AS places, count(DISTINCT other) AS others FROM anomaly_detection_results WHERE run_id = :run;
ROLLBACK;
BEGIN;
ALTER TABLE anomaly_detection_results ADD twice float8 GENERATED ALWAYS AS (2 * anomaly_score) STORED;
SELECT run, way FROM detect() \gset
SELECT :'way' AS way, count(*) AS rows, bool_and(twice = 2 * anomaly_score) AS same FROM anomaly_detection_results WHERE run_id = :run;
ROLLBACK;
-- Columns of ours that have been changed
BEGIN;
ALTER TABLE anomaly_detection_results ALTER id SET GENERATED BY DEFAULT SET INCREMENT BY 10;
SELECT run, way FROM detect() \gset
SELECT :'way' AS way, count(DISTINCT id) AS ids, max(id) - min(id) AS apart FROM anomaly_detection_results WHERE run_id = :run;
DO $$
BEGIN  -- for 590 rows
    EXECUTE format('ALTER TABLE anomaly_detection_results ALTER id SET MAXVALUE %s', (SELECT max(id) FROM anomaly_detection_results) + 5900);
END
$$;
SELECT split_part(outcome, ' (', 1) AS outcome, stored FROM attempt();
ROLLBACK;
BEGIN;
CREATE SEQUENCE tens START 1000000 INCREMENT 10;
ALTER EXTENSION anomaly_detect DROP SEQUENCE anomaly_detection_results_id_seq;
ALTER TABLE anomaly_detection_results ALTER id DROP IDENTITY, ALTER id SET DEFAULT nextval('results.tens');
SELECT run, way FROM detect() \gset
SELECT :'way' AS way, count(DISTINCT id) AS ids, min(id), max(id) FROM anomaly_detection_results WHERE run_id = :run;
ROLLBACK;
BEGIN;
ALTER TABLE anomaly_detection_results ALTER raw_data TYPE json;
SELECT run, way FROM detect(options => '{"raw_data": "all"}') \gset
SELECT :'way' AS way, bool_and(raw_data::jsonb = to_jsonb(s)) AS same FROM anomaly_detection_results JOIN s ON s.id = source_record_id WHERE run_id = :run;
ROLLBACK;
BEGIN;
ALTER TABLE anomaly_detection_results ALTER owner SET DEFAULT to_regrole('regress_ad_other');
SELECT run, way FROM detect() \gset
SELECT :'way' AS way, owner, count(*) FROM anomaly_detection_results WHERE run_id = :run GROUP BY owner;
ROLLBACK;

--
-- Triggers and rules do what they do for an INSERT
--
CREATE TABLE log (what text, result bigint);
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN NEW.metadata := '{"seen": true}'; END IF;
    INSERT INTO log VALUES (TG_WHEN || ' ' || TG_LEVEL, NEW.source_record_id);
    RETURN CASE WHEN TG_WHEN = 'AFTER' OR NEW.source_record_id <> 600 THEN NEW END;
END
$$;
CREATE FUNCTION note_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log SELECT TG_WHEN || ' ' || TG_LEVEL, source_record_id FROM new_rows;
    RETURN NULL;
END
$$;
BEGIN;
CREATE TRIGGER before BEFORE INSERT ON anomaly_detection_results FOR EACH ROW EXECUTE FUNCTION note_row();
SELECT way, stored FROM detect();  -- the trigger keeps row 600 out
SELECT what, count(*) AS times, count(DISTINCT result) AS results FROM log GROUP BY 1;
SELECT count(*) FROM anomaly_detection_results WHERE metadata = '{"seen": true}';
ROLLBACK;
BEGIN;
CREATE TRIGGER after AFTER INSERT ON anomaly_detection_results FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TRIGGER statement AFTER INSERT ON anomaly_detection_results REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION note_rows();
SELECT way, stored FROM detect();
SELECT what, count(*) AS times, count(DISTINCT result) AS results FROM log GROUP BY 1 ORDER BY 1;
ROLLBACK;
BEGIN;
CREATE RULE copy AS ON INSERT TO anomaly_detection_results DO ALSO INSERT INTO log VALUES ('also', NEW.source_record_id);
SELECT way, stored FROM detect();
SELECT what, count(*) AS times, count(DISTINCT result) AS results FROM log GROUP BY 1;
ROLLBACK;
BEGIN;
CREATE RULE elsewhere AS ON INSERT TO anomaly_detection_results DO INSTEAD INSERT INTO log VALUES ('instead', NEW.source_record_id);
SELECT stored FROM detect();
SELECT what, count(*) AS times, count(DISTINCT result) AS results FROM log GROUP BY 1;
ROLLBACK;

--
-- Privileges and policies: of a role that has no others than PUBLIC has
--
GRANT SELECT ON s TO regress_ad_writer;
SET ROLE regress_ad_writer;
CREATE TABLE own AS TABLE s;
ALTER TABLE own ADD PRIMARY KEY (id);
SELECT train('own');
SELECT * FROM attempt('own');
SELECT owner, count(*) FROM anomaly_detection_results GROUP BY 1;
CREATE FUNCTION lent() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT (results.detect('results.own')).way $$;
SET ROLE regress_ad_other;
SELECT lent();
SELECT count(*) AS seen FROM anomaly_detection_results;
RESET ROLE;
SELECT owner, count(*) FROM anomaly_detection_results WHERE source_table = 'results.own' GROUP BY 1;
-- What the owner of the table does, and what becomes of a detection of the writer
CREATE FUNCTION under(changes text, OUT changed text, OUT outcome text, OUT stored bigint) LANGUAGE plpgsql AS $$
BEGIN
    changed := changes;
    changes := replace(changes, 'COLUMNS', 'source_table, model_id, algorithm, run_id, threshold, source_record_id, source_record_key, is_anomaly,
        anomaly_score, confidence, p_value, features, raw_data, explanation, severity');
    EXECUTE 'SET LOCAL search_path = public; ' || regexp_replace(changes, '(ON|TABLE) r\M', '\1 anomaly_detection_results', 'g');
    SET LOCAL search_path = results, public;
    SET LOCAL ROLE regress_ad_writer;
    SELECT replace(a.outcome, 'anomaly_detection_results', 'r'), a.stored INTO outcome, stored FROM attempt('own') a;
    RAISE 'undo' USING ERRCODE = 'AD000';
EXCEPTION WHEN SQLSTATE 'AD000' THEN
    RETURN;
END
$$;
SELECT u.* FROM unnest(ARRAY[
    'REVOKE INSERT ON r FROM PUBLIC',
    'REVOKE INSERT ON r FROM PUBLIC; GRANT INSERT ON r TO regress_ad_writer',
    'REVOKE INSERT ON r FROM PUBLIC; GRANT INSERT (COLUMNS) ON r TO regress_ad_writer',
    'CREATE POLICY low ON r AS RESTRICTIVE USING (source_record_id < 590)',
    'CREATE POLICY low ON r AS RESTRICTIVE FOR INSERT WITH CHECK (source_record_id < 590)',
    'CREATE POLICY high ON r AS RESTRICTIVE USING (source_record_id < 601)',
    'CREATE POLICY other ON r FOR DELETE USING (false)',
    'CREATE POLICY low ON r AS RESTRICTIVE USING (source_record_id < 590); ALTER ROLE regress_ad_writer BYPASSRLS',
    'ALTER TABLE r DISABLE ROW LEVEL SECURITY',
    'DROP POLICY owner_access ON r',
    'ALTER POLICY owner_access ON r TO regress_ad_other',
    'ALTER POLICY owner_access ON r TO regress_ad_other, regress_ad_writer',
    'ALTER POLICY owner_access ON r USING (owner = to_regrole(''regress_ad_other''))',
    'ALTER POLICY owner_access ON r USING (_ad_may_see(owner) AND source_record_id < 590)',
    'ALTER POLICY owner_access ON r WITH CHECK (source_record_id < 590)',
    'ALTER TABLE r ADD other oid DEFAULT 0; ALTER POLICY owner_access ON r USING (_ad_may_see(other))',
    'DROP POLICY owner_access ON r; CREATE POLICY owner_access ON r FOR SELECT USING (_ad_may_see(owner))',
    'DROP POLICY owner_access ON r; CREATE POLICY owner_access ON r AS RESTRICTIVE USING (_ad_may_see(owner))',
    'ALTER TABLE r ALTER owner SET DEFAULT to_regrole(''regress_ad_other'')',
    'ALTER TABLE r ALTER owner DROP DEFAULT',
    'CREATE FUNCTION seen(oid) RETURNS boolean LANGUAGE sql AS ''SELECT false''; ALTER POLICY owner_access ON r USING (seen(owner))']) c, under(c) u;

--
-- Failures in the middle, between the blocks
--
SELECT count(*) AS runs, total() AS results FROM anomaly_detection_runs \gset
SELECT detect(where_clause => '1 / (id - 550) < 2');
BEGIN;
SELECT way FROM detect();
ROLLBACK;
SELECT count(*) = :runs AS same_runs, total() = :results AS same_results FROM anomaly_detection_runs;
-- In subtransactions, before and after such that succeed
CREATE TABLE attempts (n serial, outcome text, stored bigint);
BEGIN;
INSERT INTO attempts (outcome, stored)
SELECT a.* FROM unnest(ARRAY['id > 0', '1 / (id - 550) < 2', 'id > 512', '1 / (id - 600) < 2', '1 / (id - 1) < 2', 'id <= 512']) c, attempt('s', c) a;
TABLE attempts;
SELECT count(*) AS rows, count(DISTINCT id) AS ids, count(DISTINCT run_id) AS runs FROM anomaly_detection_results WHERE detection_timestamp = now();
SELECT f.* FROM unnest(ARRAY['id > 0', 'source_table = ''results.s'' AND source_record_id BETWEEN 500 AND 520', 'detection_timestamp = now()']) c, found(c) f;
COMMIT;
SELECT total() - :results AS stored;
-- Cancelled, and out of time
CREATE FUNCTION cancel_at(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN id <> 550 OR pg_cancel_backend(pg_backend_pid()); END $$;
CREATE FUNCTION sleep_at(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF id = 550 THEN PERFORM pg_sleep(60); END IF; RETURN true; END $$;
SELECT total() AS results \gset
SELECT detect(where_clause => 'cancel_at(id)');
SET statement_timeout = '200ms';
SELECT detect(where_clause => 'sleep_at(id)');
RESET statement_timeout;
SELECT * FROM attempt(where_clause => 'cancel_at(id)');
SELECT total() - :results AS stored;
SELECT * FROM attempt();

--
-- A detection over the results reads what was there when it began
--
DELETE FROM anomaly_detection_results;
SELECT way, stored FROM detect();
SELECT ad_train('anomaly_detection_results', '{anomaly_score}', model_name => 'own results', algorithm => 'mad');
SELECT way, stored FROM detect('anomaly_detection_results');
BEGIN;
CREATE TRIGGER unchanged BEFORE UPDATE ON anomaly_detection_results FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT stored FROM detect('anomaly_detection_results');
SELECT total();
ROLLBACK;

SELECT count(ad_drop_model(name)) AS dropped FROM (SELECT DISTINCT name FROM model_registry) m;
SELECT ad_prune('0') IS NOT NULL AS pruned;
DROP SCHEMA results CASCADE;
DROP ROLE regress_ad_writer, regress_ad_other;
