"""What rows are wanted: a small typed tree, the same for every source.

Three-valued logic as in SQL: a row is kept where the predicate is TRUE; NULL and FALSE drop it. `Not(Compare)` of a
NULL is NULL. Floating point orders as DuckDB does: NaN equals itself and is greater than everything else.
Text compares by code point, so `'a' <> 'A'` and `'a' <> 'a '`.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal as OneOf

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["And", "Applied", "Column", "Compare", "In", "IsNull", "Literal", "Not", "Or", "Predicate", "Scalar"]

Scalar = bool | int | float | decimal.Decimal | str | bytes | datetime.date | datetime.datetime | datetime.time
Op = OneOf["=", "<>", "<", "<=", ">", ">="]


class Applied(IntEnum):
    """How a source applied a predicate. EXACT: dropped just what DuckDB would have dropped. SUPERSET: may have kept
    too many, never dropped a wanted row; the executor filters again. NONE: the source did nothing."""

    NONE = 0
    SUPERSET = 1
    EXACT = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a field inside a struct column: `path[0]` is the column's name, the rest lead into it."""

    path: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path[0]

    def __str__(self) -> str:
        return ".".join(_quoted(part) for part in self.path)


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant that is exactly a value of `type`, which is the column's Arrow type.

    Never NULL. `timestamp` is a naive datetime, `timestamp` with a zone an aware one in UTC; a value that Python's
    datetime cannot hold is not made into a predicate at all.
    """

    value: Scalar
    type: pa.DataType

    def __str__(self) -> str:
        match self.value:
            case str():
                return "'" + self.value.replace("'", "''") + "'"
            case bytes():
                return f"x'{self.value.hex()}'"
            case bool():
                return str(self.value).lower()
            case datetime.date() | datetime.time():
                return f"'{self.value.isoformat()}'"
            case _:
                return str(self.value)


@dataclass(frozen=True, slots=True)
class Compare:
    column: Column
    op: Op
    literal: Literal

    def __str__(self) -> str:
        return f"{self.column} {self.op} {self.literal}"


@dataclass(frozen=True, slots=True)
class In:
    """Membership in one or more constants, none of them NULL."""

    column: Column
    literals: tuple[Literal, ...]

    def __str__(self) -> str:
        shown = ", ".join(str(literal) for literal in self.literals[:20])
        more = f", … {len(self.literals)} in all" if len(self.literals) > 20 else ""
        return f"{self.column} in ({shown}{more})"


@dataclass(frozen=True, slots=True)
class IsNull:
    """`IS NULL`; never NULL itself. `IS NOT NULL` is `IsNull(column, negated=True)`."""

    column: Column
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.column} is {'not ' if self.negated else ''}null"


@dataclass(frozen=True, slots=True)
class And:
    """Of two or more."""

    operands: tuple[Predicate, ...]

    def __str__(self) -> str:
        return "(" + " and ".join(str(operand) for operand in self.operands) + ")"


@dataclass(frozen=True, slots=True)
class Or:
    """Of two or more."""

    operands: tuple[Predicate, ...]

    def __str__(self) -> str:
        return "(" + " or ".join(str(operand) for operand in self.operands) + ")"


@dataclass(frozen=True, slots=True)
class Not:
    operand: Predicate

    def __str__(self) -> str:
        return f"not ({self.operand})"


Predicate = Compare | In | IsNull | And | Or | Not


def columns_of(predicate: Predicate) -> Iterator[Column]:
    """Every column the predicate reads, repeats included. Any depth: no recursion."""
    waiting: list[Predicate] = [predicate]
    while waiting:
        match waiting.pop():
            case And(operands=operands) | Or(operands=operands):
                waiting.extend(operands)
            case Not(operand=operand):
                waiting.append(operand)
            case Compare(column=column) | In(column=column) | IsNull(column=column):
                yield column


def _quoted(name: str) -> str:
    return name if name.isidentifier() else '"' + name.replace('"', '""') + '"'
