# Whatever ends a detection, nothing of it is lost and nothing is stored twice.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use Test::More;

my $rows = 160_000;    # so many that five kills come before the end
my $node = start_node('crash', [], 'restart_after_crash = on');
$node->safe_psql('postgres', 'CREATE EXTENSION anomaly_detect');
make_readings($node, $rows);
$node->safe_psql('postgres', q(SELECT ad_train('readings', NULL, 'm', random_seed => 1)));
my $stored = q(SELECT count(*), count(DISTINCT source_record_id), min(source_record_id), max(source_record_id)
	FROM anomaly_detection_results);
my $runs = q(SELECT status, processed_records, batches, anomalies_found = (SELECT count(*) FROM anomaly_detection_results WHERE is_anomaly)
	FROM anomaly_detection_runs);
my $reset = q(TRUNCATE anomaly_detection_results, anomaly_detection_runs);

sub wait_until_up
{
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	return;
}

# An error within the rows.

is_failure($node, q(SELECT ad_detect('readings', NULL, 'm', '1 / (id - 30000) < 2')), '22012|division by zero|',
	'ad_detect fails in the midst of the rows');
is($node->safe_psql('postgres', $stored), '0|0||', 'it leaves no results');
is($node->safe_psql('postgres', $runs), '', 'it leaves no run');

my $fragile = q(CALL ad_detect_batches('readings', NULL, 'm', 'check_row(id)', 4000));
$node->safe_psql('postgres', q(CREATE FUNCTION check_row(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / ($1 - 30000) < 2'));
is_failure($node, $fragile, '22012|division by zero|Repeat the call to resume it.', 'ad_detect_batches fails in the midst of the rows');
is($node->safe_psql('postgres', $stored), '28000|28000|1|28000', 'the batches before it are there');
is($node->safe_psql('postgres', $runs), 'failed|28000|7|t', 'and so are their figures');
is($node->safe_psql('postgres', 'SELECT sqlstate, error FROM anomaly_detection_runs'), '22012|division by zero', 'the run says why it failed');
$node->safe_psql('postgres', q(CREATE OR REPLACE FUNCTION check_row(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'));
$node->safe_psql('postgres', $fragile);
is($node->safe_psql('postgres', $stored), "$rows|$rows|1|$rows", 'repeated, it does the rest');
is($node->safe_psql('postgres', $runs), "succeeded|$rows|" . $rows / 4000 . "|t", 'the run has ended well');
$node->safe_psql('postgres', $reset);

$node->safe_psql('postgres', q(SELECT ad_train('readings', ARRAY['a'], 'doomed', 'mad', where_clause => 'id <= 100');
	CREATE FUNCTION drop_model(bigint) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM ad_drop_model(''doomed''); RETURN true; END'));
is_failure($node, q(CALL ad_detect_batches('readings', NULL, 'doomed', 'drop_model(id)', 4000)),
	'42704|model "doomed@1" does not exist|Its model is gone: begin a new run with another.', 'a run whose model is dropped cannot be resumed');
is($node->safe_psql('postgres', 'SELECT status, processed_records FROM anomaly_detection_runs'), 'failed|4000', 'but its batches stay');
$node->safe_psql('postgres', $reset);

# The death of the process, and of the server.

my $call = q(CALL ad_detect_batches('readings', NULL, 'm', NULL, 500););

# Runs the batches until some are committed, then does its worst. Returns how many rows there are.
sub interrupt_batches
{
	my ($how, $batches) = @_;
	my $run = query_in_background($node, 'victim', $call);
	my $pid = wait_for_query($node, 'victim', '^CALL');
	$node->poll_query_until('postgres', "SELECT batches >= $batches FROM anomaly_detection_runs");
	$how->($pid);
	finish($run);
	wait_until_up();
	my ($count, $status) = split /\|/, $node->safe_psql('postgres',
		'SELECT (SELECT count(*) FROM anomaly_detection_results), status FROM anomaly_detection_runs');
	note("rows stored so far: $count");
	return ($count, $status);
}

my $before = 0;
for my $case (
	[ 'kill -9 of the backend', sub { kill 'KILL', $_[0]; }, 3 ],
	[ 'immediate shutdown', sub { $node->stop('immediate'); $node->start; }, 20 ],
	[ 'fast shutdown', sub { $node->stop('fast'); $node->start; }, 35 ],
	[ 'kill -9 of the backend again', sub { kill 'KILL', $_[0]; }, 50 ],
	[ 'pg_terminate_backend', sub { $node->safe_psql('postgres', "SELECT pg_terminate_backend($_[0])"); }, 60 ])
{
	my ($what, $how, $batches) = @$case;
	my ($count, $status) = interrupt_batches($how, $batches);
	is($status, 'running', "$what: the run waits to be resumed");
	cmp_ok($count, '>=', 500 * $batches, "$what: what was committed is there");
	is($count % 500, 0, "$what: batches are stored whole or not at all");
	is($node->safe_psql('postgres', 'SELECT sum(processed_records), sum(batches) FROM anomaly_detection_runs'),
		"$count|" . $count / 500, "$what: the figures of the run are those of the results");
}
$node->safe_psql('postgres', $call);
is($node->safe_psql('postgres', $stored), "$rows|$rows|1|$rows", 'every row is stored exactly once');
is($node->safe_psql('postgres', $runs), "succeeded|$rows|" . $rows / 500 . "|t", 'the figures of the run are right');
is($node->safe_psql('postgres', 'SELECT attempt FROM anomaly_detection_runs'), 6, 'the run counts its attempts');
is($node->safe_psql('postgres', q(SELECT count(*) FROM ad_scores('readings', 'm') s
	JOIN anomaly_detection_results r ON r.source_record_key = s.record_key AND r.anomaly_score = s.anomaly_score)),
	$rows, 'their scores are those of an undisturbed scoring');
$node->safe_psql('postgres', $reset);

# One transaction is all or nothing.
my $run = query_in_background($node, 'victim', q(SELECT ad_detect('readings', NULL, 'm') FROM generate_series(1, 100);));
kill 'KILL', wait_for_query($node, 'victim', '^SELECT ad_detect');
finish($run);
wait_until_up();
is($node->safe_psql('postgres', $stored), '0|0||', 'ad_detect leaves nothing when its backend is killed');
is($node->safe_psql('postgres', $runs), '', 'and no run');
cmp_ok($node->safe_psql('postgres', q(SELECT ad_detect('readings', NULL, 'm')->>'processed_records')), '==', $rows,
	'it works again afterwards');

$node->stop;
done_testing();
