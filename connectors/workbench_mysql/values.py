"""Arrow values as constants of the server's SQL, and Arrow types as its column types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Unwritable", "column_type", "constants", "fits"]

_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "''", "\0": "\\0", "\n": "\\n", "\r": "\\r", "\x1a": "\\Z"})
_KEY_LENGTH = 255


class Unwritable(str):
    """In the place of a constant: why the value cannot be written."""


def constants(column: pa.Array) -> list[str]:
    """A constant for each value; `Unwritable` for one that the server has no constant for."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    kind = column.type
    if pt.is_dictionary(kind):
        return constants(column.dictionary_decode())
    if pt.is_null(kind):
        return ["NULL"] * len(column)
    if pt.is_boolean(kind):
        return ["NULL" if value is None else str(int(value)) for value in column.to_pylist()]
    if pt.is_integer(kind):
        return ["NULL" if value is None else str(value) for value in column.to_pylist()]
    if pt.is_floating(kind):
        return [_float(value) for value in column.to_pylist()]
    if pt.is_decimal(kind):
        return ["NULL" if value is None else format(value, "f") for value in column.to_pylist()]
    if pt.is_date(kind):
        return [_date(value) for value in column.cast(pa.date32()).cast(pa.int32()).to_pylist()]
    if pt.is_timestamp(kind):
        counts = column.cast(pa.int64())
        if kind.unit != "ns" and _usual(counts, _PER_SECOND[kind.unit]):
            texts = counts.cast(pa.timestamp(kind.unit)).cast(pa.string())
            return ["NULL" if text is None else f"'{text}'" for text in texts.to_pylist()]
        return [_moment(value, _PER_SECOND[kind.unit]) for value in counts.to_pylist()]
    if pt.is_time(kind) or pt.is_duration(kind):
        whole = column.cast(pa.int32() if pt.is_time32(kind) else pa.int64())
        return [_duration(value, _PER_SECOND[kind.unit]) for value in whole.to_pylist()]
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return ["NULL" if value is None else f"'{value.translate(_ESCAPES)}'" for value in column.to_pylist()]
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind) or pt.is_fixed_size_binary(kind):
        return ["NULL" if value is None else f"x'{value.hex()}'" for value in column.to_pylist()]
    if pt.is_nested(kind):
        texts = pa.array([None if v is None else _json(v) for v in column.to_pylist()], pa.string())
        return constants(texts)
    return constants(pc.cast(column, pa.string()))


def column_type(field: pa.Field, *, key: bool, nopad: str) -> str:
    """The type of a column that we make. `nopad` is the collation that tells all texts apart, as Arrow does."""
    import pyarrow.types as pt

    kind = field.type.value_type if pt.is_dictionary(field.type) else field.type
    if pt.is_boolean(kind):
        return "boolean"
    if pt.is_integer(kind):
        name = {8: "tinyint", 16: "smallint", 32: "int", 64: "bigint"}[kind.bit_width]
        return name + (" unsigned" if pt.is_unsigned_integer(kind) else "")
    if pt.is_floating(kind):
        return "double" if kind.bit_width == 64 else "float"
    if pt.is_decimal(kind):
        return _decimal(field)
    if pt.is_date(kind):
        return "date"
    if pt.is_timestamp(kind):
        # TIMESTAMP is a moment, from 1970 to 2038; DATETIME is what the calendar and the clock say.
        return "timestamp(6)" if kind.tz else "datetime(6)"
    if pt.is_time(kind) or pt.is_duration(kind):
        return "time(6)"
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        length = f"varchar({_KEY_LENGTH})" if key else "longtext"
        return f"{length} character set utf8mb4 collate {nopad}"
    if pt.is_fixed_size_binary(kind) and kind.byte_width <= _KEY_LENGTH:
        return f"binary({kind.byte_width})"
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind) or pt.is_fixed_size_binary(kind):
        return f"varbinary({_KEY_LENGTH})" if key else "longblob"
    if pt.is_nested(kind) and not key:
        return "json"
    if pt.is_null(kind) and not key:
        return "varchar(1)"
    raise InvalidParameter("schema", f"has column `{field.name}` of type {kind}, for which MySQL has no type")


_FAMILIES = {
    "number": {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year"},
    "text": {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json", "uuid", "inet4"}
    | {"inet6"},
    "binary": {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit", "geometry", "vector"},
    "moment": {"date", "datetime", "timestamp"},
    "time": {"time"},
}


def fits(kind: pa.DataType, data_type: str) -> bool:
    """Whether values of an Arrow type belong into a column of information_schema's `data_type`."""
    import pyarrow.types as pt

    kind = kind.value_type if pt.is_dictionary(kind) else kind
    if pt.is_null(kind):
        return True
    if pt.is_boolean(kind) or pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        family = "number"
    elif pt.is_date(kind) or pt.is_timestamp(kind):
        family = "moment"
    elif pt.is_time(kind) or pt.is_duration(kind):
        family = "time"
    elif pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind) or pt.is_nested(kind):
        family = "text"
    else:
        family = "binary"
    return data_type in _FAMILIES[family] or not any(data_type in names for names in _FAMILIES.values())


def _decimal(field: pa.Field) -> str:
    precision, scale = field.type.precision, field.type.scale
    if scale < 0:
        precision, scale = precision - scale, 0
    precision = max(precision, scale)
    if precision > 65 or scale > 30:
        raise InvalidParameter("schema", f"has column `{field.name}` of type {field.type}; MySQL has decimal(65,30)")
    return f"decimal({precision},{scale})"


def _float(value: float | None) -> str:
    if value is None:
        return "NULL"
    if value != value or value in (float("inf"), float("-inf")):
        return Unwritable(f"MySQL has no {value}")
    if value == 0 and repr(value) == "-0.0":
        return "'-0.0'"  # the number would lose its sign
    return f"{value!r}e0" if "e" not in repr(value) else repr(value)  # without the exponent it would be a decimal


def _date(days: int | None) -> str:
    if days is None:
        return "NULL"
    year, month, day = _calendar(days)
    if not 0 <= year <= 9999:
        return Unwritable(f"the year {year} is beyond MySQL's")
    return f"'{year:04}-{month:02}-{day:02}'"


def _moment(count: int | None, per_second: int) -> str:
    if count is None:
        return "NULL"
    seconds, rest = divmod(count, per_second)
    micros, lost = divmod(rest * 1_000_000, per_second)
    if lost:
        return Unwritable("MySQL has no nanoseconds")
    days, second = divmod(seconds, 86_400)
    year, month, day = _calendar(days)
    if not 0 <= year <= 9999:
        return Unwritable(f"the year {year} is beyond MySQL's")
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{micros:06}"
    return f"'{year:04}-{month:02}-{day:02} {clock}'"


def _usual(counts: pa.Array, per_second: int) -> bool:
    """Whether all moments are of the years 1 to 9999, which pyarrow writes as MySQL reads them."""
    import pyarrow.compute as pc

    ends = pc.min_max(counts).as_py()
    return ends["min"] is None or (ends["min"] >= _YEAR_1 * per_second and ends["max"] < _YEAR_10000 * per_second)


def _duration(count: int | None, per_second: int) -> str:
    if count is None:
        return "NULL"
    micros, lost = divmod(abs(count) * 1_000_000, per_second)
    if lost:
        return Unwritable("MySQL has no nanoseconds")
    seconds, micro = divmod(micros, 1_000_000)
    sign = "-" if count < 0 else ""
    return f"'{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micro:06}'"


def _calendar(days: int) -> tuple[int, int, int]:
    """Year, month and day of any day since 1970, by counting years from March."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    moon = (5 * day_of_year + 2) // 153
    month = moon + 3 if moon < 10 else moon - 9
    return year + era * 400 + (month <= 2), month, day_of_year - (153 * moon + 2) // 5 + 1


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
