#include "values.hpp"

#include <charconv>

#include "core/hash.hpp"

#include "module.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace ad::pg {

namespace {

constexpr double kMicroseconds = 1e6;
constexpr double kDay = 86400.0;

bool kind_of_type(Oid type, FeatureKind* kind) {
    switch (type) {
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case FLOAT4OID:
        case FLOAT8OID:
        case NUMERICOID:
        case INTERVALOID:
            *kind = FeatureKind::Number;
            return true;
        case BOOLOID:
            *kind = FeatureKind::Boolean;
            return true;
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            *kind = FeatureKind::Timestamp;
            return true;
        case DATEOID:
            *kind = FeatureKind::Date;
            return true;
        case TIMEOID:
        case TIMETZOID:
            *kind = FeatureKind::Time;
            return true;
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID:
        case NAMEOID:
        case CHAROID:
        case UUIDOID:
        case INETOID:
        case CIDROID:
        case MACADDROID:
        case MACADDR8OID:
            *kind = FeatureKind::Category;
            return true;
        default:
            *kind = FeatureKind::Category;
            return type_is_enum(type);
    }
}

double interval_seconds(const Interval* span) {
    constexpr double kDaysAMonth = 30.0;
    return static_cast<double>(span->time) / kMicroseconds +
           (span->day + kDaysAMonth * span->month) * kDay;
}

/// As numeric_float8_no_overflow, which goes through text: reads the short form of a numeric, up to
/// five groups of four decimal digits. record_json.hpp says what this depends on.
double numeric_to_double(Datum value) {
    constexpr int kFormMask = 0xC000, kShortForm = 0x8000, kNegative = 0x2000;
    constexpr std::uint64_t kExact = std::uint64_t{1} << 53;
    constexpr int kGroup = 10000, kLargestFirst = 1843;  // below 2^64 in all
    constexpr std::size_t kMaxGroups = 5;
    constexpr double kPowers[] = {1e0, 1e4, 1e8, 1e12, 1e16, 1e20};  // these are exact
    const varlena* packed = PG_DETOAST_DATUM_PACKED(value);
    const char* data = VARDATA_ANY(packed);
    std::uint16_t header;
    std::int16_t groups[kMaxGroups];
    memcpy(&header, data, sizeof(header));
    const std::size_t count = (VARSIZE_ANY_EXHDR(packed) - sizeof(header)) / sizeof(groups[0]);
    if ((header & kFormMask) != kShortForm || count > kMaxGroups) {
        return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
    }
    memcpy(groups, data + sizeof(header), sizeof(groups[0]) * count);
    if (count == kMaxGroups && groups[0] > kLargestFirst) {
        return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
    }
    std::uint64_t digits = 0;
    for (std::size_t i = 0; i < count; ++i) digits = digits * kGroup + groups[i];
    const int weight = (header & 0x3F) - (header & 0x40);
    const int scale =
        weight - (static_cast<int>(count) - 1);  // of the last group, as a power of 10,000
    double number = static_cast<double>(digits);
    if (digits <= kExact && scale >= -5 && scale <= 5) {
        number = scale < 0 ? number / kPowers[-scale] : number * kPowers[scale];
    } else {
        char text[32];
        char* at = std::to_chars(text, text + 20, digits).ptr;  // 2^64 has 20 digits
        *at = 'e';
        at = std::to_chars(at + 1, text + sizeof(text), 4 * scale).ptr;
        std::from_chars(text, at, number);
    }
    return (header & kNegative) != 0 ? -number : number;
}

double to_number(const Converter& converter, Datum value) {
    switch (converter.type) {
        case INT2OID:
            return DatumGetInt16(value);
        case INT4OID:
            return DatumGetInt32(value);
        case INT8OID:
            return static_cast<double>(DatumGetInt64(value));
        case FLOAT4OID:
            return DatumGetFloat4(value);
        case FLOAT8OID:
            return DatumGetFloat8(value);
        case NUMERICOID:
            return numeric_to_double(value);
        case INTERVALOID:
            return interval_seconds(DatumGetIntervalP(value));
        case BOOLOID:
            return DatumGetBool(value) ? 1.0 : 0.0;
        case TIMESTAMPOID:
        case TIMESTAMPTZOID: {
            const Timestamp at = DatumGetTimestamp(value);
            return TIMESTAMP_NOT_FINITE(at) ? kMissing : static_cast<double>(at) / kMicroseconds;
        }
        case DATEOID: {
            const DateADT day = DatumGetDateADT(value);
            return DATE_NOT_FINITE(day) ? kMissing : day;
        }
        case TIMEOID:
            return static_cast<double>(DatumGetTimeADT(value)) / kMicroseconds;
        case TIMETZOID:
            return static_cast<double>(DatumGetTimeTzADTP(value)->time) / kMicroseconds;
        default:
            elog(ERROR, "type %u is not a number", converter.type);
    }
}

Cell category_of(std::string_view text) { return category_cell(category_hash(text)); }

/// Without trailing blanks: those of character(n) are padding, and nothing tells which jsonb text
/// was of that type.
std::string_view utf8_view(const char* text, std::size_t length) {
    length = bpchartruelen(const_cast<char*>(text), static_cast<int>(length));
    const char* utf8 = pg_server_to_any(text, static_cast<int>(length), PG_UTF8);
    return {utf8, utf8 == text ? length : strlen(utf8)};
}

[[noreturn]] void refuse_json(const Feature& feature, const char* found) {
    ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
            errmsg("feature \"%s\" is a %s, but the JSON value is a %s",
                   from_utf8(feature.name.data(), feature.name.size()),
                   kind_name(feature.kind).data(), found),
            errhint(feature.kind == FeatureKind::Number && strcmp(found, "string") == 0
                        ? "Write a number; of an interval, its seconds."
                        : "Write the value as to_jsonb does."));
}

/// Whether ISO 8601 text names a zone. Without one it is local time, as in type timestamp.
bool has_zone(const char* text) {
    const char* clock = strpbrk(text, "T ");
    return clock != nullptr && strpbrk(clock + 1, "+-Zz") != nullptr;
}

/// Date and time values reach JSON as text; read it back with the type's own input function.
Datum parse_time(const Feature& feature, char* text, Oid* type) {
    switch (feature.kind) {
        case FeatureKind::Date:
            *type = DATEOID;
            return DirectFunctionCall1(date_in, CStringGetDatum(text));
        case FeatureKind::Time:
            *type = TIMEOID;
            return DirectFunctionCall3(time_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
                                       Int32GetDatum(-1));
        default:
            *type = has_zone(text) ? TIMESTAMPTZOID : TIMESTAMPOID;
            return DirectFunctionCall3(has_zone(text) ? timestamptz_in : timestamp_in,
                                       CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
                                       Int32GetDatum(-1));
    }
}

Cell json_string_to_cell(const Feature& feature, const JsonbValue* value, std::string_view* text) {
    *text = utf8_view(value->val.string.val, value->val.string.len);
    char* copy = pnstrdup(value->val.string.val, value->val.string.len);
    Converter converter{InvalidOid, feature.kind, InvalidOid};
    Datum parsed;
    switch (feature.kind) {
        case FeatureKind::Category:
            return category_of(*text);
        case FeatureKind::Boolean:
            refuse_json(feature, "string");
        case FeatureKind::Number:  // jsonb writes NaN and infinity as strings
            if (*text != "NaN" && *text != "Infinity" && *text != "-Infinity") {
                refuse_json(feature, "string");
            }
            return number_cell(
                DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(copy))));
        default:
            parsed = parse_time(feature, copy, &converter.type);
            return to_cell(converter, parsed, false);
    }
}

}  // namespace

bool find_converter(Oid type, Converter* converter) {
    converter->type = getBaseType(type);
    converter->output = InvalidOid;
    if (!kind_of_type(converter->type, &converter->kind)) return false;
    bool is_varlena;
    getTypeOutputInfo(converter->type, &converter->output, &is_varlena);
    return true;
}

Converter require_converter(Oid type, const Feature& feature, const char* where) {
    Converter converter;
    if (type == UNKNOWNOID) return {UNKNOWNOID, feature.kind, InvalidOid};  // a bare NULL or 'text'
    if (!find_converter(type, &converter) || converter.kind != feature.kind) {
        ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                errmsg("feature \"%s\" of model \"%s\" is a %s, but the value is of type %s",
                       from_utf8(feature.name.data(), feature.name.size()), where,
                       kind_name(feature.kind).data(), format_type_be(type)),
                errhint("Cast the value, or train a new model on the changed column."));
    }
    return converter;
}

Cell to_cell(const Converter& converter, Datum value, bool isnull) {
    if (isnull) return missing_cell(converter.kind);
    if (converter.kind == FeatureKind::Category) return category_of(to_text(converter, value));
    if (converter.type == UNKNOWNOID) {
        ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                errmsg("a %s feature cannot be given as an untyped literal",
                       kind_name(converter.kind).data()),
                errhint("Cast the value, for example to double precision."));
    }
    return number_cell(to_number(converter, value));
}

std::string_view to_text(const Converter& converter, Datum value) {
    switch (converter.type) {
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID: {
            const text* packed = DatumGetTextPP(value);
            return utf8_view(VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
        }
        case UNKNOWNOID: {
            const char* literal = DatumGetCString(value);
            return utf8_view(literal, strlen(literal));
        }
        default: {
            const char* output = OidOutputFunctionCall(converter.output, value);
            return utf8_view(output, strlen(output));
        }
    }
}

Cell json_to_cell(const Feature& feature, const JsonbValue* value, std::string_view* text) {
    *text = {};
    if (value == nullptr) return missing_cell(feature.kind);
    const bool number = feature.kind == FeatureKind::Number;
    switch (value->type) {
        case jbvNull:
            return missing_cell(feature.kind);
        case jbvNumeric:
            if (!number) refuse_json(feature, "number");
            return number_cell(numeric_to_double(NumericGetDatum(value->val.numeric)));
        case jbvBool:
            if (feature.kind != FeatureKind::Boolean) refuse_json(feature, "boolean");
            return number_cell(value->val.boolean ? 1.0 : 0.0);
        case jbvString:
            return json_string_to_cell(feature, value, text);
        default:
            refuse_json(feature, "nested value");
    }
}

}  // namespace ad::pg
