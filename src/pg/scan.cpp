#include "scan.hpp"

#include "module.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
}

namespace ad::pg {

namespace {

template <typename T>
T* make_array(std::size_t count) {
    return static_cast<T*>(palloc0(sizeof(T) * count));
}

void find_features(SourceScan* scan) {
    const Schema& schema = scan->cached->model->schema();
    for (int j = 0; j < scan->features; ++j) {
        const char* name = from_utf8(schema[j].name.data(), schema[j].name.size());
        const int attribute = find_column(scan->descriptor, name);
        const Oid type = TupleDescAttr(scan->descriptor, attribute)->atttypid;
        scan->feature_attributes[j] = attribute;
        scan->converters[j] = require_converter(type, schema[j], scan->cached->model_id);
        if (attribute >= scan->last_attribute) scan->last_attribute = attribute + 1;
    }
}

void start_receiver(DestReceiver* self, int, TupleDesc descriptor) {
    auto* scan = reinterpret_cast<SourceScan*>(self);
    require_one_query(scan->descriptor != nullptr);
    MemoryContext const previous = MemoryContextSwitchTo(scan->memory);
    scan->descriptor = CreateTupleDescCopy(descriptor);
    scan->row = MakeSingleTupleTableSlot(scan->descriptor, &TTSOpsMinimalTuple);
    find_features(scan);
    for (int k = 0; k < scan->key_count; ++k) {
        scan->key_attributes[k] = find_column(scan->descriptor, scan->key_names[k]);
    }
    auto* all = make_array<int>(scan->descriptor->natts);
    for (int i = 0; i < scan->descriptor->natts; ++i) all[i] = i;
    scan->key_json = make_record_json(scan->descriptor, scan->key_attributes, scan->key_count);
    scan->feature_json =
        make_record_json(scan->descriptor, scan->feature_attributes, scan->features);
    scan->row_json = make_record_json(scan->descriptor, all, scan->descriptor->natts);
    MemoryContextSwitchTo(previous);
}

/// Documents of megabytes make a block of few rows, and are handed on before it ends.
bool is_large(MemoryContext context) {
    constexpr std::size_t kLarge = std::size_t{16} << 20;
    return MemoryContextMemAllocated(context, false) > kLarge;
}

void flush(SourceScan* scan) {
    if (scan->flush != nullptr) scan->flush(scan);
    MemoryContextReset(scan->output_memory);
}

void score_block(SourceScan* scan) {
    if (scan->rows_in_block == 0) return;
    const Cells cells{scan->columns, static_cast<std::size_t>(scan->rows_in_block)};
    const Model* model = scan->cached->model;
    run([&] { model->score(cells, *scan->scratch, scan->scores); });
    MemoryContext const previous = MemoryContextSwitchTo(scan->output_memory);
    for (int i = 0; i < scan->rows_in_block; ++i) {
        scan->consume(scan, i, scan->scores[i]);
        if (is_large(scan->output_memory)) flush(scan);
    }
    flush(scan);
    ExecClearTuple(scan->row);
    MemoryContextSwitchTo(previous);
    MemoryContextReset(scan->block_memory);
    scan->rows_in_block = 0;
}

bool receive_row(TupleTableSlot* slot, DestReceiver* self) {
    auto* scan = reinterpret_cast<SourceScan*>(self);
    MemoryContext const previous = MemoryContextSwitchTo(scan->block_memory);
    const int i = scan->rows_in_block;
    if (scan->accept != nullptr && !scan->accept(scan, slot, i)) {
        MemoryContextSwitchTo(previous);
        return true;
    }
    slot_getsomeattrs(slot, scan->last_attribute);
    for (int j = 0; j < scan->features; ++j) {
        const int attribute = scan->feature_attributes[j];
        scan->cells[static_cast<std::size_t>(j) * scan->block_rows + i] = read_cell(
            scan->converters[j], slot->tts_values[attribute], slot->tts_isnull[attribute]);
    }
    if (scan->keep_rows) scan->rows[i] = ExecCopySlotMinimalTuple(slot);
    ++scan->rows_in_block;
    MemoryContextSwitchTo(previous);
    if (scan->rows_in_block == scan->block_rows || is_large(scan->block_memory)) score_block(scan);
    return true;
}

void stop_receiver(DestReceiver* self) { score_block(reinterpret_cast<SourceScan*>(self)); }

void destroy_receiver(DestReceiver*) {}

void read_keys(SourceScan* scan, ArrayType* keys) {
    Datum* names;
    deconstruct_array(keys, TEXTOID, -1, false, TYPALIGN_INT, &names, nullptr, &scan->key_count);
    auto* copies = make_array<const char*>(scan->key_count);
    for (int k = 0; k < scan->key_count; ++k) copies[k] = TextDatumGetCString(names[k]);
    scan->key_names = copies;
    scan->key_attributes = make_array<int>(scan->key_count);
}

}  // namespace

SourceScan* make_scan(const char* model_id, Oid schema, ArrayType* keys, bool keep_rows) {
    auto* scan = make_array<SourceScan>(1);
    scan->receiver.receiveSlot = receive_row;
    scan->receiver.rStartup = start_receiver;
    scan->receiver.rShutdown = stop_receiver;
    scan->receiver.rDestroy = destroy_receiver;
    scan->receiver.mydest = DestTuplestore;  // SPI counts DestNone as no query
    scan->memory = CurrentMemoryContext;
    scan->block_memory =
        AllocSetContextCreate(CurrentMemoryContext, "anomaly_detect block", ALLOCSET_DEFAULT_SIZES);
    scan->output_memory = AllocSetContextCreate(CurrentMemoryContext, "anomaly_detect output",
                                                ALLOCSET_DEFAULT_SIZES);
    scan->cached = pin_model(model_id, schema, CurrentMemoryContext);
    scan->block_rows =
        scan->cached->model->has_entities() ? SourceScan::kEntitiesBlock : SourceScan::kBlock;
    scan->features = static_cast<int>(scan->cached->model->schema().size());
    scan->keep_rows = keep_rows;
    read_keys(scan, keys);
    scan->converters = make_array<Converter>(scan->features);
    scan->feature_attributes = make_array<int>(scan->features);
    scan->texts = make_array<std::string_view>(scan->features);
    const auto rows = static_cast<std::size_t>(scan->block_rows);
    scan->cells =
        static_cast<Cell*>(palloc_extended(sizeof(Cell) * scan->features * rows, MCXT_ALLOC_HUGE));
    scan->columns = make_array<const Cell*>(scan->features);
    scan->one_row = make_array<const Cell*>(scan->features);
    for (int j = 0; j < scan->features; ++j) scan->columns[j] = scan->cells + j * rows;
    scan->scores = make_array<double>(rows);
    scan->rows = make_array<MinimalTuple>(rows);
    scan->scratch = own<Scratch>(CurrentMemoryContext, [] { return Scratch(); });
    return scan;
}

int find_column(TupleDesc descriptor, const char* name) {
    for (int i = 0; i < descriptor->natts; ++i) {
        if (strcmp(NameStr(TupleDescAttr(descriptor, i)->attname), name) == 0) return i;
    }
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("column \"%s\" does not exist", name));
}

void require_one_query(bool started) {
    if (!started) return;
    ereport(ERROR, errcode(ERRCODE_SYNTAX_ERROR), errmsg("more than one query to read from"));
}

void read_query(const char* query, DestReceiver* receiver) {
    SPIExecuteOptions options{};
    options.dest = receiver;
    options.read_only = true;  // in the snapshot of the statement, like the rest of it
    if (SPI_execute_extended(query, &options) != SPI_OK_SELECT) {
        elog(ERROR, "could not read the source");
    }
}

void run_scan(SourceScan* scan, const char* query) { read_query(query, &scan->receiver); }

void load_row(SourceScan* scan, int i) {
    ExecStoreMinimalTuple(scan->rows[i], scan->row, false);
    slot_getallattrs(scan->row);
}

Datum columns_json(const SourceScan* scan, const RecordJson* json) {
    return record_json(json, scan->row->tts_values, scan->row->tts_isnull);
}

Datum explain_json(SourceScan* scan, int i) {
    for (int j = 0; j < scan->features; ++j) {
        const int attribute = scan->feature_attributes[j];
        const FeatureKind kind = scan->converters[j].kind;
        const bool plain = kind == FeatureKind::Number || kind == FeatureKind::Boolean;
        scan->texts[j] = {};
        scan->one_row[j] = scan->columns[j] + i;
        if (plain || scan->row->tts_isnull[attribute]) continue;
        scan->texts[j] = to_text(scan->converters[j], scan->row->tts_values[attribute]);
    }
    const Cells cells{scan->one_row, 1};
    const auto* json = own<std::string>(CurrentMemoryContext, [&] {
        return scan->cached->model->explain(cells, 0, scan->texts, *scan->scratch);
    });
    return make_jsonb(*json);
}

}  // namespace ad::pg
