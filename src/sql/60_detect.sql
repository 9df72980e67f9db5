-- Detection: scores a source and stores what it finds, as one run.

CREATE FUNCTION _ad_check_options(options jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    defaults constant jsonb := '{"store": "all", "raw_data": "anomalies", "explain": false, "id_column": null}';
    checked jsonb;
    unknown text;
    key text;
BEGIN
    IF jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'For example: {"store": "anomalies"}.';
    END IF;
    checked := defaults || coalesce(options, '{}');
    unknown := (SELECT min(k) FROM jsonb_object_keys(checked) k WHERE NOT defaults ? k);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'unknown option: "%"', unknown
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Valid names are: store, raw_data, explain, id_column.';
    END IF;
    FOREACH key IN ARRAY ARRAY['store', 'raw_data'] LOOP
        IF NOT coalesce(checked->>key IN ('all', 'anomalies', 'none'), false) THEN
            RAISE EXCEPTION 'invalid value % for option "%"', checked->key, key
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Valid values are: all, anomalies, none.';
        END IF;
    END LOOP;
    IF jsonb_typeof(checked->'explain') <> 'boolean' THEN
        RAISE EXCEPTION 'option "explain" must be true or false'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'For example: {"explain": true}.';
    ELSIF jsonb_typeof(checked->'id_column') NOT IN ('string', 'null') THEN
        RAISE EXCEPTION 'option "id_column" must be the name of a column'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out to use the primary key.';
    END IF;
    RETURN checked;
END
$$;
COMMENT ON FUNCTION _ad_check_options(jsonb) IS 'options of a detection with their defaults';

CREATE FUNCTION _ad_check_detection(
    source regclass, feature_columns text[], model text, batch_size integer
) RETURNS model_registry
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    chosen model_registry := _ad_resolve(model, _ad_source(source));
    inputs text[] := _ad_inputs(chosen.model_id);
BEGIN
    IF pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'cannot store the results of a detection in a read-only transaction'
            USING ERRCODE = 'read_only_sql_transaction', HINT = 'ad_scores and ad_score work here.';
    ELSIF batch_size IS NULL OR batch_size < 1 THEN
        RAISE EXCEPTION 'batch_size must be at least 1, not %', coalesce(batch_size::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'It is the number of rows in a batch.';
    ELSIF feature_columns IS NOT NULL
        AND NOT (feature_columns @> chosen.feature_columns AND feature_columns <@ inputs) THEN
        RAISE EXCEPTION 'feature_columns do not match the features of model "%"', chosen.model_id
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('They are: %s.', array_to_string(chosen.feature_columns, ', ')),
                  HINT = 'Leave feature_columns out to use the features of the model.';
    END IF;
    PERFORM _ad_features(source, inputs);
    RETURN chosen;
END
$$;
COMMENT ON FUNCTION _ad_check_detection(regclass, text[], text, integer) IS
'the model of a detection, after checks of what goes with it';

CREATE FUNCTION _ad_detect_rows(
    query text, model_id text, algorithm text, keys text[], run_id bigint, source_table text, store text,
    raw_data text, explain boolean, batch_size integer, want_key boolean
) RETURNS TABLE (batch bigint, records bigint, scored bigint, anomalies bigint, last_key text[])
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_detect_rows(text, text, text, text[], bigint, text, text, text, boolean, integer, boolean) IS
'runs a query, scores its rows and stores the results; returns figures for each batch_size rows, or for more so that they are less than 1000; the last has the key';

CREATE FUNCTION _ad_store(
    run_id bigint, source regclass, chosen model_registry, options jsonb, keys text[], condition text,
    ordering text, batch_size integer, caller_path text
) RETURNS TABLE (batch bigint, records bigint, scored bigint, anomalies bigint, last_key text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
-- results are stored while the source is read, which no parallel plan allows
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    query text := _ad_select(source, CASE WHEN options->>'raw_data' = 'none' THEN keys || _ad_inputs(chosen.model_id) END,
                             condition, ordering);
    source_name text := _ad_source(source);
    store text := options->>'store';
    raw_data text := options->>'raw_data';
    explain boolean := options->>'explain';
    want_key boolean := ordering <> '';
BEGIN
    -- from here on, the caller's search_path: names are qualified and there are no operators
    PERFORM set_config('search_path', caller_path, true);
    RETURN QUERY SELECT * FROM @extschema@._ad_detect_rows(query, chosen.model_id, chosen.algorithm, keys, run_id,
        source_name, store, raw_data, explain, batch_size, want_key);
END
$$;
COMMENT ON FUNCTION _ad_store(bigint, regclass, model_registry, jsonb, text[], text, text, integer, text) IS
'_ad_detect_rows over a source, with the search_path of the caller';

CREATE FUNCTION _ad_start_run(source regclass, chosen model_registry, condition text, options jsonb) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    INSERT INTO anomaly_detection_runs (source_table, source_oid, model_id, model_created_at, where_clause, options, status,
        estimated_records)
    SELECT _ad_source(source), source, chosen.model_id, chosen.created_at, condition, options, 'running',
           (SELECT nullif(reltuples, -1)::bigint FROM pg_class WHERE oid = source)
    RETURNING id
$$;
COMMENT ON FUNCTION _ad_start_run(regclass, model_registry, text, jsonb) IS 'records the start of a detection and returns its run_id';

CREATE FUNCTION _ad_run_result(run anomaly_detection_runs) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'run_id', run.id,
        'model_id', run.model_id,
        'processed_records', run.processed_records,
        'anomalies_found', run.anomalies_found,
        'skipped_records', run.skipped_records,
        'overall_anomaly_rate', coalesce(run.anomalies_found::float8 / nullif(run.processed_records - run.skipped_records, 0), 0),
        'processing_time_seconds', round(extract(epoch FROM coalesce(run.finished_at, clock_timestamp()) - run.started_at), 3));
END
$$;
COMMENT ON FUNCTION _ad_run_result(anomaly_detection_runs) IS 'the figures of a run, as ad_detect returns them';

CREATE FUNCTION _ad_detect(
    source regclass, feature_columns text[], model text, condition text, batch_size integer, options jsonb, caller_path text
) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    chosen model_registry := _ad_check_detection(source, feature_columns, model, batch_size);
    checked jsonb := _ad_check_options(options);
    keys text[] := _ad_record_key(source, checked->>'id_column');
    run anomaly_detection_runs;
    batch_results jsonb;
    totals record;
BEGIN
    run.id := _ad_start_run(source, chosen, condition, checked);
    SELECT sum(s.records) AS records, sum(s.scored) AS scored, sum(s.anomalies) AS anomalies, count(*) AS batches,
           jsonb_agg(jsonb_build_object('batch_number', s.batch, 'records_processed', s.records, 'anomalies_found', s.anomalies,
               'anomaly_rate', coalesce(s.anomalies::float8 / nullif(s.scored, 0), 0)) ORDER BY s.batch) AS list
    INTO totals
    FROM _ad_store(run.id, source, chosen, checked, keys, condition, '', batch_size, caller_path) s;
    UPDATE anomaly_detection_runs r SET
        status = 'succeeded', finished_at = clock_timestamp(), processed_records = coalesce(totals.records, 0),
        skipped_records = coalesce(totals.records - totals.scored, 0),
        anomalies_found = coalesce(totals.anomalies, 0), batches = totals.batches
    WHERE r.id = run.id RETURNING r.* INTO run;
    RETURN _ad_run_result(run) || jsonb_build_object('batch_results', coalesce(totals.list, '[]'));
END
$$;
COMMENT ON FUNCTION _ad_detect(regclass, text[], text, text, integer, jsonb, text) IS 'ad_detect with a pinned search_path';

CREATE FUNCTION ad_detect(
    source regclass, feature_columns text[] DEFAULT NULL, model_id text DEFAULT NULL,
    where_clause text DEFAULT NULL, batch_size integer DEFAULT 1000, options jsonb DEFAULT '{}'
) RETURNS jsonb
LANGUAGE sql
BEGIN ATOMIC
    SELECT _ad_detect(source, feature_columns, model_id, _ad_check_condition(where_clause), batch_size, options,
                      current_setting('search_path'));
END;
COMMENT ON FUNCTION ad_detect(regclass, text[], text, text, integer, jsonb) IS
'scores a source and stores the verdicts, in one transaction; returns the figures of the run';

CREATE FUNCTION _ad_in_transaction_block() RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_in_transaction_block() IS 'whether the session is between BEGIN and COMMIT, so that no procedure may commit';

CREATE FUNCTION _ad_open_run(
    source regclass, feature_columns text[], model text, condition text, batch_size integer, options jsonb
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    chosen model_registry := _ad_check_detection(source, feature_columns, model, batch_size);
    checked jsonb := _ad_check_options(options);
    keys text[] := _ad_record_key(source, checked->>'id_column');
    run_id bigint;
BEGIN
    IF _ad_in_transaction_block() THEN
        RAISE EXCEPTION 'ad_detect_batches cannot run inside a transaction block'
            USING ERRCODE = 'invalid_transaction_termination', HINT = 'It commits each batch; ad_detect is one transaction.';
    ELSIF source = 'anomaly_detection_results'::regclass THEN
        RAISE EXCEPTION 'batches over % would read what they store', source
            USING ERRCODE = 'feature_not_supported', HINT = 'Use ad_detect, which reads what was there when it began.';
    ELSIF NOT _ad_is_unique(source, keys) THEN
        RAISE EXCEPTION 'relation % has no unique index on the key (%), without null', source, array_to_string(keys, ', ')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Batches follow the order of such a key. Use ad_detect, or create the index: valid, not partial or deferrable, of columns that are NOT NULL, with their collations.';
    END IF;
    -- Of callers that come at once, one makes the run and the others find it.
    PERFORM pg_advisory_xact_lock(hashtextextended(format('anomaly_detect batches %s %s', source::oid, chosen.model_id), 0));
    SELECT max(r.id) INTO run_id FROM anomaly_detection_runs r
    WHERE r.owner = current_user::regrole AND r.source_oid = source AND r.model_id = chosen.model_id AND r.model_created_at = chosen.created_at
      AND r.where_clause = condition AND r.options = checked AND r.status IN ('running', 'failed') AND r.job_id IS NULL;
    IF run_id IS NOT NULL THEN
        RAISE NOTICE 'resuming run %', run_id;
        UPDATE anomaly_detection_runs r SET attempt = r.attempt + 1, pid = pg_backend_pid(), status = 'running',
            finished_at = NULL, error = NULL, sqlstate = NULL WHERE r.id = run_id;
        RETURN run_id;
    END IF;
    RETURN _ad_start_run(source, chosen, condition, checked);
END
$$;
COMMENT ON FUNCTION _ad_open_run(regclass, text[], text, text, integer, jsonb) IS
'the unfinished run of the same detection, or a new one';

CREATE FUNCTION _ad_after_key(source regclass, keys text[], last_key text[]) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT CASE WHEN last_key IS NULL THEN 'TRUE' ELSE format('(%s) OPERATOR(pg_catalog.>) (%s)',
        string_agg(format('%I.%I', c.relname, k), ', ' ORDER BY n),
        string_agg(format('%L::%I.%I', last_key[n], s.nspname, t.typname), ', ' ORDER BY n)) END
    FROM unnest(keys) WITH ORDINALITY u(k, n)
    JOIN pg_class c ON c.oid = source
    JOIN pg_attribute a ON a.attrelid = source AND a.attname = k
    JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_namespace s ON s.oid = t.typnamespace
$$;
COMMENT ON FUNCTION _ad_after_key(regclass, text[], text[]) IS 'condition for the rows behind a key; TRUE without one';

CREATE FUNCTION _ad_store_batch(run anomaly_detection_runs, source regclass, batch_size integer, caller_path text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    keys text[] := _ad_record_key(source, run.options->>'id_column');
    ordering text := (SELECT format(' ORDER BY %s LIMIT %s',
            string_agg(format('%I.%I USING OPERATOR(pg_catalog.<)', c.relname, k), ', ' ORDER BY n), batch_size)
        FROM unnest(keys) WITH ORDINALITY u(k, n), pg_class c WHERE c.oid = source);
    done record;
BEGIN
    IF (_ad_resolve(run.model_id)).created_at <> run.model_created_at THEN
        RAISE EXCEPTION 'model "%" is not the one that the run began with', run.model_id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT * INTO done FROM _ad_store(run.id, source, _ad_resolve(run.model_id), run.options, keys,
        run.where_clause || ' AND ' || _ad_after_key(source, keys, run.last_key), ordering, batch_size, caller_path);
    IF done.last_key = run.last_key THEN
        RAISE EXCEPTION 'key (%) does not order the rows: it came twice', array_to_string(run.last_key, ', ')
            USING ERRCODE = 'data_exception', HINT = 'Use ad_detect for this source.';
    END IF;
    UPDATE anomaly_detection_runs r SET
        processed_records = r.processed_records + coalesce(done.records, 0),
        skipped_records = r.skipped_records + coalesce(done.records - done.scored, 0),
        anomalies_found = r.anomalies_found + coalesce(done.anomalies, 0),
        batches = r.batches + coalesce(done.batch, 0)::integer,
        last_key = coalesce(done.last_key, r.last_key),
        status = CASE WHEN coalesce(done.records, 0) < batch_size THEN 'succeeded' ELSE 'running' END,
        finished_at = CASE WHEN coalesce(done.records, 0) < batch_size THEN clock_timestamp() END
    WHERE r.id = run.id;
    RETURN coalesce(done.records, 0);
END
$$;
COMMENT ON FUNCTION _ad_store_batch(anomaly_detection_runs, regclass, integer, text) IS
'scores and stores the rows behind the position of a run and moves the position; returns how many there were';

CREATE FUNCTION _ad_next_batch(run_id bigint, source regclass, batch_size integer, caller_path text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    run anomaly_detection_runs;
    message text;
    state text;
BEGIN
    -- The lock on the run makes concurrent callers take turns: each continues where the last commit ended.
    SELECT * INTO run FROM anomaly_detection_runs r WHERE r.id = run_id FOR UPDATE;
    IF run.status = 'failed' THEN
        RETURN NULL;
    ELSIF run.id IS NULL OR run.status <> 'running' THEN
        RETURN false;
    END IF;
    RETURN _ad_store_batch(run, source, batch_size, caller_path) = batch_size;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
    UPDATE anomaly_detection_runs r SET status = 'failed', error = message, sqlstate = state, finished_at = clock_timestamp()
    WHERE r.id = run_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION _ad_next_batch(bigint, regclass, integer, text) IS
'the next batch of a run, in one transaction; false after the last, null when the run has failed';

CREATE FUNCTION _ad_raise_failure(run_id bigint) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    run anomaly_detection_runs;
BEGIN
    SELECT * INTO run FROM anomaly_detection_runs r WHERE r.id = run_id;
    RAISE EXCEPTION USING MESSAGE = run.error, ERRCODE = run.sqlstate,
        DETAIL = format('Run %s has processed %s rows and stands where its last batch ended.', run_id, run.processed_records),
        HINT = CASE WHEN EXISTS (SELECT FROM model_registry m WHERE m.model_id = run.model_id AND m.created_at = run.model_created_at)
                    THEN 'Repeat the call to resume it.' ELSE 'Its model is gone: begin a new run with another.' END;
END
$$;
COMMENT ON FUNCTION _ad_raise_failure(bigint) IS 'raises the error that a run ended with';

CREATE PROCEDURE ad_detect_batches(
    source regclass, feature_columns text[] DEFAULT NULL, model_id text DEFAULT NULL,
    where_clause text DEFAULT NULL, batch_size integer DEFAULT 10000, options jsonb DEFAULT '{}',
    INOUT result jsonb DEFAULT NULL
)
LANGUAGE plpgsql
AS $$
-- A procedure that commits cannot pin its search_path: only qualified names and no operators here.
DECLARE
    caller_path pg_catalog.text := pg_catalog.current_setting('search_path');
    run_id pg_catalog.int8 := @extschema@._ad_open_run(
        source, feature_columns, model_id, @extschema@._ad_check_condition(where_clause), batch_size, options);
    more pg_catalog.bool;
BEGIN
    COMMIT;
    LOOP
        more := @extschema@._ad_next_batch(run_id, source, batch_size, caller_path);
        COMMIT;
        EXIT WHEN more IS NOT TRUE;
    END LOOP;
    IF more IS NULL THEN
        PERFORM @extschema@._ad_raise_failure(run_id);
    END IF;
    result := @extschema@._ad_run_figures(run_id);
END
$$;
COMMENT ON PROCEDURE ad_detect_batches(regclass, text[], text, text, integer, jsonb, jsonb) IS
'ad_detect in batches that commit; a call that was interrupted resumes when it is repeated';

CREATE FUNCTION _ad_run_figures(run_id bigint) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT _ad_run_result(r) FROM anomaly_detection_runs r WHERE r.id = run_id
$$;
COMMENT ON FUNCTION _ad_run_figures(bigint) IS 'the figures of a run by its id';

CREATE FUNCTION _ad_summary(source_table text, source regclass, start_date timestamptz, end_date timestamptz) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    WITH chosen AS MATERIALIZED (
        SELECT r.* FROM anomaly_detection_results r
        WHERE (_ad_summary.source_table IS NULL
               OR r.source_table IN (_ad_summary.source_table, (SELECT _ad_source(source) WHERE source IS NOT NULL)))
          AND (start_date IS NULL OR r.detection_timestamp >= start_date)
          AND (end_date IS NULL OR r.detection_timestamp < end_date)
    )
    SELECT jsonb_build_object(
        'summary', (SELECT jsonb_build_object(
            'total_records', count(*), 'anomalies', count(*) FILTER (WHERE is_anomaly),
            'anomaly_rate', coalesce(avg(is_anomaly::integer), 0)::float8,
            'average_score', avg(anomaly_score), 'max_score', max(anomaly_score),
            'tables', count(DISTINCT c.source_table), 'models', count(DISTINCT model_id),
            'first_detection', min(detection_timestamp), 'last_detection', max(detection_timestamp)) FROM chosen c),
        'breakdown_by_table', coalesce((SELECT jsonb_agg(to_jsonb(b) ORDER BY b.source_table) FROM (
            SELECT c.source_table, count(*) AS total_records, count(*) FILTER (WHERE is_anomaly) AS anomalies,
                   avg(is_anomaly::integer)::float8 AS anomaly_rate, avg(anomaly_score) AS average_score,
                   max(anomaly_score) AS max_score, max(detection_timestamp) AS last_detection
            FROM chosen c GROUP BY c.source_table) b), '[]'))
$$;
COMMENT ON FUNCTION _ad_summary(text, regclass, timestamptz, timestamptz) IS 'ad_summary with a pinned search_path';

CREATE FUNCTION ad_summary(
    source_table text DEFAULT NULL, start_date timestamptz DEFAULT NULL, end_date timestamptz DEFAULT NULL
) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT _ad_summary(source_table, to_regclass(source_table), start_date, end_date);
END;
COMMENT ON FUNCTION ad_summary(text, timestamptz, timestamptz) IS
'figures of the stored results, in total and by table; from start_date up to, not including, end_date';

