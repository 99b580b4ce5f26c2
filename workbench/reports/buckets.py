"""Granularities: a window cut into buckets of the zone's minutes, hours, days, or longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.contract.errors import InvalidParameter
from workbench.reports.periods import Window, ceiling, floor
from workbench.reports.zones import DAY, HOUR, MINUTE, Times, Zone, date_of

__all__ = ["GRANULARITIES", "Buckets", "buckets", "chosen", "coarser"]

GRANULARITIES = ("minute", "hour", "day", "week", "month", "quarter", "year")
MOST_BUCKETS = 1_000_000


@dataclass(frozen=True)
class Buckets:
    """The buckets of a window in order: `starts` are their first instants; `ids` what stands for them in the folds: the
    instant of the full minute or hour, the first day for days and longer."""

    granularity: str
    ids: Times
    starts: Times

    def labels(self, zone: Zone) -> pa.Array:
        """Each bucket as it is called in the zone: `2026-10-25`, `2026-10-25 02:00 +0100`, `2026-10`,
        `2026-Q4`, `2026`; a week by its Monday."""
        if self.granularity not in ("minute", "hour"):
            return pa.array([_day(day, self.granularity) for day in self.ids.tolist()], pa.string())
        # Few days, few times of day, few offsets: each is written once, and the rest is taking them.
        offsets = zone.offsets(self.starts)
        local = (self.ids + offsets) // MINUTE
        parts = [_written(local // 1440, _date), _written(local % 1440, _clock)]
        if zone.name != "UTC":
            parts.append(_written(offsets, _offset))
        return pc.binary_join_element_wise(*parts, " ")


def _written(values: Times, write: Callable[[int], str]) -> pa.Array:
    known, place = np.unique(values, return_inverse=True)
    return pa.array([write(one) for one in known.tolist()], pa.string()).take(pa.array(place))


def _day(day: int, granularity: str) -> str:
    date = date_of(day)
    match granularity:
        case "month":
            return date.isoformat()[:7]
        case "quarter":
            return f"{date.year:04d}-Q{(date.month + 2) // 3}"
        case "year":
            return f"{date.year:04d}"
    return date.isoformat()


def _date(day: int) -> str:
    return date_of(day).isoformat()


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _offset(milliseconds: int) -> str:
    minutes = abs(milliseconds) // MINUTE
    return f"{'-' if milliseconds < 0 else '+'}{minutes // 60:02d}{minutes % 60:02d}"


def chosen(granularity: str, whole: Window) -> str:
    """`auto` is hours up to two days, days up to 13 weeks, weeks up to two years, then months."""
    if granularity != "auto":
        return granularity
    days = (whole.end - whole.start) / DAY
    return "hour" if days <= 2.1 else "day" if days <= 92 else "week" if days <= 732 else "month"


def buckets(whole: Window, granularity: str, zone: Zone) -> Buckets:
    """All buckets that a window touches, empty ones too; raises InvalidParameter when they are more than a million."""
    step = {"minute": MINUTE, "hour": HOUR, "day": DAY}.get(granularity, 7 * DAY)
    if (whole.end - whole.start) // step > MOST_BUCKETS:
        raise InvalidParameter(
            "granularity", f"`{granularity}` makes more than {MOST_BUCKETS:,} rows: take a longer one."
        )
    if granularity in ("minute", "hour"):
        parts: list[Times] = []
        firsts: list[Times] = []
        turns, offsets = zone.regimes(whole.start, whole.end)
        for number, offset in enumerate(offsets):
            low = max(whole.start, turns[number - 1]) if number else whole.start
            high = min(whole.end, turns[number]) if number < len(turns) else whole.end
            if low < high:
                # An hour that the clock broke into begins at the change, whatever full hour it is named by.
                parts.append(np.arange((low + offset) // step * step - offset, high, step))
                firsts.append(np.maximum(parts[-1], low))
        if not parts:
            return Buckets(granularity, np.zeros(0, np.int64), np.zeros(0, np.int64))
        ids = np.concatenate(parts)
        order = np.argsort(ids, kind="stable")
        return Buckets(granularity, ids[order], np.concatenate(firsts)[order])
    first, last = zone.day_of(whole.start), zone.day_of(whole.end - 1)
    days = []
    day = floor(first, granularity)
    while day <= last:
        days.append(day)
        day = ceiling(day, granularity)
    starts = [max(zone.day_start(day), whole.start) for day in days]
    return Buckets(granularity, np.array(days, np.int64), np.array(starts, np.int64))


def coarser(days: list[int], granularity: str) -> list[int]:
    """The first day of the bucket of each day."""
    return [floor(day, granularity) for day in days]
