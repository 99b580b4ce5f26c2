"""Opening one file of a table: its columns as they lie there, batch by batch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.contract.scan import BATCH_ROWS
from workbench_hive import lines
from workbench_hive.layouts import Layout
from workbench_hive.remote import RemoteFile

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Opened", "Unclear", "opened"]

_UNNAMED = re.compile(r"_col[0-9]+")


class Unclear(Exception):
    """Which of a file's columns are the table's cannot be said."""


@dataclass(frozen=True)
class Opened:
    """`names` says for columns of the table which of the file's they are; `schema` is the file's. `gregorian`: days are
    of the calendar that Arrow counts by. `batches` gives rows and the columns of those names, and may leave out rows
    for which the expression is not TRUE."""

    names: Mapping[str, str]
    schema: pa.Schema
    gregorian: bool
    batches: Callable[[Sequence[str], Any], Iterator[tuple[int, Sequence[pa.Array]]]]


def opened(path: str | RemoteFile, layout: Layout) -> Opened:
    """A path of this machine, or a file at WebHDFS. Raises OSError,
    pyarrow.ArrowInvalid, Unclear."""
    return {"parquet": _parquet, "orc": _orc, "text": _text}[layout.format](path, layout)


def _parquet(path: str | RemoteFile, layout: Layout) -> Opened:
    import pyarrow.dataset as ds
    import pyarrow.fs as fs

    # What is fetched beforehand would be held until the file's end, all of it.
    form = ds.ParquetFileFormat(pre_buffer=False)
    fragment = form.make_fragment(path, fs.LocalFileSystem() if isinstance(path, str) else None)
    schema = fragment.physical_schema
    names = {name.lower(): name for name in schema.names}
    if len(names) < len(schema.names):
        raise Unclear("columns whose names differ only by capitals")

    def batches(columns: Sequence[str], keep: Any) -> Iterator[tuple[int, Sequence[pa.Array]]]:
        scanner = fragment.scanner(
            columns=list(columns), filter=keep, batch_size=BATCH_ROWS, use_threads=False, batch_readahead=1
        )
        for batch in scanner.to_batches():
            yield batch.num_rows, batch.columns

    proleptic = (fragment.metadata.metadata or {}).get(b"writer.date.proleptic") == b"true"
    return Opened(names, schema, proleptic, batches)


def _orc(path: str | RemoteFile, layout: Layout) -> Opened:
    from pyarrow import orc

    file = orc.ORCFile(path)
    schema = file.schema
    if all(_UNNAMED.fullmatch(name) for name in schema.names):  # by an old Hive: in the table's order
        names = dict(zip(layout.names, schema.names, strict=False))
    else:
        names = {name: name for name in schema.names}
        if any(name.lower() in layout.names for name in schema.names if name not in layout.names):
            raise Unclear("columns whose names differ from the table's by capitals")

    def batches(columns: Sequence[str], keep: Any) -> Iterator[tuple[int, Sequence[pa.Array]]]:
        if not columns:
            yield file.nrows, ()
            return
        for stripe in range(file.nstripes):
            batch = file.read_stripe(stripe, columns=list(columns))
            found = {name: batch.column(name) for name in columns}
            for at in range(0, batch.num_rows, BATCH_ROWS):
                yield min(BATCH_ROWS, batch.num_rows - at), [found[name].slice(at, BATCH_ROWS) for name in columns]

    return Opened(names, schema, False, batches)


def _text(path: str | RemoteFile, layout: Layout) -> Opened:
    import pyarrow as pa

    def batches(columns: Sequence[str], keep: Any) -> Iterator[tuple[int, Sequence[pa.Array]]]:
        wanted = [layout.names.index(name) for name in columns]
        with open(path, "rb") if isinstance(path, str) else path as file:
            yield from lines.fields(file, layout, wanted)

    schema = pa.schema([(name, pa.string()) for name in layout.names])
    return Opened({name: name for name in layout.names}, schema, True, batches)
