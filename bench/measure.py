"""Rounds of measurements, their medians and ratios, and tables of them."""

import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import Callable, Optional


@dataclass(frozen=True)
class Work:
    """Something to be timed: `run` does it for `rows` rows and returns seconds."""

    run: Callable[[], float]
    rows: int
    rounds: Optional[int] = None  # take part in so many rounds, at most


@dataclass(frozen=True)
class Bound:
    """What a figure is held to."""

    low: float = float("-inf")
    high: float = float("inf")

    def __str__(self):
        if self.low == float("-inf"):
            return f"<= {self.high:g}"
        if self.high == float("inf"):
            return f">= {self.low:g}"
        return f"{self.low:g} to {self.high:g}"

    def verdict(self, value):
        return "yes" if self.low <= value <= self.high else "NO"


class Server:
    """A session with the server of the environment, in which every statement commits."""

    def __init__(self, connect):
        self.connection = connect()
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()

    def execute(self, *statements):
        """Runs statements and returns the row of the last one, if it has one."""
        for statement in statements:
            self.cursor.execute(statement)
        return self.cursor.fetchone() if self.cursor.description else None

    def timed(self, statement, before=(), after=()):
        """The seconds of a statement between others that are not timed."""
        self.execute(*before)
        begin = time.perf_counter()
        self.execute(statement)
        seconds = time.perf_counter() - begin
        self.execute(*after)
        return seconds

    def close(self):
        self.connection.close()


def say(text):
    """Reports progress where it does not get into the tables."""
    print(text, file=sys.stderr, flush=True)


def measure(works, rounds):
    """Runs every work once in turn, `rounds` times, so that a noisy minute hits all of them.

    Returns the seconds a row of each work, by round.
    """
    figures = {name: [] for name in works}
    for done in range(rounds):
        for name, work in works.items():
            if work.rounds is not None and done >= work.rounds:
                continue
            figures[name].append(work.run() / work.rows)
            say(f"round {done + 1} of {rounds}: {name}: {figures[name][-1] * 1e6:.3f} us a row")
    return figures


def total(figures, names):
    """The sum of some works, by round; of the rounds that all of them had."""
    return [sum(values) for values in zip(*(figures[name] for name in names))]


def ratio(figures, over, under):
    """The median of the ratios of each round."""
    pairs = zip(total(figures, over), total(figures, under))
    return median(a / b for a, b in pairs)


def micros(seconds):
    """Seconds as text, in microseconds of three digits or more."""
    value = seconds * 1e6
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def print_table(title, header, rows):
    """Prints a markdown table."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    sys.stdout.flush()
