-- Views. With security_invoker, so that row-level security sees the user who asks.

CREATE VIEW ad_algorithms WITH (security_invoker = true) AS
SELECT a.name, a.family, a.summary, a.score_scale, a.takes_missing, a.takes_categories, a.takes_weights, a.random, a.scale,
       a.max_columns, a.parameters, a.paper
FROM jsonb_to_recordset(_ad_algorithms()) AS a(
    name text, family text, summary text, score_scale text, takes_missing boolean, takes_categories boolean,
    takes_weights boolean, random boolean, scale text, max_columns integer, parameters jsonb, paper text);
COMMENT ON VIEW ad_algorithms IS 'the algorithms, with the type, default, range and help of each parameter';

CREATE VIEW ad_model_versions WITH (security_invoker = true) AS
SELECT model_id, name, version, is_active, algorithm, source_table, feature_columns, parameters, preprocess,
       threshold, training_rows, size_bytes, aliases, owner, description, created_at
FROM model_registry;
COMMENT ON VIEW ad_model_versions IS 'every version of every model that you may use';

CREATE VIEW ad_models WITH (security_invoker = true) AS
SELECT name, model_id, version, algorithm, source_table, feature_columns,
       (threshold->>'threshold')::float8 AS threshold, training_rows, owner, description, created_at
FROM model_registry WHERE is_active;
COMMENT ON VIEW ad_models IS 'the active version of every model that you may use';

CREATE VIEW ad_results_flat WITH (security_invoker = true) AS
SELECT id, detection_timestamp, source_table, source_record_id, source_record_key, is_anomaly, anomaly_score,
       confidence, p_value, threshold, severity, model_id, algorithm, run_id, job_id,
       explanation->0->>'feature' AS top_feature,
       (explanation->0->>'contribution')::float8 AS top_contribution,
       explanation->0->>'value' AS top_value,
       explanation->0->>'expected' AS top_expected,
       explanation->0->>'direction' AS top_direction
FROM anomaly_detection_results;
COMMENT ON VIEW ad_results_flat IS 'results in plain columns, with the strongest reason of each explanation';

CREATE VIEW ad_recent_anomalies WITH (security_invoker = true) AS
SELECT id, detection_timestamp, source_table, source_record_id, source_record_key, anomaly_score, confidence,
       severity, model_id, features, explanation
FROM anomaly_detection_results
WHERE is_anomaly AND detection_timestamp > now() - interval '24 hours';
COMMENT ON VIEW ad_recent_anomalies IS 'anomalies of the last 24 hours';

CREATE VIEW ad_anomaly_rate_by_hour WITH (security_invoker = true) AS
SELECT date_trunc('hour', detection_timestamp) AS hour, source_table, model_id, count(*) AS records,
       count(*) FILTER (WHERE is_anomaly) AS anomalies, avg(is_anomaly::integer)::float8 AS anomaly_rate,
       avg(anomaly_score) AS average_score
FROM anomaly_detection_results
GROUP BY 1, 2, 3;
COMMENT ON VIEW ad_anomaly_rate_by_hour IS 'stored results and anomalies of each hour, by table and model';

CREATE VIEW ad_progress WITH (security_invoker = true) AS
SELECT id AS run_id, job_id, source_table, model_id, started_at, attempt, pid, processed_records, estimated_records,
       anomalies_found, batches,
       processed_records / nullif(extract(epoch FROM clock_timestamp() - started_at), 0)::float8 AS records_per_second,
       least(1, processed_records::float8 / nullif(estimated_records, 0)) AS fraction_done,
       greatest(estimated_records - processed_records, 0) AS remaining_records
FROM anomaly_detection_runs WHERE status = 'running';
COMMENT ON VIEW ad_progress IS 'detections that are running or were interrupted, as far as they have committed';

GRANT SELECT ON ad_algorithms, ad_model_versions, ad_models, ad_results_flat, ad_recent_anomalies,
    ad_anomaly_rate_by_hour, ad_progress TO PUBLIC;
