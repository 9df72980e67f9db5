#!/usr/bin/env bash
# Speed of the core without a server: medians of several runs, as a table. The names of scoring are
# trees x samples x columns; arguments go to Google Benchmark (--benchmark_filter=...).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../test/lib.sh
source "$(dirname "$0")/../test/lib.sh"

test/deps.sh core server bench
build_module
make -s --no-print-directory -f bench/Makefile
build/bench/kernels --benchmark_repetitions=5 --benchmark_min_time=0.1 \
    --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true \
    --benchmark_format=json "$@" |
    PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 bench/kernels.py
