"""What columns a table has: declared in the table's parameters, or found in a sample of its rows.

The row key is one part or several; every other column is a cell, `family:qualifier`. Families are structs where the
mapping says so. All of it is plain values: it travels with a split.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping as Dictionary, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter
from workbench_hbase.encoding import KINDS, arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_hbase.cells import Cell

__all__ = ["Column", "Field", "Mapping", "Part", "binary", "declared", "sampled", "shown"]

_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})")
_LOSSY = "a value that is not of this type becomes NULL and is counted"
_CONTROL = frozenset(range(32)) - {9, 10, 13}


def shown(name: bytes) -> str:
    """A name's bytes as text; what is no printable text is written `\\xNN`, as HBase's own shell does."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable() and "\\" not in text:
        return text
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02X}" for byte in name)


def binary(name: str) -> bytes:
    """The bytes that `shown` shows so."""
    parts = _ESCAPE.split(name)
    return b"".join(bytes((int(part, 16),)) if at % 2 else part.encode() for at, part in enumerate(parts))


@dataclass(frozen=True)
class Part:
    """A part of the row key: so wide, or up to a separator, or (neither) all the rest. `salts` are the values that
    the first part has, where it only spreads the rows, and `hash` says (see `salts`) which one a row has."""

    name: str
    kind: str
    width: int | None = None
    separator: bytes = b""
    salts: tuple[bytes, ...] = ()
    hash: str = ""


@dataclass(frozen=True)
class Field:
    """Values of one kind: a part of the key (by its number), a cell, or a cell's time."""

    name: str
    kind: str
    family: bytes = b""
    qualifier: bytes = b""
    part: int | None = None
    comment: str = ""

    @property
    def cell(self) -> tuple[bytes, bytes] | None:
        return None if self.part is not None else (self.family, self.qualifier)

    def arrow(self) -> pa.Field:
        import pyarrow as pa

        about = {"source_type": self.kind, "lossy": _LOSSY}
        if self.part is not None:
            about["key"] = "primary"
        else:
            about["source_type"] += f" in {shown(self.family)}:{shown(self.qualifier)}"
        if self.comment:
            about["comment"] = self.comment
        return pa.field(self.name, arrow(self.kind), metadata=about)


@dataclass(frozen=True)
class Column:
    """A column as SQL sees it: a field, or a struct of a family's."""

    name: str
    fields: tuple[Field, ...]
    struct: bool = False

    def arrow(self) -> pa.Field:
        import pyarrow as pa

        if not self.struct:
            return self.fields[0].arrow()
        inner = pa.struct([pa.field(one.name, arrow(one.kind)) for one in self.fields])
        said = ", ".join(f"{one.name} {one.kind}" for one in self.fields)
        about = {"source_type": f"family {self.name}: {said}", "lossy": _LOSSY}
        return pa.field(self.name, inner, metadata=about)


@dataclass(frozen=True)
class Mapping:
    """`marker` is a cell that every row has, if that is known."""

    parts: tuple[Part, ...]
    columns: tuple[Column, ...]
    marker: tuple[bytes, bytes] | None = None

    def find(self, path: Sequence[str]) -> Field | None:
        """The field of a column, or inside a struct."""
        column = next((one for one in self.columns if one.name == path[0]), None)
        if column is None:
            return None
        if not column.struct:
            return column.fields[0] if len(path) == 1 else None
        inner = (one for one in column.fields if len(path) == 2 and one.name == path[1])
        return next(inner, None)


def declared(said: Dictionary[str, Any], found: Iterable[Field] = ()) -> Mapping:
    """The mapping of a table's parameters; `found` are cells of a sample, for those that are not declared. Raises
    InvalidParameter."""
    parts = tuple(_part(index, one) for index, one in enumerate(said.get("key", [{}])))
    for part in parts[:-1]:
        if part.width is None and not part.separator:
            raise InvalidParameter("key", f"has `{part.name}` before its last part, with neither width nor separator")
    fields = [_cell(name, one) for name, one in said.get("columns", {}).items()]
    known = {(one.family, one.qualifier) for one in fields if one.kind != "cell_time"}
    if said.get("sample", not fields):
        fields += [one for one in found if one.cell not in known]
    key = [] if said.get("hide_key") else [
        Field(part.name, part.kind, part=index) for index, part in enumerate(parts) if not part.salts
    ]  # fmt: skip
    structs = said.get("families") == "structs"
    columns = (*(Column(one.name, (one,)) for one in key), *(_structs(fields) if structs else _flat(fields)))
    names = [column.name for column in columns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidParameter("columns", f"has `{twice}` twice")
    marker = _name("marker", said["marker"]) if "marker" in said else None
    return Mapping(parts, columns, marker)


def _flat(fields: Iterable[Field]) -> list[Column]:
    return [Column(one.name, (one,)) for one in fields]


def _structs(fields: Sequence[Field]) -> list[Column]:
    families: dict[str, list[Field]] = {}
    for one in fields:
        family = shown(one.family)
        inner = one.name.removeprefix(f"{family}:")
        families.setdefault(family, []).append(replace(one, name=inner))
    return [Column(family, tuple(inside), struct=True) for family, inside in families.items()]


def _part(index: int, said: Dictionary[str, Any]) -> Part:
    kind = said.get("type", "text")
    name = str(said.get("name", "row_key"))
    width = said.get("width", KINDS[kind].width)
    if KINDS[kind].width not in (None, width):
        raise InvalidParameter("key", f"has `{name}` of {width} bytes, and {kind} has {KINDS[kind].width}")
    salts: tuple[bytes, ...] = tuple(binary(one) for one in said.get("salts", ()))
    if buckets := said.get("buckets"):
        salts = tuple(bytes((number,)) for number in range(buckets))
    if salts:
        if index or len({len(one) for one in salts}) != 1:
            raise InvalidParameter("key", f"has salts in `{name}`: they are the first part, and all of one width")
        width = len(salts[0])
    elif "hash" in said:
        raise InvalidParameter("key", f"has a hash for `{name}`, which has neither salts nor buckets")
    separator = b"" if width else binary(said.get("separator", ""))
    return Part(name, kind, width, separator, salts, said.get("hash", ""))


def _cell(name: str, said: str | Dictionary[str, Any]) -> Field:
    about = {"type": said} if isinstance(said, str) else said
    family, qualifier = _name(name, about.get("cell", name))
    return Field(name, about["type"], family, qualifier)


def _name(what: str, said: str) -> tuple[bytes, bytes]:
    family, colon, qualifier = said.partition(":")
    if not colon or not family:
        raise InvalidParameter(what, f"says the cell `{said}`: write family:qualifier")
    return binary(family), binary(qualifier)


def sampled(rows: Sequence[Sequence[Cell]]) -> tuple[str, list[Field]]:
    """The row key's kind, and a field for each cell, in the order of their names. What is guessed says so."""
    values: dict[tuple[bytes, bytes], list[bytes]] = {}
    for row in rows:
        for cell in row:
            values.setdefault((cell.family, cell.qualifier), []).append(cell.value)
    fields = []
    for (family, qualifier), some in sorted(values.items()):
        told = f"guessed from {len(some)} value{'s' if len(some) > 1 else ''}"
        fields.append(Field(f"{shown(family)}:{shown(qualifier)}", _guess(some), family, qualifier, comment=told))
    return "text" if _is_text([row[0].row for row in rows]) else "bytes", fields


def _guess(values: Sequence[bytes]) -> str:
    """Text where all are printable; numbers where eight or four bytes look like ordinary ones; else bytes."""
    if _is_text(values):
        return "json" if all(_is_json(value) for value in values) else "text"
    widths = {len(value) for value in values}
    if widths == {1} and set(values) <= {b"\0", b"\xff", b"\1"}:
        return "boolean"
    if widths == {8}:
        if all(value[:2] in (b"\0\0", b"\xff\xff") for value in values):
            return "long"
        if all(_ordinary(*struct.unpack(">d", value)) for value in values):
            return "double"
    if widths == {4} and all(value[:1] in (b"\0", b"\xff") for value in values):
        return "int"
    return "bytes"


def _is_text(values: Sequence[bytes]) -> bool:
    for value in values:
        try:
            value.decode()
        except UnicodeDecodeError:
            return False
        if _CONTROL.intersection(value):
            return False
    return True


def _is_json(value: bytes) -> bool:
    if value[:1] not in (b"{", b"["):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


def _ordinary(number: float) -> bool:
    return number == 0 or (math.isfinite(number) and 1e-12 < abs(number) < 1e18)
