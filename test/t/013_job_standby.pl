# A standby that is promoted in the midst of a job goes on with it: nothing is lost, nothing doubled (4, 9360).

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use Test::More;
use Time::HiRes qw(sleep);

my $primary = start_node('primary', [ allows_streaming => 1 ], preload());
make_worker_role($primary);
make_readings($primary, 8_000);
$primary->safe_psql('postgres', q(GRANT ALL ON readings TO worker; SET ROLE worker; SELECT ad_train('readings', '{a,b}', 'm', random_seed => 1)));
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', q(SET ROLE worker; SELECT ad_schedule('j', 'readings', NULL, 'm', '1 second',
	'{"watermark_column": "id", "store": "all", "batch_size": 200, "min_confidence": 0, "where_clause": "pg_sleep(0.0001) IS NOT NULL"}')));
ok($primary->poll_query_until('postgres', 'SELECT count(*) BETWEEN 1000 AND 6000 FROM anomaly_detection_results'), 'a run goes on');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is($standby->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'anomaly_detect')), 0, 'nothing of ours runs on a standby');
is($standby->safe_psql('postgres', q(SELECT ad_health()->'problems')), '[]', 'ad_health does not mind');
$primary->stop('immediate');
$standby->promote;
my ($seen, $status) = split /\|/, $standby->safe_psql('postgres', q(SELECT (SELECT count(*) FROM anomaly_detection_results), (SELECT string_agg(status, ' ') FROM anomaly_detection_runs)));
note("rows scored before the promotion: $seen; runs: $status");
cmp_ok($seen, '<', 8_000, 'the standby is promoted in the midst of the run');
$standby->safe_psql('postgres', q(INSERT INTO readings SELECT i, 1, 2, 'x' FROM generate_series(8001, 8100) i));
ok($standby->poll_query_until('postgres', 'SELECT count(*) >= 8100 FROM anomaly_detection_results'), '4, 9360: the job goes on by itself');
sleep 1.2;
is($standby->safe_psql('postgres', 'SELECT count(*), count(DISTINCT source_record_id) FROM anomaly_detection_results'), '8100|8100', 'every row is scored once');
is($standby->safe_psql('postgres', 'SELECT count(*) = count(DISTINCT alert_id), count(*) = (SELECT count(*) FROM anomaly_detection_alerts) FROM anomaly_detection_outbox'), 't|t',
	'every alert has one message');
$standby->stop;
done_testing();
