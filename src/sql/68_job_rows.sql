-- The rows that a run of a job takes: which are new, and what becomes of those that cannot be scored.
--
-- A row is taken by the first run that sees it, whatever the order in which transactions commit. The
-- watermark alone cannot say this: a row with a smaller value may be committed after it has passed. So
-- every run works on one snapshot, kept with the watermark, and the next one also takes the rows behind
-- the watermark whose transaction was not in it.

CREATE FUNCTION _ad_has_xmin(source regclass) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT c.relkind IN ('r', 'p', 'm') AND NOT EXISTS (
        SELECT FROM pg_partition_tree(source) t JOIN pg_class p ON p.oid = t.relid LEFT JOIN pg_am a ON a.oid = p.relam
        WHERE p.relkind = 'f' OR a.amname <> 'heap')
    FROM pg_class c WHERE c.oid = source
$$;
COMMENT ON FUNCTION _ad_has_xmin(regclass) IS 'whether the rows of a source say which transaction wrote them';

CREATE FUNCTION _ad_condition(source regclass, column_name text, op text, value text, type text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT CASE WHEN value IS NULL THEN 'TRUE' ELSE format('%I.%I OPERATOR(pg_catalog.%s) %L::%s', relname, column_name, op, value, type) END
    FROM pg_class WHERE oid = source
$$;
COMMENT ON FUNCTION _ad_condition(regclass, text, text, text, text) IS 'comparison of a column with a value; TRUE without a value';

CREATE FUNCTION _ad_seen(source regclass, snapshot text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT CASE WHEN snapshot IS NULL THEN 'TRUE' ELSE format('%s._ad_in_snapshot(%I.xmin, %L)', '@extschema@', relname, snapshot) END
    FROM pg_class WHERE oid = source
$$;
COMMENT ON FUNCTION _ad_seen(regclass, text) IS 'condition for the rows that a snapshot saw';

CREATE FUNCTION _ad_shift_watermark(watermark text, kind text, late_window text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET datestyle = 'ISO, YMD'
AS $$
    SELECT CASE kind
        WHEN 'id' THEN greatest(watermark::numeric - coalesce(late_window, '1000')::numeric, -9223372036854775808)::bigint::text
        WHEN 'timestamp with time zone' THEN (watermark::timestamptz - coalesce(late_window, '1 minute')::interval)::text
        ELSE (watermark::timestamp - coalesce(late_window, '1 minute')::interval)::text END
$$;
COMMENT ON FUNCTION _ad_shift_watermark(text, text, text) IS 'the value from which late rows are looked for';

CREATE FUNCTION _ad_close_window(state jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    snapshot text := state->'open'->>'snapshot';
    oldest bigint := nullif(split_part(snapshot, ':', 2), '')::bigint;
    history jsonb := state->'history';
BEGIN
    IF state->'open' IS NULL THEN
        RETURN state;
    ELSIF snapshot IS NULL THEN
        RETURN '{}';
    END IF;
    -- Where the watermark stood before the oldest transaction that still runs began, and since.
    WHILE (history->1->>0)::bigint <= oldest LOOP
        history := history - 0;
    END LOOP;
    RETURN jsonb_build_object('source', state->'open'->'source', 'snapshot', snapshot, 'history', history);
END
$$;
COMMENT ON FUNCTION _ad_close_window(jsonb) IS
'what the next run has to know of a run that took everything, or was interrupted where the watermark stands';

CREATE FUNCTION _ad_open_window(job anomaly_detection_jobs, run_id bigint, source regclass, config jsonb) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    kind text := _ad_watermark_kind(source, config->>'watermark_column');
    delay interval := config->>'window_delay';
    local_time timestamp := (_ad_now() AT TIME ZONE job.timezone) - delay;
    snapshot text := CASE WHEN _ad_has_xmin(source) THEN _ad_snapshot() END;
    -- A window that is open belongs to a run that was interrupted. Its snapshot is of no more use: a row
    -- that it saw may be another version by now.
    state jsonb := _ad_close_window(job.watermark_state);
    seen text := state->>'snapshot';
BEGIN
    IF job.watermark IS NULL OR split_part(seen, ':', 1) IS DISTINCT FROM split_part(snapshot, ':', 1)
       OR (state->>'source')::oid <> source THEN
        -- Transaction ids of another cluster, database or table mean nothing.
        PERFORM _ad_log(format('job "%s" does not look for rows behind its watermark, as what it remembers is about another table or database', job.job_name))
        WHERE seen IS NOT NULL AND job.watermark IS NOT NULL;
        seen := NULL;
        state := jsonb_build_object('history', jsonb_build_array(jsonb_build_array(split_part(snapshot, ':', 5)::bigint, job.watermark)));
    END IF;
    RETURN state || jsonb_build_object('open', jsonb_build_object(
        'run', run_id, 'source', source::oid::bigint, 'snapshot', snapshot, 'seen', seen,
        'type', CASE kind WHEN 'id' THEN 'bigint' WHEN 'date' THEN 'timestamp without time zone' ELSE kind END,
        'upto', CASE kind WHEN 'id' THEN NULL WHEN 'timestamp with time zone' THEN (_ad_now() - delay)::text
                -- a day is taken when it is over
                WHEN 'date' THEN (date_trunc('day', local_time) - interval '1 day')::text ELSE local_time::text END));
END
$$;
COMMENT ON FUNCTION _ad_open_window(anomaly_detection_jobs, bigint, regclass, jsonb) IS
'the state of a job with what a run is to take: up to where, in which snapshot, and what the run before saw';

CREATE FUNCTION _ad_pass_watermark(state jsonb, watermark text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    max_history constant integer := 100;
    history jsonb := state->'history';
    last integer := jsonb_array_length(history);
BEGIN
    IF state->'open'->>'snapshot' IS NULL OR watermark IS NOT DISTINCT FROM history->-1->>1 THEN
        RETURN state;
    END IF;
    -- What is left out makes rows count as written while the watermark passed, which loses none.
    IF last >= max_history THEN
        history := (SELECT jsonb_agg(h ORDER BY n) FROM jsonb_array_elements(history) WITH ORDINALITY t(h, n) WHERE n % 2 = 1 OR n = last);
    END IF;
    RETURN state || jsonb_build_object('history',
        history || jsonb_build_array(jsonb_build_array(split_part(_ad_snapshot(), ':', 5)::bigint, watermark)));
END
$$;
COMMENT ON FUNCTION _ad_pass_watermark(jsonb, text) IS
'notes where the watermark stands now, for the transactions that are still to begin';

CREATE FUNCTION _ad_check_watermark(job anomaly_detection_jobs) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    kind text := _ad_watermark_kind(_ad_job_source(job), job.configuration->>'watermark_column');
    good boolean := false;
BEGIN
    BEGIN
        good := CASE kind WHEN 'id' THEN job.watermark::bigint IS NOT NULL ELSE isfinite(job.watermark::timestamptz) END;
    EXCEPTION WHEN data_exception THEN
        NULL;
    END;
    IF NOT good THEN
        RAISE EXCEPTION 'invalid watermark: "%"', job.watermark
            USING ERRCODE = 'invalid_parameter_value', HINT = format('It is a value of column "%s".', job.configuration->>'watermark_column');
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_check_watermark(anomaly_detection_jobs) IS 'an error if the watermark is not one of its column';

CREATE FUNCTION _ad_batch_end(source regclass, column_name text, condition text, batch_size integer, OUT last text, OUT records bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET datestyle = 'ISO, YMD'
AS $$
BEGIN
    EXECUTE format('SELECT max(b.w)::text, count(*) FROM (%s AND %I IS NOT NULL ORDER BY %2$I FETCH FIRST %s ROWS WITH TIES) b(w)',
        _ad_select(source, ARRAY[column_name], condition), column_name, batch_size) INTO last, records;
END
$$;
COMMENT ON FUNCTION _ad_batch_end(regclass, text, text, integer) IS
'up to which value a batch goes, so that it ends between two values, and how many rows it has';

-- Storing

CREATE TYPE _ad_batch AS (
    run_id bigint,
    job_id bigint,
    source regclass,
    chosen model_registry,
    options jsonb,
    keys text[],
    where_clause text,
    base text,
    dead_letter boolean,
    search_path text
);
COMMENT ON TYPE _ad_batch IS 'what the rows of a batch are and how they are scored';

CREATE FUNCTION _ad_query_rows(query text, caller_path text, OUT result bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    PERFORM set_config('search_path', caller_path, true);
    EXECUTE query INTO result;
END
$$;
COMMENT ON FUNCTION _ad_query_rows(text, text) IS 'runs a query that returns a number, with the search_path of a job';

CREATE FUNCTION _ad_key_of(b _ad_batch) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT format('pg_catalog.jsonb_build_object(%s)', string_agg(format('%L, %I.%I', k, c.relname, k), ', '))
    FROM unnest(b.keys) k, pg_class c WHERE c.oid = b.source
$$;
COMMENT ON FUNCTION _ad_key_of(_ad_batch) IS 'expression for the key of a row, as results and dead letters have it';

CREATE FUNCTION _ad_bury_query(b _ad_batch, condition text, payload text, state text, reason text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT format('INSERT INTO %1$s.anomaly_detection_dead_letters AS d (job_id, run_id, source_table, source_record_key, payload, reason, sqlstate)
        SELECT DISTINCT ON (r.key) %2$s, %3$s, %4$L, r.key, r.payload, %5$L, %6$L FROM (SELECT %7$s, %8$s FROM %4$s WHERE %9$s) r(key, payload)
        ON CONFLICT (job_id, owner, pg_catalog.md5(source_record_key::pg_catalog.text)) DO UPDATE
        SET run_id = EXCLUDED.run_id, payload = EXCLUDED.payload, reason = EXCLUDED.reason, sqlstate = EXCLUDED.sqlstate,
            attempts = d.attempts OPERATOR(pg_catalog.+) 1, last_attempt = EXCLUDED.last_attempt',
        '@extschema@', b.job_id, b.run_id, _ad_source(b.source), reason, state, _ad_key_of(b), payload, condition)
$$;
COMMENT ON FUNCTION _ad_bury_query(_ad_batch, text, text, text, text) IS
'statement that keeps rows of a batch as dead letters, one for each key';

CREATE FUNCTION _ad_bury(b _ad_batch, key_condition text, caught_state text, message text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    condition text := format('%s AND (%s)', b.base, key_condition);
BEGIN
    BEGIN
        EXECUTE _ad_bury_query(b, condition, format('pg_catalog.to_jsonb(%s)', _ad_row_of(b.source)), caught_state, message);
    EXCEPTION WHEN data_exception OR plpgsql_error OR integrity_constraint_violation OR cardinality_violation OR data_corrupted THEN
        EXECUTE _ad_bury_query(b, condition, 'NULL::pg_catalog.jsonb', caught_state, message);
    END;
END
$$;
COMMENT ON FUNCTION _ad_bury(_ad_batch, text, text, text) IS 'keeps a row that cannot be scored as a dead letter';

CREATE FUNCTION _ad_bury_rejected(b _ad_batch, rows text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    condition text := rows || ' AND ' || b.where_clause;
BEGIN
    condition := format('%s AND NOT EXISTS (SELECT FROM %s._ad_score_rows(%L, %L, %L, false, false) s WHERE s.record_key OPERATOR(pg_catalog.=) %s)',
        condition, '@extschema@', _ad_select(b.source, b.keys || (b.chosen).feature_columns, condition), (b.chosen).model_id, b.keys, _ad_key_of(b));
    RETURN _ad_query_rows(format('WITH buried AS (%s RETURNING 1) SELECT pg_catalog.count(*) FROM buried',
        _ad_bury_query(b, condition, format('pg_catalog.to_jsonb(%s)', _ad_row_of(b.source)), '22004', 'a value is missing, which the model rejects')),
        b.search_path);
END
$$;
COMMENT ON FUNCTION _ad_bury_rejected(_ad_batch, text) IS 'keeps the rows as dead letters that the model rejects because a value is missing';

CREATE FUNCTION _ad_key_list(b _ad_batch, at_most integer, OUT list text[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET datestyle = 'ISO, YMD' SET intervalstyle = 'iso_8601' SET extra_float_digits = 3
AS $$
BEGIN
    EXECUTE format('SELECT array_agg(k) FROM (SELECT DISTINCT ARRAY[%s] FROM %s WHERE %s LIMIT %s) t(k)',
        (SELECT string_agg(format('%I.%I::text', c.relname, k), ', ' ORDER BY n) FROM unnest(b.keys) WITH ORDINALITY u(k, n), pg_class c WHERE c.oid = b.source),
        _ad_source(b.source), b.base, at_most) INTO list;
END
$$;
COMMENT ON FUNCTION _ad_key_list(_ad_batch, integer) IS 'the keys of the rows of a batch, one text for each column';

CREATE FUNCTION _ad_key_condition(b _ad_batch, list text[], first integer, last integer) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT string_agg(equal, ' OR ') FROM (
        SELECT string_agg(CASE WHEN list[i][n] IS NULL THEN format('%I.%I IS NULL', c.relname, k)
            ELSE format('%I.%I OPERATOR(pg_catalog.=) %L::%I.%I', c.relname, k, list[i][n], s.nspname, t.typname) END, ' AND ') AS equal
        FROM generate_series(first, last) i, unnest(b.keys) WITH ORDINALITY u(k, n)
        JOIN pg_class c ON c.oid = b.source
        JOIN pg_attribute a ON a.attrelid = b.source AND a.attname = k
        JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace s ON s.oid = t.typnamespace
        GROUP BY i) rows
$$;
COMMENT ON FUNCTION _ad_key_condition(_ad_batch, text[], integer, integer) IS 'condition for some rows of a list of keys';

CREATE FUNCTION _ad_store_some(b _ad_batch, rows text, OUT records bigint, OUT scored bigint, OUT anomalies bigint, OUT dead bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    SELECT coalesce(sum(s.records), 0), coalesce(sum(s.scored), 0), coalesce(sum(s.anomalies), 0) INTO records, scored, anomalies
    FROM _ad_store(b.run_id, b.source, b.chosen, b.options, b.keys, rows || ' AND ' || b.where_clause, '', 2147483647, b.search_path) s;
    dead := CASE WHEN b.dead_letter AND records > scored THEN _ad_bury_rejected(b, rows) ELSE 0 END;
END
$$;
COMMENT ON FUNCTION _ad_store_some(_ad_batch, text) IS 'scores and stores rows of a batch; an error if one of them cannot be';

CREATE FUNCTION _ad_store_good(b _ad_batch, list text[], first integer, last integer,
    OUT records bigint, OUT scored bigint, OUT anomalies bigint, OUT dead bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    middle integer := (first + last) / 2;
    half record;
    message text;
    state text;
BEGIN
    BEGIN
        SELECT s.* INTO records, scored, anomalies, dead FROM _ad_store_some(b, format('%s AND (%s)', b.base, _ad_key_condition(b, list, first, last))) s;
        RETURN;
    EXCEPTION WHEN data_exception OR plpgsql_error OR integrity_constraint_violation OR cardinality_violation THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
    END;
    records := 0;
    scored := 0;
    anomalies := 0;
    dead := 0;
    IF first = last THEN
        PERFORM _ad_bury(b, _ad_key_condition(b, list, first, last), state, message);
        records := 1;
        dead := 1;
        RETURN;
    END IF;
    FOR half IN SELECT s.* FROM (VALUES (first, middle), (middle + 1, last)) h(f, l), _ad_store_good(b, list, h.f, h.l) s LOOP
        records := records + half.records;
        scored := scored + half.scored;
        anomalies := anomalies + half.anomalies;
        dead := dead + half.dead;
    END LOOP;
END
$$;
COMMENT ON FUNCTION _ad_store_good(_ad_batch, text[], integer, integer) IS
'scores and stores the rows that can be, halving what fails until the rows are found that cannot';

CREATE FUNCTION _ad_store_rows(b _ad_batch, OUT records bigint, OUT scored bigint, OUT anomalies bigint, OUT dead bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    max_rows constant integer := 100000;
    keys text[];
    message text;
    state text;
BEGIN
    SELECT s.* INTO records, scored, anomalies, dead FROM _ad_store_some(b, b.base) s;
EXCEPTION WHEN data_exception OR plpgsql_error OR integrity_constraint_violation OR cardinality_violation THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
    keys := CASE WHEN b.dead_letter THEN _ad_key_list(b, max_rows) END;
    IF NOT b.dead_letter OR array_length(keys, 1) >= max_rows THEN
        RAISE EXCEPTION USING MESSAGE = message, ERRCODE = state;
    END IF;
    -- without keys there are no rows: where_clause may have met another one before the rest of the condition
    SELECT coalesce(sum(s.records), 0), coalesce(sum(s.scored), 0), coalesce(sum(s.anomalies), 0), coalesce(sum(s.dead), 0)
    INTO records, scored, anomalies, dead FROM _ad_store_good(b, keys, 1, array_length(keys, 1)) s WHERE keys IS NOT NULL;
END
$$;
COMMENT ON FUNCTION _ad_store_rows(_ad_batch) IS 'scores and stores a batch; rows that cannot be scored become dead letters';

