"""Nested values as HiveServer2 prints them, read back: where nothing inside is text, for quotes within text are printed
as they are, and only such values can be told from each other without doubt."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import DataError
from workbench_hive.types import HiveType

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["readable", "values"]

_WHOLE = ("tinyint", "smallint", "int", "bigint")
_LEAVES = (*_WHOLE, "boolean", "double", "decimal")
_BARE = re.compile(r"([{,])(-?[0-9]+):")
"""A key that is a number: JSON has none such. A name of a struct's field stands between quotes."""


def readable(kind: HiveType) -> bool:
    """Whether all values of the type can be read back: arrays, structs and maps by whole numbers, of whole numbers,
    true/false, doubles and decimals."""
    if not kind.inner:
        return kind.name in _LEAVES
    if kind.name == "map" and kind.inner[0][1].name not in _WHOLE:
        return False
    return all(readable(inner) for _, inner in kind.inner)


def values(texts: pa.Array, kind: HiveType, column: str) -> pa.Array:
    """Raises DataError for what is not printed so."""
    import pyarrow as pa

    found = []
    for row, text in enumerate(texts.to_pylist()):
        try:
            found.append(None if text is None else _read(_parsed(text), kind))
        except (ValueError, TypeError, RecursionError):
            raise _no_such(column, row, text, kind) from None
    try:
        return pa.array(found, kind.arrow())
    except (pa.ArrowException, OverflowError):
        raise DataError(column, 0, "a value", f"is beyond {kind.spelled or kind.name}") from None


# --- inside


def _no_such(column: str, row: int, text: str, kind: HiveType) -> DataError:
    return DataError(column, row, repr(text[:80]), f"is no {kind.spelled or kind.name} as HiveServer2 prints it")


def _parsed(text: str) -> Any:
    """Objects as lists of pairs, for a map's order counts, and a key may be there twice."""
    return json.loads(_BARE.sub(r'\1"\2":', text), parse_float=Decimal, object_pairs_hook=list)


def _read(value: Any, kind: HiveType) -> Any:
    if value is None:
        return None
    if kind.name == "array":
        return [_read(one, kind.inner[0][1]) for one in _a(list, value)]
    if kind.name == "map":
        return [(int(key), _read(one, kind.inner[1][1])) for key, one in _a(list, value)]
    if kind.name == "struct":
        if [name.lower() for name, _ in _a(list, value)] != [name for name, _ in kind.inner]:
            raise ValueError("other fields")
        return {name: _read(one, inner) for (_, one), (name, inner) in zip(value, kind.inner, strict=True)}
    if kind.name == "boolean":
        return _a(bool, value)
    if isinstance(value, bool):
        raise ValueError("no number")
    if kind.name == "double":
        return float(_a((int, float, Decimal), value))
    return _a((int, Decimal), value) if kind.name == "decimal" else _a(int, value)


def _a(wanted: Any, value: Any) -> Any:
    if not isinstance(value, wanted):
        raise TypeError
    return value
