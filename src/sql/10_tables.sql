-- Tables. Every row has an owner, and row-level security shows it to that role, to its members and
-- to the members of anomaly_detect.admin_role. Names are resolved when this script runs, in the
-- schema of the extension.

CREATE FUNCTION _ad_may_see(owner oid) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_may_see(oid) IS
'whether the current user has the privileges of a role or of anomaly_detect.admin_role';

CREATE TABLE model_registry (
    model_id text PRIMARY KEY,
    name text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 100 AND strpos(name, '@') = 0),
    algorithm text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    source_table text,
    feature_columns text[] NOT NULL,
    parameters jsonb NOT NULL,
    performance_metrics jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_active boolean NOT NULL,
    description text,
    owner regrole NOT NULL DEFAULT current_user::regrole,
    status text NOT NULL DEFAULT 'ready',
    aliases text[] NOT NULL DEFAULT '{}',
    preprocess jsonb NOT NULL,
    threshold jsonb NOT NULL,
    training_rows bigint NOT NULL,
    random_seed bigint NOT NULL,
    format_version integer NOT NULL,
    size_bytes bigint NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    UNIQUE (name, version),
    CHECK (model_id = name || '@' || version),
    CHECK (array_to_string(aliases, ' ') !~ '(^| )[0-9]')
);
CREATE UNIQUE INDEX model_registry_active ON model_registry (name) WHERE is_active;
COMMENT ON TABLE model_registry IS 'one row for each version of each model; versions are immutable';
COMMENT ON COLUMN model_registry.model_id IS 'name@version, the name of this version in every table';
COMMENT ON COLUMN model_registry.threshold IS 'how the threshold was chosen and the score that it is';
COMMENT ON COLUMN model_registry.training_rows IS 'rows of the source that training read';

-- No foreign keys between these tables: they exist before pg_restore --jobs fills them, in any order.
CREATE TABLE model_artifacts (
    model_id text PRIMARY KEY,
    data bytea NOT NULL
);
ALTER TABLE model_artifacts ALTER data SET STORAGE EXTERNAL;
COMMENT ON TABLE model_artifacts IS 'the bytes of each model version';

CREATE TABLE model_feature_stats (
    model_id text NOT NULL,
    feature text NOT NULL,
    position integer NOT NULL,
    kind text NOT NULL,
    missing_fraction float8 NOT NULL,
    mean float8,
    stddev float8,
    quantiles float8[] NOT NULL,
    categories jsonb NOT NULL,
    PRIMARY KEY (model_id, position)
);
COMMENT ON TABLE model_feature_stats IS 'what the training rows said about each feature: the baseline for drift';
COMMENT ON COLUMN model_feature_stats.quantiles IS 'of the training values: minimum, 5 %, 10 % ... maximum';
COMMENT ON COLUMN model_feature_stats.categories IS 'most frequent categories with their counts in the sample';

CREATE TABLE anomaly_detection_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint,
    source_table text NOT NULL,
    model_id text NOT NULL,
    source_oid oid,
    model_created_at timestamptz,
    where_clause text,
    options jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL CHECK (status IN ('running', 'succeeded', 'failed')),
    attempt integer NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    estimated_records bigint,
    processed_records bigint NOT NULL DEFAULT 0,
    skipped_records bigint NOT NULL DEFAULT 0,
    anomalies_found bigint NOT NULL DEFAULT 0,
    batches integer NOT NULL DEFAULT 0,
    watermark_from text,
    watermark_to text,
    last_key text[],
    error text,
    sqlstate text,
    pid integer NOT NULL DEFAULT pg_backend_pid(),
    owner regrole NOT NULL DEFAULT current_user::regrole,
    scheduled_for timestamptz,
    late_records bigint NOT NULL DEFAULT 0,
    dead_letters bigint NOT NULL DEFAULT 0,
    alerts bigint NOT NULL DEFAULT 0
);
CREATE INDEX anomaly_detection_runs_job ON anomaly_detection_runs (job_id, id) WHERE job_id IS NOT NULL;
COMMENT ON TABLE anomaly_detection_runs IS 'one row for each detection, ad hoc or scheduled';
COMMENT ON COLUMN anomaly_detection_runs.late_records IS
'rows of a job that came behind its watermark, whether or not they were scored';
COMMENT ON COLUMN anomaly_detection_runs.source_oid IS
'with model_created_at: an interrupted run is not resumed on another table or model that has taken the name';
COMMENT ON COLUMN anomaly_detection_runs.last_key IS 'record key up to which ad_detect_batches has committed';
COMMENT ON COLUMN anomaly_detection_runs.skipped_records IS 'rows that the model rejects because a value is missing';

CREATE TABLE anomaly_detection_results (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_table text NOT NULL,
    source_record_id bigint,
    detection_timestamp timestamptz NOT NULL DEFAULT now(),
    is_anomaly boolean NOT NULL,
    anomaly_score float8 NOT NULL,
    confidence float8 NOT NULL,
    model_id text NOT NULL,
    algorithm text NOT NULL,
    features jsonb,
    raw_data jsonb,
    metadata jsonb,
    source_record_key jsonb NOT NULL,
    run_id bigint NOT NULL,
    job_id bigint,
    p_value float8 NOT NULL,
    threshold float8 NOT NULL,
    severity text,
    explanation jsonb,
    owner regrole NOT NULL DEFAULT current_user::regrole
);
CREATE INDEX idx_anomaly_results_timestamp ON anomaly_detection_results (detection_timestamp);
CREATE INDEX idx_anomaly_results_source ON anomaly_detection_results (source_table, source_record_id);
CREATE INDEX idx_anomaly_results_run ON anomaly_detection_results USING brin (run_id);
COMMENT ON TABLE anomaly_detection_results IS 'one row for each stored verdict';
COMMENT ON COLUMN anomaly_detection_results.source_record_id IS 'the record key, where it is one integer column';
COMMENT ON COLUMN anomaly_detection_results.source_record_key IS 'the record key as an object: {"column": value, ...}';
COMMENT ON COLUMN anomaly_detection_results.severity IS
'of an anomaly: high (confidence from 0.999), medium (from 0.99), low';

ALTER TABLE model_registry ENABLE ROW LEVEL SECURITY;
ALTER TABLE model_artifacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE model_feature_stats ENABLE ROW LEVEL SECURITY;
ALTER TABLE anomaly_detection_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE anomaly_detection_results ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_access ON model_registry USING (_ad_may_see(owner));
CREATE POLICY owner_access ON model_artifacts
    USING (EXISTS (SELECT FROM model_registry r WHERE r.model_id = model_artifacts.model_id));
CREATE POLICY owner_access ON model_feature_stats
    USING (EXISTS (SELECT FROM model_registry r WHERE r.model_id = model_feature_stats.model_id));
CREATE POLICY owner_access ON anomaly_detection_runs USING (_ad_may_see(owner));
CREATE POLICY owner_access ON anomaly_detection_results USING (_ad_may_see(owner));

-- The policies look at one row only.
CREATE FUNCTION _ad_lock_name(name text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('anomaly_detect model ' || name, 0))
$$;
COMMENT ON FUNCTION _ad_lock_name(text) IS
'serialises changes to the versions of a model name until the end of the transaction';
CREATE FUNCTION _ad_check_version() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_check_version() IS
'refuses a version whose name another role uses, or whose alias another version has';
CREATE TRIGGER check_version BEFORE INSERT OR UPDATE OF aliases ON model_registry
    FOR EACH ROW EXECUTE FUNCTION _ad_check_version();

-- What makes a version is never updated.
GRANT SELECT, INSERT, DELETE ON model_registry TO PUBLIC;
GRANT UPDATE (performance_metrics, updated_at, is_active, description, status, aliases, metadata)
    ON model_registry TO PUBLIC;
GRANT SELECT, INSERT, DELETE ON model_artifacts, model_feature_stats TO PUBLIC;
GRANT SELECT, DELETE ON anomaly_detection_runs TO PUBLIC;
GRANT UPDATE (source_table, model_id, source_oid, model_created_at, where_clause, options, status, attempt, started_at, finished_at,
    estimated_records, processed_records, skipped_records, anomalies_found, batches, watermark_from, watermark_to, last_key, error,
    sqlstate, pid, scheduled_for, late_records, dead_letters, alerts)
    ON anomaly_detection_runs TO PUBLIC;
GRANT SELECT, DELETE ON anomaly_detection_results TO PUBLIC;
-- INSERT is granted with the tables of jobs

SELECT pg_extension_config_dump('model_registry', '');
SELECT pg_extension_config_dump('model_artifacts', '');
SELECT pg_extension_config_dump('model_feature_stats', '');
SELECT pg_extension_config_dump('anomaly_detection_runs', '');
SELECT pg_extension_config_dump('anomaly_detection_runs_id_seq', '');
SELECT pg_extension_config_dump('anomaly_detection_results', '');
SELECT pg_extension_config_dump('anomaly_detection_results_id_seq', '');

