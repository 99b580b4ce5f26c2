"""Parts of a fold put together: sessions that reach over splits, visitors that are in several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from workbench.reports.columns import Ints, changes, distinct, unified
from workbench.reports.parts import NEVER, Part
from workbench.reports.periods import Window
from workbench.reports.zones import DAY, Zone

__all__ = ["Traffic", "stitched"]


def _empty() -> Ints:
    return np.zeros(0, np.int64)


@dataclass
class Traffic:
    """Of one period. Arrays of one length a group: `bucket_*` by bucket id; `user … key` by session that began in the
    period; `tags` are by dimension the sessions' codes (-1: none) and their names; `page_*` by page."""

    visitors: int = 0
    bucket_id: Ints = field(default_factory=_empty)
    bucket_events: Ints = field(default_factory=_empty)
    bucket_views: Ints = field(default_factory=_empty)
    bucket_visitors: Ints = field(default_factory=_empty)
    user: Ints = field(default_factory=_empty)
    first: Ints = field(default_factory=_empty)
    last: Ints = field(default_factory=_empty)
    events: Ints = field(default_factory=_empty)
    views: Ints = field(default_factory=_empty)
    active: Ints = field(default_factory=_empty)
    key: Ints = field(default_factory=_empty)
    tags: dict[str, tuple[Ints, pa.Array]] = field(default_factory=dict)
    pages: pa.Array | None = None
    page_views: Ints = field(default_factory=_empty)
    page_visitors: Ints = field(default_factory=_empty)
    timeless: int = 0
    userless: int = 0
    names: dict[str, int] = field(default_factory=dict)


def stitched(parts: Sequence[Part], window: Window, zone: Zone, timeout: int, midnight: bool) -> Traffic:
    made = Traffic()
    if not parts:
        return made
    place = _users(parts)
    inside = [(part, where) for part, where in zip(parts, place, strict=True) if part.inside]
    met = [changes(part.runs.user) for part, _ in inside]  # runs are in the order of users
    seen = [user if where is None else where[user] for user, (_, where) in zip(met, inside, strict=True)]
    everybody = np.concatenate([_empty(), *seen])
    everybody.sort()
    made.visitors = len(changes(everybody))
    _buckets(made, inside)
    _pages(made, inside)
    _sessions(made, parts, place, window, zone, timeout, midnight)
    return made


def _users(parts: Sequence[Part]) -> list[Ints | None]:
    """Of each part, the number of each of its users; None where they are numbers that hold for all."""
    if all(part.users is None for part in parts):
        return [None] * len(parts)
    own: list[pa.Array] = []
    for part in parts:
        if part.users is None:
            part.users, part.runs.user, part.pairs, part.pages = _coded(part)
        own.append(part.users)
    return list(unified(own)[1])


def _coded(part: Part) -> tuple[pa.Array, Ints, Ints, tuple[pa.Array, Ints, Ints] | None]:
    users, runs = np.unique(part.runs.user, return_inverse=True)
    width = part.width
    pairs = np.searchsorted(users, part.pairs // width) * width + part.pairs % width
    pages = part.pages
    if pages is not None:
        count = max(1, len(pages[0]))
        pages = pages[0], pages[1], np.searchsorted(users, pages[2] // count) * count + pages[2] % count
    return pa.array(users), runs, pairs, pages


Placed = Sequence[tuple[Part, Ints | None]]


def _buckets(made: Traffic, parts: Placed) -> None:
    """Visitors of a bucket that only one part has are counted there; those of a shared one are united."""
    ids = np.concatenate([_empty(), *(part.ids[part.events > 0] for part, _ in parts)])
    made.bucket_id, times = np.unique(ids, return_counts=True)
    shared = made.bucket_id[times > 1]
    made.bucket_events, made.bucket_views, made.bucket_visitors = (
        np.zeros(len(made.bucket_id), np.int64) for _ in "abc"
    )
    common: list[Ints] = []
    for part, where in parts:
        width, count = part.width, len(part.ids)
        if not count:
            continue
        there = np.flatnonzero(part.events > 0)
        at = np.searchsorted(made.bucket_id, part.ids[there])
        made.bucket_events[at] += part.events[there]
        made.bucket_views[at] += part.views[there]
        bucket = part.pairs % width
        alone = ~np.isin(part.ids, shared)
        visitors = np.bincount(bucket, minlength=count)[:count]
        made.bucket_visitors[at] += np.where(alone, visitors, 0)[there]
        rest = np.flatnonzero(~alone[bucket])
        if len(rest):
            user = part.pairs[rest] // width
            user = user if where is None else where[user]
            common.append(np.stack([np.searchsorted(shared, part.ids[bucket[rest]]), user]))
    if common:
        both = np.concatenate(common, axis=1)
        made.bucket_visitors[np.searchsorted(made.bucket_id, shared)] += distinct(both[0], both[1], len(shared))


def _pages(made: Traffic, parts: Placed) -> None:
    found = [(part.pages, where) for part, where in parts if part.pages is not None]
    if not found:
        return
    made.pages, place = unified([pages[0] for pages, _ in found])
    made.page_views = np.zeros(len(made.pages), np.int64)
    groups, users = [_empty()], [_empty()]
    for (pages, where), new in zip(found, place, strict=True):
        if len(new):
            made.page_views[new] += pages[1]  # a part names each page once
            user = pages[2] // len(new)
            groups.append(new[pages[2] % len(new)])
            users.append(user if where is None else where[user])
    made.page_visitors = distinct(np.concatenate(groups), np.concatenate(users), len(made.pages))


def _sessions(
    made: Traffic,
    parts: Sequence[Part],
    place: Sequence[Ints | None],
    window: Window,
    zone: Zone,
    timeout: int,
    midnight: bool,
) -> None:
    """Runs are one session where they overlap or no more than the time-out is between them. Those that are far from
    the times of all other parts are whole already."""
    there = [number for number, part in enumerate(parts) if len(part.runs.user)]
    parts, place = [parts[number] for number in there], [place[number] for number in there]
    if not parts:
        return
    names = list(dict.fromkeys(name for part in parts for name in part.runs.marks))
    values, ranks = {}, {}
    for name in names:
        have = [part.runs.marks[name][1] for part in parts]
        values[name], ranks[name] = unified(have, ordered=True)
    origin = min(part.low for part in parts)
    near: list[list[Ints]] = []
    whole: list[list[Ints]] = []
    for number, (part, where, touching) in enumerate(zip(parts, place, _touching(parts, timeout), strict=True)):
        runs = part.runs
        columns = [runs.user if where is None else where[runs.user]]
        columns += [runs.first, runs.last, runs.events, runs.views, runs.active, runs.key]
        for name in names:
            when, new = runs.marks[name][0], ranks[name][number]
            told = when != NEVER
            at, code = np.divmod(np.where(told, when, 0), 1 << 24)
            columns += [np.where(told, at + (part.low - origin), NEVER), new[code] if len(new) else code]
        is_near = np.zeros(len(runs.user), np.bool_)
        for low, high in touching:
            is_near |= (runs.first <= high) & (runs.last >= low)
        if is_near.any():
            near.append([column[is_near] for column in columns])
            columns = [column[~is_near] for column in columns]
        whole.append(columns)
    if near:
        whole.append(_joined([np.concatenate(column) for column in zip(*near, strict=True)], zone, timeout, midnight))
    session = [np.concatenate(column) for column in zip(*whole, strict=True)]
    mine = (session[1] >= window.start) & (session[1] < window.end)
    if not mine.all():
        session = [column[mine] for column in session]
    made.user, made.first, made.last, made.events, made.views, made.active, made.key = session[:7]
    for number, name in enumerate(names):
        when, code = session[7 + 2 * number], session[8 + 2 * number]
        made.tags[name] = np.where(when == NEVER, -1, code), values[name]


def _touching(parts: Sequence[Part], timeout: int) -> list[list[tuple[int, int]]]:
    """Of each part, the times near which another part has events."""
    spans = [(part.low - timeout, part.high + timeout) for part in parts]
    found = []
    for number, part in enumerate(parts):
        near = sorted(
            span for other, span in enumerate(spans) if other != number and span[0] <= part.high and span[1] >= part.low
        )
        united: list[tuple[int, int]] = []
        for low, high in near:
            if united and low <= united[-1][1]:
                united[-1] = united[-1][0], max(high, united[-1][1])
            else:
                united.append((low, high))
        found.append(united)
    return found


def _joined(runs: list[Ints], zone: Zone, timeout: int, midnight: bool) -> list[Ints]:
    """Runs of any order and overlap as sessions, column by column."""
    order = _by_user_and_time(runs[0], runs[1])
    runs = [column[order] for column in runs]
    user, first, last = runs[:3]
    # The last event so far of the same user: times raised by user, so that one running maximum serves all.
    rank = np.cumsum(np.concatenate([[0], user[1:] != user[:-1]]))
    width = int(last.max()) - int(first.min()) + timeout + 1
    if int(rank[-1]) * width >= 2**62:  # thousands of years of users: in two halves
        middle = int(np.searchsorted(rank, (int(rank[-1]) + 1) // 2))
        halves = ([column[:middle] for column in runs], [column[middle:] for column in runs])
        joined = [_joined(half, zone, timeout, midnight) for half in halves]
        return [np.concatenate(column) for column in zip(*joined, strict=True)]
    lift = rank * width
    reached = np.maximum.accumulate(last + lift)
    new = np.ones(len(user), np.bool_)
    new[1:] = (first + lift)[1:] - reached[:-1] > timeout
    if midnight:
        day = (first + zone.offsets(first)) // DAY
        new[1:] |= day[1:] != day[:-1]
    starts = np.flatnonzero(new)
    made = [user[starts], first[starts], np.maximum.reduceat(last, starts)]
    made += [np.add.reduceat(column, starts) for column in runs[3:7]]
    for at in range(7, len(runs), 2):
        when = np.minimum.reduceat(runs[at], starts)
        group = np.cumsum(new) - 1
        code = np.where(runs[at] == when[group], runs[at + 1], NEVER)
        made += [when, np.minimum.reduceat(code, starts)]
    return made


def _by_user_and_time(user: Ints, first: Ints) -> Ints:
    low = int(first.min())
    width = int(first.max()) - low + 1
    if user.min() >= 0 and (int(user.max()) + 1) * width < 2**63:
        return np.argsort(user * width + (first - low))
    return np.lexsort((first, user))
