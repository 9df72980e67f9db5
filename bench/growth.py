"""How time and memory grow with rows, columns, trees, batches and models."""

import threading
from statistics import median

from calls import FORGET, detect, score_point, train
from data import make_table, names
from measure import Bound, Work, measure, micros, print_table, ratio

LINEAR = Bound(0.9, 1.1)
FLAT = Bound(high=1.1)
MEGABYTE = 1 << 20


class Growth:
    """One method for each section. `bench` and its model `m` are there."""

    def __init__(self, server, connect, options):
        self.server = server
        self.connect = connect
        self.rows = options.rows
        self.few = max(options.rows // 10, 1000)
        self.rounds = options.rounds
        self.tables = {options.rows: "bench"}

    def table_of(self, rows):
        """A table like `bench` with other rows."""
        if rows not in self.tables:
            self.tables[rows] = f"rows_{rows}"
            make_table(self.server.cursor, self.tables[rows], rows, 10)
        return self.tables[rows]

    def training(self, statement, rows):
        """A statement, after which the model that it trained goes."""
        forget = ("SELECT ad_drop_model('timed')",)
        return Work(lambda: self.server.timed(statement, after=forget), rows)

    def reading(self, statement, rows):
        """A statement that leaves nothing behind, but for a line about its run."""
        return Work(lambda: self.server.timed(statement), rows)

    def detection(self, table, model, rows, batch_size=1000):
        return self.reading(detect(table, model, batch_size, store="none"), rows)

    def run_rows(self):
        sizes = [self.rows // 10, self.rows // 2, self.rows, 2 * self.rows, 4 * self.rows]
        works = {n: self.detection(self.table_of(n), "m", n) for n in sizes}
        figures = measure(works, self.rounds)
        cells = []
        for n in sizes:
            value = ratio(figures, (n,), (self.rows,))
            cells.append((f"{n:,}", f"{median(figures[n]) * n:.3f}", micros(median(figures[n])),
                          f"{value:.2f}", LINEAR, LINEAR.verdict(value)))
        print_table("Rows: `ad_detect`, store none, 10 columns, 100 trees",
                    ("rows", "s", "us a row", f"against {self.rows:,} rows", "bound", "ok"), cells)

    def run_columns(self):
        works = {}
        for k in (2, 10, 30, 100):
            table = f"columns_{k}"
            make_table(self.server.cursor, table, self.few, k)
            self.server.execute(train(table, k, table))
            sums = ", ".join(f"sum({name})" for name in names(k))
            works[k] = self.detection(table, table, self.few)
            works[k, "sum"] = self.reading(f"SELECT {sums} FROM {table}", self.few)
            works[k, "train"] = self.training(train(table, k, "timed"), self.few)
        figures = measure(works, self.rounds)
        cells = [(k, *(micros(median(figures[key])) for key in ((k, "sum"), (k, "train"), k)))
                 for k in works if isinstance(k, int)]
        print_table(f"Columns: us a row, {self.few:,} rows, 100 trees",
                    ("columns", "sum of each", "`ad_train`", "`ad_detect`, store none"), cells)

    def run_trees(self):
        table = self.table_of(self.few)
        works = {}
        for trees in (50, 100, 300, 1000):
            model = f"trees_{trees}"
            self.server.execute(train(table, 10, model, n_estimators=trees))
            works[trees] = self.detection(table, model, self.few)
            works[trees, "train"] = self.training(train(table, 10, "timed", n_estimators=trees), 1)
        figures = measure(works, self.rounds)
        cells = [(trees, f"{median(figures[trees, 'train']) * 1e3:.1f}",
                  micros(median(figures[trees])))
                 for trees in works if isinstance(trees, int)]
        print_table(f"Trees: {self.few:,} rows, 10 columns",
                    ("trees", "`ad_train`, ms", "`ad_detect`, store none, us a row"), cells)

    def run_batches(self):
        sizes = (100, 1000, 10_000, 100_000)
        works = {n: self.detection("bench", "m", self.rows, n)
                 for n in sizes}
        figures = measure(works, self.rounds)
        print_table(f"Batches: `ad_detect`, store none, {self.rows:,} rows",
                    ("batch_size", "us a row"),
                    [(f"{n:,}", micros(median(figures[n]))) for n in sizes])

    def run_models(self):
        make_table(self.server.cursor, "small", 1000, 10)
        for i in range(1, 1001):
            self.server.execute(train("small", 10, f"many_{i}"))
        cells = []
        for cache in (64, 4096):
            for count in (1, 10, 100, 1000):
                cells.append(self.score_models(cache, count))
        print_table("Models: one row scored by each, in one session",
                    ("models", "cache", "first, ms a model", "again, ms a model", "memory grew by",
                     "bound", "ok"), cells)

    def score_models(self, cache, count):
        """The cells of so many models and megabytes of cache, in a session of its own."""
        server = self.connect()
        call = score_point("'many_' || i", 10)
        score = f"SELECT sum({call}) FROM generate_series(1, {count}) i"
        server.execute("SELECT " + score_point("'m'", 10), "SET jit = off",
                       f"SET anomaly_detect.model_cache_size = '{cache}MB'")
        status = Status(server)
        before = status.memory("RssAnon")
        first, again = server.timed(score), server.timed(score)
        grown = (status.memory("RssAnon") - before) / MEGABYTE
        server.close()
        # The cache counts what models hold; the allocator and the catalogs' caches take some, too.
        bound = Bound(high=1.1 * cache + 16)
        return (f"{count:,}", f"{cache} MB", f"{first / count * 1e3:.3f}",
                f"{again / count * 1e3:.3f}", f"{grown:.1f} MB", f"{bound} MB",
                bound.verdict(grown))

    def run_memory(self):
        cells = []
        for store in ("none", "anomalies", "all"):
            sizes = (self.rows, 4 * self.rows)
            peaks = [self.peak(detect(self.table_of(n), "m", store=store, raw_data="none"))
                     for n in sizes]
            for n, (anonymous, whole) in zip(sizes, peaks):
                value = anonymous / peaks[0][0]
                cells.append((store, f"{n:,}", f"{anonymous / MEGABYTE:.1f}",
                              f"{whole / MEGABYTE:.1f}", f"{value:.2f}", FLAT,
                              FLAT.verdict(value)))
        print_table("Memory of the session during `ad_detect`",
                    ("store", "rows", "own, MB at its peak", "with shared buffers, MB",
                     f"own, against {self.rows:,} rows", "bound", "ok"), cells)

    def peak(self, statement):
        """The largest RssAnon during a statement in a session of its own, and VmHWM after it."""
        server = self.connect()
        status = Status(server)
        done = threading.Event()
        highest = [0]

        def watch():
            while not done.wait(0.002):
                highest[0] = max(highest[0], status.memory("RssAnon"))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            server.execute(statement)
        finally:
            done.set()
            watcher.join()
        whole = status.memory("VmHWM")
        server.close()
        self.server.execute(FORGET, "CHECKPOINT")
        return highest[0], whole


class Status:
    """What the system says about the process of a session."""

    def __init__(self, server):
        self.path = f"/proc/{server.connection.info.backend_pid}/status"

    def memory(self, field):
        """A size, in bytes."""
        with open(self.path, encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise KeyError(field)


SECTIONS = tuple(name[4:] for name in vars(Growth) if name.startswith("run_"))


def run(server, connect, options, sections):
    """Measures and prints some sections."""
    growth = Growth(server, connect, options)
    for section in SECTIONS:
        if section in sections:
            getattr(growth, "run_" + section)()
