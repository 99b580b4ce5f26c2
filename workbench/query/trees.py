"""DuckDB's own parse trees, as JSON: read, searched, made, and written as SQL again."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import Unsupported

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "Node", "argument", "bare", "base", "cast", "cast_plain", "column", "constant", "function",
    "number", "parsed", "quoted", "refused", "same", "walk", "written",
]  # fmt: skip

Node = dict[str, Any]


def refused(what: str, way_out: str = "") -> Unsupported:
    way_out = f"{way_out}, or leave" if way_out else "Leave"
    return Unsupported("A cluster", f"take {what} apart", f"{way_out} out `on=`: one machine runs it.")


def walk(node: Any) -> Iterator[Node]:
    """Every part of a tree, what is inside sub-queries as well."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(reversed(one))
        elif isinstance(one, dict):
            yield one
            waiting.extend(reversed(list(one.values())))


_PLACES = ("query_location", "query_location_length", "alias")


def same(one: Any, other: Any) -> bool:
    return bool(_placeless(one) == _placeless(other))


def _placeless(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _placeless(inner) for name, inner in node.items() if name not in _PLACES}
    if isinstance(node, list):
        return [_placeless(one) for one in node]
    return node


def bare(node: Node) -> Node:
    return {**copy.deepcopy(node), "alias": ""}


def number(node: Node | None) -> int | None:
    """The whole number that a constant is; 0 of none at all."""
    if node is None:
        return 0
    literal = node.get("literal") or {}
    return int(literal["text"]) if literal.get("kind") == "INTEGER" and str(literal.get("text", "")).isdigit() else None


def column(name: str) -> Node:
    return {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "query_location": 0, "column_names": [name]}


def constant(number: int) -> Node:
    literal = {"kind": "INTEGER", "text": str(number)}
    return {"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "", "query_location": 0, "literal": literal}


def argument(expression: Node) -> Node:
    return {"name": "", "expression": expression}


def function(name: str, *arguments: Node, operator: str = "") -> Node:
    if operator:
        return {"class": "OPERATOR", "type": operator, "alias": "", "query_location": 0, "children": list(arguments)}
    return {
        "class": "FUNCTION", "type": "FUNCTION", "alias": "", "query_location": 0, "function_name": name, "schema": "",
        "filter": None, "order_bys": {"type": "ORDER_MODIFIER", "orders": []}, "distinct": False,
        "is_operator": not name.isidentifier(), "export_state": False, "catalog": "",
        "arguments": [argument(one) for one in arguments], "qualified_name": {"path": [name]},
        "is_legacy_function_call": False,
    }  # fmt: skip


def cast(node: Node, kind: str, name: str, engine: DuckDBPyConnection) -> Node:
    return {**cast_plain({**node, "alias": ""}, kind, engine), "alias": name}


def cast_plain(node: Node, kind: str, engine: DuckDBPyConnection) -> Node:
    return {
        "class": "CAST", "type": "OPERATOR_CAST", "alias": "", "query_location": 0, "child": node, "try_cast": False,
        "type_expr": _type(kind, engine),
    }  # fmt: skip


def _type(kind: str, engine: DuckDBPyConnection) -> Any:
    return parsed(f"select null::{kind}", engine)["statements"][0]["node"]["select_list"][0]["type_expr"]


def base(name: str) -> Node:
    return {
        "type": "BASE_TABLE", "alias": "", "sample": None, "query_location": 0, "schema_name": "", "table_name": name,
        "column_name_alias": [], "catalog_name": "", "at_clause": None, "qualified_name": {"path": [name]},
    }  # fmt: skip


def parsed(sql: str, engine: DuckDBPyConnection) -> Node:
    ((text,),) = engine.execute("select json_serialize_sql(?)", [sql]).fetchall()
    tree: Node = json.loads(text)
    if tree.get("error"):
        raise refused("a statement that is no SELECT")
    return tree


def written(node: Node, engine: DuckDBPyConnection) -> str:
    tree = {"error": False, "statements": [{"node": node, "named_param_map": []}]}
    ((text,),) = engine.execute("select json_deserialize_sql(?)", [json.dumps(tree)]).fetchall()
    return str(text)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
