"""Footers: what a file says about itself before it is read. Remembered as long as the file stays as it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.ipc as ipc

from workbench.contract import Predicate
from workbench.contract.errors import Unsupported
from workbench.kit.filter import can_apply, expression
from workbench_files import text
from workbench_files.folder import DataFile, FoundTable
from workbench_files.trouble import named

__all__ = ["Footer", "Footers", "open_arrow", "pruned", "stream_batches"]

MOST = 4_096
_END = b"\xff\xff\xff\xff\0\0\0\0"


@dataclass(frozen=True)
class Footer:
    """`groups` are rows and bytes of each row group (Parquet) or None; `fragment` prunes them by statistics. `batches`
    is their number in an Arrow file; a stream does not say it."""

    schema: pa.Schema
    groups: tuple[tuple[int, int], ...] | None = None
    fragment: Any = field(default=None, repr=False)
    batches: int | None = None

    @property
    def rows(self) -> int | None:
        return sum(rows for rows, _ in self.groups) if self.groups is not None else None


class Footers:
    """The footers of files, kept by path, size and time. Thread-safe."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Any, ...], Footer] = OrderedDict()

    def of(self, table: FoundTable) -> list[Footer]:
        if len(table.files) == 1:
            return [self.one(table, table.files[0])]
        with ThreadPoolExecutor(min(8, len(table.files) or 1)) as pool:
            return list(pool.map(lambda file: self.one(table, file), table.files))

    def one(self, table: FoundTable, file: DataFile) -> Footer:
        key = (file.path, file.inode, file.size, file.mtime_ns, table.format, repr(sorted(table.settings.items())))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with named(file, table, self._connection):
            footer = _read(file, table)
        with self._lock:
            self._kept[key] = footer
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return footer


def pruned(footer: Footer, predicates: Sequence[Predicate]) -> tuple[int, ...]:
    """The row groups that may hold rows for all predicates, by their statistics. A predicate that cannot be said in
    the file's own types prunes nothing; nothing is taken as kept, so that what statistics hide (NaN) does no harm."""
    assert footer.groups is not None
    kept = set(range(len(footer.groups)))
    for predicate in predicates:
        if not kept or not can_apply(predicate, footer.schema):
            continue
        try:
            wanted = expression(predicate, footer.schema)
        except Unsupported:  # nested too deep for an expression
            continue
        kept &= {group.id for group in footer.fragment.subset(wanted, schema=footer.schema).row_groups}
    return tuple(sorted(kept))


def open_arrow(path: str) -> Any:
    """A reader of an Arrow file, or of an Arrow stream. Not memory-mapped: a file that shrinks would kill us."""
    source = pa.OSFile(path)
    magic = source.read(6)
    source.seek(0)
    return ipc.open_file(source) if magic == b"ARROW1" else ipc.open_stream(source)


def stream_batches(path: str) -> Iterator[pa.RecordBatch]:
    """All batches of an Arrow stream. pyarrow takes the end of a file for the end of its stream, and looks at nothing
    behind that; so a stream that was cut between two batches, or that another one follows, would have fewer rows."""
    with pa.OSFile(path) as source:
        first = source.read(4)
        source.seek(0)
        yield from ipc.open_stream(source)
        end = source.tell()
        source.seek(max(0, end - len(_END)))
        if first == _END[:4] and source.read(len(_END)) != _END:  # streams of before 2019 begin and end otherwise
            raise pa.ArrowInvalid("its end is missing: it was cut off, or is still being written")
        if end != source.size():
            raise pa.ArrowInvalid(f"something follows behind the end of its stream at {end:,} bytes")


def _read(file: DataFile, table: FoundTable) -> Footer:
    if table.format in ("csv", "jsonl", "lines"):
        return Footer(text.guess(file.path, table.format, table.settings))
    if table.format == "arrow":
        with open_arrow(file.path) as reader:
            return Footer(reader.schema, batches=getattr(reader, "num_record_batches", None))
    fragment = ds.ParquetFileFormat().make_fragment(file.path, fs.LocalFileSystem())
    fragment.ensure_complete_metadata()
    groups = tuple((group.num_rows, group.total_byte_size) for group in fragment.row_groups)
    return Footer(fragment.physical_schema, groups, fragment)
