# Training and scoring end at once when they are told to, and an end of memory is an ordinary error.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = start_node('interrupts', []);
$node->safe_psql('postgres', 'CREATE EXTENSION anomaly_detect');
make_readings($node, 100_000);
$node->safe_psql('postgres', q(SELECT ad_train('readings', ARRAY['a', 'b'], 'm', random_seed => 1)));
# more than any machine stores in the time that the test takes
$node->safe_psql('postgres', q(CREATE VIEW many_readings AS SELECT id + 100000 * n AS id, a, b FROM readings, generate_series(0, 99) n));
$node->safe_psql('postgres', q(CREATE VIEW entities AS SELECT a, b, id % 1000 AS entity, id % 100 = 0 AS bad FROM many_readings));
my $huge = q(ad_train('readings', ARRAY['a', 'b', 'c'], 'huge', parameters => '{"n_estimators": 10000, "max_samples": 65536}'));
my $big_memory = q(SET anomaly_detect.max_training_memory = '1TB';);

# Latency, at several moments of the work.

my @work = (
	[ 'training', "$big_memory\nSELECT $huge;", [ 0.2, 2 ] ],
	# in the fallback's scan, and in the sort or the fits behind it
	[ 'training entities', q(SELECT ad_train('entities', ARRAY['a', 'b'], 'entities', partition_by => ARRAY['entity'], label_column => 'bad');), [ 0.3, 6 ] ],
	[ 'ad_evaluate', q(SELECT ad_evaluate('m', 'entities', 'bad');), [ 0.5 ] ],
	[ 'scoring', q(SELECT sum(ad_score('m', a, b)) FROM readings, generate_series(1, 1000);), [ 0.3, 1 ] ],
	[ 'ad_detect', q(SELECT ad_detect('many_readings', NULL, 'm', options => '{"id_column": "id"}');), [ 0.3, 0.8 ] ],
	[ 'scoring an array', q(SELECT ad_detect_data((SELECT array_agg(ARRAY[i, i]::float8[]) FROM generate_series(1, 2000000) i),
		ARRAY['a', 'b'], model_id => 'm');), [ 2 ] ],
	[ 'explaining', q(SELECT count(ad_explain('m', a, b)) FROM readings, generate_series(1, 100);), [ 0.5 ] ]);

for my $work (@work)
{
	my ($what, $query, $moments) = @$work;
	for my $moment (@$moments)
	{
		for my $signal ('pg_cancel_backend', 'pg_terminate_backend')
		{
			my $run = query_in_background($node, 'victim', $query);
			my $pid = wait_for_query($node, 'victim', 'ad_');
			usleep($moment * 1e6);
			my $begin = time;
			$node->safe_psql('postgres', "SELECT $signal($pid)");
			my $error = finish($run);
			my $latency = time - $begin;
			note(sprintf('%s: %s after %.1f s ends it in %.3f s', $what, $signal, $moment, $latency));
			like($error, qr/57014: canceling statement due to user request|57P01: terminating connection/,
				"$signal during $what");
			cmp_ok($latency, '<', 1, "$signal during $what ends it in less than a second");
		}
	}
	my $seconds = seconds_of(sub {
		is_failure($node, "SET statement_timeout = '500ms'; $query",
			'57014|canceling statement due to statement timeout|', "statement_timeout during $what");
	});
	note(sprintf('%s: a timeout of 0.5 s ends it in %.3f s', $what, $seconds));
	cmp_ok($seconds, '<', 1.5, "statement_timeout during $what ends it in time");
}
is($node->safe_psql('postgres', q(SELECT count(*) FROM model_registry)), 1, 'a training that is cancelled stores nothing');
is($node->safe_psql('postgres', q(SELECT (SELECT count(*) FROM anomaly_detection_results), (SELECT count(*) FROM anomaly_detection_runs))),
	'0|0', 'a detection that is cancelled stores nothing');

# Memory: a limit of ours, which is checked before the work begins.

is_failure($node, "SET anomaly_detect.max_training_memory = '1MB'; SELECT "
	. q(ad_train('readings', ARRAY['a', 'b'], 'large', sample_size => 100000)), qr/^53200\|.*\|.+/,
	'a sample that is larger than max_training_memory');

# Memory: the limit of the machine.

# New sessions inherit it.
my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
system_or_bail('prlimit', "--pid=$postmaster", '--as=400000000');
is_failure($node, "$big_memory SELECT $huge", qr/^53200\|out of memory\|/,
	'training where the machine has no memory left');
is($node->safe_psql('postgres', q(SELECT count(*) FROM model_registry)), 1, 'it stores nothing');
my ($out, $err);
$node->psql('postgres', "$big_memory SELECT $huge; SELECT round(ad_score('m', 1.0, 2.0)::numeric, 3) > 0, (SELECT ad_train('readings', ARRAY['a'], 'next')), ad_score('m', 1, 2) > 0",
	on_error_stop => 0, stdout => \$out, stderr => \$err);
is($out, 't|next@1|t', 'the session lives on, and trains and scores');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'nothing crashed');

$node->stop;
done_testing();
