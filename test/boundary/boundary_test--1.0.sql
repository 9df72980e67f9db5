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
