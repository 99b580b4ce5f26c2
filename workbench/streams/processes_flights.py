"""Rows of a spout that go to one task of another worker, and nowhere else.

As long as nothing more has happened to them than that, they need no ledger: each is the only edge of its root, they go
together, and one answer is for all of them. Whatever else happens to one (its bolt emits to another worker, a window
holds it, it fails) makes it a root of its own, in the ledger, with the number and the edge that it has had all along.

Plain code, the standard library only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from workbench.streams.counting import Out
from workbench.streams.tracking import Source, Why

__all__ = ["Flight", "Flights", "Passenger"]

ROTATIONS = 2
"""After so many it has waited for one to two time-outs, as what else a spout waits for."""
GONE = object()


class Flight:
    """Rows that are sent together. `values` are those of all rows, one after the other; `ids` the message ids, and GONE
    for a row that is a root of its own. The roots are numbered from `base` on, and each has the same `edge`."""

    __slots__ = (
        "age", "base", "closed", "edge", "ids", "key", "left", "number", "out", "part", "source", "started",
        "values", "width", "worker",
    )  # fmt: skip

    def __init__(self, part: Any, worker: int, key: Any, width: int) -> None:
        self.part, self.worker, self.key, self.width = part, worker, key, width
        self.values: list[Any] = []
        self.number = 0
        """Of rows; the newest may have no id yet, while its spout emits it."""
        self.ids: list[Any] = []
        self.started: dict[int, float] = {}
        self.source: Source | None = None
        self.out: Out | None = None
        self.closed = False
        """Whether no more rows may be added."""
        self.base = self.edge = self.age = self.left = 0

    def takes(self, source: Source, out: Out) -> bool:
        """Whether a row is of the same spout's task and stream as the others."""
        if self.source is None:
            self.source, self.out = source, out
        return self.source is source and self.out is out

    def pop(self) -> tuple[Any, ...]:
        """The newest row, which has no id yet, is of it no more."""
        self.number -= 1
        place = len(self.values) - self.width
        row = tuple(self.values[place:])
        del self.values[place:]
        return row


class Flights:
    """Those of one worker that are on their way. Verdicts go to the spouts' tasks. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_base: dict[int, Flight] = {}
        self._bases: list[int] = []
        """In order, for bases only grow."""

    def __bool__(self) -> bool:
        return bool(self._bases)

    def depart(self, flight: Flight, base: int, edge: int) -> None:
        flight.base, flight.edge, flight.left = base, edge, flight.number
        self._by_base[base] = flight
        self._bases.append(base)

    def leave(self, root: int) -> tuple[Flight, Any, float] | None:
        """A row becomes a root of its own: its flight, its message id, and when it was emitted if that is noted. None
        where no flight has that root (any more)."""
        place = bisect_right(self._bases, root) - 1
        if place < 0:
            return None
        flight = self._by_base[self._bases[place]]
        index = root - flight.base
        if index >= flight.number or flight.ids[index] is GONE:
            return None
        message_id, flight.ids[index] = flight.ids[index], GONE
        flight.left -= 1
        if not flight.left:
            self._over(flight)
        return flight, message_id, flight.started.pop(index, 0.0)

    def landed(self, base: int, number: int) -> None:
        """So many rows are done, from the first one on; those that it still has."""
        flight = self._by_base.get(base)
        if flight is None:
            return
        self._settle(flight, None, number)
        if not flight.left:
            self._over(flight)

    def lost(self, worker: int, why: Why) -> None:
        """What has gone to that worker fails."""
        self._fail([flight for flight in self._by_base.values() if flight.worker == worker], why)

    def rotate(self, why: Why) -> None:
        """A time-out has passed: what has waited for more than one fails."""
        for flight in self._by_base.values():
            flight.age += 1
        self._fail([flight for flight in self._by_base.values() if flight.age >= ROTATIONS], why)

    def _fail(self, flights: list[Flight], why: Why) -> None:
        for flight in flights:
            self._settle(flight, why, flight.number)
            self._over(flight)

    def _over(self, flight: Flight) -> None:
        del self._by_base[flight.base]
        place = bisect_right(self._bases, flight.base) - 1
        del self._bases[place]

    def _settle(self, flight: Flight, why: Why | None, number: int) -> None:
        """The first rows of it, so many, have left it with that verdict."""
        source, out = flight.source, flight.out
        assert source is not None
        assert out is not None
        if flight.left == number == flight.number:
            ids = flight.ids
        else:
            ids = [one for one in flight.ids[:number] if one is not GONE]
            flight.ids[:number] = [GONE] * number
        flight.left -= len(ids)
        out.pending -= len(ids)
        source.waiting -= len(ids)
        if why is not None:
            out.failed += len(ids)
            source.fails += [(message_id, why) for message_id in ids]
            return
        out.settled += len(ids)
        source.acks += ids
        now = self._clock() if flight.started else 0.0
        for place in [place for place in flight.started if place < number]:
            out.complete.add(now - flight.started.pop(place))


class Passenger:
    """A row of a flight while another worker works on it, as an anchor. It has `edges` once somebody asks for them,
    and is a root of its own from then on."""

    __slots__ = ("_edges", "edge", "emitted", "root")
    done = False

    def __init__(self, root: int, edge: int) -> None:
        self.root, self.edge, self.emitted = root, edge, 0
        self._edges: dict[int, int] | None = None

    @property
    def edges(self) -> dict[int, int]:
        if self._edges is None:
            self._edges = {self.root: self.edge}
        return self._edges

    @property
    def alone(self) -> bool:
        """Whether it is a root of its own."""
        return self._edges is not None

    def next(self, root: int) -> None:
        """It stands for the next row from now on."""
        self.root, self.emitted, self._edges = root, 0, None
