"""Predicates as DuckDB's SQL with numbered parameters. All of it is EXACT, for it is the same engine."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from workbench.contract import Applied, Column, Compare, In, IsNull, Literal, Predicate
from workbench.kit.levels import Fragment, lift
from workbench.kit.literals import Impossible, exact
from workbench_duckdb.columns import Columns, sql_type

__all__ = ["Where", "where"]

DEEPEST = 200
MOST_LITERALS = 10_000
_HOLE = re.compile("\0(\\d+)\0")  # no identifier holds a NUL


@dataclass(frozen=True)
class Where:
    """The WHERE clause with its parameters, and what of the predicates it applies."""

    text: str
    parameters: tuple[Any, ...]
    applied: dict[Predicate, Applied]
    reasons: dict[Predicate, str]


def where(predicates: Sequence[Predicate], columns: Columns) -> Where:
    bound: list[Any] = []

    def leaf(node: Predicate) -> Fragment:
        assert isinstance(node, Compare | In | IsNull)
        try:
            return Fragment(_leaf(node, columns, bound), Applied.EXACT)
        except Impossible as why:
            return Fragment("", Applied.NONE, str(why))

    texts: list[str] = []
    applied: dict[Predicate, Applied] = {}
    reasons: dict[Predicate, str] = {}
    for predicate in predicates:
        fragment = lift(predicate, leaf, deepest=DEEPEST)
        applied[predicate] = fragment.applied
        if fragment.applied is not Applied.NONE:
            texts.append(fragment.text)
        if fragment.reason:
            reasons[predicate] = fragment.reason
    used: list[Any] = []

    def numbered(hole: re.Match[str]) -> str:
        used.append(bound[int(hole[1])])
        return f"${len(used)}"

    text = _HOLE.sub(numbered, " and ".join(texts))
    return Where(f" where {text}" if text else "", tuple(used), applied, reasons)


def _leaf(node: Compare | In | IsNull, columns: Columns, bound: list[Any]) -> str:
    kind, text = _operand(node.column, columns)
    if isinstance(node, IsNull):
        return f"({text} is {'not ' if node.negated else ''}null)"
    literals = (node.literal,) if isinstance(node, Compare) else node.literals
    target = sql_type(kind)
    if target is None:
        raise Impossible(f"{node.column} is {kind}, which is not compared here")
    if len(literals) > MOST_LITERALS:
        raise Impossible(f"more than {MOST_LITERALS} values")
    if pt.is_string(kind):
        text += " collate c"  # a column's own collation does not hold outside
    holes = [_hole(literal, kind, target, bound) for literal in literals]
    if isinstance(node, Compare):
        return f"({text} {node.op} {holes[0]})"
    return f"({text} in ({', '.join(holes)}))"


def _operand(column: Column, columns: Columns) -> tuple[pa.DataType, str]:
    kind, text = columns.schema.field(column.name).type, columns.expression(column.name)
    for part in column.path[1:]:
        if not pt.is_struct(kind) or kind.get_field_index(part) < 0:
            raise Impossible(f"{column} is not a field of a struct")
        kind = kind.field(part).type
        text = f"struct_extract({text}, '{part.replace(chr(39), chr(39) * 2)}')"
    return kind, text


def _hole(literal: Literal, kind: pa.DataType, target: str, bound: list[Any]) -> str:
    exact(literal, kind)  # raises Impossible for what is not a value of this type
    value: Any = literal.value
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(" ") + "+00"
    bound.append(value)
    return f"\0{len(bound) - 1}\0::{target}"
