# Whatever is killed, at whatever instant, every row is scored once and every alert has one message.
#
# Reports 2, 4 and 5 of the list in docs/internals.md: the scheduler survives the death of any process,
# no run is stuck afterwards, and when it is repeated is stored.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

# Meanwhile, a server of which pg_cron calls ad_run_job, as of users who have it already: the rounds take
# longer than the minute that pg_cron counts in.
my $cron;
chomp(my $sharedir = `pg_config --sharedir`);
if (-e "$sharedir/extension/pg_cron.control")
{
	$cron = start_node('cron', [], q(shared_preload_libraries = 'pg_cron'), q(cron.database_name = 'postgres'), 'cron.use_background_workers = on');
	make_worker_role($cron);
	make_readings($cron, 500);
	$cron->safe_psql('postgres', q(CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO worker; GRANT ALL ON readings TO worker; SET ROLE worker;
		SELECT ad_train('readings', '{a,b}', 'm', random_seed => 1);
		SELECT ad_schedule('x', 'readings', NULL, 'm', '@hourly', '{"watermark_column": "id", "store": "all"}');
		CREATE FUNCTION nothing(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false';
		SELECT ad_schedule('broken', 'readings', NULL, 'm', '@hourly', '{"watermark_column": "id", "where_clause": "nothing(id)"}');
		DROP FUNCTION nothing;
		SELECT cron.schedule('x', '* * * * *', $$SELECT ad_run_job('x')$$), cron.schedule('broken', '* * * * *', $$SELECT ad_run_job('broken')$$)));
}

my $rounds = $ENV{AD_KILL_ROUNDS} || 50;
srand($ENV{AD_KILL_SEED} // 1);

my $node = start_node('kills', [], preload(), 'restart_after_crash = on', 'shared_buffers = 16MB', 'autovacuum = on',
	'max_worker_processes = 12');
make_worker_role($node);
$node->safe_psql('postgres', q(
	CREATE TABLE readings (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), v float8);
	CREATE INDEX ON readings (at);
	GRANT ALL ON readings TO worker;
	INSERT INTO readings (v) SELECT i % 100 FROM generate_series(1, 500) i;));
$node->safe_psql('postgres', q(SET ROLE worker;
	SELECT ad_train('readings', '{v}', 'm', 'mad');
	SELECT ad_schedule('by_id', 'readings', NULL, 'm', '1 second',
		'{"watermark_column": "id", "store": "all", "batch_size": 50, "retry_period": "0", "circuit_breaker_threshold": 0, "min_confidence": 0, "late_window": 5000}');
	SELECT ad_schedule('by_time', 'readings', NULL, 'm', '1 second',
		'{"watermark_column": "at", "store": "all", "batch_size": 70, "retry_period": "0", "circuit_breaker_threshold": 0, "alerts": false}');));

# Two writers whose transactions overlap, so that rows become visible out of order.
my $script = PostgreSQL::Test::Utils::tempdir() . '/insert.sql';
append_to_file($script, q(
\set n random(1, 20)
BEGIN;
INSERT INTO readings (v) SELECT (random() * 100)::int + CASE WHEN random() < 0.01 THEN 5000 ELSE 0 END FROM generate_series(1, :n);
\sleep 5 ms
SAVEPOINT s;
INSERT INTO readings (v) VALUES (50);
COMMIT;
));

sub insert_for_a_while
{
	return IPC::Run::start([ 'pgbench', '-n', '-c', '2', '-T', '1', '-f', $script, '-d', $node->connstr('postgres') ],
		'>', '/dev/null', '2>', '/dev/null');
}

sub pids
{
	my ($type) = @_;
	return split /\n/, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'anomaly_detect $type'");
}

my %killed;
for my $round (1 .. $rounds)
{
	my $writers = insert_for_a_while();
	my $target = (qw(job job job scheduler launcher postmaster))[ int(rand(6)) ];
	$target = 'postmaster' if $round % 10 == 0;
	sleep(0.2 + rand(0.6));
	if ($target eq 'postmaster')
	{
		# sometimes the end of everything, sometimes an immediate shutdown
		my $pid = $node->safe_psql('postgres', q(SELECT (regexp_match(pg_read_file('postmaster.pid'), '\d+'))[1]));
		$round % 20 == 0 ? $node->stop('immediate') : $node->kill9;
		sleep 0.05 while kill 0, $pid;
		eval { IPC::Run::finish($writers); };
		$node->start;
	}
	else
	{
		my $victim;
		for (1 .. 200)
		{
			last if ($victim) = pids($target);
			sleep 0.005;
		}
		$killed{"no $target found"}++ unless $victim;
		kill 'KILL', $victim if $victim;
		eval { IPC::Run::finish($writers); };
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	}
	$killed{$target}++;
}
note("killed: " . join(', ', map { "$_ $killed{$_}" } sort keys %killed));

my $done = q(SELECT bool_and(n = total) FROM (SELECT count(*) AS total FROM readings) r,
	(SELECT j.id, (SELECT count(*) FROM anomaly_detection_results r WHERE r.job_id = j.id) AS n FROM anomaly_detection_jobs j) j);
ok($node->poll_query_until('postgres', $done), 'after the last kill, the jobs catch up');
my $figures = $node->safe_psql('postgres', q(SELECT j.job_name, (SELECT count(*) FROM readings) AS rows, count(r.id) AS results,
	count(DISTINCT r.source_record_id) AS rows_with_results, bool_and(r.source_record_id IS NOT NULL)
	FROM anomaly_detection_jobs j JOIN anomaly_detection_results r ON r.job_id = j.id GROUP BY 1 ORDER BY 1));
note($figures);
for (split /\n/, $figures)
{
	my ($job, $rows, $results, $distinct) = split /\|/;
	is("$results $distinct", "$rows $rows", "$job: each of $rows rows has exactly one result after $rounds kills");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM anomaly_detection_results r WHERE NOT EXISTS (SELECT FROM readings s WHERE s.id = r.source_record_id)'),
	0, 'no result is about a row that was rolled back');
my ($alerts, $messages, $matched) = split /\|/, $node->safe_psql('postgres', q(SELECT (SELECT count(*) FROM anomaly_detection_alerts),
	(SELECT count(*) FROM anomaly_detection_outbox), (SELECT count(DISTINCT alert_id) FROM anomaly_detection_outbox JOIN anomaly_detection_alerts a ON a.id = alert_id)));
note("alerts $alerts, messages $messages");
cmp_ok($alerts, '>', 5, 'there were alerts');
is("$messages $matched", "$alerts $alerts", 'each of them has exactly one message');
is($node->safe_psql('postgres', q(SELECT sum(a.anomalies) = (SELECT count(*) FROM anomaly_detection_results r WHERE r.is_anomaly AND r.job_id = j.id)
	FROM anomaly_detection_jobs j JOIN anomaly_detection_alerts a ON a.job_id = j.id WHERE j.job_name = 'by_id' GROUP BY j.id)), 't', 'each anomaly is in one of them');
is($node->safe_psql('postgres', q(SELECT string_agg(DISTINCT coalesce(sqlstate, 'none'), ',') FROM anomaly_detection_runs WHERE status = 'failed' AND sqlstate <> '57P01')),
	'', 'runs failed by interruption only');
is($node->safe_psql('postgres', q(SELECT sum(processed_records) = (SELECT count(*) FROM anomaly_detection_results) FROM anomaly_detection_runs)), 't',
	'the figures of the runs are those of the results');

SKIP:
{
	skip 'pg_cron is not installed', 3 unless $cron;
	ok($cron->poll_query_until('postgres', q(SELECT count(*) = 2 FROM anomaly_detection_jobs WHERE last_status IS NOT NULL)), 'pg_cron calls ad_run_job');
	is($cron->safe_psql('postgres', q(SELECT last_status, watermark, (SELECT count(*) FROM anomaly_detection_results), owner FROM anomaly_detection_jobs WHERE job_name = 'x')),
		'succeeded|500|500|worker', 'which does what the scheduler would have it do');
	like($cron->safe_psql('postgres', q(SELECT last_status, last_error, failed_attempts > 0 FROM anomaly_detection_jobs WHERE job_name = 'broken')),
		qr/^failed\|function nothing\(bigint\) does not exist\|t$/, 'and records a failure');
	$cron->stop;
}

$node->stop;
done_testing();
