#!/usr/bin/env bash
# Speed: the extension beside its peers, the scan of a table and itself, on generated rows.
#
#   bench/speed.sh [--rows N] [--rounds N] [--peer-rounds N] [--service-rows N] [--only section...]
#   bench/speed.sh --rows 100000 --rounds 1 --only score
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../test/lib.sh
source "$(dirname "$0")/../test/lib.sh"

# The peers get one CPU, as a session of the server does, also where they run inside the server.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export PYTHONDONTWRITEBYTECODE=1

test/deps.sh core server bench
build_module
make -s --no-print-directory -f bench/Makefile
make_scratch
temp_install
# Everything is in memory: a scan of more than a quarter of the buffers would not stay there.
start_server "shared_buffers = 4GB" "work_mem = 64MB" "max_wal_size = 16GB" \
    "checkpoint_timeout = 1d" "autovacuum = off" "max_parallel_workers_per_gather = 0" \
    "client_min_messages = warning"
# Distributions install packages for their own Python, which need not be the first in PATH.
/usr/bin/python3 bench/speed.py "$@"
