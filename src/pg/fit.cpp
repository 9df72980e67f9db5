// The aggregate ad_fit(parameters jsonb, VARIADIC "any") RETURNS bytea.
#include "core/fit_state.hpp"

#include "module.hpp"
#include "row_source.hpp"
#include "training.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

namespace {

constexpr int kFirstValue = 2;  // after the state and the parameters

/// The state between rows. In a parallel plan, one that came from a worker has no `source`.
struct FitCall {
    FitState* state;
    RowSource* source;
    RowIdentity identity;
};

/// Names and kinds of features as the server knows them, before they become a Schema.
struct FoundFeatures {
    int count;
    const char** names;
    FeatureKind* kinds;
};

MemoryContext aggregate_context(FunctionCallInfo fcinfo) {
    MemoryContext context;
    if (AggCheckCallContext(fcinfo, &context) == 0) {
        elog(ERROR, "ad_fit called outside an aggregate");
    }
    return context;
}

FitCall* make_call(MemoryContext context) {
    return static_cast<FitCall*>(MemoryContextAllocZero(context, sizeof(FitCall)));
}

void add_feature(FoundFeatures* found, const char* name, const Converter& converter) {
    found->names[found->count] = to_utf8(name);
    found->kinds[found->count] = converter.kind;
    ++found->count;
}

FoundFeatures make_found(int capacity) {
    return {0, static_cast<const char**>(palloc0(sizeof(char*) * (capacity + 1))),
            static_cast<FeatureKind*>(palloc0(sizeof(FeatureKind) * (capacity + 1)))};
}

/// Plain arguments: named by the request, else f1, f2, ...
FoundFeatures features_of_arguments(FunctionCallInfo fcinfo, int first, const FitRequest& request) {
    const int count = PG_NARGS() - first;
    const int named = static_cast<int>(request.features.size());
    if (named > 0 && named != count) {
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("\"features\" has %d names, but %d values were given", named, count));
    }
    FoundFeatures found = make_found(count);
    for (int j = 0; j < count; ++j) {
        const char* name = named > 0
                               ? from_utf8(request.features[j].data(), request.features[j].size())
                               : psprintf("f%d", j + 1);
        const Oid type = get_fn_expr_argtype(fcinfo->flinfo, first + j);
        add_feature(&found, name, feature_converter(name, type));
    }
    return found;
}

/// A row: the columns that the request names, else every column that can be a feature.
FoundFeatures features_of_row(FunctionCallInfo fcinfo, int argument, const FitRequest& request) {
    if (PG_ARGISNULL(argument)) {
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("the first row to train on must not be null"));
    }
    const TupleDesc row = copy_descriptor(PG_GETARG_HEAPTUPLEHEADER(argument));
    const int named = static_cast<int>(request.features.size());
    FoundFeatures found = make_found(row->natts + named);
    for (int i = 0; named == 0 && i < row->natts; ++i) {
        const FormData_pg_attribute* attribute = TupleDescAttr(row, i);
        Converter converter;
        if (attribute->attisdropped || !find_converter(attribute->atttypid, &converter)) continue;
        add_feature(&found, NameStr(attribute->attname), converter);
    }
    for (int j = 0; j < named; ++j) {
        const char* name = from_utf8(request.features[j].data(), request.features[j].size());
        const int before = found.count;
        for (int i = 0; i < row->natts; ++i) {
            const FormData_pg_attribute* attribute = TupleDescAttr(row, i);
            if (attribute->attisdropped || strcmp(NameStr(attribute->attname), name) != 0) continue;
            add_feature(&found, name, feature_converter(name, attribute->atttypid));
        }
        if (found.count > before) continue;
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
                errmsg("the row has no column \"%s\"", name));
    }
    return found;
}

void prepare_identity(FitCall* call, FunctionCallInfo fcinfo, const FitRequest& request) {
    const int count = static_cast<int>(request.identity_columns);
    if (count > PG_NARGS() - kFirstValue) {
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("\"identity_columns\" is %d, but only %d values were given", count,
                       PG_NARGS() - kFirstValue));
    }
    for (int k = 0; k < count; ++k) {
        add_identity_column(&call->identity, get_fn_expr_argtype(fcinfo->flinfo, kFirstValue + k));
    }
}

FitCall* start(FunctionCallInfo fcinfo, MemoryContext context) {
    if (PG_ARGISNULL(1)) {
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("the parameters of ad_fit must not be null"));
    }
    Jsonb* options = PG_GETARG_JSONB_P(1);
    const char* text = to_utf8(JsonbToCString(nullptr, &options->root, VARSIZE(options)));
    const auto* request =
        own<FitRequest>(CurrentMemoryContext, [&] { return FitRequest::parse(text); });
    FitCall* call = make_call(context);
    prepare_identity(call, fcinfo, *request);
    const int first = kFirstValue + call->identity.count;
    FoundFeatures found{};
    switch (form_of_arguments(fcinfo, first)) {
        case RowSource::Form::Row:
            found = features_of_row(fcinfo, first, *request);
            break;
        case RowSource::Form::Plain:
            found = features_of_arguments(fcinfo, first, *request);
            break;
        default:
            ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("ad_fit takes columns or a row, not an array or jsonb"));
    }
    const std::uint64_t max_memory = max_training_memory_bytes();
    call->state = own<FitState>(context, [&] {
        Schema schema;
        for (int j = 0; j < found.count; ++j) schema.push_back({found.names[j], found.kinds[j]});
        return FitState(text, std::move(schema), max_memory);
    });
    call->source = make_row_source(fcinfo, first, call->state->schema(), "being trained", context);
    return call;
}

std::uint64_t hash_arguments(const FitCall* call, FunctionCallInfo fcinfo) {
    auto hash = static_cast<std::uint64_t>(call->state->request().random_seed);
    for (int k = 0; k < call->identity.count; ++k) {
        const int argument = kFirstValue + k;
        hash = hash_identity(call->identity, k, hash, PG_GETARG_DATUM(argument),
                             PG_ARGISNULL(argument));
    }
    return hash;
}

void add_row(FitCall* call, FunctionCallInfo fcinfo) {
    const bool identified = call->identity.count > 0;
    std::uint64_t hash = 0;
    if (identified) {
        hash = hash_arguments(call, fcinfo);
        if (!call->state->offer(hash)) return;
    }
    read_row(call->source, fcinfo, false);
    if (!identified) {
        hash = hash_content(call->state, call->source->cells);
        if (!call->state->offer(hash)) return;
    }
    run([&] { call->state->add(hash, call->source->cells, call->source->texts); });
}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

PG_FUNCTION_INFO_V1(_ad_fit_transition);
PGDLLEXPORT Datum _ad_fit_transition(PG_FUNCTION_ARGS) {
    auto* call = PG_ARGISNULL(0) ? start(fcinfo, aggregate_context(fcinfo))
                                 : reinterpret_cast<FitCall*>(PG_GETARG_POINTER(0));
    add_row(call, fcinfo);
    PG_RETURN_POINTER(call);
}

PG_FUNCTION_INFO_V1(_ad_fit_combine);
PGDLLEXPORT Datum _ad_fit_combine(PG_FUNCTION_ARGS) {
    MemoryContext const context = aggregate_context(fcinfo);
    auto* into = PG_ARGISNULL(0) ? nullptr : reinterpret_cast<FitCall*>(PG_GETARG_POINTER(0));
    if (PG_ARGISNULL(1)) {
        if (into == nullptr) PG_RETURN_NULL();
        PG_RETURN_POINTER(into);
    }
    const auto* from = reinterpret_cast<FitCall*>(PG_GETARG_POINTER(1));
    if (into == nullptr) {
        into = make_call(context);
        into->state = own<ad::FitState>(context, [&] { return *from->state; });
    } else {
        run([&] { into->state->merge(*from->state); });
    }
    PG_RETURN_POINTER(into);
}

PG_FUNCTION_INFO_V1(_ad_fit_serialize);
PGDLLEXPORT Datum _ad_fit_serialize(PG_FUNCTION_ARGS) {
    const auto* call = reinterpret_cast<FitCall*>(PG_GETARG_POINTER(0));
    const auto* bytes = own<std::string>(CurrentMemoryContext, [&] { return call->state->save(); });
    PG_RETURN_BYTEA_P(make_bytea(*bytes));
}

PG_FUNCTION_INFO_V1(_ad_fit_deserialize);
PGDLLEXPORT Datum _ad_fit_deserialize(PG_FUNCTION_ARGS) {
    const bytea* data = PG_GETARG_BYTEA_PP(0);
    const std::string_view bytes(VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
    FitCall* call = make_call(CurrentMemoryContext);
    call->state =
        own<ad::FitState>(CurrentMemoryContext, [&] { return ad::FitState::load(bytes); });
    PG_RETURN_POINTER(call);
}

/// Null, as for any aggregate, when there was no row, and when there are less than "min_rows".
PG_FUNCTION_INFO_V1(_ad_fit_final);
PGDLLEXPORT Datum _ad_fit_final(PG_FUNCTION_ARGS) {
    aggregate_context(fcinfo);
    if (PG_ARGISNULL(0)) PG_RETURN_NULL();
    const auto* call = reinterpret_cast<FitCall*>(PG_GETARG_POINTER(0));
    bytea* model = fit_model(call->state);
    if (model == nullptr) PG_RETURN_NULL();
    PG_RETURN_BYTEA_P(model);
}
}
