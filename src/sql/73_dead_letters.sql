-- Dead letters, scored again when what was wrong with their rows has been mended.

CREATE FUNCTION _ad_letter_keys(b _ad_batch, letters bigint[]) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT array_agg(ARRAY(SELECT d.source_record_key->>k FROM unnest(b.keys) WITH ORDINALITY u(k, n) ORDER BY n) ORDER BY d.id)
    FROM anomaly_detection_dead_letters d WHERE d.id = ANY (letters)
$$;
COMMENT ON FUNCTION _ad_letter_keys(_ad_batch, bigint[]) IS 'the keys of the rows of dead letters, one text for each column';

CREATE FUNCTION _ad_retry_letters(b _ad_batch, letters bigint[], OUT records bigint, OUT scored bigint, OUT anomalies bigint, OUT dead bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    SELECT s.* INTO records, scored, anomalies, dead FROM _ad_store_good(b, _ad_letter_keys(b, letters), 1, cardinality(letters)) s;
    -- a letter whose row failed again is of this run now
    DELETE FROM anomaly_detection_dead_letters d WHERE d.id = ANY (letters) AND d.run_id <> b.run_id;
END
$$;
COMMENT ON FUNCTION _ad_retry_letters(_ad_batch, bigint[]) IS 'scores the rows of dead letters and removes the letters of those that it could score, or that are gone';

CREATE FUNCTION ad_retry_dead_letters(job_name text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    max_rows constant integer := 1000;
    job anomaly_detection_jobs := _ad_find_job(job_name);
    config jsonb;
    rules jsonb;
    run anomaly_detection_runs;
    b _ad_batch;
    letters bigint[];
    figures record;
    last_letter bigint := 0;
    last_result bigint := _ad_last_result();
BEGIN
    PERFORM _ad_lock_job(job.id, false, true);
    SELECT * INTO job FROM anomaly_detection_jobs j WHERE j.id = job.id FOR UPDATE;
    IF job.id IS NULL OR NOT EXISTS (SELECT FROM anomaly_detection_dead_letters d WHERE d.job_id = job.id) THEN
        RETURN 0;
    END IF;
    config := _ad_check_job_config(job.configuration, job.kind);
    rules := _ad_alert_rules(config);
    b := _ad_prepare_batch(job, config || '{"dead_letter": true}', NULL);
    INSERT INTO anomaly_detection_runs (job_id, source_table, source_oid, model_id, model_created_at, where_clause, options, status)
    VALUES (job.id, job.source_table, b.source, (b.chosen).model_id, (b.chosen).created_at, config->>'where_clause', job.configuration, 'running')
    RETURNING * INTO run;
    b.run_id := run.id;
    b.base := 'TRUE';
    LOOP
        letters := ARRAY(SELECT d.id FROM anomaly_detection_dead_letters d
            WHERE d.job_id = job.id AND d.owner = job.owner AND d.id > last_letter AND d.source_table = job.source_table AND d.source_record_key ?& b.keys
            ORDER BY d.id LIMIT max_rows);
        EXIT WHEN cardinality(letters) = 0;
        last_letter := letters[cardinality(letters)];
        SELECT * INTO figures FROM _ad_retry_letters(b, letters);
        run.processed_records := run.processed_records + figures.records;
        run.skipped_records := run.skipped_records + figures.records - figures.scored;
        run.anomalies_found := run.anomalies_found + figures.anomalies;
        run.dead_letters := run.dead_letters + figures.dead;
    END LOOP;
    run.alerts := CASE WHEN rules IS NULL OR run.anomalies_found = 0 THEN 0 ELSE _ad_alert(job, run.id, run.model_id, rules, last_result) END;
    UPDATE anomaly_detection_runs r SET status = 'succeeded', finished_at = clock_timestamp(), batches = 1, processed_records = run.processed_records,
        skipped_records = run.skipped_records, anomalies_found = run.anomalies_found, dead_letters = run.dead_letters, alerts = run.alerts
    WHERE r.id = run.id;
    RETURN run.processed_records - run.skipped_records;
END
$$;
COMMENT ON FUNCTION ad_retry_dead_letters(text) IS
'scores the rows again that a job could not score, and removes the letters of those that it can score now, or that are gone; returns how many were scored';
