#!/usr/bin/env bash
# Installs the Debian packages that are missing, for the groups named (default: all but bench and fuzz).
# Calls apt only when something is missing. Servers and clusters that exist are not touched.
set -euo pipefail

pg_major=${PG_MAJOR:-15}

packages_of() {
    case $1 in
        core) echo g++ make libeigen3-dev nlohmann-json3-dev libxxhash-dev ;;
        # Whoever names a pg_config has a PostgreSQL and wants no other.
        server) [[ -n ${PG_CONFIG:-} ]] || echo "postgresql-$pg_major postgresql-server-dev-$pg_major" ;;
        test)
            echo libgtest-dev libipc-run-perl
            [[ -n ${PG_CONFIG:-} ]] || echo "postgresql-$pg_major-cron"
            ;;
        lint) echo clang clang-format ;;
        fuzz) echo clang libclang-rt-dev ;;
        bench)
            echo python3-asyncpg python3-psycopg2 python3-sklearn libbenchmark-dev
            [[ -n ${PG_CONFIG:-} ]] || echo "postgresql-plpython3-$pg_major"
            ;;
        *) echo "unknown group of packages: $1" >&2; return 1 ;;
    esac
}

is_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# The server package makes and starts a cluster "main" when it comes for the first time: a setting
# beside the administrator's own keeps it from that, and goes when this script ends.
without_main_cluster() {
    local dir=/etc/postgresql-common/createcluster.d
    local file=$dir/zz-anomaly_detect-build.conf made_dir=
    is_installed postgresql-common || apt_install postgresql-common
    [[ -d $dir ]] || made_dir=$dir
    # shellcheck disable=SC2064  # the names are needed as they are now
    trap "as_root rm -f $file; ${made_dir:+as_root rmdir $made_dir}" EXIT
    as_root mkdir -p "$dir"
    echo "create_main_cluster = false" | as_root tee "$file" >/dev/null
    local setting
    setting=$(pg_conftool /etc/postgresql-common/createcluster.conf show -bs create_main_cluster)
    if [[ $setting != off ]]; then
        echo "cannot keep postgresql-$pg_major from creating a cluster: install it by hand" >&2
        return 1
    fi
    "$@"
}

main() {
    local group package missing=()
    [[ $# -gt 0 ]] || set -- core server test lint
    local wanted=()
    for group in "$@"; do
        # shellcheck disable=SC2207  # package names have no spaces
        wanted+=($(packages_of "$group"))
    done
    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian system: expecting the like of ${wanted[*]} to be there" >&2
        return 0
    fi
    for package in "${wanted[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0

    echo "installing ${missing[*]}"
    if [[ $(id -u) != 0 ]] && ! command -v sudo >/dev/null; then
        echo "these packages are missing and neither root nor sudo is at hand: ${missing[*]}" >&2
        return 1
    fi
    as_root apt-get update -q
    if [[ " ${missing[*]} " == *" postgresql-$pg_major "* ]]; then
        without_main_cluster apt_install "${missing[@]}"
    else
        apt_install "${missing[@]}"
    fi
}

main "$@"
