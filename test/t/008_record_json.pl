# record_json makes the bytes that to_jsonb makes of a record, whatever is in the record.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use Test::More;

my $node = start_node('record_json');
$node->safe_psql('postgres', 'CREATE EXTENSION boundary_test');

# Both get the same columns of the rows of a query; the comparison fails at the first other byte.
sub same
{
	my ($name, $rows, $query, %options) = @_;
	my $settings = join '', map { "SET $_;\n" } @{ $options{set} // [] };
	my $columns = $options{columns} // '{}';
	is(failure($node, "${settings}SELECT compare_record_json(\$query\$$query\$query\$, '$columns')"), $rows, $name);
	return;
}

sub list { return join ', ', map { "($_)" } @_; }

# Each value in a column between two others, so that its size moves what follows it.
sub same_values
{
	my ($name, $type, @values) = @_;
	my $rows = list(map { "$_\::$type" } @values, 'NULL');
	same($name, @values + 1, "SELECT 'x' AS a, value AS b, 1 AS c FROM (VALUES $rows) v(value)");
	return;
}

# Numbers

my @numbers = (0, '-0', 1, -1, 0.1, 0.5, 10, 100, 9999, 10000, 10001, 99990000, 0.0001, 0.00001, 123456789.125,
	999999999.999999, 1000000000, 1.000001, 0.0000001, 0.1234567, 12345.678901);
my @doubles = map { "'$_'" } @numbers,
	qw(1e-300 1e300 5e-324 2.2250738585072014e-308 1.7976931348623157e308 4.35 0.3 1e14 1e15 1e16 123456789012345
	999999999999999 9007199254740991 9007199254740992 9007199254740993 1.5e300 -1.5e-300 1e22 1e23 9e-63 1e-63 1e-64
	1e-65 1e252 1e255 1e256 1e257 9.5e255 NaN Infinity -Infinity);
same_values('float8', 'float8', @doubles);
same_values('float4', 'float4', map { "'$_'" } @numbers,
	qw(1e-45 1.1754944e-38 3.4028235e38 16777216 16777217 0.3 1e6 999999 1e-5 1e10 NaN Infinity -Infinity));
same_values('powers of ten', 'float8', map { ("'1e$_'", "'-7.25e$_'") } -322 .. 307);
same_values('smallint', 'int2', map { "'$_'" } 0, 1, -1, 9999, 10000, -10000, 32767, -32768);
same_values('integer', 'int4', map { "'$_'" } 0, 7, -7, 99999999, 100000000, 2147483647, -2147483648);
same_values('bigint', 'int8', map { "'$_'" } 0, 5, -5, '1000000000000', '1000000000000000000', '-10000000000000000',
	'9223372036854775807', '-9223372036854775808');
same_values('numeric', 'numeric', map { "'$_'" } @numbers, qw(NaN Infinity -Infinity 0.00 0.000 -0.000 1.500 100.00
	1e1000 1e-1000 1e63 1e252 1e255 1e256 1e259 -1e260 0.00000000001 1e-62 1e-63 1e-64), '0.' . '0' x 70,
	'9' x 300, '1' . '0' x 300, '0.' . '1' x 63, '0.' . '1' x 64, '-' . '9' x 100 . '.' . '9' x 50, '9' x 20000);

my $any_double = 'SELECT i, float8_of_bits(hashint8extended(i, 1)) AS a, float8_of_bits(hashint8extended(i, 2)) AS b';
same('any float8', 100000, "$any_double FROM generate_series(1, 100000) i");
same('float8 around powers of two', 6141, q(
	SELECT float8_of_bits((exponent << 52) + delta) AS a, -float8_of_bits((exponent << 52) + delta) AS b
	FROM generate_series(0, 2046::bigint) exponent, generate_series(-1, 1) delta));
same('subnormal float8', 52, 'SELECT float8_of_bits(1::bigint << i) AS a FROM generate_series(0, 51) i');
same('float8 with few fractional digits', 100000, q(
	SELECT i / 100.0::float8 AS a, i / 1e6::float8 AS b, -i * 1000.0::float8 AS c, i * 9973 / 1e4::float8 AS d,
		i + 1e9::float8 - 5e4::float8 + 0.000001 AS e, i / 1e7::float8 AS f, i::float8 AS g
	FROM generate_series(1::bigint, 100000) i));
same('any float4', 100000,
	'SELECT i, float4_of_bits(hashint8(i)) AS a, (i / 100.0)::float4 AS b FROM generate_series(1::bigint, 100000) i');
same('any bigint', 10000,
	'SELECT hashint8extended(i, 1) >> i::int % 64 AS a, hashint8(i) AS b FROM generate_series(1::bigint, 10000) i');
same('any numeric', 10000, q(
	SELECT round(hashint8extended(i, 1)::numeric / 10::numeric ^ (i % 25), (i % 40)::int) AS a,
		hashint8extended(i, 2)::numeric * 10::numeric ^ (i % 300) AS b
	FROM generate_series(1::bigint, 10000) i));

my $numbers = list(map { "$_\::float8" } @doubles);
for my $digits (-15, -3, 0, 1, 3)
{
	same("extra_float_digits = $digits", scalar @doubles, qq(
		SELECT value AS a, CASE WHEN abs(value) BETWEEN 1e-37 AND 1e38 THEN value::float4 END AS b
		FROM (VALUES $numbers) v(value)), set => ["extra_float_digits = $digits"]);
	same("any float8 and float4, extra_float_digits = $digits", 1000,
		"$any_double, float4_of_bits(hashint8(i)) AS c FROM generate_series(1::bigint, 1000) i",
		set => ["extra_float_digits = $digits"]);
}

# Text

my @texts = (q(''), q('a'), q('ab'), q('abc'), q('Größe €'), q(E'"quoted" \\\\ and \n\t\b\x7f'), q('{"a": 1}'), q('null'),
	q('1.50'), q(repeat('x', 126)), q(repeat('x', 127)), q(repeat('0123456789', 1000)));
same_values($_, $_, @texts) for 'text', 'varchar', 'name', 'char(20)', 'varchar(5)', '"char"', 'bpchar';
same('a literal', 1, q(SELECT 'x' AS a, NULL AS b));
same_values('boolean', 'boolean', 'true', 'false');

# Of other types

my @times = (q('epoch'), q('infinity'), q('-infinity'), q('2024-02-29 12:34:56.789'), q('0044-03-15 12:00:00 BC'),
	q('1900-01-01'), q('9999-12-31 23:59:59.999999'), q('20000-01-01'));
same_values($_, $_, @times) for 'date', 'timestamp', 'timestamptz';
same("timestamptz in $_", scalar @times, 'SELECT * FROM (VALUES ' . list(map { "$_\::timestamptz" } @times) . ') v',
	set => [ "TimeZone = '$_'", 'DateStyle = German', 'IntervalStyle = sql_standard' ]) for 'Asia/Kathmandu', 'America/St_Johns';
same_values('time', 'time', q('12:34:56.789'), q('24:00'));
same_values('timetz', 'timetz', q('12:34:56.789+05:45'));
same_values('interval', 'interval', q('1 year -2 days 03:04:05.6'));
same_values('uuid', 'uuid', q('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'));
same_values('bytea', 'bytea', q('\x00ff'), q(''));
same_values('inet', 'inet', q('10.0.0.1/8'));
same_values('oid', 'oid', 0, 4294967295);
same_values('range', 'int4range', q{'[1,5)'}, q{'empty'});

my @json = map { "'$_'" } '{}', '[]', 'null', 'true', 'false', '""', '"text"', '0', '1.50', '-1e-5', '1e300', '[1, [2, [3]]]',
	'{"b": 1, "aa": {"c": [null, 1.0, "x"]}, "a": []}', '{"a": 1, "a": 2}', '[[], {}, "", 0]';
same_values($_, $_, @json) for 'jsonb', 'json';
same_values('integer[]', 'int[]', map { "'$_'" } '{}', '{1}', '{1,NULL,3}', '{{1,2},{3,4}}', '[5:6]={1,2}');
same_values('text[]', 'text[]', map { "'$_'" } '{}', '{NULL}', '{a,"b c",""}');
same_values('float8[]', 'float8[]', map { "'$_'" } '{NaN,0.1,-0,1e300}');

$node->safe_psql('postgres', q(
	CREATE TYPE pair AS (x float8, "y z" text);
	CREATE TYPE mood AS ENUM ('sad', 'a longer word');
	CREATE TYPE shown AS ENUM ('object', 'number', 'text', 'null');
	CREATE FUNCTION as_json(shown) RETURNS json LANGUAGE sql AS
		$$SELECT (ARRAY['{"x": [1, {}]}', '1.50', '"text"', 'null'])[array_position(enum_range(NULL::shown), $1)]::json$$;
	CREATE CAST (shown AS json) WITH FUNCTION as_json(shown);
	CREATE DOMAIN double AS float8;
	CREATE DOMAIN amount AS numeric(10, 2) CHECK (VALUE >= 0);
	CREATE DOMAIN large_amount AS amount CHECK (VALUE > 100);
	CREATE DOMAIN words AS text[];
	CREATE DOMAIN lucky AS pair;
	CREATE DOMAIN moment AS timestamptz;
	CREATE DOMAIN shown_domain AS shown;));
same_values('composite', 'pair', q('(1.5,text)'), q('(,)'), q('(NaN,"")'));
same_values('array of composites', 'pair[]', q(ARRAY['(1,a)', '(2,b)']::pair[]));
same('records', 1, 'SELECT ROW() AS a, ROW(1, NULL, ROW(0.1, ARRAY[1.5])) AS b, 1 AS c');
same_values('enum', 'mood', q('sad'), q('a longer word'));
same_values($_, $_, q('object'), q('number'), q('text'), q('null')) for 'shown', 'shown_domain';
same_values('domain over float8', 'double', @doubles);
same_values('domain over numeric', 'amount', 1.5, 100, 0);
same_values('domain over a domain', 'large_amount', 123.4, 50000);
same_values('domain over an array', 'words', q('{a,b}'));
same_values('domain over a composite', 'lucky', q('(7,seven)'));
same_values('domain over timestamptz', 'moment', @times);

# Columns

same('no columns', 3, 'SELECT FROM generate_series(1, 3)');
same('no rows', 0, 'SELECT 1 AS a WHERE false');
same('all null', 1, 'SELECT NULL::float8 AS a, NULL::jsonb AS b, NULL::pair AS c, NULL AS d');
same('order of keys', 1, q(
	SELECT 1 AS b, 2 AS a, 3 AS aa, 4 AS "A", 5 AS "é", 6 AS "Z", 7 AS ab, 8 AS "a b", 9 AS "?column?", 10 AS "€", 11 AS "ß",
		12 AS "12345678901234567890123456789012345678901234567890123456789012x",
		13 AS "12345678901234567890123456789012345678901234567890123456789012a"));
same('equal names', 1, 'SELECT 1 AS a, 2.5 AS b, 3 AS a');
same('equal names, the last one null', 1, q(SELECT 1 AS a, 'x' AS b, NULL AS a, ARRAY[1] AS b, true AS b, 0 AS c));
same('some of the columns', 2, q(SELECT i AS a, i * 0.5 AS b, 'x' || i AS c, i > 1 AS d FROM generate_series(1, 2) i),
	columns => '{4,2,3}');
same('a column twice', 1, 'SELECT 1 AS a, 2 AS b', columns => '{2,1,2}');
same('nulls that come and go', 100, q(
	SELECT nullif(i % 2, 0) AS a, nullif(repeat('x', i % 7), '') AS bb, nullif(i % 3, 0)::float8 / 3 AS c,
		CASE WHEN i % 5 > 0 THEN ARRAY[i] END AS d FROM generate_series(1, 100) i));

my @kinds = (q(1.25::float8), q('text'), q(12345), q(NULL::int), q(true), q('[1, 2]'::jsonb), q(0.001), q('2024-01-01'::date));
for my $shift (0 .. 2)
{
	my @queries;
	my @counts = (1 .. 100, 500, 1600);
	for my $count (@counts)
	{
		my @columns = map { $kinds[ ($_ * $_ + $shift) % @kinds ] . ' AS c' . $_ * 7919 % 1601 } 1 .. $count;
		push @queries, 'SELECT compare_record_json($query$SELECT ' . join(', ', @columns) . '$query$);';
	}
	is(failure($node, join("\n", @queries)), join("\n", map { 1 } @counts), "1 to 1,600 columns, $shift");
}

# Rows as they are stored, with short headers, compressed and out of line

$node->safe_psql('postgres', q(
	CREATE TABLE stored (id int, short text, n numeric(10, 2), long numeric, compressed text, external text, gone int,
		list float8[], document jsonb, digits numeric);
	ALTER TABLE stored ALTER external SET STORAGE external, DROP gone;
	INSERT INTO stored
	SELECT i, 'x' || i, i / 7.0, i / 7.0 * 1e100, repeat('compressed ', 5000 * i), repeat(md5(i::text), 32768),
		ARRAY(SELECT j / 3.0 FROM generate_series(1, 5000) j),
		(SELECT jsonb_object_agg(j, md5(j::text)) FROM generate_series(1, 2000) j), ('1' || repeat('0', 100000))::numeric + i
	FROM generate_series(1, 3) i;));
same('stored rows', 3, 'TABLE stored');
same('a stored row as a column', 3, 'SELECT s, id AS a FROM stored s');

# What does not fit

$node->safe_psql('postgres', q(
	CREATE TABLE large AS SELECT repeat('x', 30000000) AS t));
is_failure($node, "SELECT compare_record_json('SELECT " . join(', ', map { "t AS c$_" } 1 .. 9) . " FROM large')",
	'54000|total size of jsonb object elements exceeds the maximum of 268435455 bytes|', 'a row that is too large');
is_failure($node, q(SELECT compare_record_json('SELECT repeat(''x'', 268435456) AS t')),
	'54000|string too long to represent as jsonb string|', 'a text that is too long');

# How long it takes

my $sines = 'SELECT ' . join(', ', map { "sin(i * $_.5) AS c$_" } 1 .. 10) . ' FROM generate_series(1, 20000) i';
my $cents = 'SELECT ' . join(', ', map { "i * $_ / 100.0::float8 AS c$_" } 1 .. 10) . ' FROM generate_series(1, 20000) i';
for my $case ([ '17 digits', $sines ], [ 'two fractional digits', $cents ])
{
	my ($name, $query) = @$case;
	note(sprintf "ten float8 of $name take %.2f us, and %.2f us by to_jsonb", split /\|/,
		$node->safe_psql('postgres', "SELECT time_record_json('$query', '{}', false), time_record_json('$query', '{}', true)"));
}
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'nothing crashed');

$node->stop;
done_testing();
