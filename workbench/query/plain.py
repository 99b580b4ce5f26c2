"""Conditions that mean the same to everybody: a column compared with a constant of its own kind.

They are read off the parse tree, so that a statement that asks for nothing else needs no rehearsal. Only what has one
meaning is taken: whole numbers within the column's range, and text, which DuckDB compares by code point. For all
else DuckDB is asked, which knows its own casts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from workbench.contract.predicate import Column, Compare, Literal, Op, Predicate
from workbench.kit.filter import can_apply

__all__ = ["conditions"]

_OPERATORS: dict[str, Op] = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_NOT_BELOW: Op = ">="
_NOT_ABOVE: Op = "<="
_TURNED: dict[Op, Op] = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def conditions(
    where: dict[str, Any] | None, schema: pa.Schema, parameters: Mapping[str, object]
) -> tuple[Predicate, ...] | None:
    """What must hold, all of it; None where DuckDB has to be asked what the text means."""
    made: list[Predicate] = []
    waiting = [where] if where else []
    while waiting:
        node = waiting.pop()
        match node.get("type"):
            case "CONJUNCTION_AND":
                waiting += reversed(node["children"])
                continue
            case "COMPARE_BETWEEN":
                pairs = [(node["input"], _NOT_BELOW, node["lower"]), (node["input"], _NOT_ABOVE, node["upper"])]
            case kind if kind in _OPERATORS:
                pairs = [(node["left"], _OPERATORS[kind], node["right"])]
            case _:
                return None
        for left, op, right in pairs:
            one = _compared(left, op, right, schema, parameters)
            if one is None or not can_apply(one, schema):
                return None
            made.append(one)
    return tuple(made)


def _compared(
    left: dict[str, Any], op: Op, right: dict[str, Any], schema: pa.Schema, parameters: Mapping[str, object]
) -> Compare | None:
    if left.get("class") != "COLUMN_REF":
        left, op, right = right, _TURNED[op], left
    names: list[object] = left.get("column_names") or []
    if left.get("class") != "COLUMN_REF" or len(names) != 1:
        return None
    folded = str(names[0]).casefold()
    found = [field for field in schema if field.name.casefold() == folded]
    if len(found) != 1:
        return None
    kind, value = found[0].type, _constant(right, parameters)
    if value is None or not _holds(kind, value):
        return None
    return Compare(Column((found[0].name,)), op, Literal(value, kind))


def _holds(kind: pa.DataType, value: int | str) -> bool:
    """Whether the value is one of the type, as it stands."""
    if isinstance(value, str):
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    if not pa.types.is_integer(kind):
        return False
    bits = kind.bit_width
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if pa.types.is_signed_integer(kind) else (0, 1 << bits)
    return bool(low <= value < high)


def _constant(node: dict[str, Any], parameters: Mapping[str, object]) -> int | str | None:
    if node.get("class") == "PARAMETER":
        value = parameters.get(str(node.get("identifier")))
        return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None
    literal = node.get("literal") or {}
    text = literal.get("text")
    if node.get("class") != "CONSTANT" or not isinstance(text, str):
        return None
    if literal.get("kind") == "STRING":
        return text
    if literal.get("kind") == "INTEGER" and text.removeprefix("-").isdecimal() and text.isascii():
        return int(text)
    return None
