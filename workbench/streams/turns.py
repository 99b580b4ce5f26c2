"""How soon a thread has its turn while another one computes. Python lets that one go on for 5 ms each time, so what
goes through three threads until it is seen would be late by more than a frame of the screen while a cell spins."""

from __future__ import annotations

import sys
import threading

__all__ = ["looked_at"]

QUICK = 0.001

_lock = threading.Lock()
_looking: set[int] = set()
_before: list[float] = []


def looked_at(by: object, on: bool) -> None:
    """Turns are of a millisecond as long as anybody looks at something of this process; nothing is changed where
    somebody has chosen shorter ones. Whoever says `True` says `False` at last."""
    with _lock:
        (_looking.add if on else _looking.discard)(id(by))
        if _looking and not _before and sys.getswitchinterval() > QUICK:
            _before.append(sys.getswitchinterval())
            sys.setswitchinterval(QUICK)
        elif not _looking and _before:
            before = _before.pop()
            if abs(sys.getswitchinterval() - QUICK) < 1e-6:
                sys.setswitchinterval(before)
