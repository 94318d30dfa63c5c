"""What the query door lets through, judged by DuckDB's own parser and never by text patterns."""

import json
from typing import Any

import duckdb

from tokenarium.storage.errors import QueryRefused

ALLOWED_NODES = {
    *("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"),
    *("BASE_TABLE", "JOIN", "SUBQUERY", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "SHOW_REF"),
    *("ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER"),
    *("ORDER_DEFAULT", "ASCENDING", "DESCENDING"),
}
ALLOWED_TABLE_FUNCTIONS = {"range", "generate_series", "unnest", "json_each", "json_tree"}
"""Others read files, change the process, or, as arrow_scan, follow any address they are given."""

LONGEST = 20_000


def check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise QueryRefused unless ``sql`` is exactly one SELECT that only reads tables."""
    if not isinstance(sql, str) or any("\ud800" <= sign <= "\udfff" for sign in sql):
        raise QueryRefused("the query is no Unicode text: take out what is no character")
    if len(sql) > LONGEST:
        raise QueryRefused(f"the query has {len(sql)} characters: use at most {LONGEST}")
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryRefused(str(error)) from error
    if len(statements) != 1:
        raise QueryRefused(f"the query has {len(statements)} statements: write exactly one SELECT")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise QueryRefused(f"the query is a {kind.name} statement: only SELECT is allowed")
    _check_tree(_parse(connection, sql))


def _parse(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    try:
        row = connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchone()
        tree = json.loads(row[0]) if row else {"error": True}
    except (duckdb.Error, RecursionError) as error:
        raise QueryRefused("the query is nested too deeply: simplify it") from error
    if tree["error"]:
        raise QueryRefused(f"the query cannot be checked: {tree.get('error_message', 'unknown')}")
    return tree["statements"]


def _check_tree(tree: Any) -> None:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            _check_node(node)
            waiting.extend(node.values())


def _check_node(node: dict[str, Any]) -> None:
    kind = node.get("type")
    # Expressions have a class; what has a type alone is a query, a table or an order.
    if "class" not in node and isinstance(kind, str) and kind not in ALLOWED_NODES:
        raise QueryRefused(f"the query has a part of kind {kind}: only SELECT is allowed")
    if kind == "TABLE_FUNCTION":
        name = node["function"].get("function_name", "")
        if name.lower() not in ALLOWED_TABLE_FUNCTIONS:
            raise QueryRefused(
                f"the table function {name!r} is not allowed: use {sorted(ALLOWED_TABLE_FUNCTIONS)}"
            )
