// Models by reference: from 'name', 'name@7' or 'name@alias' to a deserialised model that stays in
// the session. Versions are immutable, so that a cached one never needs to be invalidated.
#pragma once

#include "core/model.hpp"

#include "boundary.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "utils/snapshot.h"
}

namespace ad::pg {

struct CachedModel {
    char model_id[2 * NAMEDATALEN];  ///< 'name@version'
    TimestampTz created_at;          ///< tells apart versions of a name that was dropped and reused
    Oid owner;                       ///< who may write created_at as anything
    const Model* model;
    std::size_t bytes;
    MemoryContext context;  ///< owns the model and this struct
    int pins;
    CachedModel* next;  ///< in order of last use
};

/// What a reference meant depends on what the statement can see. Equal marks mean equal snapshots:
/// what was rolled back in between may differ between two that are alike in all else.
struct SnapshotMark {
    TransactionId xmin;
    TransactionId xmax;
    std::uint32_t running;
    CommandId command;
    Oid user;
    std::uint64_t ends;
};
/// There must be an active snapshot.
SnapshotMark mark_snapshot();
bool same_snapshot(const SnapshotMark& a, const SnapshotMark& b);
/// Lets marks know what is rolled back. Called once, when the module is loaded.
void watch_transactions();

/// Finds the model that `reference` names for the current user and keeps it in memory until
/// `holder` is reset. Raises undefined_object if there is none.
CachedModel* pin_model(const char* reference, Oid schema, MemoryContext holder);

}  // namespace ad::pg
