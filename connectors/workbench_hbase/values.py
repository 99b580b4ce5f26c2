"""Arrow's values as the bytes that a mapping's kinds write, and which types go into which kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["fits", "proposed", "written"]

Bytes = list[bytes | None]
_PROPOSED = {"bool": "boolean", "int8": "short", "int16": "short", "uint8": "short", "int32": "int", "uint16": "int",
             "float": "float", "double": "double", "binary": "bytes", "large_binary": "bytes"}  # fmt: skip


def proposed(kind: pa.DataType, key: bool) -> str:
    """The kind that a column of this type would best have; in a key one whose bytes are in the values' order."""
    import pyarrow.types as pt

    if pt.is_integer(kind):
        found = _PROPOSED.get(str(kind), "long")
        return f"sorted_{found}" if key and found in ("int", "long") else "sorted_int" if key else found
    return "time" if pt.is_timestamp(kind) else _PROPOSED.get(str(kind), "text")


def fits(kind: pa.DataType, into: str) -> bool:
    """Whether values of the type have a form in the kind. Single ones may not: `written` then raises."""
    import pyarrow.types as pt

    match into:
        case "text" | "json":
            return any(test(kind) for test in (pt.is_string, pt.is_large_string, pt.is_date, pt.is_decimal))
        case "bytes":
            return any(test(kind) for test in (pt.is_binary, pt.is_large_binary, pt.is_fixed_size_binary))
        case "boolean":
            return bool(pt.is_boolean(kind))
        case "float" | "double" | "text_double":
            return bool(pt.is_floating(kind))
        case "time" | "reversed_time" | "cell_time":
            return bool(pt.is_timestamp(kind))
    return bool(pt.is_integer(kind))


def written(column: pa.Array, kind: str) -> Bytes:
    """The bytes of each value, None for NULL. A time without a zone is one in UTC. Raises pyarrow.ArrowInvalid where
    a value has no form, and then says which one."""
    import pyarrow as pa

    match kind:
        case "text" | "json":
            return [None if value is None else value.encode() for value in column.cast(pa.string()).to_pylist()]
        case "bytes":
            return list(column.cast(pa.binary()).to_pylist())
        case "boolean":
            return [None if value is None else b"\xff" if value else b"\0" for value in column.to_pylist()]
        case "text_integer":
            return [None if value is None else str(value).encode() for value in column.to_pylist()]
        case "text_double":
            return [None if value is None else repr(value).encode() for value in column.to_pylist()]
        case "time" | "reversed_time" | "cell_time":
            zone = column.type.tz
            whole = column.cast(pa.timestamp("ms", zone)).cast(pa.int64())
            return _packed(whole, "int64", _past if kind == "reversed_time" else None)
        case "float" | "double":
            return _packed(
                column.cast(pa.float32() if kind == "float" else pa.float64()), f"f{4 if kind == 'float' else 8}"
            )
        case "short":
            return _packed(column.cast(pa.int16()), "int16")
        case "int" | "sorted_int":
            return _packed(column.cast(pa.int32()), "int32", _turned if kind == "sorted_int" else None)
    return _packed(column.cast(pa.int64()), "int64", _turned if kind == "sorted_long" else None)


def _packed(column: pa.Array, form: str, change: Callable[[Any], Any] | None = None) -> Bytes:
    """Numbers of one width, the greatest byte first."""
    import numpy
    import pyarrow.compute as pc

    values = numpy.asarray(pc.fill_null(column, 0)).astype(form)
    if change is not None:
        values = change(values)
    raw, width = values.astype(values.dtype.newbyteorder(">")).tobytes(), values.dtype.itemsize
    found: Bytes = [raw[at : at + width] for at in range(0, len(raw), width)]
    for index in pc.indices_nonzero(column.is_null()).to_pylist():
        found[index] = None
    return found


def _turned(values: Any) -> Any:
    """The sign bit the other way round."""
    import numpy

    return values ^ numpy.iinfo(values.dtype).min


def _past(values: Any) -> Any:
    """The largest number less the value."""
    import numpy
    import pyarrow as pa

    if (values < 0).any():
        raise pa.ArrowInvalid("a time before 1970 has no reversed form")
    return numpy.iinfo(values.dtype).max - values
