# Where nothing can be written, everything that reads works, and the rest says why not.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use Test::More;

my $primary = start_node('primary', [ allows_streaming => 1 ]);
$primary->safe_psql('postgres', 'CREATE EXTENSION anomaly_detect');
make_readings($primary, 1000);
$primary->safe_psql('postgres', q(
	SELECT ad_train('readings', NULL, 'm', random_seed => 1);
	SELECT ad_train('readings', ARRAY['a'], 'm', random_seed => 2, activate => false);
	SELECT ad_detect('readings', NULL, 'm');
	SELECT ad_schedule('job', 'readings', NULL, 'm', '@hourly', '{"watermark_column": "id"}');));

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

my %reads = (
	ad_score => q(SELECT md5(string_agg(ad_score('m', r)::text, ',' ORDER BY id)) FROM readings r),
	ad_is_anomaly => q(SELECT count(*) FROM readings r WHERE ad_is_anomaly('m@2', a)),
	ad_predict => q(SELECT ad_predict('m', r) FROM readings r WHERE id = 17),
	ad_explain => q(SELECT ad_explain('m', r) FROM readings r WHERE id = 17),
	ad_scores => q(SELECT count(*), sum(anomaly_score) FROM ad_scores('readings', 'm', 'id < 500', explain => true)),
	ad_detect_data => q(SELECT ad_detect_data(ARRAY[[1, 2], [3, 4], [500, 6]]::float8[])->'predictions'),
	ad_validate => q(SELECT count(*) FROM ad_validate('readings') WHERE status = 'error'),
	ad_summary => q(SELECT ad_summary('readings')->'summary'->'total_records'),
	ad_next_runs => q(SELECT count(*) FROM ad_next_runs('@hourly')),
	ad_health => q(SELECT ad_health()->'jobs'),
	ad_model_info => q(SELECT ad_model_info('m@2')->'feature_columns'),
	ad_fit => q(SELECT length(ad_fit('{"random_seed": 1}', a, b)) FROM readings),
	views => q(SELECT (SELECT count(*) FROM ad_models), (SELECT count(*) FROM ad_model_versions), (SELECT count(*) FROM ad_results_flat),
		(SELECT count(*) FROM ad_recent_anomalies) > 0, (SELECT count(*) FROM ad_progress), (SELECT count(*) FROM ad_job_status), (SELECT count(*) FROM ad_open_alerts), (SELECT count(*) FROM ad_algorithms) > 1));

my %writes = (
	ad_train => q(SELECT ad_train('readings', NULL, 'n')),
	ad_train_data => q(SELECT ad_train_data(ARRAY[[1, 2], [3, 4]]::float8[], NULL, 'n')),
	ad_detect => q(SELECT ad_detect('readings', NULL, 'm')),
	ad_detect_batches => q(CALL ad_detect_batches('readings', NULL, 'm')),
	ad_activate => q(SELECT ad_activate('m@2')),
	ad_set_alias => q(SELECT ad_set_alias('m', 'best', 2)),
	ad_drop_model => q(SELECT ad_drop_model('m')),
	ad_schedule => q(SELECT ad_schedule('other', 'readings', NULL, 'm', '@hourly')),
	ad_run_job => q(SELECT ad_run_job('job')),
	ad_alter_job => q(SELECT ad_alter_job('job', cron_schedule => '@daily')),
	ad_pause_job => q(SELECT ad_pause_job('job')),
	ad_unschedule => q(SELECT ad_unschedule('job')),
	ad_prune => q(SELECT ad_prune('0')));

# These do more than fail: they say what to do.
my %hints = map { $_ => 1 } qw(ad_train ad_train_data ad_detect ad_detect_batches ad_run_job);

my %answers = map { $_ => $primary->safe_psql('postgres', $reads{$_}) } keys %reads;
for my $where ([ 'standby', $standby, '' ], [ 'read-only transaction', $primary, 'SET default_transaction_read_only = on; ' ])
{
	my ($what, $node, $prefix) = @$where;
	is($node->safe_psql('postgres', $prefix . $reads{$_}), $answers{$_}, "$what: $_ works") for sort keys %reads;
	for my $name (sort keys %writes)
	{
		my $error = failure($node, $prefix . $writes{$name});
		like($error, $hints{$name} ? qr/^25006\|.*\|.+/ : qr/^25006\|/, "$what: $name says why not");
		note($error);
	}
	is($node->safe_psql('postgres', $prefix . $reads{ad_score}), $answers{ad_score}, "$what: and scoring still works");
}

$standby->promote;
is($standby->safe_psql('postgres', $writes{ad_train}), 'n@1', 'a standby that is promoted trains');
like($standby->safe_psql('postgres', $writes{ad_detect}), qr/"processed_records": 1000/, 'and detects');

$standby->stop;
$primary->stop;
done_testing();
