"""One split's rows from files. Nothing runs at the server."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import ConnectionLost, DataError, PathUnreachable, SnapshotChanged, SourceError
from workbench.contract.predicate import Predicate, columns_of
from workbench.contract.scan import Control, Split
from workbench.kit.batches import pieces, rows_only
from workbench.kit.reading import GeneratedReader
from workbench_hive.files import File
from workbench_hive.formats import Opened, Unclear, opened
from workbench_hive.lines import NotText, values
from workbench_hive.nested import fits, leaves
from workbench_hive.remote import RemoteFile, reading
from workbench_hive.splits import values_of
from workbench_hive.types import HiveType
from workbench_hive.webhdfs import WebHdfs

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FilesReader"]

_GREGORIAN = -141_427
"""1582-10-15 in days: before it, days of a file may be the Julian calendar's."""
_OTHERWISE = "Connect with files=false"


class FilesReader(GeneratedReader):
    """See `workbench.contract.scan.Reader`."""

    def __init__(self, connection: str, split: Split, control: Control, hdfs: WebHdfs | None = None) -> None:
        self._connection, self._hdfs = connection, hdfs
        self._types: Mapping[str, HiveType] = split.state["columns"]
        self._keys: tuple[str, ...] = split.state["keys"]
        self._predicates: tuple[Predicate, ...] = split.state["predicates"]
        super().__init__(split, control)

    def _all(self) -> Generator[pa.RecordBatch, None, None]:
        import pyarrow as pa

        from workbench.kit.filter import Filter

        schema = pa.schema([kind.field(name) for name, kind in self._types.items()])
        keep = Filter(self._predicates, schema)
        wanted = self.schema
        for file in self._split.state["files"]:
            for batch in self._batches_of(file, schema):
                self._check()
                found = keep(batch) if self._predicates else batch
                if not wanted.names:
                    yield from rows_only(found.num_rows)
                    continue
                columns = [found.column(name) for name in wanted.names]
                for piece in pieces(pa.RecordBatch.from_arrays(columns, schema=wanted)):
                    yield piece
                    self._check()

    def _batches_of(self, file: File, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """All columns of `schema`, those of the partition as constants."""
        import pyarrow as pa

        self._still_the_same(file)
        try:
            yield from self._inside(file, schema)
        except Unclear as trouble:
            told = f"{trouble} in {os.path.basename(file.path)}. {_OTHERWISE}"
            raise DataError("*", 0, "the file has", told, self._connection) from None
        except (OSError, OverflowError, UnicodeDecodeError, pa.ArrowInvalid) as error:
            if file.identity:
                self._still_the_same(file)
            said = " ".join(str(error)[:300].split()).rstrip(".")
            raise PathUnreachable(file.path, f"{said}. {_OTHERWISE}", self._connection, "read") from None

    def _inside(self, file: File, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        if self._hdfs is None or not file.identity:
            yield from self._rows_of(file, opened(file.path, file.layout), schema)
            return
        remote, checked = RemoteFile(self._hdfs, file.path, file.size, self._check), 0
        try:
            with reading(remote):
                for batch in self._rows_of(file, opened(remote, file.layout), schema):
                    # Each part was asked for by the path: nothing is handed on before it is known of which file it is.
                    if remote.fetched != checked:
                        checked = remote.fetched
                        self._still_the_same(file)
                    yield batch
            if remote.fetched != checked:
                self._still_the_same(file)
        except (ConnectionLost, PathUnreachable) as error:
            raise self._changed(file) or error from None

    def _rows_of(self, file: File, inside: Opened, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        there = [name for name in schema.names if name not in self._keys and name in inside.names]
        constants = {name: self._constant(name, value) for name, value in zip(self._keys, file.values, strict=True)}
        before = 0
        for rows, columns in inside.batches([inside.names[one] for one in there], self._pruning(inside, schema)):
            self._received += sum(column.nbytes for column in columns)
            found = dict(zip(there, columns, strict=True))
            if schema.names:
                arrays = [self._array(file, inside, field, found, constants, rows, before) for field in schema]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            else:
                yield from rows_only(rows)
            before += rows

    def _array(
        self,
        file: File,
        inside: Opened,
        field: pa.Field,
        found: Mapping[str, pa.Array],
        constants: Mapping[str, pa.Scalar],
        rows: int,
        before: int,
    ) -> pa.Array:
        import pyarrow as pa

        if field.name in constants:
            return pa.repeat(constants[field.name], rows)
        if field.name not in found:  # the column is younger than the file
            return pa.nulls(rows, field.type)
        column = found[field.name]
        try:
            column = values(column, field.type) if file.layout.format == "text" else _widened(column, field.type)
        except NotText as trouble:
            row, value, why = trouble.args
            told = f"{why}. {_OTHERWISE}"
            raise DataError(field.name, before + row, repr(value[:80]), told, self._connection) from None
        if column is None:
            told = f"is {found[field.name].type} in {os.path.basename(file.path)}. {_OTHERWISE}"
            raise DataError(field.name, before, f"a value of {field.type}", told, self._connection)
        self._check_values(field, column, before, inside.gregorian)
        return column

    def _check_values(self, field: pa.Field, column: pa.Array, before: int, gregorian: bool) -> None:
        """The server makes other days of some, and letters of bytes that are no text."""
        import pyarrow as pa

        if pa.types.is_nested(field.type):
            for part in leaves(column):
                self._check_values(field.with_type(part.type), part, before, gregorian)
            return
        import pyarrow.compute as pc

        if pa.types.is_date32(field.type) and not gregorian:
            first = pc.min(column.cast(pa.int32())).as_py()
            if first is not None and first < _GREGORIAN:
                told = f"may be of another calendar, for its file does not say. {_OTHERWISE}"
                raise DataError(field.name, before, "a day before 1582-10-15", told, self._connection)
        if pa.types.is_string(field.type) and not _ascii(column):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid:
                told = f"is no UTF-8. {_OTHERWISE}"
                raise DataError(field.name, before, "a text", told, self._connection) from None

    def _still_the_same(self, file: File) -> None:
        if self._now(file) != (file.size, file.changed, file.identity):
            raise SnapshotChanged(str(self._split.table), "one of its files is another one", self._connection)

    def _changed(self, file: File) -> SnapshotChanged | None:
        """Where that is why a part of it could not be had."""
        try:
            self._still_the_same(file)
        except SnapshotChanged as changed:
            return changed
        except SourceError:
            pass  # what was in the way of the part is in the way of this, too
        return None

    def _now(self, file: File) -> tuple[int, int, int]:
        if self._hdfs is None or not file.identity:
            try:
                there = os.stat(file.path)
            except OSError as error:
                raise PathUnreachable(file.path, error.strerror or str(error), self._connection) from None
            return there.st_size, there.st_mtime_ns, 0
        try:
            about = self._hdfs.about(file.path)
        except FileNotFoundError:
            raise SnapshotChanged(str(self._split.table), "one of its files is gone", self._connection) from None
        return about.size, about.changed, about.identity

    def _constant(self, name: str, text: str) -> pa.Scalar:
        import pyarrow as pa

        kind = self._types.get(name)
        make = values_of(kind) if kind is not None else None
        return pa.scalar(make(text), kind.arrow()) if kind is not None and make is not None else pa.scalar(None)

    def _pruning(self, inside: Opened, schema: pa.Schema) -> Any:
        """What leaves out row groups by their statistics, as far as those are of the values that are delivered; all is
        filtered again."""
        from workbench.kit.filter import can_apply, expression

        found = None
        for predicate in self._predicates:
            names = [column.name for column in columns_of(predicate)]
            if _same(names, inside, schema) and can_apply(predicate, inside.schema):
                one = expression(predicate, inside.schema)
                found = one if found is None else found & one
        return found


def _ascii(column: pa.Array) -> bool:
    """Whether all letters are, as far as can be told at a glance. Bytes that no value has count, too."""
    data = column.buffers()[2]
    return data is None or (column.offset == 0 and data.to_pybytes().isascii())


def _same(names: Sequence[str], inside: Opened, schema: pa.Schema) -> bool:
    """Whether those columns are in the file under their own names, and as they are delivered."""
    import pyarrow as pa

    for name in names:
        if inside.names.get(name) != name or inside.schema.field(name).type != schema.field(name).type:
            return False
        if pa.types.is_date(schema.field(name).type) and not inside.gregorian:
            return False
    return True


def _widened(column: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    """None where not each value of the one type is just one of the other."""
    if column.type == wanted:
        return column
    return column.cast(wanted) if fits(column.type, wanted, _widens) else None


def _widens(one: pa.DataType, other: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_signed_integer(one) and pa.types.is_signed_integer(other):
        return bool(one.bit_width <= other.bit_width)
    if pa.types.is_decimal(one) and pa.types.is_decimal(other):
        return bool(one.scale == other.scale and one.precision <= other.precision)
    text = pa.types.is_large_string(one) or pa.types.is_string(one)
    return bool((one == pa.float32() and other == pa.float64()) or (text and other == pa.string()))
