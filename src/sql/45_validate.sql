-- The dry run of a training.

CREATE FUNCTION _ad_entity_rows_of(threshold jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- the smallest p-value of n scores is 1 / (1 + n)
    SELECT greatest(_ad_entity_rows(), CASE WHEN threshold->>'method' = 'p_value' THEN ceil(1 / (threshold->>'value')::numeric - 1) END)::bigint
$$;
COMMENT ON FUNCTION _ad_entity_rows_of(jsonb) IS 'rows that an entity needs for a model of its own with a threshold';

CREATE FUNCTION _ad_count_entities(
    source regclass, features text[], options jsonb, condition text, caller_path text, OUT entities bigint, OUT fitted bigint, OUT fitted_rows bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_hashagg = off
SET enable_sort = on
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    -- what a training reads, without the fits: it takes as long
    nothing jsonb := options || '{"sample_size": 1, "min_rows": 1000000}';
    query text := format(
        'SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE n OPERATOR(pg_catalog.>=) %1$s), '
        'pg_catalog.sum(n) FILTER (WHERE n OPERATOR(pg_catalog.>=) %1$s)::pg_catalog.int8 '
        'FROM (%2$s) AS e(key, model, n) WHERE key IS NOT NULL AND model IS NULL',
        _ad_entity_rows_of(options->'threshold'), _ad_entities_query(source, features, nothing, condition, ', pg_catalog.count(*)'));
BEGIN
    PERFORM set_config('search_path', caller_path, true);
    EXECUTE query INTO entities, fitted, fitted_rows;
END
$$;
COMMENT ON FUNCTION _ad_count_entities(regclass, text[], jsonb, text, text) IS
'entities of a source, those that get a model of their own, and the rows of these';

CREATE FUNCTION _ad_validate_features(about jsonb)
RETURNS TABLE (check_name text, status text, detail text, suggestion text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT c.* FROM jsonb_array_elements(about->'features') WITH ORDINALITY t(f, n), LATERAL (
        SELECT 1, 'nulls of ' || quote_ident(f->>'feature'), CASE WHEN missing > 0.5 THEN 'warning' ELSE 'ok' END,
               format('%s %% missing', round(missing::numeric * 100, 1)),
               CASE WHEN missing > 0.5 THEN 'Leave the column out, or choose an "impute" policy.' END
        FROM CAST(f->>'missing_fraction' AS float8) missing
        UNION ALL
        SELECT 2, 'values of ' || quote_ident(f->>'feature'), 'warning', 'constant in the sample', 'Leave the column out: it cannot tell rows apart.'
        WHERE f->'quantiles'->0 = f->'quantiles'->20
           OR f->>'kind' = 'category' AND (SELECT count(*) FROM jsonb_object_keys(f->'categories')) < 2
    ) AS k(i, check_name, status, detail, suggestion), LATERAL (SELECT k.check_name, k.status, k.detail, k.suggestion) c
    ORDER BY n, i
$$;
COMMENT ON FUNCTION _ad_validate_features(jsonb) IS 'what the description of a model says about nulls and constant columns';

CREATE FUNCTION _ad_limit(setting text) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT pg_size_bytes(coalesce(nullif(_ad_setting(setting), '-1'), current_setting('maintenance_work_mem')))
$$;
COMMENT ON FUNCTION _ad_limit(text) IS 'bytes that a setting of memory stands for; -1 is maintenance_work_mem';

CREATE FUNCTION _ad_models_bytes(smaller bytea, smaller_rows bigint, larger bytea, larger_rows bigint, samples bigint[], models bigint[])
RETURNS bigint
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- 8 bytes a row are its score, of which a model keeps up to 8192; the rest goes on growing, or has come to its end
    SELECT sum(m * (length(smaller) + growth * (s - smaller_rows) + 8 * (least(s, 8192) - smaller_rows)))::bigint
    FROM unnest(samples, models) u(s, m),
        CAST(greatest((length(larger) - length(smaller))::float8 / nullif(larger_rows - smaller_rows, 0) - 8, 0) AS float8) growth
$$;
COMMENT ON FUNCTION _ad_models_bytes(bytea, bigint, bytea, bigint, bigint[], bigint[]) IS
'what so many models of samples of so many rows would take, from two models';

CREATE FUNCTION _ad_try_training(
    source regclass, inputs text[], options jsonb, label_column text, seen text, caller_path text, OUT about jsonb, OUT rows bigint,
    OUT sample_bytes bigint, OUT detector_bytes bigint, OUT models_bytes bigint, OUT read_seconds float8, OUT fit_seconds float8,
    OUT entities bigint, OUT fitted bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    tried_rows constant integer := 1000;
    condition text := _ad_without_anomalies(source, label_column, seen);
    started timestamptz := clock_timestamp();
    model bytea := _ad_fit_rest(source, inputs, options || jsonb_build_object('max_sample_size', tried_rows), condition,
                                label_column, seen, caller_path);
    tried_seconds float8 := _ad_fit_seconds();
    tried record;
    whole record;
    of_entity record;
    fitted_rows bigint;
    smaller bytea;
    smaller_rows bigint;
BEGIN
    read_seconds := greatest(extract(epoch FROM clock_timestamp() - started) - tried_seconds, 0);
    about := _ad_describe(model);
    rows := about->'training_rows';
    SELECT * INTO tried FROM _ad_training_cost(options, model, least(tried_rows, rows));
    SELECT * INTO whole FROM _ad_training_cost(options, model, rows);
    sample_bytes := whole.sample_bytes;
    detector_bytes := whole.detector_bytes;
    fit_seconds := tried_seconds * greatest(whole.steps / nullif(tried.steps, 0), 1);
    IF options ? 'partition_columns' THEN
        started := clock_timestamp();
        SELECT * INTO entities, fitted, fitted_rows FROM _ad_count_entities(source, inputs, options, condition, caller_path);
        read_seconds := read_seconds + extract(epoch FROM clock_timestamp() - started);
        IF fitted > 0 THEN
            SELECT * INTO of_entity FROM _ad_training_cost(options, model, fitted_rows / fitted);
            fit_seconds := fit_seconds + fitted * tried_seconds * coalesce(of_entity.steps / nullif(tried.steps, 0), 1);
            smaller_rows := least(of_entity.sample, (tried.sample + 1) / 2);
            -- none, and no error, where so few rows make no model: then the larger one stands for both
            smaller := _ad_query_source(_ad_fit_query(source, inputs, options
                || jsonb_build_object('max_sample_size', smaller_rows, 'min_rows', 1, 'threshold', '{}'::jsonb), condition), caller_path);
            models_bytes := _ad_models_bytes(coalesce(smaller, model), CASE WHEN smaller IS NULL THEN tried.sample ELSE smaller_rows END,
                                             model, tried.sample, ARRAY[whole.sample, of_entity.sample], ARRAY[1, fitted]);
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_try_training(regclass, text[], jsonb, text, text, text) IS
'what a fit on a small sample of a source, and its steps, say of the training itself';

CREATE FUNCTION _ad_validate_models(fitted bigint, bytes bigint, OUT check_name text, OUT status text, OUT detail text, OUT suggestion text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- an estimate: what is near the limit is neither certain to fit nor certain not to
    SELECT 'models', CASE WHEN bytes > 1.2 * allowed THEN 'error' WHEN bytes > 0.8 * allowed THEN 'warning' ELSE 'ok' END,
           format('about %s kB for %s entities and the fallback, of %s kB allowed', bytes / 1024 + 1, fitted, allowed / 1024),
           'Choose an algorithm or parameters that make smaller models, partition into fewer entities, or increase ' || settings || '.'
    FROM (SELECT min(_ad_limit(s)), string_agg(quote_ident(s), ' and ') FILTER (WHERE bytes > 0.8 * _ad_limit(s))
          FROM unnest(ARRAY['anomaly_detect.max_training_memory', 'anomaly_detect.max_model_size']) s) AS l(allowed, settings)
$$;
COMMENT ON FUNCTION _ad_validate_models(bigint, bigint) IS
'whether the models of all entities would stay below the settings that bound them';

CREATE FUNCTION _ad_validate(
    source regclass, feature_columns text[], algorithm text, parameters jsonb, where_clause text, preprocess jsonb, threshold jsonb,
    label_column text, partition_by text[], time_column text, exclude_windows tstzrange[], sample_size bigint, weight_column text,
    caller_path text
) RETURNS TABLE (check_name text, status text, detail text, suggestion text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    inputs text[];
    seen text;
    tried record;
    labels record;
    started timestamptz;
    seconds float8 := 0;
    message text;
    hint text;
BEGIN
    -- A training on a small sample reads every row, checks every option and stores nothing.
    BEGIN
        inputs := array_remove(_ad_training_features(source, feature_columns, label_column, partition_by, weight_column)
                               || partition_by || weight_column, NULL);
        seen := _ad_training_condition(source, _ad_check_condition(where_clause), time_column, exclude_windows);
        SELECT * INTO tried FROM _ad_try_training(source, inputs,
            _ad_fit_options(algorithm, parameters, preprocess, threshold, inputs, NULL, sample_size, NULL, cardinality(partition_by), weight_column),
            label_column, seen, caller_path);
        IF label_column IS NOT NULL THEN
            started := clock_timestamp();
            SELECT * INTO labels FROM _ad_count_labels(source, label_column, seen, caller_path);
            seconds := extract(epoch FROM clock_timestamp() - started);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
        RETURN QUERY SELECT 'training', 'error', message, nullif(hint, '');
        RETURN;
    END;
    seconds := seconds + tried.read_seconds + tried.fit_seconds;
    RETURN QUERY SELECT 'rows', CASE WHEN tried.rows < 100 THEN 'warning' ELSE 'ok' END, format('%s rows', tried.rows),
        CASE WHEN tried.rows < 100 THEN 'Few rows make coarse p-values; train on more of them.' END;
    IF label_column IS NOT NULL THEN
        RETURN QUERY SELECT 'labels', CASE WHEN labels.anomalies = 0 OR labels.normal = 0 THEN 'warning' ELSE 'ok' END,
            format('%s known anomalies are left out; %s rows are known to be normal, %s have no label', labels.anomalies, labels.normal, labels.unlabelled),
            CASE WHEN labels.anomalies = 0 THEN 'Label known anomalies by true or 1: without them the model cannot be measured.'
                 WHEN labels.normal = 0 THEN 'Label normal rows by false or 0: without them the model cannot be measured.' END;
    END IF;
    RETURN QUERY SELECT f.* FROM _ad_validate_features(tried.about) f;
    RETURN QUERY SELECT 'entities', CASE WHEN tried.fitted = 0 THEN 'warning' ELSE 'ok' END,
        format('%s of %s have the %s rows for a model of their own', tried.fitted, tried.entities, _ad_entity_rows_of(threshold)),
        CASE WHEN tried.fitted = 0 THEN 'Partition by columns with fewer different values.' END
    WHERE partition_by IS NOT NULL;
    RETURN QUERY SELECT m.* FROM _ad_validate_models(tried.fitted, tried.models_bytes) m WHERE tried.fitted > 0;
    RETURN QUERY SELECT 'memory', 'ok',
        format('about %s kB for rows and %s kB for the algorithm, of %s kB allowed each', tried.sample_bytes / 1024 + 1,
               tried.detector_bytes / 1024 + 1, _ad_limit('anomaly_detect.max_training_memory') / 1024), NULL;
    RETURN QUERY SELECT 'time', CASE WHEN seconds > 60 THEN 'warning' ELSE 'ok' END, format('about %s seconds', round(seconds::numeric, 3)),
        CASE WHEN seconds <= 60 THEN NULL
             WHEN tried.fit_seconds > tried.read_seconds THEN 'Reduce "sample_size", or choose an algorithm or parameters that take less time.'
             ELSE 'Most of it reads the rows: leave some out by where_clause.' END;
END
$$;
COMMENT ON FUNCTION _ad_validate(regclass, text[], text, jsonb, text, jsonb, jsonb, text, text[], text, tstzrange[], bigint, text, text) IS
'ad_validate with a pinned search_path';

CREATE FUNCTION ad_validate(
    source regclass, feature_columns text[] DEFAULT NULL, algorithm text DEFAULT NULL,
    parameters jsonb DEFAULT '{}', where_clause text DEFAULT NULL, preprocess jsonb DEFAULT '{}', threshold jsonb DEFAULT '{}',
    label_column text DEFAULT NULL, partition_by text[] DEFAULT NULL, time_column text DEFAULT NULL,
    exclude_windows tstzrange[] DEFAULT NULL, sample_size bigint DEFAULT NULL, weight_column text DEFAULT NULL
) RETURNS TABLE (check_name text, status text, detail text, suggestion text)
LANGUAGE sql
BEGIN ATOMIC
    SELECT v.check_name, v.status, v.detail, v.suggestion
    FROM _ad_validate(source, feature_columns, algorithm, parameters, where_clause, preprocess, threshold, label_column, partition_by,
                      time_column, exclude_windows, sample_size, weight_column, current_setting('search_path')) v;
END;
COMMENT ON FUNCTION ad_validate(regclass, text[], text, jsonb, text, jsonb, jsonb, text, text[], text, tstzrange[], bigint, text) IS
'dry run of a training: rows, nulls, constant columns, entities, memory and time; stores nothing';
