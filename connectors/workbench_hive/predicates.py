"""Predicates and constants in HiveQL: only what is known to mean the same there, made from the tree by white-list.

A fragment that is EXACT has DuckDB's truth value for every row, NULL included: the server's logic is three-valued, and
text is compared there byte by byte, which is the order of code points.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import math
from collections.abc import Callable, Mapping

from workbench.contract.errors import Unsupported
from workbench.contract.predicate import Applied, Column, Compare, In, IsNull, Literal, Predicate, Scalar
from workbench.kit.levels import Fragment, lift
from workbench_hive.types import HiveType

__all__ = ["NULL_PARTITION", "fits", "fragment", "hint", "literal", "operand", "quoted", "text_literal"]

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_DEEPEST = 60
_MOST_LITERALS = 2_000
_LONGEST = 65_536
_INTEGERS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
_FLOATS = ("float", "double")
_TEXTS = ("string", "varchar")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _.,:/+*()=<>-")
"""Characters that stand for themselves in a text constant. No quote, no backslash, no `$`: the server replaces `${…}`
in the whole statement, quotes or not. No `%` and `;`, which some of its parts take for something else."""
_MICROSECOND = datetime.timedelta(microseconds=1)
_AGAIN = "a floating point number is compared again here"


class _Cannot(Exception):
    """The text says why not."""


def quoted(name: str) -> str:
    """An identifier, whatever is in it. Raises Unsupported for what the server would replace before it reads it."""
    if "${" in name or "\0" in name:
        raise Unsupported("The Hive connector", f"name `{name[:80]}`", "The server replaces `${…}` in each statement.")
    return "`" + name.replace("`", "``") + "`"


def operand(name: str, kind: HiveType) -> str:
    """The column in a statement. The server delivers NULL of a text partition as the name of its folder, compares it as
    such, and leaves its rows out where it is asked for what is not NULL."""
    if kind.partition and kind.name in _TEXTS:
        return f"nullif({quoted(name)}, '{NULL_PARTITION}')"
    return quoted(name)


def hint(predicate: Predicate, columns: Mapping[str, HiveType]) -> str:
    """What a comparison of a text partition says beside its fragment, so that the metastore can look for the partitions
    by itself; empty where there is nothing to say."""
    if not isinstance(predicate, Compare | In):
        return ""
    kind = columns[predicate.column.name]
    if len(predicate.column.path) > 1 or not kind.partition or kind.name not in _TEXTS:
        return ""
    return fragment(predicate, {predicate.column.name: dataclasses.replace(kind, partition=False)}).text


def text_literal(value: str) -> str:
    """A text constant: all but plain letters as escapes of four hexadecimal digits."""
    units = value.encode("utf-16-be", "surrogatepass")
    escaped = []
    for at in range(0, len(units), 2):
        unit = units[at] << 8 | units[at + 1]
        letter = chr(unit)
        escaped.append(letter if letter in _PLAIN else f"\\u{unit:04x}")
    return "'" + "".join(escaped) + "'"


def fragment(predicate: Predicate, columns: Mapping[str, HiveType]) -> Fragment:
    """The predicate for the server, and how far it is applied."""
    return lift(predicate, lambda leaf: _leaf(leaf, columns), deepest=_DEEPEST)


def _leaf(leaf: Predicate, columns: Mapping[str, HiveType]) -> Fragment:
    assert isinstance(leaf, Compare | In | IsNull)
    try:
        kind = _kind(leaf.column, columns)
        name = operand(leaf.column.name, kind)
        match leaf:
            case IsNull(negated=negated):
                return Fragment(f"({name} is {'not ' if negated else ''}null)", Applied.EXACT)
            case Compare(op=op, literal=constant):
                return _compare(name, kind, op, constant.value)
            case In(literals=literals):
                return _member(name, kind, literals)
    except _Cannot as reason:
        return Fragment("", Applied.NONE, f"{leaf.column}: {reason}")


def _kind(column: Column, columns: Mapping[str, HiveType]) -> HiveType:
    if len(column.path) > 1:
        raise _Cannot("a field inside a value")
    return columns[column.name]


def _compare(name: str, kind: HiveType, op: str, value: Scalar) -> Fragment:
    if kind.name in _FLOATS:
        return Fragment(_floating(name, op, value), Applied.SUPERSET, f"{name}: {_AGAIN}")
    if kind.name == "boolean" and op not in ("=", "<>"):
        raise _Cannot("which of true and false is greater is decided here")
    if kind.name == "timestamp":
        return Fragment(_moment(name, op, value), Applied.EXACT)
    if isinstance(value, str) and op not in ("=", "<>") and not value.isascii():
        # The server compares bytes; those that are no UTF-8 come as U+FFFD, which is elsewhere among such constants.
        raise _Cannot("text is ordered here by a constant that is not ASCII")
    return Fragment(f"({name} {op} {literal(kind, value)})", Applied.EXACT)


def _member(name: str, kind: HiveType, literals: tuple[Literal, ...]) -> Fragment:
    if len(literals) > _MOST_LITERALS:
        raise _Cannot(f"more than {_MOST_LITERALS:,} constants")
    values = [one.value for one in literals]
    if kind.name in _FLOATS:
        text = " or ".join(_floating(name, "=", value) for value in values)
        return Fragment(f"({text})", Applied.SUPERSET, f"{name}: {_AGAIN}")
    if kind.name == "timestamp":
        return Fragment("(" + " or ".join(_moment(name, "=", value) for value in values) + ")", Applied.EXACT)
    return Fragment(f"({name} in ({', '.join(literal(kind, value) for value in values)}))", Applied.EXACT)


def _moment(name: str, op: str, value: Scalar) -> str:
    """The server's values have nanoseconds, which are cut off here: a microsecond there is a span."""
    if not isinstance(value, datetime.datetime) or value.tzinfo is not None:
        raise _Cannot("a constant of another type")
    if op in ("<", ">="):
        return f"({name} {op} {_timestamp(value)})"
    try:
        after = _timestamp(value + _MICROSECOND)
    except OverflowError:
        raise _Cannot("the last moment there is") from None
    match op:
        case "=":
            return f"({name} >= {_timestamp(value)} and {name} < {after})"
        case "<>":
            return f"({name} < {_timestamp(value)} or {name} >= {after})"
        case _:
            return f"({name} {'<' if op == '<=' else '>='} {after})"


def _floating(name: str, op: str, value: Scalar) -> str:
    """Keeps at least what DuckDB keeps, whichever way the server orders NaN and the two zeros."""
    if not isinstance(value, float) or math.isnan(value) or op == "<>":
        raise _Cannot("a floating point number is compared there only in this way")
    text = f"{name} {op} {_double(value)}"
    if value == 0:  # its optimizer knows one zero, its comparison two
        zero = _double(0.0)
        text = f"{name} {op} {zero}" + (f" or abs({name}) = {zero}" if "=" in op else "")
    if op.startswith(">"):
        text += f" or cast({name} as string) = 'NaN'"
    return f"({text})"


def literal(kind: HiveType, value: Scalar) -> str:
    """A constant of the column's own type. Raises _Cannot where it is none."""
    writers: dict[str, Callable[[HiveType, Scalar], str]] = {
        **dict.fromkeys(_INTEGERS, _integer),
        **dict.fromkeys((*_TEXTS, "char"), _text),
        "boolean": _boolean,
        "decimal": _decimal,
        "date": _date,
    }
    if kind.name not in writers:
        raise _Cannot(f"{kind.name} is compared here only")
    return writers[kind.name](kind, value)


def _integer(kind: HiveType, value: Scalar) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Cannot("a constant of another type")
    if not fits(kind, value):
        raise _Cannot("a constant that the column cannot hold")
    end = 1 << (_INTEGERS[kind.name] - 1)
    return f"cast('{value}' as {kind.name})" if value in (-end, -(2**31)) else f"{value}{'' if end <= 2**31 else 'L'}"


def fits(kind: HiveType, value: int) -> bool:
    """Whether a column of that integer type holds the value."""
    end = 1 << (_INTEGERS[kind.name] - 1)
    return -end <= value < end


def _boolean(_: HiveType, value: Scalar) -> str:
    if not isinstance(value, bool):
        raise _Cannot("a constant of another type")
    return "true" if value else "false"


def _decimal(kind: HiveType, value: Scalar) -> str:
    if not isinstance(value, decimal.Decimal) or not value.is_finite():
        raise _Cannot("a constant of another type")
    return f"cast('{value:f}' as decimal({kind.precision},{kind.scale}))"


def _date(_: HiveType, value: Scalar) -> str:
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise _Cannot("a constant of another type")
    return f"date '{value.isoformat()}'"


def _text(kind: HiveType, value: Scalar) -> str:
    if not isinstance(value, str):
        raise _Cannot("a constant of another type")
    if len(value) > _LONGEST:
        raise _Cannot("a constant of that length")
    if kind.name == "char" and value.endswith(" "):
        raise _Cannot("blanks at the end, which CHAR does not count there")
    if "\ufffd" in value:
        raise _Cannot("what stands for bytes that are no text is not compared there")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Cannot("a constant that is not Unicode text") from None
    return text_literal(value)


def _double(value: float) -> str:
    if math.isinf(value):
        return f"cast('{'-' if value < 0 else ''}Infinity' as double)"
    return f"cast('{value!r}' as double)"


def _timestamp(value: datetime.datetime) -> str:
    return f"cast('{value.isoformat(sep=' ', timespec='microseconds')}' as timestamp)"
