-- When jobs run.

CREATE FUNCTION _ad_next_run(schedule text, timezone text, after timestamptz) RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_next_run(text, text, timestamptz) IS 'the first run of a schedule after an instant';

CREATE FUNCTION ad_next_runs(cron_schedule text, timezone text DEFAULT NULL, n integer DEFAULT 5)
RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 5
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    run timestamptz := now();
BEGIN
    IF n IS NULL OR n NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'n must be between 1 and 10000, not %', coalesce(n::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'It is the number of runs to show.';
    END IF;
    IF cron_schedule IS NULL THEN
        RAISE EXCEPTION 'cron_schedule must not be null'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'For example: ''*/5 * * * *'', ''@daily'' or ''30 seconds''.';
    END IF;
    FOR i IN 1..n LOOP
        run := _ad_next_run(cron_schedule, timezone, run);
        RETURN NEXT run;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ad_next_runs(text, text, integer) IS
'the next runs of a schedule: cron, a word such as @daily, or an interval such as 30 seconds';
