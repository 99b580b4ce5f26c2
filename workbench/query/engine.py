"""The DuckDB that runs statements: in memory, fenced, one instance a session.

The fence: no file, no network, no extension, no Python variable by name; then the configuration is locked. What a
statement may read is only what is registered for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

__all__ = ["Engine", "Limits"]


@dataclass(frozen=True)
class Limits:
    """What one session may use. `memory` is DuckDB's (`"4GB"`; None is its own choice, 80 % of the machine's),
    `temporary` what it may spill to disk. `spool_memory` bytes of a result stay in memory, the rest goes to a file,
    until `spool_rows` or `spool_bytes`: there the result is capped, and says so. `seconds` ends a statement, here
    and at the sources. `rehearsal` is how long the look ahead may take."""

    memory: str | None = None
    threads: int | None = None
    temporary: str = "20GB"
    spool_memory: int = 256 << 20
    spool_rows: int | None = 50_000_000
    spool_bytes: int | None = 8 << 30
    seconds: float | None = None
    rehearsal: float = 0.5


class Engine:
    """Opened when it is first needed. Thread-safe; each statement has a cursor of its own, so nothing that one
    registers is seen by another."""

    def __init__(self, limits: Limits) -> None:
        self.types: dict[pa.DataType, pa.DataType] = {}
        """Column types that went through, and what came out: the same values, another label at most."""
        self._limits = limits
        self._lock = threading.Lock()
        self._connection: DuckDBPyConnection | None = None
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """A private folder for spilled data, gone when the engine is closed or the process ends."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="workbench-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            return self._folder

    def cursor(self) -> DuckDBPyConnection:
        """A connection of its own to the instance. Close it."""
        folder = self.folder
        with self._lock:
            if self._connection is None:
                self._connection = self._opened(folder / "engine")
            return self._connection.cursor()

    @contextlib.contextmanager
    def parser(self) -> Iterator[DuckDBPyConnection]:
        cursor = self.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def renew(self) -> None:
        """After a fatal error of the instance: the next cursor is of a new one."""
        with self._lock:
            old, self._connection = self._connection, None
        if old is not None:
            with contextlib.suppress(duckdb.Error):
                old.close()

    def close(self) -> None:
        self.renew()
        with self._lock:
            folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _opened(self, folder: Path) -> DuckDBPyConnection:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "enable_external_access": "false",
            "python_enable_replacements": "false",
            "python_scan_all_frames": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "errors_as_json": "true",
            "temp_directory": os.fspath(folder),
            "max_temp_directory_size": self._limits.temporary,
        }
        if self._limits.memory is not None:
            settings["memory_limit"] = self._limits.memory
        if self._limits.threads is not None:
            settings["threads"] = str(self._limits.threads)
        connection = duckdb.connect(":memory:", config=settings)
        # The same numbers on every machine: days of a time with a zone are UTC's, unless the statement says otherwise.
        connection.execute("set global timezone = 'UTC'")
        connection.execute("set lock_configuration = true")
        weakref.finalize(self, _quietly_closed, connection).atexit = False
        return connection


def _quietly_closed(connection: DuckDBPyConnection) -> None:
    with contextlib.suppress(duckdb.Error):
        connection.close()
