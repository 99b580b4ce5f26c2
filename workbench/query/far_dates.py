"""Dates and times that Arrow's own cast cannot say: of a year before -32767 or after 32767."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

__all__ = ["far", "far_as_text"]

_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAYS = 32_000 * 365
"""Arrow says days up to here, and its times overflow no sooner."""


def far(column: pa.Array) -> bool:
    """Whether a date or a time of it is that far away."""
    if not (pt.is_date(column.type) or pt.is_timestamp(column.type)):
        return False
    ends = pc.min_max(_numbers(column))
    limit = _DAYS * _per_day(column.type)
    return any(end is not None and abs(end) > limit for end in (ends["min"].as_py(), ends["max"].as_py()))


def far_as_text(column: pa.Array) -> pa.Array:
    """All of them as text, in the form of Arrow's cast: `200000-01-01 00:00:00`, of a zone in UTC with a `Z`."""
    day = _per_day(column.type)
    second = day // 86_400
    zone = "Z" if pt.is_timestamp(column.type) and column.type.tz else ""
    shown: list[str | None] = []
    for value in _numbers(column).to_pylist():
        if value is None:
            shown.append(None)
            continue
        days, within = divmod(value, day)
        text = _date(days)
        if pt.is_timestamp(column.type):
            seconds, part = divmod(within, second)
            minutes, seconds = divmod(seconds, 60)
            fraction = f".{part:0{len(str(second)) - 1}d}" if second > 1 else ""
            text += f" {minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fraction}{zone}"
        shown.append(text)
    return pa.array(shown, pa.string())


def _numbers(column: pa.Array) -> pa.Array:
    return column.view(pa.int32() if pt.is_date32(column.type) else pa.int64())


def _per_day(kind: pa.DataType) -> int:
    if pt.is_date32(kind):
        return 1
    return 86_400_000 if pt.is_date64(kind) else 86_400 * _SECOND[kind.unit]


def _date(days: int) -> str:
    """The day of the proleptic Gregorian calendar, by Hinnant's `civil_from_days`: years begin in March, in eras of 400
    years."""
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (month <= 2)
    return f"{'-' if year < 0 else ''}{abs(year):04d}-{month:02d}-{day:02d}"
