"""Reading a split: the parts one after another, each brought to the table's types, filtered, and cut to size."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.contract import Control, Split
from workbench.contract.errors import DataError
from workbench.kit.batches import pieces, rows_only
from workbench.kit.filter import Filter
from workbench.kit.reading import GeneratedReader
from workbench_files import text
from workbench_files.folder import DataFile, FoundTable
from workbench_files.parts import open_arrow, stream_batches
from workbench_files.trouble import check_same, named
from workbench_files.unify import key_value

__all__ = ["FilesReader"]


class FilesReader(GeneratedReader):
    """The batches of one split."""

    def __init__(self, split: Split, control: Control, connection: str) -> None:
        self._connection = connection
        super().__init__(split, control)

    def _all(self) -> Generator[pa.RecordBatch, None, None]:
        state = self._split.state
        left = state["limit"]
        needed: pa.Schema = state["needed"]
        keep = Filter(state["predicates"], needed) if state["predicates"] else None
        for part in state["parts"]:
            file = DataFile(*part["file"])
            table = FoundTable(self._split.table.name, state["format"], (), state["settings"])
            for batch in self._part(part, file, table):
                if keep is not None:
                    batch = keep(batch)
                if left is not None:
                    batch = batch.slice(0, left)
                    left -= batch.num_rows
                yield from pieces(_projected(batch, self._split.schema))
                if left == 0:
                    return
                self._check()

    def _part(self, part: Mapping[str, Any], file: DataFile, table: FoundTable) -> Iterator[pa.RecordBatch]:
        """Batches of all needed columns. At the end, the file must still be what was planned."""
        needed: pa.Schema = self._split.state["needed"]
        keys = {name: pa.scalar(key_value(value, needed.field(name).type), needed.field(name).type)
                for name, value in file.keys if name in needed.names}  # fmt: skip
        stored = [name for name in needed.names if name not in keys]
        types = self._split.state["full"]
        check_same(file, table.name, self._connection)
        with named(file, table, self._connection, types):
            for batch in self._physical(part, file, table, stored, types):
                self._received += batch.nbytes
                self._check()
                yield self._brought(batch, needed, keys, file)
        check_same(file, table.name, self._connection)

    def _physical(
        self, part: Mapping[str, Any], file: DataFile, table: FoundTable, stored: list[str], types: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        if table.format in ("csv", "jsonl"):
            yield from text.batches(file.path, table.format, table.settings, types, stored)
        elif table.format == "lines":
            yield from text.lines(file.path, table.settings)
        elif table.format == "arrow":
            if part["groups"] is None:
                yield from stream_batches(file.path)
                return
            with open_arrow(file.path) as reader:
                for group in part["groups"]:
                    yield reader.get_batch(group)
        elif not stored:
            yield from rows_only(part["rows"])
        else:
            with pq.ParquetFile(pa.OSFile(file.path), page_checksum_verification=True) as parquet:
                there = [name for name in stored if name in parquet.schema_arrow.names]
                if not there:
                    yield from rows_only(part["rows"])
                    return
                yield from parquet.iter_batches(65_536, list(part["groups"]), there, use_threads=False)

    def _brought(
        self, batch: pa.RecordBatch, needed: pa.Schema, keys: Mapping[str, pa.Scalar], file: DataFile
    ) -> pa.RecordBatch:
        rows, names = batch.num_rows, batch.schema.names
        if not needed.names:
            return batch.select([])
        columns = []
        for column in needed:
            if column.name in keys:
                columns.append(pa.repeat(keys[column.name], rows))
            elif column.name in names:
                columns.append(self._cast(batch.column(column.name), column, file))
            else:
                columns.append(pa.nulls(rows, column.type))
        return pa.RecordBatch.from_arrays(columns, schema=needed)

    def _cast(self, array: pa.Array, column: pa.Field, file: DataFile) -> pa.Array:
        if array.type == column.type:
            return array
        try:
            return array.cast(column.type)
        except pa.ArrowInvalid as error:
            why = f"cannot be {column.type}, the type that the parts have in common ({file.shown}): {error}"
            raise DataError(column.name, 0, f"a value of {array.type}", why, self._connection) from None


def _projected(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if not schema.names:
        return batch.select([])
    return pa.RecordBatch.from_arrays([batch.column(name) for name in schema.names], schema=schema)
