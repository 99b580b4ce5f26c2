"""Thrift's binary protocol, as far as a client needs it: calls are written, replies read without a description.

A value is written by its type: bool, int, float, bytes (`STRING`), a `Struct` (field number → (type, value)), and for
containers `(element type, values)` or `(key type, value type, pairs)`. What is read says its types itself: structs are
`dict[int, value]`, lists and sets are lists, maps are lists of pairs, strings are bytes.

Lengths in a reply are lies until they were compared with the bytes that are there: a claim of 2^31 elements costs
nothing. Bytes that are no reply raise `ProtocolError`, a reply that is not whole yet `Truncated`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.contract.errors import ProtocolError

__all__ = [
    "BOOL",
    "BYTE",
    "DOUBLE",
    "I16",
    "I32",
    "I64",
    "LIST",
    "MAP",
    "SET",
    "STRING",
    "STRUCT",
    "Message",
    "Struct",
    "Truncated",
    "call",
    "reply",
]

BOOL, BYTE, DOUBLE, I16, I32, I64, STRING, STRUCT, MAP, SET, LIST = 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15
_STOP = 0
_CALL, _REPLY, _EXCEPTION = 1, 2, 3
_VERSION = 0x80010000
_FIXED = {BOOL: ">?", BYTE: ">b", DOUBLE: ">d", I16: ">h", I32: ">i", I64: ">q"}
_SMALLEST = {BOOL: 1, BYTE: 1, DOUBLE: 8, I16: 2, I32: 4, I64: 8, STRING: 4, STRUCT: 1, MAP: 6, SET: 5, LIST: 5}
_DEPTH = 64
"""Structs and containers inside each other; services use fewer than ten."""

Struct = Mapping[int, tuple[int, Any]]


class Truncated(ProtocolError):
    """The bytes end before the message does: at least `missing` more are needed."""

    def __init__(self, missing: int) -> None:
        self.missing = missing
        super().__init__(f"The reply ends {missing} bytes or more too early")


@dataclass(frozen=True, slots=True)
class Message:
    """One reply. `body` has the result under 0 and declared exceptions under their numbers; `size` is how many bytes
    the message took."""

    name: str
    sequence: int
    body: dict[int, Any]
    size: int


def call(name: str, sequence: int, arguments: Struct) -> bytes:
    """One call, without a frame. Raises struct.error for a number that its type cannot hold."""
    spelled = name.encode()
    out = bytearray(struct.pack(">Ii", _VERSION | _CALL, len(spelled)) + spelled + struct.pack(">i", sequence))
    _write(out, STRUCT, arguments)
    return bytes(out)


def reply(data: bytes | bytearray | memoryview, name: str, sequence: int, values: int = 1_000_000) -> Message:
    """The reply to that call at the beginning of `data`, which may go on after it.

    Raises Truncated when it is not whole, ProtocolError when it is none, answers another call, is the server's own
    complaint about the call, nests deeper than 64, or holds more than `values` values.
    """
    source = _Source(memoryview(data), values)
    head = source.number(">I")
    if head & 0xFFFF0000 != _VERSION:
        raise ProtocolError(f"The reply begins with {head:#010x}: that is not Thrift's binary protocol")
    answered, number = source.text(), source.number(">i")
    shown = bytes(answered[:80]).decode("utf-8", "backslashreplace")
    kind = head & 0xFF
    if kind not in (_REPLY, _EXCEPTION):
        raise ProtocolError(f"A message of kind {kind} came where a reply was expected")
    if answered != name.encode() or number != sequence:
        raise ProtocolError(f"A reply to `{shown}` number {number} came; `{name}` number {sequence} was asked")
    body = source.structure(0)
    if kind == _EXCEPTION:
        why = body.get(1, b"")
        said = why[:1000].decode("utf-8", "backslashreplace") if isinstance(why, bytes) else ""
        raise ProtocolError(f"The server could not answer `{name}`: {said or 'it does not say why'}")
    return Message(name, number, body, source.at)


def _write(out: bytearray, kind: int, value: Any) -> None:
    if kind in _FIXED:
        out += struct.pack(_FIXED[kind], value)
    elif kind == STRING:
        out += struct.pack(">i", len(value)) + value
    elif kind == STRUCT:
        for number, (inner, content) in value.items():
            out += struct.pack(">bh", inner, number)
            _write(out, inner, content)
        out.append(_STOP)
    elif kind in (LIST, SET):
        inner, contents = value
        out += struct.pack(">bi", inner, len(contents))
        for content in contents:
            _write(out, inner, content)
    elif kind == MAP:
        of_key, of_value, pairs = value
        out += struct.pack(">bbi", of_key, of_value, len(pairs))
        for key, content in pairs:
            _write(out, of_key, key)
            _write(out, of_value, content)
    else:
        raise ValueError(f"{kind} is no type of Thrift's")


class _Source:
    """A place in a message."""

    def __init__(self, data: memoryview, values: int) -> None:
        self.data, self.at, self.left = data, 0, values

    def number(self, form: str) -> Any:
        size = struct.calcsize(form)
        self.need(size)
        found = struct.unpack_from(form, self.data, self.at)[0]
        self.at += size
        return found

    def need(self, size: int) -> None:
        missing = size - (len(self.data) - self.at)
        if missing > 0:
            raise Truncated(missing)

    def text(self) -> bytes:
        size = self.number(">i")
        if size < 0:
            raise ProtocolError(f"The reply has a text of {size} bytes")
        self.need(size)
        self.at += size
        return bytes(self.data[self.at - size : self.at])

    def structure(self, depth: int) -> dict[int, Any]:
        found: dict[int, Any] = {}
        while (kind := self.number(">B")) != _STOP:
            number = self.number(">h")
            found[number] = self.value(kind, depth + 1)
        return found

    def value(self, kind: int, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ProtocolError("The reply holds more values than were allowed")
        if depth > _DEPTH:
            raise ProtocolError(f"The reply nests deeper than {_DEPTH}")
        if kind in _FIXED:
            return self.number(">B") != 0 if kind == BOOL else self.number(_FIXED[kind])
        if kind == STRING:
            return self.text()
        if kind == STRUCT:
            return self.structure(depth)
        if kind in (LIST, SET):
            inner = self.number(">B")
            return [self.value(inner, depth + 1) for _ in range(self.count((inner,)))]
        if kind == MAP:
            of_key, of_value = self.number(">B"), self.number(">B")
            return [
                (self.value(of_key, depth + 1), self.value(of_value, depth + 1))
                for _ in range(self.count((of_key, of_value)))
            ]
        raise ProtocolError(f"The reply has a value of type {kind}, which Thrift has not")

    def count(self, kinds: tuple[int, ...]) -> int:
        """How many elements follow, at least as many bytes being there."""
        count: int = self.number(">i")
        if count < 0:
            raise ProtocolError(f"The reply has a container of {count} elements")
        unknown = [kind for kind in kinds if kind not in _SMALLEST]
        if count and unknown:
            raise ProtocolError(f"The reply has a container of type {unknown[0]}, which Thrift has not")
        self.need(count * sum(_SMALLEST.get(kind, 0) for kind in kinds))
        if count > self.left:
            raise ProtocolError(f"The reply claims {count} values, more than were allowed")
        return count
