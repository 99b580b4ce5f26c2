"""Time and chance under a test's control."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable

__all__ = ["SettableClock", "eventually", "seeded"]

_POLL = 0.01


class SettableClock:
    """A clock that stands still until `advance` or `set` moves it; who sleeps on it wakes when its time has come.

    Pass it where a clock is wanted (`clock()`) and its `wait` or `sleep` where waiting is wanted. Thread-safe.
    """

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._sleepers = 0

    def __call__(self) -> float:
        with self._changed:
            return self._now

    def advance(self, seconds: float) -> None:
        """Moves on by that much, which is not negative, and wakes those whose time has come."""
        if seconds < 0:
            raise ValueError("advance() does not go back: use set()")
        with self._changed:
            self._now += seconds
            self._changed.notify_all()

    def set(self, now: float) -> None:
        """Moves to a time, also back, as a wall clock may."""
        with self._changed:
            self._now = now
            self._changed.notify_all()

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        """Returns when that much time has passed here, or when the event is set: whether it was set."""
        with self._changed:
            until = self._now + seconds
            self._sleepers += 1
            self._changed.notify_all()
            try:
                while self._now < until and not (event is not None and event.is_set()):
                    # An event cannot notify this condition, so it is looked at in real time.
                    self._changed.wait(_POLL if event is not None else None)
            finally:
                self._sleepers -= 1
            return event is not None and event.is_set()

    def sleep(self, seconds: float) -> None:
        self.wait(seconds)

    def wait_for_sleepers(self, count: int = 1, seconds: float = 10) -> bool:
        """Waits in real time until that many threads sleep here: then `advance` reaches them all."""
        with self._changed:
            return self._changed.wait_for(lambda: self._sleepers >= count, seconds)


def seeded(default: int = 20_240_229) -> random.Random:
    """A random source whose seed is `WORKBENCH_SEED`, else the given one; the seed is its `seed_used`."""
    return _Seeded(int(os.environ.get("WORKBENCH_SEED", default)))


class _Seeded(random.Random):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.seed_used = seed

    def __repr__(self) -> str:
        return f"random numbers of WORKBENCH_SEED={self.seed_used}"


def eventually(check: Callable[[], object], seconds: float = 10.0, what: str = "", interval: float = 0.02) -> float:
    """Polls until `check()` is true, and returns how many seconds that took; AssertionError at the deadline."""
    started = time.monotonic()
    while True:
        value = check()
        passed = time.monotonic() - started
        if value:
            return passed
        if passed > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what or check}; last seen: {value!r}")
        time.sleep(interval)
