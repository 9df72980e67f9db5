-- Trains and scores one labelled table from SQL; psql variables: algorithm, parameters, seeds, and
-- reference (what the comparison calls this algorithm). The table is data(id, f1 .. fd, label).
SELECT array_agg(attname::text ORDER BY attnum) AS features FROM pg_attribute
WHERE attrelid = 'data'::regclass AND attname LIKE 'f%' \gset

TRUNCATE accuracy;
SELECT format('SELECT ad_train(''data'', %L, ''seed %s'', %L, %L, random_seed => %s)', :'features', seed,
              :'algorithm', :'parameters', seed)
FROM generate_series(1, :seeds) seed \gexec
SELECT format($$
    WITH scored AS (
        SELECT d.label, s.anomaly_score AS score
        FROM ad_scores('data', 'seed %s') s
        JOIN data d ON d.id = (s.record_key->>'id')::bigint
    ), ranked AS (
        -- average rank among equals for the area under the ROC curve
        SELECT label, score, rank() OVER (ORDER BY score) + (count(*) OVER (PARTITION BY score) - 1) / 2.0 AS rank,
               count(*) OVER (ORDER BY score DESC) AS taken,
               sum(label) OVER (ORDER BY score DESC) AS hits
        FROM scored
    )
    INSERT INTO accuracy
    SELECT (sum(rank) FILTER (WHERE label = 1) - p * (p + 1) / 2.0) / (p * (n - p)),
           avg(hits::float8 / taken) FILTER (WHERE label = 1)
    FROM ranked, (SELECT count(*) AS n, sum(label) AS p FROM scored) c
    GROUP BY n, p $$, seed)
FROM generate_series(1, :seeds) seed \gexec

SELECT format('%-18s %s  %s  %s  %s  %s  %s', :'set',
    round(avg(auroc)::numeric, 4), round(stddev_pop(auroc)::numeric, 4), round(avg(ap)::numeric, 4),
    coalesce(round(max(r.auroc_mean)::numeric, 4)::text, '      '), coalesce(round(max(r.ap_mean)::numeric, 4)::text, '      '),
    CASE WHEN max(r.auroc_mean) IS NULL THEN '-'
         WHEN abs(avg(a.auroc) - max(r.auroc_mean)) <= greatest(0.02, 3 * max(r.auroc_std)) THEN 'ok'
         WHEN avg(a.auroc) > max(r.auroc_mean) THEN 'better' ELSE 'WORSE' END)
FROM accuracy a LEFT JOIN reference r ON r.dataset = :'set' AND r.algorithm = :'reference';
INSERT INTO totals SELECT avg(auroc), avg(ap) FROM accuracy;
