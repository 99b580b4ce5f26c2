"""Hive's types, as its names or HiveServer2's descriptions say them, and what they are here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["HiveType"]

_NAMES = {
    0: "boolean", 1: "tinyint", 2: "smallint", 3: "int", 4: "bigint", 5: "float", 6: "double", 7: "string",
    8: "timestamp", 9: "binary", 10: "array", 11: "map", 12: "struct", 13: "uniontype", 14: "user_defined",
    15: "decimal", 16: "void", 17: "date", 18: "varchar", 19: "char", 20: "interval_year_month",
    21: "interval_day_time", 22: "timestamp with local time zone",
}  # fmt: skip
"""By the protocol's numbers."""
_KINDS = {"boolean": 1, "tinyint": 2, "smallint": 3, "int": 4, "bigint": 5, "float": 6, "double": 7, "char": 9,
          "binary": 10, "decimal": 11, "date": 12, "timestamp": 13}  # fmt: skip
"""The native core's numbers; all else is text (8)."""
_TEXT = 8
_NESTED = ("array", "map", "struct", "uniontype")
_LOSSES = {
    "char": "the blanks at the end, which pad it, are taken off",
    "timestamp": "digits below a microsecond are cut off",
    "timestamp with local time zone": "text, as the server prints it",
    **dict.fromkeys(
        _NESTED,
        "text, as the server prints it: JSON, but that keys which are no text, NaN and binary values stand bare",
    ),
}
_ALIASES = {"integer": "int", "double precision": "double", "numeric": "decimal", "dec": "decimal",
            "timestamplocaltz": "timestamp with local time zone"}  # fmt: skip
_SPELLED = re.compile(r"([a-z_ ]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?")


@dataclass(frozen=True)
class HiveType:
    """`name` is without parameters; `length` is of CHAR and VARCHAR; `spelled` is all that is known of it; `partition`
    says that the column is one of the table's partitions. `inner`: what a nested type consists of, with the names of a
    struct's fields, where its values come as such and not as text."""

    name: str
    precision: int = 0
    scale: int = 0
    length: int = 0
    spelled: str = ""
    partition: bool = False
    inner: tuple[tuple[str, HiveType], ...] = ()

    @classmethod
    def of_name(cls, text: str) -> HiveType:
        """`decimal(10,2)`, `array<int>`: as DESCRIBE says it. Raises ValueError for what no decimal is."""
        spelled = text.strip().lower()
        found = _SPELLED.fullmatch(spelled)
        if found is None:
            return cls(spelled.partition("<")[0], spelled=text.strip())
        name = _ALIASES.get(found[1], found[1])
        first, second = int(found[2] or 0), int(found[3] or 0)
        if name == "decimal":
            return cls(name, *_digits(first or 10, second), spelled=text.strip())
        return cls(name, length=first if name in ("char", "varchar") else 0, spelled=text.strip())

    @classmethod
    def of_entry(cls, entries: Any) -> HiveType:
        """A `TTypeDesc`'s entries. Raises what a description of another shape makes Python raise."""
        (entry,) = entries.values() if isinstance(entries, dict) else [entries[0]]
        inner = entry.get(1, entry) if isinstance(entry, dict) else {}
        name = _NAMES.get(int(inner.get(1) or 0), "user_defined")
        qualifiers = {key: value.get(1) for key, value in (inner.get(2) or {}).get(1, [])}
        length = int(qualifiers.get(b"characterMaximumLength") or 0)
        precision, scale = int(qualifiers.get(b"precision") or 0), int(qualifiers.get(b"scale") or 0)
        if name == "decimal":
            precision, scale = _digits(precision or 10, scale)
            return cls(name, precision, scale, spelled=f"decimal({precision},{scale})")
        if name in ("char", "varchar"):
            return cls(name, length=length, spelled=f"{name}({length})")
        return cls(name, spelled=name)

    @property
    def spec(self) -> bytes:
        """For the native core."""
        return bytes((_KINDS.get(self.name, _TEXT), self.precision, self.scale))

    @property
    def nested(self) -> bool:
        return self.name in _NESTED

    def like(self, other: HiveType) -> bool:
        """Whether values of the other type come in the same way and mean the same."""
        if self.nested or self.spec[0] == _TEXT:
            return other.spec[0] == _TEXT
        return self.spec == other.spec

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        if self.inner:
            inside = [kind.arrow() for _, kind in self.inner]
            if self.name == "struct":
                names = [name for name, _ in self.inner]
                return pa.struct(list(zip(names, inside, strict=True)))
            return pa.list_(inside[0]) if self.name == "array" else pa.map_(*inside)
        match self.name:
            case "boolean":
                return pa.bool_()
            case "tinyint":
                return pa.int8()
            case "smallint":
                return pa.int16()
            case "int":
                return pa.int32()
            case "bigint":
                return pa.int64()
            case "float":
                return pa.float32()
            case "double":
                return pa.float64()
            case "binary":
                return pa.binary()
            case "decimal":
                return pa.decimal128(self.precision, self.scale)
            case "date":
                return pa.date32()
            case "timestamp":
                return pa.timestamp("us")
            case _:
                return pa.string()

    def field(self, name: str, comment: str = "") -> pa.Field:
        import pyarrow as pa

        about = {"source_type": self.spelled or self.name}
        if self.name in _LOSSES and not self.inner:
            about["lossy"] = _LOSSES[self.name]
        if comment:
            about["comment"] = comment
        return pa.field(name, self.arrow(), metadata=about)


def _digits(precision: int, scale: int) -> tuple[int, int]:
    if not 1 <= precision <= 38 or not 0 <= scale <= precision:
        raise ValueError(f"there is no decimal({precision},{scale})")
    return precision, scale
