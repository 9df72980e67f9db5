-- The two primitives, fitting and scoring, and the small helpers in C.

CREATE FUNCTION _ad_fit_transition(internal, jsonb, VARIADIC "any") RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION _ad_fit_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION _ad_fit_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION _ad_fit_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION _ad_fit_final(internal) RETURNS bytea
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_fit_transition(internal, jsonb, "any") IS 'part of ad_fit';
COMMENT ON FUNCTION _ad_fit_combine(internal, internal) IS 'part of ad_fit';
COMMENT ON FUNCTION _ad_fit_serialize(internal) IS 'part of ad_fit';
COMMENT ON FUNCTION _ad_fit_deserialize(bytea, internal) IS 'part of ad_fit';
COMMENT ON FUNCTION _ad_fit_final(internal) IS 'part of ad_fit';

CREATE AGGREGATE ad_fit(parameters jsonb, VARIADIC "any") (
    SFUNC = _ad_fit_transition,
    STYPE = internal,
    SSPACE = 4194304,
    COMBINEFUNC = _ad_fit_combine,
    SERIALFUNC = _ad_fit_serialize,
    DESERIALFUNC = _ad_fit_deserialize,
    FINALFUNC = _ad_fit_final,
    FINALFUNC_MODIFY = SHAREABLE,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE ad_fit(jsonb, "any") IS
'learns a model from columns, or from the columns of a row, and returns its bytes';

CREATE TYPE ad_prediction AS (
    is_anomaly boolean,
    anomaly_score float8,
    confidence float8,
    p_value float8,
    threshold float8
);
COMMENT ON TYPE ad_prediction IS 'the verdict of a model on a row, as ad_predict returns it';

CREATE FUNCTION ad_score(model text, VARIADIC "any") RETURNS float8
LANGUAGE c STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ad_score(text, "any") IS
'anomaly score of one row, given as values, as a row or as a jsonb object; higher is stranger';

CREATE FUNCTION ad_is_anomaly(model text, VARIADIC "any") RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ad_is_anomaly(text, "any") IS 'whether the score of a row reaches the threshold of the model';

CREATE FUNCTION ad_predict(model text, VARIADIC "any") RETURNS ad_prediction
LANGUAGE c STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ad_predict(text, "any") IS 'score, p-value, confidence and verdict for one row';

CREATE FUNCTION ad_explain(model text, VARIADIC "any") RETURNS jsonb
LANGUAGE c STABLE PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ad_explain(text, "any") IS 'what each feature contributes to the score of one row, largest first';

CREATE FUNCTION _ad_algorithms() RETURNS jsonb
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_algorithms() IS 'the registry behind the view ad_algorithms';

CREATE FUNCTION _ad_feature_kind(type oid) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_feature_kind(oid) IS 'the kind of feature that a type makes; null if it cannot be one';

CREATE FUNCTION _ad_check_condition(where_clause text) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_check_condition(text) IS 'the clause in parentheses; an error if it is not one expression';

CREATE FUNCTION _ad_describe(model bytea) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_describe(bytea) IS 'what the bytes of a model say about it';

CREATE FUNCTION _ad_training_cost(
    parameters jsonb, model bytea, row_count bigint, OUT sample bigint, OUT sample_bytes bigint, OUT detector_bytes bigint, OUT steps float8
)
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_training_cost(jsonb, bytea, bigint) IS
'estimated rows of the sample and most memory of a training with the features of a model, and its usual steps, to which time is proportional (a fit that ends early takes fewer); an error where the training would be refused';

CREATE FUNCTION _ad_fit_seconds() RETURNS float8
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_fit_seconds() IS 'how long the last fit of this session took, without the reading of its rows';

CREATE FUNCTION _ad_inputs(model_id text) RETURNS text[]
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_inputs(text) IS
'the columns that a model takes, in the order of ad_score: its features, then its partition columns';

CREATE FUNCTION _ad_entity_key(VARIADIC "any") RETURNS bytea
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_entity_key("any") IS
'the entity that values of partition columns name, as scoring tells them apart; null if one is missing';

CREATE FUNCTION _ad_join_entities(fallback bytea, query text) RETURNS bytea
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_join_entities(bytea, text) IS
'a partitioned model of one for all rows and those that a query returns, each behind the key of its entity';

CREATE FUNCTION _ad_fit_array(parameters jsonb, data float8[]) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_fit_array(jsonb, float8[]) IS 'ad_fit over the rows of a two-dimensional array';

CREATE FUNCTION _ad_predict_array(model bytea, data float8[], explain boolean)
RETURNS TABLE (index integer, is_anomaly boolean, anomaly_score float8, confidence float8, explanation jsonb)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_predict_array(bytea, float8[], boolean) IS 'scores the rows of a two-dimensional array';

CREATE FUNCTION _ad_setting(name text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION _ad_setting(text) IS 'a setting of the extension, also in a session that has not loaded it yet';

