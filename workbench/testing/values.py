"""Values that break decoders: the ends of each type, and what lies just inside them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa

__all__ = ["extremes"]

_TEXT = (
    "", " ", "a", "A", "a ", " a", "null", "NULL", "0", "'", '"', "`", "\\", "\\'", "\\N", "%", "_", ";--", "\t\r\n",
    "ß", "ss", "é", "e\u0301", "ı", "İ", "\u200b", "\ufeff", "日本語", "🦆", "👩‍👩‍👧", "\U0010ffff", "\x01", "x" * 300,
)  # fmt: skip
_BYTES = (b"", b"\x00", b"\xff", b"a", b"'", b"\\", b"\x00\x01\x02", bytes(range(256)), b"\xc3\x28")


def extremes(kind: pa.DataType) -> list[Any]:
    """Python values that `pa.array(values, kind)` takes, without None; each type's ends and its awkward middle."""
    if pa.types.is_boolean(kind):
        return [False, True]
    if pa.types.is_signed_integer(kind):
        end = 1 << (kind.bit_width - 1)
        return [-end, -end + 1, -1, 0, 1, end - 2, end - 1]
    if pa.types.is_unsigned_integer(kind):
        end = 1 << kind.bit_width
        return [0, 1, end // 2 - 1, end // 2, end - 2, end - 1]
    if pa.types.is_floating(kind):
        return _floats(kind.bit_width)
    if pa.types.is_decimal(kind):
        # Made of digits: arithmetic would round to the context's 28.
        digits = ((0,), (1,), (9,) * kind.precision)
        zero, step, end = (Decimal((0, number, -kind.scale)) for number in digits)
        return [end.copy_negate(), step.copy_negate(), zero, step, end]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return list(_TEXT)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return list(_BYTES)
    if pa.types.is_date(kind):
        return [
            dt.date(*day)
            for day in ((1, 1, 1), (1582, 10, 15), (1969, 12, 31), (1970, 1, 1), (2024, 2, 29), (9999, 12, 31))
        ]
    if pa.types.is_time(kind):
        fine = 999_999 if kind.unit in ("us", "ns") else 999_000 if kind.unit == "ms" else 0
        return [dt.time(0), dt.time(0, 0, 1), dt.time(12, 30), dt.time(23, 59, 59, fine)]
    if pa.types.is_timestamp(kind):
        return _instants(kind)
    if pa.types.is_duration(kind):
        return [dt.timedelta(0), dt.timedelta(seconds=1), dt.timedelta(days=-800), dt.timedelta(days=800)]
    raise NotImplementedError(f"no extreme values are known for {kind}")


def _floats(width: int) -> list[float]:
    if width == 64:
        largest, smallest, least = 1.7976931348623157e308, 2.2250738585072014e-308, 5e-324
    elif width == 32:
        largest, smallest, least = 3.4028234663852886e38, 1.1754943508222875e-38, 1.401298464324817e-45
    else:
        largest, smallest, least = 65504.0, 6.103515625e-05, 5.960464477539063e-08
    return [0.0, -0.0, 1.0, -1.5, 0.1 if width == 64 else 0.125, largest, -largest, smallest, least,
            float("inf"), float("-inf"), float("nan")]  # fmt: skip


def _instants(kind: pa.TimestampType) -> list[dt.datetime]:
    fine = {"s": 0, "ms": 999_000}.get(kind.unit, 999_999)
    # Nanoseconds in 64 bits reach from 1677 to 2262 only.
    ends = ((1678, 1, 1), (2261, 12, 31)) if kind.unit == "ns" else ((1, 1, 1), (9999, 12, 31))
    zone = dt.UTC if kind.tz is not None else None
    return [
        dt.datetime(*ends[0], tzinfo=zone),
        dt.datetime(1969, 12, 31, 23, 59, 59, fine, tzinfo=zone),
        dt.datetime(1970, 1, 1, tzinfo=zone),
        dt.datetime(2024, 3, 31, 2, 30, tzinfo=zone),
        dt.datetime(2038, 1, 19, 3, 14, 8, tzinfo=zone),
        dt.datetime(*ends[1], 23, 59, 59, fine, tzinfo=zone),
    ]
