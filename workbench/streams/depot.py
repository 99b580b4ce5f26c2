"""The queue between who receives and the runner, where what has come is kept in a spool.

What comes is handed in by the thread that receives, written by one of its own, together with all that has come
meanwhile, and read again by the runner's: nothing is given out that would be lost with the process.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from workbench.contract.errors import PathUnreachable
from workbench.streams.receiving import Coming, Unreadable
from workbench.streams.spool import Damaged, Spool

__all__ = ["Depot"]

PENDING = 4 << 20
"""Bytes that have come and are not written yet, for who can wait."""
SYNC, AGAIN, TOLD, JOIN = 1.0, 1.0, 60.0, 10.0
"""Seconds: until what nobody is told of is on the disk; until a full disk is tried again; between two lines that say
so; and that the last write may take."""
FULL = (errno.ENOSPC, errno.EDQUOT)
Stored = Callable[[int | None], None]
"""Is told the number of the first row, before it can be given out; None: it is not kept, and never given."""


class Depot(Coming):
    """A queue of raw messages in a spool. `unpack` makes rows of one; `rows` is how many may wait, None:
    any number; `refuse` makes the run's error of a damage. Thread-safe."""

    def __init__(
        self,
        spool: Spool,
        unpack: Callable[[bytes], Sequence[Any]],
        rows: int | None,
        durable: bool,
        log: Callable[[str], None],
        refuse: Callable[[Damaged], Exception],
    ) -> None:
        super().__init__()
        self.spool, self._unpack, self._limit, self._durable = spool, unpack, rows, durable
        self._log, self._refuse = log, refuse
        self._new: list[tuple[bytes, int, bytes, Stored | None]] = []
        self._new_bytes = self._new_rows = 0
        self.waiting, self.why = spool.left, ""
        """Rows that are kept and not given out; and why nothing can be written just now."""
        self._ready: deque[tuple[int, Any]] = deque()
        self._writing, self._told = threading.Lock(), -TOLD
        self._finishing = False
        self._dirty: float | None = None
        """Since when something is written and not on the disk."""
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return self.waiting + self._new_rows

    # --- handing in

    def hand_in(self, body: bytes, rows: int, stored: Stored) -> str:
        """At once. What is full (`queue` or `spool`), or `closed`; nothing: `stored` will be called."""
        with self._changed:
            if not self._closed and (full := self._refused(len(body), rows)):
                return full
            return "" if self._handed(body, rows, b"", stored) else "closed"

    def keep(self, body: bytes, rows: int, note: bytes) -> bool:
        """Waits for room. False: nobody takes any more."""
        with self._changed:
            while not self._closed and (self._new_bytes > PENDING or self._refused(len(body), rows)):
                self._changed.wait()
            return self._handed(body, rows, note, None)

    def _refused(self, size: int, rows: int) -> str:
        if self._limit is not None and len(self) and len(self) + rows > self._limit:
            return "queue"
        if self.spool.room(size + self._new_bytes):
            return ""
        rows = self.spool.left
        self._say(f"Its spool is full with {rows:,} rows that are not done, so it takes nothing. spool= may say more.")
        return "spool"

    def _say(self, why: str) -> None:
        """Why nothing is taken, now and then."""
        if time.monotonic() - self._told >= TOLD:
            self._told = time.monotonic()
            self._log(why)

    def _handed(self, body: bytes, rows: int, note: bytes, stored: Stored | None) -> bool:
        if self._closed:
            return False
        self._new.append((body, rows, note, stored))
        self._new_bytes += len(body)
        self._new_rows += rows
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name="workbench-spool", daemon=True)
            self._thread.start()
        self._changed.notify_all()
        return True

    # --- in the thread

    def _main(self) -> None:
        try:
            while self._written():
                pass
        except BaseException as error:  # noqa: BLE001  # the runner raises it
            with self._changed:
                self._closed, self._error = True, self._told_as(error)
                self._let_go()
                self._changed.notify_all()
            self.wake()

    def _told_as(self, error: BaseException) -> BaseException:
        if isinstance(error, Damaged):
            return self._refuse(error)
        if isinstance(error, OSError):
            return PathUnreachable(str(self.spool.folder), error.strerror or str(error), act="write into the spool")
        return error

    def _written(self) -> bool:
        """Writes all that has come, as one. False: nothing more will."""
        with self._changed:
            while not self._new and not self._finishing and (left := self._unsynced()) != 0:
                self._changed.wait(left)
            some, finishing = self._new[:], self._finishing
        with self._writing:
            if not some or self._unsynced() == 0:
                self.spool.sync()
                self._dirty = None
            if not some:
                return not finishing
            try:
                self.spool.write([(body, rows) for body, rows, _, _ in some], some[-1][2], partial(self._kept, some))
            except OSError as error:
                if error.errno not in FULL:
                    raise
                self._is_full(error.strerror or "")
                if finishing:
                    return False
        if self.why and self._new:
            with self._changed:
                self._changed.wait(AGAIN)
        self.wake()
        return True

    def _unsynced(self) -> float | None:
        """Seconds until what is written is to be on the disk; None: it is."""
        return None if self._dirty is None else max(0.0, self._dirty + SYNC - time.monotonic())

    def _kept(self, some: Sequence[tuple[bytes, int, bytes, Stored | None]], first: int) -> None:
        if not self._durable and self._dirty is None:
            self._dirty = time.monotonic()
        with self._changed:
            self.why = ""
            del self._new[: len(some)]
            for body, rows, _, stored in some:
                if stored is not None:
                    stored(first)
                first += rows
                self._new_bytes -= len(body)
                self._new_rows -= rows
                self.waiting += rows
            self._changed.notify_all()

    def _is_full(self, why: str) -> None:
        """Of the disk: who can be told is told; else it is kept in memory, and no more is taken."""
        self.why = why
        self._say(f"Its spool cannot be written ({why}), so it takes nothing until there is room.")
        with self._changed:
            if all(stored is not None for *_, stored in self._new):
                self._let_go()

    def _let_go(self) -> None:
        for *_, stored in self._new:
            if stored is not None:
                stored(None)
        self._new, self._new_bytes, self._new_rows = [], 0, 0

    # --- in the runner's

    def take(self) -> Any:
        """The next row's number and what it is; None where there is none just now."""
        while not self._ready:
            if self._error is not None and (self._closed or not len(self)):
                raise self._error
            try:
                if not self.waiting or not self._refilled():
                    return None
            except Damaged as error:
                raise self._refuse(error) from None
        with self._changed:
            self.waiting -= 1
            if self._limit is not None:
                self._changed.notify_all()
        return self._ready.popleft()

    def _refilled(self) -> bool:
        records = self.spool.read()
        for first, rows, places, body in records:
            try:
                made = self._unpack(body)
            except Unreadable as why:  # `fields` are others than when it came
                made = ()
                self._log(f"{why}; it is left out")
            if len(made) == rows:
                self._ready.extend((first + place, made[place]) for place in places)
                continue
            with self._changed:
                self.waiting -= len(places)
            self.spool.done(first, first + rows)
        return bool(records)

    def done(self, begin: int, end: int) -> None:
        """Rows from one number on that are before the other one, so there may be room."""
        self.spool.done(begin, end)
        with self._changed:
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        super().end(self._error or error)

    def sync(self) -> None:
        """Raises StateRefused."""
        try:
            with self._writing:
                self.spool.sync()
        except Damaged as error:
            raise self._refuse(error) from None

    def finish(self) -> bool:
        """After that nothing is written any more. False: the last write does not return."""
        with self._changed:
            self._closed = self._finishing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(JOIN)
        return self._thread is None or not self._thread.is_alive()
