"""DuckDB's errors as ours: the place in the statement as it was written, near names, no paths of our files."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from workbench.contract.errors import (
    Cancelled,
    LimitExceeded,
    QueryFailed,
    SqlSyntaxError,
    UnknownColumn,
    WorkbenchError,
)
from workbench.query.statement import engine_facts, syntax_error
from workbench.query.tokens import Splice, Text

__all__ = ["fatal", "translated"]

_WRITTEN_WRONG = frozenset({"Parser", "Binder", "Catalog", "Syntax", "Parameter Not Resolved", "Not implemented"})
_TOO_LARGE = re.compile(r"value (\S+) (?:can't be cast|is out of range)\b.*\bINT64$")
_EPOCH_MS = "Unimplemented type for cast (INT64 -> INT64)"
"""All that DuckDB 2.0 says of `epoch_ms` over a TIMESTAMP_NS, to which it casts the others."""
_BROKEN = ("INTERNAL Error", "database has been invalidated")
_OURS = re.compile(r"\s*\(?At: .*", re.DOTALL)


def translated(error: BaseException, text: str, splices: Sequence[Splice]) -> BaseException:
    """What the caller shall see. Errors that are ours, or are no error of DuckDB's, stay as they are."""
    if isinstance(error, WorkbenchError) or not isinstance(error, (duckdb.Error, pa.ArrowException, OSError)):
        return error
    facts = engine_facts(duckdb.Error(str(error)))
    kind = str(facts.get("exception_type", ""))
    message = str(facts.get("exception_message", error))
    if isinstance(error, duckdb.InterruptException) or kind == "INTERRUPT" or "INTERRUPT Error" in str(error):
        return Cancelled()
    if facts.get("error_subtype") == "COLUMN_NOT_FOUND":
        place = _place(facts, text, splices)
        known = [name for name in str(facts.get("candidates", "")).split(",") if name]
        return UnknownColumn(str(facts.get("name", "")), [name.strip() for name in known], place)
    if kind in _WRITTEN_WRONG:
        return syntax_error(duckdb.Error(str(error)), text, splices)
    if isinstance(error, duckdb.OutOfMemoryException) or kind == "Out of Memory":
        return LimitExceeded("memory", "the engine", f"{message.splitlines()[0]} Ask for less at a time.")
    if not kind and isinstance(error, OSError) and not isinstance(error, pa.ArrowException):
        return error
    place = _place(facts, text, splices)
    if (large := _TOO_LARGE.search(message)) and (at := _at(facts, text, splices)) is not None:
        word = text[:at].upper().split()[-1:]
        if word in (["LIMIT"], ["OFFSET"]):
            most = f"{(1 << 63) - 1:,}"
            return SqlSyntaxError(f"{word[0]} {large[1]} is more than {most}, the largest", *Text(text).place(at))
    if _EPOCH_MS in message and "epoch_ms" in text.casefold():
        message = (
            "DuckDB takes no timestamp of seconds, milliseconds or nanoseconds in epoch_ms: "
            "write epoch_us(…) // 1000 instead"
        )
    return QueryFailed(f"{_OURS.sub('', message)}{f' {place}' if place else ''}", kind or type(error).__name__)


def fatal(error: BaseException) -> bool:
    """After this the DuckDB instance answers nothing any more."""
    broken = (duckdb.FatalException, duckdb.InternalException)
    return isinstance(error, broken) or any(said in str(error) for said in _BROKEN)


def _at(facts: dict[str, object], text: str, splices: Sequence[Splice]) -> int | None:
    """The character of the text as it was written that the error is about."""
    position = facts.get("position")
    if position is None:
        return None
    return Splice.origin(Text(Splice.apply(text, splices)).character(int(str(position))), splices)


def _place(facts: dict[str, object], text: str, splices: Sequence[Splice]) -> str:
    if (at := _at(facts, text, splices)) is None:
        return ""
    line, column = Text(text).place(at)
    return f"(line {line}, column {column})"
