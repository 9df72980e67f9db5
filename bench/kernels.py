"""Prints what bench/kernels.cpp measured as a markdown table; reads it as JSON from its input."""

import json
import sys

from measure import micros, print_table


def cells(figure):
    """The cells of the median of a benchmark."""
    if "error_message" in figure:
        return figure["run_name"], figure["error_message"], "", ""
    if "items_per_second" not in figure:
        return figure["run_name"], f"{micros(figure['cpu_time'] / 1e9)} us", "", ""
    rate = figure["items_per_second"]
    return figure["run_name"], "", micros(1 / rate), f"{rate:,.0f}"


def main():
    figures = json.load(sys.stdin)["benchmarks"]
    # They ran in random order.
    figures.sort(key=lambda figure: figure["family_index"])
    print_table("Core without a server", ("what / trees x samples x columns", "a call", "us a row",
                                          "rows a second"),
                [cells(figure) for figure in figures
                 if figure.get("aggregate_name", "median") == "median"])


main()
