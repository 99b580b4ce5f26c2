"""One SQLite file that many processes write: one connection a process, WAL, short transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workbench.contract.errors import DocumentError

__all__ = ["Store"]

VERSION = 3
BUSY_SECONDS = 15.0
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_SCHEMA = """
create table runs (
    id text primary key,
    kind text not null,
    title text not null,
    pid integer not null,
    process_started text not null,
    host text not null,
    user text not null,
    state text not null,
    started real not null,
    updated real not null,
    ended real,
    rows integer not null default 0,
    bytes integer not null default 0,
    fraction real,
    error text not null default ''
) without rowid;
create index runs_ended on runs (ended);
create index runs_started on runs (started);
create table natives (
    run text not null references runs (id) on delete cascade,
    connection text not null,
    native_id text not null,
    since real not null,
    primary key (run, connection, native_id)
) without rowid;
"""
_CHANGES = {
    2: """
create table engines (
    pid integer not null,
    process_started text not null,
    host text not null,
    address text not null,
    token text not null,
    primary key (pid, process_started, host)
) without rowid;
""",
    3: """
alter table runs add column statement text not null default '';
alter table runs add column connections text not null default '';
""",
}
"""What makes a file of the version before into one of this version."""

_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


class Store:
    """Transactions on the file at `path`. Every error of SQLite becomes a DocumentError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        _stores.add(self)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its beginning, so that it never has to be tried again."""
        with self._lock, self._named():
            db = self._opened()
            db.execute("begin immediate")
            try:
                yield db
                db.execute("commit")
            finally:
                if db.in_transaction:
                    db.execute("rollback")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One view of the file for all statements within."""
        with self._lock, self._named():
            db = self._opened()
            db.execute("begin")
            try:
                yield db
            finally:
                db.execute("rollback")

    def write(self, statement: str, values: Sequence[object]) -> None:
        """Runs one writing statement, which is a transaction of its own."""
        with self._lock, self._named():
            self._opened().execute(statement, tuple(values))

    def attempt(self, statement: str, values: Sequence[object]) -> bool:
        """Runs one writing statement at once, or returns False when the file, or this process's hold of it, is
        taken."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            with self._named():
                db = self._opened()
                db.execute("pragma busy_timeout = 0")
                try:
                    db.execute(statement, tuple(values))
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                        return False
                    raise
                finally:
                    db.execute(f"pragma busy_timeout = {int(BUSY_SECONDS * 1000)}")
            return True
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def __del__(self) -> None:
        if self._db is not None:
            self._db.close()

    def forked(self) -> None:
        """In a forked child: the connection and the lock are the parent's. SQLite forbids even to close it here."""
        if self._db is not None:
            _inherited.append(self._db)
        self._db = None
        self._lock = threading.RLock()

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.chmod(self.path, 0o600)  # -wal and -shm take their mode from it
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:  # the change to WAL does not wait for others by itself
                db.execute("pragma journal_mode = wal").fetchone()
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)
        db.execute("pragma synchronous = normal")
        db.execute("pragma foreign_keys = on")
        db.execute("begin immediate")
        try:
            (version,) = db.execute("pragma user_version").fetchone()
            if version > VERSION:
                raise DocumentError(
                    str(self.path),
                    f"is of version {version}, and this program knows up to {VERSION}. Update analytics-workbench.",
                )
            if version < VERSION:
                steps = [_CHANGES[number] for number in range(max(version, 1) + 1, VERSION + 1)]
                for statement in ";".join([_SCHEMA, *steps] if version == 0 else steps).split(";"):
                    db.execute(statement)
                db.execute(f"pragma user_version = {VERSION}")
            db.execute("commit")
        finally:
            if db.in_transaction:
                db.execute("rollback")

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            way_out = ""
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                way_out = " It holds what runs and the history, nothing else: move it away, and a new one is made."
            raise DocumentError(str(self.path), f"cannot be used: {error}.{way_out}") from error


def _after_fork() -> None:
    for store in list(_stores):
        store.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
