"""Streams of workers, kept for views where the run's own process is: the newest rows, as they were sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from workbench.streams.seeing import decoded, encoded
from workbench.streams.tapping import Tap, Taps
from workbench.streams.tuples import Row

__all__ = ["KEPT_BYTES", "Far", "Sender"]

KEPT_BYTES = 8 << 20
"""Bytes of a stream's rows, as JSON in which a value has 200 characters."""
ROWS = 1_000
"""Rows of a message."""
OPEN = 2
"""Messages that a worker may have sent and not been heard of; while there are so many, its oldest rows go."""
LOOKED, ELSE = 0.05, 1.0
"""Seconds from one message of a stream to the next: while somebody looks at it; else, for whoever may look later."""
SOON = 0.005
"""Seconds until a stream that somebody looks at, and that had nothing new, is looked after again."""
SHARE_LOOKED, SHARE_ELSE = 20, 50
"""The part of a worker's time that one of them takes at most: a 20th, and a 50th."""


class Far(Tap):
    """A stream whose rows come from workers: `put` by one thread, `drain` by another."""

    def __init__(self, name: str, fields: tuple[str, ...], keep: int, most: int = KEPT_BYTES) -> None:
        super().__init__(name, fields, keep, most)
        self._parts: deque[tuple[int, bytes]] = deque()
        self._skipped = 0

    def put(self, rows: int, skipped: int, values: bytes) -> None:
        """So many rows, as `encoded`, and how many were gone before these."""
        with self._lock:
            self._skipped += skipped
            if rows:
                self._parts.append((rows, values))
                self._rows += rows
                self._bytes += len(values)
            while len(self._parts) > 1 and (self._rows - self._parts[0][0] >= self.keep or self._bytes > self.most):
                gone, old = self._parts.popleft()
                self._rows -= gone
                self._bytes -= len(old)
                self._skipped += gone
            self.count += rows + skipped
        if self.wake is not None:
            self._ring()

    @property
    def size(self) -> int:
        return self._bytes

    def drain(self) -> tuple[list[Row], int]:
        with self._lock:
            parts, skipped = list(self._parts), self._skipped
            self._parts.clear()
            self._rows = self._bytes = self._skipped = 0
        rows = [row for _, values in parts for row in decoded(values)]
        over = max(0, len(rows) - self.keep)
        return rows[over:], skipped + over


class Sender:
    """A worker's side: what its taps have, to the run's process, a bit at a time. All of it is of the worker's thread.
    However much there is and however slow the other side, the topology goes on: what does not fit is let go, oldest
    first, and counted."""

    def __init__(self, taps: Taps, send: Callable[[str, int, int, bytes], None], clock: Callable[[], float]) -> None:
        self._taps, self._send, self._clock = list(taps.all.values()), send, clock
        self._due = dict.fromkeys((tap.name for tap in self._taps), 0.0)
        self._next = 0.0
        self._looked: frozenset[str] = frozenset()
        self._open = 0

    def look(self, names: list[str]) -> None:
        """Those that somebody looks at from now on."""
        for name in set(names) - self._looked:
            self._due[name] = self._next = 0.0
        self._looked = frozenset(names)

    def heard(self) -> None:
        """A message has come through."""
        self._open -= 1

    def step(self, now: float) -> None:
        """What is due; called all the time."""
        if now < self._next or self._open >= OPEN:
            return
        for tap in self._taps:
            if now >= self._due[tap.name] and self._open < OPEN:
                looked = tap.name in self._looked
                if not tap.waiting:
                    self._due[tap.name] = now + (SOON if looked else ELSE)
                    continue
                spent = self._some(tap)
                pace, share = (LOOKED, SHARE_LOOKED) if looked else (ELSE, SHARE_ELSE)
                self._due[tap.name] = now + max(0.0 if tap.waiting else pace, share * spent)
        self._next = min(self._due.values(), default=now + ELSE)

    def rest(self) -> None:
        """All that is left, at the end."""
        for tap in self._taps:
            while tap.waiting:
                self._some(tap)

    def _some(self, tap: Tap) -> float:
        """Sends some rows; the seconds that it took."""
        began = self._clock()
        rows, skipped = tap.take(ROWS)
        self._send(tap.name, len(rows), skipped, encoded(rows))
        self._open += 1
        return self._clock() - began
