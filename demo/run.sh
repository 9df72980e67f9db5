#!/usr/bin/env bash
# Shows what the extension does, on a PostgreSQL of its own that is gone afterwards.
# KEEP=1 leaves the server up and says how to reach and how to stop it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../test/lib.sh
source "$(dirname "$0")/../test/lib.sh"

say() { printf '%s\n' "$@"; }

load() {
    psql -X -q -v ON_ERROR_STOP=1 -P pager=off "$@"
}

keep() {
    trap - EXIT
    local stop="$bin/pg_ctl -D $scratch/run/data stop"
    [[ $(id -u) != 0 ]] || stop="runuser -u postgres -- $stop"
    say "The server is still up. To look around:" \
        "" "    $bin/psql -h $PGHOST -U $PGUSER $PGDATABASE" "" \
        "To stop it and remove every trace of it:" "" "    $stop && rm -r $scratch" ""
}

test/deps.sh core server
say "building the extension (a minute or so the first time)"
build_module
make_scratch
say "starting a PostgreSQL of our own in $scratch"
temp_install
start_server "timezone = 'UTC'"
createdb demo
export PGDATABASE=demo
say "CREATE EXTENSION, and 50,000 sensor readings"
load -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION anomaly_detect'
load -f demo/data.sql
load -f demo/demo.sql
[[ -z ${KEEP:-} ]] || keep
