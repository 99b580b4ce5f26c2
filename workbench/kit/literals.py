"""A predicate's constants as exact values of an Arrow type."""

from __future__ import annotations

import datetime
import decimal
import struct
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from workbench.contract.predicate import Literal

__all__ = ["Impossible", "exact", "plain_type"]

_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_UTC = _EPOCH.replace(tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class Impossible(Exception):
    """It cannot be said exactly; the text says what."""


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values: what a dictionary encodes, else itself."""
    while pt.is_dictionary(kind):
        kind = kind.value_type
    return kind


def exact(literal: Literal, kind: pa.DataType) -> Any:
    """The literal as what `pyarrow.scalar(…, kind)` takes for just this value: integers for times. Raises Impossible
    where it is not a value of `kind`, or `kind` is one that DuckDB does not order as its Arrow values."""
    value: Any = literal.value
    match value:
        case bool():
            fits = pt.is_boolean(kind)
        case int():
            fits = pt.is_integer(kind) and _bounds(kind)[0] <= value <= _bounds(kind)[1]
        case float():
            fits = pt.is_float64(kind) or (pt.is_float32(kind) and _is_single(value))
        case decimal.Decimal():
            fits = pt.is_decimal(kind) and not pt.is_decimal256(kind) and _fits_decimal(value, kind)
        case str():
            fits = (pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)) and _is_utf8(value)
        case bytes():
            fits = pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind)
            fits = fits or (pt.is_fixed_size_binary(kind) and len(value) == kind.byte_width)
        case datetime.datetime():
            if pt.is_timestamp(kind) and (kind.tz is None) == (value.tzinfo is None):
                epoch = _EPOCH if value.tzinfo is None else _EPOCH_UTC
                return _in_unit((value - epoch) // _MICROSECOND, kind.unit, literal)
            fits = False
        case datetime.date():
            if pt.is_date32(kind):
                return value.toordinal() - _EPOCH.toordinal()
            fits = False
        case datetime.time():
            if pt.is_time(kind) and value.tzinfo is None:
                seconds = (value.hour * 60 + value.minute) * 60 + value.second
                return _in_unit(seconds * 1_000_000 + value.microsecond, kind.unit, literal)
            fits = False
        case _:
            fits = False
    if not fits:
        raise Impossible(f"{literal} is not exactly a value of {kind}.")
    return value


def _in_unit(microseconds: int, unit: str, literal: Literal) -> int:
    value, rest = divmod(microseconds * _PER_SECOND[unit], 1_000_000)
    if rest or not -(2**63) <= value < 2**63:
        raise Impossible(f"{literal} is not a whole number of {unit}, or out of range.")
    return value


def _bounds(kind: pa.DataType) -> tuple[int, int]:
    bits = kind.bit_width
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if pt.is_signed_integer(kind) else (0, (1 << bits) - 1)


def _is_single(value: float) -> bool:
    try:
        return value != value or struct.unpack("f", struct.pack("f", value))[0] == value
    except OverflowError:
        return False


def _fits_decimal(value: decimal.Decimal, kind: pa.DataType) -> bool:
    try:
        pa.scalar(value, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
