"""Threads that are used again: starting one costs a small query more than all that it does with it."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable

__all__ = ["run"]

IDLE_SECONDS = 5.0
"""So long a thread waits for the next work."""

Work = Callable[[], object]
_lock = threading.Lock()
_idle: list[_Worker] = []


def run(work: Work) -> None:
    """Does the work in a daemon thread that has nothing else to do. What it raises goes to `threading.excepthook`."""
    with _lock:
        worker = _idle.pop() if _idle else None
    if worker is not None:
        worker.work.put(work)
        return
    worker = _Worker()
    worker.work.put(work)
    worker.start()


class _Worker(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="workbench-work", daemon=True)
        self.work: queue.SimpleQueue[Work] = queue.SimpleQueue()

    def run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except BaseException:  # noqa: BLE001  # told as of any thread; this one goes on
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self)))
            del work  # it is not held while there is nothing to do
            with _lock:
                _idle.append(self)

    def _next(self) -> Work | None:
        try:
            return self.work.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            with _lock:
                if self in _idle:
                    _idle.remove(self)
                    return None
            return self.work.get()  # it was given just now


def _after_fork() -> None:
    """The parent's threads are not there, and its lock may be held for ever."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
