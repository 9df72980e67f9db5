"""Generated rows, and PostgreSQL's binary COPY format as numpy arrays."""

import io

import numpy

CHUNK = 100_000
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


def names(columns):
    """The names of a table's features: f1, f2 ..."""
    return [f"f{j}" for j in range(1, columns + 1)]


def record(columns):
    """A row of bigint, float8, float8 ... without nulls, as binary COPY has it."""
    fields = [("count", ">i2"), ("id_size", ">i4"), ("id", ">i8")]
    for name in names(columns):
        fields += [(name + "_size", ">i4"), (name, ">f8")]
    return numpy.dtype(fields)


def make_rows(first, count, columns):
    """Correlated bell-shaped columns; every hundredth row is four times as far out.

    The same ids have the same rows in every table of that many columns and whole chunks.
    """
    random = numpy.random.default_rng([first, columns])
    common = random.standard_normal((count, 1))
    values = 0.6 * common + 0.8 * random.standard_normal((count, columns))
    values[99::100] *= 4
    return values


def to_copy(first, values):
    """Rows with the ids `first`, `first` + 1 ... as a file to COPY from."""
    columns = values.shape[1]
    rows = numpy.empty(len(values), record(columns))
    rows["count"] = columns + 1
    rows["id_size"] = 8
    rows["id"] = numpy.arange(first, first + len(values))
    for j, name in enumerate(names(columns)):
        rows[name + "_size"] = 8
        rows[name] = values[:, j]
    return io.BytesIO(HEADER + rows.tobytes() + TRAILER)


def from_copy(content, columns):
    """The ids, and the values as a matrix of the type that scikit-learn works with."""
    size = len(content) - len(HEADER) - len(TRAILER)
    layout = record(columns)
    rows = numpy.frombuffer(content, layout, size // layout.itemsize, len(HEADER))
    values = numpy.empty((len(rows), columns), numpy.float32)
    for j, name in enumerate(names(columns)):
        values[:, j] = rows[name]
    return rows["id"].astype(numpy.int64), values


def make_table(cursor, table, rows, columns):
    """Makes a table of generated rows that is in memory, vacuumed and analysed."""
    features = ", ".join(f"{name} float8" for name in names(columns))
    cursor.execute(f"CREATE TABLE {table} (id bigint, {features})")
    for first in range(1, rows + 1, CHUNK):
        count = min(CHUNK, rows + 1 - first)
        cursor.copy_expert(f"COPY {table} FROM STDIN (FORMAT binary)",
                           to_copy(first, make_rows(first, count, columns)))
    cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
    cursor.execute(f"VACUUM (ANALYZE) {table}")
    cursor.execute(f"SELECT sum(f1) FROM {table}")
