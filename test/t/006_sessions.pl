# What a session keeps: a cached model serves only whom it belongs to, in any encoding, for as long
# as it is the one that its name means.

use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use Encode qw(encode_utf8 decode_utf8);
use PostgreSQL::Test::Utils;
use Test::More;

$ENV{PGCLIENTENCODING} = 'UTF8';
my $node = start_node('sessions', []);
my $error_of = q(
	CREATE FUNCTION pg_temp.error_of(query text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE answer text;
	BEGIN
		EXECUTE query INTO answer;
		RETURN answer;
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END $$;);

# The answers of one session, one a line.
sub session
{
	my ($script, $database) = @_;
	my ($out, $err);
	$node->psql($database // 'postgres', encode_utf8($script), stdout => \$out, stderr => \$err, on_error_stop => 0);
	return decode_utf8($err =~ /ERROR|FATAL|server closed/ ? "$out\n$err" : $out);
}

# The extension comes, goes and comes again, while the module stays loaded.

my $train = q(SELECT ad_train_data((SELECT array_agg(ARRAY[i * %d]::float8[]) FROM generate_series(1, 100) i), ARRAY['x'], 'm', 'mad'););
my $score = q(SELECT round(ad_score('m', 5000.0)::numeric, 2););
my $life = join("\n", 'SET client_min_messages = warning;', $error_of,
	'CREATE EXTENSION anomaly_detect;', sprintf($train, 1), $score,
	'DROP EXTENSION anomaly_detect;', 'CREATE EXTENSION anomaly_detect;',
	q(SELECT pg_temp.error_of($$SELECT ad_score('m', 5000.0)$$);), sprintf($train, 1000), $score,
	'DROP EXTENSION anomaly_detect;', 'CREATE SCHEMA other;', 'CREATE EXTENSION anomaly_detect SCHEMA other;',
	'SET search_path = other;', q(SELECT pg_temp.error_of($$SELECT ad_score('m', 5000.0)$$);), sprintf($train, 100), $score,
	'DROP EXTENSION anomaly_detect;', 'DROP SCHEMA other;');
my @answers = split /\n/, session($life);
is(scalar @answers, 8, 'the extension comes, goes and comes again in one session') or diag(join("\n", @answers));
is($answers[2] . $answers[5], '4270442704', 'a model of the old extension is unknown to the new one');
my %different = map { $_ => 1 } @answers[ 1, 4, 7 ];
is(scalar keys %different, 3, 'models of the same name and version are told apart');
note("scores: @answers[1, 4, 7]");

# A function that goes on while models change.

$node->safe_psql('postgres', 'CREATE EXTENSION anomaly_detect');
$node->safe_psql('postgres', sprintf($train, $_)) for (1, 10, 100);
my $version = q(CASE WHEN ad_score('m', x) = ad_score('m@1', x) THEN 1 WHEN ad_score('m', x) = ad_score('m@2', x) THEN 2
	WHEN ad_score('m', x) = ad_score('m@3', x) THEN 3 END);
is(session(qq(
	CREATE FUNCTION pg_temp.follow() RETURNS text LANGUAGE plpgsql AS \$\$
	DECLARE x float8 := 5000; seen text := '';
	BEGIN
		FOR i IN 1 .. 3 LOOP
			PERFORM ad_activate('m\@' || i);
			seen := seen || $version;
			BEGIN
				PERFORM ad_activate('m\@' || i % 3 + 1);
				seen := seen || $version;
				RAISE division_by_zero;
			EXCEPTION WHEN division_by_zero THEN
				seen := seen || 'x';
			END;
			seen := seen || $version;
		END LOOP;
		RETURN seen;
	END \$\$;
	SELECT pg_temp.follow();
	SELECT pg_temp.follow();)), "12x123x231x3\n12x123x231x3", 'PL/pgSQL follows activations');
is(session(qq(
	CREATE FUNCTION pg_temp.version(x float8) RETURNS integer LANGUAGE plpgsql AS \$\$ BEGIN RETURN $version; END \$\$;
	CREATE FUNCTION pg_temp.follow() RETURNS text LANGUAGE plpgsql AS \$\$
	DECLARE seen text := '';
	BEGIN
		FOR i IN 1 .. 3 LOOP
			BEGIN
				PERFORM ad_activate('m\@' || i);
				seen := seen || pg_temp.version(5000);
				RAISE division_by_zero;
			EXCEPTION WHEN division_by_zero THEN
				seen := seen || pg_temp.version(5000);
			END;
		END LOOP;
		RETURN seen;
	END \$\$;
	SELECT pg_temp.follow();)), '132333', 'one expression follows activations that are rolled back');
is(session(qq(
	CREATE PROCEDURE pg_temp.follow(INOUT seen text) LANGUAGE plpgsql AS \$\$
	DECLARE x float8 := 5000;
	BEGIN
		FOR i IN 1 .. 3 LOOP
			PERFORM ad_activate('m\@' || i);
			COMMIT;
			seen := seen || $version;
		END LOOP;
		FOR i IN 1 .. 3 LOOP
			PERFORM ad_activate('m\@' || i);
			seen := seen || $version;
			ROLLBACK;
			seen := seen || $version;
		END LOOP;
	END \$\$;
	CALL pg_temp.follow('');)), '123132333', 'a procedure follows activations that it commits or rolls back');

# The cache is the session's, but the rights are the role's.

$node->safe_psql('postgres', q(CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE friend IN ROLE alice; GRANT CREATE ON SCHEMA public TO alice;));
my $secret = q(SELECT ad_train_data(ARRAY[[1],[2],[3],[4],[5]]::float8[], ARRAY['x'], 'secret', 'mad');
	SELECT ad_score('secret', 9.0) > 0;);
my $use = q(SELECT pg_temp.error_of($$SELECT ad_score('secret', 9.0) > 0$$) || ' ' || pg_temp.error_of($$SELECT ad_score('secret@1', 9.0) > 0$$););
my $blocked = '42704 42704';
is(session(qq($error_of
	SET ROLE alice; $secret
	SET ROLE bob; $use
	SET ROLE friend; $use
	RESET ROLE; $use
	SET ROLE bob; $use
	DISCARD ALL; $error_of $use
	SET ROLE bob; $use
	SET SESSION AUTHORIZATION alice; $use
	SET SESSION AUTHORIZATION bob; $use)),
	"secret\@1\nt\n$blocked\ntrue true\ntrue true\n$blocked\ntrue true\n$blocked\ntrue true\n$blocked", 'a cached model is for the roles that see it');
is(session(q(SET ROLE alice; PREPARE p AS SELECT ad_score('secret', 9.0) > 0; EXECUTE p; SET ROLE bob; EXECUTE p;)) =~ s/^psql.*?ERROR/ERROR/mr =~ s/\nHINT.*//sr,
	qq(t\nERROR:  model "secret" does not exist), 'a prepared statement too');
is(session(q(
	CREATE FUNCTION pg_temp.both() RETURNS text LANGUAGE plpgsql AS $$
	DECLARE seen text := '';
	BEGIN
		FOR i IN 1 .. 4 LOOP
			PERFORM set_config('role', CASE i % 2 WHEN 1 THEN 'alice' ELSE 'bob' END, true);
			BEGIN
				seen := seen || (ad_score('secret', 9.0) > 0)::text;
			EXCEPTION WHEN undefined_object THEN
				seen := seen || ' unknown ';
			END;
		END LOOP;
		RETURN seen;
	END $$;
	SELECT pg_temp.both();)), 'true unknown true unknown ', 'one expression under two roles');
is(session(q(SET ROLE alice; CREATE FUNCTION lend(float8) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$ SELECT ad_score('secret', $1) > 0 $$;
	SET ROLE bob; SELECT lend(9.0);)), 't', 'a function that its owner lends uses the rights of the owner');
is(session(qq($error_of SET ROLE bob; SELECT pg_temp.error_of('SELECT 1 FROM model_artifacts WHERE model_id = ''secret\@1''') IS NULL;
	SELECT ad_drop_model('secret'); SELECT pg_temp.error_of(\$\$SELECT ad_activate('secret\@1')\$\$);
	SELECT pg_temp.error_of(\$\$SELECT ad_train_data(ARRAY[[1],[2]]::float8[], ARRAY['x'], 'secret', 'mad')\$\$);)),
	"t\nf\n42704\n42710", 'who may not see a model may not change it');
is(session(qq($error_of
	SET ROLE alice; SELECT ad_score('secret', 9.0) > 0;
	CREATE TEMP TABLE copy AS SELECT * FROM model_registry WHERE name = 'secret'; GRANT ALL ON copy TO bob;
	SELECT ad_drop_model('secret');
	SET ROLE bob; UPDATE copy SET owner = 'bob'; INSERT INTO model_registry SELECT * FROM copy; $use)),
	"t\nt\nXX001 XX001", 'a forged registry row does not get the model that another role has cached');

# Encodings.

$node->safe_psql('postgres', "CREATE DATABASE $_ ENCODING '$_' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0; ") for qw(utf8 latin1 sql_ascii);
my $strange = q(
	CREATE EXTENSION anomaly_detect;
	CREATE TABLE "Straße" (id bigint PRIMARY KEY, "größe" float8, "art" text);
	INSERT INTO "Straße" SELECT i, i % 7, (ARRAY['weiß', 'schön', 'grün'])[1 + i % 3] FROM generate_series(1, 300) i;
	INSERT INTO "Straße" VALUES (301, 100, 'fünf'););
my %answers;
for my $database (qw(utf8 latin1))
{
	is(session($strange, $database), '', "$database: a table with umlauts");
	$answers{$database} = session(q(
		SELECT ad_train('"Straße"', NULL, 'größe', random_seed => 1);
		SELECT md5(data) FROM model_artifacts;
		SELECT feature_columns FROM ad_models;
		SELECT ad_detect('"Straße"', NULL, 'größe', '"art" <> ''weiß''', options => '{"explain": true}')->'processed_records';
		SELECT features, explanation->0->>'feature' FROM anomaly_detection_results ORDER BY anomaly_score DESC LIMIT 1;
		SELECT md5(string_agg(ad_score('größe', s)::text, ',' ORDER BY id)) FROM "Straße" s;
		SELECT ad_score('größe', s) = ad_score('größe', jsonb_build_object('größe', s.größe, 'art', s.art)) FROM "Straße" s WHERE id = 301;
		SELECT ad_explain('größe', s) FROM "Straße" s WHERE id = 301;
		SELECT categories FROM model_feature_stats WHERE feature = 'art';), $database);
	like($answers{$database}, qr/^größe\@1\n.*\{größe,art\}\n201\n.*fünf.*größe.*\nt\n.*fünf/s, "$database: names and categories are right");
	like(session(q(SELECT ad_score('größe', 1, 2, 3)), $database), qr/model "größe\@1" has 2 features.*größe, art/s, "$database: errors too");
	like(session(q(SELECT ad_train('"Straße"', NULL, 'm', parameters => '{"größe": 1}')), $database), qr/größe/, "$database: errors of the core too");
}
is($answers{latin1}, $answers{utf8}, 'the bytes of the model, the scores and the reasons do not depend on the encoding');

$node->safe_psql('sql_ascii', encode_utf8($strange));
like(session(q(SELECT ad_train('"Straße"', NULL, 'größe', random_seed => 1); SELECT count(ad_score('größe', s)) FROM "Straße" s;), 'sql_ascii'),
	qr/^größe\@1\n301/, 'sql_ascii: UTF-8 in it works');
# bytes that are no UTF-8
my $bytes = join("\n", q(SET client_encoding = sql_ascii;), $error_of,
	q(UPDATE "Straße" SET art = convert_from('\xe9ff', 'SQL_ASCII') WHERE id < 100;),
	q(SELECT pg_temp.error_of($$SELECT ad_train('"Straße"', NULL, 'm')$$);),
	q(SELECT pg_temp.error_of($$SELECT count(ad_score('größe', s)) FROM "Straße" s$$);),
	q(SELECT pg_temp.error_of($$SELECT count(ad_explain('größe', s)) FROM "Straße" s$$);),
	q(SELECT pg_temp.error_of($$SELECT ad_detect('"Straße"', NULL, 'größe')->'processed_records'$$);),
	q(SELECT pg_temp.error_of($$SELECT ad_score('größe', jsonb_build_object('art', art)) > 0 FROM "Straße" WHERE id = 1$$);));
my $found = session($bytes, 'sql_ascii');
note("bytes that are no UTF-8: " . join(' ', split /\n/, $found));
unlike($found, qr/XX000|server closed|FATAL/, 'sql_ascii: bytes that are no UTF-8 give an answer or a clean error');

unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'nothing crashed');
$node->stop;
done_testing();
