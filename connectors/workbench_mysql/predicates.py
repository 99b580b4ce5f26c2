"""Predicates in the server's SQL: only what is known to mean the same there, made from the tree by white-list.

A fragment is EXACT when the server says TRUE for just the rows for which DuckDB says TRUE of the delivered values.
NOT is pushed down to the leaves first (`NOT a < b` is `a >= b`, three-valued logic included), so FALSE and NULL need
not be told apart.
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.contract.predicate import And, Applied, Column, Compare, In, IsNull, Literal, Or, Predicate, Scalar
from workbench.kit.levels import Fragment, folded, lift

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Source", "fragment", "positive", "quoted"]

_DEEPEST = 60
_MOST_LITERALS = 10_000
_LONGEST = 65_536
_INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "integer", "bigint"})
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
_BINARIES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_EVERYWHERE = re.compile(r"[A-Za-z0-9 _.,:;/+*%&()=-]*")
"""What each character set has just once: sjis and ujis have two backslashes, swe7 has letters for brackets."""
_THREE_BYTES = frozenset({"utf8mb3", "utf8"})
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_FIRST_TIMESTAMP = datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC)
_LAST_TIMESTAMP = datetime.datetime(2038, 1, 19, 3, 14, 7, 999_999, tzinfo=datetime.UTC)
_COLLATION = "text is compared by the column's collation there, by code point here"


@dataclass(frozen=True)
class Source:
    """What has to be known of a column: `type` is information_schema's data_type, `arrow` what is delivered."""

    name: str
    type: str
    arrow: pa.DataType
    charset: str = ""
    digits: int = 6
    """Of a second, in a datetime or timestamp."""


class _NotIn(In):
    """`NOT IN`, as a leaf."""


class _Cannot(Exception):
    """The text says why not."""


def quoted(name: str) -> str:
    """An identifier, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def fragment(predicate: Predicate, columns: Mapping[str, Source]) -> Fragment:
    """The predicate for the server, and how far it is applied."""
    return lift(positive(predicate), lambda leaf: _leaf(leaf, columns), deepest=_DEEPEST)


def positive(predicate: Predicate) -> Predicate:
    """The same without NOT: pushed down to the leaves, which have opposites."""
    return folded(
        predicate,
        lambda leaf, negated: _opposite(leaf) if negated else leaf,
        lambda parts, both: And(tuple(parts)) if both else Or(tuple(parts)),
    )


def _opposite(leaf: Compare | In | IsNull) -> Predicate:
    match leaf:
        case Compare(column=column, op=op, literal=literal):
            return Compare(column, _OPPOSITE[op], literal)  # type: ignore[arg-type]
        case In(column=column, literals=literals):
            return _NotIn(column, literals)
        case IsNull(column=column, negated=negated):
            return IsNull(column, not negated)


def _leaf(leaf: Predicate, columns: Mapping[str, Source]) -> Fragment:
    assert isinstance(leaf, Compare | In | IsNull)
    try:
        source = _source(leaf.column, columns)
        match leaf:
            case IsNull(negated=negated):
                return _is_null(source, negated)
            case Compare(op=op, literal=literal):
                return _compare(source, op, literal)
            case In(literals=literals):
                return _member(source, literals, isinstance(leaf, _NotIn))
    except _Cannot as reason:
        return Fragment("", Applied.NONE, f"{leaf.column}: {reason}")


def _source(column: Column, columns: Mapping[str, Source]) -> Source:
    if len(column.path) > 1:
        raise _Cannot("a field inside a value")
    return columns[column.name]


def _is_null(source: Source, negated: bool) -> Fragment:
    name = quoted(source.name)
    if valid := _valid(source):
        # What no calendar has is delivered as NULL, and `IS NULL` finds 0000-00-00 in some columns and not in others.
        text = f"({valid}) is true" if negated else f"({valid}) is not true"
        return Fragment(text, Applied.EXACT)
    return Fragment(f"{name} is not null" if negated else f"{name} is null", Applied.EXACT)


def _compare(source: Source, op: str, literal: Literal) -> Fragment:
    write = _writer(source)
    if source.type in _TEXTS:
        if op != "=":
            raise _Cannot(_COLLATION)
        text = f"{quoted(source.name)} = {write(literal.value)}"
        return Fragment(text, Applied.SUPERSET, f"{source.name}: {_COLLATION}")
    if op == "=" and _finer(source, literal.value):
        return Fragment("false", Applied.EXACT)
    if source.type == "timestamp":
        return _timestamp(source, op, literal)
    text = f"{_operand(source)} {op} {write(literal.value)}"
    valid = _valid(source)
    if valid and op != "=":
        text = f"({text} and {valid})"
    return Fragment(text, Applied.EXACT)


def _timestamp(source: Source, op: str, literal: Literal) -> Fragment:
    """Constants beyond what the type holds are decided here: servers make zeros or errors of them."""
    moment, valid = literal.value, _valid(source)
    if not isinstance(moment, datetime.datetime) or moment.tzinfo is None:
        raise _Cannot("a constant of another type")
    if moment > _LAST_TIMESTAMP:
        raise _Cannot("a moment after 2038, which not every server's TIMESTAMP has")
    if moment < _FIRST_TIMESTAMP:
        return Fragment(f"({valid}) is true" if op in (">", ">=", "<>") else "false", Applied.EXACT)
    text = f"{quoted(source.name)} {op} {_moment(moment)}"
    return Fragment(text if op == "=" else f"({text} and {valid})", Applied.EXACT)


def _member(source: Source, literals: tuple[Literal, ...], negated: bool) -> Fragment:
    if len(literals) > _MOST_LITERALS:
        raise _Cannot(f"more than {_MOST_LITERALS:,} constants")
    write, exact = _writer(source), source.type not in _TEXTS
    if negated and not exact:
        raise _Cannot(_COLLATION)
    if source.type == "timestamp":
        outside = [v for v in (one.value for one in literals) if not _fits_timestamp(v)]
        if any(isinstance(value, datetime.datetime) and value > _LAST_TIMESTAMP for value in outside):
            raise _Cannot("a moment after 2038, which not every server's TIMESTAMP has")
        literals = tuple(one for one in literals if _fits_timestamp(one.value))
    literals = tuple(one for one in literals if not _finer(source, one.value))
    if not literals:
        return Fragment(f"({_valid(source)}) is true" if negated else "false", Applied.EXACT)
    constants = ", ".join(write(literal.value) for literal in literals)
    text = f"{_operand(source)} {'not in' if negated else 'in'} ({constants})"
    valid = _valid(source)
    if valid and negated:
        text = f"({text} and {valid})"
    if exact:
        return Fragment(text, Applied.EXACT)
    return Fragment(text, Applied.SUPERSET, f"{source.name}: {_COLLATION}")


def _finer(source: Source, value: Scalar) -> bool:
    """Whether the column holds no such fraction of a second. With an index on it, servers round the constant to the
    column's digits (MySQL) or cut it (MariaDB), and find rows that are not equal."""
    return isinstance(value, datetime.datetime) and value.microsecond % 10 ** (6 - source.digits) != 0


def _operand(source: Source) -> str:
    """The column, so that it compares as what is delivered: a year with a small number would mean one after 2000."""
    return f"({quoted(source.name)} + 0)" if source.type == "year" else quoted(source.name)


def _valid(source: Source) -> str:
    """TRUE for just the values that are delivered, where a column may hold others; else empty."""
    import pyarrow as pa

    name = quoted(source.name)
    if not (pa.types.is_date(source.arrow) or pa.types.is_timestamp(source.arrow)):
        return ""
    if source.type in ("date", "datetime"):
        return f"dayofmonth({name}) between 1 and dayofmonth(last_day({name}))"
    return f"{name} >= {_moment(_FIRST_TIMESTAMP)}"  # only zero is impossible there


def _writer(source: Source) -> Callable[[Scalar], str]:
    """Writes a constant for comparison with the column. Raises _Cannot for a column that is never compared there."""
    import pyarrow as pa

    kind, arrow = source.type, source.arrow
    if kind in _INTEGERS or kind == "year":
        return _integer
    if kind == "decimal" and pa.types.is_decimal(arrow):
        return lambda value: _decimal(value, arrow.scale)
    if kind == "date" and pa.types.is_date(arrow):
        return _date
    if kind in ("datetime", "timestamp") and pa.types.is_timestamp(arrow):
        return _moment
    if kind in _TEXTS and pa.types.is_string(arrow):
        return lambda value: _text(value, source.charset)
    if kind in _BINARIES and pa.types.is_binary(arrow):
        return _bytes
    if pa.types.is_floating(arrow):
        raise _Cannot("floating point is compared here only")
    raise _Cannot(f"{kind} is compared here only")


def _integer(value: Scalar) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Cannot("a constant of another type")
    return str(value)


def _decimal(value: Scalar, scale: int) -> str:
    if not isinstance(value, decimal.Decimal) or not value.is_finite():
        raise _Cannot("a constant of another type")
    text = format(value, "f")
    if len(text.partition(".")[2]) > scale:
        raise _Cannot("a constant with more places than the column, which an index rounds")
    return text


def _date(value: Scalar) -> str:
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise _Cannot("a constant of another type")
    return f"DATE'{value.isoformat()}'"


def _moment(value: Scalar) -> str:
    """In UTC, which is the session's zone. The literal keeps the fraction, a cast would cut it."""
    if not isinstance(value, datetime.datetime):
        raise _Cannot("a constant of another type")
    plain = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
    return f"TIMESTAMP'{plain.isoformat(' ')}'"


def _text(value: Scalar, charset: str) -> str:
    """As hexadecimal: no rule of escaping can go wrong."""
    if not isinstance(value, str):
        raise _Cannot("a constant of another type")
    try:
        data = value.encode()
        if not _within(value, charset):
            raise _Cannot(f"a constant that may have characters outside {charset}, which is an error there")
    except UnicodeEncodeError:
        raise _Cannot("a constant that is not Unicode text") from None
    if charset not in ("utf8mb4", "latin1", *_THREE_BYTES) and not _EVERYWHERE.fullmatch(value):
        raise _Cannot(f"a constant with a character that {charset} may lack, have twice, or stand for by `?`")
    if len(data) > _LONGEST:
        raise _Cannot("a very long constant")
    return f"_utf8mb4 x'{data.hex()}'"


def _within(value: str, charset: str) -> bool:
    """Whether the character set surely has all of the text."""
    if charset == "utf8mb4" or value.isascii():
        return True
    if charset in _THREE_BYTES:
        return max(value) <= "\uffff"
    try:
        value.encode("cp1252")  # which is what MySQL calls Latin-1
    except UnicodeEncodeError:
        return False
    return charset == "latin1"


def _bytes(value: Scalar) -> str:
    if not isinstance(value, bytes) or len(value) > _LONGEST:
        raise _Cannot("a very long constant" if isinstance(value, bytes) else "a constant of another type")
    return f"x'{value.hex()}'"


def _fits_timestamp(value: Scalar) -> bool:
    return isinstance(value, datetime.datetime) and _FIRST_TIMESTAMP <= value <= _LAST_TIMESTAMP
