"""The overview by brute force, in plain Python: one event after the other, no packing, no splits."""

from __future__ import annotations

import datetime
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 30 * 60_000
DAY = 86_400_000
PASSIVE = {"scroll", "session_start"}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Event:
    user: Any
    ms: int
    event: str = "page_view"
    page: str | None = None
    source: str | None = None
    device: str | None = None


@dataclass
class Group:
    users: set[Any] = field(default_factory=set)
    sessions: int = 0
    bounces: int = 0
    views: int = 0
    events: int = 0
    duration: int = 0

    def row(self) -> tuple[int, ...]:
        return len(self.users), self.sessions, self.bounces, self.views, self.events, self.duration


def local(ms: int, zone: str) -> datetime.datetime:
    return (EPOCH + datetime.timedelta(milliseconds=ms)).astimezone(zoneinfo.ZoneInfo(zone))


def bucket(ms: int, granularity: str, zone: str) -> str:
    moment = local(ms, zone)
    date = moment.date()
    match granularity:
        case "hour":
            return f"{moment:%Y-%m-%d %H}:00" + ("" if zone == "UTC" else f" {moment:%z}")
        case "week":
            return (date - datetime.timedelta(days=date.weekday())).isoformat()
        case "month":
            return f"{date:%Y-%m}"
        case "quarter":
            return f"{date:%Y}-Q{(date.month + 2) // 3}"
        case "year":
            return f"{date:%Y}"
    return date.isoformat()


def sessions(events: Iterable[Event], midnight: bool, zone: str) -> list[list[Event]]:
    by_user: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        if event.user is not None:
            by_user[event.user].append(event)
    made: list[list[Event]] = []
    for mine in by_user.values():
        mine.sort(key=lambda event: event.ms)
        before: Event | None = None
        for event in mine:
            new = before is None or event.ms - before.ms > TIMEOUT
            if before is not None and midnight and local(event.ms, zone).date() != local(before.ms, zone).date():
                new = True
            if new:
                made.append([])
            made[-1].append(event)
            before = event
    return made


def bounced(session: Sequence[Event], definition: str) -> bool:
    views = sum(event.event == "page_view" for event in session)
    active = sum(event.event != "page_view" and event.event not in PASSIVE for event in session)
    key = any(event.event == "purchase" for event in session)
    lasted = session[-1].ms - session[0].ms
    if definition == "ga4":
        return not (lasted > 10_000 or views >= 2 or key)
    if definition == "plausible":
        return views <= 1 and not active
    return views <= 1


def first_value(session: Sequence[Event], name: str) -> str | None:
    told = [(event.ms, getattr(event, name)) for event in session if getattr(event, name)]
    return min(told)[1] if told else None


def overview(
    events: Sequence[Event], start: int, end: int, definition: str, granularity: str, zone: str
) -> dict[str, dict[Any, tuple[int, ...]]]:
    """By breakdown and value: visitors, sessions, bounces, page views, events, ms of sessions. Groups with nothing in
    them are left out."""
    seen = [event for event in events if start - TIMEOUT <= event.ms < end + DAY]
    total, time, tags = Group(), defaultdict(Group), {name: defaultdict(Group) for name in ("source", "device")}
    pages: dict[Any, set[Any]] = defaultdict(set)
    page_views: Counter[Any] = Counter()
    for event in seen:
        if start <= event.ms < end:
            view = event.event == "page_view"
            for group in (total, time[bucket(event.ms, granularity, zone)]):
                group.events += 1
                group.views += view
                group.users |= {event.user} - {None}
            if view and event.page is not None:
                page_views[event.page] += 1
                pages[event.page] |= {event.user} - {None}
    for session in sessions(seen, definition == "matomo", zone):
        if not start <= session[0].ms < end:
            continue
        bounce = bounced(session, definition)
        lasted = 0 if bounce and definition == "plausible" else session[-1].ms - session[0].ms
        for group in (total, time[bucket(session[0].ms, granularity, zone)]):
            group.sessions += 1
            group.bounces += bounce
            group.duration += lasted
        for name, groups in tags.items():
            group = groups[first_value(session, name)]
            group.users.add(session[0].user)
            group.sessions += 1
            group.bounces += bounce
            group.duration += lasted
            group.views += sum(event.event == "page_view" for event in session)
            group.events += len(session)
    found: dict[str, dict[Any, tuple[int, ...]]] = {"total": {None: total.row()}}
    found["time"] = {name: group.row() for name, group in time.items()}
    found["page"] = {page: (len(pages[page]), count) for page, count in page_views.items()}
    return found | {name: {value: group.row() for value, group in groups.items()} for name, groups in tags.items()}
