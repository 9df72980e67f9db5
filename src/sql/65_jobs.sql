-- Jobs: what a configuration may say, and the functions that make, change and remove jobs.

CREATE FUNCTION _ad_job_defaults(kind text) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'where_clause', null,
        'timeout', @extschema@._ad_setting('anomaly_detect.job_timeout'::text),
        'max_retries', @extschema@._ad_setting('anomaly_detect.max_retries'::text)::integer,
        'retry_period', @extschema@._ad_setting('anomaly_detect.retry_period'::text),
        'overlap_policy', 'skip',
        'circuit_breaker_threshold', 5,
        'circuit_breaker_pause', '15 minutes')
    || CASE kind WHEN 'detection' THEN jsonb_build_object(
        'batch_size', 1000,
        'watermark_column', null, 'window_delay', '0', 'late_rows', 'rescore', 'late_window', null,
        'dead_letter', true,
        'store', 'anomalies', 'raw_data', 'anomalies', 'explain', false, 'id_column', null,
        'min_confidence', 0.99, 'alerts', true, 'cooldown', '0',
        'retention', null, 'shadow_model', null)
    ELSE jsonb_build_object(
        'source', null, 'feature_columns', null, 'algorithm', null, 'parameters', null, 'preprocess', null,
        'threshold', null, 'sample_size', null, 'random_seed', null,
        'activate', 'always', 'label_column', null, 'min_agreement', 0.8, 'min_rows', 100)
    END
$$;
COMMENT ON FUNCTION _ad_job_defaults(text) IS 'all keys of the configuration of a job, with their defaults';

CREATE FUNCTION _ad_check_keys(given jsonb, valid jsonb, what text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    unknown text := (SELECT min(k) FROM jsonb_object_keys(given) k WHERE NOT valid ? k);
BEGIN
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'unknown key in %: "%"', what, unknown
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Valid names are: %s.', (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(valid) k));
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_check_keys(jsonb, jsonb, text) IS 'raises an error for a key that is not known';

CREATE FUNCTION _ad_check_value(config jsonb, key text, kind text, choices text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    found jsonb := config->key;
    good boolean := false;
BEGIN
    BEGIN
        good := CASE kind
            WHEN 'interval' THEN jsonb_typeof(found) = 'string' AND _ad_interval(found#>>'{}') IS NOT NULL
            WHEN 'count' THEN jsonb_typeof(found) = 'number' AND (found#>>'{}')::integer >= 0
            WHEN 'size' THEN jsonb_typeof(found) = 'number' AND (found#>>'{}')::bigint >= 1
            WHEN 'seed' THEN jsonb_typeof(found) = 'number' AND (found#>>'{}')::bigint IS NOT NULL
            WHEN 'fraction' THEN jsonb_typeof(found) = 'number' AND (found#>>'{}')::float8 BETWEEN 0 AND 1
            WHEN 'choice' THEN jsonb_typeof(found) = 'string' AND found#>>'{}' = ANY (string_to_array(choices, ', '))
            ELSE jsonb_typeof(found) = kind END;
    EXCEPTION WHEN data_exception THEN
        good := false;
    END;
    IF good IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid value % for "%"', found, key
            USING ERRCODE = 'invalid_parameter_value', HINT = CASE kind
                WHEN 'interval' THEN 'It is an interval of up to 100 years, zero included, for example "5 minutes".'
                WHEN 'count' THEN 'It is an integer of zero or more.'
                WHEN 'size' THEN 'It is an integer of one or more.'
                WHEN 'seed' THEN 'It is an integer.'
                WHEN 'fraction' THEN 'It is a number from 0 to 1.'
                WHEN 'choice' THEN format('Valid values are: %s.', choices)
                WHEN 'string' THEN 'It is a text.'
                WHEN 'boolean' THEN 'It is true or false.'
                ELSE format('It is a JSON %s.', kind) END;
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_check_value(jsonb, text, text, text) IS 'raises an error if a value of a configuration is not of its kind';

CREATE FUNCTION _ad_alert_rules(config jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    defaults constant jsonb := jsonb_build_object('min_confidence', config->'min_confidence', 'cooldown', config->'cooldown',
        'min_anomalies', 1, 'window', '0', 'high', 0.999, 'medium', 0.99);
    rules jsonb;
BEGIN
    IF jsonb_typeof(config->'alerts') = 'boolean' THEN
        rules := CASE WHEN (config->>'alerts')::boolean THEN defaults END;
    ELSE
        PERFORM _ad_check_value(config, 'alerts', 'object');
        PERFORM _ad_check_keys(config->'alerts', defaults, '"alerts"');
        rules := defaults || (config->'alerts');
    END IF;
    PERFORM _ad_check_value(rules, k, 'fraction') FROM unnest(ARRAY['min_confidence', 'high', 'medium']) k WHERE rules IS NOT NULL;
    PERFORM _ad_check_value(rules, k, 'interval') FROM unnest(ARRAY['cooldown', 'window']) k WHERE rules IS NOT NULL;
    PERFORM _ad_check_value(rules, 'min_anomalies', 'count') WHERE rules IS NOT NULL;
    IF (rules->>'high')::float8 < (rules->>'medium')::float8 THEN
        RAISE EXCEPTION '"high" must not be below "medium", but is % and %', rules->'high', rules->'medium'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'They are the confidence from which an alert has that severity.';
    END IF;
    IF rules IS NOT NULL AND config->>'store' = 'none' THEN
        RAISE EXCEPTION 'alerts need results that are stored'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Set "store" to anomalies or all, or "alerts" to false.';
    END IF;
    RETURN rules;
END
$$;
COMMENT ON FUNCTION _ad_alert_rules(jsonb) IS 'when a job raises alerts, from its configuration; null for never';

CREATE FUNCTION _ad_check_job_config(config jsonb, kind text) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    defaults jsonb := _ad_job_defaults(kind);
    checked jsonb := defaults || jsonb_strip_nulls(coalesce(config, '{}'));
BEGIN
    IF jsonb_typeof(config) <> 'object' THEN
        RAISE EXCEPTION 'configuration must be a JSON object'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'For example: {"watermark_column": "id"}.';
    END IF;
    PERFORM _ad_check_keys(coalesce(config, '{}'), defaults, 'configuration');
    PERFORM _ad_check_value(checked, k, 'interval')
    FROM unnest(ARRAY['timeout', 'retry_period', 'circuit_breaker_pause', 'window_delay', 'cooldown', 'retention']) k
    WHERE defaults ? k AND checked->k <> 'null';
    PERFORM _ad_check_value(checked, k, 'count') FROM unnest(ARRAY['max_retries', 'circuit_breaker_threshold']) k;
    PERFORM _ad_check_value(checked, 'overlap_policy', 'choice', 'skip, queue');
    PERFORM _ad_check_condition(checked->>'where_clause');
    PERFORM _ad_check_value(checked, k, 'string')
    FROM unnest(ARRAY['where_clause', 'watermark_column', 'shadow_model', 'source', 'algorithm', 'label_column']) k WHERE checked->k <> 'null';
    IF kind = 'training' THEN
        PERFORM _ad_check_value(checked, 'activate', 'choice', 'always, never, if_better');
        PERFORM _ad_check_value(checked, 'min_agreement', 'fraction');
        PERFORM _ad_check_value(checked, 'min_rows', 'count');
        PERFORM _ad_check_value(checked, 'feature_columns', 'array') WHERE checked->'feature_columns' <> 'null';
        PERFORM _ad_check_value(checked, k, 'object') FROM unnest(ARRAY['parameters', 'preprocess', 'threshold']) k WHERE checked->k <> 'null';
        PERFORM _ad_check_value(checked, 'sample_size', 'size') WHERE checked->'sample_size' <> 'null';
        PERFORM _ad_check_value(checked, 'random_seed', 'seed') WHERE checked->'random_seed' <> 'null';
        PERFORM _ad_check_value(checked, 'algorithm', 'choice', (SELECT string_agg(a->>'name', ', ' ORDER BY a->>'name')
                                                                 FROM jsonb_array_elements(_ad_algorithms()) a)) WHERE checked->'algorithm' <> 'null';
        RETURN checked;
    END IF;
    PERFORM _ad_check_value(checked, 'batch_size', 'count');
    IF (checked->>'batch_size')::integer < 1 THEN
        RAISE EXCEPTION 'invalid value 0 for "batch_size"'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'It is the number of rows in a batch, at least 1.';
    END IF;
    PERFORM _ad_check_value(checked, 'late_rows', 'choice', 'rescore, count');
    PERFORM _ad_check_value(checked, 'late_window', CASE jsonb_typeof(checked->'late_window') WHEN 'number' THEN 'count' ELSE 'interval' END)
    WHERE checked->'late_window' <> 'null';
    PERFORM _ad_check_value(checked, 'dead_letter', 'boolean');
    PERFORM _ad_check_options(_ad_detect_options(checked));
    PERFORM _ad_alert_rules(checked);
    RETURN checked;
END
$$;
COMMENT ON FUNCTION _ad_check_job_config(jsonb, text) IS 'the configuration of a job with its defaults; an error if something is wrong with it';

CREATE FUNCTION _ad_detect_options(config jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT jsonb_object_agg(k, config->k) FROM unnest(ARRAY['store', 'raw_data', 'explain', 'id_column']) k
$$;
COMMENT ON FUNCTION _ad_detect_options(jsonb) IS 'the part of the configuration of a job that are options of ad_detect';

CREATE FUNCTION _ad_watermark_kind(source regclass, watermark_column text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    type regtype := (SELECT atttypid FROM pg_attribute
                     WHERE attrelid = source AND attname = watermark_column AND attnum > 0 AND NOT attisdropped);
BEGIN
    IF type IS NULL THEN
        RAISE EXCEPTION 'watermark_column "%" of relation % does not exist', watermark_column, source
            USING ERRCODE = 'undefined_column', HINT = 'Name a column that grows with every new row: a timestamp or an id.';
    ELSIF type NOT IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) THEN
        RAISE EXCEPTION 'watermark_column "%" has the type %', watermark_column, type
            USING ERRCODE = 'datatype_mismatch', HINT = 'It must be an integer, a date or a timestamp that grows with every new row.';
    END IF;
    RETURN CASE WHEN type IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) THEN type::text ELSE 'id' END;
END
$$;
COMMENT ON FUNCTION _ad_watermark_kind(regclass, text) IS 'id, or the type of a column of times; an error if it is neither';

CREATE FUNCTION _ad_check_shadow(source regclass, model text, shadow_model text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF (_ad_check_detection(source, NULL, shadow_model, 1)).model_id = (_ad_resolve(model, _ad_source(source))).model_id THEN
        RAISE EXCEPTION '"shadow_model" is the model of the job: "%"', shadow_model
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name another version, or another model.';
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_check_shadow(regclass, text, text) IS 'an error if a shadow model does not go with a job';

CREATE FUNCTION _ad_check_rows(job anomaly_detection_jobs, source regclass, where_clause text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF (SELECT relpersistence FROM pg_class WHERE oid = source) = 't' THEN
        RAISE EXCEPTION 'relation % is temporary', source
            USING ERRCODE = 'wrong_object_type', HINT = 'A job runs in another session, which does not see it.';
    END IF;
    -- Parsed and planned as a run does it, and no row read. Planning evaluates what is constant: nobody
    -- but the owner does that to what the owner wrote.
    PERFORM _ad_query_rows(format('SELECT pg_catalog.count(*) FROM (SELECT FROM %s WHERE %s LIMIT 0) t',
        _ad_source(source), _ad_check_condition(where_clause)), job.search_path) WHERE job.owner = current_user::regrole;
END
$$;
COMMENT ON FUNCTION _ad_check_rows(anomaly_detection_jobs, regclass, text) IS 'an error if a job could not read the rows that it is about';

CREATE FUNCTION _ad_check_training_job(job anomaly_detection_jobs, config jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    request model_registry := _ad_training_request(job);
BEGIN
    PERFORM _ad_check_rows(job, request.source_table, config->>'where_clause');
    PERFORM _ad_features(request.source_table, request.feature_columns);
    PERFORM _ad_label(request.source_table, config->>'label_column') WHERE config->>'label_column' IS NOT NULL;
END
$$;
COMMENT ON FUNCTION _ad_check_training_job(anomaly_detection_jobs, jsonb) IS
'checks everything about a training job that can be checked before it runs';

CREATE FUNCTION _ad_check_job(job anomaly_detection_jobs) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    config jsonb := _ad_check_job_config(job.configuration, job.kind);
    source regclass;
    kind text;
BEGIN
    IF job.job_name IS NULL OR octet_length(job.job_name) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'invalid job name: %', coalesce(quote_literal(job.job_name), 'null')
            USING ERRCODE = 'invalid_name', HINT = 'A name has 1 to 200 bytes.';
    ELSIF job.owner = current_user::regrole AND NOT (SELECT rolcanlogin FROM pg_roles WHERE oid = job.owner) THEN
        RAISE WARNING 'job "%" cannot be started by the scheduler: role % may not log in', job.job_name, job.owner
            USING HINT = 'Give the role LOGIN, or schedule the job as a role that has it.';
    ELSIF (SELECT rolsuper FROM pg_roles WHERE oid = job.owner) AND NOT _ad_setting('anomaly_detect.enable_superuser_jobs')::boolean THEN
        RAISE NOTICE 'the scheduler will not start job "%": its owner is a superuser', job.job_name
            USING HINT = 'Schedule it as another role, or set anomaly_detect.enable_superuser_jobs.';
    END IF;
    IF job.kind = 'training' THEN
        PERFORM _ad_check_training_job(job, config);
        RETURN;
    END IF;
    source := _ad_job_source(job);
    PERFORM _ad_check_detection(source, job.feature_columns, job.model_id, 1);
    PERFORM _ad_check_rows(job, source, config->>'where_clause');
    PERFORM _ad_check_shadow(source, job.model_id, config->>'shadow_model') WHERE config->>'shadow_model' IS NOT NULL;
    PERFORM _ad_record_key(source, config->>'id_column');
    IF config->>'watermark_column' IS NOT NULL THEN
        kind := _ad_watermark_kind(source, config->>'watermark_column');
        IF config->>'late_window' IS NOT NULL AND (kind = 'id') <> (jsonb_typeof(config->'late_window') = 'number') THEN
            RAISE EXCEPTION 'invalid value % for "late_window"', config->'late_window'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = format('Of column "%s", it is %s.', config->>'watermark_column', CASE kind WHEN 'id' THEN 'a number of ids' ELSE 'an interval, for example "5 minutes"' END);
        ELSIF kind = 'id' AND (config->>'window_delay')::interval > '0' THEN
            RAISE EXCEPTION '"window_delay" needs a watermark_column of times'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Ids do not say when a row came; leave it out.';
        ELSIF NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = source AND a.attname = config->>'watermark_column'
                          WHERE i.indrelid = source AND i.indkey[0] = a.attnum AND i.indpred IS NULL)
              AND EXISTS (SELECT FROM pg_class WHERE oid = source AND relkind IN ('r', 'p', 'm')) THEN
            RAISE NOTICE 'every run of job "%" will read the whole of %', job.job_name, source
                USING HINT = format('An index on column "%s" makes it read new rows only.', config->>'watermark_column');
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_check_job(anomaly_detection_jobs) IS 'checks everything about a job that can be checked before it runs';

CREATE FUNCTION _ad_job_source(job anomaly_detection_jobs) RETURNS regclass
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    source regclass := to_regclass(job.source_table);
BEGIN
    IF source IS NULL THEN
        RAISE EXCEPTION 'relation % does not exist', job.source_table
            USING ERRCODE = 'undefined_table', HINT = 'Name another source by ad_alter_job, or unschedule the job.';
    END IF;
    PERFORM _ad_source(source);
    RETURN source;
END
$$;
COMMENT ON FUNCTION _ad_job_source(anomaly_detection_jobs) IS 'the source of a job; an error if it is gone';

CREATE FUNCTION _ad_refuse_name(job_name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'job "%" already exists', job_name
        USING ERRCODE = 'duplicate_object', HINT = 'Change it by ad_alter_job, or choose another name; names of other roles count.';
END
$$;
COMMENT ON FUNCTION _ad_refuse_name(text) IS 'raises the error of a name that another job has';

CREATE FUNCTION _ad_add_job(job anomaly_detection_jobs) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    zone text := coalesce(job.timezone, nullif(_ad_setting('anomaly_detect.timezone'), ''), current_setting('TimeZone'));
    new_id bigint;
BEGIN
    job.owner := current_user::regrole;
    job.next_run := _ad_next_run(job.schedule_cron, zone, _ad_now());
    PERFORM _ad_check_job(job);
    INSERT INTO anomaly_detection_jobs (job_name, source_table, feature_columns, model_id, schedule_cron, next_run, is_active,
        configuration, kind, timezone, search_path)
    VALUES (job.job_name, job.source_table, job.feature_columns, job.model_id, job.schedule_cron, job.next_run,
        coalesce(job.is_active, true), coalesce(job.configuration, '{}'), job.kind, zone, job.search_path)
    RETURNING id INTO new_id;
    PERFORM _ad_wake_scheduler();
    RETURN new_id;
EXCEPTION WHEN unique_violation THEN
    PERFORM _ad_refuse_name(job.job_name);
END
$$;
COMMENT ON FUNCTION _ad_add_job(anomaly_detection_jobs) IS 'checks a job and adds it';

CREATE FUNCTION _ad_schedule(
    job_name text, source regclass, feature_columns text[], model_id text, cron_schedule text,
    configuration jsonb, timezone text, active boolean, caller_path text
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    job anomaly_detection_jobs;
BEGIN
    job.job_name := job_name;
    job.kind := 'detection';
    job.source_table := _ad_source(source);
    job.feature_columns := feature_columns;
    job.model_id := model_id;
    job.schedule_cron := cron_schedule;
    job.configuration := configuration;
    job.timezone := timezone;
    job.is_active := active;
    job.search_path := caller_path;
    RETURN _ad_add_job(job);
END
$$;
COMMENT ON FUNCTION _ad_schedule(text, regclass, text[], text, text, jsonb, text, boolean, text) IS 'ad_schedule with a pinned search_path';

CREATE FUNCTION ad_schedule(
    job_name text, source regclass, feature_columns text[], model_id text, cron_schedule text,
    configuration jsonb DEFAULT '{}', timezone text DEFAULT NULL, active boolean DEFAULT true
) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    SELECT _ad_schedule(job_name, source, feature_columns, model_id, cron_schedule, configuration, timezone, active,
                        current_setting('search_path'));
END;
COMMENT ON FUNCTION ad_schedule(text, regclass, text[], text, text, jsonb, text, boolean) IS
'schedules detections over a source, run by the scheduler as the current user; returns the id of the job';

CREATE FUNCTION _ad_find_job(job_name text) RETURNS anomaly_detection_jobs
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    job anomaly_detection_jobs;
BEGIN
    SELECT * INTO job FROM anomaly_detection_jobs j WHERE j.job_name = _ad_find_job.job_name;
    IF job.id IS NULL THEN
        RAISE EXCEPTION 'job "%" does not exist', job_name
            USING ERRCODE = 'undefined_object', HINT = 'The jobs that you may use are listed in the view ad_job_status.';
    END IF;
    RETURN job;
END
$$;
COMMENT ON FUNCTION _ad_find_job(text) IS 'a job by its name; an error if there is none';

CREATE FUNCTION _ad_save_job(job anomaly_detection_jobs) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    UPDATE anomaly_detection_jobs j SET job_name = job.job_name, source_table = job.source_table, feature_columns = job.feature_columns,
        model_id = job.model_id, schedule_cron = job.schedule_cron, next_run = job.next_run, is_active = job.is_active,
        configuration = job.configuration, timezone = job.timezone, search_path = job.search_path, watermark = job.watermark,
        watermark_state = job.watermark_state, failed_attempts = job.failed_attempts, consecutive_failures = job.consecutive_failures,
        circuit_state = job.circuit_state, snoozed_until = job.snoozed_until, waiting_for = NULL
    WHERE j.id = job.id;
    IF NOT FOUND THEN
        PERFORM _ad_refuse_change(job);
    END IF;
    PERFORM _ad_wake_scheduler();
EXCEPTION WHEN unique_violation THEN
    PERFORM _ad_refuse_name(job.job_name);
END
$$;
COMMENT ON FUNCTION _ad_save_job(anomaly_detection_jobs) IS 'writes what may be changed about a job';

CREATE FUNCTION _ad_alter_job(
    job_name text, source regclass, feature_columns text[], model_id text, cron_schedule text,
    configuration jsonb, timezone text, active boolean, new_name text, watermark text, caller_path text
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    -- locked, so that the end of a batch comes before or after
    job anomaly_detection_jobs := (SELECT j FROM anomaly_detection_jobs j WHERE j.id = (_ad_find_job(_ad_alter_job.job_name)).id FOR UPDATE);
    followed text;
BEGIN
    PERFORM _ad_check_job_config(configuration, job.kind) WHERE jsonb_typeof(configuration) <> 'object';
    IF job.id IS NULL THEN
        PERFORM _ad_refuse_change(_ad_find_job(job_name));
    END IF;
    followed := concat_ws('/', job.source_table, job.configuration->>'watermark_column');
    job.job_name := coalesce(new_name, job.job_name);
    job.source_table := CASE WHEN source IS NULL THEN job.source_table ELSE _ad_source(source) END;
    job.feature_columns := coalesce(feature_columns, job.feature_columns);
    job.model_id := coalesce(model_id, job.model_id);
    job.schedule_cron := coalesce(cron_schedule, job.schedule_cron);
    job.timezone := coalesce(timezone, job.timezone);
    job.is_active := coalesce(active, job.is_active);
    job.configuration := CASE WHEN configuration IS NULL THEN job.configuration ELSE jsonb_strip_nulls(job.configuration || configuration) END;
    job.search_path := CASE WHEN configuration ? 'where_clause' THEN caller_path ELSE job.search_path END;
    PERFORM _ad_check_keys(coalesce(configuration, '{}'), _ad_job_defaults(job.kind), 'configuration');
    IF watermark IS NOT NULL OR followed <> concat_ws('/', job.source_table, job.configuration->>'watermark_column') THEN
        job.watermark := watermark;
        job.watermark_state := '{}';
    END IF;
    IF job.watermark IS NOT NULL THEN
        PERFORM _ad_check_watermark(job);
    END IF;
    IF cron_schedule IS NOT NULL OR timezone IS NOT NULL THEN
        job.next_run := _ad_next_run(job.schedule_cron, job.timezone, _ad_now());
    END IF;
    PERFORM _ad_check_job(job);
    PERFORM _ad_save_job(job);
    RETURN job.id;
END
$$;
COMMENT ON FUNCTION _ad_alter_job(text, regclass, text[], text, text, jsonb, text, boolean, text, text, text) IS
'ad_alter_job with a pinned search_path';

CREATE FUNCTION ad_alter_job(
    job_name text, source regclass DEFAULT NULL, feature_columns text[] DEFAULT NULL, model_id text DEFAULT NULL,
    cron_schedule text DEFAULT NULL, configuration jsonb DEFAULT NULL, timezone text DEFAULT NULL, active boolean DEFAULT NULL,
    new_name text DEFAULT NULL, watermark text DEFAULT NULL
) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    SELECT _ad_alter_job(job_name, source, feature_columns, model_id, cron_schedule, configuration, timezone, active, new_name,
                         watermark, current_setting('search_path'));
END;
COMMENT ON FUNCTION ad_alter_job(text, regclass, text[], text, text, jsonb, text, boolean, text, text) IS
'changes what is not null about a job; configuration is merged, and a key that is null in it goes back to its default';

