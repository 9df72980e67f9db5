// Rows go in as COPY puts them: many a page at a time, without a plan. A table with triggers, rules
// or policies that are not ours gets a plain INSERT instead, so that they do what they always do.
#include "result_writer.hpp"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
}

namespace ad::pg {

namespace {

constexpr int kColumns = ResultRow::kColumns;
constexpr int kMaxRows = 512;

struct Column {
    const char* name;
    Oid type;
    Oid array_type;
};

/// In the order of ResultRow::Column.
constexpr Column kColumnTypes[kColumns] = {
    {"source_record_id", INT8OID, INT8ARRAYOID}, {"source_record_key", JSONBOID, JSONBARRAYOID},
    {"is_anomaly", BOOLOID, BOOLARRAYOID},       {"anomaly_score", FLOAT8OID, FLOAT8ARRAYOID},
    {"confidence", FLOAT8OID, FLOAT8ARRAYOID},   {"p_value", FLOAT8OID, FLOAT8ARRAYOID},
    {"threshold", FLOAT8OID, FLOAT8ARRAYOID},    {"features", JSONBOID, JSONBARRAYOID},
    {"raw_data", JSONBOID, JSONBARRAYOID},       {"explanation", JSONBOID, JSONBARRAYOID},
    {"severity", TEXTOID, TEXTARRAYOID},
};

struct Constant {
    const char* name;
    Oid type;
};
constexpr Constant kConstantTypes[] = {{"source_table", TEXTOID},
                                       {"model_id", TEXTOID},
                                       {"algorithm", TEXTOID},
                                       {"run_id", INT8OID},
                                       {"job_id", INT8OID}};
constexpr int kConstants = lengthof(kConstantTypes);

}  // namespace

struct ResultWriter {
    Datum constants[kConstants];
    bool constant_nulls[kConstants];
    int pending;
    Datum values[kColumns][kMaxRows];
    bool nulls[kColumns][kMaxRows];

    SPIPlanPtr insert;  ///< null if the rows go straight into the table

    Relation relation;
    EState* estate;
    ResultRelInfo* target;
    TupleTableSlot** slots;  ///< made as they are needed
    int slot_count;
    Datum* row_values;  ///< what every row has
    bool* row_nulls;
    int attributes[kColumns];
    int id_attribute;
    Oid id_sequence;
};

namespace {

template <typename T>
T* make_array(int count) {
    return static_cast<T*>(palloc0(sizeof(T) * count));
}

/// Whether the only policy is the one that the extension made: it admits rows of the current user.
bool policy_is_ours(Relation relation, Oid schema) {
    if (row_security_policy_hook_permissive != nullptr ||
        row_security_policy_hook_restrictive != nullptr ||
        list_length(relation->rd_rsdesc->policies) != 1) {
        return false;
    }
    const auto* policy =
        static_cast<const RowSecurityPolicy*>(linitial(relation->rd_rsdesc->policies));
    constexpr char kAllCommands = '*';
    const bool for_everyone =
        ArrayGetNItems(ARR_NDIM(policy->roles), ARR_DIMS(policy->roles)) == 1 &&
        *reinterpret_cast<Oid*>(ARR_DATA_PTR(policy->roles)) == ACL_ID_PUBLIC;
    if (policy->polcmd != kAllCommands || !policy->permissive || !for_everyone ||
        policy->with_check_qual != nullptr || policy->qual == nullptr ||
        !IsA(policy->qual, FuncExpr)) {
        return false;
    }
    const auto* call = reinterpret_cast<const FuncExpr*>(policy->qual);
    Oid argument_type = OIDOID;
    List* name = list_make2(makeString(get_namespace_name(schema)),
                            makeString(const_cast<char*>("_ad_may_see")));
    if (call->funcid != LookupFuncName(name, 1, &argument_type, true)) return false;
    const auto* argument = static_cast<const Node*>(linitial(call->args));
    if (IsA(argument, RelabelType)) {
        argument =
            reinterpret_cast<const Node*>(reinterpret_cast<const RelabelType*>(argument)->arg);
    }
    return IsA(argument, Var) && reinterpret_cast<const Var*>(argument)->varattno ==
                                     get_attnum(RelationGetRelid(relation), "owner");
}

/// Whether the current user may write all that is written here, the id excepted, which is the
/// table's.
bool may_insert(Oid id) {
    if (pg_class_aclcheck(id, GetUserId(), ACL_INSERT) == ACLCHECK_OK) return true;
    const auto may = [&](const char* name) {
        const AttrNumber column = get_attnum(id, name);
        return column != InvalidAttrNumber &&
               pg_attribute_aclcheck(id, column, GetUserId(), ACL_INSERT) == ACLCHECK_OK;
    };
    for (const auto& column : kColumnTypes) {
        if (!may(column.name)) return false;
    }
    for (const auto& constant : kConstantTypes) {
        if (!may(constant.name)) return false;
    }
    return true;
}

bool is_plain_table(Relation relation, Oid schema) {
    const Oid id = RelationGetRelid(relation);
    const TupleConstr* constraints = relation->rd_att->constr;
    if (relation->rd_rel->relkind != RELKIND_RELATION || relation->rd_rel->relispartition ||
        relation->trigdesc != nullptr || relation->rd_rules != nullptr ||
        (constraints != nullptr && constraints->has_generated_stored) || !may_insert(id)) {
        return false;
    }
    return check_enable_rls(id, InvalidOid, true) != RLS_ENABLED ||
           policy_is_ours(relation, schema);
}

Oid identity_sequence(Relation relation, AttrNumber attribute) {
#if PG_VERSION_NUM >= 170000
    return getIdentitySequence(relation, attribute, false);
#else
    return getIdentitySequence(RelationGetRelid(relation), attribute, false);
#endif
}

/// Evaluates the default of a column for all rows; false if it may differ from row to row.
bool evaluate_default(ResultWriter* writer, int i) {
    Node* expression = build_column_default(writer->relation, static_cast<AttrNumber>(i + 1));
    const FormData_pg_attribute* attribute = TupleDescAttr(writer->relation->rd_att, i);
    // a domain may refuse null
    if (expression == nullptr) return getBaseType(attribute->atttypid) == attribute->atttypid;
    if (contain_volatile_functions(expression)) return false;
    ExprState* state = ExecPrepareExpr(reinterpret_cast<Expr*>(expression), writer->estate);
    writer->row_values[i] = ExecEvalExprSwitchContext(state, GetPerTupleExprContext(writer->estate),
                                                      &writer->row_nulls[i]);
    if (!writer->row_nulls[i]) {
        writer->row_values[i] =
            datumCopy(writer->row_values[i], attribute->attbyval, attribute->attlen);
    }
    return true;
}

/// Fills in what all rows have in common; false if the table is not what it was made as.
bool prepare_row(ResultWriter* writer) {
    const TupleDesc descriptor = writer->relation->rd_att;
    const Oid id = RelationGetRelid(writer->relation);
    writer->row_values = make_array<Datum>(descriptor->natts);
    writer->row_nulls = make_array<bool>(descriptor->natts);
    auto* given = make_array<bool>(descriptor->natts);
    const auto find = [&](const char* name, Oid type) {
        const int i = get_attnum(id, name) - 1;
        if (i < 0 || TupleDescAttr(descriptor, i)->atttypid != type) return -1;
        given[i] = true;
        return i;
    };
    for (int c = 0; c < kColumns; ++c) {
        writer->attributes[c] = find(kColumnTypes[c].name, kColumnTypes[c].type);
        if (writer->attributes[c] < 0) return false;
    }
    for (int c = 0; c < kConstants; ++c) {
        const int i = find(kConstantTypes[c].name, kConstantTypes[c].type);
        if (i < 0) return false;
        writer->row_values[i] = writer->constants[c];
        writer->row_nulls[i] = writer->constant_nulls[c];
    }
    writer->id_attribute = find("id", INT8OID);
    if (writer->id_attribute < 0 ||
        TupleDescAttr(descriptor, writer->id_attribute)->attidentity == '\0') {
        return false;
    }
    writer->id_sequence =
        identity_sequence(writer->relation, static_cast<AttrNumber>(writer->id_attribute + 1));
    for (int i = 0; i < descriptor->natts; ++i) {
        if (given[i]) continue;
        writer->row_nulls[i] = true;
        const bool dropped = TupleDescAttr(descriptor, i)->attisdropped;
        if (!dropped && !evaluate_default(writer, i)) return false;
    }
    const int owner = get_attnum(id, "owner") - 1;
    return owner >= 0 && !writer->row_nulls[owner] &&
           DatumGetObjectId(writer->row_values[owner]) == GetUserId();
}

/// Without a job, its column is left out, so that no privilege on it is needed.
const char* insert_query(Oid schema, bool of_job) {
    return psprintf(
        "INSERT INTO %s.anomaly_detection_results (source_table, model_id, algorithm, run_id,"
        "%s source_record_id, source_record_key, is_anomaly, anomaly_score, confidence, p_value,"
        " threshold, features, raw_data, explanation, severity)"
        " SELECT $1, $2, $3, $4,%s u.*"
        " FROM ROWS FROM (pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8),"
        " pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11),"
        " pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14),"
        " pg_catalog.unnest($15), pg_catalog.unnest($16)) AS u",
        quote_identifier(get_namespace_name(schema)), of_job ? " job_id," : "",
        of_job ? " $5," : "");
}

SPIPlanPtr prepare_insert(Oid schema, bool of_job) {
    Oid types[kConstants + kColumns];
    for (int c = 0; c < kConstants; ++c) types[c] = kConstantTypes[c].type;
    for (int c = 0; c < kColumns; ++c) types[kConstants + c] = kColumnTypes[c].array_type;
    SPIPlanPtr plan = SPI_prepare(insert_query(schema, of_job), lengthof(types), types);
    if (plan == nullptr) elog(ERROR, "could not prepare to store results");
    return plan;
}

void write_by_query(const ResultWriter* writer) {
    Datum arguments[kConstants + kColumns];
    char nulls[kConstants + kColumns + 1];
    memset(nulls, ' ', sizeof(nulls));
    for (int c = 0; c < kConstants; ++c) {
        arguments[c] = writer->constants[c];
        if (writer->constant_nulls[c]) nulls[c] = 'n';
    }
    for (int c = 0; c < kColumns; ++c) {
        int16 length;
        bool by_value;
        char alignment;
        get_typlenbyvalalign(kColumnTypes[c].type, &length, &by_value, &alignment);
        int count = writer->pending;
        int lower = 1;
        arguments[kConstants + c] = PointerGetDatum(construct_md_array(
            const_cast<Datum*>(writer->values[c]), const_cast<bool*>(writer->nulls[c]), 1, &count,
            &lower, kColumnTypes[c].type, length, by_value, alignment));
    }
    SPI_connect();
    if (SPI_execute_plan(writer->insert, arguments, nulls, false, 0) != SPI_OK_INSERT) {
        elog(ERROR, "could not store results");
    }
    SPI_finish();
}

void insert_into_indexes(ResultWriter* writer, TupleTableSlot* slot) {
#if PG_VERSION_NUM >= 160000
    ExecInsertIndexTuples(writer->target, slot, writer->estate, false, false, nullptr, NIL, false);
#else
    ExecInsertIndexTuples(writer->target, slot, writer->estate, false, false, nullptr, NIL);
#endif
}

void fill_slot(ResultWriter* writer, int row) {
    TupleTableSlot* slot = writer->slots[row];
    const int natts = writer->relation->rd_att->natts;
    ExecClearTuple(slot);
    memcpy(slot->tts_values, writer->row_values, sizeof(Datum) * natts);
    memcpy(slot->tts_isnull, writer->row_nulls, sizeof(bool) * natts);
    for (int c = 0; c < kColumns; ++c) {
        slot->tts_values[writer->attributes[c]] = writer->values[c][row];
        slot->tts_isnull[writer->attributes[c]] = writer->nulls[c][row];
    }
    slot->tts_values[writer->id_attribute] =
        Int64GetDatum(nextval_internal(writer->id_sequence, false));
    ExecStoreVirtualTuple(slot);
    if (writer->relation->rd_att->constr != nullptr) {
        ExecConstraints(writer->target, slot, writer->estate);
    }
}

void write_directly(ResultWriter* writer) {
    MemoryContext const block = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    for (; writer->slot_count < writer->pending; ++writer->slot_count) {
        writer->slots[writer->slot_count] = table_slot_create(writer->relation, nullptr);
    }
    MemoryContextSwitchTo(block);
    for (int row = 0; row < writer->pending; ++row) fill_slot(writer, row);
    table_multi_insert(writer->relation, writer->slots, writer->pending, GetCurrentCommandId(true),
                       0, nullptr);
    for (int row = 0; row < writer->pending; ++row) {
        ResetPerTupleExprContext(writer->estate);
        insert_into_indexes(writer, writer->slots[row]);
        ExecClearTuple(writer->slots[row]);
    }
}

void open_directly(ResultWriter* writer) {
    writer->slots = make_array<TupleTableSlot*>(kMaxRows);
    writer->target = makeNode(ResultRelInfo);
    InitResultRelInfo(writer->target, writer->relation, 0, nullptr, 0);
    ExecOpenIndices(writer->target, false);
}

void close_directly(ResultWriter* writer) {
    for (int row = 0; row < writer->slot_count; ++row) {
        ExecDropSingleTupleTableSlot(writer->slots[row]);
    }
    ExecCloseIndices(writer->target);
    FreeExecutorState(writer->estate);
    table_close(writer->relation, NoLock);
}

/// The job that a run belongs to, if it does to one.
Datum find_job(Oid schema, Datum run_id, bool* isnull) {
    const char* query = psprintf(
        "SELECT job_id FROM %s.anomaly_detection_runs"
        " WHERE id OPERATOR(pg_catalog.=) $1",
        quote_identifier(get_namespace_name(schema)));
    Oid type = INT8OID;
    *isnull = true;
    if (SPI_execute_with_args(query, 1, &type, &run_id, nullptr, false, 1) != SPI_OK_SELECT ||
        SPI_processed != 1) {
        return 0;
    }
    return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
}

}  // namespace

ResultWriter* open_results(Oid schema, const ResultConstants& constants) {
    auto* writer = make_array<ResultWriter>(1);
    const Datum values[kConstants] = {constants.source_table, constants.model_id,
                                      constants.algorithm, constants.run_id, 0};
    memcpy(writer->constants, values, sizeof(values));
    constexpr int kJob = kConstants - 1;
    writer->constants[kJob] = find_job(schema, constants.run_id, &writer->constant_nulls[kJob]);
    writer->relation =
        table_open(get_relname_relid("anomaly_detection_results", schema), RowExclusiveLock);
    writer->estate = CreateExecutorState();
    if (is_plain_table(writer->relation, schema) && prepare_row(writer)) {
        open_directly(writer);
        return writer;
    }
    FreeExecutorState(writer->estate);
    table_close(writer->relation, NoLock);
    writer->insert = prepare_insert(schema, !writer->constant_nulls[kJob]);
    return writer;
}

void write_results(ResultWriter* writer) {
    if (writer->pending == 0) return;
    if (writer->insert != nullptr) {
        write_by_query(writer);
    } else {
        write_directly(writer);
    }
    writer->pending = 0;
}

void add_result(ResultWriter* writer, const ResultRow& row) {
    if (writer->pending == kMaxRows) write_results(writer);
    for (int c = 0; c < kColumns; ++c) {
        writer->values[c][writer->pending] = row.values[c];
        writer->nulls[c][writer->pending] = row.nulls[c];
    }
    ++writer->pending;
}

void close_results(ResultWriter* writer) {
    if (writer->insert == nullptr) close_directly(writer);
}

}  // namespace ad::pg
