// Checks that a where_clause is one boolean expression before it becomes part of a query.
#include "module.hpp"

extern "C" {
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/builtins.h"
}

namespace ad::pg {

namespace {

/// Whether `statement` is SELECT <one expression> and nothing more.
bool is_bare_expression(const SelectStmt* statement) {
    return list_length(statement->targetList) == 1 && statement->op == SETOP_NONE &&
           statement->distinctClause == NIL && statement->intoClause == nullptr &&
           statement->fromClause == NIL && statement->whereClause == nullptr &&
           statement->groupClause == NIL && statement->havingClause == nullptr &&
           statement->windowClause == NIL && statement->valuesLists == NIL &&
           statement->sortClause == NIL && statement->limitOffset == nullptr &&
           statement->limitCount == nullptr && statement->lockingClause == NIL &&
           statement->withClause == nullptr;
}

constexpr const char* kHint =
    "Write what would stand behind WHERE, for example \"temperature > 0\".";

/// Makes the position of a syntax error one within the clause.
void locate_error(void* clause) {
    errhint("%s", kHint);
    const int position = geterrposition();
    if (position <= 0) return;
    errposition(0);
    internalerrposition(position);
    internalerrquery(static_cast<const char*>(clause));
}

List* parse(const char* clause) {
    ErrorContextCallback callback{error_context_stack, locate_error, const_cast<char*>(clause)};
    error_context_stack = &callback;
    List* statements = raw_parser(clause, RAW_PARSE_PLPGSQL_EXPR);
    error_context_stack = callback.previous;
    return statements;
}

bool is_expression(const char* text) {
    // As it stands, the parentheses in it must be balanced: not so "a) OR (b". Ours keep a label
    // (x AS y) and a star out; the newline ends a comment.
    parse(text);
    List* statements = parse(psprintf("(%s\n)", text));
    if (list_length(statements) != 1) return false;
    const auto* raw = linitial_node(RawStmt, statements);
    if (!IsA(raw->stmt, SelectStmt)) return false;
    const auto* statement = reinterpret_cast<const SelectStmt*>(raw->stmt);
    if (!is_bare_expression(statement)) return false;
    // (a, b) would be a row, (SELECT ...) a whole query: neither is a condition
    const Node* value = linitial_node(ResTarget, statement->targetList)->val;
    return !IsA(value, RowExpr);
}

}  // namespace

}  // namespace ad::pg

extern "C" {

/// _ad_check_condition(where_clause text) RETURNS text: the clause, ready to stand behind WHERE;
/// TRUE for null.
PG_FUNCTION_INFO_V1(_ad_check_condition);
PGDLLEXPORT Datum _ad_check_condition(PG_FUNCTION_ARGS) {
    if (PG_ARGISNULL(0)) PG_RETURN_TEXT_P(cstring_to_text("TRUE"));
    const char* clause = text_to_cstring(PG_GETARG_TEXT_PP(0));
    if (!ad::pg::is_expression(clause)) {
        ereport(ERROR, errcode(ERRCODE_SYNTAX_ERROR),
                errmsg("where_clause must be one boolean expression"),
                errdetail("It is: %s", clause), errhint("%s", ad::pg::kHint));
    }
    const bool comment = strstr(clause, "--") != nullptr;
    PG_RETURN_TEXT_P(cstring_to_text(psprintf(comment ? "(%s\n)" : "(%s)", clause)));
}
}
