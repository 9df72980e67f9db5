-- What accuracy.sh calls. A line is an algorithm with its settings and the row of the reference that
-- it is compared with.
CREATE EXTENSION anomaly_detect;
CREATE UNLOGGED TABLE line (line serial, algorithm text, parameters jsonb, preprocess jsonb, reference text, seeds integer);
CREATE UNLOGGED TABLE reference (dataset text, algorithm text, implementation text, settings text, seeds integer,
    auroc_mean float8, auroc_std float8, ap_mean float8, ap_std float8);
CREATE UNLOGGED TABLE measured (line integer, dataset text, seed integer, auroc float8, ap float8);

CREATE PROCEDURE keep_lines(chosen text[]) LANGUAGE sql AS $$
    DELETE FROM line WHERE cardinality(chosen) > 0 AND algorithm <> ALL (chosen)
$$;

CREATE PROCEDURE measure(dataset text) LANGUAGE plpgsql AS $$
DECLARE
    l record;
    features text[] := (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
                        WHERE attrelid = 'data'::regclass AND attname LIKE 'f%');
    metrics jsonb;
BEGIN
    FOR l IN SELECT line.*, seed FROM line, generate_series(1, seeds) seed ORDER BY line, seed LOOP
        PERFORM ad_train('data', features, 'measured', l.algorithm, l.parameters, preprocess => l.preprocess,
                         random_seed => l.seed);
        metrics := ad_evaluate('measured', 'data', 'label');
        INSERT INTO measured VALUES (l.line, dataset, l.seed, (metrics->>'auroc')::float8,
                                     (metrics->>'average_precision')::float8);
        PERFORM ad_drop_model('measured');
        COMMIT;
    END LOOP;
END
$$;

-- A verdict is ok within 0.002 if nothing is random, else within the largest of 0.02 and 3 standard deviations,
-- of the reference or of ours: some references have one seed, or several that share their trees.
CREATE VIEW by_set AS
SELECT line, m.dataset AS set, round(avg(m.auroc)::numeric, 4) AS auroc, round(stddev_pop(m.auroc)::numeric, 4) AS std,
       round(avg(m.ap)::numeric, 4) AS ap, round(max(r.auroc_mean)::numeric, 4) AS reference_auroc,
       round(max(r.ap_mean)::numeric, 4) AS reference_ap,
       CASE WHEN max(r.auroc_mean) IS NULL THEN '-'
            WHEN abs(avg(m.auroc) - max(r.auroc_mean))
                 <= CASE WHEN max(l.seeds) = 1 AND max(r.seeds) = 1 THEN 0.002 ELSE greatest(0.02, 3 * max(r.auroc_std), 3 * stddev_pop(m.auroc)) END THEN 'ok'
            WHEN avg(m.auroc) > max(r.auroc_mean) THEN 'better' ELSE 'WORSE' END AS verdict
FROM measured m JOIN line l USING (line) LEFT JOIN reference r ON r.dataset = m.dataset AND r.algorithm = l.reference
GROUP BY line, m.dataset
ORDER BY line, m.dataset;

CREATE VIEW by_line AS
SELECT l.line, l.algorithm || coalesce(' ' || nullif(l.parameters::text, '{}'), '') || coalesce(' ' || nullif(l.preprocess::text, '{}'), '') AS algorithm,
       l.seeds, round(avg(s.auroc), 4) AS auroc, round(avg(s.ap), 4) AS ap, l.reference,
       round(avg(s.reference_auroc), 4) AS its_auroc, round(avg(s.reference_ap), 4) AS its_ap,
       count(*) FILTER (WHERE verdict = 'ok') AS ok, count(*) FILTER (WHERE verdict = 'better') AS better,
       count(*) FILTER (WHERE verdict = 'WORSE') AS worse,
       string_agg(format('%s %s', s.set, s.auroc - s.reference_auroc), ', ') FILTER (WHERE verdict IN ('better', 'WORSE')) AS outside
FROM by_set s JOIN line l USING (line)
GROUP BY l.line, l.algorithm, l.parameters, l.preprocess, l.seeds, l.reference
ORDER BY l.line;
