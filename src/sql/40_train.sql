-- Training: from a source or an array to a new version in the registry.

CREATE FUNCTION _ad_fit_options(
    algorithm text, parameters jsonb, preprocess jsonb, threshold jsonb, features text[],
    identity_columns integer, sample_size bigint, random_seed bigint,
    partition_columns integer DEFAULT NULL, weight text DEFAULT NULL
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'algorithm', coalesce(algorithm, _ad_setting('anomaly_detect.default_algorithm')),
        'identity_columns', identity_columns,
        'sample_size', sample_size,
        'partition_columns', partition_columns,
        'weight', weight,
        'random_seed', coalesce(random_seed, _ad_setting('anomaly_detect.random_seed')::bigint)))
        || jsonb_build_object(
        'features', features,
        'parameters', coalesce(parameters, '{}'),
        'preprocess', coalesce(preprocess, '{}'),
        'threshold', coalesce(threshold, '{}'))
$$;
COMMENT ON FUNCTION _ad_fit_options(text, jsonb, jsonb, jsonb, text[], integer, bigint, bigint, integer, text) IS
'the first argument of ad_fit, with settings for what is null';

CREATE FUNCTION _ad_fit_rows(query text, options jsonb, identity text[]) RETURNS bytea
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_fit_rows(text, jsonb, text[]) IS
'ad_fit over the rows of a query, in this process: takes the columns of the rows that it keeps only';

CREATE FUNCTION _ad_columns(source regclass, columns text[], separator text DEFAULT ', ') RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT string_agg(format('%I.%I', c.relname, u.name), separator ORDER BY u.n)
    FROM unnest(columns) WITH ORDINALITY u(name, n), pg_class c WHERE c.oid = source
$$;
COMMENT ON FUNCTION _ad_columns(regclass, text[], text) IS 'qualified columns of a source, joined by a separator; null if there are none';

CREATE FUNCTION _ad_fit_call(source regclass, features text[], options jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- a function takes at most 100 arguments
    SELECT format('%s.ad_fit(%L::pg_catalog.jsonb, %s)', '@extschema@',
                  options || jsonb_build_object('identity_columns', cardinality(identity)),
                  concat_ws(', ', _ad_columns(source, identity),
                            CASE WHEN cardinality(features) + cardinality(identity) > 90 THEN _ad_row_of(source)
                                 ELSE _ad_columns(source, features) END))
    FROM _ad_identity(source) identity
$$;
COMMENT ON FUNCTION _ad_fit_call(regclass, text[], jsonb) IS 'call of the aggregate ad_fit for the rows of a source';

CREATE FUNCTION _ad_fit_query(source regclass, features text[], options jsonb, condition text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    name text := _ad_source(source);
    identity text[] := _ad_identity(source);
    identifiers text := _ad_columns(source, identity) || ', ';
    columns text := _ad_columns(source, features);
    of_table boolean := EXISTS (SELECT FROM pg_class WHERE oid = source AND relkind IN ('r', 'p', 'm'))
                        AND has_table_privilege(source, 'SELECT');
BEGIN
    IF cardinality(identity) > 0 AND current_setting('max_parallel_workers_per_gather') <> '0' THEN
        RETURN format('SELECT %s FROM %s WHERE %s', _ad_fit_call(source, features, options), name, condition);
    END IF;
    -- all columns of a table come as they are stored; chosen ones are taken out of every row
    IF of_table THEN
        columns := (SELECT format('%I.*', relname) FROM pg_class WHERE oid = source);
        identifiers := CASE WHEN identity <@ ARRAY['tableoid', 'ctid'] THEN identifiers END;
    END IF;
    RETURN format('SELECT %s._ad_fit_rows(%L, %L::pg_catalog.jsonb, %L)', '@extschema@',
                  format('SELECT %s%s FROM %s WHERE %s', identifiers, columns, name, condition), options, identity);
END
$$;
COMMENT ON FUNCTION _ad_fit_query(regclass, text[], jsonb, text) IS
'query that fits a model on a source: by a parallel aggregate, or in this process where parallel query is off';

CREATE FUNCTION _ad_entity_rows() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS 'SELECT 30';
COMMENT ON FUNCTION _ad_entity_rows() IS 'rows that an entity needs for a model of its own, at least';

CREATE FUNCTION _ad_entities_query(
    source regclass, features text[], options jsonb, condition text, more text DEFAULT ''
) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    last integer := cardinality(features) - CASE WHEN options ? 'weight' THEN 1 ELSE 0 END;
    partition text[] := features[last - (options->'partition_columns')::integer + 1:last];
BEGIN
    RETURN format('SELECT %s._ad_entity_key(%s), %s%s FROM %s WHERE %s AND %s IS NOT NULL GROUP BY 1', '@extschema@',
                  _ad_columns(source, partition), _ad_fit_call(source, features, options), more, _ad_source(source),
                  condition, _ad_columns(source, partition, ' IS NOT NULL AND '));
END
$$;
COMMENT ON FUNCTION _ad_entities_query(regclass, text[], jsonb, text, text) IS
'query for the key and the model of each entity of a source, and what more is asked for';

CREATE FUNCTION _ad_fit_entities(
    source regclass, features text[], options jsonb, condition text, fallback bytea, caller_path text
) RETURNS bytea
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
-- one entity after the other: the memory of the states is not the planner's to know
SET enable_hashagg = off
SET enable_sort = on
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    query text := _ad_entities_query(source, features, options || jsonb_build_object('min_rows', _ad_entity_rows()), condition);
BEGIN
    PERFORM set_config('search_path', caller_path, true);
    RETURN @extschema@._ad_join_entities(fallback, query);
END
$$;
COMMENT ON FUNCTION _ad_fit_entities(regclass, text[], jsonb, text, bytea, text) IS
'fits a model for each entity that has enough rows, beside the one of all rows';

CREATE FUNCTION _ad_without_anomalies(source regclass, label_column text, seen text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT CASE WHEN label_column IS NULL THEN seen ELSE format('%s AND NOT COALESCE(%s, false)', seen, _ad_label(source, label_column)) END
$$;
COMMENT ON FUNCTION _ad_without_anomalies(regclass, text, text) IS 'condition that also leaves out known anomalies';

CREATE FUNCTION _ad_count_labels(
    source regclass, label_column text, seen text, caller_path text, OUT anomalies bigint, OUT normal bigint, OUT unlabelled bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    query text := format(
        'SELECT pg_catalog.count(*) FILTER (WHERE l), pg_catalog.count(*) FILTER (WHERE NOT l), '
        'pg_catalog.count(*) FILTER (WHERE l IS NULL) FROM (SELECT %s FROM %s WHERE %s) AS s(l)',
        _ad_label(source, label_column), _ad_source(source), seen);
BEGIN
    PERFORM set_config('search_path', caller_path, true);
    EXECUTE query INTO anomalies, normal, unlabelled;
END
$$;
COMMENT ON FUNCTION _ad_count_labels(regclass, text, text, text) IS
'known anomalies, rows known to be normal, and others, of the rows of a source that a condition leaves';

CREATE FUNCTION _ad_fail_without_rows(source regclass, label_column text, seen text, caller_path text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    anomalies bigint := 0;
BEGIN
    IF label_column IS NOT NULL THEN
        anomalies := (_ad_count_labels(source, label_column, seen, caller_path)).anomalies;
    END IF;
    IF anomalies > 0 THEN
        RAISE EXCEPTION 'label_column "%" takes out all % rows to train on in %', label_column, anomalies, _ad_source(source)
            USING ERRCODE = 'data_exception',
                  HINT = 'True, and any number but 0, is a known anomaly, which is kept out of the fit; normal rows have false, 0 or null.';
    END IF;
    RAISE EXCEPTION 'there are no rows to train on in %', _ad_source(source)
        USING ERRCODE = 'data_exception',
              HINT = 'The source is empty, where_clause excludes every row, or row-level security hides them.';
END
$$;
COMMENT ON FUNCTION _ad_fail_without_rows(regclass, text, text, text) IS 'the error of a training without rows, which says what took them out';

CREATE FUNCTION _ad_fit_rest(
    source regclass, features text[], options jsonb, condition text, label_column text, seen text, caller_path text
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
        PERFORM _ad_fail_without_rows(source, label_column, seen, caller_path);
    END IF;
    RETURN model;
END
$$;
COMMENT ON FUNCTION _ad_fit_rest(regclass, text[], jsonb, text, text, text, text) IS
'fits a model on all rows of a source that a condition leaves: of a partitioned model, the fallback';

CREATE FUNCTION _ad_fit_source(
    source regclass, features text[], options jsonb, label_column text, seen text, caller_path text
) RETURNS bytea
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    condition text := _ad_without_anomalies(source, label_column, seen);
    model bytea := _ad_fit_rest(source, features, options, condition, label_column, seen, caller_path);
BEGIN
    IF options ? 'partition_columns' THEN
        model := _ad_fit_entities(source, features, options, condition, model, caller_path);
    END IF;
    RETURN model;
END
$$;
COMMENT ON FUNCTION _ad_fit_source(regclass, text[], jsonb, text, text, text) IS
'fits a model on the rows of a source that a condition leaves, without known anomalies';

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
    PERFORM _ad_lock_name(model_name);
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
            (SELECT jsonb_object_agg(a.key, a.value) FROM jsonb_each(about) a
             WHERE a.key IN ('fitted_rows', 'calibration_scores', 'chosen', 'partition_by', 'entities', 'entities_without_model')
               AND a.value <> 'null'));
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'could not serialize access to model "%"', model_name
            USING ERRCODE = 'serialization_failure', HINT = 'Another transaction trained it since this one began.';
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

CREATE FUNCTION _ad_training_features(
    source regclass, feature_columns text[], label_column text, partition_by text[], weight_column text
) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    others text[] := partition_by || array_remove(ARRAY[label_column, weight_column], NULL);
    features text[];
    twice text;
BEGIN
    IF partition_by IS NOT NULL THEN
        PERFORM _ad_features(source, partition_by, 'partition_by');
    END IF;
    features := _ad_features(source, feature_columns, excluded => others);
    IF weight_column IS NOT NULL
        AND _ad_column_type(source, weight_column) NOT IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'real'::regtype,
                                                           'double precision'::regtype, 'numeric'::regtype) THEN
        RAISE EXCEPTION 'weight_column "%" is of type %, which is no number', weight_column, _ad_column_type(source, weight_column)
            USING ERRCODE = 'datatype_mismatch', HINT = 'A row counts by its weight, from 0; null is 0.';
    END IF;
    twice := (SELECT c FROM unnest(features || others) c GROUP BY c HAVING count(*) > 1 ORDER BY c LIMIT 1);
    IF twice IS NOT NULL THEN
        RAISE EXCEPTION 'column "%" cannot be both of: %', twice, concat_ws(', ',
                CASE WHEN twice = ANY (features) THEN 'feature_columns' END, CASE WHEN twice = label_column THEN 'label_column' END,
                CASE WHEN twice = ANY (partition_by) THEN 'partition_by' END, CASE WHEN twice = weight_column THEN 'weight_column' END)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Without feature_columns, such columns are left out of the features.';
    END IF;
    RETURN features;
END
$$;
COMMENT ON FUNCTION _ad_training_features(regclass, text[], text, text[], text) IS
'features of a training, after checks of the columns that are none';

CREATE FUNCTION _ad_training_condition(
    source regclass, condition text, time_column text, exclude_windows tstzrange[]
) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF (time_column IS NULL) <> (exclude_windows IS NULL) THEN
        RAISE EXCEPTION 'time_column and exclude_windows go together'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Rows whose time_column is in one of exclude_windows are left out.';
    ELSIF time_column IS NULL THEN
        RETURN condition;
    END IF;
    PERFORM _ad_features(source, ARRAY[time_column]);
    IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = source AND a.attname = time_column
                   AND _ad_feature_kind(a.atttypid) IN ('timestamp', 'date')) THEN
        RAISE EXCEPTION 'time_column "%" is neither a timestamp nor a date', time_column
            USING ERRCODE = 'datatype_mismatch', HINT = 'Exclude rows by other columns with where_clause.';
    END IF;
    RETURN format('%s AND NOT COALESCE(%I::pg_catalog.timestamptz OPERATOR(pg_catalog.<@) ANY (%L::pg_catalog.tstzrange[]), false)',
                  condition, time_column, exclude_windows);
END
$$;
COMMENT ON FUNCTION _ad_training_condition(regclass, text, text, tstzrange[]) IS
'condition that also leaves out rows in windows of time';

CREATE FUNCTION _ad_train(
    source regclass, feature_columns text[], model_name text, algorithm text, parameters jsonb,
    condition text, description text, preprocess jsonb, threshold jsonb, label_column text, partition_by text[], time_column text,
    exclude_windows tstzrange[], sample_size bigint, random_seed bigint, activate boolean, weight_column text, caller_path text
) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    source_name text := _ad_source(source);
    features text[] := _ad_training_features(source, feature_columns, label_column, partition_by, weight_column);
    inputs text[] := array_remove(features || partition_by || weight_column, NULL);
    seen text := _ad_training_condition(source, condition, time_column, exclude_windows);
    name text := coalesce(model_name, (SELECT relname FROM pg_class WHERE oid = source));
    model bytea;
    new_id text;
    metrics jsonb;
BEGIN
    PERFORM _ad_check_training(name);
    model := _ad_fit_source(
        source, inputs,
        _ad_fit_options(algorithm, parameters, preprocess, threshold, inputs, NULL, sample_size, random_seed,
                        cardinality(partition_by), weight_column),
        label_column, seen, caller_path);
    new_id := _ad_register(name, model, source_name, description, coalesce(activate, true),
        jsonb_build_object('training_seconds', round(extract(epoch FROM clock_timestamp() - started), 3)));
    IF label_column IS NOT NULL THEN
        metrics := _ad_evaluate_source(source, new_id, _ad_label(source, label_column), seen, caller_path);
        UPDATE model_registry r SET performance_metrics = r.performance_metrics || metrics WHERE r.model_id = new_id;
    END IF;
    RETURN new_id;
END
$$;
COMMENT ON FUNCTION _ad_train(regclass, text[], text, text, jsonb, text, text, jsonb, jsonb, text, text[], text, tstzrange[], bigint, bigint, boolean, text, text) IS
'ad_train with a pinned search_path';

CREATE FUNCTION ad_train(
    source regclass, feature_columns text[] DEFAULT NULL, model_name text DEFAULT NULL,
    algorithm text DEFAULT NULL, parameters jsonb DEFAULT '{}', where_clause text DEFAULT NULL,
    description text DEFAULT NULL, preprocess jsonb DEFAULT '{}', threshold jsonb DEFAULT '{}',
    label_column text DEFAULT NULL, partition_by text[] DEFAULT NULL,
    time_column text DEFAULT NULL, exclude_windows tstzrange[] DEFAULT NULL,
    sample_size bigint DEFAULT NULL, random_seed bigint DEFAULT NULL, activate boolean DEFAULT true,
    weight_column text DEFAULT NULL
) RETURNS text
LANGUAGE sql
BEGIN ATOMIC
    SELECT _ad_train(source, feature_columns, model_name, algorithm, parameters,
        _ad_check_condition(where_clause), description, preprocess, threshold, label_column, partition_by, time_column,
        exclude_windows, sample_size, random_seed, activate, weight_column, current_setting('search_path'));
END;
COMMENT ON FUNCTION ad_train(regclass, text[], text, text, jsonb, text, text, jsonb, jsonb, text, text[], text, tstzrange[], bigint, bigint, boolean, text) IS
'learns a model from the columns of a source, stores it as a new version and returns its model_id';

CREATE FUNCTION _ad_check_names(features text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    twice text := (SELECT f FROM unnest(features) f GROUP BY f HAVING count(f) > 1 ORDER BY f LIMIT 1);
BEGIN
    IF twice IS NOT NULL THEN
        RAISE EXCEPTION 'feature "%" is named twice', twice
            USING ERRCODE = 'duplicate_column', HINT = 'Name each column of the array once.';
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_check_names(text[]) IS 'refuses names of the columns of an array that are not distinct';

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
    PERFORM _ad_check_names(features);
    model := _ad_fit_array(
        _ad_fit_options(algorithm, parameters, preprocess, threshold, features, NULL, sample_size, random_seed),
        coalesce(training_data, '{}'));
    RETURN _ad_register(model_name, model, NULL, description, coalesce(activate, true),
        jsonb_build_object('training_seconds', round(extract(epoch FROM clock_timestamp() - started), 3)));
END
$$;
COMMENT ON FUNCTION ad_train_data(float8[], text[], text, text, jsonb, text, jsonb, jsonb, bigint, bigint, boolean) IS
'learns a model from the rows of a two-dimensional array and returns its model_id';
