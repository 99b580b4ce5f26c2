"""Filters as the servers know them: for the native protocol as messages, for the gateway in its filter language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal as OneOf

from workbench_hbase.mapping import shown
from workbench_hbase.protobuf import flag, number, text

__all__ = [
    "Either",
    "Every",
    "Filter",
    "FirstKey",
    "KeyOnly",
    "Qualifier",
    "Regex",
    "Row",
    "Value",
    "language",
    "message",
    "said",
]

Regex = OneOf["", "bytes", "text"]

_PACKAGE = "org.apache.hadoop.hbase.filter."
_OPERATORS = {"<": 0, "<=": 1, "=": 2, "<>": 3, ">=": 4, ">": 5}
_DOTALL = 32


@dataclass(frozen=True)
class Value:
    """Keeps a row by the newest value of one cell. `missing`: whether a row without the cell is kept. `regex`: the
    content is a regular expression over the value, read as `bytes` (one character each) or as `text` (UTF-8)."""

    family: bytes
    qualifier: bytes
    op: str
    content: bytes
    missing: bool = False
    regex: Regex = ""


@dataclass(frozen=True)
class Row:
    """Keeps a row by its key, as `Value` does by a value."""

    op: str
    content: bytes
    regex: Regex


@dataclass(frozen=True)
class FirstKey:
    """The first cell of each row."""


@dataclass(frozen=True)
class KeyOnly:
    """Cells without their values."""


@dataclass(frozen=True)
class Qualifier:
    """Cells with this qualifier."""

    name: bytes


@dataclass(frozen=True)
class Every:
    filters: tuple[Filter, ...]


@dataclass(frozen=True)
class Either:
    filters: tuple[Filter, ...]


Filter = Value | Row | FirstKey | KeyOnly | Qualifier | Every | Either


def message(one: Filter) -> bytes:
    """As the native protocol sends it."""
    match one:
        case Value():
            comparator = _regex(one.content, one.regex) if one.regex else _binary(one.content)
            inner = text(1, one.family) + text(2, one.qualifier) + number(3, _OPERATORS[one.op]) + text(4, comparator)
            return _named("SingleColumnValueFilter", inner + flag(5, not one.missing) + flag(6, True))
        case Row():
            comparator = _regex(one.content, one.regex)
            return _named("RowFilter", text(1, number(1, _OPERATORS[one.op]) + text(2, comparator)))
        case FirstKey():
            return _named("FirstKeyOnlyFilter", b"")
        case KeyOnly():
            return _named("KeyOnlyFilter", flag(1, False))
        case Qualifier(name=name):
            return _named("QualifierFilter", text(1, number(1, _OPERATORS["="]) + text(2, _binary(name))))
        case Every(filters=filters) | Either(filters=filters):
            which = 1 if isinstance(one, Every) else 2
            return _named("FilterList", number(1, which) + b"".join(text(2, message(inner)) for inner in filters))


def _named(name: str, content: bytes) -> bytes:
    return text(1, _PACKAGE + name) + text(2, content)


def _binary(content: bytes) -> bytes:
    return text(1, _PACKAGE + "BinaryComparator") + text(2, text(1, text(1, content)))


def _regex(pattern: bytes, read: Regex) -> bytes:
    inner = text(1, pattern) + number(2, _DOTALL) + text(3, "ISO-8859-1" if read == "bytes" else "UTF-8")
    return text(1, _PACKAGE + "RegexStringComparator") + text(2, inner)


def language(one: Filter) -> bytes:
    """In the gateway's language, whose regular expressions always read text."""
    match one:
        case Value():
            kind = b"regexstring:" if one.regex else b"binary:"
            parts = (_quoted(one.family), _quoted(one.qualifier), _language_op(one.op), _quoted(kind + one.content))
            keep = b"false" if one.missing else b"true"
            return b"SingleColumnValueFilter(" + b",".join((*parts, keep, b"true")) + b")"
        case Row():
            return b"RowFilter(" + _language_op(one.op) + b"," + _quoted(b"regexstring:" + one.content) + b")"
        case FirstKey():
            return b"FirstKeyOnlyFilter()"
        case KeyOnly():
            return b"KeyOnlyFilter()"
        case Qualifier(name=name):
            return b"QualifierFilter(=," + _quoted(b"binary:" + name) + b")"
        case Every(filters=filters):
            return b"(" + b" AND ".join(map(language, filters)) + b")"
        case Either(filters=filters):
            return b"(" + b" OR ".join(map(language, filters)) + b")"


def _language_op(op: str) -> bytes:
    return b"!=" if op == "<>" else op.encode()


def _quoted(content: bytes) -> bytes:
    return b"'" + content.replace(b"'", b"''") + b"'"


def said(one: Filter) -> str:
    """For people: the filter language, with what is no text as `\\xNN`."""
    match one:
        case Value():
            kept = " or missing" if one.missing else ""
            op = ("matches" if one.op == "=" else "does not match") if one.regex else one.op
            return f"{shown(one.family)}:{shown(one.qualifier)} {op} '{shown(one.content)}'{kept}"
        case Row():
            return f"row {'matches' if one.op == '=' else 'does not match'} '{shown(one.content)}'"
        case FirstKey():
            return "the first cell"
        case KeyOnly():
            return "keys alone"
        case Qualifier(name=name):
            return f"cell '{shown(name)}'"
        case Every(filters=filters):
            return _listed(filters, " and ")
        case Either(filters=filters):
            return _listed(filters, " or ")


def _listed(filters: Sequence[Filter], between: str) -> str:
    texts = [said(one) for one in filters[:20]]
    more = [f"… {len(filters)} in all"] if len(filters) > 20 else []
    return "(" + between.join([*texts, *more]) + ")"
