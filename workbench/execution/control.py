"""What a scan's readers work under, and what a scan asks of its run."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Protocol

__all__ = ["ReadControl", "RunLike"]

_LONGEST = 200
"""Letters of what a source says of its work."""
_numbers = itertools.count(1)
"""Of marks: unique within the process, and runs are unique beyond, so that a mark names one piece of work."""


class RunLike(Protocol):
    """The part of `workbench.runs.Run` that a scan uses."""

    @property
    def id(self) -> str: ...

    def mark(self, n: int) -> str: ...

    def native_started(self, connection: str, native_id: str) -> None: ...

    def native_ended(self, connection: str, native_id: str) -> None: ...

    def progress(self, rows: int, bytes: int, fraction: float | None = None) -> None: ...  # noqa: A002


class ReadControl:
    """The `Control` of one read of one split; implements `workbench.contract.Control`.

    `running` writes to the register before it returns, so that the watchdog knows of the work before the source
    does. It does not raise when the scan has been stopped meanwhile: the reader asks `cancelled` and ends its work.
    """

    def __init__(self, run: RunLike, connection: str, guard: float | None, stopped: Callable[[], bool]) -> None:
        self._run, self._connection, self._guard, self._stopped = run, connection, guard, stopped
        self._mark = run.mark(next(_numbers))
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self.said: tuple[str, float | None] = ("", None)

    @property
    def mark(self) -> str:
        return self._mark

    @property
    def guard(self) -> float | None:
        return self._guard

    def cancelled(self) -> bool:
        return self._stopped()

    def running(self, native_id: str) -> None:
        with self._lock:
            self._running.add(native_id)
        self._run.native_started(self._connection, native_id)

    def ended(self, native_id: str) -> None:
        with self._lock:
            if native_id not in self._running:
                return
            self._running.remove(native_id)
        self._run.native_ended(self._connection, native_id)

    def working(self, said: str, fraction: float | None = None) -> None:
        self.said = (said[:_LONGEST], fraction if fraction is not None and 0 <= fraction <= 1 else None)

    def natives(self) -> tuple[str, ...]:
        """What runs at the source now, as far as the reader has said."""
        with self._lock:
            return tuple(self._running)
