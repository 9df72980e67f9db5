#!/usr/bin/env bash
# Accuracy on labelled data: fits and scores the same rows from SQL, labels unused, and prints the
# area under the ROC curve and the average precision beside those of a reference implementation.
#
#   bench/accuracy.sh [algorithm] [parameters] [reference] [seeds]
#   bench/accuracy.sh isolation_forest '{"n_estimators": 300}' IForest-300 3
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../test/lib.sh
source "$(dirname "$0")/../test/lib.sh"

algorithm=${1:-isolation_forest}
parameters=${2:-'{}'}
reference=${3:-IForest}
seeds=${4:-5}
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
start_server "client_min_messages = warning"
psql -qX -v ON_ERROR_STOP=1 <<SQL
CREATE EXTENSION anomaly_detect;
CREATE UNLOGGED TABLE accuracy (auroc float8, ap float8);
CREATE UNLOGGED TABLE totals (auroc float8, ap float8);
CREATE UNLOGGED TABLE reference (dataset text, algorithm text, implementation text, settings text, seeds integer,
    auroc_mean float8, auroc_std float8, ap_mean float8, ap_std float8);
\\copy reference FROM '$data/reference_visible.csv' CSV HEADER
SQL

echo "$algorithm $parameters, $seeds seeds, against $reference"
echo "set                auroc   std     ap      reference: auroc, ap, verdict"
for file in "$data"/tabular/*.csv.gz; do
    load_set "$file"
    psql -qXAt -v ON_ERROR_STOP=1 -v set="$(basename "$file" .csv.gz)" -v algorithm="$algorithm" \
        -v parameters="$parameters" -v reference="$reference" -v seeds="$seeds" -f bench/accuracy.sql | grep -v "^seed"
done
psql -qXAt -c "SELECT format('mean of %s sets    %s          %s', count(*), round(avg(auroc)::numeric, 4), round(avg(ap)::numeric, 4)) FROM totals"
