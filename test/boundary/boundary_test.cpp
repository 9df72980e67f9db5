// SQL functions that fail inside C++ in every way that src/pg/boundary.hpp promises to survive, and
// the count of the objects that were lost on the way. The count is in a file that every process of
// the server maps, so that it tells also of a process that is gone.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <limits>
#include <string>

#include "pg/boundary.hpp"

extern "C" {
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/fd.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;
}

namespace {

using ad::pg::own;
using ad::pg::run;

using Clock = std::chrono::steady_clock;

struct Counts {
    std::atomic<std::int64_t> live;
    std::atomic<std::int64_t> made;
};
Counts* counts = nullptr;

/// Is seen by everyone while it lives. The string makes it allocate, as real objects do.
class Counted {
  public:
    Counted() : text_(100, 'x') { add(); }
    Counted(Counted&& other) noexcept : text_(std::move(other.text_)) { add(); }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    Counted& operator=(Counted&&) = delete;
    ~Counted() { --counts->live; }
    int size() const { return static_cast<int>(text_.size()); }

  private:
    static void add() {
        ++counts->live;
        ++counts->made;
    }
    std::string text_;
};

void throw_it(const std::string& how) {
    if (how == "parameter") throw ad::InvalidParameter("a parameter is bad", "Use a good one.");
    if (how == "data") throw ad::InvalidData("a row is bad", "Leave it out.");
    if (how == "model") throw ad::CorruptModel("the bytes are bad");
    if (how == "memory") throw ad::MemoryLimit("the sample is too large", "Make it smaller.");
    if (how == "alloc") throw std::bad_alloc();
    if (how == "huge") throw std::length_error(std::string(std::size_t{1} << 40U, 'x'));
    if (how == "logic") throw std::logic_error("a promise was broken");
    if (how == "int") throw 42;
    // 1,022 bytes, then a character of three bytes that does not fit; percent signs stay as they
    // are
    if (how == "long") throw ad::InvalidData(std::string(1020, 'x') + "%s€€", "100 %d €");
    if (how == "latin") throw ad::InvalidData("Größe ist schlecht", "Überlege.");
    if (how != "nothing") throw ad::InvalidParameter("unknown way to fail: " + how);
}

void poll_until(Clock::time_point end) {
    while (Clock::now() < end) {
        const Counted object;
        ad::poll();
    }
}

/// Goes down before it works, so that there are objects in many frames.
template <typename Work>
int with_objects(int depth, const Work& work) {
    const std::array<Counted, 3> objects;
    if (depth > 0) return with_objects(depth - 1, work) + objects[0].size();
    work();
    return objects[2].size();
}

void fail_in_cpp(const char* how, int* result) {
    run([&] { *result = with_objects(10, [&] { throw_it(how); }); });
}

}  // namespace

extern "C" {

PGDLLEXPORT void _PG_init(void) {
    ad::poll_hook = ad::pg::poll_server;
    // relative to the data directory
    const int file = BasicOpenFile("boundary_test.counts", O_RDWR | O_CREAT);
    if (file < 0 || ftruncate(file, sizeof(Counts)) != 0)
        elog(ERROR, "could not make the file: %m");
    void* const memory = mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) elog(ERROR, "could not map the file: %m");
    counts = static_cast<Counts*>(memory);
}

PG_FUNCTION_INFO_V1(live_objects);
PGDLLEXPORT Datum live_objects(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    PG_RETURN_INT64(counts->live.load());
}

PG_FUNCTION_INFO_V1(made_objects);
PGDLLEXPORT Datum made_objects(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    PG_RETURN_INT64(counts->made.load());
}

PG_FUNCTION_INFO_V1(fail);
PGDLLEXPORT Datum fail(PG_FUNCTION_ARGS) {
    const char* how = text_to_cstring(PG_GETARG_TEXT_PP(0));
    int result = 0;
    fail_in_cpp(how, &result);
    PG_RETURN_INT32(result);
}

PG_FUNCTION_INFO_V1(work);
PGDLLEXPORT Datum work(PG_FUNCTION_ARGS) {
    const int milliseconds = PG_GETARG_INT32(0);
    int result = 0;
    run([&] {
        const auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
        result = with_objects(10, [&] { poll_until(end); });
    });
    PG_RETURN_INT32(result);
}

PG_FUNCTION_INFO_V1(keep);
PGDLLEXPORT Datum keep(PG_FUNCTION_ARGS) {
    const char* how = text_to_cstring(PG_GETARG_TEXT_PP(0));
    const Counted* first = own<Counted>(CurrentMemoryContext, [] { return Counted(); });
    const Counted* second = own<Counted>(CurrentMemoryContext, [&] {
        Counted object;
        throw_it(how);
        return object;
    });
    PG_RETURN_INT32(first->size() + second->size());
}

PG_FUNCTION_INFO_V1(call);
PGDLLEXPORT Datum call(PG_FUNCTION_ARGS) {
    const char* query = text_to_cstring(PG_GETARG_TEXT_PP(0));
    const char* how = text_to_cstring(PG_GETARG_TEXT_PP(1));
    const Counted* object = own<Counted>(CurrentMemoryContext, [] { return Counted(); });
    SPI_connect();
    SPI_execute(query, false, 0);
    SPI_finish();
    int result = 0;
    fail_in_cpp(how, &result);
    PG_RETURN_INT32(result + object->size());
}

PG_FUNCTION_INFO_V1(guard);
PGDLLEXPORT Datum guard(PG_FUNCTION_ARGS) {
    const int calls = PG_GETARG_INT32(0);
    volatile int sink = 0;
    const std::int64_t begin = Clock::now().time_since_epoch().count();
    for (int i = 0; i < calls; ++i) run([&] { sink = i; });
    const std::int64_t end = Clock::now().time_since_epoch().count();
    PG_RETURN_FLOAT8(static_cast<double>(end - begin) / calls);
}
}
