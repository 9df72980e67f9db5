# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by the scripts of test/, demo/ and bench/, whose working directory becomes the
# repository's: a PostgreSQL of our own, which leaves the installed one and its servers alone.

umask 022
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo" || exit

# Whatever points at a server of the caller's must not reach ours, nor ours reach it.
for name in ${!PG*}; do
    case $name in PG_CONFIG | PG_MAJOR) ;; *) unset "$name" ;; esac
done
pg_config=${PG_CONFIG:-/usr/lib/postgresql/${PG_MAJOR:-15}/bin/pg_config}

die() {
    echo "$*" >&2
    exit 1
}

# Warnings are errors here, and not where users build, whose compilers know other ones.
build_module() {
    make -s --no-print-directory -j"$(nproc)" PG_CONFIG="$pg_config" COPT=-Werror all
}

# PostgreSQL refuses to run as root.
as_server() {
    if [[ $(id -u) == 0 ]]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# $scratch: removed, with every server in it, however the script ends.
# $scratch/run: belongs to the server's user.
# $bin: where temp_install puts the programs.
make_scratch() {
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/ad.XXXXXX")
    trap remove_scratch EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    chmod 755 "$scratch"
    mkdir -m 700 "$scratch/run"
    [[ $(id -u) != 0 ]] || chown postgres: "$scratch/run"
    as_server test -w "$scratch/run" || die "user postgres cannot reach $scratch: set TMPDIR"
    bin=$scratch$("$pg_config" --bindir)
}

remove_scratch() {
    stop_servers
    rm -rf "$scratch"
}

# Tests start servers of their own: every one in $scratch has its process id there.
stop_servers() {
    local file pid
    while read -r file; do
        pid=$(head -n 1 "$file" 2>/dev/null) || continue
        # The id of a server that is gone may be another process by now.
        [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$scratch"/* ]] || continue
        kill -QUIT "$pid" 2>/dev/null || continue
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    done < <(find "$scratch/run" -name postmaster.pid)
}

# A server finds its files relative to its executable: so a copy of PostgreSQL, with the extension
# installed into it, needs no system directory. Sets $bin.
temp_install() {
    local dir
    for dir in $("$pg_config" --bindir --pkglibdir --sharedir); do
        mkdir -p "$scratch$dir"
        cp -a "$dir/." "$scratch$dir"
    done
    make -s --no-print-directory PG_CONFIG="$pg_config" DESTDIR="$scratch" install
    [[ $("$bin/pg_config" --sharedir) == "$scratch"/* ]] ||
        die "$bin does not look for its files beside itself"
}

# psql and the rest of $bin find the server from the environment. Its socket opens to nobody but the
# server's user and root.
use_server() {
    export PATH=$bin:$PATH PGHOST=$scratch/run/socket PGUSER=postgres PGDATABASE=postgres
}

# start_server <line of postgresql.conf>...
start_server() {
    use_server
    as_server mkdir -m 700 "$PGHOST"
    (
        # The server's user may have no access to the repository.
        cd "$scratch/run" || exit
        as_server "$bin/initdb" -D data -U postgres -A trust -E UTF8 --no-locale --no-sync >/dev/null
        printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$PGHOST'" 'fsync = off' \
            "$@" | as_server tee -a data/postgresql.conf >/dev/null
        as_server "$bin/pg_ctl" -D data -l server.log -s -w start
    )
}
