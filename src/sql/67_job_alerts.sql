-- Alerts: written with the results that they are about, each with its message in the outbox.

CREATE FUNCTION _ad_raise_alert(job anomaly_detection_jobs, alert anomaly_detection_alerts) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    channel text := @extschema@._ad_setting('anomaly_detect.notify_channel'::text);
    outbox_id bigint;
BEGIN
    INSERT INTO @extschema@.anomaly_detection_alerts (job_id, job_name, run_id, kind, severity, message, source_table, model_id, anomalies,
        max_score, max_confidence, result_ids, owner)
    VALUES (job.id, job.job_name, alert.run_id, alert.kind, alert.severity, alert.message, job.source_table, alert.model_id,
        alert.anomalies, alert.max_score, alert.max_confidence, coalesce(alert.result_ids, '{}'), job.owner)
    RETURNING * INTO alert;
    INSERT INTO @extschema@.anomaly_detection_outbox (alert_id, job_id, payload, owner)
    VALUES (alert.id, job.id, jsonb_strip_nulls(to_jsonb(alert)) - '{status,owner}'::text[], job.owner) RETURNING id INTO outbox_id;
    IF channel <> '' THEN
        -- everyone may listen: ids say nothing to who may not read the rows
        PERFORM pg_notify(channel, jsonb_build_object('outbox_id', outbox_id, 'alert_id', alert.id, 'job_id', job.id)::text);
    END IF;
    RETURN alert.id;
END
$$;
COMMENT ON FUNCTION _ad_raise_alert(anomaly_detection_jobs, anomaly_detection_alerts) IS
'stores an alert and its message, and notifies';

CREATE FUNCTION _ad_last_result() RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT coalesce((SELECT r.id FROM anomaly_detection_results r ORDER BY r.id DESC LIMIT 1), 0)
$$;
COMMENT ON FUNCTION _ad_last_result() IS 'the largest id of a result that the current user sees';

CREATE FUNCTION _ad_alert(job anomaly_detection_jobs, run_id bigint, model_id text, rules jsonb, after_result bigint) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    alert anomaly_detection_alerts;
    enough integer := greatest(1, (rules->>'min_anomalies')::integer);
    since timestamptz := now() - nullif((rules->>'window')::interval, '0');
BEGIN
    SELECT count(*), max(r.anomaly_score), max(r.confidence), (array_agg(r.id ORDER BY r.anomaly_score DESC, r.id))[:10]
    INTO alert.anomalies, alert.max_score, alert.max_confidence, alert.result_ids
    FROM anomaly_detection_results r
    WHERE r.id > after_result AND r.run_id = _ad_alert.run_id AND r.is_anomaly AND r.model_id = _ad_alert.model_id
      AND r.confidence >= (rules->>'min_confidence')::float8;
    IF alert.anomalies = 0 THEN
        RETURN 0;
    ELSIF since IS NOT NULL THEN
        -- the batch has added to what is in the window, and that is what the alert is about
        SELECT count(*), max(r.anomaly_score), max(r.confidence), (array_agg(r.id ORDER BY r.anomaly_score DESC, r.id))[:10]
        INTO alert.anomalies, alert.max_score, alert.max_confidence, alert.result_ids
        FROM anomaly_detection_results r
        WHERE r.detection_timestamp > since AND r.job_id = job.id AND r.is_anomaly AND r.model_id = _ad_alert.model_id
          AND r.confidence >= (rules->>'min_confidence')::float8;
    END IF;
    IF alert.anomalies < enough THEN
        RETURN 0;
    ELSIF job.snoozed_until > _ad_now() OR job.last_alert > _ad_now() - (rules->>'cooldown')::interval THEN
        UPDATE anomaly_detection_jobs j SET suppressed_alerts = j.suppressed_alerts + 1 WHERE j.id = job.id;
        RETURN 0;
    END IF;
    alert.run_id := run_id;
    alert.model_id := model_id;
    alert.kind := 'anomalies';
    alert.severity := CASE WHEN alert.max_confidence >= (rules->>'high')::float8 THEN 'high'
                           WHEN alert.max_confidence >= (rules->>'medium')::float8 THEN 'medium' ELSE 'low' END;
    alert.message := format('job "%s" found %s %s in %s, with a confidence of up to %s', job.job_name, alert.anomalies,
        CASE alert.anomalies WHEN 1 THEN 'anomaly' ELSE 'anomalies' END, job.source_table, round(alert.max_confidence::numeric, 4));
    UPDATE anomaly_detection_jobs j SET last_alert = _ad_now() WHERE j.id = job.id;
    PERFORM _ad_raise_alert(job, alert);
    RETURN 1;
END
$$;
COMMENT ON FUNCTION _ad_alert(anomaly_detection_jobs, bigint, text, jsonb, bigint) IS
'raises an alert about the results of a batch, if the rules of the job say so; returns how many';

