#include "core/registry.hpp"

#include "jobs.hpp"
#include "model_cache.hpp"
#include "module.hpp"
#include "values.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

PG_MODULE_MAGIC;
}

namespace ad::pg {

Settings settings;

namespace {

constexpr int kMegabyte = 1024;  // the unit of these settings is kB

bool check_algorithm(char** value, void** extra, GucSource source) {
    (void)extra;
    (void)source;
    StringInfoData names;
    initStringInfo(&names);
    for (const auto* algorithm : algorithms()) {
        const auto name = algorithm->name;
        if (name == *value) return true;
        appendStringInfo(&names, "%s%.*s", names.len == 0 ? "" : ", ",
                         static_cast<int>(name.size()), name.data());
    }
    GUC_check_errhint("Valid names are: %s.", names.data);
    return false;
}

void define_settings() {
    DefineCustomIntVariable("anomaly_detect.max_training_memory",
                            "Memory that one training may use for its sample of rows.",
                            "-1 stands for maintenance_work_mem.", &settings.max_training_memory,
                            -1, -1, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr, nullptr,
                            nullptr);
    DefineCustomIntVariable("anomaly_detect.model_cache_size",
                            "Memory that a session may use to keep models ready for scoring.",
                            "Models in use are kept even if they exceed it.",
                            &settings.model_cache_size, 64 * kMegabyte, 0, MAX_KILOBYTES,
                            PGC_USERSET, GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("anomaly_detect.max_model_size",
                            "Largest model that is loaded, in its stored form.", nullptr,
                            &settings.max_model_size, 256 * kMegabyte, 1, kMegabyte * kMegabyte,
                            PGC_USERSET, GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "anomaly_detect.random_seed", "Seed of a training that does not name one.", nullptr,
        &settings.random_seed, 0, 0, INT_MAX, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomStringVariable("anomaly_detect.default_algorithm",
                               "Algorithm of a training that does not name one.", nullptr,
                               &settings.default_algorithm, "isolation_forest", PGC_USERSET, 0,
                               check_algorithm, nullptr, nullptr);
    DefineCustomStringVariable("anomaly_detect.admin_role",
                               "Role whose members see the models, results and runs of all users.",
                               nullptr, &settings.admin_role, "", PGC_SUSET, 0, nullptr, nullptr,
                               nullptr);
    DefineCustomStringVariable("anomaly_detect.timezone",
                               "Time zone of a schedule that does not name one.",
                               "Empty stands for TimeZone.", &settings.timezone, "", PGC_USERSET, 0,
                               check_timezone, nullptr, nullptr);
    define_job_settings();
    MarkGUCPrefixReserved("anomaly_detect");
}

}  // namespace

std::uint64_t max_training_memory_bytes() {
    const int kilobytes =
        settings.max_training_memory >= 0 ? settings.max_training_memory : maintenance_work_mem;
    return static_cast<std::uint64_t>(kilobytes) * 1024;
}

Oid extension_schema(FunctionCallInfo fcinfo) { return get_func_namespace(fcinfo->flinfo->fn_oid); }

const char* to_utf8(const char* text) { return pg_server_to_any(text, strlen(text), PG_UTF8); }

const char* from_utf8(const char* text, std::size_t size) {
    return pg_any_to_server(pnstrdup(text, size), size, PG_UTF8);
}

bytea* make_bytea(const std::string& bytes) {
    auto* result = static_cast<bytea*>(palloc(bytes.size() + VARHDRSZ));
    SET_VARSIZE(result, bytes.size() + VARHDRSZ);
    memcpy(VARDATA(result), bytes.data(), bytes.size());
    return result;
}

Datum make_jsonb(const std::string& json) {
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(from_utf8(json.data(), json.size())));
}

}  // namespace ad::pg

using ad::pg::make_jsonb;
using ad::pg::own;
using ad::pg::settings;

extern "C" {

PGDLLEXPORT void _PG_init(void) {
    ad::pg::define_settings();
    ad::poll_hook = ad::pg::poll_server;
    ad::pg::watch_transactions();
    ad::pg::prepare_scheduling();
}

/// _ad_algorithms() RETURNS jsonb: the registry.
PG_FUNCTION_INFO_V1(_ad_algorithms);
PGDLLEXPORT Datum _ad_algorithms(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    const auto* json =
        own<std::string>(CurrentMemoryContext, [] { return ad::describe_algorithms().dump(); });
    PG_RETURN_DATUM(make_jsonb(*json));
}

/// _ad_may_see(owner oid) RETURNS boolean: what row-level security asks for every row. Members of
/// the owning role and of anomaly_detect.admin_role may.
PG_FUNCTION_INFO_V1(_ad_may_see);
PGDLLEXPORT Datum _ad_may_see(PG_FUNCTION_ARGS) {
    const Oid user = GetUserId();
    if (has_privs_of_role(user, PG_GETARG_OID(0))) PG_RETURN_BOOL(true);
    if (settings.admin_role[0] == '\0') PG_RETURN_BOOL(false);
    const Oid admin = get_role_oid(settings.admin_role, true);
    PG_RETURN_BOOL(OidIsValid(admin) && has_privs_of_role(user, admin));
}

/// _ad_setting(name text) RETURNS text: current_setting after the settings are defined.
PG_FUNCTION_INFO_V1(_ad_setting);
PGDLLEXPORT Datum _ad_setting(PG_FUNCTION_ARGS) {
    const char* name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    PG_RETURN_TEXT_P(cstring_to_text(GetConfigOptionByName(name, nullptr, false)));
}

/// _ad_feature_kind(type oid) RETURNS text
PG_FUNCTION_INFO_V1(_ad_feature_kind);
PGDLLEXPORT Datum _ad_feature_kind(PG_FUNCTION_ARGS) {
    ad::pg::Converter converter;
    if (!ad::pg::find_converter(PG_GETARG_OID(0), &converter)) PG_RETURN_NULL();
    PG_RETURN_TEXT_P(cstring_to_text(ad::kind_name(converter.kind).data()));
}
}
