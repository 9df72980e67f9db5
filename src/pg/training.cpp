#include "training.hpp"

#include "core/hash.hpp"
#include "core/model.hpp"

#include "module.hpp"

extern "C" {
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

void add_identity_column(RowIdentity* identity, Oid type) {
    get_typlenbyval(type, &identity->length[identity->count], &identity->by_value[identity->count]);
    ++identity->count;
}

std::uint64_t hash_identity(const RowIdentity& identity, int k, std::uint64_t hash, Datum value,
                            bool isnull) {
    if (isnull) return hash_bytes(nullptr, 0, hash);
    if (identity.by_value[k]) return hash_bytes(&value, sizeof(value), hash);
    const std::int16_t length = identity.length[k];
    if (length > 0) return hash_bytes(DatumGetPointer(value), length, hash);
    if (length == -2)
        return hash_bytes(DatumGetCString(value), strlen(DatumGetCString(value)), hash);
    const varlena* packed = PG_DETOAST_DATUM_PACKED(value);
    return hash_bytes(VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed), hash);
}

std::uint64_t hash_content(const FitState* state, const Cell* cells) {
    const std::uint64_t place = state->rows_seen();
    const auto seed = static_cast<std::uint64_t>(state->request().random_seed);
    return hash_bytes(cells, sizeof(Cell) * state->schema().size(),
                      hash_bytes(&place, sizeof(place), seed));
}

Converter feature_converter(const char* column, Oid type) {
    Converter converter;
    if (!find_converter(type, &converter)) {
        ereport(
            ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
            errmsg("column \"%s\" of type %s cannot be a feature", column, format_type_be(type)),
            errhint("Features are numbers, booleans, dates and times, or categories (text, "
                    "enum, uuid, network addresses)."));
    }
    return converter;
}

namespace {

double fit_seconds = 0.0;

}  // namespace

double last_fit_seconds() { return fit_seconds; }

bytea* fit_model(FitState* state) {
    const std::uint64_t max_memory = max_training_memory_bytes();
    instr_time begin, end;
    INSTR_TIME_SET_CURRENT(begin);
    const auto* bytes = own<std::string>(CurrentMemoryContext, [&] {
        const auto model = Model::fit_if_enough(*state, max_memory);
        return model ? model->save() : std::string();
    });
    INSTR_TIME_SET_CURRENT(end);
    INSTR_TIME_SUBTRACT(end, begin);
    fit_seconds = INSTR_TIME_GET_DOUBLE(end);
    return bytes->empty() ? nullptr : make_bytea(*bytes);
}

}  // namespace ad::pg
