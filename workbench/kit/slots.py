"""How many connections of one source are open at once in this process: those that come later wait for their turn.

A connector whose manifest has the parameter `connections` is bounded by it (`bound`, by who opens it): whoever reads
with it takes a slot first (`slots_of`), and so does who asks a small question (`asked`: of the catalog, for a plan). A
quarter of the slots is for questions alone, so that these wait for each other only. Others are not bounded.

**No deadlock.** Rows of several tables are taken by one who begins with one of them; the others' readers hold their
slots and wait for it. So whoever reads several asks for a slot for each before it reads any (`all_of`): those of one
source in one `Ticket`, which is granted whole or not at all, in the order of asking; several sources in one order,
everywhere the same. Then each table has a reader that waits for nothing but who takes its rows. What makes a scan
faster only (more readers of one table) is had by `more`, which never waits and leaves a quarter to others.

**No hang.** A reader whose rows nobody takes (`sleeps`) keeps its slot, for it keeps its connection. Where all slots
are held by such ones for `ASLEEP` seconds, who waits is let in beyond the bound: he may be the one they wait for.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from workbench.contract.errors import Cancelled, LimitExceeded, SourceFull

__all__ = ["PATIENCE", "WAITS", "Slots", "Ticket", "all_of", "asked", "bound", "slots_of"]

PATIENCE = 60.0
"""Seconds that a small question waits for others, or for a server that takes no more connections."""
WAITS = "waits for a connection"
"""What is said of it."""
ASLEEP = 1.0
TICK = 0.05
_LONGEST_DELAY = 2.0
_WAY_OUT = "The server answers no question in time: ask again, or connect with a larger `connections`."

T = TypeVar("T")
_numbers = itertools.count()


class Slots:
    """`most` at once. Thread-safe."""

    def __init__(self, most: int) -> None:
        self.most, self.number = most, next(_numbers)
        self._changed = threading.Condition()
        self._busy = 0
        self._queue: deque[Ticket] = deque()
        self._asleep: dict[int, float] = {}

    @property
    def busy(self) -> int:
        """May be more than `most`, by what was `forced` or let in beside those that sleep."""
        return self._busy

    @property
    def wanted(self) -> bool:
        """Whether somebody waits: who can do without its slot gives it back. Takes no lock."""
        return bool(self._queue)

    def ticket(self, count: int = 1) -> Ticket:
        """Takes its place in the queue. `count` is at most `most`."""
        made = Ticket(self, min(count, self.most))
        with self._changed:
            self._queue.append(made)
            self._grant()
        return made

    def forced(self) -> Ticket:
        """One that does not wait, for work that others who hold slots wait for."""
        made = Ticket(self, 1)
        made.granted = True
        with self._changed:
            self._busy += 1
        return made

    def more(self) -> Ticket | None:
        """One more, where one is free and nobody waits for it."""
        with self._changed:
            if self._queue or self._busy >= self.most - self.most // 4:
                return None
            self._busy += 1
        made = Ticket(self, 1)
        made.granted = True
        return made

    def sleeps(self, who: int) -> None:
        """One who holds a slot waits for somebody to take its rows, until it `wakes`."""
        with self._changed:
            self._asleep[who] = time.monotonic()

    def wakes(self, who: int) -> None:
        with self._changed:
            self._asleep.pop(who, None)

    # --- for tickets

    def _stuck(self) -> bool:
        """Whether all who hold slots sleep. Under the lock."""
        if not self._busy or len(self._asleep) < self._busy:
            return False
        since = time.monotonic() - ASLEEP
        return sum(one <= since for one in self._asleep.values()) >= self._busy

    def _grant(self) -> None:
        some = False
        while self._queue and (self._busy + self._queue[0].count <= self.most or self._stuck()):
            first = self._queue.popleft()
            self._busy += first.count
            first.granted = some = True
        if some:
            self._changed.notify_all()

    def _wait(self, ticket: Ticket, stopped: Callable[[], bool], seconds: float | None) -> bool:
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while not ticket.granted:
                if stopped() or (deadline is not None and time.monotonic() >= deadline):
                    return False
                self._changed.wait(TICK)
                self._grant()
        return True

    def _left(self, ticket: Ticket) -> None:
        with self._changed:
            if ticket.count == 0:
                return
            ticket.count -= 1
            if ticket.granted:
                self._busy -= 1
            elif ticket.count == 0:
                with contextlib.suppress(ValueError):
                    self._queue.remove(ticket)
            self._grant()


class Ticket:
    """Some slots, waited for together, given back one by one."""

    def __init__(self, slots: Slots, count: int) -> None:
        self.slots, self.count, self.granted = slots, count, False

    def wait(self, stopped: Callable[[], bool], seconds: float | None = None) -> bool:
        """Until it is granted; False where it was stopped before, or `seconds` are over."""
        return self.granted or self.slots._wait(self, stopped, seconds)

    def leave(self) -> None:
        """Gives one of its slots back, or does without it; each but once."""
        self.slots._left(self)


def all_of(wanted: Sequence[Slots], stopped: Callable[[], bool]) -> list[Ticket] | None:
    """A ticket for each of these, in their order, all granted; those of one source are the same. None where it was
    stopped before."""
    tickets: dict[int, Ticket] = {}
    for slots in sorted({one.number: one for one in wanted}.values(), key=lambda one: one.number):
        ticket = tickets[slots.number] = slots.ticket(sum(one is slots for one in wanted))
        if not ticket.wait(stopped):
            for held in tickets.values():
                while held.count:
                    held.leave()
            return None
    return [tickets[one.number] for one in wanted]


_lock = threading.Lock()
_bounds: weakref.WeakKeyDictionary[Any, tuple[Slots, Slots]] = weakref.WeakKeyDictionary()
"""For reads, and for questions."""


def bound(connector: object, most: object) -> None:
    """From now on `most` connections of this connector, two at least, are open at once; anything but a number bounds
    nothing."""
    if isinstance(most, int) and not isinstance(most, bool) and most >= 1:
        questions = max(1, most // 4)
        with _lock, contextlib.suppress(TypeError):  # one that cannot be referred to weakly
            _bounds[connector] = Slots(max(1, most - questions)), Slots(questions)


def slots_of(connector: object) -> Slots | None:
    """Those for reads; None where it is not bounded."""
    found = _bound_of(connector)
    return found[0] if found is not None else None


def _bound_of(connector: object) -> tuple[Slots, Slots] | None:
    try:
        return _bounds.get(connector)
    except TypeError:
        return None


def asked(
    connector: object,
    work: Callable[[], T],
    stopped: Callable[[], bool] = lambda: False,
    on_wait: Callable[[bool], object] = lambda waits: None,
    seconds: float | None = PATIENCE,
) -> T:
    """What a small question to the source gives, asked within its bound, and again for a minute where the server takes
    no more connections. `on_wait` is told when it begins to wait, and when it does so no more. Raises Cancelled,
    LimitExceeded where no slot came free within `seconds`, and what `work` raises. Holds no slot but its own."""
    found = _bound_of(connector)
    if found is None:
        return work()
    slots = found[1]
    ticket, told = slots.ticket(), False

    def waits(now: bool) -> None:
        nonlocal told
        if now != told:
            told = now
            on_wait(now)

    try:
        if not ticket.granted:
            waits(True)
            if not ticket.wait(stopped, seconds):
                if stopped():
                    raise Cancelled
                raise LimitExceeded("connections", f"{slots.most}", _WAY_OUT)
            waits(False)
        return _patient(work, stopped, waits)
    finally:
        waits(False)
        ticket.leave()


def _patient(work: Callable[[], T], stopped: Callable[[], bool], on_wait: Callable[[bool], object]) -> T:
    deadline, delay = time.monotonic() + PATIENCE, 0.1
    while True:
        try:
            return work()
        except SourceFull:
            if time.monotonic() + delay > deadline or stopped():
                raise
        on_wait(True)
        until = time.monotonic() + delay
        while time.monotonic() < until and not stopped():
            time.sleep(TICK)
        delay = min(2 * delay, _LONGEST_DELAY)


def _after_fork() -> None:
    """The parent's threads are not here, and hold no slots."""
    global _lock
    _lock = threading.Lock()
    for reads, questions in list(_bounds.values()):
        reads.__init__(reads.most)  # type: ignore[misc]
        questions.__init__(questions.most)  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
