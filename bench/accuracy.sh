#!/usr/bin/env bash
# Accuracy on labelled data: fits and scores the same rows from SQL, labels unused, and compares the
# area under the ROC curve and the average precision with those of reference implementations.
#
#   bench/accuracy.sh                      # every line of accuracy.csv
#   bench/accuracy.sh knn isolation_forest # the lines of these algorithms
#   bench/accuracy.sh --sets               # and a line for each data set
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../test/lib.sh
source "$(dirname "$0")/../test/lib.sh"

sets=false
algorithms=()
for argument in "$@"; do
    if [[ $argument == --sets ]]; then sets=true; else algorithms+=("$argument"); fi
done
data=${AD_DATA:-$repo/../shared/data}

if [[ ! -d $data/tabular ]]; then
    echo "skipped: there are no labelled data sets in $data"
    exit 0
fi

load_set() {
    local columns
    read -r columns < <(zcat "$1")
    psql -qX -c "DROP TABLE IF EXISTS data" \
        -c "CREATE TABLE data (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ${columns//,/ float8, } integer)"
    zcat "$1" | psql -qX -c "\\copy data ($columns) FROM STDIN CSV HEADER"
}

test/deps.sh core server
build_module
make_scratch
temp_install
start_server "client_min_messages = warning" "anomaly_detect.max_training_memory = 4GB"
chosen="{$(IFS=,; echo "${algorithms[*]}")}"
psql -qX -v ON_ERROR_STOP=1 -f bench/accuracy.sql \
    -c "\\copy reference FROM '$data/reference_visible.csv' CSV HEADER" \
    -c "\\copy line (algorithm, parameters, preprocess, reference, seeds) FROM 'bench/accuracy.csv' CSV HEADER" \
    -c "CALL keep_lines('$chosen')"
for file in "$data"/tabular/*.csv.gz; do
    name=$(basename "$file" .csv.gz)
    echo "$name" >&2
    load_set "$file"
    psql -qXAt -v ON_ERROR_STOP=1 -c "CALL measure('$name')"
done
[[ $sets == false ]] || psql -qX -P footer=off -c "SELECT * FROM by_set"
psql -qX -P footer=off -c "SELECT * FROM by_line"
