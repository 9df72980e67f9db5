#!/usr/bin/env bash
# format.sh format-check: fails when clang-format would change a file; format.sh format: changes it.
set -euo pipefail
cd "$(dirname "$0")/.."

test/deps.sh lint
case ${1:-} in
    format-check) mode=(--dry-run -Werror) ;;
    format) mode=(-i) ;;
    *) echo "usage: $0 format|format-check" >&2; exit 2 ;;
esac
find src test bench -name '*.[ch]pp' -print0 | xargs -0 -r clang-format "${mode[@]}"
