// Training and scoring of float8[][] values, and what a model says about itself.
#include "core/hash.hpp"
#include "core/model.hpp"

#include "module.hpp"
#include "training.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

namespace {

/// A two-dimensional array as rows of cells; nulls become missing values.
struct CellMatrix {
    int rows;
    int columns;
    Cell* cells;  ///< row-major
};

CellMatrix read_matrix(ArrayType* array) {
    if (ARR_NDIM(array) != 2) {
        ereport(ERROR, errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                errmsg("data must be a two-dimensional array, but it has %d dimensions",
                       ARR_NDIM(array)),
                errhint("For example: '{{21.5, 40}, {22.0, 41}}'."));
    }
    CellMatrix matrix{ARR_DIMS(array)[0], ARR_DIMS(array)[1], nullptr};
    Datum* values;
    bool* nulls;
    int count;
    deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values,
                      &nulls, &count);
    matrix.cells = static_cast<Cell*>(palloc_extended(sizeof(Cell) * count, MCXT_ALLOC_HUGE));
    for (int i = 0; i < count; ++i) {
        matrix.cells[i] = number_cell(nulls[i] ? kMissing : DatumGetFloat8(values[i]));
    }
    return matrix;
}

void fit_matrix(const CellMatrix& matrix, FitState* state) {
    const std::vector<std::string_view> no_texts(matrix.columns);
    const auto seed = static_cast<std::uint64_t>(state->request().random_seed);
    for (int i = 0; i < matrix.rows; ++i) {
        const auto hash = hash_bytes(&i, sizeof(i), seed);
        if (!state->offer(hash)) continue;
        state->add(hash, matrix.cells + static_cast<std::size_t>(i) * matrix.columns,
                   no_texts.data());
    }
}

/// Column pointers to one row of a matrix.
void point_at(const CellMatrix& matrix, int row, const Cell** columns) {
    const Cell* first = matrix.cells + static_cast<std::size_t>(row) * matrix.columns;
    for (int j = 0; j < matrix.columns; ++j) columns[j] = first + j;
}

const Model* load_model(const bytea* data) {
    const std::string_view bytes(VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
    return own<Model>(CurrentMemoryContext, [&] { return Model::load(bytes); });
}

void require_numbers(const Model* model, const CellMatrix& matrix) {
    const auto& schema = model->schema();
    if (schema.size() != static_cast<std::size_t>(matrix.columns)) {
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the model has %zu features, but the data have %d columns", schema.size(),
                       matrix.columns));
    }
    for (const Feature& feature : schema) {
        if (feature.kind == FeatureKind::Number || feature.kind == FeatureKind::Boolean) continue;
        ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                errmsg("feature \"%s\" is a %s, which an array of numbers cannot give",
                       from_utf8(feature.name.data(), feature.name.size()),
                       kind_name(feature.kind).data()));
    }
}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

/// _ad_fit_array(parameters jsonb, data float8[][]) RETURNS bytea
PG_FUNCTION_INFO_V1(_ad_fit_array);
PGDLLEXPORT Datum _ad_fit_array(PG_FUNCTION_ARGS) {
    Jsonb* options = PG_GETARG_JSONB_P(0);
    const char* request = to_utf8(JsonbToCString(nullptr, &options->root, VARSIZE(options)));
    const CellMatrix matrix = read_matrix(PG_GETARG_ARRAYTYPE_P(1));
    const std::uint64_t max_memory = max_training_memory_bytes();
    const auto* bytes = own<std::string>(CurrentMemoryContext, [&] {
        const auto names = ad::FitRequest::parse(request).features;
        if (!names.empty() && names.size() != static_cast<std::size_t>(matrix.columns)) {
            throw ad::InvalidParameter("there are " + std::to_string(names.size()) +
                                       " feature names, but the data have " +
                                       std::to_string(matrix.columns) + " columns");
        }
        ad::Schema schema;
        for (int j = 0; j < matrix.columns; ++j) {
            schema.push_back(
                {names.empty() ? "f" + std::to_string(j + 1) : names[j], ad::FeatureKind::Number});
        }
        ad::FitState state(request, std::move(schema), max_memory);
        fit_matrix(matrix, &state);
        return ad::Model::fit(state, max_memory).save();
    });
    PG_RETURN_BYTEA_P(make_bytea(*bytes));
}

/// _ad_predict_array(model bytea, data float8[][], explain boolean) RETURNS TABLE(index integer,
/// is_anomaly boolean, anomaly_score float8, confidence float8, explanation jsonb);
/// rows that the model rejects are left out.
PG_FUNCTION_INFO_V1(_ad_predict_array);
PGDLLEXPORT Datum _ad_predict_array(PG_FUNCTION_ARGS) {
    InitMaterializedSRF(fcinfo, 0);
    auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    const ad::Model* model = load_model(PG_GETARG_BYTEA_PP(0));
    const CellMatrix matrix = read_matrix(PG_GETARG_ARRAYTYPE_P(1));
    const bool explain = PG_GETARG_BOOL(2);
    require_numbers(model, matrix);
    auto* scratch = own<ad::Scratch>(CurrentMemoryContext, [] { return ad::Scratch(); });
    auto** columns = static_cast<const ad::Cell**>(palloc(sizeof(ad::Cell*) * matrix.columns));
    auto* texts =
        static_cast<std::string_view*>(palloc0(sizeof(std::string_view) * matrix.columns));
    MemoryContext row_context =
        AllocSetContextCreate(CurrentMemoryContext, "anomaly_detect row", ALLOCSET_SMALL_SIZES);
    for (int i = 0; i < matrix.rows; ++i) {
        CHECK_FOR_INTERRUPTS();
        point_at(matrix, i, columns);
        const ad::Cells row{columns, 1};
        double score = 0.0;
        run([&] { model->score(row, *scratch, &score); });
        if (std::isnan(score)) continue;
        const ad::Prediction prediction = model->for_row(row, 0).predict(score);
        MemoryContext const previous = MemoryContextSwitchTo(row_context);
        Datum values[] = {Int32GetDatum(i), BoolGetDatum(prediction.is_anomaly),
                          Float8GetDatum(score), Float8GetDatum(prediction.confidence),
                          static_cast<Datum>(0)};
        bool nulls[] = {false, false, false, false, !explain};
        if (explain) {
            const auto* json = own<std::string>(
                row_context, [&] { return model->explain(row, 0, texts, *scratch); });
            values[4] = make_jsonb(*json);
        }
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        MemoryContextSwitchTo(previous);
        MemoryContextReset(row_context);
    }
    return static_cast<Datum>(0);
}

/// _ad_describe(model bytea) RETURNS jsonb
PG_FUNCTION_INFO_V1(_ad_describe);
PGDLLEXPORT Datum _ad_describe(PG_FUNCTION_ARGS) {
    const ad::Model* model = load_model(PG_GETARG_BYTEA_PP(0));
    const auto* json = own<std::string>(CurrentMemoryContext, [&] { return model->describe(); });
    PG_RETURN_DATUM(make_jsonb(*json));
}

/// _ad_training_cost(parameters jsonb, model bytea, row_count bigint, OUT sample bigint,
/// OUT sample_bytes bigint, OUT detector_bytes bigint, OUT steps float8): an estimate for a source
/// with the features of the model.
PG_FUNCTION_INFO_V1(_ad_training_cost);
PGDLLEXPORT Datum _ad_training_cost(PG_FUNCTION_ARGS) {
    Jsonb* options = PG_GETARG_JSONB_P(0);
    const char* request = to_utf8(JsonbToCString(nullptr, &options->root, VARSIZE(options)));
    const ad::Model* model = load_model(PG_GETARG_BYTEA_PP(1));
    const int64 rows = PG_GETARG_INT64(2);
    const std::uint64_t max_memory = max_training_memory_bytes();
    ad::FitRequest::Cost cost{};
    run([&] {
        const auto parsed = ad::FitRequest::parse(request);
        ad::Schema schema = model->schema();
        if (!parsed.weight.empty()) schema.push_back({parsed.weight, ad::FeatureKind::Number});
        cost = parsed.training_cost(schema, rows, max_memory);
    });
    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE) {
        elog(ERROR, "return type must be a row type");
    }
    Datum values[] = {Int64GetDatum(static_cast<int64>(cost.sample)),
                      Int64GetDatum(static_cast<int64>(cost.sample_bytes)),
                      Int64GetDatum(static_cast<int64>(cost.detector_bytes)),
                      Float8GetDatum(cost.steps)};
    bool nulls[] = {false, false, false, false};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

/// _ad_fit_seconds() RETURNS float8: of the last fit, without the reading of its rows.
PG_FUNCTION_INFO_V1(_ad_fit_seconds);
PGDLLEXPORT Datum _ad_fit_seconds(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    PG_RETURN_FLOAT8(last_fit_seconds());
}
}
