"""Records without a schema (the objects of JSON, the fields of an entry) as columns: kinds that are declared or
sampled, and arrays of them. What a column cannot hold is NULL there and counted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KINDS", "array", "arrow", "kind_of", "sampled", "wider"]

KINDS = ("string", "integer", "double", "boolean", "json")
"""`json` is text: of lists, objects, and of columns with values of several kinds."""
MOST_COLUMNS = 1_000


def arrow(kind: str) -> pa.DataType:
    import pyarrow as pa

    return {"integer": pa.int64(), "double": pa.float64(), "boolean": pa.bool_()}.get(kind, pa.string())


def kind_of(value: Any) -> str | None:
    """The kind of one value; None for NULL, which fits all."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "json"
    if isinstance(value, float):
        return "double"
    return "string" if isinstance(value, str) else "json"


def wider(one: str, other: str) -> str:
    """The kind that holds the values of both."""
    if one == other:
        return one
    return "double" if {one, other} == {"integer", "double"} else "json"


def sampled(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Kinds by name, in the order in which names came first; of a column that was NULL only, `string`."""
    found: dict[str, str | None] = {}
    for row in rows:
        for name, value in row.items():
            kind = kind_of(value)
            if name not in found and (len(found) >= MOST_COLUMNS or not _is_text(name)):
                continue
            before = found.get(name)
            found[name] = kind if before is None else before if kind is None else wider(before, kind)
    return {name: kind or "string" for name, kind in found.items()}


def array(values: Sequence[Any], kind: str) -> tuple[pa.Array, int]:
    """The values as the kind says, and how many of them are NULL because it cannot hold them."""
    import pyarrow as pa

    made = [None if value is None else _as(value, kind) for value in values]
    try:
        column = pa.array(made, arrow(kind))
    except UnicodeEncodeError:  # JSON can write half a pair of surrogates, which is no character
        made = [one if not isinstance(one, str) or _is_text(one) else None for one in made]
        column = pa.array(made, arrow(kind))
    lost = sum(now is None and value is not None for now, value in zip(made, values, strict=True))
    return column, lost


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as(value: Any, kind: str) -> Any:
    if kind == "json":
        return json.dumps(value, ensure_ascii=False)
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    there = kind_of(value)
    if kind == "double":
        return (
            number
            if there in ("integer", "double") and ((number := float(value)) == value or there == "double")
            else None
        )
    return value if there == kind else None
