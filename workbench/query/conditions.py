"""Conditions on the rows of a result, as a grid asks for them: checked against the columns' types, never SQL."""

from __future__ import annotations

import datetime
import decimal
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from workbench.contract.errors import InvalidParameter, LimitExceeded, UnknownColumn

__all__ = ["OPERATORS", "Condition", "Conditions", "Order", "checked"]

OPERATORS = {"eq": 1, "ne": 1, "lt": 1, "le": 1, "gt": 1, "ge": 1, "between": 2, "in": None}
OPERATORS |= {"contains": 1, "starts_with": 1, "ends_with": 1, "is_null": 0, "not_null": 0}
"""What can be asked of a column, with the number of values that it takes; None: any number."""
_TEXTUAL = ("contains", "starts_with", "ends_with")
MOST_CONDITIONS, MOST_VALUES, MOST_TEXT = 100, 1_000, 10_000

_INTEGERS = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "utinyint",
    pa.uint16(): "usmallint",
    pa.uint32(): "uinteger",
    pa.uint64(): "ubigint",
}
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(Z|[+-]\d\d(?::?\d\d)?)?)?")
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,9})?)?")


@dataclass(frozen=True)
class Condition:
    """On the column of that number. Each value is its text and is to be read as DuckDB's type `kind`."""

    column: int
    op: str
    values: tuple[str, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class Order:
    column: int
    descending: bool


@dataclass(frozen=True)
class Conditions:
    """All of `filters` hold, and some column has `search` in its text, in any case; in the order of `sort`, equal rows
    as they came, NULLs last."""

    sort: tuple[Order, ...] = ()
    filters: tuple[Condition, ...] = ()
    search: str = ""

    def __bool__(self) -> bool:
        return bool(self.sort or self.filters or self.search)


def checked(
    schema: pa.Schema, sort: Sequence[Mapping[str, Any]], filters: Sequence[Mapping[str, Any]], search: str
) -> Conditions:
    """What was asked, if it can be: `sort` of `{column, descending}`, `filters` of `{column, op, value}`. Raises
    UnknownColumn, InvalidParameter, LimitExceeded."""
    for what, count, most in (
        ("sort", len(sort), MOST_CONDITIONS),
        ("filters", len(filters), MOST_CONDITIONS),
        ("search", len(search), MOST_TEXT),
    ):
        if count > most:
            raise LimitExceeded(what, f"{most:,}")
    return Conditions(
        tuple(_order(schema, one) for one in sort), tuple(_condition(schema, one) for one in filters), search
    )


def sortable(kind: pa.DataType) -> bool:
    return not (pt.is_nested(kind) or pt.is_decimal256(kind) or pt.is_null(kind) or pt.is_float16(kind)) and (
        kind in _INTEGERS
        or any(
            fits(kind)
            for fits in (
                pt.is_boolean,
                pt.is_floating,
                pt.is_decimal,
                pt.is_string,
                pt.is_large_string,
                pt.is_binary,
                pt.is_large_binary,
                pt.is_date,
                pt.is_timestamp,
                pt.is_time,
                pt.is_duration,
            )
        )
    )


def _column(schema: pa.Schema, name: str) -> int:
    found = schema.get_all_field_indices(name)
    if not found:
        raise UnknownColumn(name[:200], schema.names)
    if len(found) > 1:
        raise InvalidParameter("column", f"`{name[:200]}` is the name of {len(found)} columns. Name them apart.")
    return int(found[0])


def _order(schema: pa.Schema, asked: Mapping[str, Any]) -> Order:
    column = _column(schema, asked["column"])
    kind = schema.field(column).type
    if not sortable(kind):
        raise InvalidParameter(
            "sort", f"cannot be by `{asked['column'][:200]}`, for values of type {kind} have no order."
        )
    return Order(column, bool(asked.get("descending", False)))


def _condition(schema: pa.Schema, asked: Mapping[str, Any]) -> Condition:
    column, op, name = _column(schema, asked["column"]), asked["op"], asked["column"][:200]
    if op not in OPERATORS:
        raise InvalidParameter("op", f"is `{str(op)[:40]}`; it is one of {', '.join(OPERATORS)}.")
    given = asked.get("value")
    values = [] if given is None else list(given) if isinstance(given, list) else [given]
    wanted = OPERATORS[op]
    if len(values) > MOST_VALUES:
        raise LimitExceeded("values of a filter", f"{MOST_VALUES:,}")
    if (wanted is None and not values) or (wanted is not None and len(values) != wanted):
        count = "one or more values" if wanted is None else f"{wanted} value{'' if wanted == 1 else 's'}"
        raise InvalidParameter("value", f"of `{op}` on `{name}` is {count}; {len(values)} came.")
    if not values:
        return Condition(column, op)
    kind = schema.field(column).type
    text = pt.is_string(kind) or pt.is_large_string(kind)
    if op in _TEXTUAL and not text:
        raise InvalidParameter("op", f"`{op}` asks for text, and `{name}` is of type {kind}.")
    if pt.is_boolean(kind) and op not in ("eq", "ne", "in"):
        raise InvalidParameter("op", f"`{op}` has no meaning for `{name}`, which is true or false.")
    typed = [_typed(one, kind, name) for one in values]
    return Condition(column, op, tuple(one for one, _ in typed), typed[0][1])


def _typed(value: object, kind: pa.DataType, name: str) -> tuple[str, str]:
    """The value's text in DuckDB's writing, and the type to read it as."""

    def unfit(what: str) -> InvalidParameter:
        shown = value if isinstance(value, str) else repr(value)
        return InvalidParameter("value", f"`{str(shown)[:100]}` for `{name}` is not {what}.")

    if isinstance(value, (dict, list)) or value is None:
        raise unfit("a single value")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if len(text) > MOST_TEXT or "\0" in text:
        raise unfit(f"a text of {MOST_TEXT:,} characters at most, without NUL")
    if pt.is_string(kind) or pt.is_large_string(kind):
        return text, "varchar"
    text = text.strip()
    if pt.is_boolean(kind):
        if text.lower() not in ("true", "false"):
            raise unfit("true or false")
        return text.lower(), "boolean"
    if kind in _INTEGERS:
        return _whole(text, kind, unfit), _INTEGERS[kind]
    if pt.is_float32(kind) or pt.is_float64(kind):
        try:
            return repr(float(text)), "float" if pt.is_float32(kind) else "double"
        except ValueError:
            raise unfit("a number") from None
    if pt.is_decimal(kind) and not pt.is_decimal256(kind):
        return _decimal(text, kind, unfit)
    if pt.is_date(kind):
        return _date(text, unfit), "date"
    if pt.is_timestamp(kind):
        return _stamp(text, kind, unfit)
    if pt.is_time(kind):
        if not _CLOCK.fullmatch(text):
            raise unfit("a time of day such as 18:30:00")
        return text, "time"
    raise InvalidParameter("op", f"on `{name}` can only be is_null or not_null, for it is of type {kind}.")


def _whole(text: str, kind: pa.DataType, unfit: Any) -> str:
    if not re.fullmatch(r"[+-]?\d{1,30}(\.0*)?", text):
        raise unfit("a whole number")
    value = int(text.partition(".")[0])
    unsigned = pt.is_unsigned_integer(kind)
    least = 0 if unsigned else -(1 << (kind.bit_width - 1))
    most = (1 << (kind.bit_width - (0 if unsigned else 1))) - 1
    if not least <= value <= most:
        raise unfit(f"a {kind}, which goes from {least:,} to {most:,}")
    return str(value)


def _decimal(text: str, kind: pa.DataType, unfit: Any) -> tuple[str, str]:
    try:
        value = decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise unfit("a number") from None
    if not value.is_finite() or abs(value.adjusted()) > 40:
        if value != 0:
            raise unfit("a number of 38 digits at most")
        value = decimal.Decimal(0)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    # With more digits after the point than the column has, so that `> 1.005` means what it says.
    scale = max(kind.scale, min(-exponent, 37))
    if max(value.adjusted() + 1, kind.precision - kind.scale) + scale > 38:
        raise unfit(f"a {kind}")
    return f"{value:f}", f"decimal(38, {max(scale, 0)})"


def _date(text: str, unfit: Any) -> str:
    try:
        return datetime.date.fromisoformat(
            text[:10] if re.fullmatch(r".{10}[ T]00:00(:00(\.0+)?)?", text) else text
        ).isoformat()
    except ValueError:
        raise unfit("a date such as 2026-11-28") from None


def _stamp(text: str, kind: pa.DataType, unfit: Any) -> tuple[str, str]:
    example = "a time such as 2026-11-28 18:30:00" + (" or 2026-11-28 18:30:00+01:00" if kind.tz else "")
    parts = _STAMP.fullmatch(text)
    if parts is None:
        raise unfit(example)
    day, clock, offset = parts.groups()
    clock = clock or "00:00:00"
    whole, _, fraction = (clock if clock.count(":") == 2 else f"{clock}:00").partition(".")
    try:
        moment = datetime.datetime.fromisoformat(f"{day} {whole}{offset or ''}")
        if offset and not kind.tz:
            raise unfit("a time without a zone, as the column's are")
        if kind.tz:
            if not offset:
                moment = moment.replace(tzinfo=_zone(kind.tz))
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise unfit(example) from None
    said = f"{moment:%Y-%m-%d %H:%M:%S}".rjust(19, "0") + (f".{fraction}" if fraction else "")
    if kind.tz:
        return f"{said[:26]}+00", "timestamptz"
    return said, "timestamp_ns" if kind.unit == "ns" else "timestamp"


def _zone(name: str) -> datetime.tzinfo:
    if parts := re.fullmatch(r"([+-])(\d\d):?(\d\d)", name):
        sign, hours, minutes = parts.groups()
        length = datetime.timedelta(hours=int(hours), minutes=int(minutes))
        return datetime.timezone(-length if sign == "-" else length)
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return datetime.UTC
