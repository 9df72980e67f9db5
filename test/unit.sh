#!/usr/bin/env bash
# Builds the unit tests and runs them; arguments go to GoogleTest (--gtest_filter=...).
set -euo pipefail
cd "$(dirname "$0")/.."

test/deps.sh core test
make -s --no-print-directory -j"$(nproc)" -f test/unit/Makefile
build/unit/unit_tests --gtest_color=no "$@"
