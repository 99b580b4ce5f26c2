"""Where the prints of a topology's components go: into the run's log, which is bounded, and not into the notebook.

`sys.stdout` belongs to the process, so while topologies run a stand-in tells by the thread who prints; what others
print goes where it went.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

__all__ = ["Log", "printing_to"]

LINES, LENGTH = 1_000, 2_000
"""Of a log: the lines that are kept, and the characters of one."""


class Log:
    """The last lines that components printed or logged. `dropped` counts those that were let go, `cut` those that
    were too long. Thread-safe."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)
        self._lock = threading.Lock()
        self._part = ""
        self.dropped = self.cut = 0

    def add(self, line: str) -> None:
        with self._lock:
            self._put(line)

    def write(self, text: str) -> int:
        """As of a file: lines are whole once their end came."""
        with self._lock:
            *whole, last = text.split("\n")
            if not whole:
                self._part = (self._part + last)[: LENGTH + 1]
                return len(text)
            skipped = max(0, len(whole) - LINES)  # of a very long text the end is enough
            self.dropped += skipped
            whole[0] = (self._part + whole[0]) if not skipped else whole[0]
            for line in whole[skipped:]:
                self._put(line)
            self._part = last[: LENGTH + 1]
        return len(text)

    def _put(self, line: str) -> None:
        if len(line) > LENGTH:
            self.cut += 1
            line = f"{line[: LENGTH - 1]}…"
        self.dropped += len(self._lines) == LINES
        self._lines.append(line)

    def since(self, number: int) -> tuple[list[str], int]:
        """The whole lines behind the first `number` that there ever were, as far as they are kept, and how many there
        were by now."""
        with self._lock:
            total = self.dropped + len(self._lines)
            return list(self._lines)[max(0, len(self._lines) - max(0, total - number)) :], total

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter([*self._lines, *([self._part] if self._part else [])])

    def __len__(self) -> int:
        return len(self._lines) + bool(self._part)

    def __repr__(self) -> str:
        before = [f"({self.dropped:,} lines before these were let go)"] if self.dropped else []
        return "\n".join([*before, *self])


class _Routed:
    """A stand-in for `sys.stdout` or `sys.stderr`."""

    def __init__(self, usual: Any) -> None:
        self.usual = usual

    def write(self, text: str) -> int:
        log = _logs.get(threading.get_ident())
        if log is not None:
            return log.write(text)
        return int(self.usual.write(text) or 0)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if threading.get_ident() not in _logs:
            self.usual.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.usual, name)


_logs: dict[int, Log] = {}
_lock = threading.Lock()


class printing_to:  # noqa: N801  # a context manager, named like `redirect_stdout`
    """What this thread prints goes to a log, as long as this lasts."""

    def __init__(self, log: Log) -> None:
        self._log, self._thread = log, threading.get_ident()

    def __enter__(self) -> None:
        with _lock:
            _logs[self._thread] = self._log
            for name in ("stdout", "stderr"):
                if not isinstance(getattr(sys, name), _Routed):
                    setattr(sys, name, _Routed(getattr(sys, name)))

    def __exit__(self, *_: object) -> None:
        with _lock:
            _logs.pop(self._thread, None)
            if not _logs:
                for name in ("stdout", "stderr"):
                    now = getattr(sys, name)
                    if isinstance(now, _Routed):
                        setattr(sys, name, now.usual)
