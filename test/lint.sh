#!/usr/bin/env bash
# Checks what a compiler alone does not: the layers of docs/internals.md, and the module's shape.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$0")/lib.sh"

faults=0

fault() {
    echo "lint: $*" >&2
    faults=$((faults + 1))
}

# forbid <message> <regexp> <file...>: comments do not count.
forbid() {
    local message=$1 regexp=$2 file found
    shift 2
    for file in "$@"; do
        found=$(g++ -fpreprocessed -dD -E -P -x c++ "$file" 2>/dev/null | grep -E "$regexp") || continue
        fault "$file: $message:"$'\n'"$found"
    done
}

layers() {
    local core pg file header server
    server=$("$pg_config" --includedir-server)
    mapfile -t core < <(find src/core -name '*.[ch]pp')
    mapfile -t pg < <(find src/pg -name '*.[ch]pp' ! -name boundary.hpp)

    for file in "${core[@]}"; do
        while read -r header; do
            [[ ! -e $server/$header ]] || fault "$file: the core includes the server's $header"
        done < <(sed -nE 's/^ *# *include *[<"]([^">]+)[">].*/\1/p' "$file")
        [[ $file != *.hpp ]] || ! g++ -std=c++20 -E -DPOSTGRES_H "$file" >/dev/null 2>&1 ||
            fault "$file: compiles with postgres.h: include base.hpp first"
    done
    local server_words='\b(sigsetjmp|PG_(TRY|CATCH|FINALLY|END_TRY|RE_THROW))\b'
    forbid "belongs in src/pg/boundary.hpp" "$server_words" "${core[@]}" "${pg[@]}"
    forbid "a cancelled query must get through the core" 'catch *\( *\.\.\. *\)' "${core[@]}"
    forbid "belongs in src/pg/boundary.hpp" '\btry *[:{]|\bcatch *\(' "${pg[@]}"
    forbid "include boundary.hpp instead" '# *include *[<"]postgres\.h[>"]' "${pg[@]}"
}

sizes() {
    local file
    while read -r file; do
        [[ $(wc -l <"$file") -le 500 ]] || fault "$file: more than 500 lines"
    done < <(find src -type f -name '*.[chs][pq][pl]')
    ! grep -niE '^[^-]*create +or +replace' src/sql/*.sql ||
        fault "src/sql: CREATE OR REPLACE would take over an object that is there already"
}

# compile <compiler> <flag...>: reads names of files.
compile() {
    xargs -r -P2 -n1 "$@" -std=c++20 -Wall -Wextra -Werror -fsyntax-only -Isrc \
        -isystem /usr/include/eigen3
}

# The build and the unit tests have g++ say the same.
compilers() {
    local server
    server=$("$pg_config" --includedir-server)
    find src/core -name '*.cpp' | compile clang++ || fault "src/core: clang++"
    find src/pg -name '*.cpp' | compile clang++ -isystem "$server" || fault "src/pg: clang++"
    find test/unit test/fuzz -name '*.cpp' | compile clang++ '-DAD_GOLDEN_DIR=""' || fault "test/unit: clang++"
}

# The server loads the module for good: it may bring no other library, and no code that runs when
# it is loaded or when the process ends (libgcc's look at the CPU excepted).
module() {
    local library
    build_module || { fault "the module does not build"; return; }
    for library in $(readelf -d anomaly_detect.so | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        case $library in
            libstdc++.so.6 | libm.so.6 | libgcc_s.so.1 | libc.so.6 | ld-linux-*) ;;
            *) fault "the module needs $library" ;;
        esac
    done
    ! nm anomaly_detect.so | grep _GLOBAL__sub_I || fault "the module has a static constructor"
    ! nm -D --undefined-only anomaly_detect.so | grep -wE '__cxa_atexit|rand|srand|pthread_create' ||
        fault "the module imports what it must not"
}

test/deps.sh core server test lint
layers
sizes
compilers
module
[[ $faults == 0 ]] || die "lint: $faults faults"
echo "lint: no faults"
