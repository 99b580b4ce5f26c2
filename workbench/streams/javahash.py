"""Hashes as Java makes them, so that a key goes to the same task here as on a Storm cluster.

Storm's fields grouping takes `Math.floorMod(Arrays.deepHashCode(values), tasks)`. Which Java value a Python one is, is
what Storm's JSON makes of it: int a Long, float a Double, bool a Boolean, str a String of UTF-16 units, None null, a
list a `java.util.List`; bytes are a `byte[]`. The standard library only: it travels to Storm's workers.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable

from workbench.contract.errors import InvalidParameter

__all__ = ["JavaRandom", "deep_hash", "floor_mod", "java_hash"]

_MASK = 0xFFFFFFFF
_SIGN = 0x80000000
_UTF16 = "utf-16-le" if sys.byteorder == "little" else "utf-16-be"
_NAN = 0x7FF8000000000000


def deep_hash(values: Iterable[object]) -> int:
    """`Arrays.deepHashCode` of the values: a signed number of 32 bits."""
    total = 1
    for value in values:
        total = (
            31 * total + (_bytes_hash(value) if isinstance(value, bytes | bytearray) else java_hash(value))
        ) & _MASK
    return _signed(total)


def java_hash(value: object) -> int:
    """`value.hashCode()` in Java, None being 0. Raises InvalidParameter for what has no value in Java, or none whose
    hash is the same on every machine."""
    if isinstance(value, str):
        return _string_hash(value)
    if value is None:
        return 0
    if isinstance(value, bool):
        return 1231 if value else 1237
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise InvalidParameter("key", f"has {value.bit_length()} bits, and a Java long has 64. Group by its text.")
        return _signed((value ^ (value >> 32)) & _MASK)
    if isinstance(value, float):
        bits = _NAN if value != value else int.from_bytes(struct.pack(">d", value), "big")
        return _signed((bits ^ (bits >> 32)) & _MASK)
    if isinstance(value, list | tuple):
        total = 1
        for item in value:
            total = (31 * total + java_hash(item)) & _MASK
        return _signed(total)
    if type(value).__module__ == "numpy" and not getattr(value, "shape", (1,)):  # one of its scalars
        plain = value.item()  # type: ignore[attr-defined]
        if isinstance(plain, bool | int | float):
            return java_hash(plain)
    where = "inside of a list " if isinstance(value, bytes | bytearray) else ""
    raise InvalidParameter(
        "key",
        f"is a value of type `{type(value).__name__}` {where}and has no hash that is the same on every machine. "
        "Group by text, numbers, booleans, bytes, None or lists of them.",
    )


def floor_mod(number: int, tasks: int) -> int:
    """`Math.floorMod`, which is what Python's `%` does for a positive divisor."""
    return number % tasks


class JavaRandom:
    """`java.util.Random` of a seed, as far as partial key grouping asks for it."""

    def __init__(self, seed: int) -> None:
        self._seed = (seed ^ 0x5DEECE66D) & ((1 << 48) - 1)

    def _next(self, bits: int) -> int:
        self._seed = (self._seed * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        return self._seed >> (48 - bits)

    def next_int(self, bound: int) -> int:
        """`nextInt(bound)`."""
        drawn = self._next(31)
        if bound & (bound - 1) == 0:
            return (bound * drawn) >> 31
        while drawn - drawn % bound + (bound - 1) >= 1 << 31:
            drawn = self._next(31)
        return drawn % bound


def _string_hash(text: str) -> int:
    total = 0
    # Lone surrogates are ordinary units in Java; casting gives units of 16 bits in the machine's own order.
    for unit in memoryview(text.encode(_UTF16, "surrogatepass")).cast("H"):
        total = (31 * total + unit) & _MASK
    return _signed(total)


def _bytes_hash(data: bytes | bytearray) -> int:
    """`Arrays.hashCode(byte[])`: Java's bytes are signed."""
    total = 1
    for byte in data:
        total = (31 * total + (byte - 256 if byte > 127 else byte)) & _MASK
    return _signed(total)


def _signed(bits: int) -> int:
    return bits - (1 << 32) if bits & _SIGN else bits
