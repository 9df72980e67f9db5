#include "boundary.hpp"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace ad::pg {

namespace {

/// Copies what fits. The text is UTF-8; a cut sequence is mended when it is shown.
template <std::size_t kSize>
void copy_text(char (&target)[kSize], const char* text) noexcept {
    std::size_t i = 0;
    for (; i + 1 < kSize && text[i] != '\0'; ++i) target[i] = text[i];
    target[i] = '\0';
}

const char* to_server(const char* text) {
    const int length = pg_encoding_mbcliplen(PG_UTF8, text, strlen(text), strlen(text));
    return pg_any_to_server(pnstrdup(text, length), length, PG_UTF8);
}

}  // namespace

void record(Failure& failure, int sqlstate, const char* message, const char* hint) noexcept {
    failure.kind = Failure::Kind::Error;
    failure.sqlstate = sqlstate;
    copy_text(failure.message, message);
    copy_text(failure.hint, hint);
}

void raise(const Failure& failure) {
    switch (failure.kind) {
        case Failure::Kind::Terminated:
            CHECK_FOR_INTERRUPTS();
            break;
        case Failure::Kind::CorruptModel:
            ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("cannot read the bytes of a model: %s", to_server(failure.message)),
                    errhint("Restore them from a backup, or train the model again."));
            break;
        default:
            ereport(ERROR, errcode(failure.sqlstate), errmsg("%s", to_server(failure.message)),
                    failure.hint[0] != '\0' ? errhint("%s", to_server(failure.hint)) : 0);
    }
    elog(ERROR, "termination was requested but did not happen");
}

void poll_server() {
    if (!INTERRUPTS_PENDING_CONDITION() || !INTERRUPTS_CAN_BE_PROCESSED()) return;
    if (ProcDiePending) throw TerminationPending{};
    if (interrupts_raise()) throw ServerErrorInFlight{};
}

}  // namespace ad::pg
