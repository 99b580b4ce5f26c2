"""Writing tables as Parquet: a table is a folder of parts, and each part appears whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench.contract import Changes, Guarantee, Position, Rejects, TableRef, WriteSpec
from workbench.contract.errors import InvalidParameter, QueryFailed, StatementRefused, UnknownTable, Unsupported
from workbench.kit.halfmade import HalfMade, sweep
from workbench_files.folder import Folder
from workbench_files.unify import Conflict, wider

if TYPE_CHECKING:
    from workbench_files.connector import FilesTables

__all__ = ["FilesSinks", "FilesWriter"]

ROW_GROUP = 1 << 20
_WHO = "A connection to files"


class FilesSinks:
    def __init__(self, connection: str, folder: Folder, tables: FilesTables, writable: bool) -> None:
        self._connection, self._folder, self._tables, self._writable = connection, folder, tables, writable

    def open(self, table: TableRef, spec: WriteSpec) -> FilesWriter:
        """Adds rows to a table that is a folder of Parquet parts, or makes such a folder. Files have no keys: a `key`
        is not checked, as the guarantee FILE says."""
        root = self._folder.writable_root
        if not self._writable:
            raise StatementRefused("writing", f"`{self._connection}` is read-only; connect it with writable=True.")
        if root is None:
            raise Unsupported(_WHO, "write here", "Connect the folder, not a file or a pattern.")
        if spec.mode != "insert":
            raise Unsupported(_WHO, f"write in the mode `{spec.mode}`", "Files only take inserts.")
        name = _checked_name(table)
        sweep(Path(root).glob("*/.part-*.tmp"))
        if not spec.schema.names:
            raise InvalidParameter("schema", "has no columns, and a Parquet file needs one.")
        if name in self._folder.names():
            self._check_fits(table, spec.schema)
            made = Path(str(self._folder.table(name).folder))
        elif not spec.create:
            raise UnknownTable(name, self._folder.names(), "Write with create=True to make it.")
        else:
            made = Path(root, name)
            if os.path.lexists(made) and not (made.is_dir() and not made.is_symlink()):
                raise InvalidParameter("table", f"cannot be `{name}`: a file of that name is there.")
        return FilesWriter(made, spec, self._connection)

    def _check_fits(self, table: TableRef, schema: pa.Schema) -> None:
        found = self._folder.table(table.name)
        if found.folder is None or found.format != "parquet" or any(file.keys for file in found.files):
            raise InvalidParameter(
                "table", f"`{table.name}` is not a folder of Parquet parts, so no rows can be added to it."
            )
        there = self._tables.schema(table)
        for column in schema:
            if column.name not in there.names:
                raise InvalidParameter("schema", f"has the column `{column.name}`, which `{table.name}` has not.")
            kind = there.field(column.name).type
            try:
                fits = wider(kind, column.type) == kind
            except Conflict:
                fits = False
            if not fits:
                raise InvalidParameter(
                    "schema", f"has `{column.name}` as {column.type}; in `{table.name}` it is {kind}."
                )


def _stem(stream: str) -> str:
    """Of a stream's parts; of two streams it is never the same."""
    plain = re.sub(r"[^A-Za-z0-9-]", "-", stream)
    return plain if plain == stream else f"{plain}-{hashlib.sha256(stream.encode()).hexdigest()[:12]}"


class FilesWriter:
    """Rows go into a hidden file, which `commit` puts in its place."""

    guarantee = Guarantee.FILE

    def __init__(self, folder: Path, spec: WriteSpec, connection: str) -> None:
        self._folder, self._spec, self._connection = folder, spec, connection
        self._schema = pa.schema([column.remove_metadata() for column in spec.schema])
        # A named stream's part has the same name when it is written again; else two writers never meet.
        self._stem = _stem(spec.stream) if spec.stream else secrets.token_hex(6)
        self._temporary: Path | None = None
        self._half: HalfMade | None = None
        self._writer: pq.ParquetWriter | None = None
        self._first = 0
        self._last: int | None = None
        self._committed = False
        self._broken = False
        self._closed = False

    def position(self) -> Position | None:
        """Files keep none."""
        return None

    def write(self, changes: Changes, sequence: int) -> Rejects:
        self._check_open()
        if changes.ops is not None and not pc.all(pc.equal(changes.ops, "insert")).as_py() and len(changes.ops):
            raise Unsupported(_WHO, "update or delete rows", "Files only take inserts.")
        if changes.rows.schema.names != self._schema.names or changes.rows.schema.types != self._schema.types:
            raise InvalidParameter("rows", "must have the columns that the writer was opened with.")
        if self._last is not None and sequence <= self._last:
            return Rejects()  # the same batch again
        self._last = sequence
        if self._writer is None:
            self._begin(sequence)
        assert self._writer is not None
        try:
            rows = pa.RecordBatch.from_arrays(changes.rows.columns, schema=self._schema)
            self._writer.write_batch(rows, row_group_size=ROW_GROUP)
        except (pa.ArrowException, OSError) as error:
            raise self._failed(error) from None
        return Rejects()

    def commit(self, upto: Position | None) -> None:
        self._check_open()
        if self._writer is None:
            if self._committed or any(self._parts()):
                return
            self._begin(0)  # so that an empty table is there
        assert self._writer is not None
        assert self._temporary is not None
        try:
            self._writer.close()
            _sync(self._temporary)
            os.replace(self._temporary, self._folder / f"part-{self._stem}-{self._first:012}.parquet")
            _sync(self._folder)
            _sync(self._folder.parent)
        except (pa.ArrowException, OSError) as error:
            raise self._failed(error) from None
        self._release()
        self._committed = True

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._temporary is not None:
            with contextlib.suppress(pa.ArrowException, OSError):  # a full disk: the part is thrown away all the same
                if self._writer is not None:
                    self._writer.close()
            self._temporary.unlink(missing_ok=True)
            if not any(self._folder.iterdir()):
                self._folder.rmdir()  # we made it, and nothing came of it
        self._release()

    def _begin(self, sequence: int) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            self._half = HalfMade(self._folder / f".part-{secrets.token_hex(8)}.tmp")
            self._temporary = self._half.path
            self._writer = pq.ParquetWriter(self._temporary, self._schema, compression="zstd", write_page_checksum=True)
        except (pa.ArrowException, OSError) as error:
            raise self._failed(error) from None
        self._first = sequence

    def _release(self) -> None:
        if self._half is not None:
            self._half.release()
        self._writer = self._temporary = self._half = None

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("*.parquet")) if self._folder.is_dir() else []

    def _failed(self, error: Exception) -> QueryFailed:
        self._broken = True  # some of the rows may be in the part: it never gets its name
        return QueryFailed(f"{self._folder.name} cannot be written: {error}", connection=self._connection)

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidParameter("writer", "is closed.")
        if self._broken:
            raise QueryFailed("an earlier write failed; open the table anew", connection=self._connection)


def _checked_name(table: TableRef) -> str:
    """A table's name becomes a folder's: no way out, and nothing that the catalog would not show or would misread."""
    name = table.name
    if table.schema is not None:
        raise UnknownTable(str(table), (), "Files have no schemas.")
    if not name or "/" in name or "\\" in name or "\0" in name or name.startswith((".", "_")) or "=" in name:
        raise InvalidParameter("table", f"cannot be {name!r}: no `/`, `\\` or `=`, and no `.` or `_` in front.")
    if len(os.fsencode(name)) > 200:
        raise InvalidParameter("table", "has a name that is too long for a folder.")
    return name


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
