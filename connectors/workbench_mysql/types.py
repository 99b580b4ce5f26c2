"""What a MySQL column is in Arrow.

The wire's column definition decides, both for what is read and for the catalog: `COM_STMT_PREPARE` of
`select … from t` gives the definitions without running anything, so a planned schema is what the reader delivers.

| MySQL | Arrow |
|---|---|
| tinyint … bigint, unsigned too | int8 … uint64 (`tinyint(1)` and `bool` stay int8, mediumint is 32 bits) |
| year | int16 |
| float, double | float32, float64 |
| decimal(p, s) | decimal128(p, s) up to 38 digits, else string (exact) |
| date | date32 |
| datetime | timestamp[us] |
| timestamp | timestamp[us, UTC]; the session's time zone has to be `+00:00` |
| time | duration[us] (it may be negative and longer than a day) |
| char, text, enum, set, json, and MariaDB's uuid and inet | string |
| binary, blob, bit, geometry, vector | binary |

Values that Arrow cannot hold are zero dates and dates that no calendar has (`2024-00-00`), and text that is not UTF-8.
The policy says what becomes of them: `null` (NULL, counted per column), `error` (DataError), `string` (dates and times
of day become text as the server prints them; text that is not UTF-8 is NULL and counted).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

from workbench.kit.columns import Layout, Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

__all__ = ["Definition", "Definitions", "Kind", "Mapped", "Policy", "mapped", "schema"]

Policy = Literal["null", "error", "string"]


class Kind(IntEnum):
    """How the native core decodes a column: the numbers of `mysql_column` in `native/src/lib.rs`."""

    NULL = 0
    W1 = 1
    W2 = 2
    W4 = 3
    W8 = 4
    DATE = 5
    DATETIME = 6
    TIME = 7
    DECIMAL = 8
    BINARY = 9
    TEXT = 10
    DATE_TEXT = 11
    DATETIME_TEXT = 12


@dataclass(frozen=True, slots=True)
class Definition:
    """A column definition as the server sent it."""

    name: str
    type: int
    flags: int
    charset: int
    length: int
    decimals: int
    table: str = ""
    """The table's own name, not its alias; empty for an expression."""

    @property
    def unsigned(self) -> bool:
        return bool(self.flags & _UNSIGNED)


class Definitions(tuple[Definition, ...]):
    """The columns of a reply, and what is made of them, made once for each policy."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        self._schemas: dict[Policy, pa.Schema] = {}
        self._layouts: dict[Policy, Layout] = {}

    def schema(self, policy: Policy) -> pa.Schema:
        """See `schema`, without source types."""
        if (held := self._schemas.get(policy)) is None:
            held = self._schemas[policy] = _made(self, policy, {})
        return held

    def layout(self, policy: Policy) -> Layout:
        """How the native core decodes the rows."""
        if (held := self._layouts.get(policy)) is None:
            held = self._layouts[policy] = Layout([mapped(one, policy).slot for one in self])
        return held


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a column becomes: `slot` for the native core, `type` in Arrow, and what to say about it."""

    slot: Slot
    type: pa.DataType
    source_type: str
    lossy: str = ""


_PRIMARY, _UNSIGNED, _ENUM, _SET = 2, 32, 256, 2048
_BINARY_CHARSET = 63
_YEAR, _BIT, _JSON, _NULL, _FLOAT, _DOUBLE, _TIME = 13, 16, 245, 6, 4, 5, 11
_INTEGERS = {
    1: ("tinyint", Kind.W1, 1, "int8"),
    2: ("smallint", Kind.W2, 2, "int16"),
    9: ("mediumint", Kind.W4, 4, "int32"),
    3: ("int", Kind.W4, 4, "int32"),
    8: ("bigint", Kind.W8, 8, "int64"),
}
_DECIMALS = (0, 246)
_DATES = (10, 14)
_DATETIMES = {12: "datetime", 7: "timestamp"}
_STRINGS = {15: "varchar", 253: "varchar", 254: "char", 247: "enum", 248: "set"}
_BLOBS = {249: "tinyblob", 250: "mediumblob", 251: "longblob", 252: "blob"}
_OTHERS = {242: "vector", 255: "geometry"}
_MOST_DIGITS = 38
_LOST_DATES = "zero dates and dates that no calendar has"


@functools.lru_cache(maxsize=8192)
def mapped(definition: Definition, policy: Policy = "null") -> Mapped:
    """Decides for one column. Raises ValueError for a type number that no server is known to send."""
    import pyarrow as pa

    kind, unsigned = definition.type, definition.unsigned
    if kind in _INTEGERS:
        name, slot, width, signed = _INTEGERS[kind]
        arrow = getattr(pa, ("u" if unsigned else "") + signed)()
        return Mapped(Slot(slot, width), arrow, name + (" unsigned" if unsigned else ""))
    if kind in _DECIMALS:
        return _decimal(definition)
    if kind in _DATES:
        return _moment(definition, policy, "date", Kind.DATE, Kind.DATE_TEXT, pa.date32())
    if kind in _DATETIMES:
        arrow = pa.timestamp("us", tz="UTC") if kind == 7 else pa.timestamp("us")
        digits = f"({definition.decimals})" if 1 <= definition.decimals <= 6 else ""
        return _moment(definition, policy, _DATETIMES[kind] + digits, Kind.DATETIME, Kind.DATETIME_TEXT, arrow)
    simple = {
        _YEAR: Mapped(Slot(Kind.W2, 2), pa.int16(), "year"),
        _FLOAT: Mapped(Slot(Kind.W4, 4), pa.float32(), "float"),
        _DOUBLE: Mapped(Slot(Kind.W8, 8), pa.float64(), "double"),
        _NULL: Mapped(Slot(Kind.NULL, None), pa.null(), "null"),
        _BIT: Mapped(Slot(Kind.BINARY, 0), pa.binary(), f"bit({definition.length})"),
        _JSON: Mapped(Slot(Kind.TEXT, 0), pa.string(), "json"),
    }
    if kind in simple:
        return simple[kind]
    if kind == _TIME:
        digits = f"({definition.decimals})" if 1 <= definition.decimals <= 6 else ""
        return Mapped(Slot(Kind.TIME, 8), pa.duration("us"), "time" + digits)
    if kind in _OTHERS:
        return Mapped(Slot(Kind.BINARY, 0), pa.binary(), _OTHERS[kind])
    return _text(definition)


def schema(
    definitions: Definitions, policy: Policy = "null", source_types: Mapping[str, str] | None = None
) -> pa.Schema:
    """The Arrow schema of a result. `source_types` by column name (information_schema's `column_type`) are put into
    the metadata in place of what the definition says."""
    return _made(definitions, policy, source_types) if source_types else definitions.schema(policy)


def _made(definitions: Definitions, policy: Policy, source_types: Mapping[str, str]) -> pa.Schema:
    import pyarrow as pa

    fields = []
    for definition in definitions:
        column = mapped(definition, policy)
        told = source_types.get(definition.name, column.source_type)
        metadata = {b"source_type": told.encode()}
        if definition.flags & _PRIMARY:
            metadata[b"key"] = b"primary"
        if column.lossy:
            metadata[b"lossy"] = column.lossy.encode()
        fields.append(pa.field(definition.name, column.type, metadata=metadata))
    return pa.schema(fields)


def _decimal(definition: Definition) -> Mapped:
    import pyarrow as pa

    # The length is that of the text: digits, a point, and a sign if there may be one.
    scale, point = definition.decimals, 1 if definition.decimals else 0
    digits = definition.length - point - (0 if definition.unsigned or definition.length == 0 else 1)
    told = f"decimal({digits},{scale})" + (" unsigned" if definition.unsigned else "")
    if 1 <= digits <= _MOST_DIGITS and scale <= digits:
        return Mapped(Slot(Kind.DECIMAL, 16, digits, scale), pa.decimal128(digits, scale), told)
    return Mapped(Slot(Kind.TEXT, 0), pa.string(), told)


def _moment(definition: Definition, policy: Policy, told: str, slot: Kind, printed: Kind, arrow: pa.DataType) -> Mapped:
    import pyarrow as pa

    if policy == "string":
        digits = definition.decimals if definition.decimals <= 6 else 6
        return Mapped(Slot(printed, 0, scale=digits), pa.string(), told)
    width = 4 if slot is Kind.DATE else 8
    lossy = "" if policy == "error" else f"{_LOST_DATES} become NULL"
    return Mapped(Slot(slot, width), arrow, told, lossy)


def _text(definition: Definition) -> Mapped:
    import pyarrow as pa

    kind, binary = definition.type, definition.charset == _BINARY_CHARSET
    if kind not in _STRINGS and kind not in _BLOBS:
        raise ValueError(f"column `{definition.name}` has the unknown type {kind}")
    name = {**_STRINGS, **_BLOBS}[kind]
    if definition.flags & _ENUM:
        name = "enum"
    elif definition.flags & _SET:
        name = "set"
    elif binary:
        name = {"char": "binary", "varchar": "varbinary"}.get(name, name)
    else:
        name = name.replace("blob", "text")
    if binary:
        return Mapped(Slot(Kind.BINARY, 0), pa.binary(), name)
    return Mapped(Slot(Kind.TEXT, 0), pa.string(), name)
