"""What a window bolt's task holds: managers of windows, one a kind, all driven by `add`, `advance` and `finish`.

An entry is `(milliseconds, item, hold)`; items and holds are handed back as they came. `advance(watermark)` gives the
windows that end by then, in order, and `evicted` collects the holds of rows that are in no later window. Plain code,
the standard library only.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from workbench.streams.windows import WindowSpec

__all__ = ["Fired", "Manager", "manager"]

Entry = tuple[float, Any, Any]


@dataclass
class Fired:
    """A window: its entries, those that no window had before, and those that left since the last one. `start` and
    `end` are milliseconds, `start` exclusive; of a window of rows they are None."""

    entries: list[Entry]
    new: list[Entry]
    expired: list[Entry]
    start: float | None = None
    end: float | None = None
    key: tuple[Any, ...] = ()


class Manager(Protocol):
    evicted: list[Any]

    @property
    def rows(self) -> int:
        """Entries that are held."""
        ...

    def add(self, at: float, item: Any, hold: Any, key: tuple[Any, ...] = ()) -> bool:
        """False: it is late, and was not taken."""
        ...

    def next_end(self) -> float:
        """The least watermark that `advance` would hand something out for."""
        ...

    def advance(self, watermark: float) -> Iterator[Fired]: ...
    def finish(self) -> Iterator[Fired]:
        """No more rows will come, ever: hands out what is left."""
        ...


def manager(spec: WindowSpec) -> Manager:
    if spec.kind == "session":
        return Sessions(spec.gap)
    if spec.counted:
        return Counted(int(spec.length), int(spec.every))
    if isinstance(spec.every, int):
        return TimedEveryRows(float(spec.length), spec.every)
    if isinstance(spec.length, int):
        return RowsEveryTime(spec.length, float(spec.every))
    return Panes(float(spec.length), float(spec.every))


class Panes:
    """By time, sliding by time: rows lie in panes as long as the slide, and a window is some of them."""

    def __init__(self, length: float, every: float) -> None:
        self.length, self.every = length, every
        self.panes: dict[int, list[Entry]] = {}
        self.evicted: list[Any] = []
        self._fired = -math.inf
        self._passed: int | None = None
        """The last pane that ends by `_fired`."""
        self._next: int | None = None
        """The window to be handed out next is the one that ends with this pane."""
        self._seen: dict[int, int] = {}
        """How many of a pane's entries a window has had."""
        self._left: list[Entry] = []
        self._last = -math.inf
        self._tumbling = length == every

    def add(self, at: float, item: Any, hold: Any, key: tuple[Any, ...] = ()) -> bool:
        every = self.every
        pane = math.ceil(at / every)
        if (pane * every if self._tumbling else self._last_end(at, pane)) <= self._fired:
            return False
        entries = self.panes.get(pane)
        if entries is None:
            entries = self.panes[pane] = []
        # The first window of it that is not out: windows may have been passed by, for nothing was in them.
        first = pane if self._passed is None or pane > self._passed else self._passed + 1
        if self._next is None or first < self._next:
            self._next = first
        entries.append((at, item, hold))
        return True

    @property
    def rows(self) -> int:
        return sum(map(len, self.panes.values()))

    def _last_end(self, at: float, pane: int) -> float:
        """Of the last window that a row belongs to; its own pane's when it is in none, because windows are apart."""
        last = math.ceil((at + self.length) / self.every) - 1
        return max(last, pane) * self.every

    def next_end(self) -> float:
        return math.inf if self._next is None else self._next * self.every

    def advance(self, watermark: float) -> Iterator[Fired]:
        while self._next is not None and self._next * self.every <= watermark:
            pane = self._next
            end = pane * self.every
            self._fired, self._passed = end, pane
            fired = self._window(end, pane)
            self._following(pane, bool(fired.entries))
            self._evict(end + self.every - self.length, pane)
            if fired.entries:
                yield fired
        if watermark > self._fired:
            if watermark == math.inf:
                self._fired = watermark
            elif (passed := math.floor(watermark / self.every)) * self.every > self._fired:
                self._fired, self._passed = passed * self.every, passed

    def finish(self) -> Iterator[Fired]:
        yield from self.advance(math.inf) if self.panes else ()
        self._evict(math.inf, None)

    def early(self, seen: dict[Any, int]) -> Iterator[Fired]:
        """Windows as they are, of which each pane is one, that have more rows than were `seen`."""
        for number, entries in sorted(self.panes.items()):
            before = min(seen.get(number, 0), len(entries))
            if len(entries) > before:
                seen[number] = len(entries)
                yield Fired(entries[:], entries[before:], [], (number - 1) * self.every, number * self.every)
        for number in seen.keys() - self.panes.keys():
            del seen[number]

    def _numbers(self, end: float, pane: int) -> list[int]:
        first = math.floor((end - self.length) / self.every) + 1
        if pane - first < len(self.panes):
            return [number for number in range(first, pane + 1) if number in self.panes]
        return sorted(number for number in self.panes if first <= number <= pane)  # of millions most have no rows

    def _window(self, end: float, pane: int) -> Fired:
        after, numbers = end - self.length, self._numbers(end, pane)
        parts = [self._part(self.panes[number], number, after) for number in numbers]
        entries = parts[0] if len(parts) == 1 else [entry for part in parts for entry in part]
        fresh = [(number, self.panes[number][self._seen.get(number, 0) :]) for number in numbers]
        new = entries if not self._seen else [one for number, some in fresh for one in self._part(some, number, after)]
        # As on Storm: what left while windows were empty is told to nobody.
        left = self._left if end == self._last + self.every else []
        self._left, self._last = [], end
        self._seen.update((number, len(self.panes[number])) for number in numbers)
        return Fired(entries, new, left, after, end)

    def _part(self, entries: list[Entry], number: int, after: float) -> list[Entry]:
        if (number - 1) * self.every >= after:
            return entries
        return [entry for entry in entries if entry[0] > after]

    def _following(self, pane: int, some: bool) -> None:
        """The next window: the one after, as long as windows have rows; else that of the next pane that has some."""
        later = min((number for number in self.panes if number > pane), default=None)
        held = max(self.panes, default=None)
        if some and held is not None and (pane + 1) * self.every - self.length < held * self.every:
            self._next = pane + 1
        else:
            self._next = later

    def _evict(self, upto: float, pane: int | None) -> None:
        """Panes that end by `upto` are in no later window."""
        for number in [
            number for number in self.panes if number * self.every <= upto and (pane is None or number <= pane)
        ]:
            entries = self.panes.pop(number)
            self._seen.pop(number, None)
            self._left += entries
            self.evicted += [hold for _, _, hold in entries]


class Counted:
    """The last so many rows, every so many."""

    def __init__(self, length: int, every: int) -> None:
        self.length, self.every = length, every
        self.evicted: list[Any] = []
        self._kept: deque[Entry] = deque()
        self._since = 0
        self._left: list[Entry] = []

    @property
    def rows(self) -> int:
        return len(self._kept)

    def add(self, at: float, item: Any, hold: Any, key: tuple[Any, ...] = ()) -> bool:
        self._kept.append((at, item, hold))
        self._since += 1
        return True

    def next_end(self) -> float:
        return -math.inf if self._since >= self.every else math.inf

    def advance(self, watermark: float) -> Iterator[Fired]:
        if self._since >= self.every:
            yield self._fire()

    def finish(self) -> Iterator[Fired]:
        if self._since:
            yield self._fire()
        self.evicted += [hold for _, _, hold in self._kept]
        self._kept.clear()

    def _fire(self) -> Fired:
        since, self._since = self._since, 0
        self._trim(self.length)
        left, self._left = self._left, []
        entries = list(self._kept)
        self._trim(max(0, self.length - self.every))  # the others are in no later window
        return Fired(entries, entries[-since:], left)

    def _trim(self, most: int) -> None:
        while len(self._kept) > most:
            entry = self._kept.popleft()
            self._left.append(entry)
            self.evicted.append(entry[2])


@dataclass
class _Ordered:
    """Rows in the order of their time, once the watermark has passed them; before, they wait."""

    evicted: list[Any] = field(default_factory=list)
    waiting: list[tuple[float, int, Entry]] = field(default_factory=list)
    kept: deque[Entry] = field(default_factory=deque)
    left: list[Entry] = field(default_factory=list)
    passed: float = -math.inf
    number: int = 0
    fresh: int = 0

    @property
    def rows(self) -> int:
        return len(self.waiting) + len(self.kept)

    def add(self, at: float, item: Any, hold: Any, key: tuple[Any, ...] = ()) -> bool:
        if at < self.passed:
            return False
        self.number += 1
        heapq.heappush(self.waiting, (at, self.number, (at, item, hold)))
        return True

    def taken(self, upto: float) -> Iterator[Entry]:
        while self.waiting and self.waiting[0][0] <= upto:
            entry = heapq.heappop(self.waiting)[2]
            self.kept.append(entry)
            self.fresh += 1
            yield entry

    def leave(self) -> None:
        entry = self.kept.popleft()
        self.left.append(entry)
        self.evicted.append(entry[2])

    def fire(self, start: float | None, end: float) -> Fired:
        left, self.left = self.left, []
        fresh, self.fresh = self.fresh, 0
        entries = list(self.kept)
        return Fired(entries, entries[len(entries) - fresh :] if fresh else [], left, start, end)

    def drop(self) -> None:
        self.evicted += [hold for _, _, hold in self.kept]
        self.kept.clear()


class TimedEveryRows(_Ordered):
    """What came in the last so long, every so many rows."""

    def __init__(self, length: float, every: int) -> None:
        super().__init__()
        self.length, self.every, self._count = length, every, 0

    def next_end(self) -> float:
        return self.waiting[0][0] if self.waiting else math.inf

    def advance(self, watermark: float) -> Iterator[Fired]:
        for at, _, _ in self.taken(watermark):
            self._count += 1
            if self._count == self.every:
                yield self._fired(at)
        self.passed = max(self.passed, watermark)

    def _fired(self, at: float) -> Fired:
        self._count = 0
        while self.kept[0][0] <= at - self.length:
            self.fresh = min(self.fresh, len(self.kept) - 1)
            self.leave()
        return self.fire(at - self.length, at)

    def finish(self) -> Iterator[Fired]:
        yield from self.advance(math.inf)
        if self._count and self.kept:
            yield self._fired(self.kept[-1][0])
        self.drop()


class RowsEveryTime(_Ordered):
    """The last so many rows, every so long. A slide in which no row came hands nothing out: the window would be the
    one before, and a gap in the rows may have millions of them (Storm hands all of them out)."""

    def __init__(self, length: int, every: float) -> None:
        super().__init__()
        self.length, self.every, self._end = length, every, -math.inf

    def next_end(self) -> float:
        if not self.waiting:
            return math.inf
        return max(math.ceil(self.waiting[0][0] / self.every) * self.every, self._end)

    def advance(self, watermark: float) -> Iterator[Fired]:
        while self.waiting and (end := self.next_end()) <= watermark:
            for _ in self.taken(end):
                pass
            while len(self.kept) > self.length:
                self.fresh = min(self.fresh, len(self.kept) - 1)
                self.leave()
            self._end = end + self.every
            yield self.fire(None, end)
        self.passed = max(self.passed, self._end - self.every)

    def finish(self) -> Iterator[Fired]:
        if self.waiting:
            yield from self.advance(math.inf)
        self.drop()


@dataclass
class _Session:
    first: float
    last: float
    entries: list[Entry]
    open: bool = True
    told: int = 0
    """How many of them were handed out early."""


class Sessions:
    """Rows that follow each other within the gap, for each key apart. A row between two sessions makes them one."""

    def __init__(self, gap: float) -> None:
        self.gap = gap
        self.evicted: list[Any] = []
        self.rows = 0
        self._open: dict[tuple[Any, ...], list[_Session]] = {}
        """Of each key in the order of time: they lie apart by more than the gap."""
        self._ends: list[tuple[float, int, tuple[Any, ...], _Session]] = []
        """When to look at each; rows may have moved its end on since."""
        self._number = 0
        self._passed = -math.inf

    def add(self, at: float, item: Any, hold: Any, key: tuple[Any, ...] = ()) -> bool:
        mine = self._open.get(key)
        after = bisect_right(mine, at, key=_first) if mine else 0
        # Only the ones beside it may be within the gap.
        before = mine[after - 1] if mine and after and at <= mine[after - 1].last + self.gap else None
        following = mine[after] if mine and after < len(mine) and mine[after].first - self.gap <= at else None
        touched = before or following
        if touched is None:
            if at + self.gap < self._passed:
                return False
            self._begin(key, after, _Session(at, at, [(at, item, hold)]))
        else:
            if before is not None and following is not None:
                assert mine is not None
                touched = self._merged(mine, after, before, following)
            touched.first, touched.last = min(touched.first, at), max(touched.last, at)
            touched.entries.append((at, item, hold))
        self.rows += 1
        return True

    def _begin(self, key: tuple[Any, ...], place: int, one: _Session) -> None:
        self._open.setdefault(key, []).insert(place, one)
        self._number += 1
        heapq.heappush(self._ends, (one.last + self.gap, self._number, key, one))

    @staticmethod
    def _merged(mine: list[_Session], after: int, before: _Session, following: _Session) -> _Session:
        """The larger one has the rows of both."""
        kept, gone = before, following
        if len(before.entries) < len(following.entries):
            kept, gone = following, before
        kept.first, kept.last = before.first, following.last
        kept.entries += gone.entries
        gone.open = False
        mine[after - 1 : after + 1] = [kept]
        return kept

    def next_end(self) -> float:
        while self._ends:
            end, number, key, one = self._ends[0]
            if not one.open:
                heapq.heappop(self._ends)
            elif end != one.last + self.gap:
                heapq.heapreplace(self._ends, (one.last + self.gap, number, key, one))
            else:
                return math.nextafter(end, math.inf)
        return math.inf

    def advance(self, watermark: float) -> Iterator[Fired]:
        while self.next_end() <= watermark and self._ends:
            _, _, key, one = heapq.heappop(self._ends)
            one.open = False
            mine = self._open[key]
            del mine[bisect_left(mine, one.first, key=_first)]
            if not mine:
                del self._open[key]
            one.entries.sort(key=lambda entry: entry[0])
            self.rows -= len(one.entries)
            self.evicted += [hold for _, _, hold in one.entries]
            yield Fired(one.entries, one.entries, [], one.first, one.last, key)
        self._passed = max(self._passed, watermark)

    def finish(self) -> Iterator[Fired]:
        yield from self.advance(math.inf)

    def early(self, seen: dict[Any, int]) -> Iterator[Fired]:
        """Open sessions as they are, that have more rows than when they were handed out last."""
        for key, one in [(key, one) for key, mine in self._open.items() for one in mine]:
            before = min(one.told, len(one.entries))
            if len(one.entries) > before:
                one.told = len(one.entries)
                entries = sorted(one.entries, key=lambda entry: entry[0])
                yield Fired(entries, one.entries[before:], [], one.first, one.last, key)


def _first(one: _Session) -> float:
    return one.first
