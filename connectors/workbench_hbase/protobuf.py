"""Protocol Buffers by hand, as far as HBase's messages need them: written by field number, read without a description.

Cells are not read here: the native core reads them as they came.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.contract.errors import ProtocolError

__all__ = ["Message", "delimited", "flag", "number", "parse", "take", "text", "varint"]

_LONGEST = 10


def varint(value: int) -> bytes:
    """Of 64 bits; a negative number as its complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A whole number, also of an enumeration."""
    return varint(field << 3) + varint(value)


def flag(field: int, value: bool) -> bytes:
    return varint(field << 3) + (b"\1" if value else b"\0")


def text(field: int, value: str | bytes) -> bytes:
    """Text, bytes, or another message."""
    content = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(content)) + content


def delimited(message: bytes) -> bytes:
    return varint(len(message)) + message


def take(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The number at that place, and where it ends. Raises ProtocolError."""
    found = 0
    for shift in range(_LONGEST):
        if at >= len(data):
            raise ProtocolError("The server's message ends within a number")
        byte = data[at]
        at += 1
        found |= (byte & 127) << (7 * shift)
        if byte < 128:
            return found & ((1 << 64) - 1), at
    raise ProtocolError("The server's message has a number of more than 64 bits")


class Message:
    """The fields of a message, each with all its values: numbers, or bytes."""

    def __init__(self, fields: dict[int, list[int | bytes]]) -> None:
        self._fields = fields

    def number(self, field: int, default: int = 0) -> int:
        """The last one, as it counts."""
        value = self._fields.get(field, [default])[-1]
        if not isinstance(value, int):
            raise ProtocolError(f"The server's message has bytes in field {field}, where a number is due")
        return value

    def bytes(self, field: int) -> bytes:
        value = self._fields.get(field, [b""])[-1]
        if isinstance(value, int):
            raise ProtocolError(f"The server's message has a number in field {field}, where bytes are due")
        return value

    def text(self, field: int) -> str:
        return self.bytes(field).decode("utf-8", "backslashreplace")

    def inner(self, field: int) -> Message:
        return parse(self.bytes(field))

    def each(self, field: int) -> Iterator[Message]:
        for value in self._fields.get(field, []):
            if isinstance(value, int):
                raise ProtocolError(f"The server's message has a number in field {field}, where a message is due")
            yield parse(value)

    def __contains__(self, field: int) -> bool:
        return field in self._fields


def parse(data: bytes | memoryview) -> Message:
    """Raises ProtocolError for what is no message."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(data):
        key, at = take(data, at)
        value: int | bytes
        match key & 7:
            case 0:
                value, at = take(data, at)
            case 1:
                value, at = _bytes(data, at, 8)
            case 2:
                size, at = take(data, at)
                value, at = _bytes(data, at, size)
            case 5:
                value, at = _bytes(data, at, 4)
            case kind:
                raise ProtocolError(f"The server's message has a field of kind {kind}, which there is not")
        fields.setdefault(key >> 3, []).append(value)
    return Message(fields)


def _bytes(data: bytes | memoryview, at: int, size: int) -> tuple[bytes, int]:
    if size > len(data) - at:
        raise ProtocolError(f"The server's message claims {size} bytes where {len(data) - at} are left")
    return bytes(data[at : at + size]), at + size
