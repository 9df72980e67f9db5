-- Training: from a source or an array to a new version in the registry.

CREATE FUNCTION _ad_fit_options(
    algorithm text, parameters jsonb, preprocess jsonb, threshold jsonb, features text[],
    identity_columns integer, sample_size bigint, random_seed bigint
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'algorithm', coalesce(algorithm, _ad_setting('anomaly_detect.default_algorithm')),
        'identity_columns', identity_columns,
        'sample_size', sample_size,
        'random_seed', coalesce(random_seed, _ad_setting('anomaly_detect.random_seed')::bigint)))
        || jsonb_build_object(
        'features', features,
        'parameters', coalesce(parameters, '{}'),
        'preprocess', coalesce(preprocess, '{}'),
        'threshold', coalesce(threshold, '{}'))
$$;
COMMENT ON FUNCTION _ad_fit_options(text, jsonb, jsonb, jsonb, text[], integer, bigint, bigint) IS
'the first argument of ad_fit, with settings for what is null';

CREATE FUNCTION _ad_fit_rows(query text, options jsonb, identity text[]) RETURNS bytea
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_fit_rows(text, jsonb, text[]) IS
'ad_fit over the rows of a query, in this process: takes the columns of the rows that it keeps only';

CREATE FUNCTION _ad_fit_query(source regclass, features text[], options jsonb, condition text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    max_plain_arguments constant integer := 90;
    name text := _ad_source(source);
    relation text := (SELECT relname FROM pg_class WHERE oid = source);
    identity text[] := _ad_identity(source);
    identifiers text := (SELECT string_agg(format('%I.%I, ', relation, k), '' ORDER BY n) FROM unnest(identity) WITH ORDINALITY u(k, n));
    columns text := (SELECT string_agg(format('%I.%I', relation, f), ', ' ORDER BY n) FROM unnest(features) WITH ORDINALITY u(f, n));
    of_table boolean := EXISTS (SELECT FROM pg_class WHERE oid = source AND relkind IN ('r', 'p', 'm'))
                        AND has_table_privilege(source, 'SELECT');
BEGIN
    IF cardinality(identity) > 0 AND current_setting('max_parallel_workers_per_gather') <> '0' THEN
        IF cardinality(features) + cardinality(identity) > max_plain_arguments THEN
            columns := _ad_row_of(source);
        END IF;
        RETURN format('SELECT %s.ad_fit(%L::pg_catalog.jsonb, %s%s) FROM %s WHERE %s', '@extschema@',
                      options || jsonb_build_object('identity_columns', cardinality(identity)),
                      identifiers, columns, name, condition);
    END IF;
    -- all columns of a table come as they are stored; chosen ones are taken out of every row
    IF of_table THEN
        columns := format('%I.*', relation);
        identifiers := CASE WHEN identity <@ ARRAY['tableoid', 'ctid'] THEN identifiers END;
    END IF;
    RETURN format('SELECT %s._ad_fit_rows(%L, %L::pg_catalog.jsonb, %L)', '@extschema@',
                  format('SELECT %s%s FROM %s WHERE %s', identifiers, columns, name, condition), options, identity);
END
$$;
COMMENT ON FUNCTION _ad_fit_query(regclass, text[], jsonb, text) IS
'query that fits a model on a source: by a parallel aggregate, or in this process where parallel query is off';

CREATE FUNCTION _ad_fit_source(
    source regclass, features text[], options jsonb, condition text, caller_path text
) RETURNS bytea
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    workers constant text := current_setting('max_parallel_workers_per_gather');
    model bytea;
BEGIN
    -- Without an identity, the sample depends on the order in which one process sees the rows.
    IF cardinality(_ad_identity(source)) = 0 THEN
        PERFORM set_config('max_parallel_workers_per_gather', '0', true);
    END IF;
    model := _ad_query_source(_ad_fit_query(source, features, options, condition), caller_path);
    PERFORM set_config('max_parallel_workers_per_gather', workers, true);
    IF model IS NULL THEN
        RAISE EXCEPTION 'there are no rows to train on in %', _ad_source(source)
            USING ERRCODE = 'data_exception',
                  HINT = 'The source is empty, where_clause excludes every row, or row-level security hides them.';
    END IF;
    RETURN model;
END
$$;
COMMENT ON FUNCTION _ad_fit_source(regclass, text[], jsonb, text, text) IS 'fits a model on a source';

CREATE FUNCTION _ad_register(
    model_name text, model bytea, source_table text, description text, activate boolean, metrics jsonb
) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    about jsonb := _ad_describe(model);
    new_version integer;
    new_id text;
BEGIN
    -- Serialises trainings of one name, so that versions are consecutive.
    PERFORM pg_advisory_xact_lock(hashtextextended('anomaly_detect model ' || model_name, 0));
    IF EXISTS (SELECT FROM model_registry r WHERE r.name = model_name AND r.owner <> current_user::regrole) THEN
        RAISE EXCEPTION 'model name "%" is in use by another role', model_name
            USING ERRCODE = 'duplicate_object', HINT = 'Choose another name, or train it as that role.';
    END IF;
    SELECT coalesce(max(r.version), 0) + 1 INTO new_version FROM model_registry r WHERE r.name = model_name;
    new_id := model_name || '@' || new_version;
    IF activate THEN
        UPDATE model_registry r SET is_active = false, updated_at = clock_timestamp()
        WHERE r.name = model_name AND r.is_active;
    END IF;
    BEGIN
        INSERT INTO model_registry (model_id, name, algorithm, version, source_table, feature_columns,
            parameters, performance_metrics, is_active, description, preprocess, threshold,
            training_rows, random_seed, format_version, size_bytes, metadata)
        VALUES (new_id, model_name, about->>'algorithm', new_version, source_table,
            ARRAY(SELECT f->>'feature' FROM jsonb_array_elements(about->'features') f),
            about->'parameters', metrics, activate, description, about->'preprocess',
            (about->'threshold_rule') || jsonb_build_object('threshold', about->'threshold'),
            (about->>'training_rows')::bigint, (about->>'random_seed')::bigint,
            (about->>'format_version')::integer, length(model),
            jsonb_build_object('fitted_rows', about->'fitted_rows', 'calibration_scores', about->'calibration_scores'));
    EXCEPTION WHEN unique_violation THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'could not serialize access to model "%"', model_name
                USING ERRCODE = 'serialization_failure',
                      HINT = 'Another transaction trained it since this one began, or the name is in use by another role.';
        END IF;
        RAISE EXCEPTION 'model name "%" is in use by another role', model_name
            USING ERRCODE = 'duplicate_object', HINT = 'Choose another name.';
    END;
    -- what a version of this id left that was deleted from the registry by hand
    DELETE FROM model_artifacts a WHERE a.model_id = new_id;
    DELETE FROM model_feature_stats s WHERE s.model_id = new_id;
    INSERT INTO model_artifacts VALUES (new_id, model);
    INSERT INTO model_feature_stats
    SELECT new_id, f->>'feature', position, f->>'kind', (f->>'missing_fraction')::float8,
           (f->>'mean')::float8, (f->>'stddev')::float8,
           ARRAY(SELECT q::float8 FROM jsonb_array_elements_text(f->'quantiles') q), f->'categories'
    FROM jsonb_array_elements(about->'features') WITH ORDINALITY AS t(f, position);
    RETURN new_id;
END
$$;
COMMENT ON FUNCTION _ad_register(text, bytea, text, text, boolean, jsonb) IS 'stores a model as the next version of its name';

CREATE FUNCTION _ad_check_training(model_name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'cannot train a model in a read-only transaction'
            USING ERRCODE = 'read_only_sql_transaction',
                  HINT = 'Train on the primary; scoring works here. ad_fit returns a model without storing it.';
    ELSIF model_name IS NULL OR octet_length(model_name) NOT BETWEEN 1 AND 100 OR strpos(model_name, '@') > 0 THEN
        RAISE EXCEPTION 'invalid model name: %', coalesce(quote_literal(model_name), 'null')
            USING ERRCODE = 'invalid_name', HINT = 'A name has 1 to 100 bytes and no "@", which separates the version.';
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_check_training(text) IS 'fails early where a training could not be stored';

CREATE FUNCTION _ad_train(
    source regclass, feature_columns text[], model_name text, algorithm text, parameters jsonb,
    condition text, description text, preprocess jsonb, threshold jsonb, time_column text,
    exclude_windows tstzrange[], sample_size bigint, random_seed bigint, activate boolean, caller_path text
) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    source_name text := _ad_source(source);
    features text[] := _ad_features(source, feature_columns);
    name text := coalesce(model_name, (SELECT relname FROM pg_class WHERE oid = source));
    model bytea;
BEGIN
    PERFORM _ad_check_training(name);
    IF (time_column IS NULL) <> (exclude_windows IS NULL) THEN
        RAISE EXCEPTION 'time_column and exclude_windows go together'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Rows whose time_column is in one of exclude_windows are left out.';
    ELSIF time_column IS NOT NULL THEN
        PERFORM _ad_features(source, ARRAY[time_column]);
        IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = source AND a.attname = time_column
                       AND _ad_feature_kind(a.atttypid) IN ('timestamp', 'date')) THEN
            RAISE EXCEPTION 'time_column "%" is neither a timestamp nor a date', time_column
                USING ERRCODE = 'datatype_mismatch', HINT = 'Exclude rows by other columns with where_clause.';
        END IF;
        condition := format('%s AND NOT COALESCE(%I::pg_catalog.timestamptz OPERATOR(pg_catalog.<@) ANY (%L::pg_catalog.tstzrange[]), false)',
                            condition, time_column, exclude_windows);
    END IF;
    model := _ad_fit_source(
        source, features,
        _ad_fit_options(algorithm, parameters, preprocess, threshold, features, NULL, sample_size, random_seed),
        condition, caller_path);
    RETURN _ad_register(name, model, source_name, description, coalesce(activate, true),
        jsonb_build_object('training_seconds', round(extract(epoch FROM clock_timestamp() - started), 3)));
END
$$;
COMMENT ON FUNCTION _ad_train(regclass, text[], text, text, jsonb, text, text, jsonb, jsonb, text, tstzrange[], bigint, bigint, boolean, text) IS
'ad_train with a pinned search_path';

CREATE FUNCTION ad_train(
    source regclass, feature_columns text[] DEFAULT NULL, model_name text DEFAULT NULL,
    algorithm text DEFAULT NULL, parameters jsonb DEFAULT '{}', where_clause text DEFAULT NULL,
    description text DEFAULT NULL, preprocess jsonb DEFAULT '{}', threshold jsonb DEFAULT '{}',
    time_column text DEFAULT NULL, exclude_windows tstzrange[] DEFAULT NULL,
    sample_size bigint DEFAULT NULL, random_seed bigint DEFAULT NULL, activate boolean DEFAULT true
) RETURNS text
LANGUAGE sql
BEGIN ATOMIC
    SELECT _ad_train(source, feature_columns, model_name, algorithm, parameters,
        _ad_check_condition(where_clause), description, preprocess, threshold, time_column,
        exclude_windows, sample_size, random_seed, activate, current_setting('search_path'));
END;
COMMENT ON FUNCTION ad_train(regclass, text[], text, text, jsonb, text, text, jsonb, jsonb, text, tstzrange[], bigint, bigint, boolean) IS
'learns a model from the columns of a source, stores it as a new version and returns its model_id';

CREATE FUNCTION ad_train_data(
    training_data float8[], features text[] DEFAULT NULL, model_name text DEFAULT 'data',
    algorithm text DEFAULT NULL, parameters jsonb DEFAULT '{}', description text DEFAULT NULL,
    preprocess jsonb DEFAULT '{}', threshold jsonb DEFAULT '{}', sample_size bigint DEFAULT NULL,
    random_seed bigint DEFAULT NULL, activate boolean DEFAULT true
) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    model bytea;
BEGIN
    PERFORM _ad_check_training(model_name);
    model := _ad_fit_array(
        _ad_fit_options(algorithm, parameters, preprocess, threshold, features, NULL, sample_size, random_seed),
        coalesce(training_data, '{}'));
    RETURN _ad_register(model_name, model, NULL, description, coalesce(activate, true),
        jsonb_build_object('training_seconds', round(extract(epoch FROM clock_timestamp() - started), 3)));
END
$$;
COMMENT ON FUNCTION ad_train_data(float8[], text[], text, text, jsonb, text, jsonb, jsonb, bigint, bigint, boolean) IS
'learns a model from the rows of a two-dimensional array and returns its model_id';

CREATE FUNCTION _ad_validate(
    source regclass, feature_columns text[], algorithm text, parameters jsonb, where_clause text, caller_path text
) RETURNS TABLE (check_name text, status text, detail text, suggestion text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    features text[];
    model bytea;
    about jsonb;
    bytes bigint;
    feature jsonb;
    seconds numeric;
    message text;
    hint text;
BEGIN
    -- A training on a small sample reads every row, checks every option and stores nothing.
    BEGIN
        features := _ad_features(source, feature_columns);
        model := _ad_fit_source(source, features,
            _ad_fit_options(algorithm, parameters, NULL, NULL, features, NULL, 1000, NULL),
            _ad_check_condition(where_clause), caller_path);
        about := _ad_describe(model);
        bytes := _ad_training_bytes(_ad_fit_options(algorithm, parameters, NULL, NULL, features, NULL, NULL, NULL), model,
                                    (about->>'training_rows')::bigint);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
        RETURN QUERY SELECT 'training', 'error', message, nullif(hint, '');
        RETURN;
    END;
    seconds := round(extract(epoch FROM clock_timestamp() - started), 3);
    RETURN QUERY SELECT 'rows', CASE WHEN (about->>'training_rows')::bigint < 100 THEN 'warning' ELSE 'ok' END,
        format('%s rows', about->>'training_rows'),
        CASE WHEN (about->>'training_rows')::bigint < 100 THEN 'Few rows make coarse p-values; train on more of them.' END;
    FOR feature IN SELECT f FROM jsonb_array_elements(about->'features') f LOOP
        RETURN QUERY SELECT 'nulls of ' || quote_ident(feature->>'feature'),
            CASE WHEN (feature->>'missing_fraction')::float8 > 0.5 THEN 'warning' ELSE 'ok' END,
            format('%s %% missing', round((feature->>'missing_fraction')::numeric * 100, 1)),
            CASE WHEN (feature->>'missing_fraction')::float8 > 0.5 THEN 'Leave the column out, or choose an "impute" policy.' END;
        IF feature->'quantiles'->0 = feature->'quantiles'->20
           OR feature->>'kind' = 'category' AND (SELECT count(*) FROM jsonb_object_keys(feature->'categories')) < 2 THEN
            RETURN QUERY SELECT 'values of ' || quote_ident(feature->>'feature'), 'warning',
                'constant in the sample', 'Leave the column out: it cannot tell rows apart.';
        END IF;
    END LOOP;
    RETURN QUERY SELECT 'memory', 'ok',
        format('about %s kB, of %s allowed', bytes / 1024 + 1, CASE WHEN _ad_setting('anomaly_detect.max_training_memory') = '-1'
            THEN current_setting('maintenance_work_mem') ELSE _ad_setting('anomaly_detect.max_training_memory') END), NULL;
    RETURN QUERY SELECT 'time', 'ok', format('about %s seconds', seconds), NULL;
END
$$;
COMMENT ON FUNCTION _ad_validate(regclass, text[], text, jsonb, text, text) IS 'ad_validate with a pinned search_path';

CREATE FUNCTION ad_validate(
    source regclass, feature_columns text[] DEFAULT NULL, algorithm text DEFAULT NULL,
    parameters jsonb DEFAULT '{}', where_clause text DEFAULT NULL
) RETURNS TABLE (check_name text, status text, detail text, suggestion text)
LANGUAGE sql
BEGIN ATOMIC
    SELECT v.check_name, v.status, v.detail, v.suggestion
    FROM _ad_validate(source, feature_columns, algorithm, parameters, where_clause, current_setting('search_path')) v;
END;
COMMENT ON FUNCTION ad_validate(regclass, text[], text, jsonb, text) IS
'dry run of a training: rows, nulls, constant columns, memory and time; stores nothing';

