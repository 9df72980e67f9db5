#!/usr/bin/env bash
# fuzz.sh [<seconds>]: feeds mutated models of every algorithm to the core, by default for 60
# seconds. An input that fails stays in build/fuzz, and fuzz.sh <file> runs it again.
set -euo pipefail
cd "$(dirname "$0")/.."

test/deps.sh core fuzz
make -s --no-print-directory -j"$(nproc)" -f test/unit/Makefile fuzz
mkdir -p build/fuzz/corpus
export UBSAN_OPTIONS=print_stacktrace=1
if [[ -f ${1:-} ]]; then
    build/fuzz/model_fuzz "$1"
else
    build/fuzz/model_fuzz -max_total_time="${1:-60}" -timeout=10 -artifact_prefix=build/fuzz/ \
        build/fuzz/corpus test/unit/golden
fi
