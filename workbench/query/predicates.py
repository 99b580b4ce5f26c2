"""DuckDB's filters as the contract's predicates, without recursion: a filter may be thousands of levels deep."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.contract.predicate import And, Column, Compare, In, IsNull, Literal, Not, Or, Predicate
from workbench.kit.filter import can_apply
from workbench.kit.literals import plain_type

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["predicate"]

_OPERATORS: dict[str, Any] = {"=": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class _Untranslatable(Exception):
    pass


def predicate(node: Any, schema: pa.Schema) -> Predicate | None:
    """The node as a predicate that means exactly the same and that the executor can apply again; else None."""
    try:
        made = _translated(node, schema)
    except _Untranslatable:
        return None
    return made if can_apply(made, schema) else None


def _translated(root: Any, schema: pa.Schema) -> Predicate:
    made: list[Predicate] = []
    waiting: list[tuple[Any, int]] = [(root, -1)]
    while waiting:
        node, operands = waiting.pop()
        operator = getattr(node, "op", None)
        if operands >= 0:
            taken = tuple(made[len(made) - operands :])
            del made[len(made) - operands :]
            made.append(Not(taken[0]) if operator == "NOT" else And(taken) if operator == "AND" else Or(taken))
        elif operator in ("AND", "OR"):
            children = _operands(node, operator)
            waiting.append((node, len(children)))
            waiting.extend((child, -1) for child in reversed(children))
        elif operator == "NOT":
            waiting += [(node, 1), (node.operand, -1)]
        else:
            made.append(_leaf(node, schema))
    return made[0]


def _operands(node: Any, operator: str) -> list[Any]:
    """The operands of a chain of one operator, in order."""
    found, waiting = [], [node]
    while waiting:
        here = waiting.pop()
        if getattr(here, "op", None) == operator:
            waiting += [here.right, here.left]
        else:
            found.append(here)
    return found


def _leaf(node: Any, schema: pa.Schema) -> Predicate:
    operator = getattr(node, "op", None)
    if operator in ("IS NULL", "IS NOT NULL"):
        column, _ = _column(node.operand, schema)
        return IsNull(column, negated=operator == "IS NOT NULL")
    if hasattr(node, "values") and hasattr(node, "operand"):
        column, kind = _column(node.operand, schema)
        values: Sequence[Any] = node.values
        if not values:
            raise _Untranslatable
        return In(column, tuple(_literal(value, kind) for value in values))
    if operator in _OPERATORS:
        column, kind = _column(node.left, schema)
        return Compare(column, _OPERATORS[operator], _literal(node.right, kind))
    raise _Untranslatable


def _column(node: Any, schema: pa.Schema) -> tuple[Column, pa.DataType]:
    parts = getattr(node, "parts", None)
    if not parts:
        raise _Untranslatable
    index = schema.get_field_index(parts[0])
    if index < 0:
        raise _Untranslatable
    kind = plain_type(schema.field(index).type)
    for name in parts[1:]:
        index = kind.get_field_index(name) if pa.types.is_struct(kind) else -1
        if index < 0:
            raise _Untranslatable
        kind = plain_type(kind.field(index).type)
    return Column(tuple(parts)), kind


def _literal(node: Any, kind: pa.DataType) -> Literal:
    value = getattr(node, "value", None)
    if value is None:
        raise _Untranslatable
    if getattr(node, "type", "") == "TIMESTAMP WITH TIME ZONE":
        if not isinstance(value, int):
            raise _Untranslatable
        try:
            value = _EPOCH + datetime.timedelta(microseconds=value)
        except OverflowError:
            raise _Untranslatable from None
    if isinstance(value, float) and not math.isfinite(value):
        raise _Untranslatable
    return Literal(value, kind)
