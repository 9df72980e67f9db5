// _ad_evaluate_rows: scores of labelled rows against their labels. The scores are kept by the
// server's sort, so that work_mem bounds what any number of rows takes.
#include "core/evaluation.hpp"

#include "module.hpp"
#include "scan.hpp"

extern "C" {
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplesort.h"
}

namespace ad::pg {

namespace {

/// Negated scores of one class, in ascending order.
struct SortedScores {
    Tuplesortstate* sort;
    double next;
    bool more;
};

struct EvaluationScan {
    EvaluationCounts counts;
    bool* labels;  ///< of the rows of the block
    SortedScores anomalies;
    SortedScores normal;
};

SortedScores begin_sort() {
    constexpr int kSorts = 2;
    return {tuplesort_begin_datum(FLOAT8OID, Float8LessOperator, InvalidOid, false,
                                  work_mem / kSorts, nullptr, TUPLESORT_NONE),
            0.0, true};
}

/// The label is the last column of the query.
bool accept_labelled(SourceScan* scan, TupleTableSlot* slot, int i) {
    auto* evaluation = static_cast<EvaluationScan*>(scan->consumer);
    const int label = scan->descriptor->natts - 1;
    slot_getsomeattrs(slot, label + 1);
    if (slot->tts_isnull[label]) {
        ++evaluation->counts.unlabelled;
        return false;
    }
    evaluation->labels[i] = DatumGetBool(slot->tts_values[label]);
    return true;
}

void count_row(SourceScan* scan, int i, double score) {
    auto* evaluation = static_cast<EvaluationScan*>(scan->consumer);
    EvaluationCounts& counts = evaluation->counts;
    if (std::isnan(score)) {
        ++counts.rejected;
        return;
    }
    const bool flagged = model_of_row(scan, i).is_anomaly(score);
    const bool anomaly = evaluation->labels[i];
    ++(anomaly ? counts.anomalies : counts.normal);
    if (flagged) ++(anomaly ? counts.flagged_anomalies : counts.flagged_normal);
    tuplesort_putdatum(anomaly ? evaluation->anomalies.sort : evaluation->normal.sort,
                       Float8GetDatum(-score), false);
}

void advance(SortedScores* scores) {
    Datum value = 0;
    bool isnull;
#if PG_VERSION_NUM >= 160000
    scores->more = tuplesort_getdatum(scores->sort, true, false, &value, &isnull, nullptr);
#else
    scores->more = tuplesort_getdatum(scores->sort, true, &value, &isnull, nullptr);
#endif
    if (scores->more) scores->next = DatumGetFloat8(value);
}

Ranking rank(EvaluationScan* evaluation) {
    SortedScores* anomalies = &evaluation->anomalies;
    SortedScores* normal = &evaluation->normal;
    Ranking ranking(evaluation->counts.anomalies, evaluation->counts.normal);
    for (SortedScores* scores : {anomalies, normal}) {
        tuplesort_performsort(scores->sort);
        advance(scores);
    }
    while (anomalies->more || normal->more) {
        CHECK_FOR_INTERRUPTS();
        const bool anomaly = anomalies->more && (!normal->more || anomalies->next <= normal->next);
        SortedScores* scores = anomaly ? anomalies : normal;
        ranking.add(-scores->next, anomaly);
        advance(scores);
    }
    ranking.end();
    return ranking;
}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

/// _ad_evaluate_rows(query text, model_id text) RETURNS jsonb: the last column of the query is the
/// label, a boolean.
PG_FUNCTION_INFO_V1(_ad_evaluate_rows);
PGDLLEXPORT Datum _ad_evaluate_rows(PG_FUNCTION_ARGS) {
    auto* evaluation = static_cast<EvaluationScan*>(palloc0(sizeof(EvaluationScan)));
    evaluation->anomalies = begin_sort();
    evaluation->normal = begin_sort();
    SourceScan* scan = make_scan(text_to_cstring(PG_GETARG_TEXT_PP(1)), extension_schema(fcinfo),
                                 construct_empty_array(TEXTOID), false);
    evaluation->labels = static_cast<bool*>(palloc(scan->block_rows));
    scan->accept = accept_labelled;
    scan->consume = count_row;
    scan->consumer = evaluation;
    const char* query = text_to_cstring(PG_GETARG_TEXT_PP(0));
    SPI_connect();
    run_scan(scan, query);
    SPI_finish();
    const ad::Ranking ranking = rank(evaluation);
    tuplesort_end(evaluation->anomalies.sort);
    tuplesort_end(evaluation->normal.sort);
    const auto* json = own<std::string>(CurrentMemoryContext, [&] {
        return ad::describe_evaluation(evaluation->counts, ranking).dump();
    });
    PG_RETURN_DATUM(make_jsonb(*json));
}
}
