// What belongs to the loaded module as a whole: its settings, and the schema that it lives in.
#pragma once

#include "boundary.hpp"

extern "C" {
#include "fmgr.h"
#include "utils/guc.h"
}

namespace ad::pg {

struct Settings {
    int max_training_memory;  ///< kB; -1: maintenance_work_mem
    int model_cache_size;     ///< kB
    int max_model_size;       ///< kB
    int random_seed;
    char* default_algorithm;
    char* admin_role;
    char* timezone;  ///< empty: TimeZone
};
extern Settings settings;

std::uint64_t max_training_memory_bytes();

/// The check of anomaly_detect.timezone.
bool check_timezone(char** value, void** extra, GucSource source);

/// The schema of the extension, found through the function that is being called.
Oid extension_schema(FunctionCallInfo fcinfo);

/// Text that crosses the border: core code speaks UTF-8.
const char* to_utf8(const char* text);
const char* from_utf8(const char* text, std::size_t size);

bytea* make_bytea(const std::string& bytes);
/// jsonb from JSON in UTF-8.
Datum make_jsonb(const std::string& json);

}  // namespace ad::pg
