"""What a window bolt's task holds as a text that gives it back, and how rows are taken out again whose tree failed.

Holds are not kept: nobody acks a row that was restored, for its spout goes on behind it.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from workbench.streams.encoding import decoded, encoded
from workbench.streams.panes import Counted, Entry, Manager, Panes, Sessions, TimedEveryRows, _Ordered, _Session
from workbench.streams.tuples import Tuple, tuple_class

__all__ = ["discarded", "from_body", "to_body"]

Chunk = Callable[[Any, type[Tuple]], Any]
_PLAIN = frozenset((str, int, float, bool, type(None)))


class _Writer:
    """Entries, each with the number of the stream that its row is of."""

    def __init__(self) -> None:
        self.streams: list[list[Any]] = []
        self._places: dict[type, int] = {}

    def entries(self, entries: Iterable[Entry]) -> list[Any]:
        return [self._entry(at, item) for at, item, _ in entries]

    def _entry(self, at: float, item: Any) -> list[Any]:
        chunk = not isinstance(item, Tuple)
        kind = item.make if chunk else item.__class__
        place = self._places.get(kind)
        if place is None:
            place = self._places[kind] = len(self.streams)
            self.streams.append([kind.source_component, kind.source_stream, kind.source_task, list(kind.fields)])
        if chunk:
            return [at, place, encoded(item.table)]
        if set(map(type, item)) <= _PLAIN and not any(
            one.__class__ is float and not math.isfinite(one) for one in item
        ):
            return [at, place, list(item)]
        return [at, place, [encoded(one) for one in item]]


class _Reader:
    def __init__(self, streams: Sequence[Any], chunk: Chunk) -> None:
        self._chunk = chunk
        self._classes = [tuple_class(one[0], one[1], tuple(one[3]), one[2]) for one in streams]

    def entries(self, body: Iterable[Any]) -> list[Entry]:
        return [self._entry(*one) for one in body]

    def _entry(self, at: float, place: int, values: Any) -> Entry:
        make = self._classes[place]
        if isinstance(values, dict):
            return at, self._chunk(decoded(values), make), None
        return at, make(one if one.__class__ in _PLAIN else decoded(one) for one in values), None


def to_body(manager: Manager) -> dict[str, Any]:
    """JSON. Raises NotPlain."""
    to = _Writer()
    if isinstance(manager, Panes):
        body: dict[str, Any] = {
            "panes": [[number, to.entries(entries)] for number, entries in manager.panes.items()],
            "passed": manager._passed,
            "next": manager._next,
            "seen": list(manager._seen.items()),
            "left": to.entries(manager._left),
            "times": encoded([manager._fired, manager._last]),
        }
    elif isinstance(manager, Counted):
        body = {"kept": to.entries(manager._kept), "since": manager._since, "left": to.entries(manager._left)}
    elif isinstance(manager, Sessions):
        order = {id(one): number for _, number, _, one in manager._ends}  # of those that end together
        body = {
            "open": [
                [encoded(key), [[one.first, one.last, order[id(one)], to.entries(one.entries)] for one in mine]]
                for key, mine in manager._open.items()
            ],
            "times": encoded([manager._passed]),
        }
    else:
        assert isinstance(manager, _Ordered)
        waiting = sorted(manager.waiting)
        body = {
            "waiting": to.entries(entry for _, _, entry in waiting),
            "kept": to.entries(manager.kept),
            "left": to.entries(manager.left),
            "fresh": manager.fresh,
            "count": manager._count if isinstance(manager, TimedEveryRows) else 0,
            "times": encoded([manager.passed, getattr(manager, "_end", -math.inf)]),
        }
    return {"streams": to.streams, **body}


def from_body(manager: Manager, body: Mapping[str, Any], chunk: Chunk) -> None:
    """Into a new manager of the same kind. Raises ValueError, KeyError, TypeError where it is damaged."""
    read = _Reader(body["streams"], chunk)
    times = decoded(body.get("times"))
    if isinstance(manager, Panes):
        manager.panes.update({int(number): read.entries(entries) for number, entries in body["panes"]})
        manager._passed, manager._next = body["passed"], body["next"]
        manager._seen.update({int(number): int(count) for number, count in body["seen"]})
        manager._left = read.entries(body["left"])
        manager._fired, manager._last = times
    elif isinstance(manager, Counted):
        manager._kept = deque(read.entries(body["kept"]))
        manager._since, manager._left = body["since"], read.entries(body["left"])
    elif isinstance(manager, Sessions):
        for key, sessions in body["open"]:
            _sessions(manager, decoded(key), [(*one[:3], read.entries(one[3])) for one in sessions])
        (manager._passed,) = times
    else:
        assert isinstance(manager, _Ordered)
        for entry in read.entries(body["waiting"]):
            manager.number += 1
            manager.waiting.append((entry[0], manager.number, entry))  # in order, so it is a heap
        manager.kept, manager.left = deque(read.entries(body["kept"])), read.entries(body["left"])
        manager.fresh = body["fresh"]
        manager.passed = times[0]
        if isinstance(manager, TimedEveryRows):
            manager._count = body["count"]
        else:
            manager._end = times[1]  # type: ignore[attr-defined]


def _sessions(manager: Sessions, key: tuple[Any, ...], found: list[tuple[float, float, int, list[Entry]]]) -> None:
    for first, last, number, entries in found:
        one = _Session(first, last, entries)
        manager._open.setdefault(key, []).append(one)
        heapq.heappush(manager._ends, (last + manager.gap, number, key, one))
        manager._number = max(manager._number, number)
        manager.rows += len(entries)


def discarded(manager: Manager, hold: Any) -> int:
    """Takes the entries out that have this hold, as if they had not come; how many they were."""
    if isinstance(manager, Panes):
        return _out_of_panes(manager, hold)
    if isinstance(manager, Counted):
        kept = deque(entry for entry in manager._kept if entry[2] is not hold)
        gone = len(manager._kept) - len(kept)
        manager._kept, manager._since = kept, manager._since - gone
        return gone
    if isinstance(manager, Sessions):
        return _out_of_sessions(manager, hold)
    assert isinstance(manager, _Ordered)
    waiting = [one for one in manager.waiting if one[2][2] is not hold]
    kept = deque(entry for entry in manager.kept if entry[2] is not hold)
    taken = len(manager.kept) - len(kept)
    gone = len(manager.waiting) - len(waiting) + taken
    heapq.heapify(waiting)
    manager.waiting, manager.kept, manager.fresh = waiting, kept, manager.fresh - taken
    if isinstance(manager, TimedEveryRows):
        manager._count -= taken
    return gone


def _out_of_panes(manager: Panes, hold: Any) -> int:
    gone = 0
    for number, entries in list(manager.panes.items()):
        kept = [entry for entry in entries if entry[2] is not hold]
        if len(kept) == len(entries):
            continue
        gone += len(entries) - len(kept)
        entries[:] = kept
        if not kept:
            del manager.panes[number]
            manager._seen.pop(number, None)
    if not manager.panes:
        manager._next = None
    return gone


def _out_of_sessions(manager: Sessions, hold: Any) -> int:
    """A session stays as long as it had become: the row comes again."""
    gone = 0
    for key, mine in list(manager._open.items()):
        for one in mine:
            kept = [entry for entry in one.entries if entry[2] is not hold]
            gone += len(one.entries) - len(kept)
            one.entries, one.open = kept, bool(kept)
        mine[:] = [one for one in mine if one.open]
        if not mine:
            del manager._open[key]
    manager.rows -= gone
    return gone
