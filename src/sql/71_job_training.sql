-- Training jobs: a new version on a schedule, which becomes the active one by rule.

CREATE FUNCTION _ad_schedule_training(
    job_name text, model_name text, cron_schedule text, configuration jsonb, timezone text, active boolean, caller_path text
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    job anomaly_detection_jobs;
BEGIN
    job.job_name := job_name;
    job.kind := 'training';
    job.model_id := model_name;
    job.schedule_cron := cron_schedule;
    job.configuration := configuration;
    job.timezone := timezone;
    job.is_active := active;
    job.search_path := caller_path;
    IF model_name IS NULL OR strpos(model_name, '@') > 0 THEN
        PERFORM _ad_check_training(model_name);
    END IF;
    job.source_table := (_ad_training_request(job)).source_table;
    RETURN _ad_add_job(job);
END
$$;
COMMENT ON FUNCTION _ad_schedule_training(text, text, text, jsonb, text, boolean, text) IS 'ad_schedule_training with a pinned search_path';

CREATE FUNCTION ad_schedule_training(
    job_name text, model_name text, cron_schedule text, configuration jsonb DEFAULT '{}',
    timezone text DEFAULT NULL, active boolean DEFAULT true
) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    SELECT _ad_schedule_training(job_name, model_name, cron_schedule, configuration, timezone, active, current_setting('search_path'));
END;
COMMENT ON FUNCTION ad_schedule_training(text, text, text, jsonb, text, boolean) IS
'schedules trainings of a model, each a new version; what the configuration does not say is as in the newest version';

CREATE FUNCTION _ad_training_request(job anomaly_detection_jobs) RETURNS model_registry
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    config jsonb := _ad_check_job_config(job.configuration, 'training');
    request model_registry;
BEGIN
    SELECT * INTO request FROM model_registry r WHERE r.name = job.model_id AND r.owner = current_user::regrole ORDER BY r.version DESC LIMIT 1;
    request.name := job.model_id;
    request.source_table := coalesce(config->>'source', job.source_table, request.source_table);
    IF request.source_table IS NULL OR to_regclass(request.source_table) IS NULL THEN
        RAISE EXCEPTION 'there is no source to train model "%" on', job.model_id
            USING ERRCODE = 'undefined_table', DETAIL = 'It is: ' || coalesce(request.source_table, 'not known') || '.',
                  HINT = 'Train the model once with ad_train, or name a table as "source" in the configuration.';
    END IF;
    request.source_table := _ad_source(to_regclass(request.source_table));
    IF config->>'feature_columns' IS NOT NULL THEN
        request.feature_columns := ARRAY(SELECT jsonb_array_elements_text(config->'feature_columns'));
    END IF;
    -- the parameters of one algorithm mean nothing to another
    request.parameters := coalesce(nullif(config->'parameters', 'null'),
        CASE WHEN config->>'algorithm' IS NULL OR config->>'algorithm' = request.algorithm THEN request.parameters END, '{}');
    request.algorithm := coalesce(config->>'algorithm', request.algorithm);
    request.preprocess := coalesce(nullif(config->'preprocess', 'null'), request.preprocess, '{}');
    request.threshold := coalesce(nullif(config->'threshold', 'null'), request.threshold - 'threshold', '{}');
    RETURN request;
END
$$;
COMMENT ON FUNCTION _ad_training_request(anomaly_detection_jobs) IS 'what a training job trains';

CREATE FUNCTION _ad_train_as(request model_registry, config jsonb, caller_path text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    source regclass := request.source_table;
    sample_size bigint := config->>'sample_size';
    random_seed bigint := config->>'random_seed';
    condition text := config->>'where_clause';
BEGIN
    -- from here on, the search_path of the job: names are qualified
    PERFORM set_config('search_path', caller_path, true);
    RETURN @extschema@.ad_train(source, request.feature_columns, request.name, request.algorithm, request.parameters,
        where_clause => condition, preprocess => request.preprocess, threshold => request.threshold,
        sample_size => sample_size, random_seed => random_seed, activate => false);
END
$$;
COMMENT ON FUNCTION _ad_train_as(model_registry, jsonb, text) IS 'ad_train without activation, with the search_path of a job';

CREATE FUNCTION _ad_sample_scores(query text, caller_path text, OUT new_scores float8[], OUT old_scores float8[], OUT labels text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    PERFORM set_config('search_path', caller_path, true);
    EXECUTE query INTO new_scores, old_scores, labels;
END
$$;
COMMENT ON FUNCTION _ad_sample_scores(text, text) IS 'runs a query that scores rows by two models, with the search_path of a job';

CREATE FUNCTION _ad_auroc(scores float8[], labels text[]) RETURNS float8
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT (sum(place) FILTER (WHERE positive) - positives * (positives + 1) / 2) / nullif(positives * (total - positives), 0)
    FROM (SELECT positive, avg(n) OVER (PARTITION BY score) AS place, count(*) FILTER (WHERE positive) OVER () AS positives, count(*) OVER () AS total
          FROM (SELECT score, lower(label) IN ('true', 't', '1', 'yes') AS positive, row_number() OVER (ORDER BY score) AS n
                FROM unnest(scores, labels) u(score, label) WHERE label IS NOT NULL) ordered) placed
    GROUP BY positives, total
$$;
COMMENT ON FUNCTION _ad_auroc(float8[], text[]) IS 'area under the ROC curve; null where all labels are the same';

CREATE FUNCTION _ad_agreement(one float8[], other float8[]) RETURNS float8
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT corr(a, b) FROM (
        SELECT avg(x) OVER (PARTITION BY one) AS a, avg(y) OVER (PARTITION BY other) AS b
        FROM (SELECT one, other, row_number() OVER (ORDER BY one) AS x, row_number() OVER (ORDER BY other) AS y
              FROM unnest(one, other) u(one, other)) ranked) placed
$$;
COMMENT ON FUNCTION _ad_agreement(float8[], float8[]) IS 'rank correlation of two lists of scores';

CREATE FUNCTION _ad_compare_versions(new_id text, old_id text, request model_registry, config jsonb, caller_path text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    max_rows constant integer := 20000;
    source regclass := request.source_table;
    label_column text := config->>'label_column';
    row text := _ad_row_of(source);
    s record;
    new_value float8;
    old_value float8;
BEGIN
    SELECT * INTO s FROM _ad_sample_scores(format(
        'SELECT pg_catalog.array_agg(n), pg_catalog.array_agg(o), pg_catalog.array_agg(l) FROM (
             SELECT %1$s.ad_score(%2$L, %4$s), %1$s.ad_score(%3$L, %4$s), %5$s FROM %6$s WHERE %7$s AND %8$s LIMIT %9$s) s(n, o, l)',
        '@extschema@', new_id, old_id, row, CASE WHEN label_column IS NULL THEN 'NULL::pg_catalog.text' ELSE format('%I::pg_catalog.text', label_column) END,
        _ad_source(source), _ad_check_condition(config->>'where_clause'), CASE WHEN label_column IS NULL THEN 'TRUE' ELSE format('%I IS NOT NULL', label_column) END, max_rows),
        caller_path);
    IF label_column IS NOT NULL THEN
        new_value := _ad_auroc(s.new_scores, s.labels);
        old_value := _ad_auroc(s.old_scores, s.labels);
        RETURN jsonb_build_object('with', old_id, 'measure', 'auroc', 'rows', cardinality(s.new_scores), 'new', new_value, 'old', old_value,
            'better', coalesce(new_value >= old_value, false));
    END IF;
    new_value := _ad_agreement(s.new_scores, s.old_scores);
    RETURN jsonb_build_object('with', old_id, 'measure', 'rank correlation', 'rows', cardinality(s.new_scores), 'new', new_value,
        'better', coalesce(new_value >= (config->>'min_agreement')::float8, false));
END
$$;
COMMENT ON FUNCTION _ad_compare_versions(text, text, model_registry, jsonb, text) IS
'whether a new version is to replace the active one: by its AUROC on labels, else by whether it ranks the rows as before';

CREATE FUNCTION _ad_training_step(job anomaly_detection_jobs, run anomaly_detection_runs) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    config jsonb := _ad_check_job_config(job.configuration, job.kind);
    request model_registry := _ad_training_request(job);
    old_id text := (SELECT r.model_id FROM model_registry r WHERE r.name = job.model_id AND r.is_active);
    new_id text := _ad_train_as(request, config, job.search_path);
    trained_rows bigint := (SELECT m.training_rows FROM model_registry m WHERE m.model_id = new_id);
    verdict jsonb;
    activate boolean := old_id IS NULL OR config->>'activate' = 'always';
BEGIN
    IF config->>'activate' = 'if_better' AND old_id IS NOT NULL THEN
        -- a model of few rows may look good on them
        verdict := CASE WHEN trained_rows < (config->>'min_rows')::bigint
            THEN jsonb_build_object('with', old_id, 'measure', 'min_rows', 'rows', trained_rows, 'better', false)
            ELSE _ad_compare_versions(new_id, old_id, request, config, job.search_path) END;
        activate := (verdict->>'better')::boolean;
    END IF;
    UPDATE model_registry r SET performance_metrics = r.performance_metrics ||
        jsonb_strip_nulls(jsonb_build_object('comparison', verdict, 'job_id', job.id, 'activated', activate))
    WHERE r.model_id = new_id;
    IF activate THEN
        PERFORM ad_activate(new_id);
    END IF;
    PERFORM _ad_log(format('job "%s" trained %s, which %s', job.job_name, new_id,
        CASE WHEN activate THEN 'is active now' ELSE 'was not activated' END));
    UPDATE anomaly_detection_runs r SET model_id = new_id, source_table = request.source_table, batches = 1,
        processed_records = trained_rows
    WHERE r.id = run.id;
    RETURN false;
END
$$;
COMMENT ON FUNCTION _ad_training_step(anomaly_detection_jobs, anomaly_detection_runs) IS
'trains the next version and activates it by the rule of the job; the one before stays';

