#include "row_source.hpp"

#include "module.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
}

namespace ad::pg {

namespace {

using Form = RowSource::Form;

template <typename T>
T* make_array(MemoryContext context, int count) {
    return static_cast<T*>(MemoryContextAllocZero(context, sizeof(T) * count));
}

const char* feature_name(const Feature& feature) {
    return from_utf8(feature.name.data(), feature.name.size());
}

const char* feature_list(const RowSource* source) {
    StringInfoData list;
    initStringInfo(&list);
    for (int j = 0; j < source->count; ++j) {
        appendStringInfo(&list, "%s%s", j > 0 ? ", " : "", source->names[j]);
    }
    return list.data;
}

void require_count(const RowSource* source, int given) {
    if (given == source->count) return;
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("model \"%s\" has %d features, but %d values were given", source->model_id,
                   source->count, given),
            errdetail("The features are, in this order: %s.", feature_list(source)),
            errhint("Pass one value for each feature, or a whole row, or a jsonb object."));
}

void prepare_plain(RowSource* source, FunctionCallInfo fcinfo) {
    require_count(source, PG_NARGS() - source->first_argument);
    for (int j = 0; j < source->count; ++j) {
        const Oid type = get_fn_expr_argtype(fcinfo->flinfo, source->first_argument + j);
        source->converters[j] = require_converter(type, source->features[j], source->model_id);
    }
}

void prepare_array(RowSource* source, FunctionCallInfo fcinfo) {
    const Oid type =
        get_base_element_type(get_fn_expr_argtype(fcinfo->flinfo, source->first_argument));
    for (int j = 0; j < source->count; ++j) {
        source->converters[j] = require_converter(type, source->features[j], source->model_id);
    }
}

int find_attribute(TupleDesc descriptor, const char* name) {
    for (int i = 0; i < descriptor->natts; ++i) {
        const FormData_pg_attribute* attribute = TupleDescAttr(descriptor, i);
        if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0) return i;
    }
    return -1;
}

/// Maps features to the columns of a row type by name. One call may see many types in turn.
void map_columns(RowSource* source, HeapTupleHeader row) {
    source->descriptor = nullptr;
    MemoryContextReset(source->row_context);
    MemoryContext const previous = MemoryContextSwitchTo(source->row_context);
    source->descriptor = copy_descriptor(row);
    source->slot = MakeTupleTableSlot(source->descriptor, &TTSOpsHeapTuple);
    MemoryContextSwitchTo(previous);
    source->last_attribute = 0;
    for (int j = 0; j < source->count; ++j) {
        const char* name = source->names[j];
        source->attributes[j] = find_attribute(source->descriptor, name);
        if (source->attributes[j] < 0) {
            ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("the row has no column \"%s\", a feature of model \"%s\"", name,
                           source->model_id),
                    errhint("Rename the column back, add it in a view, or train a new model."));
        }
        const Oid type = TupleDescAttr(source->descriptor, source->attributes[j])->atttypid;
        source->converters[j] = require_converter(type, source->features[j], source->model_id);
        if (source->attributes[j] >= source->last_attribute) {
            source->last_attribute = source->attributes[j] + 1;
        }
    }
}

void convert_other(RowSource* source, int j, Datum value, bool isnull, bool all_texts) {
    const Converter& converter = source->converters[j];
    const FeatureKind kind = converter.kind;
    source->texts[j] = {};
    if (isnull) {
        source->cells[j] = missing_cell(kind);
    } else if (kind == FeatureKind::Category) {
        source->texts[j] = to_text(converter, value);
        source->cells[j] = category_cell(category_hash(source->texts[j]));
    } else {
        source->cells[j] = to_cell(converter, value, false);
        const bool time = kind != FeatureKind::Number && kind != FeatureKind::Boolean;
        if (all_texts && time) source->texts[j] = to_text(converter, value);
    }
}

/// The most frequent type in line; it never has a text.
inline void convert(RowSource* source, int j, Datum value, bool isnull, bool all_texts) {
    if (source->converters[j].type == FLOAT8OID && !isnull) {
        source->cells[j] = number_cell(DatumGetFloat8(value));
    } else {
        convert_other(source, j, value, isnull, all_texts);
    }
}

void convert_nothing(RowSource* source) {
    for (int j = 0; j < source->count; ++j) convert(source, j, 0, true, false);
}

void read_plain(RowSource* source, FunctionCallInfo fcinfo, bool all_texts) {
    const NullableDatum* arguments = fcinfo->args + source->first_argument;
    for (int j = 0; j < source->count; ++j) {
        convert(source, j, arguments[j].value, arguments[j].isnull, all_texts);
    }
}

void read_array(RowSource* source, FunctionCallInfo fcinfo, bool all_texts) {
    if (PG_ARGISNULL(source->first_argument)) return convert_nothing(source);
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(source->first_argument);
    int16 length;
    bool by_value;
    char alignment;
    get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &alignment);
    Datum* values;
    bool* nulls;
    int count;
    deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, alignment, &values, &nulls,
                      &count);
    require_count(source, count);
    for (int j = 0; j < count; ++j) convert(source, j, values[j], nulls[j], all_texts);
}

void read_composite(RowSource* source, FunctionCallInfo fcinfo, bool all_texts) {
    if (PG_ARGISNULL(source->first_argument)) return convert_nothing(source);
    HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(source->first_argument);
    if (source->descriptor == nullptr ||
        source->descriptor->tdtypeid != HeapTupleHeaderGetTypeId(row) ||
        source->descriptor->tdtypmod != HeapTupleHeaderGetTypMod(row)) {
        map_columns(source, row);
    }
    HeapTupleData tuple;
    tuple.t_len = HeapTupleHeaderGetDatumLength(row);
    tuple.t_data = row;
    ItemPointerSetInvalid(&tuple.t_self);
    tuple.t_tableOid = InvalidOid;
    TupleTableSlot* slot = source->slot;
    ExecStoreHeapTuple(&tuple, slot, false);
    slot_getsomeattrs(slot, source->last_attribute);
    for (int j = 0; j < source->count; ++j) {
        const int i = source->attributes[j];
        convert(source, j, slot->tts_values[i], slot->tts_isnull[i], all_texts);
    }
    ExecClearTuple(slot);
}

/// A key that is absent is a missing value, but at least one feature must be there: otherwise the
/// names are wrong.
void read_json(RowSource* source, FunctionCallInfo fcinfo) {
    JsonbContainer* object = nullptr;
    if (!PG_ARGISNULL(source->first_argument)) {
        object = &PG_GETARG_JSONB_P(source->first_argument)->root;
    }
    if (object != nullptr && !JsonContainerIsObject(object)) {
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("a JSON row must be an object"),
                errhint("For example: '{\"temperature\": 21.5}'."));
    }
    int found = 0;
    for (int j = 0; j < source->count; ++j) {
        const char* name = source->names[j];
        JsonbValue* value = object == nullptr
                                ? nullptr
                                : getKeyJsonValueFromContainer(
                                      object, name, static_cast<int>(strlen(name)), nullptr);
        found += value != nullptr ? 1 : 0;
        source->cells[j] = json_to_cell(source->features[j], value, &source->texts[j]);
    }
    if (object != nullptr && found == 0) {
        ereport(
            ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("the JSON object has none of the features of model \"%s\"", source->model_id),
            errdetail("The features are: %s.", feature_list(source)));
    }
}

}  // namespace

TupleDesc copy_descriptor(HeapTupleHeader row) {
    return lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(row),
                                       HeapTupleHeaderGetTypMod(row));
}

Form form_of_arguments(FunctionCallInfo fcinfo, int first_argument) {
    if (get_fn_expr_variadic(fcinfo->flinfo)) return Form::Array;
    if (PG_NARGS() != first_argument + 1) return Form::Plain;
    const Oid type = get_fn_expr_argtype(fcinfo->flinfo, first_argument);
    if (type == JSONBOID) return Form::Json;
    if (type == JSONOID) {
        ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                errmsg("a row cannot be given as type json"), errhint("Cast it to jsonb."));
    }
    return type_is_rowtype(type) ? Form::Row : Form::Plain;
}

RowSource* make_row_source(FunctionCallInfo fcinfo, int first_argument, const Schema& schema,
                           const char* model_id, MemoryContext context) {
    const int count = static_cast<int>(schema.size());
    auto* source = make_array<RowSource>(context, 1);
    source->form = form_of_arguments(fcinfo, first_argument);
    source->first_argument = first_argument;
    source->count = count;
    source->features = schema.data();
    source->model_id = model_id;
    source->converters = make_array<Converter>(context, count);
    source->attributes = make_array<int>(context, count);
    source->cells = make_array<Cell>(context, count);
    source->columns = make_array<const Cell*>(context, count);
    source->texts = make_array<std::string_view>(context, count);
    for (int j = 0; j < count; ++j) source->columns[j] = source->cells + j;
    for (int j = 0; j < count; ++j) source->converters[j].kind = schema[j].kind;
    source->names = make_array<const char*>(context, count);
    for (int j = 0; j < count; ++j) {
        source->names[j] = MemoryContextStrdup(context, feature_name(schema[j]));
    }
    if (source->form == Form::Row) {
        source->row_context =
            AllocSetContextCreate(context, "anomaly_detect row type", ALLOCSET_SMALL_SIZES);
    }
    if (source->form == Form::Plain) prepare_plain(source, fcinfo);
    if (source->form == Form::Array) prepare_array(source, fcinfo);
    return source;
}

void read_row(RowSource* source, FunctionCallInfo fcinfo, bool all_texts) {
    switch (source->form) {
        case Form::Json:
            return read_json(source, fcinfo);
        case Form::Row:
            return read_composite(source, fcinfo, all_texts);
        case Form::Array:
            return read_array(source, fcinfo, all_texts);
        case Form::Plain:
            return read_plain(source, fcinfo, all_texts);
    }
}

}  // namespace ad::pg
