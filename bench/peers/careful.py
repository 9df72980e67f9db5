"""What a careful programmer does outside of the server, with one thread: binary COPY out, arrays
instead of objects, one call each to fit and to score, and COPY of the anomalies back."""

import io
import json
import time

import numpy
from sklearn.ensemble import IsolationForest

from data import from_copy, names

CONTAMINATION = 0.01


def fetch(cursor, table, columns):
    """The ids and the values of a table."""
    content = io.BytesIO()
    features = ", ".join(names(columns))
    cursor.copy_expert(f"COPY (SELECT id, {features} FROM {table}) TO STDOUT (FORMAT binary)",
                       content)
    return from_copy(content.getbuffer(), columns)


def store(cursor, table, ids, values, scores):
    """Stores anomalies in the table of results.sql."""
    lines = io.StringIO()
    keys = names(values.shape[1])
    for key, row, score in zip(ids, values.tolist(), scores):
        features = json.dumps(dict(zip(keys, row)))
        lines.write(f"{table}\t{key}\tt\t{-score}\t{-score}\tcareful\tIsolationForest\t"
                    f"{features}\n")
    lines.seek(0)
    cursor.copy_expert("COPY peer_results (source_table, source_record_id, is_anomaly, "
                       "anomaly_score, confidence, model_id, algorithm, features) FROM STDIN",
                       lines)


def detect(cursor, table, columns):
    """Trains on a table, scores it and stores the anomalies; returns seconds."""
    begin = time.perf_counter()
    ids, values = fetch(cursor, table, columns)
    forest = IsolationForest(n_estimators=100, max_samples=256, n_jobs=1, random_state=0)
    scores = forest.fit(values).score_samples(values)
    strange = numpy.flatnonzero(scores <= numpy.quantile(scores, CONTAMINATION))
    store(cursor, table, ids[strange], values[strange], scores[strange])
    return time.perf_counter() - begin


def score_seconds(values):
    """The seconds of score_samples alone, on rows that are in memory."""
    forest = IsolationForest(n_estimators=100, max_samples=256, n_jobs=1, random_state=0)
    forest.fit(values)
    begin = time.perf_counter()
    forest.score_samples(values)
    return time.perf_counter() - begin
