"""Calls of the extension, as SQL."""

import json

from data import names

# Every stored verdict goes, so that the next detection finds the tables as this one did.
FORGET = "TRUNCATE anomaly_detection_results, anomaly_detection_runs"


def train(table, columns, model, **parameters):
    """Trains a model on all features of a table."""
    return (f"SELECT ad_train('{table}', '{{{', '.join(names(columns))}}}', '{model}', "
            f"parameters => '{json.dumps(parameters)}')")


def detect(table, model, batch_size=1000, **options):
    """Scores a table."""
    return (f"SELECT ad_detect('{table}', model_id => '{model}', batch_size => {batch_size}, "
            f"options => '{json.dumps(options)}')")


def score_point(model, columns):
    """Scores a row of constants; `model` is an expression."""
    return f"ad_score({model}, {', '.join(['0.5'] * columns)})"
