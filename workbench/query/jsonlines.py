"""Record batches as lines of JSON, a column at a time: no Python object is made for the values of plain types."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from workbench.query.arrays import none, text, texts
from workbench.query.pylist import clock, pylist

__all__ = ["as_json", "lines"]

_TEXT = pa.large_string()
_ESCAPED = {letter: json.dumps(letter)[1:-1] for letter in ("\\", '"', *map(chr, range(32)))}  # the backslash first


def lines(batch: pa.RecordBatch) -> pa.Buffer:
    """One object a row, each with its line's end. What JSON has no value for is text: decimals, times (ISO 8601),
    numbers that are not finite; bytes are base64."""
    parts: list[Any] = []
    for at, column in enumerate(batch.columns):
        lead = "{" if at == 0 else ", "
        parts += [_text(f"{lead}{json.dumps(batch.schema.field(at).name, ensure_ascii=False)}: "), _values(column)]
    if not parts:
        return pa.py_buffer(b"{}\n" * batch.num_rows)
    # The texts of an array lie one behind the other, so they are the lines.
    whole = pc.binary_join_element_wise(*parts, _text("}\n"), _text(""))
    offsets, data = whole.buffers()[1:]
    bounds = pa.Array.from_buffers(pa.int64(), len(whole) + 1, [None, offsets], offset=whole.offset)
    start = bounds[0].as_py()
    return data.slice(start, bounds[len(whole)].as_py() - start) if data is not None else pa.py_buffer(b"")


def as_json(column: pa.Array) -> pa.Array:
    """Each value as JSON in a text; NULL stays NULL."""
    return pc.if_else(column.is_valid(), _values(column), none(_TEXT))


def _values(column: pa.Array) -> pa.Array:
    """Each value as JSON."""
    kind = column.type
    if pt.is_dictionary(kind):
        return _values(column.dictionary_decode())
    for is_kind, form in _FORMS:
        if is_kind(kind):
            return pc.fill_null(form(column), _text("null"))
    return texts([json.dumps(_plain(value), ensure_ascii=False, allow_nan=False) for value in pylist(column)])


def _number(column: pa.Array) -> pa.Array:
    return column.cast(_TEXT)


def _real(column: pa.Array) -> pa.Array:
    """With a point or an exponent, so that it is read as what it is; as text where it is not finite."""
    text = column.cast(_TEXT)
    whole = pc.match_substring_regex(text, r"^-?[0-9]+$")
    text = pc.if_else(whole, _joined(text, ".0"), text)
    finite = pc.is_finite(column)
    return text if pc.all(finite).as_py() is not False else pc.if_else(finite, text, _quoted(text))


def _string(column: pa.Array) -> pa.Array:
    text = column.cast(_TEXT)
    if pc.any(pc.match_substring_regex(text, r'[\x00-\x1f"\\]')).as_py():
        for letter, escaped in _ESCAPED.items():
            text = pc.replace_substring(text, letter, escaped)
    return _quoted(text)


def _unescaped(column: pa.Array) -> pa.Array:
    return _quoted(column.cast(_TEXT))


def _moment(column: pa.Array) -> pa.Array:
    """ISO 8601; a fraction only where there is one."""
    zoned = pt.is_timestamp(column.type) and column.type.tz is not None
    plain = column.cast(pa.timestamp(column.type.unit)) if zoned else column
    text = pc.replace_substring_regex(pc.replace_substring(plain.cast(_TEXT), " ", "T"), r"\.0+$", "")
    return _quoted(_joined(text, "+00:00") if zoned else text)


def _time(column: pa.Array) -> pa.Array:
    return _quoted(pc.replace_substring_regex(clock(column), r"\.0+$", ""))


def _is_utc_or_local(kind: pa.DataType) -> bool:
    return bool(pt.is_timestamp(kind)) and kind.tz in (None, "UTC")


_FORMS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (pt.is_boolean, _number),
    (pt.is_integer, _number),
    (pt.is_float32, _real),
    (pt.is_float64, _real),
    (pt.is_string, _string),
    (pt.is_large_string, _string),
    (pt.is_string_view, _string),
    (pt.is_decimal, _unescaped),
    (pt.is_date32, _unescaped),
    (pt.is_time, _time),
    (_is_utc_or_local, _moment),
)
"""The types of which every value is formatted by Arrow; the others go through Python."""


def _text(value: str) -> pa.Scalar:
    return text(value)


def _joined(text: pa.Array, end: str) -> pa.Array:
    return pc.binary_join_element_wise(text, _text(end), _text(""))


def _quoted(text: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(_text('"'), text, _text('"'), _text(""))


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)
