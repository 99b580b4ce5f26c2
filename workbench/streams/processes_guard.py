"""What looks after a worker from beside its loop: that it ends with the run's process, and says where it is held up."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from workbench.streams.processes_wire import json_bytes
from workbench.streams.task import where

__all__ = ["end_with_parent", "guard"]


def end_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        # At once, also while C code holds the interpreter.
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != parent:
        os._exit(1)


def guard(start: Mapping[str, Any], watched: Callable[[], tuple[int, bool]]) -> None:
    """In a thread: ends the process when the run's is gone; says where a component is that does not return."""
    before, since = -1, time.monotonic()
    while True:
        time.sleep(0.2)
        if os.getppid() != start["parent"]:
            os._exit(1)
        turns, begun = watched()
        if turns != before:
            before, since = turns, time.monotonic()
        elif time.monotonic() - since > 0.5 and begun:
            with contextlib.suppress(OSError):
                os.write(start["notes"], json_bytes({"where": where(threading.main_thread().ident)}) + b"\n")
