"""Rows of a shared result: as they are, as a page for the screen, and single cells.

A page is small whatever the values are: of a long one only the beginning is sent, and it is marked.
"""

from __future__ import annotations

import bisect
import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from workbench.contract.errors import InvalidParameter, LimitExceeded
from workbench.execution.shared_reading import SharedReader
from workbench.query.arrays import none, texts, whole
from workbench.query.jsonlines import as_json
from workbench.query.pylist import pylist

__all__ = ["CELL", "LONG", "Cell", "cell", "page", "pieces", "screen"]

LONG = 1_000
"""Characters of a text on a page; the rest is had by `cell`."""
CELL = 16 << 20
"""Bytes of the largest value that `cell` gives."""
HEX = 48
_HUGE = 8 << 20
"""Bytes of a column in one batch from which on its values are looked at one by one, and none is copied."""

Rows: TypeAlias = "range | pa.Array"
"""A range of rows of the result, or the numbers of a view."""


def pieces(reader: SharedReader, rows: Rows, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """The rows in their order, in one or more batches, with these columns in this order. Raises DocumentError."""
    wanted = sorted(set(columns))
    places = [wanted.index(column) for column in columns]
    schema = pa.schema([reader.schema.field(column) for column in columns])

    def laid(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([batch.column(place) for place in places], schema=schema)

    if isinstance(rows, range):
        at = rows.start
        while at < rows.stop:
            number = reader.at(at)
            first, count = reader.span(number)
            batch = reader.batch(number, wanted)
            yield laid(batch.slice(at - first, rows.stop - at))
            at = first + count
        return
    yield from _scattered(reader, rows, wanted, laid)


def page(reader: SharedReader, rows: Rows, columns: Sequence[int]) -> bytes:
    """The rows of a result as `screen` shows them."""
    return screen([reader.schema.field(column) for column in columns], pieces(reader, rows, columns))


def screen(columns: Sequence[pa.Field], batches: Iterable[pa.RecordBatch]) -> bytes:
    """Rows as an Arrow stream of one batch, for the screen. Numbers, times and truth values are as they are, and
    so is text up to `LONG` characters; bytes are hexadecimal text and lists and structs JSON, which the column's
    metadata says (`workbench.kind`: `binary`, `nested`). What was cut is named in the metadata of the schema,
    `workbench.cut`: JSON of an object from columns of the page to lists of its rows."""
    parts: list[list[pa.Array]] = [[] for _ in columns]
    cut: dict[int, list[int]] = {}
    done = 0
    for piece in batches:
        for at, column in enumerate(piece.columns):
            shown, short = _shown(column)
            parts[at].append(shown)
            if short:
                cut.setdefault(at, []).extend(row + done for row in short)
        done += piece.num_rows
    fields = [_field(column) for column in columns]
    schema = pa.schema(fields, {"workbench.cut": json.dumps(cut)})
    arrays = [pa.concat_arrays(one) if one else pa.nulls(0, kind.type) for one, kind in zip(parts, fields, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema) if arrays else _bare(schema, done))
    return bytes(sink.getvalue())


class Cell:
    """One value: `data` in UTF-8, or the bytes themselves where `kind` is `binary`; `kind` is also `text`, `json` or
    `null`."""

    def __init__(self, kind: str, data: bytes) -> None:
        self.kind, self.data = kind, data


def cell(reader: SharedReader, row: int, column: int) -> Cell:
    """A whole value. Raises LimitExceeded where it has more than `CELL` bytes, InvalidParameter where there is no such
    row or column."""
    if not 0 <= column < len(reader.schema):
        raise InvalidParameter("column", f"is {column}; the result has {len(reader.schema):,} columns.")
    if not 0 <= row < reader.rows:
        raise InvalidParameter("row", f"is {row:,}; the result has {reader.rows:,} rows so far.")
    [piece] = pieces(reader, range(row, row + 1), [column])
    value = piece.column(0)
    if value.null_count:
        return Cell("null", b"")
    size = _bytes(value)
    if size > CELL:
        hint = f"This one has {size:,}. Write the result to a file, or select a part of it."
        raise LimitExceeded("bytes of a cell", f"{CELL:,}", hint)
    if _is_binary(value.type):
        return Cell("binary", bytes(value[0].as_buffer()))
    if pt.is_nested(value.type):
        return Cell("json", str(as_json(value)[0]).encode())
    return Cell("text", _text(value).encode("utf-8", "replace"))


# --- inside


def _scattered(
    reader: SharedReader, rows: pa.Array, wanted: list[int], laid: Callable[[pa.RecordBatch], pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Each batch is opened once, and its rows are taken together; then all are put into their order. Where a value is
    huge, each row is a slice of its own, which copies nothing."""
    if not len(rows):
        return
    order = pc.sort_indices(rows)
    sorted_rows = rows.take(order).to_pylist()
    batches: dict[int, pa.RecordBatch] = {}
    locals_of: dict[int, list[int]] = {}
    start = 0
    while start < len(sorted_rows):
        number = reader.at(sorted_rows[start])
        first, count = reader.span(number)
        end = bisect.bisect_left(sorted_rows, first + count, start)
        batches[number] = reader.batch(number, wanted)
        locals_of[number] = [one - first for one in sorted_rows[start:end]]
        start = end
    if any(_huge(batch) for batch in batches.values()):
        for row in rows.to_pylist():
            number = reader.at(row)
            yield laid(batches[number].slice(row - reader.span(number)[0], 1))
        return
    taken = [batch.take(whole(locals_of[number])) for number, batch in batches.items()]
    yield laid(pa.concat_batches(taken).take(pc.sort_indices(order)))


def _huge(batch: pa.RecordBatch) -> bool:
    return any(_bytes(column) > _HUGE for column in batch.columns if _is_long(column.type))


def _field(field: pa.Field) -> pa.Field:
    kind, told = field.type, dict(field.metadata or {})
    if _is_binary(kind):
        return pa.field(field.name, pa.string(), metadata={**told, b"workbench.kind": b"binary"})
    if pt.is_nested(kind):
        return pa.field(field.name, pa.string(), metadata={**told, b"workbench.kind": b"nested"})
    return pa.field(field.name, pa.string() if _is_text(kind) or _is_odd(kind) else kind, metadata=told)


def _shown(column: pa.Array) -> tuple[pa.Array, list[int]]:
    """The column for the screen, and which of its rows were cut."""
    kind = column.type
    if _is_text(kind):
        return _short(column)
    if _is_binary(kind):
        values = [(one.as_buffer() if one.is_valid else None) for one in column]
        shown = [None if one is None else _hex(one) for one in values]
        return texts(shown).cast(pa.string()), [
            at for at, one in enumerate(values) if one is not None and one.size > HEX
        ]
    if pt.is_nested(kind):
        if _bytes(column) > _HUGE:
            said = [f"({kind.__class__.__name__}, {_bytes(column.slice(at, 1)):,} bytes)" for at in range(len(column))]
            return pc.if_else(column.is_valid(), texts(said), none(pa.large_string())).cast(pa.string()), list(
                range(len(column))
            )
        return _short(as_json(column))
    if _is_odd(kind):
        return texts([None if one is None else str(one) for one in pylist(column)]).cast(pa.string()), []
    return column, []


def _short(column: pa.Array) -> tuple[pa.Array, list[int]]:
    """Texts of `LONG` characters at most. One that is longer is never copied whole."""
    longest = pc.max(pc.binary_length(column)).as_py() if len(column) else None
    if longest is None or longest <= LONG:  # of bytes, of which there are at least as many as characters
        return column.cast(pa.string()), []
    shown: list[str | None] = []
    short: list[int] = []
    for at, one in enumerate(column):
        if not one.is_valid:
            shown.append(None)
            continue
        data = one.as_buffer()
        text = data.slice(0, min(data.size, 4 * LONG + 4)).to_pybytes().decode("utf-8", "ignore")
        if data.size > LONG and (data.size > 4 * LONG or len(text) > LONG):
            text = text[:LONG]
            short.append(at)
        shown.append(text)
    return texts(shown).cast(pa.string()), short


def _hex(data: pa.Buffer) -> str:
    more = f"… ({data.size:,} bytes)" if data.size > HEX else ""
    return f"0x{data.slice(0, min(HEX, data.size)).to_pybytes().hex()}{more}"


def _text(value: pa.Array) -> str:
    """A plain value as text, with all its digits."""
    if _is_text(value.type):
        return str(value[0].as_buffer().to_pybytes().decode("utf-8", "replace"))
    [plain] = pylist(value)
    if isinstance(plain, bool):
        return str(plain).lower()
    if isinstance(plain, datetime.datetime):
        return plain.isoformat(" ")
    if isinstance(plain, (datetime.date, datetime.time)):
        return plain.isoformat()
    return f"{plain:f}" if pt.is_decimal(value.type) else str(plain)


def _bytes(column: pa.Array) -> int:
    try:
        return int(column.nbytes)
    except (pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return int(column.get_total_buffer_size())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind))


def _is_long(kind: pa.DataType) -> bool:
    return _is_text(kind) or _is_binary(kind) or bool(pt.is_nested(kind))


def _is_odd(kind: pa.DataType) -> bool:
    """Of a type that browsers do not read."""
    return bool(
        pt.is_decimal256(kind)
        or pt.is_float16(kind)
        or pt.is_run_end_encoded(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


def _bare(schema: pa.Schema, rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([]))).replace_schema_metadata(
        schema.metadata
    )
