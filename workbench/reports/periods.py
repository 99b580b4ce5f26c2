"""Periods: words in, half-open ranges of time out. The clock is passed in."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from workbench.contract.errors import InvalidParameter
from workbench.reports.zones import HOUR, MINUTE, Zone, date_of, day_number

__all__ = ["ALL", "Window", "ceiling", "floor", "window"]

ALL = "all"
_ACCEPTED = (
    "`last 28 days` (weeks, months, hours), `today`, `yesterday`, `this month` (week, quarter, year), `last month`, "
    "`2026-01-01..2026-01-31` (both days included), `2026-01-31`, `2026-01`, `2026`, `all`"
)


@dataclass(frozen=True)
class Window:
    """From `start` until before `end`, in ms since 1970 UTC. `days` are the first and the last local day of it, where
    it is made of whole days."""

    start: int
    end: int
    days: tuple[int, int] | None = None

    def previous(self, zone: Zone) -> Window:
        """The period of the same length just before: as many whole local days, or as many milliseconds."""
        if self.days is None:
            return Window(self.start - (self.end - self.start), self.start)
        first, last = self.days
        return _days(zone, first - (last - first + 1), first - 1)

    def shown(self, zone: Zone) -> str:
        if self.days is not None:
            first, last = (date_of(day).isoformat() for day in self.days)
            return first if first == last else f"{first} to {last}"
        ends = (zone.moment(at).isoformat(" ", "minutes") for at in (self.start, self.end))
        return " to ".join(ends)


def window(period: str, zone: Zone, now: datetime.datetime) -> Window:
    """What a period means at `now` (which has a zone). `all` is none of these: it is what the data has. Days are the
    zone's; `last 28 days` ends with yesterday, `this month` with today. Raises InvalidParameter."""
    try:
        return _window(period, zone, now)
    except OverflowError:
        raise InvalidParameter("period", "reaches beyond the calendar's years 1 to 9999.") from None


def _window(period: str, zone: Zone, now: datetime.datetime) -> Window:
    text = " ".join(str(period).casefold().split())
    today = day_number(now.astimezone(zone.info).date())
    if text in ("today", "yesterday"):
        day = today - (text == "yesterday")
        return _days(zone, day, day)
    if found := re.fullmatch(r"last (\d{1,5}) (minute|hour|day|week|month)s?", text):
        return _last(int(found[1]), found[2], zone, now, today)
    if found := re.fullmatch(r"(this|last) (week|month|quarter|year)", text):
        first = floor(today, found[2])
        if found[1] == "this":
            return _days(zone, first, today)
        return _days(zone, floor(first - 1, found[2]), first - 1)
    if ".." in text:
        low, _, high = (part.strip() for part in text.partition(".."))
        return _between(period, low, high, zone)
    if span := _dates(text):
        return _days(zone, *span)
    raise InvalidParameter("period", f"is `{period}`, which is none of {_ACCEPTED}.")


def _last(count: int, unit: str, zone: Zone, now: datetime.datetime, today: int) -> Window:
    if not count:
        raise InvalidParameter("period", "is of length 0: write `last 1 day`, or more.")
    if unit in ("minute", "hour"):
        step = MINUTE if unit == "minute" else HOUR
        at = round(now.timestamp() * 1000)
        end = at - at % MINUTE
        return Window(end - count * step, end)
    if unit == "month":
        first = floor(today, "month")
        for _ in range(count):
            first = floor(first - 1, "month")
        return _days(zone, first, floor(today, "month") - 1)
    days = count * (7 if unit == "week" else 1)
    return _days(zone, today - days, today - 1)


def _between(period: str, low: str, high: str, zone: Zone) -> Window:
    first, last = _dates(low), _dates(high)
    if first and last:
        made = _days(zone, first[0], last[1])
    else:
        try:
            made = Window(_instant(low, zone), _instant(high, zone))
        except ValueError:
            raise InvalidParameter("period", f"is `{period}`, which is none of {_ACCEPTED}.") from None
    if made.end <= made.start:
        raise InvalidParameter("period", f"is `{period}`, which ends before it begins.")
    return made


def _instant(text: str, zone: Zone) -> int:
    wall = datetime.datetime.fromisoformat(text)
    return zone.local(wall) if wall.tzinfo is None else round(wall.timestamp() * 1000)


def _dates(text: str) -> tuple[int, int] | None:
    """First and last day of a date, a month or a year."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = day_number(datetime.date.fromisoformat(text))
            return day, day
        if re.fullmatch(r"\d{4}-\d{2}", text):
            first = day_number(datetime.date(int(text[:4]), int(text[5:]), 1))
            return first, ceiling(first, "month") - 1
        if re.fullmatch(r"\d{4}", text):
            first = day_number(datetime.date(int(text), 1, 1))
            return first, ceiling(first, "year") - 1
    except ValueError:
        raise InvalidParameter("period", f"holds `{text}`, which is no date of the calendar.") from None
    return None


def _days(zone: Zone, first: int, last: int) -> Window:
    try:
        return Window(zone.day_start(first), zone.day_start(last + 1), (first, last))
    except (OverflowError, ValueError):
        raise InvalidParameter("period", "reaches beyond the calendar's years 1 to 9999.") from None


def floor(day: int, unit: str) -> int:
    """The first day of the week (Monday), month, quarter or year that a day is in; the day itself for a day."""
    date = date_of(day)
    match unit:
        case "week":
            return day - date.weekday()
        case "month":
            return day_number(date.replace(day=1))
        case "quarter":
            return day_number(date.replace(month=(date.month - 1) // 3 * 3 + 1, day=1))
        case "year":
            return day_number(date.replace(month=1, day=1))
    return day


def ceiling(day: int, unit: str) -> int:
    """The first day after the unit's stretch that a day is in."""
    width = {"week": 7, "month": 32, "quarter": 93, "year": 367}.get(unit, 1)
    return floor(floor(day, unit) + width, unit)
