"""The garbage collector while topologies run: rows that wait in windows are many objects that live for a while, and
looking through them every 700 new ones takes a fifth of the time."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["patient_collector"]

EVERY = 20_000
"""New objects until the youngest are looked through; Python's own number is 700."""

_lock = threading.Lock()
_before: list[tuple[int, int, int]] = []
_running = 0


@contextmanager
def patient_collector() -> Iterator[None]:
    """As long as any topology runs in this process; nothing is changed where somebody has chosen more, or none."""
    global _running
    with _lock:
        _running += 1
        now = gc.get_threshold()
        if _running == 1 and 0 < now[0] < EVERY:
            _before.append(now)
            gc.set_threshold(EVERY, *now[1:])
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running and _before:
                before = _before.pop()
                if gc.get_threshold() == (EVERY, *before[1:]):
                    gc.set_threshold(*before)
