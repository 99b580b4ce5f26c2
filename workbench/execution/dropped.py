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


def when_dropped(thing: object, end: Callable[[], None]) -> None:
    """Calls `end`, in another thread, after `thing` is gone. Not when the process exits. `end` must not hold
    `thing`, and its errors are its own affair: it should have none."""
    global _thread
    with _starting:
        if _thread is None or not _thread.is_alive():  # at first, and in a forked process
            _thread = threading.Thread(target=_end_all, name="workbench-dropped", daemon=True)
            _thread.start()
    weakref.finalize(thing, _notes.put, end).atexit = False


def _end_all() -> None:
    while True:
        _notes.get()()
