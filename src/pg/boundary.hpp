// The border between the server and C++, and the only file that crosses it.
//
// A function of src/pg is one of two kinds. Server code has only trivially destructible locals and
// may ereport anywhere. C++ code lives in src/core or inside run([&] { ... }); it may throw, and
// calls the server only through ad::poll(). Include this after the headers of core and of the
// standard library; server headers follow it, inside extern "C".
#pragma once

#include <new>
#include <type_traits>
#include <utility>

#include "core/error.hpp"

extern "C" {
#include "postgres.h"
//
#include "miscadmin.h"
#include "utils/memutils.h"
}
#undef Min
#undef Max
#undef Abs
#undef _

namespace ad::pg {

/// What is left of an exception once its objects are gone.
struct Failure {
    enum class Kind : std::uint8_t { None, Error, CorruptModel, ServerError, Terminated };

    Kind kind;
    int sqlstate;
    char message[1024];
    char hint[512];
};

/// Thrown through C++ frames when the server raised an error that waits in its own stack.
struct ServerErrorInFlight {};
/// Thrown through C++ frames when the process has been told to end.
struct TerminationPending {};

/// Raises what C++ code failed with as a server error.
[[noreturn]] void raise(const Failure& failure);

/// Handles pending interrupts; true if that raised an error, which stays on the error stack. Its
/// frame holds nothing that a longjmp could skip.
[[gnu::noinline]] inline bool interrupts_raise() noexcept {
    sigjmp_buf* const outer_stack = PG_exception_stack;
    ErrorContextCallback* const outer_context = error_context_stack;
    sigjmp_buf here;
    if (sigsetjmp(here, 0) == 0) {
        PG_exception_stack = &here;
        ProcessInterrupts();
        PG_exception_stack = outer_stack;
        return false;
    }
    PG_exception_stack = outer_stack;
    error_context_stack = outer_context;
    return true;
}

void record(Failure& failure, int sqlstate, const char* message, const char* hint) noexcept;

/// The poll hook of core code: handles interrupts, and unwinds C++ frames if one is an error.
void poll_server();

/// Calls `body` and keeps what it throws.
template <typename Body>
void catch_all(Body& body, Failure& failure) noexcept {
    try {
        body();
    } catch (const ServerErrorInFlight&) {
        failure.kind = Failure::Kind::ServerError;
    } catch (const TerminationPending&) {
        failure.kind = Failure::Kind::Terminated;
    } catch (const InvalidParameter& error) {
        record(failure, ERRCODE_INVALID_PARAMETER_VALUE, error.what(), error.hint().c_str());
    } catch (const InvalidData& error) {
        record(failure, ERRCODE_DATA_EXCEPTION, error.what(), error.hint().c_str());
    } catch (const CorruptModel& error) {
        record(failure, ERRCODE_DATA_CORRUPTED, error.what(), "");
        failure.kind = Failure::Kind::CorruptModel;
    } catch (const MemoryLimit& error) {
        record(failure, ERRCODE_OUT_OF_MEMORY, error.what(), error.hint().c_str());
    } catch (const std::bad_alloc&) {
        record(failure, ERRCODE_OUT_OF_MEMORY, "out of memory", "");
    } catch (const std::exception& error) {
        record(failure, ERRCODE_INTERNAL_ERROR, error.what(), "");
    } catch (...) {
        record(failure, ERRCODE_INTERNAL_ERROR, "unknown C++ exception", "");
    }
}

/// Runs C++ code from server code. Whatever it throws becomes a server error after all its objects
/// are destroyed.
template <typename Body>
void run(Body&& body) {
    static_assert(std::is_trivially_destructible_v<std::remove_reference_t<Body>>,
                  "captures must survive a longjmp: pass pointers and references");
    Failure failure;
    failure.kind = Failure::Kind::None;
    catch_all(body, failure);
    if (failure.kind == Failure::Kind::ServerError) PG_RE_THROW();
    if (failure.kind != Failure::Kind::None) raise(failure);
}

/// Makes a C++ object that lives as long as a memory context.
template <typename T, typename Maker>
T* own(MemoryContext context, Maker&& maker) {
    auto* callback = static_cast<MemoryContextCallback*>(
        MemoryContextAllocZero(context, sizeof(MemoryContextCallback)));
    T* object = nullptr;
    run([&] { object = new T(maker()); });
    callback->func = [](void* owned) { delete static_cast<T*>(owned); };
    callback->arg = object;
    MemoryContextRegisterResetCallback(context, callback);
    return object;
}

}  // namespace ad::pg
