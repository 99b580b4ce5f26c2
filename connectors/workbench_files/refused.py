"""Where in a text file the line is that pyarrow refused."""

from __future__ import annotations

import csv as stdlib_csv
import io
import json as stdlib_json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from workbench.contract.errors import DataError
from workbench_files import opening

__all__ = ["check_closed", "foreign", "is_foreign", "refused"]

_CSV_ERROR = re.compile(r"(?:In CSV column #(?P<column>\d+): )?.*?Row #(?P<row>\d+): (?P<why>.*)", re.DOTALL)
_HINT = "Say `types` for this table (or a larger `sample_bytes`), or mend the line"
_Found = tuple[str, int, int, str, str]


def refused(
    path: str, shown: str, kind: str, settings: Mapping[str, Any], types: pa.Schema, error: Exception
) -> DataError:
    """What pyarrow refused, as an error that names file, line and column."""
    find = _refused_csv if kind == "csv" else _refused_json
    try:
        column, row, line, value, why = find(path, settings, types, str(error))
    except (UnicodeError, stdlib_csv.Error):  # where even looking for the line goes wrong, as in a field of megabytes
        column, row, line, value, why = "(unknown)", 0, 0, "a value", f"is refused: {error}"
    return DataError(column, row, value, f"{why} ({shown}, line {line}). {_HINT}.")


def is_foreign(error: Exception) -> bool:
    """Whether it says that bytes are not of the encoding."""
    return isinstance(error, UnicodeError) or "invalid utf8" in str(error).lower()


def foreign(path: str, shown: str, kind: str, settings: Mapping[str, Any]) -> DataError:
    """The first bytes that are not of the file's encoding, as an error that names file, line and column."""
    chosen = opening.encoding(path, settings).upper()
    try:
        column, row, line, value = (_foreign_csv if kind == "csv" else _foreign_json)(path, settings)
    except (UnicodeError, stdlib_csv.Error) as error:  # a codec that cannot go on behind them
        column, row, line, value = "(unknown)", 0, 0, _cut(str(error))
    hint = "Say the `encoding` of this table (`cp1252` and `latin-1` are what old spreadsheets write)"
    if kind == "csv":
        hint += ", or `binary` in its `types` for a column of bytes"
    return DataError(column, row, value, f"is not {chosen} ({shown}, line {line}). {hint}.")


def _foreign_csv(path: str, settings: Mapping[str, Any]) -> tuple[str, int, int, str]:
    names = _names(path, settings)
    given = settings.get("types", {})
    with opening.text(path, settings, "surrogateescape") as text:
        reader = _csv_reader(text, path, settings)
        row = -1 - opening.header(settings)
        for fields in reader:
            row += bool(fields)
            for at, field in enumerate(fields):
                name = names[at] if at < len(names) else f"#{at}"
                if _is_escaped(field) and (row < 0 or given.get(name) != "binary"):
                    line = reader.line_num + int(settings.get("skip_rows", 0))
                    return ("(names)" if row < 0 else name), max(row, 0), line, _cut(_shown(field))
    return "(unknown)", 0, 0, "a value"


def _foreign_json(path: str, settings: Mapping[str, Any]) -> tuple[str, int, int, str]:
    row = -1
    with opening.text(path, settings, "surrogateescape") as text:
        for line, content in enumerate(text, 1):
            row += bool(content.strip())
            if not _is_escaped(content):
                continue
            try:
                values = stdlib_json.loads(content)
            except ValueError:
                values = None
            for name, value in values.items() if isinstance(values, dict) else ():
                if _is_escaped(shown := value if isinstance(value, str) else repr(value)):
                    return name, row, line, _cut(_shown(shown))
            return "(whole line)", row, line, _cut(_shown(content.strip()))
    return "(unknown)", 0, 0, "a value"


def _is_escaped(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


def _shown(text: str) -> str:
    return "'" + text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") + "'"


def _refused_csv(path: str, settings: Mapping[str, Any], types: pa.Schema, message: str) -> _Found:
    match = _CSV_ERROR.search(message)
    if match is None:
        return "(unknown)", 0, 0, "a value", f"is refused: {message}"
    number = int(match["row"])
    fields, line = _csv_row(path, settings, number)
    row = number - 1 - opening.header(settings)
    if match["column"] is None:
        why = f"does not have the fields that it should: {match['why']}"
        return "(whole line)", row, line, _cut(",".join(fields)), why
    at = int(match["column"])
    names = _names(path, settings)
    name = names[at] if at < len(names) else f"#{at}"
    value = fields[at] if at < len(fields) else ""
    kind = types.field(name).type if name in types.names else "text"
    return name, row, line, _cut(repr(value)), f"is not {kind}"


def _names(path: str, settings: Mapping[str, Any]) -> list[str]:
    """The columns as people would call them: those of the settings, or the first row."""
    if "columns" in settings:
        return list(settings["columns"])
    fields, _ = _csv_row(path, settings, 1)
    return fields if opening.header(settings) else [f"f{at}" for at in range(len(fields))]


def _csv_row(path: str, settings: Mapping[str, Any], number: int) -> tuple[list[str], int]:
    """The fields and the line of a row that counts from 1, the header included."""
    with opening.text(path, settings) as text:
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
        delimiter=opening.delimiter(path, settings),
        quotechar=quote or None,
        quoting=stdlib_csv.QUOTE_MINIMAL if quote else stdlib_csv.QUOTE_NONE,
        escapechar=settings.get("escape"),
        strict=strict,
    )


def _refused_json(path: str, settings: Mapping[str, Any], types: pa.Schema, message: str) -> _Found:
    row = -1
    with opening.text(path, settings) as text:
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


def check_closed(path: str, settings: Mapping[str, Any]) -> None:
    """Raises ArrowInvalid when the file ends within a quoted field. For pyarrow the field ends there, with all the
    rows in it that follow the quote which was not closed. Asked only where the number of quotes is odd, because this
    is slow."""
    with opening.text(path, settings) as text:
        reader = _csv_reader(text, path, settings, strict=True)
        rows = 0
        try:
            for fields in reader:
                rows += bool(fields)
        except stdlib_csv.Error as error:
            if "unexpected end of data" in str(error):
                raise pa.ArrowInvalid(f"Row #{rows + 1}: a quote is never closed") from None


def _cut(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
