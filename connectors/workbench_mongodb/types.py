"""What columns a collection has, from a sample of its documents: one type a path, and JSON text where there are two."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EARLIEST", "LATEST", "Shape", "columns", "declared", "sayable", "spec", "type_name"]

_DEEPEST = 12
_WIDEST = 500
_KINDS = {"json": 0, "bool": 1, "long": 3, "double": 4, "date": 5, "string": 6, "objectId": 7, "decimal": 8,
          "binData": 9, "object": 10, "array": 11}  # fmt: skip
"""The native core's numbers."""
EARLIEST, LATEST = -9_223_372_022_400_000, 9_223_372_036_854_775
"""Milliseconds since 1970 that a column of dates holds: those that are microseconds in 64 bits, as DuckDB has them.
The same as in the native core."""
_LONGS = 1
_ALONE = ("bool", "date", "objectId", "decimal", "binData")


@dataclass(frozen=True)
class Shape:
    """A column or a part of one: `kind` is BSON's name of its type or `json`."""

    name: str
    kind: str
    children: tuple[Shape, ...] = ()
    said: str = ""
    """The types that were seen, with their shares."""
    comment: str = ""
    always: bool = False
    """Whether each document of the sample had a value."""

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        match self.kind:
            case "bool":
                return pa.bool_()
            case "long":
                return pa.int64()
            case "double":
                return pa.float64()
            case "date":
                return pa.timestamp("ms", "UTC")
            case "binData":
                return pa.binary()
            case "object":
                return pa.struct([pa.field(child.name, child.arrow()) for child in self.children])
            case "array":
                return pa.list_(self.children[0].arrow())
            case _:
                return pa.string()

    def field(self) -> pa.Field:
        import pyarrow as pa

        about = {
            "source_type": self.said or self.kind,
            "lossy": "null and a missing field are both NULL; a value of another type than the column's becomes NULL "
            "and is counted",
        }
        if self.name == "_id":
            about["key"] = "primary"
        if self.comment:
            about["comment"] = self.comment
        return pa.field(self.name, self.arrow(), metadata=about)


@dataclass
class _Seen:
    """The types at one path."""

    types: Counter[str] = field(default_factory=Counter)
    fields: dict[str, _Seen] = field(default_factory=dict)
    items: _Seen | None = None

    def add(self, value: Any, depth: int = 0) -> None:
        name = type_name(value)
        self.types[name] += 1
        if depth >= _DEEPEST:
            return
        if name == "object":
            for key, inner in value.items():
                self.fields.setdefault(key, _Seen()).add(inner, depth + 1)
        elif name == "array":
            self.items = self.items or _Seen()
            for inner in value:
                self.items.add(inner, depth + 1)

    def shape(self, name: str, of: int, depth: int = 0) -> Shape:
        there = {kind: count for kind, count in self.types.items() if kind != "null"}
        kind = _kind(set(there))
        children: tuple[Shape, ...] = ()
        if kind == "object":
            inner = (seen.shape(key, there["object"], depth + 1) for key, seen in self.fields.items())
            children = tuple(inner) if depth < _DEEPEST and 0 < len(self.fields) <= _WIDEST else ()
            if not children or not all(map(sayable, children)):
                kind, children = "json", ()
        elif kind == "array":
            if depth >= _DEEPEST or self.items is None or not self.items.types:
                kind = "json"
            else:
                children = (self.items.shape("", sum(self.items.types.values()), depth + 1),)
        total = sum(there.values())
        said = ", ".join(_share(type_, count, total) for type_, count in sorted(there.items(), key=_most_first))
        notes = list(_conflicts(children))
        if kind == "json" and len(there) > 1:
            notes.insert(0, f"{total - max(there.values())} of {total} values in the sample are of another type: JSON")
        if of > total:
            notes.append(f"NULL in {100 * (of - total) / of:.3g} % of the sample")
        return Shape(name, kind, children, said or "null", "; ".join(notes), always=total == of and kind != "json")


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _share(name: str, count: int, total: int) -> str:
    return name if count == total else f"{name} {100 * count / total:.3g} %"


def _conflicts(children: Iterable[Shape], path: str = "") -> Iterator[str]:
    for child in children:
        where = f"{path}{child.name or '[]'}"
        if child.kind == "json" and "," in child.said:
            yield f"{where}: {child.said}"
        yield from _conflicts(child.children, f"{where}.")


def _kind(there: set[str]) -> str:
    if there and there <= {"int", "long"}:
        return "long"
    if there and there <= {"int", "long", "double"}:
        return "double"
    if there == {"string"}:
        return "string"
    if len(there) == 1:
        (only,) = there
        if only in _ALONE or only in ("object", "array"):
            return only
    return "json"


def type_name(value: Any) -> str:
    """BSON's name for the type of a decoded value."""
    import bson

    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case bson.Int64():
            return "long"
        case int():
            return "int" if -(2**31) <= value < 2**31 else "long"
        case float():
            return "double"
        case bson.Code():
            return "javascript"
        case str():
            return "string"
        case bytes():
            return "binData"
        case bson.ObjectId():
            return "objectId"
        case bson.Decimal128():
            return "decimal"
        case bson.DatetimeMS():
            return "date"
        case bson.Regex():
            return "regex"
        case bson.Timestamp():
            return "timestamp"
        case bson.DBRef():
            return "dbRef"
        case bson.MinKey() | bson.MaxKey():
            return "minKey" if isinstance(value, bson.MinKey) else "maxKey"
        case Mapping():
            return "object"
        case list():
            return "array"
        case _:
            return type(value).__name__


def columns(documents: Iterable[Mapping[str, Any]]) -> tuple[Shape, ...]:
    """One for each field of the documents, `_id` first, then in the order in which they were met."""
    whole = _Seen()
    for document in documents:
        whole.add(document)
    of = sum(whole.types.values())
    shapes = [seen.shape(name, of) for name, seen in whole.fields.items()]
    return tuple(sorted(shapes, key=lambda shape: shape.name != "_id"))


def sayable(shape: Shape) -> bool:
    """Whether the native core can be asked for the column: a name has up to 65,535 bytes there."""
    return len(shape.name.encode("utf-8", "surrogatepass")) < 1 << 16


def declared(kinds: Mapping[str, str], found: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Those that are declared, then those that were found beside them."""
    return (
        *(Shape(name, kind, said=kind, comment="declared") for name, kind in kinds.items()),
        *(shape for shape in found if shape.name not in kinds),
    )


def spec(shapes: Iterable[Shape]) -> bytes:
    """The columns' tree for the native core."""
    return _node(Shape("", "object", tuple(shapes)))


def _node(shape: Shape) -> bytes:
    name = shape.name.encode("utf-8", "surrogatepass")
    flags = _LONGS if shape.kind == "double" else 0
    inner = b"".join(_node(child) for child in shape.children)
    return (
        struct.pack("<BBH", _KINDS[shape.kind], flags, len(name))
        + name
        + struct.pack("<H", len(shape.children))
        + inner
    )
