CREATE FUNCTION live_objects() RETURNS bigint
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION live_objects() IS 'C++ objects that exist in any process of the server, or were lost in one';

CREATE FUNCTION made_objects() RETURNS bigint
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION made_objects() IS 'C++ objects that were ever made, in any process of the server';

CREATE FUNCTION fail(how text) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION fail(text) IS 'throws, below frames with live objects';

CREATE FUNCTION work(milliseconds integer) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION work(integer) IS 'C++ code that polls for so long, below frames with live objects';

CREATE FUNCTION keep(how text) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION keep(text) IS
'makes an object that its memory context owns, and one more in a maker that does what fail(how) does';

CREATE FUNCTION call(query text, how text) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION call(text, text) IS 'runs a query between two calls of C++; the last one does what fail(how) does';

CREATE FUNCTION guard(calls integer) RETURNS float8
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION guard(integer) IS 'nanoseconds that one guarded call takes';

CREATE FUNCTION compare_record_json(query text, columns integer[] DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION compare_record_json(text, integer[]) IS
'how many rows a query has, all of which record_json makes the bytes of to_jsonb of, from all columns or those numbered';

CREATE FUNCTION time_record_json(query text, columns integer[], reference boolean) RETURNS float8
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION time_record_json(text, integer[], boolean) IS
'microseconds that record_json, or else to_jsonb of a record, takes for a row of a query';

CREATE FUNCTION float8_of_bits(bits bigint) RETURNS float8
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION float8_of_bits(bigint) IS 'any float8 there is';

CREATE FUNCTION float4_of_bits(bits integer) RETURNS float4
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION float4_of_bits(integer) IS 'any float4 there is';
