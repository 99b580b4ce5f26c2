"""A shared result as a file for somebody's disk, made while it is sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Generator, Iterator
from urllib.parse import quote

import pyarrow as pa
import pyarrow.types as pt

from workbench.execution.shared_reading import SharedReader
from workbench.query.formulas import guarded, is_text
from workbench.query.jsonlines import as_json
from workbench.query.pages import Rows, pieces
from workbench.query.pylist import clock
from workbench.query.write import encoder

__all__ = ["disposition", "encoded"]

STEP, STEP_BYTES = 20_000, 32 << 20
"""Rows of a sorted view that are put together at once, and about so many bytes."""
_PIECE = 1 << 20


def encoded(reader: SharedReader, rows: Rows, suffix: str) -> Generator[bytes, None, None]:
    """The rows as a `.csv` or `.parquet` file, in pieces. In CSV, text that a spreadsheet would take for a formula is
    behind an apostrophe, lists and structs are JSON. Raises UsageError where the format cannot hold a column."""
    columns = list(range(len(reader.schema)))
    schema = reader.schema
    texts = [at for at, field in enumerate(schema) if is_text(field.type)]
    nested = [at for at, field in enumerate(schema) if pt.is_nested(field.type)] if suffix == ".csv" else []
    times = [at for at, field in enumerate(schema) if pt.is_time(field.type)] if suffix == ".csv" else []
    if suffix == ".csv":
        names = guarded(pa.array(schema.names, pa.string())).to_pylist()
        said = {*nested, *times}
        kinds = [pa.large_string() if at in said else field.type for at, field in enumerate(schema)]
        schema = pa.schema(list(zip(names, kinds, strict=True)))

    def fit(batch: pa.RecordBatch) -> pa.RecordBatch:
        if suffix != ".csv":
            return batch
        made = batch.columns
        for at in texts:
            made[at] = guarded(made[at])
        for at in nested:
            made[at] = as_json(made[at])
        for at in times:
            made[at] = clock(made[at])
        return pa.RecordBatch.from_arrays(made, schema=schema)

    sink = _Sink()
    with encoder(sink, schema, suffix) as write:
        for part in _steps(reader, rows):
            for batch in pieces(reader, part, columns):
                write(fit(batch))
                if sink.size >= _PIECE:
                    yield sink.taken()
    yield sink.taken()


def disposition(name: str, suffix: str) -> str:
    """The header that gives a download its name: what is no letter, digit, `-` or `_` becomes `_`."""
    plain = unicodedata.normalize("NFC", name)
    plain = re.sub(r"[^\w-]+", "_", plain).strip("_")[:100] or "result"
    simple = re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_") or "result"
    return f"attachment; filename=\"{simple}{suffix}\"; filename*=UTF-8''{quote(plain, safe='')}{suffix}"


def _steps(reader: SharedReader, rows: Rows) -> Iterator[Rows]:
    if isinstance(rows, range):
        yield rows
        return
    step = max(1, min(STEP, STEP_BYTES * reader.rows // max(1, reader.bytes)))
    for start in range(0, len(rows), step):
        yield rows.slice(start, step)


class _Sink:
    """A file that is taken away in pieces while it is written."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def write(self, data: object) -> int:
        self._pieces.append(bytes(data))  # type: ignore[call-overload]
        self.size += len(self._pieces[-1])
        return len(self._pieces[-1])

    def taken(self) -> bytes:
        whole = b"".join(self._pieces)
        self._pieces, self.size = [], 0
        return whole

    def flush(self) -> None:
        """What is written is there."""

    def close(self) -> None:
        """What is written stays."""
