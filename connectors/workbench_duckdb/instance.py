"""One DuckDB instance per file and process, opened when it is used and let go soon after, so that other processes
can have the file: DuckDB gives it to one writing process, or to many that read."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from workbench.contract.errors import InvalidParameter, PathUnreachable, ProtocolError, QueryFailed, Unsupported

__all__ = ["Database", "database"]

IDLE_SECONDS = 1.0
"""How long an instance that nobody uses is kept, because opening it again costs some 10 ms."""
WAIT_SECONDS = 10.0
"""How long one that wants to write waits for readers of this process that have opened the file read-only."""

_BEFORE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
}
# In this order: the last one locks the others.
_AFTER = ("set global TimeZone = 'UTC'", "set enable_external_access = false", "set lock_configuration = true")

_databases: dict[str, Database] = {}
_inherited: list[duckdb.DuckDBPyConnection] = []
_door = threading.Lock()


def database(path: str) -> Database:
    """The file's, the same for every connection of this process. Raises InvalidParameter for what is no path."""
    if "\0" in path:
        raise InvalidParameter("path", "must be the path of a file: no path has a zero byte.")
    real = os.path.realpath(os.path.expanduser(path))
    with _door:
        return _databases.setdefault(real, Database(real))


class Database:
    """Cursors on one file. Thread-safe."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._changed = threading.Condition()
        self._instance: duckdb.DuckDBPyConnection | None = None
        self._inode = 0
        self._writable = False
        self._users = 0
        self._lost = False
        self._last_used = 0.0
        self._timer: threading.Timer | None = None

    def acquire(self, writable: bool, connection: str) -> duckdb.DuckDBPyConnection:
        """A cursor of its own; give it back with `release`. A file that is not there is made when it may be written.
        Raises PathUnreachable when it is not there, or another process has it, ProtocolError when it is no database."""
        if self._lost:
            raise Unsupported(
                "A forked process",
                f"use {self.path}, which was open when it was forked",
                'Start processes with multiprocessing.get_context("spawn").',
            )
        with self._changed:
            deadline = time.monotonic() + WAIT_SECONDS
            while self._instance is not None and self._must_reopen(writable):
                if self._users == 0:
                    self._close()
                    break
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise QueryFailed(
                        f"{self.path} is being read over a connection of this process that is not writable, and "
                        "cannot be written meanwhile. Stop that, or connect it once, with writable=True",
                        connection=connection,
                    )
            if self._instance is None:
                self._open(writable, connection)
            assert self._instance is not None
            cursor = self._instance.cursor()
            self._users += 1
            return cursor

    def release(self, cursor: duckdb.DuckDBPyConnection) -> None:
        cursor.close()
        with self._changed:
            self._users -= 1
            self._last_used = time.monotonic()
            if self._users == 0:
                if IDLE_SECONDS <= 0:
                    self._close()
                elif self._timer is None:
                    self._arm(IDLE_SECONDS)
            self._changed.notify_all()

    @contextmanager
    def cursor(self, writable: bool, connection: str) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self.acquire(writable, connection)
        try:
            yield cursor
        finally:
            self.release(cursor)

    def let_go(self) -> None:
        """Closes the instance now, if nobody uses it."""
        with self._changed:
            if self._users == 0:
                self._close()

    @property
    def writing(self) -> bool:
        """Whether it is open for writing in this process, so that rows may change between two reads."""
        with self._changed:
            return self._instance is not None and self._writable

    def stamp(self) -> tuple[int, ...]:
        """Changes when another process has written to the file."""
        found: list[int] = []
        for path in (self.path, self.path + ".wal"):
            try:
                about = os.stat(path)
            except FileNotFoundError:
                found += (0, 0, 0)
            else:
                found += (about.st_ino, about.st_size, about.st_mtime_ns)
        return tuple(found)

    def forked(self) -> None:
        """In a forked child: DuckDB's threads are not there, and it would hand out the parent's instance again when
        the file is opened. So the file is of no use here, unless it was closed at that moment."""
        if self._instance is not None:
            _inherited.append(self._instance)  # not even closed: that would end what the parent has begun
            self._lost = True
        self._instance, self._users, self._timer = None, 0, None
        self._changed = threading.Condition()

    def _must_reopen(self, writable: bool) -> bool:
        if writable and not self._writable:
            return True
        return self._users == 0 and self.stamp()[0] != self._inode  # another file has taken its name

    def _open(self, writable: bool, connection: str) -> None:
        if not os.path.isfile(self.path):
            if os.path.lexists(self.path):
                raise PathUnreachable(self.path, "it is not a file", connection)
            if not os.path.isdir(os.path.dirname(self.path)):
                raise PathUnreachable(self.path, "there is no such folder", connection)
            if not writable:
                why = "there is no such file. A connection with writable=True makes it"
                raise PathUnreachable(self.path, why, connection)
        try:
            instance = duckdb.connect(self.path, read_only=not writable, config=_BEFORE)
        except duckdb.ConnectionException:
            why = "this process has opened it with duckdb.connect(), which has other settings; close that first"
            raise PathUnreachable(self.path, why, connection) from None
        except duckdb.IOException as error:
            text = str(error).removeprefix("IO Error: ")
            if "lock" in text:
                holder = text.partition("held in ")[2].partition(". ")[0] or "another process"
                why = f"{holder} has it open; DuckDB gives a file to one process that writes, or to many that read"
                raise PathUnreachable(self.path, why, connection) from None
            raise ProtocolError(text, connection) from None
        except duckdb.Error as error:
            raise ProtocolError(f"{self.path} cannot be opened: {error}", connection) from None
        try:
            for statement in _AFTER:
                instance.execute(statement)
        except BaseException:
            instance.close()
            raise
        self._instance, self._writable, self._inode = instance, writable, self.stamp()[0]

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._instance is not None:
            self._instance.close()
            self._instance = None

    def _arm(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._idle)
        self._timer.daemon = True
        self._timer.start()

    def _idle(self) -> None:
        with self._changed:
            if self._timer is not threading.current_thread():
                return
            self._timer = None
            left = self._last_used + IDLE_SECONDS - time.monotonic()
            if self._users == 0 and left <= 0:
                self._close()
            elif self._users == 0:
                self._arm(left)


def _after_fork() -> None:
    global _door
    _door = threading.Lock()
    for known in _databases.values():
        known.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
