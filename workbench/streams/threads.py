"""A thread for whose end may be waited by who is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["RunThread"]


class RunThread(threading.Thread):
    """CPython (3.11, 3.12) takes a thread for ended, although it runs, when a KeyboardInterrupt ends the `join` of
    somebody who waits for it. An event has no such fault."""

    def __init__(self, target: Callable[[], None], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)
        self._ended = threading.Event()

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._ended.set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return self.ident is not None and not self._ended.is_set()
