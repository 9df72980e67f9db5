# The scheduler, by a clock that the test moves. Numbers in names are those of the reports on other
# schedulers in docs/internals.md.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = start_node('jobs', [], preload("timezone = 'UTC'", "anomaly_detect.max_running_jobs = 4",
	"anomaly_detect.mock_clock = '2100-03-01 12:00:30'", 'max_worker_processes = 16'));
make_worker_role($node);
make_readings($node, 1000);
$node->safe_psql('postgres', q(GRANT ALL ON readings TO worker; SET ROLE worker;
	SELECT ad_train('readings', '{a,b}', 'm', random_seed => 1);));

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub as_worker { return sql("SET ROLE worker; $_[0]"); }
sub state { return job_state($node, @_); }
sub pid { return sql("SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type = 'anomaly_detect $_[0]'"); }
sub runs { return sql("SELECT count(*) FROM anomaly_detection_runs r JOIN anomaly_detection_jobs j ON j.id = r.job_id WHERE job_name = '$_[0]' AND r.status = 'succeeded'"); }

# Who is there

ok($node->poll_query_until('postgres', q(SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type ~ '^anomaly_detect (launcher|scheduler)$')),
	'the launcher and a scheduler run');
ok($node->poll_query_until('postgres', q(SELECT (ad_health()->'scheduler'->>'scheduler')::int = pid FROM pg_stat_activity WHERE backend_type = 'anomaly_detect scheduler')),
	'ad_health knows the scheduler');
like(sql(q(SELECT ad_health()->>'status', ad_health()->'problems')), qr/^ok\|\[\]$/, 'and finds nothing wrong');

# A job runs when it is due, and not before

as_worker(q(SELECT ad_schedule('hourly', 'readings', NULL, 'm', '0 * * * *', '{"watermark_column": "id", "store": "all"}')));
is(sql(q(SELECT next_run FROM ad_job_status)), '2100-03-01 13:00:00+00', 'the next time is known');
set_clock($node, '2100-03-01 12:59:59');
sleep 0.5;
is(runs('hourly'), 0, 'a second before its time, it does not run');
set_clock($node, '2100-03-01 13:00:00');
state('hourly', q(last_status = 'succeeded' AND last_processed = 1000), 'at its time, it does');
is(sql(q(SELECT next_run FROM ad_job_status)), '2100-03-01 14:00:00+00', 'and the next time is set');
is(sql(q(SELECT count(*), count(DISTINCT source_record_id) FROM anomaly_detection_results)), '1000|1000', 'the rows are scored');
is(sql(q(SELECT owner, scheduled_for FROM anomaly_detection_runs)), 'worker|2100-03-01 13:00:00+00', 'as the owner of the job');
set_clock($node, '2100-03-01 12:00:00');
sleep 0.5;
is(runs('hourly'), 1, 'a clock that is set back runs nothing again');
set_clock($node, '2100-03-05 17:30:00');
state('hourly', q(next_run = '2100-03-05 18:00:00+00' AND last_status = 'succeeded'), '14, 44: times that were missed are made up for by one run');
is(runs('hourly'), 2, 'by one only');

# 1: the launcher and the scheduler come back

for my $process (qw(launcher scheduler))
{
	my $old = pid($process);
	sql("SELECT pg_terminate_backend($old)");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'anomaly_detect $process' AND pid <> $old"),
		"1, 99, 188, 302: the $process returns after pg_terminate_backend");
}
is(sql(q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'anomaly_detect scheduler')), 1, 'there is still one scheduler');

# 3: what is broken stops nobody else

sql(q(CREATE ROLE gone LOGIN; CREATE ROLE renamed LOGIN; CREATE ROLE refused LOGIN; GRANT ALL ON SCHEMA public TO gone, renamed, refused;
	GRANT SELECT ON readings TO gone, renamed, refused;));
for my $role (qw(gone renamed refused))
{
	sql(qq(SET ROLE $role; SELECT ad_train('readings', '{a}', '$role', 'mad');
		SELECT ad_schedule('of $role', 'readings', NULL, '$role', '\@hourly', '{"watermark_column": "id", "max_retries": 0, "circuit_breaker_threshold": 1}');));
}
as_worker(q(CREATE TABLE doomed AS SELECT * FROM readings; ALTER TABLE doomed ADD PRIMARY KEY (id);
	SELECT ad_schedule('doomed', 'doomed', NULL, 'm', '@hourly', '{"watermark_column": "id", "max_retries": 0}');
	SELECT ad_train('readings', '{a}', 'doomed model', 'mad');
	SELECT ad_schedule('no model', 'readings', NULL, 'doomed model', '@hourly', '{"watermark_column": "id", "max_retries": 0}');
	SELECT ad_drop_model('doomed model');
	DROP TABLE doomed;));
sql(q(REVOKE ALL ON readings FROM gone; REVOKE ALL ON SCHEMA public FROM gone; DROP ROLE gone; ALTER ROLE renamed RENAME TO changed; ALTER ROLE refused NOLOGIN;
	DELETE FROM model_registry WHERE name = 'gone'));
# what no function of ours would write
as_worker(q(INSERT INTO anomaly_detection_jobs (job_name, source_table, schedule_cron, next_run, configuration) VALUES
	('by hand 1', 'public.readings', 'nonsense', '2100-03-05 18:00', '{}'), ('by hand 2', 'x; DROP TABLE readings', '@hourly', '2100-03-05 18:00', '{"retry_period": "x"}'),
	('by hand 3', 'public.readings', '@hourly', '2100-03-05 18:00', '{"timeout": "x", "retention": "y", "batch_size": -1}')));
set_clock($node, '2100-03-05 18:00:01');
state('hourly', q(next_run = '2100-03-05 19:00:00+00' AND last_status = 'succeeded'), '3: a job runs beside');
state('of gone', q(last_status = 'failed' AND last_error ~ 'role that owns the job does not exist' AND circuit_state = 'open'), '3, 399: one whose owner is dropped');
state('of refused', q(last_status = 'failed' AND last_error ~ 'role refused may not log in'), 'one whose owner may not log in');
state('of renamed', q(last_status = 'succeeded' AND owner::text = 'changed'), '3, 5511: one whose owner is renamed runs');
state('doomed', q(last_status = 'failed' AND last_error ~ 'relation public.doomed does not exist'), '3, 2086: one whose table is dropped');
state("by hand $_", q(last_status = 'failed'), "3: row $_ that makes no sense") for 1 .. 3;
is(sql(q(SELECT state FROM ad_job_status WHERE job_name = 'by hand 2')), 'paused', 'it is paused where it stops us');
is(sql(q(SELECT _ad_prune_history() >= 0)), 't', 'and the rest is pruned');
state('no model', q(last_status = 'failed' AND last_error ~ 'model "doomed model" does not exist'), 'one whose model is dropped');
sql(q(SELECT ad_unschedule(job_name) FROM anomaly_detection_jobs WHERE job_name <> 'hourly'));

# A listener hears the ids of an alert, and nothing else

as_worker(q(SELECT ad_schedule('heard', 'readings', NULL, 'm', '@yearly', '{"watermark_column": "id"}')));
my $heard = as_worker(q(LISTEN anomaly_detect; SELECT ad_run_job('heard')));
my $ids = sql(q(SELECT jsonb_build_object('outbox_id', o.id, 'alert_id', a.id, 'job_id', a.job_id)
	FROM anomaly_detection_outbox o JOIN anomaly_detection_alerts a ON a.id = o.alert_id WHERE a.job_name = 'heard'));
like($heard, qr/^Asynchronous notification "anomaly_detect" with payload "\Q$ids\E" received/m, 'a run with anomalies notifies of its alert');
sql(q(SELECT ad_unschedule('heard')));

# 6, 15: a run that is unscheduled stops

# A row of the source is read only while the gate is open.
as_worker(q(CREATE TABLE gate (open boolean); INSERT INTO gate VALUES (false);
	CREATE FUNCTION wait(bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
	BEGIN
		WHILE NOT (SELECT open FROM gate) LOOP PERFORM pg_sleep(0.02); END LOOP;
		RETURN true;
	END $$;));
sub gate { sql("UPDATE gate SET open = $_[0]"); return; }

sub gated_job
{
	my ($name, $schedule, $more) = @_;
	gate('false');
	return as_worker(qq(SELECT ad_schedule('$name', 'readings', NULL, 'm', '$schedule', '{"where_clause": "wait(id)", "alerts": false, "retry_period": "1 minute"}' || '{$more}'::jsonb)));
}

gated_job('stopped', '@hourly');
set_clock($node, '2100-03-05 19:00:00');
state('stopped', q(state = 'running' AND pid IS NOT NULL), 'ad_job_status shows a run that goes on');
like(sql(q(SELECT a.application_name, a.backend_type, a.usename, a.query FROM pg_stat_activity a JOIN ad_job_status USING (pid))),
	qr/anomaly_detect job \d+\|anomaly_detect job\|worker\|CALL public\._ad_run_job/, 'and pg_stat_activity says what it is');
ok($node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM ad_progress WHERE job_id IS NOT NULL)), 'ad_progress too');
my $process = sql(q(SELECT pid FROM ad_job_status WHERE job_name = 'stopped'));
cmp_ok(seconds_of(sub { as_worker(q(SELECT ad_unschedule('stopped'))) }), '<', 5, '6, 69, 74: a job is unscheduled while it runs');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $process"), '15, 178: its run ends');
is(sql(q(SELECT count(*) FROM anomaly_detection_runs WHERE status = 'running')), 0, 'and is recorded as ended');

# Nobody waits for a batch in order to change or to pause a job; the batch is done again by what is true then.

gated_job('changed', '@hourly', '"watermark_column": "id", "store": "all"');
set_clock($node, '2100-03-05 19:30:00');
as_worker(q(UPDATE anomaly_detection_jobs SET next_run = '2100-03-05 19:30:00' WHERE job_name = 'changed'));
state('changed', q(state = 'running'), 'a batch goes on');
cmp_ok(seconds_of(sub { as_worker(q(SELECT ad_alter_job('changed', configuration => '{"raw_data": "none"}', watermark => '100'))) }), '<', 5, 'a job is altered meanwhile');
cmp_ok(seconds_of(sub { as_worker(q(SELECT ad_pause_job('changed'))) }), '<', 5, 'and paused');
gate('true');
state('changed', q(state = 'paused' AND last_status = 'succeeded' AND watermark = '1000'), 'its run is finished');
is(sql(q(SELECT count(*), min(source_record_id), count(raw_data) FROM anomaly_detection_results WHERE job_id = (SELECT id FROM anomaly_detection_jobs WHERE job_name = 'changed'))),
	'900|101|0', 'as the job was altered');
is(sql(q(SELECT status, batches, processed_records FROM anomaly_detection_runs ORDER BY id DESC LIMIT 1)), 'succeeded|1|900', 'by a run that counts what it stored');
as_worker(q(SELECT ad_unschedule('changed')));

# A member of the admin role has no privilege to end processes, nor has he need of one.

sql(q(CREATE ROLE boss LOGIN; ALTER SYSTEM SET anomaly_detect.admin_role = 'boss'));
gated_job('of worker', '@hourly', '"watermark_column": "id"');
as_worker(q(UPDATE anomaly_detection_jobs SET next_run = '2100-03-05 19:30:00' WHERE job_name = 'of worker'));
$node->reload;
state('of worker', q(state = 'running'), 'a run goes on');
$process = sql(q(SELECT pid FROM ad_job_status WHERE job_name = 'of worker'));
is(sql(q(SET ROLE boss; SELECT ad_unschedule('of worker'))), 't', 'a member of the admin role unschedules a job of another');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $process"), 'its run ends');
gate('true');

# Cancel, pause, terminate

gated_job('cancelled', '@hourly', '"max_retries": 1');
set_clock($node, '2100-03-05 20:00:00');
state('cancelled', q(state = 'running'), 'a run goes on');
sql(q(SELECT pg_cancel_backend(pid) FROM ad_job_status WHERE job_name = 'cancelled'));
state('cancelled', q(last_status = 'failed' AND state = 'retrying' AND last_error ~ 'canceling statement' AND next_run BETWEEN '2100-03-05 20:01:00' AND '2100-03-05 20:01:15'),
	'a run that is cancelled fails, and is repeated after its period and some jitter');
my $next = sql(q(SELECT next_run FROM ad_job_status WHERE job_name = 'cancelled'));
$node->restart;
is(sql(q(SELECT next_run FROM ad_job_status WHERE job_name = 'cancelled')), $next, '5, 5531, 9366: when a failed run is repeated survives a restart');
gate('true');
set_clock($node, '2100-03-05 20:01:20');
state('cancelled', q(last_status = 'succeeded' AND failed_attempts = 0 AND next_run = '2100-03-05 21:00:00+00'), '15, 5978: a job that was stopped runs again');
is(sql(q(SELECT max(attempt) FROM anomaly_detection_runs r JOIN anomaly_detection_jobs j ON j.id = r.job_id AND j.job_name = 'cancelled')), 2, 'as its second attempt');
as_worker(q(SELECT ad_pause_job('cancelled')));
set_clock($node, '2100-03-05 22:00:00');
state('hourly', q(next_run = '2100-03-05 23:00:00+00'), 'others run');
is(sql(q(SELECT state, last_run FROM ad_job_status WHERE job_name = 'cancelled')), 'paused|2100-03-05 20:01:20+00', 'a paused job does not run');
as_worker(q(SELECT ad_unschedule('cancelled')));

# A limit of time

gated_job('endless', '@hourly', '"timeout": "400 ms", "max_retries": 0');
set_clock($node, '2100-03-05 23:00:00');
state('endless', q(last_status = 'failed' AND last_error = 'the run took longer than 400 ms and was ended'), 'a run that takes too long is ended');
as_worker(q(SELECT ad_unschedule('endless')));
as_worker(q(CREATE FUNCTION stubborn(bigint) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
		END LOOP;
	END $$;
	SELECT ad_schedule('stubborn', 'readings', NULL, 'm', '@hourly', '{"where_clause": "stubborn(id)", "timeout": "400 ms", "max_retries": 0}');));
set_clock($node, '2100-03-05 23:30:00');
as_worker(q(UPDATE anomaly_detection_jobs SET next_run = '2100-03-05 23:30:00' WHERE job_name = 'stubborn'));
state('stubborn', q(last_status = 'failed' AND last_error = 'the run took longer than 400 ms and was ended'), 'one that catches the cancellation, too, some seconds later');
as_worker(q(SELECT ad_unschedule('stubborn')));

# 11, 14: overlap

gated_job('skips', '30 seconds');
gated_job('queues', '30 seconds', '"overlap_policy": "queue"');
set_clock($node, '2100-03-06 00:00:00');
state($_, q(state = 'running'), "$_: a run goes on") for qw(skips queues);
set_clock($node, '2100-03-06 00:02:10');
sleep 0.4;
is(sql(q(SELECT count(*) FROM anomaly_detection_runs WHERE status = 'running')), 2, 'no second run of a job begins beside the first');
gate('true');
state('skips', q(skipped_runs = 1 AND next_run > '2100-03-06 00:02:10+00'), '11, 14, 240, 354: times that pass meanwhile are skipped, and counted');
state('queues', q(next_run > '2100-03-06 00:02:10+00' AND skipped_runs = 0), 'or made up for');
is(runs('skips') . ' ' . runs('queues'), '1 2', 'by one run');
ok($node->log_contains(qr/anomaly_detect: job "skips" took from .* past its next time, .* which is skipped/), '11: the log says so');
as_worker(q(SELECT ad_unschedule(j) FROM unnest('{skips,queues}'::text[]) j));

# 8: more than may run at once; 500 jobs, of which 50 are due

as_worker(q(SELECT count(ad_schedule('many ' || i, 'readings', NULL, 'm', CASE WHEN i <= 50 THEN '0 3 * * *' ELSE '0 9 1 1 *' END,
	'{"where_clause": "CASE WHEN id = 1 THEN pg_sleep(0.05) IS NOT NULL END", "alerts": false}')) FROM generate_series(1, 500) i));
set_clock($node, '2100-03-06 03:00:00');
ok($node->poll_query_until('postgres', q(SELECT count(*) > 0 FROM ad_job_status WHERE waiting_for = 'anomaly_detect.max_running_jobs is reached')),
	'8, 63: jobs that wait for others say so');
my $most = 0;
my $begin = time;
while (sql(q(SELECT count(*) FROM anomaly_detection_jobs WHERE job_name ~ 'many' AND last_status = 'succeeded')) < 50 && time < $begin + 60)
{
	my $now = sql(q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'anomaly_detect job'));
	$most = $now if $now > $most;
}
note(sprintf('50 of 500 jobs, 4 at a time: %.1f s', time - $begin));
is(sql(q(SELECT count(*), count(DISTINCT job_id), bool_and(r.status = 'succeeded') FROM anomaly_detection_runs r JOIN anomaly_detection_jobs j ON j.id = r.job_id AND job_name ~ 'many')),
	'50|50|t', '50 jobs that are due at once all run, once');
cmp_ok($most, '<=', 4, "at most max_running_jobs at a time ($most seen)");
as_worker(q(SELECT count(ad_unschedule('many ' || i)) FROM generate_series(1, 500) i));

# Jobs that are always due do not starve others.
as_worker(q(SELECT count(ad_schedule('busy ' || i, 'readings', NULL, 'm', '1 second', '{"where_clause": "CASE WHEN id = 1 THEN pg_sleep(0.1) IS NOT NULL END", "overlap_policy": "queue", "alerts": false}')) FROM generate_series(1, 8) i;
	SELECT ad_schedule('rare', 'readings', NULL, 'm', '0 4 * * *', '{"watermark_column": "id"}')));
for my $tick (0 .. 24)
{
	set_clock($node, sprintf('2100-03-06 04:00:%05.2f', $tick * 0.2));
	sleep 0.2;
}
state('rare', q(last_status = 'succeeded' AND next_run = '2100-03-07 04:00:00+00'), 'a rare job has its turn among busy ones');
my ($fewest, $largest) = split /\|/, sql(q(SELECT min(n), max(n) FROM (SELECT count(*) AS n FROM anomaly_detection_runs r JOIN anomaly_detection_jobs j ON j.id = r.job_id AND job_name ~ 'busy' GROUP BY job_id) c));
cmp_ok($largest - $fewest, '<=', 2, "busy jobs have as many turns as each other ($fewest to $largest)");
as_worker(q(SELECT count(ad_unschedule('busy ' || i)) FROM generate_series(1, 8) i; SELECT ad_unschedule('rare')));

# Nor do jobs of one role those of others, though it writes into their rows that they have waited for 6,800 years.

sql(q(CREATE ROLE greedy LOGIN; GRANT ALL ON SCHEMA public TO greedy; GRANT SELECT ON readings TO greedy;));
sql(q(SET ROLE greedy; SELECT ad_train('readings', '{a}', 'greedy', 'mad');
	CREATE FUNCTION push(bigint) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE public.anomaly_detection_jobs SET next_run = '4713-01-01 BC', last_run = NULL WHERE id IN (
			SELECT id FROM public.anomaly_detection_jobs WHERE owner = 'greedy'::regrole FOR UPDATE SKIP LOCKED);
		PERFORM pg_sleep(0.3);
		RETURN true;
	END $$;
	SELECT count(ad_schedule('greedy ' || i, 'readings', NULL, 'greedy', '1 second', '{"where_clause": "CASE WHEN id = 1 THEN push(id) END", "overlap_policy": "queue", "alerts": false}')) FROM generate_series(1, 12) i;));
set_clock($node, '2100-03-06 05:00:00');
ok($node->poll_query_until('postgres', q(SELECT count(*) >= 4 FROM anomaly_detection_jobs WHERE next_run < '0001-01-01 BC')), 'a role has its jobs due for ever');
as_worker(q(SELECT ad_schedule('modest', 'readings', NULL, 'm', '@yearly', '{"watermark_column": "id"}'); UPDATE anomaly_detection_jobs SET next_run = '2100-03-06 05:00:00' WHERE job_name = 'modest'));
cmp_ok(seconds_of(sub { state('modest', q(last_status = 'succeeded'), 'a job of another role has its turn') }), '<', 5, 'soon');
sql(q(SELECT count(ad_unschedule(job_name)) FROM anomaly_detection_jobs WHERE job_name <> 'hourly'));

# Somebody who holds the runs locked makes no job a broken one.

gated_job('held', '@yearly', '"watermark_column": "id"');
as_worker(q(UPDATE anomaly_detection_jobs SET next_run = '2100-03-06 05:00:00' WHERE job_name = 'held'));
state('held', q(state = 'running'), 'a run goes on');
my $holder = query_in_background($node, 'holder', q(SET ROLE worker; BEGIN; LOCK TABLE anomaly_detection_runs IN SHARE MODE; SELECT pg_sleep(3); COMMIT;));
wait_for_query($node, 'holder', 'pg_sleep');
sql(q(SELECT pg_terminate_backend(pid) FROM ad_job_status WHERE job_name = 'held'));
finish($holder);
gate('true');
ok($node->poll_query_until('postgres', q(SELECT count(*) > 0 FROM anomaly_detection_runs r JOIN anomaly_detection_jobs j ON j.id = r.job_id
	WHERE j.job_name = 'held' AND r.status = 'failed' AND r.error = 'the process of the run ended before its time')), 'the run is settled when the lock is gone');
state('held', q(last_status = 'succeeded' AND state = 'scheduled'), 'and repeated');
as_worker(q(SELECT ad_unschedule('held')));

# A role may have settings that no run could do with.

sql(q(ALTER ROLE worker SET default_transaction_read_only = on; ALTER ROLE worker SET row_security = off));
sql(q(UPDATE anomaly_detection_jobs SET next_run = '2100-03-06 05:00:00', last_status = NULL WHERE job_name = 'hourly'));
state('hourly', q(last_status = 'succeeded'), 'a job runs for a role whose transactions are read-only');
sql(q(ALTER ROLE worker RESET ALL));

# 12, 13, 16, 29, 290: the zone of a job, and its daylight saving

as_worker(q(SELECT ad_schedule('berlin', 'readings', NULL, 'm', '30 2 * * *', '{"watermark_column": "id"}', 'Europe/Berlin');
	SELECT ad_schedule('kathmandu', 'readings', NULL, 'm', '0 0 29 2 *', '{"watermark_column": "id"}', 'Asia/Kathmandu');));
is(sql(q(SELECT next_run FROM ad_job_status WHERE job_name = 'kathmandu')), '2104-02-28 18:15:00+00', '12: leap days, in a zone of quarters of hours');
set_clock($node, '2100-03-27 12:00:00');
state('berlin', q(last_status = 'succeeded' AND next_run = '2100-03-28 01:00:00+00'), '13, 563: a time that daylight saving leaves out comes with the next one that exists');
set_clock($node, '2100-03-28 01:00:00');
state('berlin', q(last_status = 'succeeded' AND next_run = '2100-03-29 00:30:00+00' AND last_run = '2100-03-28 01:00:00+00'), 'it runs then, once');
set_clock($node, '2100-10-30 12:00:00');
state('berlin', q(last_status = 'succeeded' AND next_run = '2100-10-31 00:30:00+00'), 'a time that comes twice');
set_clock($node, '2100-10-31 00:30:00');
state('berlin', q(last_status = 'succeeded' AND next_run = '2100-11-01 01:30:00+00'), 'is taken once');
as_worker(q(SELECT ad_unschedule(j) FROM unnest('{berlin,kathmandu}'::text[]) j));

# 19 to 22: what a user sets, or puts in the way, is nothing to the scheduler

sql(q(CREATE SCHEMA hostile; GRANT ALL ON SCHEMA hostile TO PUBLIC; CREATE TABLE captured (by name); GRANT ALL ON captured TO PUBLIC;));
for my $type (qw(text bigint timestamptz boolean oid))
{
	sql(qq(CREATE FUNCTION hostile.trap($type, $type) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.captured VALUES (current_user); RETURN false; END';)
		. join '', map { "CREATE OPERATOR hostile.$_ (FUNCTION = hostile.trap, LEFTARG = $type, RIGHTARG = $type);" } qw(= <> < > <= >=));
}
sql(q(CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.captured VALUES (current_user); RETURN NULL; END';
	ALTER DATABASE postgres SET search_path = hostile, pg_catalog, public; ALTER DATABASE postgres SET statement_timeout = '1ms';
	ALTER DATABASE postgres SET default_transaction_read_only = on;));
$node->safe_psql('template1', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'anomaly_detect scheduler'));
$node->safe_psql('template1', q(ALTER ROLE worker SET search_path = hostile, public; ALTER ROLE worker SET default_transaction_read_only = off; ALTER ROLE worker SET statement_timeout = 0));
$node->safe_psql('template1', q(ALTER SYSTEM SET anomaly_detect.mock_clock = '2100-11-02 00:00:00'));
$node->reload;
ok($node->poll_query_until('template1', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'anomaly_detect scheduler')), 'a scheduler in a hostile database');
sleep 1.5;
$node->safe_psql('template1', q(ALTER DATABASE postgres RESET ALL; ALTER ROLE worker RESET ALL));
state('hourly', q(last_status = 'succeeded' AND last_run = '2100-11-02 00:00:00+00'), '20, 2147: a job runs');
is(sql('SELECT count(*) FROM captured'), 0, 'and nothing of ours calls what is not ours');

# What fits better than what pg_catalog has, in the schema of the extension: found by nothing that a superuser runs

sql(q(CREATE ROLE intruder; GRANT CREATE ON SCHEMA public TO intruder; CREATE TABLE caught (by text); GRANT INSERT ON caught TO PUBLIC));
for my $pair (['oid', 'regrole'], ['oid', 'regclass'], ['bigint', 'integer'], ['integer', 'bigint'], ['bigint', 'smallint'])
{
	for my $op (qw(= <> < > <= >=))
	{
		my $name = 'trap_' . { '=' => 'eq', '<>' => 'ne', '<' => 'lt', '>' => 'gt', '<=' => 'le', '>=' => 'ge' }->{$op};
		sql(qq(SET ROLE intruder; CREATE FUNCTION public.$name($pair->[0], $pair->[1]) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS 'BEGIN
			INSERT INTO public.caught SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid(); RETURN \$1::bigint $op \$2::bigint; END';
			CREATE OPERATOR public.$op (FUNCTION = public.$name, LEFTARG = $pair->[0], RIGHTARG = $pair->[1])));
	}
}
sql(q(SET ROLE intruder; CREATE FUNCTION public.format(text, bigint, text) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN
		INSERT INTO public.caught VALUES ('anomaly_detect scheduler'); RETURN ''; END $$;
	CREATE FUNCTION public._ad_setting(name varchar) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN
		INSERT INTO public.caught VALUES ('anomaly_detect scheduler'); RETURN 'on'; END $$;));
gated_job('reaped', '@yearly', '"watermark_column": "id"');
as_worker(q(UPDATE anomaly_detection_jobs SET next_run = '2100-11-02 00:00:00' WHERE job_name = 'reaped';
	INSERT INTO anomaly_detection_jobs (job_name, source_table, schedule_cron, next_run, configuration) VALUES ('odd', 'public.readings', 'nonsense', '2100-11-02 00:00', '{"retention": "300000 years", "retry_period": "300000 years"}')));
state('reaped', q(state = 'running'), 'a run goes on');
sql(q(SELECT pg_terminate_backend(pid) FROM ad_job_status WHERE job_name = 'reaped'));
gate('true');
state('reaped', q(last_status = 'succeeded'), 'it is repeated after its process was ended');
state('odd', q(state = 'paused'), 'a row that is broken is paused');
pass('pruned ' . sql(q(SELECT _ad_prune_history())));
is(sql(q(SELECT count(*) FROM caught WHERE by = 'anomaly_detect scheduler')), 0, 'the scheduler calls nothing of the schema that was not asked for');
sql(q(DROP OWNED BY intruder; SELECT ad_unschedule(j) FROM unnest('{reaped,odd}'::text[]) j));

# Jobs of superusers

sql(q(SELECT ad_train('readings', '{a}', 'super', 'mad'); SELECT ad_schedule('super', 'readings', NULL, 'super', '@hourly', '{"watermark_column": "id"}')));
set_clock($node, '2100-11-02 01:00:00');
state('hourly', q(last_run = '2100-11-02 01:00:00+00'), 'others run');
is(sql(q(SELECT last_run, waiting_for FROM ad_job_status WHERE job_name = 'super')), '|anomaly_detect.enable_superuser_jobs is off', '20, 367: jobs of superusers do not run');
sql(q(ALTER SYSTEM SET anomaly_detect.enable_superuser_jobs = on));
$node->reload;
state('super', q(last_status = 'succeeded'), 'unless they are allowed');
sql(q(SELECT ad_unschedule('super')));

# Nothing runs while jobs are switched off

sql(q(ALTER SYSTEM SET anomaly_detect.launch_active_jobs = off));
set_clock($node, '2100-11-02 02:00:00');
sleep 0.5;
state('hourly', q(state = 'due' AND last_run = '2100-11-02 01:00:00+00' AND waiting_for = 'anomaly_detect.launch_active_jobs is off'), 'launch_active_jobs = off: a job waits, and says so');
sql(q(ALTER SYSTEM RESET anomaly_detect.launch_active_jobs));
$node->reload;
state('hourly', q(last_run = '2100-11-02 02:00:00+00'), 'and runs when it is on');

# 16, 675: an idle scheduler holds no snapshot and no transaction

is(sql(q(SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'anomaly_detect (launcher|scheduler)' AND (backend_xmin IS NOT NULL OR xact_start IS NOT NULL) AND state = 'idle')), 0,
	'16: no snapshot is held while idle');

# 10, 26, 128, 397: memory

my $rss = sub { my ($pid) = @_; open(my $f, '<', "/proc/$pid/status") or return 0; my ($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$f>; return $kb; };
my @processes = (pid('launcher'), pid('scheduler'));
my $loop = q(DO $$ BEGIN FOR i IN 1..%d LOOP PERFORM ad_schedule('loop', 'readings', NULL, 'm', '1 second', '{"watermark_column": "id"}'); PERFORM ad_unschedule('loop'); COMMIT; END LOOP; END $$);
as_worker(sprintf($loop, 200));
sleep 0.5;
my @before = map { $rss->($_) } @processes;
as_worker(sprintf($loop, 1000));
sleep 0.5;
my @after = map { $rss->($_) } @processes;
note("memory in kB of launcher and scheduler before and after 1000 loops: @before, @after");
cmp_ok($after[$_] - $before[$_], '<', 300, "10: memory of the " . (qw(launcher scheduler))[$_] . ' is flat over 1000 jobs made and removed') for 0, 1;

# History is pruned

sql(q(UPDATE anomaly_detection_runs SET finished_at = now() - interval '40 days' WHERE id = (SELECT min(id) FROM anomaly_detection_runs);
	ALTER SYSTEM SET anomaly_detect.results_retention = '1d'; INSERT INTO anomaly_detection_results (source_table, detection_timestamp, is_anomaly, anomaly_score, confidence, model_id, algorithm, source_record_key, run_id, p_value, threshold)
	VALUES ('x', now() - interval '2 days', true, 1, 1, 'x', 'x', '{}', 1, 0, 0)));
$node->reload;
my $old = pid('scheduler');
cmp_ok(sql(q(SELECT _ad_prune_history())), '>=', 1, 'what is older than it is to be kept is deleted');
is(sql(q(SELECT count(*) FROM anomaly_detection_runs WHERE finished_at < now() - interval '30 days')), 0, 'runs are');
is(sql(q(SELECT count(*) FROM anomaly_detection_results WHERE source_table = 'x')), 0, 'results are');

# More than a portion is deleted at once

sql(q(INSERT INTO anomaly_detection_results (source_table, detection_timestamp, is_anomaly, anomaly_score, confidence, model_id, algorithm, source_record_key, run_id, p_value, threshold)
	SELECT 'x', now() - interval '2 days', true, 1, 1, 'x', 'x', '{}', 1, 0, 0 FROM generate_series(1, 25000);
	SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'anomaly_detect scheduler'));
ok($node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM anomaly_detection_results WHERE source_table = 'x')), 'a scheduler that starts deletes all there is');
ok($node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'anomaly_detect scheduler')), 'it is there');
$old = pid('scheduler');

# 7, 252, 415: the files of another version

sql(q(UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'anomaly_detect'));
set_clock($node, '2100-11-02 05:00:00');
my $tries = 0;
sleep 0.1 while !$node->log_contains(qr/the extension has version 0.9, the library 1.0/) && ++$tries < 50;
cmp_ok($tries, '<', 50, '7, 252, 415: of an extension of another version, the scheduler says so');
is(pid('scheduler'), $old, 'and waits');
sql(q(UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'anomaly_detect'));
state('hourly', q(last_run = '2100-11-02 05:00:00+00'), 'until it is updated');

unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP|server process .* was terminated/, 'nothing crashed');
$node->stop;
done_testing();
