"""Ending scans that nobody holds any more.

The garbage collector may run in any thread at any point, also in one that holds the scan's lock; so what it calls only
puts a note into a queue made for that (`SimpleQueue.put` is reentrant), and a thread of its own does the ending.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["when_dropped"]

_notes: SimpleQueue[Callable[[], None]] = SimpleQueue()
_thread: threading.Thread | None = None
_starting = threading.Lock()


def when_dropped(thing: object, end: Callable[[], None], over: Callable[[], bool] | None = None) -> None:
    """Calls `end`, in another thread, after `thing` is gone, unless it is `over` then. Not when the process exits.
    Neither may hold `thing`; errors of `end` are its own affair: it should have none. `over` takes no lock."""
    global _thread
    with _starting:
        if _thread is None or not _thread.is_alive():  # at first, and in a forked process
            _thread = threading.Thread(target=_end_all, name="workbench-dropped", daemon=True)
            _thread.start()
    weakref.finalize(thing, _note, end, over).atexit = False


def _note(end: Callable[[], None], over: Callable[[], bool] | None) -> None:
    if over is None or not over():
        _notes.put(end)


def _end_all() -> None:
    while True:
        _notes.get()()
