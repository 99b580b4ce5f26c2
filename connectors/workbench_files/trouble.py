"""What pyarrow and the file system say, as errors of the contract."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from workbench.contract.errors import ProtocolError, SnapshotChanged, WorkbenchError
from workbench_files.refused import foreign, is_foreign, refused

if TYPE_CHECKING:
    from workbench_files.folder import DataFile, FoundTable

__all__ = ["check_same", "named"]

_LABELS = {"parquet": "a Parquet file", "arrow": "an Arrow file", "csv": "a CSV file", "jsonl": "a file of JSON lines",
           "lines": "lines of text"}  # fmt: skip


@contextmanager
def named(file: DataFile, table: FoundTable, connection: str, types: pa.Schema | None = None) -> Iterator[None]:
    """Errors within become SnapshotChanged when the file is not what it was, else DataError with its line for text
    that is not of its encoding, or not of known `types`, else ProtocolError."""
    try:
        yield
    except WorkbenchError:
        raise
    except (pa.ArrowException, OSError, UnicodeError) as error:
        check_same(file, table.name, connection)
        if table.format in ("csv", "jsonl") and is_foreign(error):
            found = foreign(file.path, file.shown, table.format, table.settings)
            found.connection = connection
            raise found from None
        if types is not None and table.format in ("csv", "jsonl"):
            found = refused(file.path, file.shown, table.format, table.settings, types, error)
            found.connection = connection
            raise found from None
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ProtocolError(f"{file.shown} cannot be read as {_LABELS[table.format]}: {why}", connection) from None


def check_same(file: DataFile, table: str, connection: str) -> None:
    """Raises SnapshotChanged when the file is gone, or another one."""
    try:
        now = os.stat(file.path)
    except OSError as error:
        raise SnapshotChanged(table, f"{file.shown} is gone ({error.strerror})", connection) from None
    if (now.st_size, now.st_mtime_ns, now.st_ino) != (file.size, file.mtime_ns, file.inode):
        raise SnapshotChanged(table, f"{file.shown} was written to", connection)
