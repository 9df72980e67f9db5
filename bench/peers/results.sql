-- Where the peers store their verdicts: the columns and indexes of anomaly_detection_results that
-- the usual service has.
CREATE TABLE peer_results (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_table text NOT NULL,
    source_record_id bigint,
    detection_timestamp timestamptz NOT NULL DEFAULT now(),
    is_anomaly boolean NOT NULL,
    anomaly_score float8 NOT NULL,
    confidence float8 NOT NULL,
    model_id text NOT NULL,
    algorithm text NOT NULL,
    features jsonb
);
CREATE INDEX ON peer_results (detection_timestamp);
CREATE INDEX ON peer_results (source_table, source_record_id);
