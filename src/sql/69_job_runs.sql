-- Runs of jobs. A run is begun, does one batch after another and ends; each of these is one step. The
-- scheduler's worker commits after each (_ad_run_job), ad_run_job does them all in one transaction.
-- Everything that a job does, it does here, as its owner.

CREATE FUNCTION _ad_backoff(config jsonb, attempts integer) RETURNS interval
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN attempts < 1 THEN interval '0' ELSE
        least((config->>'retry_period')::interval * power(2, least(attempts, 20) - 1), greatest(interval '1 hour', (config->>'retry_period')::interval))
        * (1 + 0.25 * random()) END
$$;
COMMENT ON FUNCTION _ad_backoff(jsonb, integer) IS
'time until the next attempt: doubled each time up to an hour, plus up to a quarter, so that jobs do not come back together';

CREATE FUNCTION _ad_log_failure(job anomaly_detection_jobs, message text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF job.circuit_state = 'open' THEN
        PERFORM @extschema@._ad_log(format('job "%s" has failed %s times in a row; the next try is at %s: %s', job.job_name, job.consecutive_failures, job.next_run, message));
    ELSIF job.failed_attempts > 0 THEN
        PERFORM @extschema@._ad_log(format('job "%s" failed, attempt %s; it is repeated at %s: %s', job.job_name, job.failed_attempts, job.next_run, message));
    ELSE
        PERFORM @extschema@._ad_log(format('job "%s" failed and is not repeated before its next time, %s: %s', job.job_name, job.next_run, message));
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_log_failure(anomaly_detection_jobs, text) IS 'tells the log that a job failed and what happens next';

-- Called by the worker, as the owner, and by the scheduler for a worker that is no more.
CREATE FUNCTION _ad_fail_job(job anomaly_detection_jobs, run_id bigint, state text, message text, interrupted boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    config jsonb := @extschema@._ad_job_defaults(job.kind) || jsonb_strip_nulls(job.configuration);
    was_open boolean := job.circuit_state <> 'closed';
    alert @extschema@.anomaly_detection_alerts;
BEGIN
    UPDATE @extschema@.anomaly_detection_runs r SET status = 'failed', error = message, sqlstate = state, finished_at = clock_timestamp()
    WHERE r.id = run_id;
    job.failed_attempts := job.failed_attempts + 1;
    job.consecutive_failures := job.consecutive_failures + 1;
    IF was_open OR job.consecutive_failures >= nullif((config->>'circuit_breaker_threshold')::integer, 0) THEN
        job.circuit_state := 'open';
        job.failed_attempts := 0;
        job.next_run := @extschema@._ad_now() + (config->>'circuit_breaker_pause')::interval;
    ELSIF job.failed_attempts <= (config->>'max_retries')::integer THEN
        -- what the run itself is not to blame for is repeated at once, the first time
        job.next_run := @extschema@._ad_now() + @extschema@._ad_backoff(config, job.failed_attempts - interrupted::integer);
    ELSE
        job.failed_attempts := 0;
        job.next_run := @extschema@._ad_next_run(job.schedule_cron, job.timezone, @extschema@._ad_now());
    END IF;
    UPDATE @extschema@.anomaly_detection_jobs j SET last_status = 'failed', last_error = message, failed_attempts = job.failed_attempts,
        consecutive_failures = job.consecutive_failures, circuit_state = job.circuit_state, next_run = job.next_run, waiting_for = NULL
    WHERE j.id = job.id;
    PERFORM @extschema@._ad_log_failure(job, message);
    IF job.circuit_state = 'open' AND NOT was_open THEN
        alert.run_id := coalesce(run_id, 0);
        alert.kind := 'circuit_open';
        alert.severity := 'high';
        alert.message := format('job "%s" has failed %s times in a row and pauses until %s: %s', job.job_name,
            job.consecutive_failures, job.next_run, message);
        PERFORM @extschema@._ad_raise_alert(job, alert);
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_fail_job(anomaly_detection_jobs, bigint, text, text, boolean) IS
'records that a job failed, and decides when it is tried again';

CREATE FUNCTION _ad_finish_job(job anomaly_detection_jobs, run anomaly_detection_runs) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    missed boolean := run.scheduled_for IS NOT NULL AND job.next_run <= _ad_now()
        AND coalesce(job.configuration->>'overlap_policy', 'skip') = 'skip';
BEGIN
    UPDATE anomaly_detection_runs r SET status = 'succeeded', finished_at = clock_timestamp() WHERE r.id = run.id;
    IF missed THEN
        PERFORM _ad_log(format('job "%s" took from %s past its next time, %s, which is skipped', job.job_name, run.started_at, job.next_run));
        job.next_run := _ad_next_run(job.schedule_cron, job.timezone, _ad_now());
    END IF;
    IF job.circuit_state <> 'closed' THEN
        PERFORM _ad_log(format('job "%s" works again after %s failures', job.job_name, job.consecutive_failures));
    END IF;
    UPDATE anomaly_detection_jobs j SET last_status = 'succeeded', last_error = NULL, failed_attempts = 0, consecutive_failures = 0,
        circuit_state = 'closed', next_run = job.next_run, skipped_runs = j.skipped_runs + missed::integer
    WHERE j.id = job.id;
END
$$;
COMMENT ON FUNCTION _ad_finish_job(anomaly_detection_jobs, anomaly_detection_runs) IS 'records that a run has done everything';

CREATE FUNCTION _ad_begin_job(job_id bigint, scheduled boolean, OUT run_id bigint, OUT refusal text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    job anomaly_detection_jobs;
BEGIN
    IF pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'cannot run a job in a read-only transaction'
            USING ERRCODE = 'read_only_sql_transaction', HINT = 'Jobs run on the primary; ad_scores and ad_score work here.';
    END IF;
    SELECT * INTO job FROM anomaly_detection_jobs j WHERE j.id = job_id;
    IF job.id IS NULL THEN
        refusal := 'the job is gone';
        RETURN;
    ELSIF job.owner <> current_user::regrole THEN
        RAISE EXCEPTION 'job "%" belongs to role %', job.job_name, job.owner
            USING ERRCODE = 'insufficient_privilege', HINT = 'A job only ever runs as its owner.';
    ELSIF NOT _ad_lock_job(job_id, scheduled, NOT scheduled AND coalesce(job.configuration->>'overlap_policy' = 'queue', false)) THEN
        refusal := 'another run of the job goes on';
        RETURN;
    END IF;
    SELECT * INTO job FROM anomaly_detection_jobs j WHERE j.id = job_id FOR UPDATE;
    IF scheduled AND (NOT job.is_active OR job.next_run > _ad_now()
            OR (SELECT rolsuper FROM pg_roles WHERE oid = job.owner) AND NOT _ad_setting('anomaly_detect.enable_superuser_jobs')::boolean) THEN
        refusal := 'the job is not due';
        RETURN;
    ELSIF job.circuit_state = 'open' AND job.next_run > _ad_now() THEN
        refusal := format('the job has failed %s times in a row and pauses until %s', job.consecutive_failures, job.next_run);
        RETURN;
    END IF;
    -- Whoever holds the lock is the only run: what still seems to run was interrupted.
    UPDATE anomaly_detection_runs r SET status = 'failed', finished_at = clock_timestamp(), sqlstate = '57P01', error = 'the run was interrupted'
    WHERE r.id = (SELECT max(l.id) FROM anomaly_detection_runs l WHERE l.job_id = job.id) AND r.status = 'running';
    INSERT INTO anomaly_detection_runs (job_id, source_table, model_id, where_clause, options, status, attempt, scheduled_for, watermark_from)
    VALUES (job.id, coalesce(job.source_table, ''), coalesce(job.model_id, ''), job.configuration->>'where_clause', job.configuration,
            'running', job.failed_attempts + 1, CASE WHEN scheduled THEN job.next_run END, job.watermark)
    RETURNING id INTO run_id;
    UPDATE anomaly_detection_jobs j SET last_run = _ad_now(), last_status = 'running', waiting_for = NULL,
        circuit_state = CASE j.circuit_state WHEN 'open' THEN 'half_open' ELSE j.circuit_state END,
        next_run = CASE WHEN scheduled THEN _ad_next_run(j.schedule_cron, j.timezone, greatest(_ad_now(), j.next_run)) ELSE j.next_run END
    WHERE j.id = job.id;
END
$$;
COMMENT ON FUNCTION _ad_begin_job(bigint, boolean) IS
'begins a run of a job, whose next time it sets; or says why not. Holds the lock of the job from then on';

CREATE FUNCTION _ad_look_back(state jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- The oldest transaction whose rows may have become visible since the last look: one that was under
    -- way then and is not now, or the first that had not begun.
    SELECT h->>1 FROM jsonb_array_elements(state->'history') WITH ORDINALITY t(h, n), LATERAL (
        SELECT least(min(x::bigint), split_part(state->'open'->>'seen', ':', 3)::bigint) AS xid
        FROM unnest(string_to_array(split_part(state->'open'->>'seen', ':', 4), ',')) x
        WHERE x <> ALL (string_to_array(split_part(state->'open'->>'snapshot', ':', 4), ','))) oldest
    WHERE n = 1 OR (h->>0)::bigint <= oldest.xid ORDER BY n DESC LIMIT 1
$$;
COMMENT ON FUNCTION _ad_look_back(jsonb) IS
'where the watermark stood when the oldest transaction began whose rows the last run may not have seen';

CREATE FUNCTION _ad_late_rows(source regclass, state jsonb, config jsonb, watermark text, OUT base text, OUT late bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    seen text := state->'open'->>'seen';
    column_name text := config->>'watermark_column';
    type text := state->'open'->>'type';
    kind text := CASE WHEN type = 'bigint' THEN 'id' ELSE type END;
    -- Written by a transaction that began when the watermark had passed them. All others came in time.
    is_late text := (SELECT coalesce(format('(%s)', string_agg(format('NOT %s AND %s',
            _ad_seen(source, concat_ws(':', split_part(seen, ':', 1), h->>0, h->>0, '')), _ad_condition(source, column_name, '<=', h->>1, type)), ' OR ')), 'FALSE')
        FROM jsonb_array_elements(state->'history') h WHERE h->>1 IS NOT NULL);
    in_window text := _ad_condition(source, column_name, '>=', _ad_shift_watermark(watermark, kind, config->>'late_window'), type);
BEGIN
    late := 0;
    IF seen IS NULL THEN
        RETURN;
    END IF;
    base := concat_ws(' AND ',
        _ad_condition(source, column_name, '<=', watermark, type),
        _ad_condition(source, column_name, '>=', _ad_shift_watermark(_ad_look_back(state), kind, config->>'late_window'), type),
        'NOT ' || _ad_seen(source, seen), _ad_seen(source, state->'open'->>'snapshot'));
    EXECUTE format('SELECT count(*) FROM %s WHERE %s AND %s AND %s', _ad_source(source), base, in_window, is_late) INTO late;
    base := base || format(' AND (NOT %s%s)', is_late, CASE config->>'late_rows' WHEN 'count' THEN '' ELSE ' OR ' || in_window END);
END
$$;
COMMENT ON FUNCTION _ad_late_rows(regclass, jsonb, jsonb, text) IS
'condition for rows behind the watermark that the last run did not see: those that came in time, and late ones in the window';

CREATE FUNCTION _ad_estimate(source regclass, condition text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM %s WHERE %s', _ad_source(source), condition) INTO plan;
    RETURN (plan->0->'Plan'->>'Plan Rows')::numeric;
END
$$;
COMMENT ON FUNCTION _ad_estimate(regclass, text) IS 'how many rows the planner expects';

CREATE FUNCTION _ad_waits_for(source regclass, column_name text, open jsonb, watermark text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    largest text;
BEGIN
    IF split_part(open->>'snapshot', ':', 6) <> '' THEN
        RETURN 'the end of a transaction with more than 64 subtransactions';
    END IF;
    EXECUTE format('SELECT max(%I)::text FROM %s HAVING max(%1$I) OPERATOR(pg_catalog.<) %3$L::%4$s',
        column_name, _ad_source(source), watermark, open->>'type') INTO largest;
    RETURN format('rows above the watermark %s: the largest %s is %s', watermark, column_name, largest) WHERE largest IS NOT NULL;
END
$$;
COMMENT ON FUNCTION _ad_waits_for(regclass, text, jsonb, text) IS 'why a run found no new rows, if that is strange';

CREATE FUNCTION _ad_prepare_batch(job anomaly_detection_jobs, config jsonb, run_id bigint) RETURNS _ad_batch
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    b _ad_batch;
BEGIN
    b.run_id := run_id;
    b.job_id := job.id;
    b.source := _ad_job_source(job);
    b.chosen := _ad_check_detection(b.source, job.feature_columns, job.model_id, (config->>'batch_size')::integer);
    b.options := _ad_check_options(_ad_detect_options(config));
    b.keys := _ad_record_key(b.source, config->>'id_column');
    b.where_clause := _ad_check_condition(config->>'where_clause');
    b.dead_letter := config->>'dead_letter';
    b.search_path := job.search_path;
    RETURN b;
END
$$;
COMMENT ON FUNCTION _ad_prepare_batch(anomaly_detection_jobs, jsonb, bigint) IS 'what all batches of a run have in common';

CREATE FUNCTION _ad_store_shadow(b _ad_batch, model text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF model IS NULL THEN
        RETURN;
    END IF;
    -- the reference of either may have moved since the job was scheduled
    IF (_ad_resolve(model)).model_id = (b.chosen).model_id THEN
        RETURN;
    END IF;
    b.chosen := _ad_check_detection(b.source, NULL, model, 1);
    b.dead_letter := false;
    PERFORM _ad_store_rows(b);
EXCEPTION WHEN OTHERS THEN
    PERFORM _ad_log(format('the shadow model "%s" could not score: %s', model, SQLERRM));
END
$$;
COMMENT ON FUNCTION _ad_store_shadow(_ad_batch, text) IS
'scores a batch with a second model, whose results are stored but count for nothing; its errors do no harm';

-- A batch may take long, and whoever changes or pauses the job does not wait for it: the row is locked
-- only at the end, and what was done by a row that is no longer true is undone and done again.
CREATE FUNCTION _ad_claim_job(job anomaly_detection_jobs) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    PERFORM FROM anomaly_detection_jobs j
    WHERE j.id = job.id AND j.source_table IS NOT DISTINCT FROM job.source_table AND j.feature_columns IS NOT DISTINCT FROM job.feature_columns
      AND j.model_id IS NOT DISTINCT FROM job.model_id AND j.configuration = job.configuration AND j.timezone IS NOT DISTINCT FROM job.timezone
      AND j.search_path = job.search_path AND j.watermark IS NOT DISTINCT FROM job.watermark AND j.watermark_state = job.watermark_state
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job "%" was changed while a batch was scored', job.job_name USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;
COMMENT ON FUNCTION _ad_claim_job(anomaly_detection_jobs) IS 'locks the row of a job; an error if it is not what a batch has gone by';

CREATE FUNCTION _ad_detect_step(job anomaly_detection_jobs, run anomaly_detection_runs) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    config jsonb := _ad_check_job_config(job.configuration, job.kind);
    column_name text := config->>'watermark_column';
    rules jsonb := _ad_alert_rules(config);
    b _ad_batch := _ad_prepare_batch(job, config, run.id);
    state jsonb := job.watermark_state;
    job_as_read constant anomaly_detection_jobs := job;
    last_result bigint := CASE WHEN rules IS NOT NULL THEN _ad_last_result() END;
    bases text[] := '{}';
    behind record;
    ahead text;
    bound record;
    waits_for text;
    more boolean := false;
    figures record;
BEGIN
    IF column_name IS NULL THEN
        bases := '{TRUE}';
    ELSE
        IF (state->'open'->>'run')::bigint IS DISTINCT FROM run.id THEN
            state := _ad_open_window(job, run.id, b.source, config);
            SELECT * INTO behind FROM _ad_late_rows(b.source, state, config, job.watermark);
            bases := array_remove(ARRAY[behind.base], NULL);
            run.late_records := run.late_records + behind.late;
        END IF;
        ahead := concat_ws(' AND ', _ad_condition(b.source, column_name, '>', job.watermark, state->'open'->>'type'),
            _ad_condition(b.source, column_name, '<=', state->'open'->>'upto', state->'open'->>'type'));
        run.estimated_records := coalesce(run.estimated_records, _ad_estimate(b.source, ahead));
        ahead := concat_ws(' AND ', ahead, _ad_seen(b.source, state->'open'->>'snapshot'));
        SELECT * INTO bound FROM _ad_batch_end(b.source, column_name, ahead, (config->>'batch_size')::integer);
        IF bound.records > 0 THEN
            bases := bases || (ahead || ' AND ' || _ad_condition(b.source, column_name, '<=', bound.last, state->'open'->>'type'));
            job.watermark := bound.last;
        END IF;
        more := bound.records >= (config->>'batch_size')::integer;
        waits_for := _ad_waits_for(b.source, column_name, state->'open', job.watermark) WHERE bound.records = 0;
    END IF;
    FOREACH b.base IN ARRAY bases LOOP
        SELECT * INTO figures FROM _ad_store_rows(b);
        run.processed_records := run.processed_records + figures.records;
        run.skipped_records := run.skipped_records + figures.records - figures.scored;
        run.anomalies_found := run.anomalies_found + figures.anomalies;
        run.dead_letters := run.dead_letters + figures.dead;
        PERFORM _ad_store_shadow(b, config->>'shadow_model') WHERE figures.scored > 0;
    END LOOP;
    PERFORM _ad_claim_job(job_as_read);
    IF rules IS NOT NULL AND run.anomalies_found > (SELECT r.anomalies_found FROM anomaly_detection_runs r WHERE r.id = run.id) THEN
        run.alerts := run.alerts + _ad_alert(job, run.id, (b.chosen).model_id, rules, last_result);
    END IF;
    UPDATE anomaly_detection_runs r SET processed_records = run.processed_records, skipped_records = run.skipped_records,
        anomalies_found = run.anomalies_found, late_records = run.late_records, estimated_records = run.estimated_records, dead_letters = run.dead_letters, alerts = run.alerts,
        batches = r.batches + 1, watermark_to = job.watermark, model_id = (b.chosen).model_id, model_created_at = (b.chosen).created_at,
        source_oid = b.source
    WHERE r.id = run.id;
    -- After the rows were read: who has not begun by now finds the watermark there.
    state := _ad_pass_watermark(state, job.watermark);
    UPDATE anomaly_detection_jobs j SET watermark = job.watermark, watermark_state = CASE WHEN more THEN state ELSE _ad_close_window(state) END,
        waiting_for = waits_for
    WHERE j.id = job.id;
    RETURN more;
END
$$;
COMMENT ON FUNCTION _ad_detect_step(anomaly_detection_jobs, anomaly_detection_runs) IS
'scores and stores one batch, moves the watermark and raises alerts; false after the last';

CREATE FUNCTION _ad_job_step(run_id bigint, committing boolean) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    run anomaly_detection_runs;
    job anomaly_detection_jobs;
    time_limit text;
    deadline timestamptz;
    limit_before timestamptz;
    more boolean;
    message text;
    state text;
BEGIN
    SELECT * INTO run FROM anomaly_detection_runs r WHERE r.id = run_id;
    SELECT * INTO job FROM anomaly_detection_jobs j WHERE j.id = run.job_id AND j.owner::oid = current_user::regrole::oid;
    IF job.id IS NULL OR run.status <> 'running' THEN
        RAISE EXCEPTION 'the job of run % is gone', run_id USING ERRCODE = 'undefined_object';
    END IF;
    BEGIN
        time_limit := coalesce(job.configuration->>'timeout', _ad_setting('anomaly_detect.job_timeout'));
        deadline := run.started_at + nullif(time_limit::interval, '0');
        IF deadline <= clock_timestamp() THEN
            RAISE EXCEPTION 'the run took longer than % and was ended', time_limit USING ERRCODE = 'query_canceled';
        END IF;
        limit_before := _ad_limit_time(deadline);
        more := CASE job.kind WHEN 'training' THEN _ad_training_step(job, run) ELSE _ad_detect_step(job, run) END;
        PERFORM _ad_lift_limit(limit_before);
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        PERFORM _ad_lift_limit(limit_before);
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
        IF state = '57014' AND deadline <= clock_timestamp() THEN
            message := format('the run took longer than %s and was ended', time_limit);
        ELSIF state = '57014' AND NOT committing THEN
            RAISE;  -- the caller gave up
        ELSIF state = '40001' AND job IS DISTINCT FROM (SELECT j FROM anomaly_detection_jobs j WHERE j.id = job.id) THEN
            RETURN true;  -- changed meanwhile: once more, by what is true now
        END IF;
        SELECT * INTO job FROM anomaly_detection_jobs j WHERE j.id = job.id FOR UPDATE;
        PERFORM _ad_fail_job(job, run.id, state, message, false) WHERE job.id IS NOT NULL;
        RETURN NULL;
    END;
    IF NOT more THEN
        SELECT * INTO job FROM anomaly_detection_jobs j WHERE j.id = job.id FOR UPDATE;
        SELECT * INTO run FROM anomaly_detection_runs r WHERE r.id = run_id;
        PERFORM _ad_finish_job(job, run) WHERE job.id IS NOT NULL;
    END IF;
    RETURN more;
END
$$;
COMMENT ON FUNCTION _ad_job_step(bigint, boolean) IS
'one batch of a run with everything that it leaves; false after the last, null when the run has failed';

CREATE PROCEDURE _ad_run_job(job_id bigint)
LANGUAGE plpgsql
AS $$
-- A procedure that commits cannot pin its search_path: only qualified names and no operators here.
DECLARE
    run_id pg_catalog.int8 := (@extschema@._ad_begin_job(job_id, true)).run_id;
    more pg_catalog.bool := run_id IS NOT NULL;
BEGIN
    COMMIT;
    WHILE more LOOP
        more := @extschema@._ad_job_step(run_id, true);
        COMMIT;
    END LOOP;
    PERFORM @extschema@._ad_unlock_job();
END
$$;
COMMENT ON PROCEDURE _ad_run_job(bigint) IS 'runs a job that is due, in batches that commit: what a worker of the scheduler calls';

CREATE FUNCTION ad_run_job(job_name text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    job anomaly_detection_jobs := _ad_find_job(job_name);
    begun record;
    more boolean := true;
    run anomaly_detection_runs;
BEGIN
    SELECT * INTO begun FROM _ad_begin_job(job.id, false);
    IF begun.run_id IS NULL THEN
        RETURN jsonb_build_object('job', job_name, 'status', 'skipped', 'reason', begun.refusal);
    END IF;
    WHILE more LOOP
        more := _ad_job_step(begun.run_id, false);
    END LOOP;
    SELECT * INTO run FROM anomaly_detection_runs r WHERE r.id = begun.run_id;
    IF run.status = 'failed' THEN
        RAISE WARNING 'job "%" failed: %', job_name, run.error;
    END IF;
    RETURN _ad_run_result(run) || jsonb_strip_nulls(jsonb_build_object('job', job_name, 'status', run.status, 'late_records', run.late_records,
        'dead_letters', run.dead_letters, 'alerts', run.alerts, 'watermark', run.watermark_to, 'error', run.error, 'sqlstate', run.sqlstate));
END
$$;
COMMENT ON FUNCTION ad_run_job(text) IS
'runs a job now, in one transaction, whether or not it is due; returns the figures of the run. A failure is recorded, not raised';

