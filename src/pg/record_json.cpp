#include "record_json.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

/// A key and where its value comes from.
struct JsonField {
    int attribute;
    Oid type;            ///< below any domain
    FmgrInfo* to_jsonb;  ///< of a value of this type
};

struct RecordJson {
    JsonField* fields;  ///< in the order of the keys
    int count;
    uint32 key_bytes;
    StringInfoData head;  ///< what is the same in every row: all that comes before the values
};

namespace {

constexpr int kEntries = offsetof(Jsonb, root) + offsetof(JsonbContainer, children);
constexpr int kNumberRoom = 32;  // padding, two headers and five groups of digits need less

// What the first two bits of a numeric tell, after the header that every varlena has.
constexpr int kFormMask = 0xC000;
constexpr int kShortForm = 0x8000;

// Numbers

/// Makes room for a number where a number may be: at a multiple of four.
void align(StringInfo out) {
    enlargeStringInfo(out, kNumberRoom);
    while (out->len % sizeof(int32) != 0) out->data[out->len++] = 0;
}

/// The digits of a numeric: groups of four decimal digits, the last one first.
struct Groups {
    int16 digits[6];
    int count;
    int place;  ///< of the last group, as a power of 10,000
};

/// Zeros at the end are left out.
void add_group(Groups* groups, uint64 group) {
    if (group == 0 && groups->count == 0) {
        ++groups->place;
    } else {
        groups->digits[groups->count++] = static_cast<int16>(group);
    }
}

/// Of digits * 10^exponent.
Groups split(uint64 digits, int exponent) {
    constexpr uint64 kPowers[] = {1, 10, 100, 1000, 10000};
    Groups groups{{}, 0, exponent >> 2};
    const int shift = exponent & 3;
    if (shift != 0) {
        const uint64 divisor = kPowers[4 - shift];
        add_group(&groups, digits % divisor * kPowers[shift]);
        digits /= divisor;
    }
    for (; digits != 0; digits /= kPowers[4]) add_group(&groups, digits % kPowers[4]);
    return groups;
}

/// Appends what numeric_in makes of digits * 10^exponent with -exponent fractional digits; false,
/// with nothing done, if that is not of the short form.
bool put_number(StringInfo out, int64 digits, int exponent) {
    // sign, scale, weight of the first group
    constexpr int kNegative = 0x2000, kScaleShift = 7, kWeightMask = 0x7F;
    constexpr int kMaxScale = 63, kMaxWeight = 63;  // no number of this scale weighs too little
    const bool negative = digits < 0;
    const auto bits = static_cast<uint64>(digits);
    const Groups groups = split(negative ? 0 - bits : bits, exponent);
    const int scale = exponent < 0 ? -exponent : 0;
    const int weight = groups.count > 0 ? groups.place + groups.count - 1 : 0;
    if (scale > kMaxScale || weight > kMaxWeight) return false;

    align(out);
    char* const begin = out->data + out->len;
    const auto header = static_cast<uint16>(kShortForm | (negative ? kNegative : 0) |
                                            scale << kScaleShift | (weight & kWeightMask));
    char* at = begin + VARHDRSZ;
    memcpy(at, &header, sizeof(header));
    at += sizeof(header);
    for (int i = groups.count - 1; i >= 0; --i, at += sizeof(int16)) {
        memcpy(at, &groups.digits[i], sizeof(int16));
    }
    SET_VARSIZE(begin, at - begin);
    out->len += static_cast<int>(at - begin);
    return true;
}

/// Appends a number that the server wrote as float8out does. Those that are not finite become
/// strings, and are left to to_jsonb.
bool put_decimal(StringInfo out, const char* text) {
    const bool negative = *text == '-';
    if (negative) ++text;
    if (*text < '0' || *text > '9') return false;
    int64 digits = 0;  // at most 17, without leading zeros
    int exponent = 0;
    for (; *text >= '0' && *text <= '9'; ++text) digits = digits * 10 + (*text - '0');
    if (*text == '.') {
        const char* const fraction = ++text;
        for (; *text >= '0' && *text <= '9'; ++text) digits = digits * 10 + (*text - '0');
        exponent = static_cast<int>(fraction - text);
    }
    if (*text == 'e') exponent += atoi(text + 1);
    return put_number(out, negative ? -digits : digits, exponent);
}

/// Finds the digits of a number with up to six fractional digits, as people write them, or returns
/// false. There are at most 15 digits. No two numbers of so few digits are the same double, and
/// none is halfway between two: hence these are the shortest, once they do not end with a zero.
bool find_digits(double value, int64* digits, int* exponent) {
    constexpr double kScale = 1e6;
    constexpr double kLimit = 1e15;
    const double scaled = value * kScale;
    if (!(scaled > -kLimit && scaled < kLimit)) return false;
    *digits = static_cast<int64>(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
    if (static_cast<double>(*digits) / kScale != value) return false;
    for (*exponent = -6; *exponent < 0 && *digits % 10 == 0; ++*exponent) *digits /= 10;
    return true;
}

/// What float8out writes depends on extra_float_digits; by default it is the shortest digits.
bool put_float8(StringInfo out, double value) {
    if (extra_float_digits <= 0) return false;
    int64 digits;
    int exponent;
    if (find_digits(value, &digits, &exponent)) return put_number(out, digits, exponent);
    char text[DOUBLE_SHORTEST_DECIMAL_LEN];
    double_to_shortest_decimal_buf(value, text);
    return put_decimal(out, text);
}

bool put_float4(StringInfo out, float value) {
    if (extra_float_digits <= 0) return false;
    char text[FLOAT_SHORTEST_DECIMAL_LEN];
    float_to_shortest_decimal_buf(value, text);
    return put_decimal(out, text);
}

// Values

/// Appends the bytes of a text.
bool put_text(StringInfo out, Datum value) {
    auto* const stored = reinterpret_cast<varlena*>(DatumGetPointer(value));
    varlena* const packed = pg_detoast_datum_packed(stored);
    const std::size_t size = VARSIZE_ANY_EXHDR(packed);
    const bool fits = size <= JENTRY_OFFLENMASK;
    if (fits) appendBinaryStringInfoNT(out, VARDATA_ANY(packed), static_cast<int>(size));
    if (packed != stored) pfree(packed);
    return fits;
}

/// Appends a numeric. NaN and infinity become strings, and the long form may be one that older
/// versions wrote for what is short today: these are left to to_jsonb.
bool put_numeric(StringInfo out, Datum value) {
    auto* const stored = reinterpret_cast<varlena*>(DatumGetPointer(value));
    varlena* const packed = pg_detoast_datum_packed(stored);
    const std::size_t size = VARSIZE_ANY_EXHDR(packed);
    uint16 header;
    memcpy(&header, VARDATA_ANY(packed), sizeof(header));
    const bool is_short = (header & kFormMask) == kShortForm;
    if (is_short) {
        align(out);
        SET_VARSIZE(out->data + out->len, size + VARHDRSZ);
        out->len += VARHDRSZ;
        appendBinaryStringInfoNT(out, VARDATA_ANY(packed), static_cast<int>(size));
    }
    if (packed != stored) pfree(packed);
    return is_short;
}

bool put_time(StringInfo out, Datum value, Oid type) {
    char text[MAXDATELEN + 1];
    JsonEncodeDateTime(text, value, type, nullptr);
    appendBinaryStringInfoNT(out, text, static_cast<int>(strlen(text)));
    return true;
}

/// Appends a value of a common type and says of which type it is in jsonb; false, with nothing
/// done, if it is for to_jsonb.
bool put_common(StringInfo out, Oid type, Datum value, JEntry* kind) {
    *kind = JENTRY_ISNUMERIC;
    switch (type) {
        case INT2OID:
            return put_number(out, DatumGetInt16(value), 0);
        case INT4OID:
            return put_number(out, DatumGetInt32(value), 0);
        case INT8OID:
            return put_number(out, DatumGetInt64(value), 0);
        case FLOAT4OID:
            return put_float4(out, DatumGetFloat4(value));
        case FLOAT8OID:
            return put_float8(out, DatumGetFloat8(value));
        case NUMERICOID:
            return put_numeric(out, value);
        case BOOLOID:
            *kind = DatumGetBool(value) ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
            return true;
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID:
            *kind = JENTRY_ISSTRING;
            return put_text(out, value);
        case DATEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            *kind = JENTRY_ISSTRING;
            return put_time(out, value, type);
        default:
            return false;
    }
}

/// Appends what to_jsonb makes of the value alone, which for a scalar is an array that holds it.
JEntry put_other(StringInfo out, FmgrInfo* to_jsonb, Datum value) {
    auto* made = reinterpret_cast<Jsonb*>(DatumGetPointer(FunctionCall1(to_jsonb, value)));
    const bool scalar = JsonContainerIsScalar(&made->root);
    const JEntry kind = scalar ? made->root.children[0] & JENTRY_TYPEMASK : JENTRY_ISCONTAINER;
    const char* bytes = reinterpret_cast<const char*>(&made->root);
    if (scalar) bytes = reinterpret_cast<const char*>(&made->root.children[1]);
    const char* const end = reinterpret_cast<const char*>(made) + VARSIZE(made);
    if (JBE_ISNUMERIC(kind) || JBE_ISCONTAINER(kind)) align(out);
    appendBinaryStringInfoNT(out, bytes, static_cast<int>(end - bytes));
    pfree(made);
    return kind;
}

// Keys

FmgrInfo* make_to_jsonb(Oid type) {
    auto* function = static_cast<FmgrInfo*>(palloc0(sizeof(FmgrInfo)));
    fmgr_info(F_TO_JSONB, function);
    // It asks the call for the type of its argument.
    Node* argument = reinterpret_cast<Node*>(makeNullConst(type, -1, InvalidOid));
    fmgr_info_set_expr(
        reinterpret_cast<Node*>(makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument), InvalidOid,
                                             InvalidOid, COERCE_EXPLICIT_CALL)),
        function);
    return function;
}

const char* key_of(TupleDesc source, const JsonField& field) {
    return NameStr(TupleDescAttr(source, field.attribute)->attname);
}

/// The order of keys in jsonb: shorter ones first.
int compare_keys(const char* a, const char* b) {
    const std::size_t a_size = strlen(a);
    const std::size_t b_size = strlen(b);
    if (a_size != b_size) return a_size < b_size ? -1 : 1;
    return memcmp(a, b, a_size);
}

/// Puts a field into its place. Of equal keys the last one stays.
void insert_field(RecordJson* json, TupleDesc source, const JsonField& field) {
    const char* const key = key_of(source, field);
    int place = json->count;
    int order = 1;
    while (place > 0) {
        order = compare_keys(key, key_of(source, json->fields[place - 1]));
        if (order >= 0) break;
        --place;
    }
    if (order == 0) {
        json->fields[place - 1] = field;
        return;
    }
    memmove(json->fields + place + 1, json->fields + place,
            sizeof(JsonField) * (json->count - place));
    json->fields[place] = field;
    ++json->count;
}

/// Writes the entry of a key or value, which tells its size, or for some the total up to its end.
void put_entry(StringInfo out, int child, JEntry kind, uint32 size, uint32 total) {
    const bool has_total = child % JB_OFFSET_STRIDE == 0;
    const JEntry entry = kind | (has_total ? total | JENTRY_HAS_OFF : size);
    memcpy(out->data + kEntries + child * sizeof(JEntry), &entry, sizeof(JEntry));
}

void make_head(RecordJson* json, TupleDesc source) {
    StringInfo head = &json->head;
    const int size = kEntries + 2 * json->count * static_cast<int>(sizeof(JEntry));
    initStringInfo(head);
    enlargeStringInfo(head, size);
    memset(head->data, 0, size);
    head->len = size;
    const uint32 container = static_cast<uint32>(json->count) | JB_FOBJECT;
    memcpy(head->data + offsetof(Jsonb, root), &container, sizeof(container));
    for (int i = 0; i < json->count; ++i) {
        const char* const key = key_of(source, json->fields[i]);
        const auto length = static_cast<uint32>(strlen(key));
        appendBinaryStringInfoNT(head, key, static_cast<int>(length));
        json->key_bytes += length;
        put_entry(head, i, JENTRY_ISSTRING, length, json->key_bytes);
    }
}

void require_size(uint32 size) {
    if (size <= JENTRY_OFFLENMASK) return;
    ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
            errmsg("total size of jsonb object elements exceeds the maximum of %u bytes",
                   JENTRY_OFFLENMASK));
}

}  // namespace

RecordJson* make_record_json(TupleDesc source, const int* attributes, int count) {
    auto* json = static_cast<RecordJson*>(palloc0(sizeof(RecordJson)));
    json->fields = static_cast<JsonField*>(palloc0(sizeof(JsonField) * count));
    for (int i = 0; i < count; ++i) {
        const FormData_pg_attribute* column = TupleDescAttr(source, attributes[i]);
        insert_field(
            json, source,
            {attributes[i], getBaseType(column->atttypid), make_to_jsonb(column->atttypid)});
    }
    make_head(json, source);
    return json;
}

Datum record_json(const RecordJson* json, const Datum* values, const bool* nulls) {
    // Written where it stays, and as large as rows without long texts need.
    StringInfoData out;
    out.maxlen = json->head.len + (json->count + 1) * kNumberRoom;
    out.data = static_cast<char*>(palloc(out.maxlen));
    out.len = json->head.len;
    out.cursor = 0;
    memcpy(out.data, json->head.data, out.len);
    uint32 total = json->key_bytes;
    for (int i = 0; i < json->count; ++i) {
        const JsonField& field = json->fields[i];
        const Datum value = values[field.attribute];
        const int begin = out.len;
        JEntry kind = JENTRY_ISNULL;
        if (!nulls[field.attribute] && !put_common(&out, field.type, value, &kind)) {
            kind = put_other(&out, field.to_jsonb, value);
        }
        const auto size = static_cast<uint32>(out.len - begin);
        total += size;
        require_size(total);
        put_entry(&out, json->count + i, kind, size, total);
    }
    require_size(out.len - VARHDRSZ);
    SET_VARSIZE(out.data, out.len);
    return PointerGetDatum(out.data);
}

}  // namespace ad::pg
