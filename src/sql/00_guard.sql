\echo Use "CREATE EXTENSION anomaly_detect" to load this file. \quit

-- Names that an application may well have used before.
DO $$
DECLARE
    taken text;
BEGIN
    SELECT string_agg(format('"%s"', relname), ', ' ORDER BY relname) INTO taken
    FROM pg_class
    WHERE relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = current_schema())
      AND relname IN ('model_registry', 'model_artifacts', 'model_feature_stats',
                      'anomaly_detection_runs', 'anomaly_detection_results', 'anomaly_detection_jobs',
                      'anomaly_detection_dead_letters', 'anomaly_detection_alerts', 'anomaly_detection_outbox');
    IF taken IS NOT NULL THEN
        RAISE EXCEPTION 'schema "%" has relations of the same name: %', current_schema(), taken
            USING ERRCODE = 'duplicate_table',
                  HINT = 'Install into a schema of its own: CREATE EXTENSION anomaly_detect SCHEMA ...';
    END IF;
END
$$;

