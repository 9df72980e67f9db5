"""Measures the server of the environment, in which the extension is installed but not created, and
prints markdown tables. bench/speed.sh starts such a server."""

import argparse
import os
from pathlib import Path

import psycopg2
import sklearn

import growth
import held
from calls import train
from data import make_table
from measure import Server, say


def parse_options():
    parser = argparse.ArgumentParser(prog="bench/speed.sh", description="Measures speed.")
    sections = held.SECTIONS + growth.SECTIONS
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the table")
    parser.add_argument("--rounds", type=int, default=5, help="that each statement runs")
    parser.add_argument("--peer-rounds", type=int, default=2, help="of the slow peers")
    parser.add_argument("--service-rows", type=int, default=100_000,
                        help="that the usual service is measured on")
    parser.add_argument("--only", nargs="+", metavar="SECTION",
                        choices=sections + ("held", "growth"), default=["held", "growth"],
                        help="held, growth, " + ", ".join(sections))
    options = parser.parse_args()
    options.service_rows = min(options.service_rows, options.rows)
    return options


def connect():
    return Server(lambda: psycopg2.connect(""))


def print_environment(server, options):
    """What the figures depend on besides the code."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")
    version = server.execute("SHOW server_version")[0].split()[0]
    print(f"{os.cpu_count()} CPUs ({cpu}), PostgreSQL {version}, "
          f"scikit-learn {sklearn.__version__}, rounds: {options.rounds}", flush=True)


def main():
    options = parse_options()
    server = connect()
    server.execute("CREATE EXTENSION anomaly_detect")
    print_environment(server, options)
    say("making the table")
    make_table(server.cursor, "bench", options.rows, held.COLUMNS)
    server.execute(train("bench", held.COLUMNS, "m", contamination=0.01))
    for part, name in ((held, "held"), (growth, "growth")):
        sections = part.SECTIONS if name in options.only else options.only
        if set(sections) & set(part.SECTIONS):
            part.run(server, connect, options, sections)


main()
