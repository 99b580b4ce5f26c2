"""How values are written in cells and keys: the kinds of a mapping, and constants of predicates as bytes.

Where bytes are compared at the server, a comparison of values becomes ranges of bytes. A range is half open: from its
first bytes on, up to but without its end, which is None where there is none.
"""

from __future__ import annotations

import datetime
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.contract.predicate import Scalar

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KINDS", "Cannot", "Kind", "Range", "arrow", "encoded", "points", "ranges", "successor"]

Range = tuple[bytes, bytes | None]
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)


class Cannot(Exception):
    """The server cannot be asked for that; the text says why."""


@dataclass(frozen=True)
class Kind:
    """`number` is the native core's. `width`: bytes of every value; None where they vary. `orders`: whether there are
    ranges of bytes for its comparisons."""

    number: int
    width: int | None
    orders: bool = True


KINDS = {
    "text": Kind(1, None),
    "json": Kind(1, None),
    "bytes": Kind(2, None),
    "boolean": Kind(3, 1, orders=False),
    "short": Kind(4, 2),
    "int": Kind(5, 4),
    "long": Kind(6, 8),
    "float": Kind(7, 4),
    "double": Kind(8, 8),
    "sorted_int": Kind(9, 4),
    "sorted_long": Kind(10, 8),
    "time": Kind(15, 8),
    "reversed_time": Kind(11, 8),
    "text_integer": Kind(12, None, orders=False),
    "text_double": Kind(13, None, orders=False),
    "cell_time": Kind(14, None, orders=False),
}
"""By the name that a mapping says."""


def arrow(kind: str) -> pa.DataType:
    import pyarrow as pa

    match kind:
        case "text" | "json":
            return pa.string()
        case "bytes":
            return pa.binary()
        case "boolean":
            return pa.bool_()
        case "short":
            return pa.int16()
        case "int" | "sorted_int":
            return pa.int32()
        case "long" | "sorted_long" | "text_integer":
            return pa.int64()
        case "float":
            return pa.float32()
        case "double" | "text_double":
            return pa.float64()
        case _:
            return pa.timestamp("ms", "UTC")


def encoded(kind: str, value: Scalar) -> bytes:
    """The bytes of a value as the kind writes it. Raises Cannot where it has none."""
    writer = _WRITERS.get(kind)
    if writer is None:
        raise Cannot(f"{kind} is compared here only")
    try:
        return writer(value)
    except (struct.error, OverflowError, UnicodeEncodeError):
        raise Cannot("a constant that is no value of the column") from None


def points(kind: str, value: Scalar) -> list[bytes]:
    """All the bytes that are read as this value. Raises Cannot where that is not known."""
    if isinstance(value, float) and math.isnan(value):
        raise Cannot("NaN has many forms")
    if kind in ("float", "double") and value == 0:
        return [encoded(kind, 0.0), encoded(kind, -0.0)]
    return [encoded(kind, value)]


def ranges(kind: str, op: str, value: Scalar) -> list[Range]:
    """Where the values lie that compare so (`<`, `<=`, `>` or `>=`), in order; bytes that are no values may lie there,
    too. Raises Cannot."""
    if not KINDS[kind].orders:
        raise Cannot(f"the bytes of {kind} have another order")
    if KINDS[kind].width is None:
        exact = encoded(kind, value)
        after = exact + b"\0"
        by_op: dict[str, Range] = {"<": (b"", exact), "<=": (b"", after), ">": (after, None), ">=": (exact, None)}
        return [by_op[op]]
    if kind in ("float", "double"):
        return _floating(kind, op, value)
    number = _whole(kind, value)
    width = KINDS[kind].width or 0
    bits = 8 * width
    least = 0 if kind == "reversed_time" else -(1 << (bits - 1))
    most = (1 << (bits - 1)) - 1
    low, high = {"<": (least, number - 1), "<=": (least, number), ">": (number + 1, most), ">=": (number, most)}[op]
    low, high = max(low, least), min(high, most)
    if low > high:
        return []
    if kind == "reversed_time":
        return [_closed(most - high, most - low, width)]
    if kind.startswith("sorted_"):
        return [_closed(low - least, high - least, width)]
    # Negative numbers come after the others.
    found = []
    if high >= 0:
        found.append(_closed(max(low, 0), high, width))
    if low < 0:
        found.append(_closed(low + (1 << bits), min(high, -1) + (1 << bits), width))
    return found


def successor(prefix: bytes) -> bytes | None:
    """The first bytes after all that begin with `prefix`; None where there are none."""
    short = prefix.rstrip(b"\xff")
    return short[:-1] + bytes((short[-1] + 1,)) if short else None


def _closed(low: int, high: int, width: int) -> Range:
    after = high + 1
    return low.to_bytes(width, "big"), None if after >> (8 * width) else after.to_bytes(width, "big")


def _floating(kind: str, op: str, value: Scalar) -> list[Range]:
    """Positive numbers are ordered as their bytes, then come the negative ones, from the greatest to the least. NaN is
    greater than all, and lies behind both infinities. Ranges hold both zeros, as they are equal."""
    if not isinstance(value, float):
        raise Cannot("a constant of another type")
    width = KINDS[kind].width or 0
    sign = 1 << (8 * width - 1)
    whole = (1 << (8 * width)) - 1
    infinity = int.from_bytes(encoded(kind, math.inf), "big")
    if math.isnan(value):
        raise Cannot("a comparison with NaN")
    raw = int.from_bytes(encoded(kind, value), "big")
    if op in (">", ">="):
        if value > 0:
            return [_closed(raw, sign - 1, width), _closed(sign + infinity + 1, whole, width)]
        top = max(raw, sign)
        return [_closed(0, sign - 1, width), _closed(sign, top, width), _closed(sign + infinity + 1, whole, width)]
    if value >= 0:
        return [_closed(0, raw & (sign - 1), width), _closed(sign, sign + infinity, width)]
    return [_closed(raw, sign + infinity, width)]


def _whole(kind: str, value: Scalar) -> int:
    if kind in ("time", "reversed_time"):
        return _milliseconds(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Cannot("a constant of another type")
    return value


def _milliseconds(value: Scalar) -> int:
    if not isinstance(value, datetime.datetime) or value.tzinfo is None or value.microsecond % 1000:
        raise Cannot("a constant of another type")
    return (value - _EPOCH) // _MILLISECOND


def _text(value: Scalar) -> bytes:
    if not isinstance(value, str):
        raise Cannot("a constant of another type")
    return value.encode()


def _bytes(value: Scalar) -> bytes:
    if not isinstance(value, bytes):
        raise Cannot("a constant of another type")
    return value


def _boolean(value: Scalar) -> bytes:
    if not isinstance(value, bool):
        raise Cannot("a constant of another type")
    return b"\xff" if value else b"\0"


def _packed(form: str, kind: str) -> Callable[[Scalar], bytes]:
    def write(value: Scalar) -> bytes:
        number: Any = value
        if form[1] in "fd":
            if not isinstance(value, float):
                raise Cannot("a constant of another type")
        else:
            number = _whole(kind, value)
        return struct.pack(form, number)

    return write


def _sorted(form: str, half: int) -> Callable[[Scalar], bytes]:
    return lambda value: struct.pack(form, _whole("long", value) + half)


def _reversed(value: Scalar) -> bytes:
    since = _milliseconds(value)
    if since < 0:
        raise Cannot("a time before 1970")
    return struct.pack(">q", (1 << 63) - 1 - since)


_WRITERS: dict[str, Callable[[Scalar], bytes]] = {
    "text": _text,
    "json": _text,
    "bytes": _bytes,
    "boolean": _boolean,
    "short": _packed(">h", "short"),
    "int": _packed(">i", "int"),
    "long": _packed(">q", "long"),
    "float": _packed(">f", "float"),
    "double": _packed(">d", "double"),
    "sorted_int": _sorted(">I", 1 << 31),
    "sorted_long": _sorted(">Q", 1 << 63),
    "time": _packed(">q", "time"),
    "reversed_time": _reversed,
    "text_integer": lambda value: str(_whole("long", value)).encode(),
    "text_double": lambda value: repr(value).encode(),
}
