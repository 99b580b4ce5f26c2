"""CSV and JSON lines: what a file's first bytes suggest, reading by fixed types, and where a refused line is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.json as json
import pyarrow.types as pt

from workbench.contract.errors import InvalidParameter
from workbench_files.opening import Passing, delimiter, has_content, opened
from workbench_files.refused import check_closed
from workbench_files.unify import named_type

__all__ = ["batches", "convert", "csv_parse", "guess", "lines"]

SAMPLE_BYTES = 8 << 20
BLOCK_BYTES = 1 << 20
"""What is parsed at once. pyarrow reads up to 32 blocks ahead, so it is small."""
LINE_BYTES = 16 << 20
"""A longer line is refused."""
_TOO_LONG = re.compile("straddl|Empty CSV")
"""What pyarrow says of a line, or a first line, that is longer than a block."""


def guess(path: str, kind: str, settings: Mapping[str, Any]) -> pa.Schema:
    """Names and types of the first `sample_bytes`. Times get microseconds. No columns where the file is empty and the
    settings do not name them. Raises UnicodeError where text is not of the encoding."""
    given = _given(settings)
    sample = int(settings.get("sample_bytes", SAMPLE_BYTES))
    if kind == "lines":
        return pa.schema([("line", pa.string())])
    if not has_content(path, settings):
        return pa.schema([(name, given.get(name, pa.null())) for name in settings.get("columns", ())])
    with opened(path, settings) as stream:
        # The schema is that of the first block; the second is where its last line ends.
        first = pa.PythonFile(Passing(stream, most=2 * sample), "r")
        if kind == "csv":
            types = convert(settings, given)
            reader: Any = csv.open_csv(first, _csv_read(settings, sample), csv_parse(path, settings), types)
        else:
            reader = _json_reader(first, sample, None)
        schema = reader.schema
    foreign = [column.name for column in schema if pt.is_binary(column.type) and column.name not in given]
    if foreign:  # what pyarrow makes of text that is not UTF-8
        raise UnicodeError(f"`{foreign[0]}` is not of the encoding")
    fields = [column.with_type(given.get(column.name, _guessed(column.type))) for column in schema]
    fields += [pa.field(name, given[name]) for name in given if kind == "jsonl" and name not in schema.names]
    return pa.schema(fields)


def batches(
    path: str, kind: str, settings: Mapping[str, Any], types: pa.Schema, wanted: list[str]
) -> Iterator[pa.RecordBatch]:
    """The rows with the columns of `wanted` that the file has (all of a JSON file's, for an unknown one is an
    error there). `types` are the table's."""
    if not has_content(path, settings):
        return
    done = 0
    for block in (BLOCK_BYTES, LINE_BYTES):
        ahead = done
        try:
            for batch in _blocks(path, kind, settings, types, wanted, block):
                again = min(ahead, batch.num_rows)
                ahead -= again
                if again < batch.num_rows:
                    done += batch.num_rows - again
                    yield batch.slice(again)
            return
        except pa.ArrowInvalid as error:
            # A line is longer than a block: from the beginning, in larger ones.
            if block == LINE_BYTES or not _TOO_LONG.search(str(error)):
                raise


def lines(path: str, settings: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
    """Each line as a row, without its end. A line of more than 16 MiB is refused."""
    held = b""
    with opened(path, settings) as stream:
        while block := stream.read(BLOCK_BYTES):
            *whole, held = (held + block).split(b"\n")
            if len(held) > LINE_BYTES:
                raise pa.ArrowInvalid(f"a line is longer than {LINE_BYTES:,} bytes")
            if whole:
                yield _of_lines(whole)
    if held:
        yield _of_lines([held])


def _of_lines(whole: list[bytes]) -> pa.RecordBatch:
    texts = pa.array([line.removesuffix(b"\r").decode(errors="replace") for line in whole], pa.string())
    return pa.RecordBatch.from_arrays([texts], names=["line"])


def _blocks(
    path: str, kind: str, settings: Mapping[str, Any], types: pa.Schema, wanted: list[str], block: int
) -> Iterator[pa.RecordBatch]:
    with opened(path, settings) as stream:
        if kind == "jsonl":
            for batch in _json_reader(stream, block, types):
                batch.validate(full=True)  # pyarrow takes bytes that are not UTF-8 for text
                yield batch
            return
        read, parse = _csv_read(settings, block), csv_parse(path, settings)
        names = _names(path, settings)
        include = [name for name in wanted if name in names] or names[:1]
        known = {name: types.field(name).type if name in wanted else pa.binary() for name in include}
        counted = Passing(stream, str(settings.get("quote", '"')).encode())
        yield from csv.open_csv(pa.PythonFile(counted, "r"), read, parse, convert(settings, known, include))
    if counted.quotes % 2:
        check_closed(path, settings)


def _names(path: str, settings: Mapping[str, Any]) -> list[str]:
    """The column names of a CSV file, from its first row only."""
    for block in (1 << 16, LINE_BYTES):
        with opened(path, settings) as stream:
            first = pa.PythonFile(Passing(stream, most=2 * block), "r")
            read, parse = _csv_read(settings, block), csv_parse(path, settings)
            try:
                return list(csv.open_csv(first, read, parse, convert(settings, {})).schema.names)
            except pa.ArrowInvalid as error:
                if block == LINE_BYTES or not _TOO_LONG.search(str(error)):
                    raise
    raise AssertionError("the loop returns or raises")


def _json_reader(stream: Any, block: int, schema: pa.Schema | None) -> Any:
    parse = json.ParseOptions() if schema is None else json.ParseOptions(schema, unexpected_field_behavior="error")
    return json.open_json(stream, json.ReadOptions(use_threads=False, block_size=block), parse)


def _csv_read(settings: Mapping[str, Any], block: int) -> csv.ReadOptions:
    return csv.ReadOptions(
        use_threads=False,
        block_size=block,
        skip_rows=int(settings.get("skip_rows", 0)),
        column_names=settings.get("columns"),
        autogenerate_column_names=not settings.get("header", True) and "columns" not in settings,
    )


def csv_parse(path: str, settings: Mapping[str, Any]) -> csv.ParseOptions:
    return csv.ParseOptions(
        delimiter=delimiter(path, settings),
        quote_char=settings.get("quote", '"') or False,
        escape_char=settings.get("escape") or False,
        newlines_in_values=True,
    )


def convert(
    settings: Mapping[str, Any], types: Mapping[str, pa.DataType], include: list[str] | None = None
) -> csv.ConvertOptions:
    return csv.ConvertOptions(
        column_types=dict(types),
        include_columns=include or [],
        null_values=list(settings.get("null_values", [""])),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        decimal_point=settings.get("decimal_point", "."),
    )


def _given(settings: Mapping[str, Any]) -> dict[str, pa.DataType]:
    found = {name: named_type(text) for name, text in settings.get("types", {}).items()}
    for name, kind in found.items():
        if kind is None:
            raise InvalidParameter(
                f"types.{name}",
                f"is `{settings['types'][name]}`; known are bool, int64 and the other widths, double, decimal(p,s), "
                "string, binary, date, time, timestamp, timestamptz, timestamp_ns.",
            )
    return {name: kind for name, kind in found.items() if kind is not None}


def _guessed(kind: pa.DataType) -> pa.DataType:
    """Later rows may have fractions of a second."""
    if pt.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("us", kind.tz)
    if pt.is_time32(kind):
        return pa.time64("us")
    if pt.is_struct(kind):
        return pa.struct([inner.with_type(_guessed(inner.type)) for inner in kind])
    return pa.list_(_guessed(kind.value_type)) if pt.is_list(kind) else kind
