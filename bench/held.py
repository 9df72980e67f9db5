"""What the extension is held to: it beside the scan of a table, PostgreSQL's own INSERT, itself in
another form, and scikit-learn in the ways that people use it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from calls import FORGET, detect, score_point, train
from data import make_rows, names
from measure import Bound, Work, measure, micros, print_table, ratio, total
from peers import careful, service

COLUMNS = 10
FEATURES = ", ".join(names(COLUMNS))
KERNELS = Path(__file__).parent.parent / "build" / "bench" / "kernels"
PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Line:
    """A line of the table: the sum of some works, and another to divide it by."""

    section: str
    figure: str
    over: tuple
    against: str = ""
    under: tuple = ()
    bound: Bound = None


LINES = (
    Line("scan", "`SELECT count(*)`", ("count",)),
    Line("scan", "`SELECT sum(f1), ... sum(f10)`, below called sum", ("sum",)),
    Line("train", "`ad_train`", ("train",), "sum", ("sum",), Bound(high=1.0)),
    Line("detect", "`ad_detect`, store none", ("none",), "sum", ("sum",), Bound(high=2.5)),
    Line("detect", "`ad_detect`, store anomalies, 1 %", ("anomalies",), "store none", ("none",),
         Bound(high=1.4)),
    Line("score", "`sum(ad_score('m', f1, ... f10))`", ("score",), "sum", ("sum",),
         Bound(high=8)),
    Line("score", "the same", ("score",), "with one parallel worker", ("parallel",),
         Bound(low=1.8)),
    Line("score", "functions of PostgreSQL's own, `sum(sqrt(abs(sin(f1) * ...)))`",
         ("functions",), "with one parallel worker", ("parallel functions",)),
    Line("score", "`sum(ad_score('m', bench))`, a row", ("row",), "values", ("score",),
         Bound(high=1.4)),
    Line("score", "`sum(ad_score('m', to_jsonb(bench)))`", ("jsonb",), "values", ("score",)),
    Line("store", "`ad_detect`, store all with features", ("all",),
         "`INSERT ... SELECT` of the same rows, ready-made", ("insert",), Bound(high=1.4)),
    Line("python", "careful Python: COPY out, scikit-learn, COPY anomalies in", ("careful",),
         "`ad_train` + `ad_detect`, store anomalies", ("train", "anomalies"), Bound(low=20)),
    Line("service", "usual service: train, and 1000 rows at a time",
         ("service train", "service detect"), "`ad_train` + `ad_detect`, store all",
         ("train", "all"), Bound(low=12)),
    Line("plpython", "PL/Python: train", ("py train",), "`ad_train`", ("train",)),
    Line("plpython", "PL/Python: score in batches of 1000", ("py batches",),
         "`ad_detect`, store none", ("none",)),
    Line("plpython", "PL/Python: score row by row", ("py rows",),
         "`ad_score('m', f1, ... f10)`", ("score",)),
    Line("kernel", "`score_samples` of scikit-learn, rows in memory", ("sklearn",),
         "detector, 512 rows a call", ("block",), Bound(low=50)),
    Line("kernel", "the same", ("sklearn",), "detector, one row a call", ("single",),
         Bound(low=15)),
)
SECTIONS = tuple(dict.fromkeys(line.section for line in LINES)) + ("connection",)


class Held:
    """The works behind the lines."""

    def __init__(self, server, options):
        self.server = server
        self.rows = options.rows
        self.options = options

    def works(self):
        """Every work by name, in the order of a round."""
        statements = self.scans() | self.trainings() | self.scores() | self.storing()
        return statements | self.python() | self.in_server() | self.kernels()

    def statement(self, statement, before=(), after=(), rows=None):
        """A statement over the whole table, or over so many rows."""
        return Work(lambda: self.server.timed(statement, before, after), rows or self.rows)

    def scans(self):
        sums = ", ".join(f"sum({name})" for name in names(COLUMNS))
        return {"count": self.statement("SELECT count(*) FROM bench"),
                "sum": self.statement(f"SELECT {sums} FROM bench")}

    def trainings(self):
        return {"train": self.statement(train("bench", COLUMNS, "timed"),
                                        after=("SELECT ad_drop_model('timed')",))}

    def scores(self):
        plain = f"SELECT sum(ad_score('m', {FEATURES})) FROM bench"
        functions = ("SELECT sum(sqrt(abs(sin(f1) * cos(f2) + exp(f3) - ln(f4 * f4 + 1) * sin(f5)"
                     " + atan(f6) * cos(f7)))) FROM bench")
        one_worker = (("SET max_parallel_workers_per_gather = 1",),
                      ("RESET max_parallel_workers_per_gather",))
        return {
            "score": self.statement(plain),
            "parallel": self.statement(plain, *one_worker),
            "functions": self.statement(functions),
            "parallel functions": self.statement(functions, *one_worker),
            "row": self.statement("SELECT sum(ad_score('m', bench)) FROM bench"),
            "jsonb": self.statement("SELECT sum(ad_score('m', to_jsonb(bench))) FROM bench"),
        }

    def detection(self, **options):
        """ad_detect; what it stores goes before the next work."""
        return self.statement(detect("bench", "m", **options), after=(FORGET,))

    def storing(self):
        # The copy draws identities of its own.
        stored = self.server.execute(
            "SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attnum > 0 AND "
            "attidentity = '' AND attrelid = 'anomaly_detection_results'::regclass")[0]
        return {
            "none": self.detection(store="none"),
            "anomalies": self.detection(store="anomalies"),
            "all": self.detection(store="all", raw_data="none"),
            "insert": self.statement(
                f"INSERT INTO copied ({stored}) SELECT {stored} FROM ready_made",
                after=("TRUNCATE copied", "CHECKPOINT")),
        }

    def python(self):
        few = self.options.peer_rounds
        return {
            "careful": Work(self.run_careful, self.rows, few),
            # The service trains on the rows that it is measured on, however many it serves.
            "service train": Work(self.run_service, self.rows, few),
            "service detect": Work(lambda: self.service_detect, self.options.service_rows, few),
        }

    def run_careful(self):
        seconds = careful.detect(self.server.cursor, "bench", COLUMNS)
        self.server.execute("TRUNCATE peer_results")
        return seconds

    def run_service(self):
        train, self.service_detect = service.seconds("bench", COLUMNS, self.options.service_rows)
        self.server.execute("TRUNCATE peer_results")
        return train

    def in_server(self):
        few, single = self.rows // 10, 200
        return {
            "py train": self.statement(f"SELECT py_train({few})", rows=few),
            "py batches": self.statement(f"SELECT py_score_batches({few}, 1000)", rows=few),
            "py rows": self.statement(f"SELECT sum(py_score({FEATURES})) "
                                      f"FROM (SELECT * FROM bench LIMIT {single}) b", rows=single),
        }

    def kernels(self):
        rows = min(self.rows, 100_000)
        values = make_rows(1, rows, COLUMNS).astype("float32")
        return {"sklearn": Work(lambda: careful.score_seconds(values), rows),
                "block": Work(lambda: run_kernel("block/100x256x10"), 1),
                "single": Work(lambda: run_kernel("row/100x256x10"), 1)}


def run_kernel(name):
    """The seconds a row of a benchmark in bench/kernels.cpp."""
    output = subprocess.run(
        [KERNELS, f"--benchmark_filter=^{name}$", "--benchmark_format=json"],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return 1 / json.loads(output)["benchmarks"][0]["items_per_second"]


def prepare(server, needed):
    """Makes what the works need besides the table and its model."""
    server.execute((PEERS / "results.sql").read_text())
    if "insert" in needed:
        server.execute(
            detect("bench", "m", store="all", raw_data="none"),
            "CREATE TABLE ready_made AS TABLE anomaly_detection_results",
            "VACUUM (ANALYZE) ready_made",
            "CREATE TABLE copied (LIKE anomaly_detection_results INCLUDING ALL)",
            FORGET, "CHECKPOINT")
    if "py train" in needed:
        server.execute((PEERS / "in_server.sql").read_text(), "SELECT py_train(1000)")


def has_python(server):
    """Whether PL/Python is installed beside the server."""
    found = server.execute("SELECT name FROM pg_available_extensions WHERE name = 'plpython3u'")
    return found is not None


def print_line(line, figures, rows):
    """The cells of a line: seconds for all rows, or microseconds where it is about one."""
    def show(works):
        figure = median(total(figures, works))
        if line.section in ("plpython", "kernel"):
            return f"{micros(figure)} us a row"
        return f"{figure * rows:.3f} s"

    if not line.under:
        return line.figure, show(line.over), "", "", "", "", ""
    value = ratio(figures, line.over, line.under)
    verdict = (str(line.bound), line.bound.verdict(value)) if line.bound else ("", "")
    return (line.figure, show(line.over), line.against, show(line.under), f"{value:.2f}", *verdict)


def first_scores(connect, count):
    """Seconds of the first score of new sessions, less those of a round trip."""
    score = "SELECT " + score_point("'m'", COLUMNS)
    figures = []
    for _ in range(count):
        server = connect()
        trip = server.timed("SELECT 1")
        figures.append(server.timed(score) - trip)
        server.close()
    return figures


def print_connection(connect):
    """Measures and prints what a new session waits for."""
    count = 20
    milliseconds = median(first_scores(connect, count)) * 1e3
    bound = Bound(high=5)
    print_table("The first score of a session", ("figure", "median", "bound", "ok"),
                [(f"first `ad_score` of {count} sessions, less a `SELECT 1`",
                  f"{milliseconds:.2f} ms", f"{bound} ms", bound.verdict(milliseconds))])


def run(server, connect, options, sections):
    """Measures and prints the lines of some sections."""
    lines = [line for line in LINES if line.section in sections]
    if not has_python(server):
        lines = [line for line in lines if line.section != "plpython"]
    needed = {name for line in lines for name in line.over + line.under}
    prepare(server, needed)
    works = {name: work for name, work in Held(server, options).works().items() if name in needed}
    if lines:
        figures = measure(works, options.rounds)
        print_table(f"Held to: {options.rows:,} rows of {COLUMNS} columns",
                    ("figure", "median", "against", "median", "ratio", "bound", "ok"),
                    [print_line(line, figures, options.rows) for line in lines])
    if "service" in sections:
        print(f"\nThe service trains on and serves {options.service_rows:,} rows; its detection "
              f"is scaled to all {options.rows:,}, its training is not. Its pages behind those "
              "would take longer, as OFFSET grows.")
    if "connection" in sections:
        print_connection(connect)
