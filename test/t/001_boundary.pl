# Whatever happens inside C++, its objects are destroyed and the server sees an ordinary error.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use Test::More;
use Time::HiRes qw(time);

my $node = start_node('boundary', [],
	'max_worker_processes = 8', 'max_parallel_workers = 8', 'max_parallel_workers_per_gather = 4');
$node->safe_psql('postgres', 'CREATE EXTENSION boundary_test');

my $made = 0;

# No object is left, though there were some.
sub none_lost
{
	my ($name) = @_;
	my ($live, $all) = split /\|/, $node->safe_psql('postgres', 'SELECT live_objects(), made_objects()');
	my $new = $all - $made;
	$made = $all;
	ok($live == 0 && $new > 0, "$name: none of the objects is lost") or diag("$live of $new");
	return $new;
}

# Each class of exception, and what it becomes.

my %errors = (
	parameter => '22023|a parameter is bad|Use a good one.',
	data => '22000|a row is bad|Leave it out.',
	model => 'XX001|cannot read the bytes of a model: the bytes are bad|Restore them from a backup, or train the model again.',
	memory => '53200|the sample is too large|Make it smaller.',
	alloc => '53200|out of memory|',
	huge => '53200|out of memory|',
	logic => 'XX000|a promise was broken|',
	int => 'XX000|unknown C++ exception|',
	long => '22000|' . 'x' x 1020 . '|100 %d €',
	latin => '22000|Größe ist schlecht|Überlege.');

for my $how (sort keys %errors)
{
	my $expected = $errors{$how};
	utf8::decode($expected);
	my $found = failure($node, "SELECT fail('$how')");
	utf8::decode($found) unless utf8::is_utf8($found);
	# of the long message, what fits into 1,023 bytes
	$found =~ s/^(22000\|x{1020}).*?\|/$1|/ if $how eq 'long';
	is($found, $expected, "error of '$how'");
}
none_lost('exceptions');
is($node->safe_psql('postgres', "SELECT fail('nothing')"), 1100, 'C++ returns what it computed');
none_lost('no exception');

# Errors do not end the session, and what follows them works.

is($node->safe_psql('postgres', q(
	CREATE TEMP TABLE caught (state text);
	DO $$
	DECLARE
		how text;
	BEGIN
		FOREACH how IN ARRAY ARRAY['parameter', 'data', 'model', 'memory', 'alloc', 'logic', 'int'] LOOP
			BEGIN
				PERFORM fail(how);
			EXCEPTION WHEN OTHERS THEN
				INSERT INTO caught VALUES (SQLSTATE);
			END;
			ASSERT live_objects() = 0;
		END LOOP;
	END $$;
	SELECT string_agg(state, ' ') FROM caught)),
	'22023 22000 XX001 53200 53200 XX000 XX000', 'errors in subtransactions');
none_lost('subtransactions');

is($node->safe_psql('postgres', q(
	DO $$
	BEGIN
		FOR i IN 1 .. 1000 LOOP
			BEGIN
				PERFORM fail('data');
			EXCEPTION WHEN data_exception THEN
				ASSERT live_objects() = 0;
			END;
		END LOOP;
	END $$;
	SELECT live_objects(), count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid())),
	'0|1', 'a thousand errors in one transaction');
note('objects made by them: ' . none_lost('a thousand errors'));

# Interrupts that arrive while C++ works.

my $seconds = seconds_of(sub {
	is_failure($node, q(SET statement_timeout = '300ms'; SELECT work(60000)),
		'57014|canceling statement due to statement timeout|', 'statement_timeout');
});
cmp_ok($seconds, '<', 5, 'statement_timeout ends the work');
none_lost('statement_timeout');

# Signals, by another session; in a subtransaction too.
for my $case (
	[ 'pg_cancel_backend', 'SELECT work(60000);', qr/57014: canceling statement due to user request/ ],
	[ 'pg_cancel_backend',
	  q(DO $$ BEGIN PERFORM keep('nothing'); PERFORM work(60000);
	  EXCEPTION WHEN query_canceled THEN RAISE EXCEPTION 'caught %, % live', SQLSTATE, live_objects(); END $$;),
	  qr/P0001: caught 57014, 0 live/ ],
	[ 'pg_terminate_backend', 'SELECT work(60000);', qr/57P01: terminating connection due to administrator command/ ],
	[ 'pg_terminate_backend',
	  q(DO $$ BEGIN PERFORM keep('nothing'); PERFORM work(60000); EXCEPTION WHEN OTHERS THEN NULL; END $$;),
	  qr/57P01: terminating connection due to administrator command/ ])
{
	my ($signal, $query, $expected) = @$case;
	my $where = $query =~ /^DO/ ? 'in a subtransaction' : 'at the top';
	my $run = query_in_background($node, 'victim', $query);
	my $pid = wait_for_query($node, 'victim', '^(SELECT|DO)');
	$node->poll_query_until('postgres', 'SELECT live_objects() > 32');
	my $begin = time;
	$node->safe_psql('postgres', "SELECT $signal($pid)");
	like(finish($run), $expected, "$signal $where");
	note(sprintf('ended after %.3f s', time - $begin));
	cmp_ok(time - $begin, '<', 1, "$signal $where ends the work at once");
	none_lost("$signal $where");
}

# A signal that ends the whole server, while C++ works.
my $run = query_in_background($node, 'victim', 'SELECT work(60000);');
wait_for_query($node, 'victim', 'work');
$node->poll_query_until('postgres', 'SELECT live_objects() > 0');
$node->stop('fast');
like(finish($run), qr/57P01: terminating connection/, 'fast shutdown');
$node->start;
none_lost('fast shutdown');

# Objects that a memory context owns.

is_failure($node, "SELECT keep('$_')", $errors{$_}, "own: maker fails with '$_'") for ('data', 'alloc');
none_lost('a maker that fails, and an object made before it');
is($node->safe_psql('postgres', 'SELECT sum(keep(\'nothing\')) FROM generate_series(1, 1000)'),
	200000, 'objects in the context of each row');
none_lost('objects of a statement that succeeds');
is($node->safe_psql('postgres', q(
	DO $$
	BEGIN
		FOR i IN 1 .. 1000 LOOP
			BEGIN
				PERFORM keep('logic');
			EXCEPTION WHEN internal_error THEN
				NULL;
			END;
		END LOOP;
	END $$;
	SELECT live_objects())), 0, 'a thousand contexts that are reset after an error');
none_lost('a thousand resets');

# C++ that the server calls from within a query that C++ waits for.

is($node->safe_psql('postgres', q(SELECT call('SELECT fail(''nothing'')', 'nothing'))), 1200, 'nested calls');
is_failure($node, q(SELECT call('SELECT fail(''model'')', 'nothing')), $errors{model}, 'the inner call fails');
is_failure($node, q(SELECT call('SELECT keep(''nothing'')', 'memory')), $errors{memory}, 'the outer call fails');
is_failure($node, q(SELECT call('SELECT call(''SELECT 1 / 0'', ''nothing'')', 'nothing')),
	'22012|division by zero|', 'the server fails two levels below');
is_failure($node, q(SET statement_timeout = '200ms'; SELECT call('SELECT call(''SELECT work(60000)'', ''nothing'')', 'nothing')),
	'57014|canceling statement due to statement timeout|', 'a timeout two levels below');
none_lost('nested calls');

# Parallel workers.

$node->safe_psql('postgres', q(
	CREATE TABLE numbers AS SELECT i FROM generate_series(1, 20000) i;
	ANALYZE numbers;
	ALTER TABLE numbers SET (parallel_workers = 3);));
my $parallel = q(SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
	SET parallel_leader_participation = off;);
like($node->safe_psql('postgres', "$parallel EXPLAIN SELECT sum(work(i)) FROM numbers"),
	qr/Workers Planned: 3/, 'there is a parallel plan');
is($node->safe_psql('postgres', "$parallel SELECT sum(fail('nothing')) FROM numbers WHERE i <= 1000"), 1100000,
	'workers return what C++ computed');
for my $how ('parameter', 'data', 'model', 'memory', 'int')
{
	is_failure($node, "$parallel SELECT sum(CASE WHEN i = 1 THEN fail('$how') ELSE keep('nothing') END) FROM numbers",
		$errors{$how}, "error of '$how' in a worker");
}
none_lost('exceptions in workers');
is_failure($node, "$parallel SET statement_timeout = '500ms'; SELECT sum(work(60000)) FROM numbers",
	'57014|canceling statement due to statement timeout|', 'statement_timeout with workers');
none_lost('statement_timeout with workers');
for my $case ([ 'pg_cancel_backend', qr/57014/ ], [ 'pg_terminate_backend', qr/57P01/ ])
{
	my ($signal, $expected) = @$case;
	$run = query_in_background($node, 'victim', "$parallel\nSELECT sum(work(60000)) FROM numbers;");
	my $pid = wait_for_query($node, 'victim', '^SELECT sum');
	$node->poll_query_until('postgres', 'SELECT live_objects() > 66');
	$node->safe_psql('postgres', "SELECT $signal($pid)");
	like(finish($run), $expected, "$signal with workers");
	$node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'));
	none_lost("$signal with workers");
}
$run = query_in_background($node, 'victim', "$parallel\nSELECT sum(work(60000)) FROM numbers;");
wait_for_query($node, 'victim', '^SELECT sum');
$node->poll_query_until('postgres', 'SELECT live_objects() > 66');
$node->safe_psql('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker' LIMIT 1));
like(finish($run), qr/57P01: terminating background worker/, 'a worker that is terminated');
$node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'));
none_lost('a worker that is terminated');

note(sprintf('a guarded call takes %.1f ns', $node->safe_psql('postgres', 'SELECT guard(10000000)')));
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'nothing crashed');

$node->stop;
done_testing();
