"""CSV and JSON lines: what a file's first bytes suggest, reading by fixed types, and where a refused line is."""

from __future__ import annotations

import csv as stdlib_csv
import gzip
import io
import json as stdlib_json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.json as json
import pyarrow.types as pt

from workbench.contract.errors import DataError, InvalidParameter
from workbench_files.unify import named_type

__all__ = ["batches", "guess", "refused"]

SAMPLE_BYTES = 8 << 20
BLOCK_BYTES = 16 << 20
"""What is parsed at once; a longer line is refused."""
_CSV_ERROR = re.compile(r"(?:In CSV column #(?P<column>\d+): )?.*?Row #(?P<row>\d+): (?P<why>.*)", re.DOTALL)
_HINT = "Say `types` for this table (or a larger `sample_bytes`), or mend the line"


def guess(path: str, kind: str, settings: Mapping[str, Any]) -> pa.Schema:
    """Names and types of the first `sample_bytes`. Times get microseconds."""
    given = _given(settings)
    sample = int(settings.get("sample_bytes", SAMPLE_BYTES))
    with _opened(path) as stream:
        if not _has_content(path):
            return pa.schema([])
        if kind == "csv":
            convert = _convert(settings, given)
            reader: Any = csv.open_csv(stream, _csv_read(path, settings, sample), _csv_parse(path, settings), convert)
        else:
            reader = _json_reader(stream, sample, None)
        schema = reader.schema
    fields = [column.with_type(given.get(column.name, _guessed(column.type))) for column in schema]
    fields += [pa.field(name, given[name]) for name in given if kind == "jsonl" and name not in schema.names]
    return pa.schema(fields)


def batches(
    path: str, kind: str, settings: Mapping[str, Any], types: pa.Schema, wanted: list[str]
) -> Iterator[pa.RecordBatch]:
    """The rows with the columns of `wanted` that the file has (all of a JSON file's, for an unknown one is an
    error there). `types` are the table's."""
    if not _has_content(path):
        return
    with _opened(path) as stream:
        if kind == "jsonl":
            yield from _json_reader(stream, BLOCK_BYTES, types)
            return
        read, parse = _csv_read(path, settings, BLOCK_BYTES), _csv_parse(path, settings)
        names = guess_names(path, settings)
        include = [name for name in wanted if name in names] or names[:1]
        known = {name: types.field(name).type if name in wanted else pa.binary() for name in include}
        counted = _Counted(stream, str(settings.get("quote", '"')).encode())
        yield from csv.open_csv(pa.PythonFile(counted, "r"), read, parse, _convert(settings, known, include))
    if counted.quotes % 2:
        _check_closed(path, settings)


class _Counted:
    """A stream that counts the quotes which pass."""

    closed = False

    def __init__(self, stream: Any, quote: bytes) -> None:
        self._stream, self._quote = stream, quote
        self.quotes = 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self.quotes += data.count(self._quote) if self._quote else 0
        return data

    def close(self) -> None:
        """Who opened the stream closes it."""


def _check_closed(path: str, settings: Mapping[str, Any]) -> None:
    """Raises ArrowInvalid when the file ends within a quoted field. For pyarrow the field ends there, with all the
    rows in it that follow the quote which was not closed. Asked only where the number of quotes is odd, because this
    is slow."""
    with _text(path) as text:
        reader = _csv_reader(text, path, settings, strict=True)
        rows = 0
        try:
            for fields in reader:
                rows += bool(fields)
        except stdlib_csv.Error as error:
            if "unexpected end of data" in str(error):
                raise pa.ArrowInvalid(f"Row #{rows + 1}: a quote is never closed") from None


def guess_names(path: str, settings: Mapping[str, Any]) -> list[str]:
    """The column names of a CSV file, from its first row only."""
    with _opened(path) as stream:
        read, parse = _csv_read(path, settings, BLOCK_BYTES), _csv_parse(path, settings)
        return list(csv.open_csv(stream, read, parse, _convert(settings, {})).schema.names)


def refused(
    path: str, shown: str, kind: str, settings: Mapping[str, Any], types: pa.Schema, error: Exception
) -> DataError:
    """What pyarrow refused, as an error that names file, line and column."""
    find = _refused_csv if kind == "csv" else _refused_json
    column, row, line, value, why = find(path, settings, types, str(error))
    return DataError(column, row, value, f"{why} ({shown}, line {line}). {_HINT}.")


def _refused_csv(
    path: str, settings: Mapping[str, Any], types: pa.Schema, message: str
) -> tuple[str, int, int, str, str]:
    match = _CSV_ERROR.search(message)
    if match is None:
        return "(unknown)", 0, 0, "a value", f"is refused: {message}"
    number = int(match["row"])
    header = 1 if settings.get("header", True) and "columns" not in settings else 0
    fields, line = _csv_row(path, settings, number)
    row = number - 1 - header
    if match["column"] is None:
        return (
            "(whole line)",
            row,
            line,
            _cut(",".join(fields)),
            f"does not have the fields that it should: {match['why']}",
        )
    at = int(match["column"])
    names = guess_names(path, settings)
    name = names[at] if at < len(names) else f"#{at}"
    value = fields[at] if at < len(fields) else ""
    kind = types.field(name).type if name in types.names else "text"
    return name, row, line, _cut(repr(value)), f"is not {kind}"


def _csv_row(path: str, settings: Mapping[str, Any], number: int) -> tuple[list[str], int]:
    """The fields and the line of a row that counts from 1, the header included."""
    with _text(path) as text:
        reader = _csv_reader(text, path, settings)
        rows = 0
        for fields in reader:
            rows += bool(fields)  # empty lines are no rows
            if rows == number:
                return fields, reader.line_num + int(settings.get("skip_rows", 0))
    return [], 0


def _csv_reader(text: io.TextIOWrapper, path: str, settings: Mapping[str, Any], strict: bool = False) -> Any:
    """The standard library's, behind the rows that are skipped."""
    quote = settings.get("quote", '"')
    for _ in range(int(settings.get("skip_rows", 0))):
        text.readline()
    return stdlib_csv.reader(
        text,
        delimiter=_delimiter(path, settings),
        quotechar=quote or None,
        quoting=stdlib_csv.QUOTE_MINIMAL if quote else stdlib_csv.QUOTE_NONE,
        escapechar=settings.get("escape"),
        strict=strict,
    )


def _refused_json(
    path: str, settings: Mapping[str, Any], types: pa.Schema, message: str
) -> tuple[str, int, int, str, str]:
    row = -1
    with _text(path) as text:
        for line, content in enumerate(text, 1):
            if not content.strip():
                continue
            row += 1
            try:
                document = stdlib_json.loads(content)
            except ValueError as error:
                return "(whole line)", row, line, _cut(content.strip()), f"is not JSON: {error}"
            if not isinstance(document, dict):
                return "(whole line)", row, line, _cut(content.strip()), "is not a JSON object; a line is one object"
            for name, value in document.items():
                if name not in types.names:
                    return name, row, line, _cut(repr(value)), "is a field that the sample did not have"
                if (why := _misfit(value, types.field(name).type)) is not None:
                    return name, row, line, _cut(repr(value)), why
    return "(unknown)", 0, 0, "a value", f"is refused: {message}"


def _misfit(value: Any, kind: pa.DataType) -> str | None:
    """Why pyarrow's JSON reader would not take a value as `kind`; None when nothing is seen."""
    if value is None:
        return None
    if pt.is_struct(kind) and isinstance(value, dict):
        for name, inner in value.items():
            at = kind.get_field_index(name)
            if at < 0:
                return f"has the field `{name}`, which the sample did not have"
            if (why := _misfit(inner, kind.field(at).type)) is not None:
                return f"in `{name}`: {why}"
        return None
    if pt.is_list(kind) and isinstance(value, list):
        return next((why for inner in value if (why := _misfit(inner, kind.value_type)) is not None), None)
    text = pt.is_string(kind) or pt.is_timestamp(kind) or pt.is_date(kind) or pt.is_time(kind) or pt.is_binary(kind)
    fits = (
        isinstance(value, bool) if pt.is_boolean(kind)
        else isinstance(value, str) if text
        else isinstance(value, int) and not isinstance(value, bool) if pt.is_integer(kind)
        else isinstance(value, (int, float, str)) and not isinstance(value, bool)
    )  # fmt: skip
    if fits and isinstance(value, str) and not pt.is_string(kind):
        try:
            pa.array([value]).cast(kind)
        except pa.ArrowInvalid:
            fits = False
    return None if fits else f"is not {kind}"


def _json_reader(stream: Any, block: int, schema: pa.Schema | None) -> Any:
    parse = json.ParseOptions() if schema is None else json.ParseOptions(schema, unexpected_field_behavior="error")
    return json.open_json(stream, json.ReadOptions(use_threads=False, block_size=block), parse)


def _csv_read(path: str, settings: Mapping[str, Any], block: int) -> csv.ReadOptions:
    return csv.ReadOptions(
        use_threads=False,
        block_size=block,
        skip_rows=int(settings.get("skip_rows", 0)),
        column_names=settings.get("columns"),
        autogenerate_column_names=not settings.get("header", True) and "columns" not in settings,
    )


def _csv_parse(path: str, settings: Mapping[str, Any]) -> csv.ParseOptions:
    return csv.ParseOptions(
        delimiter=_delimiter(path, settings),
        quote_char=settings.get("quote", '"') or False,
        escape_char=settings.get("escape") or False,
        newlines_in_values=True,
    )


def _convert(
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


def _delimiter(path: str, settings: Mapping[str, Any]) -> str:
    return str(settings.get("delimiter", "\t" if path.lower().endswith((".tsv", ".tsv.gz")) else ","))


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


def _opened(path: str) -> Any:
    raw = pa.OSFile(path)
    return pa.CompressedInputStream(raw, "gzip") if path.lower().endswith(".gz") else raw


def _has_content(path: str) -> bool:
    with _opened(path) as stream:
        return bool(stream.read(1))


def _text(path: str) -> io.TextIOWrapper:
    """For people's eyes: bytes that are not UTF-8 are shown as such."""
    raw: Any = gzip.GzipFile(path) if path.lower().endswith(".gz") else io.FileIO(path)
    return io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8-sig", errors="backslashreplace", newline="")


def _cut(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
