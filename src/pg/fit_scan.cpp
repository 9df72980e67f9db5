// _ad_fit_rows: what ad_fit does, for the rows of a whole query that one process reads. The
// executor hands its rows to a receiver of ours, which looks at the identity of a row first: the
// columns of one that the sample does not want are not even taken out of its tuple.
#include "core/fit_state.hpp"

#include "module.hpp"
#include "scan.hpp"
#include "training.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
}

namespace ad::pg {

namespace {

struct FitScan {
    DestReceiver receiver;  ///< must come first: the executor only knows this part
    MemoryContext memory;
    MemoryContext row_memory;
    const char* options;
    int identity_count;
    Datum* identity_names;

    FitState* state;
    RowIdentity identity;
    int identity_end;  ///< how many attributes the identity needs
    int features_end;
    int* identity_attributes;
    int features;
    int* feature_attributes;
    Converter* converters;
    Cell* cells;
    std::string_view* texts;
};

void start_receiver(DestReceiver* self, int, TupleDesc descriptor) {
    auto* scan = reinterpret_cast<FitScan*>(self);
    require_one_query(scan->state != nullptr);
    MemoryContext const previous = MemoryContextSwitchTo(scan->memory);
    const auto* request =
        own<FitRequest>(scan->memory, [&] { return FitRequest::parse(scan->options); });
    scan->features = static_cast<int>(request->features.size());
    scan->feature_attributes = static_cast<int*>(palloc0(sizeof(int) * scan->features));
    scan->converters = static_cast<Converter*>(palloc0(sizeof(Converter) * scan->features));
    scan->cells = static_cast<Cell*>(palloc0(sizeof(Cell) * scan->features));
    scan->texts =
        static_cast<std::string_view*>(palloc0(sizeof(std::string_view) * scan->features));
    for (int j = 0; j < scan->features; ++j) {
        const std::string& name = request->features[j];
        const int i = find_column(descriptor, from_utf8(name.data(), name.size()));
        const FormData_pg_attribute* column = TupleDescAttr(descriptor, i);
        scan->converters[j] = feature_converter(NameStr(column->attname), column->atttypid);
        scan->feature_attributes[j] = i;
        if (i >= scan->features_end) scan->features_end = i + 1;
    }
    scan->identity_attributes = static_cast<int*>(palloc0(sizeof(int) * scan->identity_count));
    for (int k = 0; k < scan->identity_count; ++k) {
        const int i = find_column(descriptor, TextDatumGetCString(scan->identity_names[k]));
        add_identity_column(&scan->identity, TupleDescAttr(descriptor, i)->atttypid);
        scan->identity_attributes[k] = i;
        if (i >= scan->identity_end) scan->identity_end = i + 1;
    }
    const std::uint64_t max_memory = max_training_memory_bytes();
    scan->state = own<FitState>(scan->memory, [&] {
        Schema schema;
        for (int j = 0; j < scan->features; ++j) {
            schema.push_back({request->features[j], scan->converters[j].kind});
        }
        return FitState(scan->options, std::move(schema), max_memory);
    });
    MemoryContextSwitchTo(previous);
}

void read_features(FitScan* scan, TupleTableSlot* slot) {
    slot_getsomeattrs(slot, scan->features_end);
    for (int j = 0; j < scan->features; ++j) {
        const int i = scan->feature_attributes[j];
        const Converter& converter = scan->converters[j];
        const bool category = converter.kind == FeatureKind::Category && !slot->tts_isnull[i];
        scan->texts[j] = category ? to_text(converter, slot->tts_values[i]) : std::string_view();
        scan->cells[j] = category ? category_cell(category_hash(scan->texts[j]))
                                  : read_cell(converter, slot->tts_values[i], slot->tts_isnull[i]);
    }
}

bool receive_row(TupleTableSlot* slot, DestReceiver* self) {
    auto* scan = reinterpret_cast<FitScan*>(self);
    FitState* state = scan->state;
    auto hash = static_cast<std::uint64_t>(state->request().random_seed);
    MemoryContext const previous = MemoryContextSwitchTo(scan->row_memory);
    if (scan->identity_count > 0) {
        slot_getsomeattrs(slot, scan->identity_end);
        for (int k = 0; k < scan->identity_count; ++k) {
            const int i = scan->identity_attributes[k];
            hash = hash_identity(scan->identity, k, hash, slot->tts_values[i], slot->tts_isnull[i]);
        }
    } else {
        read_features(scan, slot);
        hash = hash_content(state, scan->cells);
    }
    if (state->offer(hash)) {
        if (scan->identity_count > 0) read_features(scan, slot);
        run([&] { state->add(hash, scan->cells, scan->texts); });
    }
    MemoryContextSwitchTo(previous);
    MemoryContextReset(scan->row_memory);
    return true;
}

void end_receiver(DestReceiver*) {}

}  // namespace

}  // namespace ad::pg

using namespace ad::pg;

extern "C" {

/// _ad_fit_rows(query text, options jsonb, identity text[]) RETURNS bytea: null if there is no row.
PG_FUNCTION_INFO_V1(_ad_fit_rows);
PGDLLEXPORT Datum _ad_fit_rows(PG_FUNCTION_ARGS) {
    auto* scan = static_cast<FitScan*>(palloc0(sizeof(FitScan)));
    scan->receiver.receiveSlot = receive_row;
    scan->receiver.rStartup = start_receiver;
    scan->receiver.rShutdown = end_receiver;
    scan->receiver.rDestroy = end_receiver;
    scan->receiver.mydest = DestTuplestore;  // SPI counts DestNone as no query
    scan->memory = CurrentMemoryContext;
    scan->row_memory =
        AllocSetContextCreate(CurrentMemoryContext, "anomaly_detect row", ALLOCSET_SMALL_SIZES);
    Jsonb* options = PG_GETARG_JSONB_P(1);
    scan->options = to_utf8(JsonbToCString(nullptr, &options->root, VARSIZE(options)));
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT,
                      &scan->identity_names, nullptr, &scan->identity_count);
    if (scan->identity_count > RowIdentity::kMaxColumns) {
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("an identity has at most %d columns, not %d", RowIdentity::kMaxColumns,
                       scan->identity_count));
    }
    const char* query = text_to_cstring(PG_GETARG_TEXT_PP(0));
    SPI_connect();
    read_query(query, &scan->receiver);
    SPI_finish();
    if (scan->state->rows_seen() == 0) PG_RETURN_NULL();
    bytea* model = fit_model(scan->state);
    if (model == nullptr) PG_RETURN_NULL();
    PG_RETURN_BYTEA_P(model);
}
}
