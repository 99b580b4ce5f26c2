"""Parts of a partitioned table: ranges of one partition column, disjoint and complete whatever partitions there are.

The ranges follow each other without a gap, and the last one takes NULL, too (`__HIVE_DEFAULT_PARTITION__`, and what is
no value of the column's type). So a partition that is added after planning is in one of them.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from workbench.contract.predicate import Predicate, columns_of
from workbench_hive.predicates import NULL_PARTITION, fits, literal, quoted
from workbench_hive.types import HiveType

__all__ = ["conditions", "kept", "parsed", "values_of"]

_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def parsed(name: str) -> dict[str, str]:
    """`day=2024-01-01/place=a%2Fb` as values by column, all of them text."""
    found = {}
    for part in name.split("/"):
        column, equals, value = part.partition("=")
        if equals:
            found[_unescaped(column)] = _unescaped(value)
    return found


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda hit: bytes([int(hit[1], 16)]), text.encode()).decode("utf-8", "replace")


def values_of(kind: HiveType) -> Callable[[str], Any] | None:
    """What makes a value of a partition's text, None where it is none, or written in another way than the server
    writes it (which reads some of those); or None for a type that is not cut."""
    makers: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), int),
        **dict.fromkeys(("string", "varchar"), str),
        "date": datetime.date.fromisoformat,
    }
    make = makers.get(kind.name)
    if make is None:
        return None

    def value(text: str) -> Any:
        if text == NULL_PARTITION:
            return None
        try:
            found = make(text)
        except ValueError:
            return None
        if str(found) != text:
            return None
        return found if not isinstance(found, int) or fits(kind, found) else None

    return value


def conditions(partitions: Iterable[Mapping[str, str]], columns: Mapping[str, HiveType], parts: int) -> list[str]:
    """At most `parts` conditions on the column with the most values; none where there is nothing to cut."""
    rows = list(partitions)
    counted: dict[str, Counter[Any]] = {}
    for name, kind in columns.items():
        value = values_of(kind)
        if value is not None:
            found = (value(row[name]) for row in rows if name in row)
            counted[name] = Counter(one for one in found if one is not None)
    if not counted:
        return []
    name = max(counted, key=lambda one: len(counted[one]))
    cuts = _cuts(counted[name], parts)
    if not cuts:
        return []
    column, kind = quoted(name), columns[name]
    edges = [None, *(literal(kind, cut) for cut in cuts), None]
    return [_range(column, low, high) for low, high in itertools.pairwise(edges)]


def _cuts(values: Counter[Any], parts: int) -> Sequence[Any]:
    """Values at which new parts begin, so that each has about as many partitions."""
    ordered = sorted(values)
    found: list[Any] = []
    total, seen = sum(values.values()), 0
    for value in ordered:
        if value != ordered[0] and seen * parts >= total * (len(found) + 1):
            found.append(value)
        seen += values[value]
    return found[: parts - 1]


def _range(column: str, low: str | None, high: str | None) -> str:
    if low is None:
        return f"({column} < {high})"
    if high is None:
        return f"({column} >= {low} or {column} is null)"
    return f"({column} >= {low} and {column} < {high})"


def kept(
    partitions: Sequence[Mapping[str, str]], columns: Mapping[str, HiveType], predicates: Iterable[Predicate]
) -> Sequence[Mapping[str, str]]:
    """The partitions that may have rows for all of the predicates. Only for finding good cuts: none is left out of a
    statement for it."""
    import pyarrow as pa

    from workbench.kit.filter import Filter, can_apply

    makers = {name: make for name, kind in columns.items() if (make := values_of(kind)) is not None}
    schema = pa.schema([(name, columns[name].arrow()) for name in makers])
    used = tuple(
        one for one in predicates if all(column.name in makers for column in columns_of(one)) and can_apply(one, schema)
    )
    if not used or not partitions:
        return partitions
    arrays = []
    for (name, make), kind in zip(makers.items(), schema.types, strict=True):
        values = [make(row.get(name, NULL_PARTITION)) for row in partitions]
        arrays.append(pa.array(values, kind))
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    mask = Filter(used, schema).mask(batch)
    return [row for row, wanted in zip(partitions, mask.to_pylist(), strict=True) if wanted]
