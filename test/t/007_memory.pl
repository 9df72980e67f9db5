# The memory of a session depends on the sample and on the cache, not on how much passes through.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use AdTest;
use Test::More;

# Pages of shared memory count as those of each process that touched them: few of them. The compiler
# of PostgreSQL takes 50 MB, and more when a query is dear enough to be optimised.
my $node = start_node('memory', [], 'shared_buffers = 4MB', 'jit = off', 'max_parallel_workers_per_gather = 0',
	'work_mem = 4MB', 'max_wal_size = 4GB');
$node->safe_psql('postgres', 'CREATE EXTENSION anomaly_detect');
make_readings($node, 800_000);
$node->safe_psql('postgres', q(CREATE VIEW entities AS SELECT *, id % 500 AS entity, id % 100 = 0 AS bad FROM readings));

my $now = q((regexp_match(pg_read_file('/proc/self/status'), 'VmRSS:\s+(\d+)'))[1]::integer);
my $peak = q((regexp_match(pg_read_file('/proc/self/status'), 'VmHWM:\s+(\d+)'))[1]::integer);

# Kilobytes at the peak of a new session that runs a query.
sub peak_of
{
	my ($query) = @_;
	return (split /\n/, $node->safe_psql('postgres', "$query; SELECT $peak"))[-1];
}

my $base = peak_of('SELECT length(ad_fit(\'{}\', a)) FROM (SELECT a FROM readings LIMIT 100) r');
note("a session that has trained on 100 rows: $base kB");
for my $case (
	[ 'ad_train', q(SELECT ad_train('readings', ARRAY['a', 'b', 'c'], 'm', parameters => '{"n_estimators": 20}', where_clause => 'id <= %d')) ],
	[ 'ad_train of 500 entities', q(SELECT ad_train('entities', ARRAY['a', 'b'], 'entities', 'mad', where_clause => 'id <= %d',
		partition_by => ARRAY['entity'], label_column => 'bad', sample_size => 200)) ],
	[ 'ad_evaluate', q(SELECT ad_evaluate('m', 'entities', 'bad', 'id <= %d')) ],
	[ 'ad_detect by entity', q(SELECT ad_detect('entities', NULL, 'entities', 'id <= %d', options => '{"store": "none", "id_column": "id"}')) ],
	[ 'ad_detect', q(SELECT ad_detect('readings', NULL, 'm', 'id <= %d', options => '{"store": "anomalies"}')) ],
	[ 'ad_detect_batches', q(CALL ad_detect_batches('readings', NULL, 'm', 'id <= %d', options => '{"store": "anomalies"}')) ],
	[ 'ad_detect that stores all rows', q(SELECT ad_detect('readings', NULL, 'm', 'id <= %d', options => '{"raw_data": "all"}')), 50_000 ],
	[ 'ad_detect that stores them by INSERT',
	  q(SET client_min_messages = warning; CREATE OR REPLACE RULE deleted AS ON DELETE TO anomaly_detection_results DO ALSO NOTHING;
	  SELECT ad_detect('readings', NULL, 'm', 'id <= %d', options => '{"raw_data": "all"}')), 50_000 ],
	[ 'ad_score of two types of rows in turn',
	  q(SELECT sum(ad_score('m', CASE WHEN id % 2 = 0 THEN x ELSE y END)) FROM generate_series(1, %d) id,
	  (SELECT q AS x FROM (SELECT 1::float8 AS a, 2::float8 AS b, '' AS c) q OFFSET 0) p,
	  (SELECT q AS y FROM (SELECT 1::float8 AS a, 2::float8 AS b, '' AS c, 3 AS d) q OFFSET 0) z), 50_000 ],
	[ 'ad_score', q(SELECT sum(ad_score('m', r)) FROM readings r WHERE id <= %d) ])
{
	my ($what, $query, $rows) = @$case;
	$rows //= 200_000;
	my ($few, $many) = map { peak_of(sprintf($query, $_)) } ($rows, 4 * $rows);
	note("$what: $few kB for $rows rows, $many kB for four times as many");
	cmp_ok($many, '<', $few * 1.1 + 1024, "$what: four times the rows take no more memory");
	cmp_ok($many, '<', $base + 50 * 1024, "$what: it stays within 50 MB");
}

# Documents of 2 MB: what is read and what is stored goes by bytes as well as by rows.
$node->safe_psql('postgres', q(
	DROP RULE deleted ON anomaly_detection_results;
	CREATE TABLE documents (id int PRIMARY KEY, v float8, doc text);
	ALTER TABLE documents ALTER doc SET STORAGE EXTERNAL;
	INSERT INTO documents SELECT i, i, repeat(i % 10 || ' words', 300000) FROM generate_series(1, 200) i;
	SELECT ad_train('documents', '{v}', 'documents', 'mad'), ad_train('documents', '{v,doc}', 'texts', 'isolation_forest', sample_size => 10);));
for my $case (
	[ 'stored documents', q(SELECT ad_detect('documents', NULL, 'documents', options => '{"raw_data": "all"}')) ],
	[ 'documents stored by INSERT', q(CREATE RULE deleted AS ON DELETE TO anomaly_detection_results DO ALSO NOTHING;
	  SELECT ad_detect('documents', NULL, 'documents', options => '{"raw_data": "all"}'); DROP RULE deleted ON anomaly_detection_results) ],
	[ 'documents as features', q(SELECT count(*) FROM ad_scores('documents', 'texts')) ])
{
	my ($what, $query) = @$case;
	my $kilobytes = peak_of($query);
	note("$what: $kilobytes kB");
	cmp_ok($kilobytes, '<', $base + 100 * 1024, "$what take no memory for all at once");
}
$node->safe_psql('postgres', 'DROP TABLE documents; TRUNCATE anomaly_detection_results');

# 2,000 models in one session.

$node->safe_psql('postgres', q(
	INSERT INTO model_registry (model_id, name, algorithm, version, feature_columns, parameters, is_active,
		preprocess, threshold, training_rows, random_seed, format_version, size_bytes)
	SELECT 'm' || i || '@1', 'm' || i, algorithm, 1, feature_columns, parameters, true,
		preprocess, threshold, training_rows, random_seed, format_version, size_bytes
	FROM model_registry, generate_series(1, 2000) i WHERE model_id = 'm@1';
	INSERT INTO model_artifacts SELECT 'm' || i || '@1', data FROM model_artifacts, generate_series(1, 2000) i WHERE model_id = 'm@1';
	ANALYZE model_registry, model_artifacts;));
my $all = q(SELECT count(ad_score(n, 1.0, 2.0, 'machine 1')) FROM (SELECT 'm' || i AS n FROM generate_series(%d, %d) i) s);
my $context = q(SELECT sum(total_bytes) / 1024 FROM pg_backend_memory_contexts WHERE name LIKE 'anomaly_detect model%');
my $size = $node->safe_psql('postgres', q(SELECT max(size_bytes) / 1024 FROM model_registry WHERE name = 'm'));
for my $limit ('0', '4MB')
{
	my @lines = split /\n/, $node->safe_psql('postgres', join(';', "SET anomaly_detect.model_cache_size = '$limit'",
		sprintf($all, 1, 400), "SELECT $now", sprintf($all, 1, 2000), sprintf($all, 1, 2000), "SELECT $now", "SELECT $peak",
		"SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'anomaly_detect model'",
		sprintf($all, 1990, 2000)));
	my (undef, $some, undef, undef, $many, $highest, $cached) = @lines;
	note("cache of $limit, models of $size kB: $some kB after 400 models, $many kB after 4,400, $highest kB at the peak, $cached cached");
	cmp_ok($many, '<', $some + 2048, "a cache of $limit does not grow with the number of models");
	cmp_ok($highest, '<', $base + 24 * 1024, "a cache of $limit keeps its limit");
}

# Statements that use one model many times, and that fail many times.

my @lines = split /\n/, $node->safe_psql('postgres', qq(
	DO \$\$ BEGIN FOR i IN 1 .. 2000 LOOP PERFORM ad_score('m', 1.0, 2.0, 'machine 1'); END LOOP; END \$\$;
	SELECT $now;
	DO \$\$ BEGIN FOR i IN 1 .. 5000 LOOP
		PERFORM ad_score('m', 1.0, 2.0, 'machine 1');
		BEGIN
			PERFORM ad_score('m', 1.0);
		EXCEPTION WHEN invalid_parameter_value THEN NULL;
		END;
		BEGIN
			PERFORM ad_fit('{"parameters": {"n_estimators": -1}}', i, i);
		EXCEPTION WHEN invalid_parameter_value THEN NULL;
		END;
	END LOOP; END \$\$;
	SELECT $now;));
note("$lines[0] kB after 2,000 scores, $lines[1] kB after 5,000 more with errors between them");
cmp_ok($lines[1], '<', $lines[0] + 2048, 'errors leave nothing in memory');

# Training again and again in one session.
@lines = split /\n/, $node->safe_psql('postgres', qq(
	DO \$\$ BEGIN FOR i IN 1 .. 20 LOOP PERFORM ad_fit('{"random_seed": 1}', a, b, c) FROM readings WHERE id < 2000; END LOOP; END \$\$;
	SELECT $now;
	DO \$\$ BEGIN FOR i IN 1 .. 100 LOOP PERFORM ad_fit('{"random_seed": 1}', a, b, c) FROM readings WHERE id < 2000; END LOOP; END \$\$;
	SELECT $now;));
note("$lines[0] kB after 20 trainings, $lines[1] kB after 120");
cmp_ok($lines[1], '<', $lines[0] + 2048, 'trainings leave nothing in memory');

$node->stop;
done_testing();
