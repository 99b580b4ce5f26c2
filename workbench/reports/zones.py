"""Zones, days and hours as plain arithmetic. Times are whole milliseconds since 1970 in UTC; a day is the number of a
local date, counted from 1970-01-01."""

from __future__ import annotations

import datetime
import functools
import zoneinfo

import numpy as np
from numpy.typing import NDArray

from workbench.contract.errors import InvalidParameter

__all__ = ["DAY", "HOUR", "MINUTE", "Times", "Zone", "date_of", "day_number"]

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
Times = NDArray[np.int64]
_EPOCH = datetime.date(1970, 1, 1)
_UTC_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# What zoneinfo can be asked about.
_FIRST, _LAST = -62_135_596_800_000 + 2 * DAY, 253_402_300_799_000 - 2 * DAY


class Zone:
    """An IANA zone. Raises InvalidParameter for a name that is none."""

    def __init__(self, name: str) -> None:
        try:
            self.info = zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, TypeError):
            raise InvalidParameter("zone", f"is `{name}`, which is no IANA zone: write `Europe/Berlin`.") from None
        self.name = name

    # --- instants

    def offset(self, at: int) -> int:
        """Local minus UTC, in ms, at an instant."""
        at = min(max(at, _FIRST), _LAST)
        moment = (_UTC_EPOCH + datetime.timedelta(milliseconds=at)).astimezone(self.info)
        delta = moment.utcoffset()
        assert delta is not None
        return round(delta.total_seconds() * 1000)

    def regimes(self, low: int, high: int) -> tuple[list[int], list[int]]:
        """Instants in (low, high] at which the offset changes, and the offsets: one more than there are changes."""
        return _regimes(self.name, low // DAY - 1, high // DAY + 1)

    def offsets(self, times: Times) -> Times:
        """The offset of each time."""
        if not len(times):
            return np.zeros(0, np.int64)
        changes, offsets = self.regimes(int(times.min()), int(times.max()))
        if not changes:
            return np.full(len(times), offsets[0], np.int64)
        return np.array(offsets, np.int64)[np.searchsorted(np.array(changes, np.int64), times, side="right")]

    def moment(self, at: int) -> datetime.datetime:
        """An instant as a local time."""
        return (_UTC_EPOCH + datetime.timedelta(milliseconds=at)).astimezone(self.info)

    # --- days

    def day_of(self, at: int) -> int:
        return (at + self.offset(at)) // DAY

    def day_start(self, day: int) -> int:
        """The first instant of a local day; days have 23 to 25 hours around a change of the clock."""
        date = _EPOCH + datetime.timedelta(days=day)
        start = datetime.datetime(date.year, date.month, date.day, tzinfo=self.info)
        return round(start.timestamp() * 1000)

    def local(self, wall: datetime.datetime) -> int:
        """The instant of a local time without a zone; the first of two, and the one after a gap."""
        return round(wall.replace(tzinfo=self.info).timestamp() * 1000)


@functools.lru_cache(maxsize=64)
def _regimes(name: str, first: int, last: int) -> tuple[list[int], list[int]]:
    zone = Zone(name)
    changes, offsets = [], [zone.offset(first * DAY)]
    for day in range(max(first, _FIRST // DAY), min(last, _LAST // DAY)):
        low, high = day * DAY, (day + 1) * DAY
        after = zone.offset(high)
        if after == offsets[-1]:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if zone.offset(middle) == after else (middle, high)
        changes.append(high)
        offsets.append(after)
    return changes, offsets


def date_of(day: int) -> datetime.date:
    return _EPOCH + datetime.timedelta(days=day)


def day_number(date: datetime.date) -> int:
    return (date - _EPOCH).days
