#!/usr/bin/env bash
# Runs every test there is. The last line is "N passed, N failed"; the logs stay in build/check.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$0")/lib.sh"

logs=$repo/build/check
passed=0
failed=0

have() { compgen -G "$1" >/dev/null; }

# stage <name> <regexp of a pass> <regexp of a failure> <command...>: a command that fails without
# a failed test to show for it counts as one, so that nothing that crashes looks like a success.
stage() {
    local name=$1 pass=$2 fail=$3 begin=$SECONDS status good bad log=$logs/$1.log
    shift 3
    printf '%-10s' "$name"
    set +e
    (set -e; "$@") >"$log" 2>&1 </dev/null
    status=$?
    set -e
    good=$(grep -cE "$pass" "$log" || true)
    bad=$(grep -cE "$fail" "$log" || true)
    [[ $status == 0 || $bad != 0 ]] || bad=1
    passed=$((passed + good))
    failed=$((failed + bad))
    printf '%5d passed, %d failed %5d s\n' "$good" "$bad" $((SECONDS - begin))
    if [[ $bad != 0 ]]; then
        "show_$name" "$log"
        return 1
    fi
}

skip() { printf '%-10s    -- skipped: %s\n' "$1" "$2"; }

show_build() { tail -n 50 "$1"; }
show_server() { tail -n 50 "$1"; }

# The output of the tests that failed, and of the one that was running when the program died.
show_unit() {
    grep -E 'error:|^make' "$1" || true
    awk '/^\[ RUN/ { out = "" }
         { out = out $0 "\n" }
         /^\[       OK/ { out = "" }
         /^\[  FAILED.*ms\)$/ { printf "%s", out; out = "" }
         END { printf "%s", out }' "$1" | tail -n 200
}

show_regress() {
    tail -n 30 "$1"
    head -n 500 "$scratch/run/$(basename "$1" .log)/regression.diffs" 2>/dev/null || true
    grep -E 'PANIC|terminated by signal|TRAP' "$scratch/run/server.log" || true
}
show_isolation() { show_regress "$1"; }

show_tap() {
    local script
    grep -vE '^ *ok [0-9]' "$1" | tail -n 200
    while read -r script; do
        echo "--- the end of the log of $script"
        tail -n 40 "$scratch/run/tmp_check/log/regress_log_$(basename -s .pl "$script")"
    done < <(sed -nE 's/^(test.*\.pl) +\(Wstat.*/\1/p' "$1")
}

build() {
    build_module
    boundary_test all
}

# The functions that test/t/001_boundary.pl calls: in the server of the tests, nowhere else.
boundary_test() {
    make -s --no-print-directory -C test/boundary PG_CONFIG="$pg_config" "$@"
}

prepare_server() {
    temp_install
    boundary_test DESTDIR="$scratch" install
    # Read by the server's user, who may have no access to the repository.
    cp -r sql expected test "$scratch/run" 2>/dev/null || true
    [[ $(id -u) != 0 ]] || chown -R postgres: "$scratch/run"
    # shellcheck disable=SC2119
    start_server
}

# pg_regress <suite> <program> <database> <argument...>
pg_regress() {
    local suite=$1 program=$2 database=$3
    shift 3
    cd "$scratch/run"
    mkdir "$suite"
    [[ $(id -u) != 0 ]] || chown postgres: "$suite"
    as_server "$pgxs_test/$program" --bindir="$bin" --outputdir="$suite" --dbname="$database" \
        --load-extension=anomaly_detect "$@"
}

tap() {
    cd "$scratch/run"
    as_server env TESTDIR="$PWD" TESTDATADIR="$PWD/tmp_check" TESTLOGDIR="$PWD/tmp_check/log" \
        TMPDIR="$scratch/run" PG_REGRESS="$pgxs_test/regress/pg_regress" \
        prove --verbose -I "$pgxs_test/perl" -I test/t test/t/*.pl
}

keep_logs() {
    cp "$scratch/run/server.log" "$logs" 2>/dev/null || true
    cp -r "$scratch/run/tmp_check/log" "$logs/tap" 2>/dev/null || true
    cp "$scratch/run/regress/regression.diffs" "$logs/regress.diffs" 2>/dev/null || true
    cp "$scratch/run/isolation/regression.diffs" "$logs/isolation.diffs" 2>/dev/null || true
}

server_stages() {
    local none='^$ never' result='\.\.\. ok |^ok [0-9]+' broken='\.\.\. FAILED|^not ok [0-9]+'
    stage build "$none" "$none" build || return 0
    make_scratch
    pgxs_test=$scratch$(dirname "$("$pg_config" --pgxs)")/../test
    stage server "$none" "$none" prepare_server || return 0
    use_server

    # shellcheck disable=SC2046  # names of tests have no spaces
    if have 'sql/*.sql'; then
        stage regress "$result" "$broken" pg_regress regress regress/pg_regress \
            contrib_regression $(basename -s .sql sql/*.sql) || true
    else
        skip regress "no files in sql/"
    fi
    # shellcheck disable=SC2046
    if have 'test/specs/*.spec'; then
        stage isolation "$result" "$broken" pg_regress isolation \
            isolation/pg_isolation_regress isolation_regression --inputdir=test \
            $(basename -s .spec test/specs/*.spec) || true
    else
        skip isolation "no files in test/specs/"
    fi
    if have 'test/t/*.pl'; then
        unset PGHOST PGUSER PGDATABASE
        stage tap '^ok [0-9]+' '^not ok [0-9]+' tap || true
    else
        skip tap "no files in test/t/"
    fi
    keep_logs
}

test/deps.sh core server test
rm -rf "$logs"
mkdir -p "$logs"

if have 'test/unit/*_test.cpp'; then
    stage unit '^\[       OK \]' '^\[  FAILED  \].* ms\)$' test/unit.sh || true
else
    skip unit "no files in test/unit/"
fi
server_stages

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
