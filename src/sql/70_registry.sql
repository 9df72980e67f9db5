-- The registry: what there is, which version is active, and how to be rid of it.

CREATE FUNCTION ad_model_info(model text) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT to_jsonb(m) || jsonb_build_object('features', (
        SELECT jsonb_agg(to_jsonb(s) - 'model_id' ORDER BY s.position) FROM model_feature_stats s WHERE s.model_id = m.model_id))
    FROM _ad_resolve(model) m
$$;
COMMENT ON FUNCTION ad_model_info(text) IS 'everything that is known about a model version';

CREATE FUNCTION ad_activate(model text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    chosen model_registry := _ad_resolve(model);
BEGIN
    PERFORM _ad_lock_name(chosen.name);
    UPDATE model_registry r SET is_active = false, updated_at = clock_timestamp()
    WHERE r.name = chosen.name AND r.is_active AND r.model_id <> chosen.model_id;
    UPDATE model_registry r SET is_active = true, updated_at = clock_timestamp()
    WHERE r.model_id = chosen.model_id AND NOT r.is_active;
    RETURN chosen.model_id;
END
$$;
COMMENT ON FUNCTION ad_activate(text) IS 'makes a version the one that the bare name of its model stands for';

CREATE FUNCTION ad_set_alias(model_name text, alias text, version integer) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    chosen model_registry;
BEGIN
    PERFORM _ad_lock_name(model_name);
    chosen := _ad_resolve(model_name || '@' || version);
    IF alias IS NULL OR alias !~ '^[[:alpha:]][[:alnum:]_-]*$' THEN
        RAISE EXCEPTION 'invalid alias: %', coalesce(quote_literal(alias), 'null')
            USING ERRCODE = 'invalid_name', HINT = 'An alias starts with a letter and has letters, digits, "_" and "-".';
    END IF;
    UPDATE model_registry r SET updated_at = clock_timestamp(), aliases = array_remove(r.aliases, alias)
    WHERE r.name = chosen.name AND alias = ANY (r.aliases);
    UPDATE model_registry r SET updated_at = clock_timestamp(), aliases = r.aliases || alias
    WHERE r.model_id = chosen.model_id;
    RETURN chosen.model_id;
END
$$;
COMMENT ON FUNCTION ad_set_alias(text, text, integer) IS
'lets name@alias stand for a version; the alias leaves the version that had it';

CREATE FUNCTION ad_drop_model(model text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    doomed text[];
BEGIN
    IF model IS NULL OR strpos(model, '@') > 0 THEN
        doomed := ARRAY[(_ad_resolve(model)).model_id];
    ELSE
        doomed := ARRAY(SELECT r.model_id FROM model_registry r WHERE r.name = model);
    END IF;
    -- the registry last: who may see its row may delete the others
    DELETE FROM model_artifacts a WHERE a.model_id = ANY (doomed);
    DELETE FROM model_feature_stats s WHERE s.model_id = ANY (doomed);
    DELETE FROM model_registry r WHERE r.model_id = ANY (doomed);
    RETURN FOUND;
EXCEPTION WHEN undefined_object THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION ad_drop_model(text) IS
'drops a version, or with a bare name all versions of a model; false if there is none. Results stay';

CREATE FUNCTION ad_prune(older_than interval) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    results bigint;
    runs bigint;
    alerts bigint;
    messages bigint;
    letters bigint;
BEGIN
    IF older_than IS NULL OR older_than < interval '0' THEN
        RAISE EXCEPTION 'older_than must be an interval of zero or more'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'For example: interval ''90 days''.';
    END IF;
    DELETE FROM anomaly_detection_results r WHERE r.detection_timestamp < now() - older_than;
    GET DIAGNOSTICS results = ROW_COUNT;
    DELETE FROM anomaly_detection_runs r WHERE r.finished_at < now() - older_than;
    GET DIAGNOSTICS runs = ROW_COUNT;
    DELETE FROM anomaly_detection_alerts a WHERE a.closed_at < now() - older_than;
    GET DIAGNOSTICS alerts = ROW_COUNT;
    DELETE FROM anomaly_detection_outbox o WHERE o.delivered_at < now() - older_than;
    GET DIAGNOSTICS messages = ROW_COUNT;
    DELETE FROM anomaly_detection_dead_letters d WHERE d.last_attempt < now() - older_than;
    GET DIAGNOSTICS letters = ROW_COUNT;
    RETURN jsonb_build_object('results', results, 'runs', runs, 'alerts', alerts, 'messages', messages, 'dead_letters', letters);
END
$$;
COMMENT ON FUNCTION ad_prune(interval) IS
'deletes results, finished runs, closed alerts, delivered messages and dead letters that are older, and says how many';

