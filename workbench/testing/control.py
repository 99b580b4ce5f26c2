"""What a reader works under, in tests: remembers what it was told, and says stop when asked to."""

from __future__ import annotations

import itertools
import threading

__all__ = ["RecordingControl"]

_numbers = itertools.count(1)


class RecordingControl:
    """A `Control` that keeps what happened. `events` are ("running" | "ended", native id) in order."""

    def __init__(self, mark: str | None = None, guard: float | None = None) -> None:
        self._mark = mark or f"wb-conformance-{next(_numbers)}"
        self._guard = guard
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._events: list[tuple[str, str]] = []
        self.said: list[tuple[str, float | None]] = []
        self.changed = threading.Condition(self._lock)

    @property
    def mark(self) -> str:
        return self._mark

    @property
    def guard(self) -> float | None:
        return self._guard

    def cancelled(self) -> bool:
        return self._stop.is_set()

    def running(self, native_id: str) -> None:
        self._note("running", native_id)

    def ended(self, native_id: str) -> None:
        self._note("ended", native_id)

    def working(self, said: str, fraction: float | None = None) -> None:
        with self._lock:
            self.said.append((said, fraction))

    def cancel(self) -> None:
        """From now on `cancelled()` is true."""
        self._stop.set()

    @property
    def events(self) -> list[tuple[str, str]]:
        with self._lock:
            return list(self._events)

    @property
    def open(self) -> list[str]:
        """Native ids that were announced and have not ended."""
        waiting: list[str] = []
        for what, native_id in self.events:
            if what == "running":
                waiting.append(native_id)
            elif native_id in waiting:
                waiting.remove(native_id)
        return waiting

    def wait_running(self, seconds: float = 10) -> str | None:
        """The first native id that was announced, waiting for it; None when none came in time."""
        with self.changed:
            self.changed.wait_for(lambda: any(what == "running" for what, _ in self._events), seconds)
            return next((native_id for what, native_id in self._events if what == "running"), None)

    def _note(self, what: str, native_id: str) -> None:
        with self.changed:
            self._events.append((what, native_id))
            self.changed.notify_all()
