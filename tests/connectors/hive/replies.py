"""Replies of HiveServer2, written for tests: as the real one writes them, or as no honest one would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.kit import thrift

__all__ = ["FIELDS", "bitmap", "column", "fetched", "reply"]

FIELDS = {
    "bool": (1, thrift.BOOL),
    "byte": (2, thrift.BYTE),
    "i16": (3, thrift.I16),
    "i32": (4, thrift.I32),
    "i64": (5, thrift.I64),
    "double": (6, thrift.DOUBLE),
    "string": (7, thrift.STRING),
    "binary": (8, thrift.STRING),
}
"""Number in the union and type of the values."""
_EMPTY = {thrift.BOOL: False, thrift.DOUBLE: 0.0, thrift.STRING: b""}


def reply(name: str, number: int, response: thrift.Struct) -> bytes:
    """As a reply to that call."""
    written = bytearray(thrift.call(name, number, {0: (thrift.STRUCT, response)}))
    written[3] = 2
    return bytes(written)


def bitmap(values: Sequence[Any]) -> bytes:
    """Of the NULLs, as short as can be: the server leaves zero bytes out at the end."""
    bits = sum(1 << index for index, value in enumerate(values) if value is None)
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def column(kind: str, values: Sequence[Any], nulls: bytes | None = None) -> tuple[int, thrift.Struct]:
    """A `TColumn`; None is NULL."""
    number, of = FIELDS[kind]
    plain = [_EMPTY.get(of, 0) if value is None else value for value in values]
    missing = bitmap(values) if nulls is None else nulls
    return thrift.STRUCT, {number: (thrift.STRUCT, {1: (thrift.LIST, (of, plain)), 2: (thrift.STRING, missing)})}


def fetched(columns: Sequence[tuple[int, thrift.Struct]], number: int = 1, more: bool = False, code: int = 0) -> bytes:
    """A reply to FetchResults."""
    rows: thrift.Struct = {
        1: (thrift.I64, 0),
        2: (thrift.LIST, (thrift.STRUCT, [])),
        3: (thrift.LIST, (thrift.STRUCT, [inner for _, inner in columns])),
    }
    response: thrift.Struct = {
        1: (thrift.STRUCT, {1: (thrift.I32, code)}),
        2: (thrift.BOOL, more),
        3: (thrift.STRUCT, rows),
    }
    return reply("FetchResults", number, response)
