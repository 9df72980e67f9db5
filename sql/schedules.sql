-- When jobs run: schedules in the time zones of the server.
CREATE SCHEMA schedules;
SET search_path = schedules, public;
SET client_min_messages = warning;
SET datestyle = 'ISO';
SET timezone = 'UTC';
\pset format unaligned
\pset tuples_only on

-- n runs after an instant, each as it is on the clock of its zone
CREATE FUNCTION runs(schedule text, zone text, after timestamptz, n int) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        after := _ad_next_run(schedule, zone, after);
        PERFORM set_config('TimeZone', zone, true);
        RETURN NEXT to_char(after, 'Dy YYYY-MM-DD HH24:MI:SS TZH:TZM');
    END LOOP;
    SET LOCAL timezone = 'UTC';
END
$$;

-- Cron, words, intervals. 2024-02-29 is a Thursday.
SELECT s, array_agg(r) FROM unnest(ARRAY['*/20 * * * *', '30 2 * * MON-FRI', '0 0 L * *', '0 6 * * 5L', '0 0 13 * FRI', '@hourly', '@weekly',
    '@yearly', '30 seconds', '5 minutes', '2 hours', '0 0 29 FEB *']) s, runs(s, 'UTC', '2024-02-29 12:00', 3) r GROUP BY s ORDER BY s COLLATE "C";

-- Daylight saving: what is skipped runs once at the end of the gap, what is repeated the first time.
SELECT * FROM runs('30 2 * * *', 'Europe/Berlin', '2024-03-29 12:00', 3);
SELECT * FROM runs('30 2 * * *', 'Europe/Berlin', '2024-10-25 12:00', 3);
SELECT * FROM runs('15 2 * * *', 'Australia/Lord_Howe', '2024-10-05', 2);
SELECT * FROM runs('0 12 * * *', 'Pacific/Apia', '2011-12-29', 3);
SELECT * FROM runs('0 9 * * *', 'Asia/Kathmandu', '2024-01-01', 1);
-- An interval does not stop for it.
SELECT * FROM runs('1 hour', 'Europe/Berlin', '2024-10-26 23:00', 3);
-- Strictly after, to the microsecond.
SELECT _ad_next_run('0 9 * * *', 'UTC', t) FROM unnest(ARRAY['2024-01-01 08:59:59.999999', '2024-01-01 09:00', '1999-12-31 08:59:59.999999']::timestamptz[]) t;

-- The server's own arithmetic says when the clock on the wall of a zone first shows 02:30 or later, day by day:
-- those and no other instants are the runs of a daily schedule. The zones' rules reach into any future.
CREATE FUNCTION daily(zone text, years tstzrange) RETURNS SETOF timestamptz LANGUAGE sql AS $$
    WITH RECURSIVE r(run) AS (SELECT _ad_next_run('30 2 * * *', zone, lower(years))
                              UNION ALL SELECT _ad_next_run('30 2 * * *', zone, run) FROM r WHERE run < upper(years))
    SELECT run FROM r WHERE run < upper(years)
$$;
CREATE FUNCTION daily_of_server(zone text, years tstzrange) RETURNS SETOF timestamptz LANGUAGE sql AS $$
    SELECT min(t) FROM generate_series(lower(years) - interval '2 days', upper(years), '15 minutes') t
    GROUP BY (t AT TIME ZONE zone - interval '2:30')::date HAVING min(t) > lower(years) AND min(t) < upper(years) ORDER BY 1
$$;
SELECT zone, lower(years)::date, count(ours) AS runs, count(*) FILTER (WHERE ours IS DISTINCT FROM theirs) AS differences
FROM unnest(ARRAY['Europe/Berlin', 'Australia/Lord_Howe', 'Pacific/Chatham', 'Pacific/Apia', 'Africa/Casablanca', '<+03:30>-03:30']) zone,
     unnest(ARRAY['[2011-01-01,2012-01-01)', '[2024-01-01,2025-01-01)', '[2438-01-01,2439-01-01)']::tstzrange[]) years,
     ROWS FROM (daily(zone, years), daily_of_server(zone, years)) r(ours, theirs)
GROUP BY zone, years ORDER BY zone COLLATE "C", years;

-- ad_next_runs begins now. Its zone is the argument, else anomaly_detect.timezone, else TimeZone.
SELECT count(*), min(r) > now(), max(r) <= now() + interval '5 minutes' FROM ad_next_runs('* * * * *') r;
SELECT count(*), bool_and(extract(second FROM r)::int % 20 = 0) FROM ad_next_runs('20 seconds', n => 100) r;
SET timezone = 'Asia/Kolkata';
SELECT DISTINCT to_char(r, 'HH24:MI TZH:TZM') FROM ad_next_runs('0 9 * * *') r;
SET anomaly_detect.timezone = 'Asia/Tokyo';
SELECT DISTINCT to_char(r, 'HH24:MI TZH:TZM') FROM ad_next_runs('0 9 * * *') r;
SELECT DISTINCT to_char(r, 'HH24:MI TZH:TZM') FROM ad_next_runs('0 9 * * *', 'UTC') r;
-- What SET TIME ZONE makes of an offset is a name of a zone, too.
RESET anomaly_detect.timezone;
SET TIME ZONE -3.5;
SELECT current_setting('TimeZone'), to_char(r, 'HH24:MI TZH:TZM') FROM ad_next_runs('0 9 * * *', n => 1) r;
SELECT to_char(r, 'HH24:MI TZH:TZM') FROM ad_next_runs('0 9 * * *', current_setting('TimeZone'), 1) r;
SET timezone = 'UTC';

-- The border of what a timestamp can be
SELECT _ad_next_run('0 0 29 2 *', 'UTC', '294272-03-01'), _ad_next_run('0 0 1 1 *', 'Asia/Kolkata', '4713-01-01 BC');

-- Bad input: SQLSTATE, message, hint
CREATE FUNCTION fails(statement text, OUT result text) LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    EXECUTE statement;
    result := 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    result := state || ': ' || message || coalesce(E'\nDETAIL: ' || nullif(detail, ''), '') || coalesce(E'\nHINT: ' || nullif(hint, ''), '');
END
$$;
SELECT fails(format('SELECT ad_next_runs(%L)', s)) FROM unnest(ARRAY['60 * * * *', '0 24 * * *', '0 0 0 * *', '0 0 * 13 *', '0 0 * * MO',
    '*/0 * * * *', '5/15 * * * *', '0 17-9 * * *', '0 0 30 2 *', '0 * * * * *', '@reboot', '5 mins', '25 hours', '', NULL]) s;
SELECT fails(format('SELECT ad_next_runs(%L, %L)', '@daily', z)) FROM unnest(ARRAY['Europe/Berlim', 'PST', '', repeat('x', 300)]) z;
SELECT fails(format('SELECT ad_next_runs(%L, n => %L)', '@daily', n)) FROM unnest(ARRAY[0, 10001, NULL]) n;
SELECT fails(format('SELECT _ad_next_run(%L, %L, %L)', '0 0 29 2 *', 'UTC', t)) FROM unnest(ARRAY['infinity', '-infinity', NULL, '294276-12-01']) t;
SELECT fails('SET anomaly_detect.timezone = ' || quote_literal(z)) FROM unnest(ARRAY['Europe/Berlim', 'PST', 'Europe/Berlin', '']) z;
