"""The usual detection service beside a database: asyncpg, pages by LIMIT and OFFSET, a
scaler, a forest, and an INSERT for each row with its features as JSON."""

import asyncio
import json
import time

import asyncpg
import numpy
from sklearn.ensemble import IsolationForest
from sklearn.preprocessing import StandardScaler

from data import names

PAGE = 1000

INSERT = """
    INSERT INTO peer_results (source_table, source_record_id, is_anomaly, anomaly_score, confidence,
                              model_id, algorithm, features)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


def matrix_of(records, features):
    """Values of records, one by one."""
    return numpy.array([[float(record[name]) for name in features] for record in records])


class Service:
    """A model, and the two things that the service does with it."""

    def __init__(self, table, columns):
        self.table = table
        self.features = names(columns)
        self.scaler = StandardScaler()
        self.forest = IsolationForest(n_estimators=100, random_state=42)

    async def page(self, connection, limit, offset):
        """Rows of the table, in the order of their ids."""
        return await connection.fetch(
            f"SELECT id, {', '.join(self.features)} FROM {self.table} "
            f"ORDER BY id LIMIT {limit} OFFSET {offset}")

    async def train(self, connection, rows):
        """Fits the scaler and the forest to the first rows."""
        values = matrix_of(await self.page(connection, rows, 0), self.features)
        self.forest.fit(self.scaler.fit_transform(values))

    async def detect(self, connection, rows):
        """Scores the first rows and stores every verdict."""
        for offset in range(0, rows, PAGE):
            records = await self.page(connection, min(PAGE, rows - offset), offset)
            values = self.scaler.transform(matrix_of(records, self.features))
            scores = self.forest.decision_function(values)
            verdicts = self.forest.predict(values)
            await connection.executemany(INSERT, [
                (self.table, record["id"], bool(verdict == -1), float(score), float(abs(score)),
                 "service", "IsolationForest",
                 json.dumps({name: float(record[name]) for name in self.features}))
                for record, score, verdict in zip(records, scores, verdicts)])


async def run(table, columns, rows):
    """Trains on the first rows of a table and detects in them; returns the seconds of each."""
    connection = await asyncpg.connect()
    service = Service(table, columns)
    begin = time.perf_counter()
    await service.train(connection, rows)
    trained = time.perf_counter()
    await service.detect(connection, rows)
    done = time.perf_counter()
    await connection.close()
    return trained - begin, done - trained


def seconds(table, columns, rows):
    """As `run`, for callers that are not asynchronous."""
    return asyncio.run(run(table, columns, rows))
