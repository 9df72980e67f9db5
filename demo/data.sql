-- 50,000 readings of three air compressors, one each five minutes for eight weeks: daily cycles, a
-- weekly one, slow drift, dropouts (NULL), and faults whose truth is kept beside the readings.
-- The noise is a hash of the row's number: every run of the demo sees the same data.

CREATE FUNCTION uniform(id bigint, salt bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$ SELECT ((hashint8extended(id, salt) >> 12) + (1::bigint << 51) + 0.5) / (1::bigint << 52) $$;

CREATE FUNCTION normal(id bigint, salt bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$ SELECT sqrt(-2 * ln(uniform(id, salt))) * cos(2 * pi() * uniform(id, salt + 1)) $$;

CREATE TABLE sensor_readings (
    id bigint PRIMARY KEY,
    machine text NOT NULL,
    ts timestamptz NOT NULL,
    temperature float8,     -- degrees Celsius
    humidity float8,        -- percent
    pressure float8,        -- bar
    vibration float8        -- mm/s
);

CREATE TABLE sensor_truth (
    id bigint PRIMARY KEY REFERENCES sensor_readings,
    fault text NOT NULL
);

-- Faults that last: the reading of the machine at which each begins, and how many it lasts.
CREATE TEMP TABLE fault (kind text, machine int, start int, length int);
INSERT INTO fault VALUES
    ('offset', 0, 2900, 60), ('offset', 2, 11210, 60),      -- temperature sensor reads 14 degrees high
    ('stuck', 1, 4500, 40), ('stuck', 2, 7777, 30),         -- humidity sensor stuck at 80
    ('leak', 0, 8200, 96), ('leak', 1, 14400, 72),          -- pressure falls, more and more
    ('bearing', 1, 9700, 120);                              -- vibration and heat grow until the repair

CREATE TEMP TABLE raw AS
WITH reading AS (
    SELECT id, (id - 1) % 3 AS m, (id - 1) / 3 AS n,
           ((id - 1) / 3) / 288.0::float8 AS day,
           sin(2 * pi() * (((id - 1) / 3) / 288.0::float8 - 9 / 24.0)) AS cycle
    FROM generate_series(1, 50000) AS id
)
SELECT id, m, 'compressor-' || m + 1 AS machine,
       timestamptz '2026-01-05 00:00+00' + n * interval '5 minutes' AS ts,
       21 + m + 4 * cycle + 0.03 * day + 0.6 * normal(id, 10) AS temperature,
       48 - 1.5 * m - 6 * cycle + 3 * sin(2 * pi() * day / 7) + 1.8 * normal(id, 20) AS humidity,
       7 + 0.05 * m + 0.12 * cycle - 0.002 * day + 0.05 * normal(id, 30) AS pressure,
       1.2 * exp(0.15 * m + 0.25 * cycle + 0.12 * normal(id, 40)) AS vibration,
       coalesce(f.kind, CASE WHEN uniform(id, 50) < 0.002 THEN 'spike' END) AS fault,
       (n - f.start + 1) / f.length::float8 AS progress
FROM reading r LEFT JOIN fault f ON f.machine = r.m AND r.n >= f.start AND r.n < f.start + f.length;

INSERT INTO sensor_readings
SELECT id, machine, ts,
       CASE WHEN uniform(id, 60) >= 0.008 THEN round((temperature + CASE
           WHEN fault = 'offset' THEN 14
           WHEN fault = 'bearing' THEN 10 * progress
           WHEN fault = 'spike' AND id % 2 = 0 THEN 25 * sign(normal(id, 70))
           ELSE 0 END)::numeric, 1) END,
       CASE WHEN uniform(id, 61) >= 0.008 THEN round((
           CASE fault WHEN 'stuck' THEN 80 ELSE humidity END)::numeric, 1) END,
       CASE WHEN uniform(id, 62) >= 0.008 THEN round((
           pressure - CASE fault WHEN 'leak' THEN 2 * progress ELSE 0 END)::numeric, 2) END,
       CASE WHEN uniform(id, 63) >= 0.008 THEN round((vibration * CASE
           WHEN fault = 'bearing' THEN 1 + 4 * progress
           WHEN fault = 'spike' AND id % 2 = 1 THEN 5
           ELSE 1 END)::numeric, 2) END
FROM raw ORDER BY id;

INSERT INTO sensor_truth SELECT id, fault FROM raw WHERE fault IS NOT NULL ORDER BY id;
ANALYZE sensor_readings, sensor_truth;
