"""Rows of MySQL's binary protocol, made from values: the encoder that a server has, for tests of the decoder."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from workbench.kit.columns import Slot
from workbench_mysql.types import Kind

__all__ = ["Moment", "length_encoded", "packet", "packets", "random_slot", "random_value", "row"]

FIXED = {Kind.W1: 1, Kind.W2: 2, Kind.W4: 4, Kind.W8: 8}
WIDTHS = {**FIXED, Kind.DATE: 4, Kind.DATETIME: 8, Kind.TIME: 8, Kind.DECIMAL: 16, Kind.NULL: None}


@dataclass(frozen=True)
class Moment:
    """A date, a datetime or (with `sign`) a time, of any length that the protocol has."""

    parts: bytes

    def encoded(self) -> bytes:
        return bytes((len(self.parts),)) + self.parts


def length_encoded(value: int) -> bytes:
    if value < 0xFB:
        return bytes((value,))
    for mark, width in ((0xFC, 2), (0xFD, 3), (0xFE, 8)):
        if value < 1 << (8 * width):
            return bytes((mark,)) + value.to_bytes(width, "little")
    raise ValueError(value)


def row(values: Sequence[bytes | Moment | None], slots: Sequence[Slot]) -> bytes:
    """A row's payload. Fixed values are their little-endian bytes."""
    nulls = bytearray((len(slots) + 9) // 8)
    body = bytearray()
    for index, (value, slot) in enumerate(zip(values, slots, strict=True)):
        if value is None:
            nulls[(index + 2) >> 3] |= 1 << ((index + 2) & 7)
        elif isinstance(value, Moment):
            body += value.encoded()
        elif slot.kind in FIXED:
            body += value
        else:
            body += length_encoded(len(value)) + value
    return b"\0" + bytes(nulls) + bytes(body)


def packet(number: int, payload: bytes) -> bytes:
    """Framed, in several packets when it is long."""
    full, out, at = 0xFF_FFFF, bytearray(), 0
    while True:
        part = payload[at : at + full]
        out += len(part).to_bytes(3, "little") + bytes((number & 0xFF,)) + part
        at, number = at + full, number + 1
        if len(part) < full:
            return bytes(out)


def packets(payloads: Sequence[bytes], first: int = 0) -> bytes:
    """Short ones, numbered one after the other."""
    return b"".join(packet(first + index, payload) for index, payload in enumerate(payloads))


def random_slot(random: Random) -> Slot:
    kind = random.choice(list(Kind))
    precision = random.randint(1, 38)
    scale = random.randint(0, precision) if kind is Kind.DECIMAL else random.randint(0, 6)
    return Slot(kind, WIDTHS.get(kind, 0), precision, scale)


def random_value(random: Random, slot: Slot) -> bytes | Moment | None:
    kind = Kind(slot.kind)
    if kind is Kind.NULL or random.random() < 0.15:
        return None
    if kind in FIXED:
        return random.randbytes(FIXED[kind])
    if kind in (Kind.DATE, Kind.DATE_TEXT, Kind.DATETIME, Kind.DATETIME_TEXT):
        parts = struct.pack(
            "<HBBBBBI",
            random.randint(0, 9999),
            random.randint(0, 13),
            random.randint(0, 32),
            random.randint(0, 24),
            random.randint(0, 60),
            random.randint(0, 60),
            random.randint(0, 1_000_001),
        )
        return Moment(parts[: random.choice((0, 4, 7, 11))])
    if kind is Kind.TIME:
        parts = struct.pack("<BIBBBI", random.randint(0, 1), random.randint(0, 35), random.randint(0, 23), 59, 1, 7)
        return Moment(parts[: random.choice((0, 8, 12))])
    if kind is Kind.DECIMAL:
        digits = str(random.randrange(10 ** random.randint(1, slot.precision)))
        whole, places = digits[slot.scale :], digits[: slot.scale]
        sign = random.choice(("", "-"))
        return (sign + (whole or "0") + (f".{places}" if places else "")).encode()
    if kind is Kind.TEXT:
        text = "".join(random.choice("ab é客🎉\0") for _ in range(random.choice((0, 1, 5, 15, 16, 17, 300))))
        return text.encode()
    return random.randbytes(random.choice((0, 1, 15, 16, 17, 250, 251, 70_000)))
