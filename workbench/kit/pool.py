"""A small pool of connections: used again while they are fresh, looked at when they rested, dropped when in doubt."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from workbench.contract.errors import ConnectionLost

__all__ = ["Pool"]

T = TypeVar("T")


class Pool(Generic[T]):
    """Keeps at most `idle` items at rest; how many are out is the caller's affair. Thread-safe.

    `take` gives the item that rested the shortest. One that rested less than `fresh` seconds is given as it is (no
    round trip), a longer one when `healthy` says yes; one that rested more than `oldest` seconds is dropped. `make`,
    `healthy` and `drop` are called outside the lock, since each may wait for the network. A process that was forked
    off starts with nothing: two processes on one socket would mix their replies.
    """

    def __init__(
        self,
        make: Callable[[], T],
        *,
        healthy: Callable[[T], bool],
        drop: Callable[[T], None],
        idle: int = 4,
        fresh: float = 10.0,
        oldest: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._healthy, self._drop, self._clock = make, healthy, drop, clock
        self._idle, self._fresh, self._oldest = idle, fresh, oldest
        self._lock = threading.Lock()
        self._resting: list[tuple[T, float]] = []
        self._closed = False
        self._process = os.getpid()

    def take(self) -> T:
        """An item for the caller alone, to be given back or discarded. Raises what `make` raises, and ConnectionLost
        when the pool was closed."""
        while True:
            with self._lock:
                if self._closed:
                    raise ConnectionLost("The connection was closed; open it again.")
                self._forget_parents()
                found = self._resting.pop() if self._resting else None
            if found is None:
                return self._make()
            item, since = found
            rested = self._clock() - since
            if rested <= self._fresh or (rested <= self._oldest and self._healthy(item)):
                return item
            self._drop(item)

    def give(self, item: T) -> None:
        """Back to rest; the item must be ready for anybody."""
        surplus: list[T] = []
        with self._lock:
            self._forget_parents()
            if self._closed or self._idle < 1:
                surplus.append(item)
            else:
                self._resting.append((item, self._clock()))
                if len(self._resting) > self._idle:
                    surplus.append(self._resting.pop(0)[0])
        for extra in surplus:
            self._drop(extra)

    def discard(self, item: T) -> None:
        """Not to be used again."""
        self._drop(item)

    def resting(self) -> int:
        with self._lock:
            return len(self._resting)

    def close(self) -> None:
        """Drops what rests; what is out is dropped when it comes back. Idempotent."""
        with self._lock:
            self._forget_parents()
            self._closed = True
            resting, self._resting = self._resting, []
        for item, _ in resting:
            self._drop(item)

    def _forget_parents(self) -> None:
        if self._process != os.getpid():
            # Not dropped: a farewell on the shared socket would end the parent's session.
            self._resting, self._process = [], os.getpid()
