-- Scoring of whole sources and of arrays.

CREATE FUNCTION _ad_resolve(model text, source_table text DEFAULT NULL) RETURNS model_registry
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    at integer := length(model) - strpos(reverse(model), '@') + 1;
    found model_registry;
BEGIN
    IF model IS NULL AND source_table IS NULL THEN
        RAISE EXCEPTION 'model must not be null'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'The models that you may use are listed in the view ad_models.';
    ELSIF model IS NULL THEN
        SELECT * INTO found FROM model_registry r
        WHERE r.source_table = _ad_resolve.source_table AND r.is_active
          -- not what a superuser or a member of the admin role merely sees
          AND (r.owner = current_user::regrole
               OR EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = r.owner AND m.member = current_user::regrole))
        ORDER BY r.created_at DESC LIMIT 1;
        IF found.model_id IS NULL THEN
            RAISE EXCEPTION 'there is no active model that was trained on %', source_table
                USING ERRCODE = 'undefined_object', HINT = 'Train one with ad_train, or name a model.';
        END IF;
        RETURN found;
    ELSIF strpos(model, '@') = 0 THEN
        SELECT * INTO found FROM model_registry r WHERE r.name = model AND r.is_active;
    ELSE
        SELECT * INTO found FROM model_registry r
        WHERE r.name = left(model, at - 1)
          AND (r.version::text = substr(model, at + 1) OR substr(model, at + 1) = ANY (r.aliases));
    END IF;
    IF found.model_id IS NULL THEN
        RAISE EXCEPTION 'model "%" does not exist', model
            USING ERRCODE = 'undefined_object', HINT = 'The models that you may use are listed in the view ad_models.';
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION _ad_resolve(text, text) IS
'the version that a model reference names; without one, the newest active model of the source';

CREATE FUNCTION _ad_select(
    source regclass, columns text[], condition text, ordering text DEFAULT '', expression text DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT format('SELECT %s%s FROM %s WHERE %s%s',
                      coalesce((SELECT string_agg(format('%I.%I', c.relname, k), ', ' ORDER BY n)
                                FROM (SELECT k, min(n) AS n FROM unnest(columns) WITH ORDINALITY u(k, n) GROUP BY k) d),
                               quote_ident(c.relname) || '.*'), ', ' || expression,
                      _ad_source(source), condition, ordering)
        FROM pg_class c WHERE c.oid = source);
END
$$;
COMMENT ON FUNCTION _ad_select(regclass, text[], text, text, text) IS
'query for columns of a source, null stands for all of them, and an expression';

CREATE FUNCTION _ad_score_rows(query text, model_id text, keys text[], only_anomalies boolean, explain boolean)
RETURNS TABLE (record_key jsonb, is_anomaly boolean, anomaly_score float8, confidence float8,
               p_value float8, features jsonb, explanation jsonb)
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_score_rows(text, text, text[], boolean, boolean) IS 'runs a query and scores its rows';

CREATE FUNCTION _ad_scores(
    source regclass, model text, condition text, only_anomalies boolean, explain boolean, id_column text, caller_path text
) RETURNS TABLE (record_key jsonb, is_anomaly boolean, anomaly_score float8, confidence float8,
                 p_value float8, features jsonb, explanation jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    chosen model_registry := _ad_resolve(model, _ad_source(source));
    keys text[] := CASE WHEN id_column IS NULL THEN _ad_key_columns(source) ELSE _ad_record_key(source, id_column) END;
    inputs text[] := _ad_inputs(chosen.model_id);
    query text;
BEGIN
    PERFORM _ad_features(source, inputs);
    query := _ad_select(source, keys || inputs, condition);
    PERFORM set_config('search_path', caller_path, true);
    RETURN QUERY SELECT * FROM @extschema@._ad_score_rows(query, chosen.model_id, keys,
        coalesce(only_anomalies, false), coalesce(explain, false));
END
$$;
COMMENT ON FUNCTION _ad_scores(regclass, text, text, boolean, boolean, text, text) IS 'ad_scores with a pinned search_path';

CREATE FUNCTION ad_scores(
    source regclass, model text DEFAULT NULL, where_clause text DEFAULT NULL,
    only_anomalies boolean DEFAULT false, explain boolean DEFAULT false, id_column text DEFAULT NULL
) RETURNS TABLE (record_key jsonb, is_anomaly boolean, anomaly_score float8, confidence float8,
                 p_value float8, features jsonb, explanation jsonb)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.record_key, s.is_anomaly, s.anomaly_score, s.confidence, s.p_value, s.features, s.explanation
    FROM _ad_scores(source, model, _ad_check_condition(where_clause), only_anomalies, explain, id_column,
                    current_setting('search_path')) s;
END;
COMMENT ON FUNCTION ad_scores(regclass, text, text, boolean, boolean, text) IS
'scores the rows of a source and stores nothing; rows that the model rejects are left out';

CREATE FUNCTION _ad_evaluate_rows(query text, model_id text) RETURNS jsonb
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_evaluate_rows(text, text) IS
'runs a query, whose last column is a label, and compares the scores of its rows with it';

CREATE FUNCTION _ad_evaluate_source(source regclass, model_id text, label text, condition text, caller_path text) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    inputs text[] := _ad_inputs(model_id);
    query text;
BEGIN
    PERFORM _ad_features(source, inputs);
    query := _ad_select(source, inputs, condition, expression => label);
    PERFORM set_config('search_path', caller_path, true);
    RETURN @extschema@._ad_evaluate_rows(query, model_id);
END
$$;
COMMENT ON FUNCTION _ad_evaluate_source(regclass, text, text, text, text) IS
'compares the scores of a version with labels, with the search_path of the caller';

CREATE FUNCTION _ad_evaluate(model text, source regclass, label_column text, condition text, caller_path text) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    chosen model_registry := _ad_resolve(model);
BEGIN
    RETURN jsonb_build_object('model_id', chosen.model_id)
        || _ad_evaluate_source(source, chosen.model_id, _ad_label(source, label_column), condition, caller_path);
END
$$;
COMMENT ON FUNCTION _ad_evaluate(text, regclass, text, text, text) IS 'ad_evaluate with a pinned search_path';

CREATE FUNCTION ad_evaluate(model text, source regclass, label_column text, where_clause text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT _ad_evaluate(model, source, label_column, _ad_check_condition(where_clause), current_setting('search_path'));
END;
COMMENT ON FUNCTION ad_evaluate(text, regclass, text, text) IS
'how well a model tells the rows of a source that are labelled as anomalies from those that are labelled as normal';

CREATE FUNCTION ad_detect_data(
    data float8[], features text[] DEFAULT NULL, algorithm text DEFAULT NULL,
    parameters jsonb DEFAULT '{}', include_explanations boolean DEFAULT false, model_id text DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    chosen model_registry;
    model bytea;
    info jsonb;
    answer jsonb;
BEGIN
    IF model_id IS NULL THEN
        PERFORM _ad_check_names(features);
        model := _ad_fit_array(_ad_fit_options(algorithm, parameters, NULL, NULL, features, NULL, NULL, NULL), coalesce(data, '{}'));
    ELSIF algorithm IS NOT NULL OR parameters <> '{}' THEN
        RAISE EXCEPTION 'algorithm and parameters do not go with model_id'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'A stored model keeps those that it was trained with.';
    ELSE
        chosen := _ad_resolve(model_id);
        model := (SELECT a.data FROM model_artifacts a WHERE a.model_id = chosen.model_id);
        IF features IS NOT NULL AND features <> _ad_inputs(chosen.model_id) THEN
            RAISE EXCEPTION 'features do not match those of model "%"', chosen.model_id
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = format('They are, in this order: %s.', array_to_string(_ad_inputs(chosen.model_id), ', '));
        END IF;
    END IF;
    info := _ad_describe(model);
    SELECT jsonb_build_object(
        'predictions', coalesce(jsonb_agg(jsonb_build_object(
            'index', p.index,
            'data', (SELECT jsonb_agg(data[p.index + array_lower(data, 1)][j] ORDER BY j)
                     FROM generate_subscripts(data, 2) j),
            'is_anomaly', p.is_anomaly, 'anomaly_score', p.anomaly_score, 'confidence', p.confidence)
            ORDER BY p.index), '[]'),
        'summary', jsonb_build_object(
            'total_samples', coalesce(array_length(data, 1), 0),
            'anomalies_detected', count(*) FILTER (WHERE p.is_anomaly),
            'anomaly_rate', coalesce(avg(p.is_anomaly::integer), 0)::float8,
            'average_score', avg(p.anomaly_score), 'min_score', min(p.anomaly_score), 'max_score', max(p.anomaly_score)),
        'explanations', CASE WHEN include_explanations THEN coalesce(jsonb_agg(p.explanation ORDER BY p.index), '[]') END)
    INTO answer
    FROM _ad_predict_array(model, coalesce(data, '{}'), coalesce(include_explanations, false)) p;
    RETURN answer || jsonb_build_object(
        'model_info', jsonb_build_object(
            'model_id', chosen.model_id, 'algorithm', info->'algorithm', 'parameters', info->'parameters',
            'threshold', info->'threshold',
            'features', (SELECT jsonb_agg(f->'feature') FROM jsonb_array_elements(info->'features') f)),
        'processing_time_ms', round(extract(epoch FROM clock_timestamp() - started) * 1000, 3),
        'timestamp', clock_timestamp());
END
$$;
COMMENT ON FUNCTION ad_detect_data(float8[], text[], text, jsonb, boolean, text) IS
'scores the rows of a two-dimensional array, by a stored model or by one trained on the array itself';

