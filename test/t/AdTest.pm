# What the TAP tests share: servers that are small and quick, errors as plain text, and time.
package AdTest;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(start_node make_readings failure is_failure query_in_background wait_for_query
	finish seconds_of preload make_worker_role set_clock job_state);

# start_node(name, [option of init => ...], line of postgresql.conf...)
sub start_node
{
	my ($name, $init, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => ['--no-sync'], @$init);
	$node->append_conf('postgresql.conf', join("\n", 'fsync = off', 'autovacuum = off', @settings));
	$node->start;
	return $node;
}

# Settings of a server that runs jobs, and looks for them often.
sub preload
{
	return (q(shared_preload_libraries = 'anomaly_detect'), 'anomaly_detect.poll_interval = 100ms', 'max_worker_processes = 12',
		@_);
}

# The extension, and a role that jobs run as.
sub make_worker_role
{
	my ($node, $database) = @_;
	$node->safe_psql($database // 'postgres', q(
		DO $$ BEGIN CREATE ROLE worker LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;
		CREATE EXTENSION anomaly_detect; GRANT ALL ON SCHEMA public TO worker;));
	return;
}

# Sets the clock of the scheduler, which the tests move instead of waiting.
sub set_clock
{
	my ($node, $time) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET anomaly_detect.mock_clock = '$time'");
	$node->reload;
	return;
}

# Waits until a job is in a state: a condition on its row in ad_job_status.
sub job_state
{
	my ($node, $job, $condition, $name, $database) = @_;
	return ok($node->poll_query_until($database // 'postgres', "SELECT coalesce(bool_and($condition), false) FROM ad_job_status WHERE job_name = '$job'"), $name)
		|| diag($node->safe_psql($database // 'postgres', "SELECT s FROM ad_job_status s WHERE job_name = '$job'"));
}

# A table of readings with a key, two numbers and a category, and nothing random about it.
sub make_readings
{
	my ($node, $rows, $database) = @_;
	$node->safe_psql($database // 'postgres', qq(
		CREATE TABLE readings (id bigint PRIMARY KEY, a float8, b float8, c text);
		INSERT INTO readings
		SELECT i, sin(i * 0.7) * 10, cos(i::float8 * i * 0.1), 'machine ' || i % 5 FROM generate_series(1, $rows) i;
		ANALYZE readings;));
	return;
}

# The error of a query as 'SQLSTATE|message|hint', or what it returned.
sub failure
{
	my ($node, $query, %options) = @_;
	my ($status, $out, $err) = $node->psql($options{database} // 'postgres', $query,
		extra_params => ['-v', 'VERBOSITY=verbose'], %options{grep { exists $options{$_} } 'connstr'});
	return $out if $status == 0;
	my ($state, $message) = $err =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5}): (.*)/;
	my ($hint) = $err =~ /^HINT:\s+(.*)/m;
	return join('|', $state // $err, $message // '', $hint // '');
}

sub is_failure
{
	my ($node, $query, $expected, $name, %options) = @_;
	my $found = failure($node, $query, %options);
	return ref $expected ? like($found, $expected, $name) : is($found, $expected, $name);
}

# A session that runs queries while the test goes on, known to the server by a name.
sub query_in_background
{
	my ($node, $name, $query, $database) = @_;
	my $run = { out => '', err => '' };
	my $script = PostgreSQL::Test::Utils::tempdir() . "/$name.sql";
	unlink $script;
	append_to_file($script, "SET application_name = '$name';\n$query\n");
	$run->{handle} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-f', $script,
			'-d', $node->connstr($database // 'postgres') ],
		'>', \$run->{out}, '2>', \$run->{err});
	return $run;
}

# Its process id, once it is at work on something that matches.
sub wait_for_query
{
	my ($node, $name, $pattern) = @_;
	my $query = "FROM pg_stat_activity WHERE application_name = '$name'
		AND backend_type = 'client backend' AND state = 'active' AND query ~ '$pattern'";
	$node->poll_query_until('postgres', "SELECT count(*) = 1 $query") or die "$name does not run";
	return $node->safe_psql('postgres', "SELECT pid $query");
}

# Waits for the end of a session in the background; returns what it wrote to stderr.
sub finish
{
	my ($run) = @_;
	eval { IPC::Run::finish($run->{handle}); };
	return $run->{err};
}

sub seconds_of
{
	my ($work) = @_;
	my $begin = time;
	$work->();
	return time - $begin;
}

1;
