# The scheduler and what happens to a server: databases that come and go, processes that run out,
# shutdown, a standby that hangs, dump and restore. Numbers are those of the reports in docs/internals.md.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# With room for the launcher, the one of logical replication, a scheduler and two more.
my $node = start_node('server', [ allows_streaming => 1 ], preload("timezone = 'UTC'", 'max_worker_processes = 5', 'max_logical_replication_workers = 1'));
make_worker_role($node);
make_readings($node, 200);

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]); }
sub schedulers { return sql("SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_stat_activity WHERE backend_type = 'anomaly_detect scheduler'"); }
sub schedulers_are
{
	my ($expected, $name) = @_;
	my $begin = time;
	sleep 0.1 while schedulers() ne $expected && time < $begin + 30;
	return is(schedulers(), $expected, sprintf('%s (%.1f s)', $name, time - $begin));
}

# Databases and extensions come and go

schedulers_are('postgres', 'where the extension is, there is a scheduler');
sql('CREATE DATABASE later');
sql('CREATE EXTENSION anomaly_detect', 'later');
schedulers_are('later postgres', 'one comes with CREATE EXTENSION');
sql('DROP EXTENSION anomaly_detect', 'later');
schedulers_are('postgres', 'and goes with DROP EXTENSION');
sql('CREATE EXTENSION anomaly_detect', 'later');
schedulers_are('later postgres', 'and comes again');
cmp_ok(seconds_of(sub { sql('ALTER DATABASE later RENAME TO renamed') }), '<', 5, 'ALTER DATABASE RENAME is not held up');
schedulers_are('postgres renamed', 'the scheduler follows');
cmp_ok(seconds_of(sub { sql('CREATE DATABASE copy TEMPLATE renamed') }), '<', 5, 'nor is CREATE DATABASE TEMPLATE');
sql('DROP DATABASE renamed');
schedulers_are('copy postgres', 'nor DROP DATABASE; a copy of a database has a scheduler of its own');
is_failure($node, q(ALTER SYSTEM SET anomaly_detect.databases = 'App2,,'), qr/^22023\|invalid value for parameter "anomaly_detect.databases"/, 'a list that is none is refused');
sql(q(ALTER SYSTEM SET anomaly_detect.databases = 'postgres,Other'));
$node->reload;
schedulers_are('postgres', 'a scheduler leaves when anomaly_detect.databases no longer has its database');
sql('DROP DATABASE copy');
sql(q(CREATE DATABASE other));
sql('CREATE EXTENSION anomaly_detect', 'other');
sleep 1;
schedulers_are('postgres', 'anomaly_detect.databases narrows it');
sql('ALTER DATABASE other RENAME TO "Other"');
schedulers_are('Other postgres', 'to names as they are');
sql('DROP DATABASE "Other"');
sql(q(ALTER SYSTEM RESET anomaly_detect.databases));
$node->reload;

# However seldom the scheduler looks, nobody has to wait for it

sql(q(ALTER SYSTEM SET anomaly_detect.poll_interval = '60s'));
$node->reload;
sql('CREATE DATABASE seldom');
sql('CREATE EXTENSION anomaly_detect', 'seldom');
schedulers_are('postgres seldom', 'a scheduler that looks once a minute');
sleep 1;
cmp_ok(seconds_of(sub { sql('DROP DATABASE seldom') }), '<', 5, 'DROP DATABASE does not wait for its next look');
sql(q(ALTER SYSTEM RESET anomaly_detect.poll_interval));
$node->reload;

# DROP EXTENSION during a run

for my $try (1 .. 4)
{
	sql('CREATE DATABASE dropping');
	sql('CREATE EXTENSION anomaly_detect; GRANT ALL ON SCHEMA public TO worker', 'dropping');
	make_readings($node, 2000, 'dropping');
	sql(q(GRANT SELECT ON readings TO worker; SET ROLE worker; SELECT ad_train('readings', '{a,b}', 'd', 'mad');
		SELECT ad_schedule('dropping', 'readings', NULL, 'd', '1 second', '{"watermark_column": "id", "store": "all", "batch_size": 1, "alerts": false}')), 'dropping');
	job_state($node, 'dropping', q(state = 'running'), 'a run goes on', 'dropping');
	sleep 0.05 * $try;
	my $took = seconds_of(sub { is_failure($node, 'DROP EXTENSION anomaly_detect', '', 'DROP EXTENSION during a run does not deadlock', database => 'dropping') });
	cmp_ok($took, '<', 5, sprintf('it does not wait for its end (%.1f s)', $took));
	sql('DROP DATABASE dropping');
}

# 9: no process is left

sql(q(GRANT ALL ON readings TO worker; SET ROLE worker; SELECT ad_train('readings', '{a,b}', 'm', random_seed => 1);
	SELECT count(ad_schedule('slow ' || i, 'readings', NULL, 'm', '1 second', '{"where_clause": "CASE WHEN id = 1 THEN pg_sleep(0.5) IS NOT NULL END", "alerts": false}')) FROM generate_series(1, 5) i));
ok($node->poll_query_until('postgres', q(SELECT count(*) > 0 FROM ad_job_status WHERE waiting_for ~ 'no background worker is free')),
	'9, 210, 253, 282: a job that waits for a free process says so');
ok($node->poll_query_until('postgres', q(SELECT count(DISTINCT job_id) = 5 FROM anomaly_detection_runs WHERE status = 'succeeded')), 'all of them run in the end');
ok($node->log_contains(qr/jobs wait: no background worker is free/), '9: the log says so, too');
is(sql(q(SELECT count(*) FROM anomaly_detection_runs WHERE status = 'failed')), 0, 'none of them counts as failed');

# 16: shutdown is not held up

sql(q(SET ROLE worker; SELECT ad_unschedule('slow ' || i) FROM generate_series(1, 5) i;
	SELECT ad_schedule('long', 'readings', NULL, 'm', '1 second', '{"where_clause": "pg_sleep(1) IS NOT NULL", "alerts": false, "retry_period": "0"}')));
job_state($node, 'long', q(state = 'running'), 'a long run goes on');
cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 8, '16: a fast shutdown does not wait for a run');
$node->start;
job_state($node, 'long', q(state = 'running' AND failed_attempts = 1), '4: after it, the run is repeated');
cmp_ok(seconds_of(sub { sql('CREATE DATABASE victim'); sql('CREATE EXTENSION anomaly_detect', 'victim'); sql('DROP DATABASE victim'); }), '<', 15,
	'DROP DATABASE right after CREATE EXTENSION');
# in the database that a job runs in
cmp_ok(seconds_of(sub { $node->safe_psql('template1', 'ALTER DATABASE postgres RENAME TO away; ') }), '<', 6, 'a run does not hold RENAME up');
$node->safe_psql('template1', 'ALTER DATABASE away RENAME TO postgres');
sql(q(SET ROLE worker; SELECT ad_unschedule('long')));

# 16: a synchronous standby that is gone

sql(q(SET ROLE worker; SELECT ad_schedule('quick', 'readings', NULL, 'm', '1 second', '{"watermark_column": "id"}')));
job_state($node, 'quick', q(last_status = 'succeeded'), 'a quick job runs');
sql(q(ALTER SYSTEM SET synchronous_standby_names = 'nobody'));
$node->reload;
ok($node->poll_query_until('postgres', q(SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'anomaly_detect job' AND wait_event = 'SyncRep')),
	'a run waits for a synchronous standby');
is(sql(q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'anomaly_detect scheduler' AND wait_event = 'SyncRep')), 0, 'the scheduler does not');
cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 8, '16: a shutdown is not held up by a synchronous standby that is gone');
$node->append_conf('postgresql.conf', q(synchronous_standby_names = ''));
unlink $node->data_dir . '/postgresql.auto.conf';
$node->start;
my $runs = sql('SELECT max(id) FROM anomaly_detection_runs');
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM anomaly_detection_runs WHERE id > $runs AND status = 'succeeded'"), 'the job goes on afterwards');
is(sql(q(SELECT count(*), count(DISTINCT source_record_id) FROM anomaly_detection_results WHERE job_id = (SELECT id FROM anomaly_detection_jobs))) =~ s/^(\d+)\|\1$/same/r, 'same',
	'and has stored nothing twice');

# 17: dump and restore, with jobs

sql(q(SET ROLE worker; SELECT ad_pause_job('quick'); SELECT ad_snooze_job('quick', '1 day')));
my %questions = map { $_ => "SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY id), '')), count(*) FROM anomaly_detection_$_ t" } qw(jobs runs alerts outbox dead_letters);
sql(q(INSERT INTO anomaly_detection_dead_letters (job_id, run_id, source_table, source_record_key, reason, sqlstate) VALUES (1, 1, 'x', '{"id": 1}', 'x', '22012')));
$node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'anomaly_detect job'));
my %before = map { $_ => sql($questions{$_}) } keys %questions;
my $file = PostgreSQL::Test::Utils::tempdir() . '/jobs.sql';
sql('CREATE DATABASE restored TEMPLATE template0');
command_ok([ 'pg_dump', '-f', $file, $node->connstr('postgres') ], 'pg_dump of a database with jobs');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d', $node->connstr('restored') ], 'it is restored');
is(sql($questions{$_}, 'restored'), $before{$_}, "17: anomaly_detection_$_ as before") for sort keys %questions;
schedulers_are('postgres restored', 'the restored database has a scheduler');
sql(q(SET ROLE worker; INSERT INTO readings VALUES (1000, 1, 1, 'x'); SELECT ad_resume_job('quick')), 'restored');
job_state($node, 'quick', q(last_status = 'succeeded' AND watermark = '1000' AND last_processed <= 1), 'its jobs go on where they stood', 'restored');
is(sql(q(SELECT count(*) FROM anomaly_detection_results r WHERE source_record_id <= 200), 'restored'), sql('SELECT count(*) FROM anomaly_detection_results'),
	'and score nothing again');
sql('DROP DATABASE restored');

# 18: nothing starts during pg_upgrade, and afterwards jobs go on where they stood

sql(q(SET ROLE worker; SELECT ad_alter_job('quick', cron_schedule => '1 second', active => true)));
job_state($node, 'quick', q(last_status = 'succeeded'), 'a job runs before pg_upgrade');
$node->stop;
my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
$upgraded->init(extra => ['--no-sync']);
$upgraded->append_conf('postgresql.conf', join "\n", preload("timezone = 'UTC'", 'fsync = off'));
my $bin = $node->config_data('--bindir');
chdir PostgreSQL::Test::Utils::tempdir();
command_ok([ 'pg_upgrade', '--no-sync', '--retain', '-d', $node->data_dir, '-D', $upgraded->data_dir, '-b', $bin, '-B', $bin, '-s', $node->host,
	'-p', $node->port, '-P', $upgraded->port ], 'pg_upgrade of a server with jobs');
my @logs = glob($upgraded->data_dir . '/pg_upgrade_output.d/*/log/*.log');
cmp_ok(scalar @logs, '>', 0, 'it keeps its logs');
is(scalar(grep { slurp_file($_) =~ /anomaly_detect launcher started/ } @logs), 0, '18: nothing of ours is started meanwhile');
$upgraded->start;
$upgraded->safe_psql('postgres', q(INSERT INTO readings VALUES (2000, 1, 1, 'x')));
job_state($upgraded, 'quick', q(watermark = '2000'), '18: its jobs go on afterwards');
is($upgraded->safe_psql('postgres', q(SELECT count(*) - count(DISTINCT source_record_id) FROM anomaly_detection_results WHERE job_id = (SELECT id FROM anomaly_detection_jobs))),
	0, 'and score nothing again');
$upgraded->stop;
$node->start;

# Without the preload, nothing runs, and it is said why

$node->append_conf('postgresql.conf', q(shared_preload_libraries = ''));
$node->restart;
is(sql(q(SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'anomaly_detect')), 0, 'without shared_preload_libraries, there is no scheduler');
sql(q(SET ROLE worker; SELECT ad_resume_job('quick')));
like(sql(q(SELECT ad_health()->'problems')), qr/not in shared_preload_libraries/, 'ad_health says so');
is(sql(q(SET ROLE worker; SELECT ad_run_job('quick')->>'status')), 'succeeded', 'ad_run_job works');

unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'nothing crashed');
$node->stop;
done_testing();
