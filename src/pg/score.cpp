// ad_score, ad_is_anomaly, ad_predict, ad_explain: one row a call.
#include "model_cache.hpp"
#include "module.hpp"
#include "row_source.hpp"

extern "C" {
#include "executor/executor.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

namespace {

/// What a call site keeps between rows, in fn_extra.
struct ScoreCall {
    MemoryContext context;  ///< reset when the reference changes
    char* reference;
    SnapshotMark mark;
    CachedModel* cached;
    RowSource* source;
    Scratch* scratch;
    TupleDesc result;
};

bool is_current(const ScoreCall* call, const text* reference, const SnapshotMark& mark) {
    if (call->reference == nullptr || !same_snapshot(call->mark, mark)) return false;
    const std::size_t length = VARSIZE_ANY_EXHDR(reference);
    return strncmp(call->reference, VARDATA_ANY(reference), length) == 0 &&
           call->reference[length] == '\0';
}

void prepare(ScoreCall* call, FunctionCallInfo fcinfo, const text* reference) {
    call->reference = nullptr;
    call->mark = mark_snapshot();
    MemoryContextReset(call->context);
    const char* name = text_to_cstring(reference);
    call->cached = pin_model(name, extension_schema(fcinfo), call->context);
    call->source = make_row_source(fcinfo, 1, call->cached->model->schema(), call->cached->model_id,
                                   call->context);
    call->scratch = own<Scratch>(call->context, [] { return Scratch(); });
    call->reference = MemoryContextStrdup(call->context, name);
}

/// Reads the arguments of this call into `source`; the model is the one they name.
ScoreCall* begin_call(FunctionCallInfo fcinfo, bool all_texts) {
    auto* call = static_cast<ScoreCall*>(fcinfo->flinfo->fn_extra);
    if (call == nullptr) {
        MemoryContext const parent = fcinfo->flinfo->fn_mcxt;
        call = static_cast<ScoreCall*>(MemoryContextAllocZero(parent, sizeof(ScoreCall)));
        call->context =
            AllocSetContextCreate(parent, "anomaly_detect scoring", ALLOCSET_SMALL_SIZES);
        fcinfo->flinfo->fn_extra = call;
    }
    if (PG_ARGISNULL(0)) {
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("model must not be null"),
                errhint("The models that you may use are listed in the view ad_models."));
    }
    // none is active where a procedure that has committed checks a domain
    const bool without_snapshot = !ActiveSnapshotSet();
    if (without_snapshot) PushActiveSnapshot(GetTransactionSnapshot());
    const text* reference = PG_GETARG_TEXT_PP(0);
    if (!is_current(call, reference, mark_snapshot())) prepare(call, fcinfo, reference);
    read_row(call->source, fcinfo, all_texts);
    if (without_snapshot) PopActiveSnapshot();
    return call;
}

[[noreturn]] void refuse_missing(const ScoreCall* call) {
    ereport(
        ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
        errmsg("the row has a missing value, which model \"%s\" rejects", call->cached->model_id),
        errhint("Leave such rows out, or train with another \"impute\" policy. ad_scores and "
                "ad_detect skip them."));
}

/// The score of the row in `source`.
double score_row(ScoreCall* call) {
    double score = 0.0;
    run([&] { call->cached->model->score(call->source->block(), *call->scratch, &score); });
    if (std::isnan(score)) refuse_missing(call);
    return score;
}

/// The model that scores the row in `source`.
const Model& model_of_row(const ScoreCall* call) {
    return call->cached->model->for_row(call->source->block(), 0);
}

Datum prediction_tuple(ScoreCall* call, FunctionCallInfo fcinfo, const Prediction& prediction) {
    if (call->result == nullptr) {
        TupleDesc descriptor;
        if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE) {
            elog(ERROR, "return type must be a row type");
        }
        MemoryContext const previous = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
        call->result = BlessTupleDesc(CreateTupleDescCopy(descriptor));
        MemoryContextSwitchTo(previous);
    }
    Datum values[] = {BoolGetDatum(prediction.is_anomaly), Float8GetDatum(prediction.score),
                      Float8GetDatum(prediction.confidence), Float8GetDatum(prediction.p_value),
                      Float8GetDatum(prediction.threshold)};
    bool nulls[] = {false, false, false, false, false};
    return HeapTupleGetDatum(heap_form_tuple(call->result, values, nulls));
}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;  // the entry points below are part of it

extern "C" {

/// ad_score(model text, VARIADIC "any") RETURNS float8
PG_FUNCTION_INFO_V1(ad_score);
PGDLLEXPORT Datum ad_score(PG_FUNCTION_ARGS) {
    PG_RETURN_FLOAT8(score_row(begin_call(fcinfo, false)));
}

/// ad_is_anomaly(model text, VARIADIC "any") RETURNS boolean
PG_FUNCTION_INFO_V1(ad_is_anomaly);
PGDLLEXPORT Datum ad_is_anomaly(PG_FUNCTION_ARGS) {
    ScoreCall* call = begin_call(fcinfo, false);
    PG_RETURN_BOOL(model_of_row(call).is_anomaly(score_row(call)));
}

/// ad_predict(model text, VARIADIC "any") RETURNS ad_prediction
PG_FUNCTION_INFO_V1(ad_predict);
PGDLLEXPORT Datum ad_predict(PG_FUNCTION_ARGS) {
    ScoreCall* call = begin_call(fcinfo, false);
    const ad::Prediction prediction = model_of_row(call).predict(score_row(call));
    PG_RETURN_DATUM(prediction_tuple(call, fcinfo, prediction));
}

/// ad_explain(model text, VARIADIC "any") RETURNS jsonb
PG_FUNCTION_INFO_V1(ad_explain);
PGDLLEXPORT Datum ad_explain(PG_FUNCTION_ARGS) {
    ScoreCall* call = begin_call(fcinfo, true);
    score_row(call);  // refuses what the model rejects
    const auto* json = own<std::string>(CurrentMemoryContext, [&] {
        return call->cached->model->explain(call->source->block(), 0, call->source->texts,
                                            *call->scratch);
    });
    PG_RETURN_DATUM(make_jsonb(*json));
}

/// _ad_inputs(model_id text) RETURNS text[]: the columns that make a row, in the order of ad_score.
PG_FUNCTION_INFO_V1(_ad_inputs);
PGDLLEXPORT Datum _ad_inputs(PG_FUNCTION_ARGS) {
    const CachedModel* cached = pin_model(text_to_cstring(PG_GETARG_TEXT_PP(0)),
                                          extension_schema(fcinfo), CurrentMemoryContext);
    const ad::Schema& schema = cached->model->schema();
    auto* names = static_cast<Datum*>(palloc(sizeof(Datum) * schema.size()));
    for (std::size_t j = 0; j < schema.size(); ++j) {
        names[j] = CStringGetTextDatum(from_utf8(schema[j].name.data(), schema[j].name.size()));
    }
    PG_RETURN_ARRAYTYPE_P(
        construct_array(names, static_cast<int>(schema.size()), TEXTOID, -1, false, TYPALIGN_INT));
}
}
