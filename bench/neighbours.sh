#!/usr/bin/env bash
# Speed of the detectors that look at nearest neighbours, beside scikit-learn on the same rows.
#
#   bench/neighbours.sh [--rounds N] [--rows 20000|100000...]
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../test/lib.sh
source "$(dirname "$0")/../test/lib.sh"

# One CPU, as a session of the server has.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export PYTHONDONTWRITEBYTECODE=1

test/deps.sh core server bench
build_module
make -s --no-print-directory -f bench/Makefile neighbours
/usr/bin/python3 bench/neighbours.py "$@"
