#!/usr/bin/env bash
# A job every second on a table that takes 1,000 rows a second, for five minutes: jobs.sh [--seconds N]
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../test/lib.sh
source "$(dirname "$0")/../test/lib.sh"

[[ ${1:-} != --seconds ]] || export AD_LOAD_SECONDS=$2
test/deps.sh core server test
build_module
make_scratch
temp_install
cp -r test "$scratch/run"
[[ $(id -u) != 0 ]] || chown -R postgres: "$scratch/run"
use_server
unset PGHOST PGUSER PGDATABASE
pgxs_test=$scratch$(dirname "$("$pg_config" --pgxs)")/../test
cd "$scratch/run"
as_server env TESTDIR="$PWD" TESTDATADIR="$PWD/tmp_check" TESTLOGDIR="$PWD/tmp_check/log" TMPDIR="$scratch/run" \
    PG_REGRESS="$pgxs_test/regress/pg_regress" AD_LOAD_SECONDS="${AD_LOAD_SECONDS:-300}" \
    perl -I "$pgxs_test/perl" -I test/t test/t/014_job_load.pl
