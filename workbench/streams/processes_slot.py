"""A worker's place in a run: the process that has it now, what waits for it, and what it said last."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.streams.printing import Log

__all__ = ["CREDIT", "Slot", "ending"]

CREDIT = 4
"""Frames that a worker may have and not be through with."""
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Slot:
    """`got` and `forwarded` count the messages of work from and to the process, `open` the frames it is not through
    with; `queued` are rows that wait for it, and `size` their bytes."""

    def __init__(self, number: int, tasks: Mapping[int, int]) -> None:
        self.number = number
        self.tasks = [task for task, worker in tasks.items() if worker == number]
        self.process: subprocess.Popen[bytes] | None = None
        self.queue: deque[tuple[int, Any]] = deque()
        self.queued = self.size = 0
        self.positions: dict[str, Any] = {}
        self.deaths, self.due = 0, 0.0
        self.crashes: list[float] = []
        self.printed, self.told = Log(), 0
        self.incarnation, self.token = 0, b""
        self.mark = Path()
        self._fresh(0.0)

    def _fresh(self, now: float) -> None:
        self.ready = self.closed = self.ran = False
        self.got = self.forwarded = self.open = 0
        self.status: dict[str, Any] | None = None
        self.failed: dict[str, Any] | None = None
        self.heard, self.where, self.killed = now, "", ""
        self.going = False
        """Whether it was told to begin; before, it says nothing."""

    def begin(self, incarnation: int, token: bytes, now: float) -> None:
        self._fresh(now)
        self.incarnation, self.token = incarnation, token

    def put(self, rows: int, payload: Any) -> None:
        self.queue.append((rows, payload))
        self.queued += rows
        self.size += len(payload)

    def take(self) -> Any:
        rows, payload = self.queue.popleft()
        self.queued -= rows
        self.size -= len(payload)
        return payload

    def forget(self) -> None:
        """What waits for it."""
        self.queue.clear()
        self.queued = self.size = 0

    def over(self) -> None:
        """Its process has ended: what waits for it was emitted before that is known, and is lost."""
        self.ran = self.ready
        self.process, self.ready, self.status = None, False, None
        self.forget()

    @property
    def rests(self) -> bool:
        """Whether it has worked on all that it was sent, and no spout of it will give more."""
        return self.settled and self.status is not None and bool(self.status["finished"])

    @property
    def settled(self) -> bool:
        """Whether it has worked on all that it was sent, and all that it has sent has come."""
        status = self.status
        return (
            self.ready
            and not self.queue
            and status is not None
            and bool(status["idle"])
            and status["received"] == self.forwarded
            and status["sent"] == self.got
        )

    def kill(self, why: str) -> None:
        assert self.process is not None
        self.killed = why
        self.process.kill()

    def marked(self) -> tuple[int, int]:
        """The root that it was working on, and the task."""
        root, task = struct.unpack("=QQ", self.mark.read_bytes())
        return root, task

    def memory(self) -> int:
        """Bytes that are in memory; 0 where that cannot be known."""
        if self.process is None:
            return 0
        try:
            with open(f"/proc/{self.process.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0


def ending(slot: Slot) -> str:
    """How its process ended, in words."""
    if slot.killed:
        return slot.killed
    assert slot.process is not None
    code = slot.process.returncode
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
