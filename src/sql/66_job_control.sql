-- Stopping, pausing and quieting jobs.

CREATE FUNCTION ad_unschedule(job_name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    job anomaly_detection_jobs;
BEGIN
    SELECT * INTO job FROM anomaly_detection_jobs j WHERE j.job_name = ad_unschedule.job_name;
    IF job.id IS NULL THEN
        RETURN false;
    END IF;
    PERFORM _ad_stop_run(job.id);
    PERFORM _ad_remove_job(job.id);
    UPDATE anomaly_detection_runs r SET status = 'failed', finished_at = clock_timestamp(), sqlstate = '57014', error = 'the job was unscheduled'
    WHERE r.job_id = job.id AND r.status = 'running';
    PERFORM _ad_wake_scheduler();
    RETURN true;
END
$$;
COMMENT ON FUNCTION ad_unschedule(text) IS
'removes a job and stops its run; false if there is none. Results, runs, alerts and dead letters stay';

CREATE FUNCTION _ad_refuse_change(job anomaly_detection_jobs) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'job "%" belongs to role %', job.job_name, job.owner
        USING ERRCODE = 'insufficient_privilege', HINT = 'Only its owner, and members of that role, may change it.';
END
$$;
COMMENT ON FUNCTION _ad_refuse_change(anomaly_detection_jobs) IS 'raises the error of who sees a job but may not change it';

CREATE FUNCTION ad_pause_job(job_name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    job anomaly_detection_jobs := _ad_find_job(job_name);
BEGIN
    UPDATE anomaly_detection_jobs j SET is_active = false, waiting_for = NULL WHERE j.id = job.id;
    IF NOT FOUND THEN
        PERFORM _ad_refuse_change(job);
    END IF;
    RETURN job.is_active;
END
$$;
COMMENT ON FUNCTION ad_pause_job(text) IS
'has the scheduler start no more runs of a job; one that goes on is finished, and not waited for. False if it was paused before';

CREATE FUNCTION ad_resume_job(job_name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    job anomaly_detection_jobs := _ad_find_job(job_name);
BEGIN
    UPDATE anomaly_detection_jobs j SET is_active = true, circuit_state = 'closed', consecutive_failures = 0, failed_attempts = 0,
        next_run = CASE WHEN j.is_active AND j.circuit_state = 'closed' AND j.failed_attempts = 0 THEN j.next_run
                        ELSE _ad_next_run(j.schedule_cron, j.timezone, _ad_now()) END
    WHERE j.id = job.id;
    IF NOT FOUND THEN
        PERFORM _ad_refuse_change(job);
    END IF;
    PERFORM _ad_wake_scheduler();
    RETURN NOT job.is_active OR job.circuit_state <> 'closed';
END
$$;
COMMENT ON FUNCTION ad_resume_job(text) IS
'has the scheduler run a paused job again, from its next time on, and closes its circuit. False if it ran anyway';

CREATE FUNCTION ad_snooze_job(job_name text, duration interval) RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    job anomaly_detection_jobs := _ad_find_job(job_name);
BEGIN
    IF duration IS NULL OR duration NOT BETWEEN '0' AND '100 years' THEN
        RAISE EXCEPTION 'duration must be an interval from zero to 100 years'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'For example: interval ''2 hours''; zero ends a snooze.';
    END IF;
    UPDATE anomaly_detection_jobs j SET snoozed_until = CASE WHEN duration > '0' THEN _ad_now() + duration END
    WHERE j.id = job.id RETURNING j.* INTO job;
    IF NOT FOUND THEN
        PERFORM _ad_refuse_change(_ad_find_job(job_name));
    END IF;
    RETURN job.snoozed_until;
END
$$;
COMMENT ON FUNCTION ad_snooze_job(text, interval) IS 'has a job raise no alerts for a time; it goes on detecting';

CREATE FUNCTION ad_close_alert(alert_id bigint, note text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    UPDATE anomaly_detection_alerts a SET status = 'closed', closed_at = clock_timestamp(), note = ad_close_alert.note
    WHERE a.id = alert_id AND a.status = 'open';
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ad_close_alert(bigint, text) IS 'closes an open alert; false if there is none';

