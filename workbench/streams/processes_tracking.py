"""What is on its way when a topology's tasks are in several processes: each worker has the ledger of the roots that its
own spouts emit, and tells the others' ledgers what it acks, fails and hands on of theirs.

A root's number begins with that of the worker's start (`incarnation`), so it says whose it is. What is told of a root
between two tuples is one message: values are XORed, and it does not matter in which order they come. Only what says
that somebody else has got some of a root must be there before that one can ack it, so it is sent before the row is.

Plain code, the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from workbench.streams.counting import Out
from workbench.streams.processes_flights import Flight, Flights
from workbench.streams.tracking import LOST, TIMED_OUT, Anchor, Entry, Hold, Source, Tracking, Why

__all__ = ["SHIFT", "Foreign", "PartTracking"]

SHIFT = 40
"""Bits of a root's number that count; those above are the incarnation."""


class Foreign:
    """A row or batch that came from another process, while it is worked on."""

    __slots__ = ("edges", "emitted")
    done = False

    def __init__(self, edges: dict[int, int]) -> None:
        self.edges, self.emitted = edges, 0


class PartTracking(Tracking):
    """The ledger of one worker. `messages`: by root of another worker, the value, how many more have some of it, and
    the workers that got some (a bit each); `failures` and `resets` as they are."""

    def __init__(self, random: Random, clock: Callable[[], float], incarnation: int) -> None:
        super().__init__(random, clock)
        self.incarnation = incarnation
        self._root = incarnation << SHIFT
        self.messages: dict[int, list[int]] = {}
        self.failures: list[tuple[int, Why]] = []
        self.failed = 0
        """How many there ever were."""
        self.resets: list[int] = []
        self.landed: list[tuple[int, int]] = []
        """Others' flights, by their first root, and how many rows of them have been worked on here."""
        self.flights = Flights(clock)
        self.ground: Callable[[Flight, int, int], None] = lambda flight, root, edge: None
        """Takes the newest row out of a flight that has not left, for it has a root of its own now."""
        self.filled: Callable[[Flight], None] = lambda flight: None
        """A row of that flight has its message id."""
        self._crossed: dict[int, int] = {}
        """Own roots of which other workers have had some, and which."""

    def own(self, root: int) -> bool:
        return root >> SHIFT == self.incarnation

    # --- edges

    def crossing(self, worker: int) -> dict[int, int] | None:
        """The edges of what goes to another worker; None when that is not tracked."""
        if not self.anchors:
            return None
        self._grounded()
        made = super().edges(True)
        bit = 1 << worker
        if self.anchors[0].__class__ is Anchor:  # its spout emits it just now, so it is nowhere pending yet
            (root,) = made
            self._crossed[root] = self._crossed.get(root, 0) | bit
            self._elsewhere[root] = self._elsewhere.get(root, 0) + 1
            return made
        for root in made:
            self._more(root, 1, bit)
        return made or None

    def edges(self, in_window: bool = False) -> dict[int, int]:
        self._grounded()
        made = super().edges(True)
        if not in_window:
            for root in made:
                self._more(root, 1, 0)
        return made

    def held(self) -> Hold | None:
        self._grounded()
        return super().held()

    # --- flights

    def _grounded(self) -> None:
        """More happens to what holds just now than that a row of it goes to another worker."""
        for anchor in self.anchors:
            if anchor.__class__ is Anchor and anchor.flight is not None:
                self._ground(anchor)

    def ground_all(self) -> None:
        """Before flights leave: those rows whose spouts emit them just now do so as roots of their own."""
        for source in self.sources:
            if source.anchor.flight is not None:
                self._ground(source.anchor)

    def _ground(self, anchor: Anchor) -> None:
        flight, anchor.flight = anchor.flight, None
        roots = anchor.edges = anchor.edges or self._new_root()
        (root,) = roots
        edge = self._bits(64)
        anchor.emitted ^= edge
        self._crossed[root] = self._crossed.get(root, 0) | 1 << flight.worker
        self._elsewhere[root] = self._elsewhere.get(root, 0) + 1
        self.ground(flight, root, edge)

    def depart(self, flight: Flight) -> None:
        base, self._root = self._root + 1, self._root + flight.number
        self.flights.depart(flight, base, self._bits(64) or 1)

    def settled(self, source: Source, message_id: Any, out: Out, rows: int, started: float) -> None:
        anchor = source.anchor
        flight = anchor.flight
        if flight is not None:
            if not anchor.failed and rows == 1 and flight.takes(source, out):
                if started:
                    flight.started[len(flight.ids)] = started
                flight.ids.append(message_id)
                out.pending += 1
                source.waiting += 1
                anchor.flight, anchor.busy = None, False
                self.filled(flight)
                return
            self._ground(anchor)
        super().settled(source, message_id, out, rows, started)

    def single(self, root: int) -> int:
        """An own root is one of its own from now on, if it was one of a flight; its edge then, else 0."""
        found = self.flights.leave(root)
        if found is None:
            return 0
        flight, message_id, started = found
        source, out = flight.source, flight.out
        assert source is not None
        assert out is not None
        source.pending.put(root, Entry(message_id, out, 1, started, False), flight.age)
        self._elsewhere[root] = 1
        self._crossed[root] = 1 << flight.worker
        self._acker.init(root, flight.edge, source.place)
        return flight.edge

    def _more(self, root: int, more: int, workers: int) -> None:
        if self.own(root):
            if workers:
                self._crossed[root] = self._crossed.get(root, 0) | workers
            self._count_elsewhere(root, more)
        else:
            self._tell(root, 0, more, workers)

    def _tell(self, root: int, value: int, more: int, workers: int) -> None:
        message = self.messages.get(root)
        if message is None:
            self.messages[root] = [value, more, workers]
        else:
            message[0] ^= value
            message[1] += more
            message[2] |= workers

    def _count_elsewhere(self, root: int, more: int) -> None:
        """So many more have some of it and are no windows. With none left, more tuples must come before it is done."""
        number = self._elsewhere.get(root, 0) + more
        if number:
            self._elsewhere[root] = number
        else:
            self._elsewhere.pop(root, None)
        for source in self.sources:
            entry = source.pending.get(root)
            if entry is not None:
                entry.elsewhere = number > 0
                if number <= 0 and not entry.windowed:
                    entry.windowed = True
                    source.held += 1

    # --- verdicts

    def ack(self, held: Any) -> None:
        more = 0 if held.__class__ is Hold else -1
        for root, edge in held.edges.items():
            value = edge ^ held.emitted
            if self.own(root):
                self.acked(root, value, more, 0)
            else:
                self._tell(root, value, more, 0)

    def acked(self, root: int, value: int, more: int, workers: int) -> None:
        """Of an own root: here, or as another worker tells it."""
        if self.flights and root not in self._elsewhere:
            self.single(root)
        if workers:
            self._crossed[root] = self._crossed.get(root, 0) | workers
        verdict = self._acker.ack(root, value) if value else None
        if verdict is not None:
            self._judge(verdict)
        elif more:
            self._count_elsewhere(root, more)

    def fail(self, roots: Iterable[int], why: Why) -> None:
        for root in roots:
            if self.own(root):
                self.single(root)
                super().fail((root,), why)
            else:
                self.failures.append((root, why))
                self.failed += 1

    def reset_timeout(self, held: Any) -> None:
        for root in held.edges:
            if self.own(root):
                self.reset(root)
            else:
                self.resets.append(root)

    def reset(self, root: int) -> None:
        self.single(root)
        self._acker.reset_timeout(root)
        for source in self.sources:
            entry = source.pending.remove(root)
            if entry is not None:
                source.pending.put(root, entry)

    def lost(self, worker: int) -> None:
        """That worker has ended: what it has had some of fails at once."""
        self.flights.lost(worker, LOST)
        bit = 1 << worker
        for root in [root for root, workers in self._crossed.items() if workers & bit]:
            del self._crossed[root]
            self._elsewhere.pop(root, None)
            for source in self.sources:
                entry = source.pending.remove(root)
                if entry is not None:
                    self._acker.forget(root)
                    self._settle(source, entry, LOST)

    def rotate(self) -> None:
        super().rotate()
        self.flights.rotate(TIMED_OUT)
        known = [source.pending for source in self.sources]
        for left in (self._crossed, self._elsewhere):  # also of roots that were over when somebody told of them
            for root in [root for root in left if self.own(root) and not any(root in one for one in known)]:
                del left[root]

    def _judge(self, verdict: Any) -> None:
        if verdict is not None:
            self._crossed.pop(verdict.root, None)
        super()._judge(verdict)
