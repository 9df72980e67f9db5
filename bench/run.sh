#!/usr/bin/env bash
# Every benchmark, one after the other: speed, the core by itself, accuracy. Tables go to the output,
# progress to the error output. Arguments go to speed.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

bench/speed.sh "$@"
bench/kernels.sh
bench/accuracy.sh
