"""Values as text: parsing the text protocol's, and showing a value that Arrow cannot hold."""

from __future__ import annotations

import datetime
import decimal
import re
import struct

from workbench.contract.scan import BATCH_BYTES
from workbench.kit.columns import Slot
from workbench_mysql.types import Kind

__all__ = ["BATCH_BYTES", "BATCH_ROWS", "Lost", "is_reading", "parsed", "shown"]

BATCH_ROWS = 8192
_TIME = re.compile(rb"(-?)(\d{1,4}):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_MOMENT = re.compile(rb"(\d{4})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?")
_COMMENT = re.compile(r"\s+|/\*(?!!).*?\*/|(?:--[ \t\r\n]|#)[^\n]*(?:\n|$)", re.DOTALL)
_READING = re.compile(r"(show|describe|desc|explain|help)\b", re.IGNORECASE)
_EXACT = decimal.Context(prec=80)
_EPOCH = datetime.date(1970, 1, 1)
_DAY = 86_400_000_000


class Lost(Exception):
    """A value that Arrow cannot hold."""


def is_reading(statement: str) -> bool:
    """Whether it begins with a word that only asks, so that running it twice changes nothing."""
    at = 0
    while (comment := _COMMENT.match(statement, at)) and comment.end() > at:
        at = comment.end()
    return _READING.match(statement, at) is not None


def parsed(kind: Kind, slot: Slot, value: bytes) -> object:
    """A value of the text protocol, for `pyarrow.array`. Raises Lost, and ValueError for what is no such value."""
    match kind:
        case Kind.W1 | Kind.W2 | Kind.W4 | Kind.W8:
            return float(value) if b"." in value or b"e" in value.lower() else int(value)
        case Kind.DECIMAL:
            return _decimal(value, slot)
        case Kind.DATE:
            return _micros(value) // _DAY
        case Kind.DATETIME:
            return _micros(value)
        case Kind.TIME:
            return _duration(value)
        case Kind.BINARY:
            return value
        case Kind.TEXT | Kind.DATE_TEXT | Kind.DATETIME_TEXT:
            try:
                return value.decode()
            except UnicodeDecodeError as error:
                raise Lost("is not UTF-8") from error
    raise ValueError("a value where only NULL can be")


def _decimal(value: bytes, slot: Slot) -> decimal.Decimal:
    number = decimal.Decimal(value.decode("ascii"))
    quantum = decimal.Decimal(1).scaleb(-slot.scale)
    scaled = number.quantize(quantum, context=_EXACT)
    if scaled != number or len(scaled.as_tuple().digits) > slot.precision:
        raise Lost(f"does not fit decimal({slot.precision},{slot.scale})")
    return scaled


def _micros(value: bytes) -> int:
    """Since 1970; also of years that Python's dates do not have."""
    found = _MOMENT.fullmatch(value)
    if found is None:
        raise ValueError("not a date")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    micro = int((found[7] or b"").ljust(6, b"0"))
    try:
        # The calendar repeats every 400 years.
        days = (datetime.date(year % 400 + 2000, month, day) - _EPOCH).days + (year // 400 - 5) * 146_097
    except ValueError as error:
        raise Lost("is no date that a calendar has") from error
    if year == 0 and (month, day) == (2, 29):
        raise Lost("is no date that a calendar has")  # MySQL's year 0 is no leap year
    if hour > 23 or minute > 59 or second > 59:
        raise Lost("is no time of day")
    return days * _DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micro


def _duration(value: bytes) -> int:
    found = _TIME.fullmatch(value)
    if found is None:
        raise ValueError("not a time")
    hour, minute, second = (int(part) for part in found.groups()[1:4])
    micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + int((found[5] or b"").ljust(6, b"0"))
    return -micros if found[1] else micros


def shown(kind: Kind, packet: memoryview) -> tuple[str, str]:
    """A value of the binary protocol that Arrow cannot hold, as people write it, and what is wrong with it. The core
    has checked that it is whole."""
    length = packet[0]
    if kind in (Kind.DATE, Kind.DATETIME):
        return _printed(packet), "is no date that a calendar has"
    what = repr(bytes(packet[1 : 1 + min(length, 60)]))
    return what, "is no time of day" if kind is Kind.TIME else "does not fit its column"


def _printed(packet: memoryview) -> str:
    length = packet[0]
    year, month, day, hour, minute, second, micro = struct.unpack(
        "<HBBBBBI", bytes(packet[1 : 1 + length]).ljust(11, b"\0")
    )
    date = f"{year:04}-{month:02}-{day:02}"
    if length <= 4:
        return date
    return f"{date} {hour:02}:{minute:02}:{second:02}" + (f".{micro:06}" if micro else "")
