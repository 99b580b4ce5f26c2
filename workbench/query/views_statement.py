"""The SQL of conditions, for the process that sorts, filters and searches results. It is made here, with names and
values of ours alone: names of columns are `c` or `v` and their number; values are parameters."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from typing import Any

__all__ = ["Part", "Statement", "searchable"]

_COMPARISONS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_TEXTUAL = {"contains": "contains", "starts_with": "starts_with", "ends_with": "suffix"}
_FIXED = re.compile(r"([+-])(\d\d):?(\d\d)")
_NAME = re.compile(r"[A-Z][A-Za-z0-9_+/-]{0,60}")
_SEARCHED = 200
"""Columns that one question searches: of ten thousand at once, the question alone would take all memory."""


@dataclass(frozen=True)
class Part:
    """A question for rows, each with its number `n`: what it says of them, and of which columns. `c3` is the third
    column's value, `v3` whether it has one."""

    where: str
    values_of: frozenset[int]
    nulls_of: frozenset[int]

    def schema(self, schema: Any) -> Any:
        import pyarrow as pa

        values = [(f"c{column}", schema.field(column).type) for column in sorted(self.values_of)]
        return pa.schema([("n", pa.uint32()), *values, *((f"v{one}", pa.bool_()) for one in sorted(self.nulls_of))])


class Statement:
    """Conditions as questions to DuckDB. A row fits when one of `parts` finds it; without parts all rows do."""

    def __init__(self, schema: Any, asked: dict[str, Any]) -> None:
        self.values: list[str] = []
        self._values_of: set[int] = set()
        self._nulls_of: set[int] = set()
        terms = [self._condition(one) for one in asked["filters"]]
        searches: list[tuple[str, set[int]]] = [("", set())] if terms else []
        if asked["search"]:
            searches = self._searches(schema, asked["search"])
        self.parts = [
            Part(
                " and ".join([*terms, *([search] if search else [])]),
                frozenset(self._values_of | columns),
                frozenset(self._nulls_of),
            )
            for search, columns in searches
        ]
        self.sorted_by = list(dict.fromkeys(int(one["column"]) for one in asked["sort"]))
        order = [f"c{int(one['column'])} {'desc' if one['descending'] else 'asc'} nulls last" for one in asked["sort"]]
        self.order = ", ".join([*order, "n"])

    def _condition(self, one: dict[str, Any]) -> str:
        column, op, kind = int(one["column"]), one["op"], one["kind"]
        if op in ("is_null", "not_null"):
            self._nulls_of.add(column)
            return f"v{column}" if op == "not_null" else f"not v{column}"
        self._values_of.add(column)
        name = f"c{column}"
        places = [self._parameter(value, kind) for value in one["values"]]
        if op == "between":
            return f"{name} between {places[0]} and {places[1]}"
        if op == "in":
            return f"{name} in ({', '.join(places)})"
        if op in _TEXTUAL:
            return f"{_TEXTUAL[op]}({name}, {places[0]})"
        return f"{name} {_COMPARISONS[op]} {places[0]}"

    def _searches(self, schema: Any, search: str) -> list[tuple[str, set[int]]]:
        """What finds the text in some columns, and these; texts first, for to make text of numbers costs most."""
        # What has no letters is found in any case, and no other letter's lower case has an ASCII sign that is none.
        cased = not search.isascii() or any(sign.isalpha() for sign in search)
        place = self._parameter(search, "varchar")
        place = f"lower({place})" if cased else place
        texts: list[tuple[str, int]] = []
        others: list[tuple[str, int]] = []
        for column, one in enumerate(schema):
            shown, letters = _as_text(one.type, f"c{column}")
            if shown and (not letters or set(search.lower()) <= letters):
                term = f"contains({f'lower({shown})' if cased else shown}, {place})"
                (others if letters else texts).append((term, column))
        all_of = texts + others
        if not all_of:
            return [(f"{place} is null", set())]  # no row, and the parameter is used
        return [
            (_any([term for term, _ in some]), {column for _, column in some})
            for some in (all_of[at : at + _SEARCHED] for at in range(0, len(all_of), _SEARCHED))
        ]

    def _parameter(self, value: str, kind: str) -> str:
        self.values.append(value)
        return f"cast(${len(self.values)} as {_known(kind)})"


def searchable(kind: Any) -> bool:
    """Whether a search looks into columns of this type."""
    return bool(_as_text(kind, "c")[0])


def _known(kind: str) -> str:
    """The name of a type: words and numbers only."""
    if not all(sign.isalnum() or sign in "_ (),+" for sign in kind):
        raise ValueError(kind)
    return kind


def _any(terms: list[str]) -> str:
    return f"({' or '.join(terms)})"


def _as_text(kind: Any, name: str) -> tuple[str, frozenset[str]]:
    """What is searched of a column, and the letters that it is made of in lower case, where these are few. Empty where
    it has no text of its own."""
    import pyarrow.types as pt

    if pt.is_string(kind) or pt.is_large_string(kind):
        return name, frozenset()
    shown = f"cast({name} as varchar)"
    if pt.is_integer(kind) or pt.is_decimal128(kind):
        return shown, frozenset("0123456789-.")
    if pt.is_float32(kind) or pt.is_float64(kind):
        return shown, frozenset("0123456789-+.einfa")
    if pt.is_date32(kind) or (pt.is_timestamp(kind) and kind.tz is None):
        return shown, frozenset("0123456789-+.: infty(bc)")
    if pt.is_timestamp(kind):
        return _zoned(kind.tz, name), frozenset("0123456789-+.: infty(bc)")
    if pt.is_time(kind):
        return shown, frozenset("0123456789.:")
    if pt.is_boolean(kind):
        return shown, frozenset("truefalse")
    return "", frozenset()


def _zoned(zone: str, name: str) -> str:
    """The wall time there and its offset, as the grid writes them; a zone that nobody knows is UTC."""
    if fixed := _FIXED.fullmatch(zone):
        sign, hours, minutes = fixed.groups()
        east = (-1 if sign == "-" else 1) * (60 * int(hours) + int(minutes))
        return f"try(cast(timezone('UTC', {name}) + interval '{east} minutes' as varchar) || '{sign}{hours}:{minutes}')"
    known = zone if _NAME.fullmatch(zone) and _is_zone(zone) else "UTC"
    wall = f"timezone('{known}', {name})"
    east_of = f"date_diff('minute', timezone('UTC', {name}), {wall})"
    offset = f"printf('%s%02d:%02d', if({east_of} < 0, '-', '+'), abs({east_of}) // 60, abs({east_of}) % 60)"
    return f"try(cast({wall} as varchar) || {offset})"  # no text where a time is too far away for it


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
