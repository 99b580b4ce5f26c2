"""What of a statement cannot be taken apart at all, by DuckDB's own parse tree and what it says of its functions.

What is not known to be the same over parts as over the whole is refused: an answer that is wrong is worse than none.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.query.trees import Node, parsed, refused, walk

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["RESERVED", "aggregate_names", "checked", "is_order_all", "ordered", "settled", "tables_of", "unsettled"]

RESERVED = "workbench "
"""What names of ours begin with, and no name of a statement or a table may."""
_LEFT, _RIGHT = ("INNER", "LEFT", "SEMI", "ANTI"), ("INNER", "RIGHT")
_JOINED = ("REGULAR", "CROSS")
_PURE_TABLES = frozenset({"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"})
_CLOCKS = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"})
"""Written without parentheses: no function in a parse tree, but a column; as are …"""
_SESSIONS = frozenset({"current_catalog", "current_schema"})
_STATE = frozenset({"age", "current_schemas", "current_setting", "getvariable", "in_search_path"})
"""Have arguments, and go by the clock or by what was set in a session all the same: `age` with one of them."""
_HARMLESS = frozenset({"error", "sleep_ms"})
"""DuckDB runs them for each row; what they give is the same everywhere."""
_ORDERS = {"ORDER_DEFAULT": "", "ASCENDING": " asc", "DESCENDING": " desc"}
_NULLS = {"ORDER_DEFAULT": "", "NULLS FIRST": " nulls first", "NULLS LAST": " nulls last"}


def checked(node: Node, driving: str, columns: Mapping[str, Sequence[str]]) -> None:
    """Raises Unsupported with the part of the statement that cannot be taken apart."""
    if node["type"] != "SELECT_NODE":
        raise refused("a UNION or another set operation")
    if node["cte_map"]["map"]:
        raise refused("a WITH")
    if node["qualify"] is not None or any(one.get("class") == "WINDOW" for one in walk(node)):
        raise refused("a window")
    if node["sample"] is not None or any(one.get("sample") for one in walk(node)):
        raise refused("a sample")
    if tables_of(node).count(driving) != 1:
        raise refused(f"a statement that names its largest table {tables_of(node).count(driving)} times")
    if not _joined(node["from_table"], driving):
        raise refused("a sub-query over its largest table")
    for one in walk(node):
        _check_part(one)
    for level in node["modifiers"]:
        _check_modifier(level)
    names = [*_names(node), *(name for known in columns.values() for name in known)]
    if taken := next((name for name in names if name.lower().startswith(RESERVED)), None):
        raise refused(f"the name `{taken}`")
    _check_aliases(node, columns)


def settled(table: Node, columns: Mapping[str, Sequence[str]]) -> Node:
    """The tables of a FROM with each natural join by the columns that it means, where these are known."""
    if table["type"] != "JOIN":
        return table
    table = {**table, **{side: settled(table[side], columns) for side in ("left", "right")}}
    if table["ref_type"] == "NATURAL" and not unsettled(table):
        right = {name.lower() for name in _columns(table["right"], columns)}
        left = {name.lower(): name for name in reversed(_columns(table["left"], columns))}
        both = [name for folded, name in reversed(left.items()) if folded in right]
        if both:
            table |= {"ref_type": "REGULAR", "using_columns": both}
    return table


def _columns(table: Node, columns: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if table["type"] == "JOIN":
        return [*_columns(table["left"], columns), *_columns(table["right"], columns)]
    return columns.get(table["table_name"], ())


def tables_of(node: Any) -> list[str]:
    """The tables that are named in a tree, in order, once for each mention."""
    return [one["table_name"] for one in walk(node) if one.get("type") == "BASE_TABLE"]


def unsettled(table: Node) -> bool:
    """Whether it has columns that nobody here knows the names of: those of a sub-query, or named anew."""
    if table["type"] == "JOIN":
        return unsettled(table["left"]) or unsettled(table["right"])
    return bool(table["type"] != "BASE_TABLE" or table["column_name_alias"])


def ordered(one: Node) -> str:
    """How one expression of an ORDER BY is ordered, in SQL."""
    if one["type"] not in _ORDERS or one["null_order"] not in _NULLS:
        raise refused(f"an ORDER BY with {one['type']}, {one['null_order']}")
    return _ORDERS[one["type"]] + _NULLS[one["null_order"]]


def is_order_all(expression: Node) -> bool:
    """Whether it is the ALL of ORDER BY ALL. Raises Unsupported for another star."""
    if expression["class"] != "STAR":
        return False
    lists = ("exclude_list", "replace_list", "qualified_exclude_list", "rename_list", "relation_name", "expr")
    if not expression["columns"] or any(expression.get(name) for name in lists):
        raise refused("an ORDER BY of `*` or COLUMNS")
    return True


@functools.cache
def aggregate_names() -> frozenset[str]:
    return frozenset(name for name, kind, *_ in _functions() if kind == "aggregate")


# --- inside


def _check_part(one: Node) -> None:
    kind = one.get("class")
    if kind == "COLLATE":
        raise refused("COLLATE")
    if kind == "POSITIONAL_REFERENCE":
        raise refused(f"`#{one.get('index')}`, a column by its position in the table,")
    if kind == "FUNCTION":
        _check_function(one["function_name"].lower(), len(one["arguments"]))
    if kind == "COLUMN_REF" and len(one["column_names"]) == 1 and one["column_names"][0].lower() in _CLOCKS | _SESSIONS:
        raise _other(one["column_names"][0])
    if one.get("type") == "TABLE_FUNCTION":
        name = str(one["function"].get("function_name", "")).lower()
        if name not in _PURE_TABLES:
            raise refused(f"the table function `{name}`")


def _check_function(name: str, arguments: int) -> None:
    if name in _hidden_aggregates():
        raise refused(f"`{name}`")
    if name in _elsewhere() and (name, arguments) != ("age", 2):
        raise _other(name)


def _other(name: str) -> Exception:
    return refused(f"`{name}`, which is another on each worker: bind it ($name),")


def _check_modifier(level: Node) -> None:
    if level.get("distinct_on_targets"):
        raise refused("DISTINCT ON")
    if level.get("limit_type", "ROW_COUNT") != "ROW_COUNT":
        raise refused("a LIMIT in percent")
    if level["type"] == "LIMIT_MODIFIER" and level["limit"] is None:
        raise refused("an OFFSET without a LIMIT", "Say how many rows are wanted behind it, `limit 1000 offset 50`")
    for one in level.get("orders", ()):
        ordered(one)
        is_order_all(one["expression"])


def _joined(table: Node, driving: str) -> bool:
    """Whether the driving table is in it; each other side is whole on each worker."""
    if table["type"] == "BASE_TABLE":
        return bool(table["table_name"] == driving)
    if table["type"] != "JOIN":
        if driving in tables_of(table):
            raise refused("a sub-query over its largest table")
        return False
    left, right = _joined(table["left"], driving), _joined(table["right"], driving)
    kind, way = table["join_type"], table["ref_type"]
    if way == "NATURAL":
        raise refused("a natural join with a sub-query or columns named anew", "Write `using (…)` with the columns")
    if way not in _JOINED or table.get("ranking_expression") is not None:
        raise refused(f"a {way.lower()} join")
    if (left and kind not in _LEFT) or (right and kind not in _RIGHT):
        raise refused(f"a {kind.lower()} join that keeps rows of the smaller side")
    return left or right


def _names(node: Node) -> Iterator[str]:
    for one in walk(node):
        yield from (str(name) for name in one.get("column_names", ()))
        yield from (str(name) for name in one.get("column_name_alias", ()))
        if one.get("alias"):
            yield str(one["alias"])


def _check_aliases(node: Node, columns: Mapping[str, Sequence[str]]) -> None:
    """A name inside an expression of HAVING or ORDER BY that is an alias and a column of a table, too: which of them is
    meant depends on where it stands, and it would stand elsewhere."""
    known = {name.lower() for names in columns.values() for name in names}
    open_names = unsettled(node["from_table"])
    aliases = {item["alias"].lower() for item in node["select_list"] if item["alias"] and not _keeps_name(item)}
    inner: list[Any] = [node["having"]]
    for level in node["modifiers"]:
        inner += [one["expression"] for one in level.get("orders", ()) if one["expression"]["class"] != "COLUMN_REF"]
    for one in walk(inner):
        if one.get("class") == "COLUMN_REF" and len(one["column_names"]) == 1:
            name = one["column_names"][0].lower()
            if name in aliases and (open_names or name in known):
                raise refused(f"`{one['column_names'][0]}`, a column and an alias, in an expression")


def _keeps_name(item: Node) -> bool:
    return bool(item["class"] == "COLUMN_REF" and item["column_names"][-1].lower() == item["alias"].lower())


# --- what DuckDB says of its functions


@functools.cache
def _functions() -> tuple[tuple[str, str, str, int, str], ...]:
    """Name, kind, stability, number of parameters, and a macro's definition."""
    import duckdb

    with duckdb.connect(":memory:") as engine:
        rows = engine.execute(
            "select lower(function_name), function_type, coalesce(stability, ''), len(parameters),"
            " coalesce(macro_definition, '') from duckdb_functions()"
        ).fetchall()
    return tuple((str(name), str(kind), str(how), int(count or 0), str(text)) for name, kind, how, count, text in rows)


@functools.cache
def _macros() -> dict[str, frozenset[str]]:
    """What each macro calls and names, and `(` where it reads tables."""
    import duckdb

    found: dict[str, frozenset[str]] = {}
    with duckdb.connect(":memory:") as engine:
        for name, kind, _, _, text in _functions():
            if kind == "macro":
                found[name] = found.get(name, frozenset()) | _mentioned(text, engine)
    return found


def _mentioned(definition: str, engine: DuckDBPyConnection) -> frozenset[str]:
    tree = parsed(f"select {definition}", engine)
    found = set()
    for one in walk(tree):
        if one.get("class") == "FUNCTION":
            found.add(one["function_name"].lower())
        elif one.get("class") == "COLUMN_REF":
            found.add(one["column_names"][-1].lower())
        elif one.get("class") == "SUBQUERY":
            found.add("(")
    return frozenset(found)


def _reaching(names: frozenset[str]) -> frozenset[str]:
    """The macros that come to one of the names, whether by other macros or not."""
    found: set[str] = set()
    while more := {name for name, calls in _macros().items() if name not in found and calls & (names | found)}:
        found |= more
    return frozenset(found)


@functools.cache
def _hidden_aggregates() -> frozenset[str]:
    return _reaching(aggregate_names())


@functools.cache
def _elsewhere() -> frozenset[str]:
    """Functions that are another on another worker: volatile ones, those of the clock, a session, a transaction."""
    own = {
        name
        for name, kind, stability, count, _ in _functions()
        if kind == "scalar" and (stability == "VOLATILE" or (stability == "CONSISTENT_WITHIN_QUERY" and count == 0))
    }
    names = frozenset((own | _STATE) - _HARMLESS)
    return names | _reaching((names - {"age"}) | _CLOCKS | _SESSIONS | {"("})
