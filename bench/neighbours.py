"""Scores rows by their nearest neighbours, beside scikit-learn with one thread, and prints how many
times as many rows a second the core scores. bench/neighbours.sh builds what this runs."""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy
import sklearn
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from measure import Bound, Work, measure, micros, print_table, ratio

PROGRAM = Path(__file__).parent.parent / "build" / "bench" / "neighbours"
COLUMNS = 10
SCORED = 1024
BOUNDS = {20_000: Bound(low=5), 100_000: Bound(low=10)}
HEADER = ("reference rows", "detector", "us a row", "scikit-learn", "ratio", "bound", "held")


def normal(random, rows):
    """Rows without structure: the worst case."""
    return random.standard_normal((rows, COLUMNS))


def clustered(random, rows):
    """Twenty groups of different width."""
    centers = 5 * random.standard_normal((20, COLUMNS))
    widths = 0.2 + random.random((20, 1))
    group = random.integers(20, size=rows)
    return centers[group] + widths[group] * random.standard_normal((rows, COLUMNS))


def knn(reference):
    """scikit-learn's distances to the neighbours."""
    neighbors = NearestNeighbors(n_neighbors=5, algorithm="auto", n_jobs=1).fit(reference)
    return neighbors.kneighbors


def local_outlier_factor(reference):
    """scikit-learn's scores of new rows."""
    return LocalOutlierFactor(n_neighbors=20, novelty=True, n_jobs=1).fit(reference).score_samples


class Core:
    """A process that has fitted a detector and scores when it is told to."""

    def __init__(self, algorithm, rows, reference, directory):
        file = Path(directory) / "rows"
        rows.tofile(file)
        parameters = json.dumps({"max_reference": reference})
        self.process = subprocess.Popen(
            [PROGRAM, algorithm, parameters, file, str(reference), str(COLUMNS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.run()  # waits for the fit

    def run(self):
        """Scores all rows once and returns seconds."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def timed(function, rows):
    """The seconds of a call."""
    begin = time.perf_counter()
    function(rows)
    return time.perf_counter() - begin


def compare(algorithm, peer, make_rows, reference, rounds):
    """The cells of one line."""
    rows = make_rows(numpy.random.default_rng(1), reference + SCORED)
    rows = (rows - rows[:reference].mean(axis=0)) / rows[:reference].std(axis=0)
    score = peer(rows[:reference])
    queries = rows[reference:]
    with tempfile.TemporaryDirectory() as directory:
        core = Core(algorithm, rows, reference, directory)
        figures = measure({"core": Work(core.run, SCORED),
                           "scikit-learn": Work(lambda: timed(score, queries), SCORED)}, rounds)
        core.close()
    times = ratio(figures, ("scikit-learn",), ("core",))
    bound = BOUNDS[reference]
    return (f"{reference:,} {make_rows.__name__}", algorithm, micros(median(figures["core"])),
            micros(median(figures["scikit-learn"])), f"{times:.1f}", bound, bound.verdict(times))


def main():
    parser = argparse.ArgumentParser(prog="bench/neighbours.sh")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", choices=BOUNDS, default=list(BOUNDS))
    options = parser.parse_args()
    print_table(f"Nearest neighbours beside scikit-learn {sklearn.__version__}, {COLUMNS} columns",
                HEADER, [compare(peer.__name__, peer, make_rows, reference, options.rounds)
                         for reference in options.rows
                         for make_rows in (normal, clustered)
                         for peer in (knn, local_outlier_factor)])


main()
