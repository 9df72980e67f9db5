# A dump has everything that the extension knows, and its restoration answers as before.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('dump', []);
my $dir = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', 'CREATE ROLE analyst');

# Each with the extension in a schema of the user's choice.
for my $schema ('public', 'Strange schema')
{
	my $quoted = qq("$schema");
	my ($from, $to) = $schema eq 'public' ? ('plain', 'plain_restored') : ('odd', 'odd_restored');
	$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE template0") for ($from, $to);
	$node->safe_psql($from, qq(CREATE SCHEMA IF NOT EXISTS $quoted; CREATE EXTENSION anomaly_detect SCHEMA $quoted;
		GRANT USAGE ON SCHEMA $quoted TO analyst; ALTER DATABASE $from SET search_path = public, $quoted;
		ALTER DATABASE $to SET search_path = public, $quoted;));
	make_readings($node, 2000, $from);
	$node->safe_psql($from, q(
		GRANT SELECT ON readings TO analyst;
		SELECT ad_train('readings', NULL, 'forest', random_seed => 7, description => 'Größe');
		SELECT ad_train('readings', ARRAY['a', 'c'], 'forest', random_seed => 8, activate => false);
		SELECT ad_set_alias('forest', 'next', 2);
		SELECT ad_train('readings', ARRAY['a', 'b'], 'machines', partition_by => ARRAY['c'], random_seed => 9);
		SELECT ad_detect('readings', NULL, 'forest', options => '{"explain": true}');
		SELECT ad_detect('readings', NULL, 'forest@next', 'id < 100');
		SET ROLE analyst;
		SELECT ad_train('readings', ARRAY['a', 'b'], 'of analyst', 'mad');
		SELECT ad_detect('readings', NULL, 'of analyst');));

	my %questions = (
		models => q(SELECT md5(string_agg(m::text, ',' ORDER BY model_id)), count(*) FROM model_registry m),
		bytes => q(SELECT md5(string_agg(m::text, ',' ORDER BY model_id)), count(*) FROM model_artifacts m),
		statistics => q(SELECT md5(string_agg(m::text, ',' ORDER BY model_id, position)), count(*) FROM model_feature_stats m),
		runs => q(SELECT md5(string_agg(r::text, ',' ORDER BY id)), count(*), sum(processed_records) FROM anomaly_detection_runs r),
		results => q(SELECT md5(string_agg(r::text, ',' ORDER BY id)), count(*) FROM anomaly_detection_results r),
		scores => q(SELECT md5(string_agg(float8send(ad_score(m, r))::text, ',' ORDER BY id, m)), count(*)
			FROM readings r, unnest(ARRAY['forest', 'forest@next', 'forest@1', 'machines', 'of analyst']) m),
		'verdicts and reasons' => q(SELECT md5(string_agg(ad_predict('forest', r)::text || ad_explain('forest', r)::text, ',' ORDER BY id))
			FROM readings r WHERE id < 200),
		'what a role sees' => q(SET ROLE analyst; SELECT count(*) FROM model_registry; SELECT count(*) FROM anomaly_detection_results),
		'row-level security' => q(SELECT relname, relrowsecurity FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid ORDER BY 1));
	my %before = map { $_ => $node->safe_psql($from, $questions{$_}) } keys %questions;
	like($before{scores}, qr/\|10000$/, "$from: there is something to dump");

	# plain text for one, the directory format for the other
	if ($schema eq 'public')
	{
		command_ok([ 'pg_dump', '-f', "$dir/$from.sql", $node->connstr($from) ], "$from: pg_dump");
		command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$from.sql", '-d', $node->connstr($to) ], "$from: restored by psql");
	}
	else
	{
		command_ok([ 'pg_dump', '-Fd', '-j2', '-f', "$dir/$from", '-d', $node->connstr($from) ], "$from: pg_dump");
		command_ok([ 'pg_restore', '-e', '-j2', '-d', $node->connstr($to), "$dir/$from" ], "$from: restored by pg_restore");
	}
	is($node->safe_psql($to, $questions{$_}), $before{$_}, "$from: $_ are as before") for sort keys %questions;

	my $last = $node->safe_psql($from, 'SELECT max(id) FROM anomaly_detection_runs');
	is($node->safe_psql($to, q(SELECT ad_detect('readings', NULL, 'forest')->>'run_id')), $last + 1, "$from: run ids go on");
	is($node->safe_psql($to, q(SELECT count(*), count(DISTINCT id) FROM anomaly_detection_results)), '6099|6099', "$from: result ids go on");
	is($node->safe_psql($to, q(SELECT ad_train('readings', NULL, 'forest'))), 'forest@3', "$from: versions go on");
	is($node->safe_psql($to, q(SELECT ad_activate('forest@1'))), 'forest@1', "$from: activation works");
	is($node->safe_psql($to, q(SET ROLE analyst; SELECT ad_drop_model('of analyst'); RESET ROLE; SELECT ad_drop_model('forest@1');
		SELECT (SELECT count(*) FROM model_registry), (SELECT count(*) FROM model_artifacts), (SELECT count(DISTINCT model_id) FROM model_feature_stats))),
		"t\nt\n3|3|3", "$from: a model that is dropped takes all of its rows with it");
	is($node->safe_psql($to, q(DROP EXTENSION anomaly_detect; SELECT count(*) FROM pg_class WHERE relname ~ '^(model_|anomaly_|ad_)')), 0,
		"$from: DROP EXTENSION takes it all");
}

$node->stop;
done_testing();
