#!/usr/bin/env bash
# Builds the unit tests and runs them, a part of them on each processor; arguments go to GoogleTest
# (--gtest_filter=...).
set -euo pipefail
cd "$(dirname "$0")/.."

test/deps.sh core test
make -s --no-print-directory -j"$(nproc)" -f test/unit/Makefile

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export GTEST_TOTAL_SHARDS
GTEST_TOTAL_SHARDS=$(nproc)
pids=()
for ((shard = 0; shard < GTEST_TOTAL_SHARDS; shard++)); do
    GTEST_SHARD_INDEX=$shard build/unit/unit_tests --gtest_color=no "$@" >"$logs/$shard" 2>&1 &
    pids+=($!)
done
failed=()
for shard in "${!pids[@]}"; do
    if wait "${pids[$shard]}"; then cat "$logs/$shard"; else failed+=("$logs/$shard"); fi
done
[[ ${#failed[@]} == 0 ]] || { cat "${failed[@]}"; exit 1; }
