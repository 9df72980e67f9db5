# A job every second on a table that takes 1,000 rows a second: how far detection lags behind, and what
# it leaves. AD_LOAD_SECONDS=300 is what bench/jobs.sh runs.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $seconds = $ENV{AD_LOAD_SECONDS} || 15;
my $node = start_node('load', [], preload('autovacuum = on', 'autovacuum_naptime = 5s', 'track_commit_timestamp = on', 'anomaly_detect.poll_interval = 1s'));
make_worker_role($node);
$node->safe_psql('postgres', q(
	CREATE TABLE readings (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a float8, b float8);
	INSERT INTO readings (a, b) SELECT random(), random() FROM generate_series(1, 2000);
	GRANT ALL ON readings TO worker; SET ROLE worker;
	SELECT ad_train('readings', '{a,b}', 'm', random_seed => 1);
	SELECT ad_schedule('j', 'readings', NULL, 'm', '1 second', '{"watermark_column": "id", "store": "all", "raw_data": "none"}');
));
job_state($node, 'j', q(last_status = 'succeeded'), 'the job runs');
my $script = PostgreSQL::Test::Utils::tempdir() . '/insert.sql';
append_to_file($script, 'INSERT INTO readings (a, b) SELECT random(), random() FROM generate_series(1, 10);');

sub rss
{
	my $pid = $node->safe_psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'anomaly_detect scheduler'));
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;
	return $kb;
}

my $memory = rss();
command_ok([ 'pgbench', '-n', '-c', '2', '-R', '100', '-T', $seconds, '-f', $script, '-d', $node->connstr('postgres') ], "$seconds seconds of 1,000 rows each");
my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM readings');
ok($node->poll_query_until('postgres', "SELECT count(*) >= $rows FROM anomaly_detection_results"), 'the job catches up');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT source_record_id) FROM anomaly_detection_results'), "$rows|$rows", "each of $rows rows has one result");
my ($median, $p99, $most) = split /\|/, $node->safe_psql('postgres', q(SELECT (percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY
		extract(epoch FROM pg_xact_commit_timestamp(r.xmin) - pg_xact_commit_timestamp(s.xmin))))::numeric(6,2)[]
	FROM anomaly_detection_results r JOIN readings s ON s.id = r.source_record_id WHERE s.id > 2000)) =~ tr/{},/  |/r;
note("lag from the commit of a row to that of its result, in seconds: median $median, 99 % $p99, most $most");
cmp_ok($median, '<', 3, 'the median lag is below three seconds');
my $grown = rss() - $memory;
note("memory of the scheduler grew by $grown kB");
cmp_ok($grown, '<', 1000, 'the memory of the scheduler is flat');
my ($jobs, $runs, $dead) = split /\|/, $node->safe_psql('postgres', q(SELECT pg_relation_size('anomaly_detection_jobs') / 1024, count(*),
	(SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'anomaly_detection_jobs') FROM anomaly_detection_runs));
note("anomaly_detection_jobs after $runs runs: $jobs kB, $dead dead rows; results " . $node->safe_psql('postgres', q(SELECT pg_size_pretty(pg_total_relation_size('anomaly_detection_results')))));
cmp_ok($jobs, '<=', 512, 'the table of jobs does not bloat');

$node->stop;
done_testing();
