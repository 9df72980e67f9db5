\echo
\echo '== The data: readings of three machines, and the faults put into them (which no model sees)'
SELECT machine, count(*) AS readings, min(ts)::date AS since, max(ts)::date AS until,
       round(avg(temperature)::numeric, 1) AS temperature, round(avg(humidity)::numeric, 1) AS humidity,
       round(avg(pressure)::numeric, 2) AS pressure, round(avg(vibration)::numeric, 2) AS vibration,
       count(*) FILTER (WHERE num_nulls(temperature, humidity, pressure, vibration) > 0) AS with_nulls,
       count(fault) AS faulty
FROM sensor_readings LEFT JOIN sensor_truth USING (id)
GROUP BY machine ORDER BY machine;

\echo '== Train an isolation forest on four columns'
\set ECHO queries
SELECT ad_train('sensor_readings', '{temperature,humidity,pressure,vibration}', 'sensors',
                parameters => '{"contamination": 0.01, "max_samples": 2048}');

\set ECHO none
\echo '== Score rows, wherever an expression may stand: higher is stranger'
\set ECHO queries
SELECT id, temperature, humidity, pressure, vibration,
       ad_score('sensors', temperature, humidity, pressure, vibration),
       ad_is_anomaly('sensors', temperature, humidity, pressure, vibration)
FROM sensor_readings WHERE id IN (100, 8701, 8702, 13505, 29456) ORDER BY ad_score DESC;

\set ECHO none
\echo '== Detect: score the table and store what was found, in one transaction'
\set ECHO queries
SELECT key, value FROM jsonb_each(
    ad_detect('sensor_readings', model_id => 'sensors',
              options => '{"store": "anomalies", "explain": true}') - 'batch_results');

\set ECHO none
\echo '== The ten strangest rows, and why'
\set ECHO queries
SELECT r.source_record_id AS id, s.machine, to_char(s.ts, 'Mon DD HH24:MI') AS at,
       round(r.anomaly_score::numeric, 3) AS score, r.p_value::numeric(6, 5), w.reason, t.fault AS truth
FROM anomaly_detection_results r
JOIN sensor_readings s ON s.id = r.source_record_id
LEFT JOIN sensor_truth t ON t.id = r.source_record_id
CROSS JOIN LATERAL (
    SELECT string_agg(format('%s is %s, expected %s', e.feature, coalesce(e.value, 'missing'), e.expected),
                      '; ' ORDER BY e.contribution DESC) AS reason
    FROM jsonb_to_recordset(r.explanation)
         AS e(feature text, value text, expected text, contribution float8)
    WHERE e.contribution > 0.1) w
WHERE r.is_anomaly
ORDER BY r.anomaly_score DESC, id LIMIT 10;

\set ECHO none
\echo '== Against the truth'
SELECT count(*) FILTER (WHERE found) AS found, count(fault) AS faulty,
       count(*) FILTER (WHERE found AND fault IS NOT NULL) AS both,
       round(avg((fault IS NOT NULL)::int) FILTER (WHERE found), 3) AS precision,
       round(avg(found::int) FILTER (WHERE fault IS NOT NULL), 3) AS recall
FROM (SELECT t.fault, r.id IS NOT NULL AS found
      FROM sensor_readings s
      LEFT JOIN sensor_truth t ON t.id = s.id
      LEFT JOIN anomaly_detection_results r ON r.source_record_id = s.id AND r.is_anomaly) x;

SELECT t.fault, count(*) AS readings, count(r.id) AS found, round(count(r.id)::numeric / count(*), 3) AS recall
FROM sensor_truth t LEFT JOIN anomaly_detection_results r ON r.source_record_id = t.id AND r.is_anomaly
GROUP BY t.fault ORDER BY recall DESC;
