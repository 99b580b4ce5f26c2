"""What a source may do beyond dropping rows: give the first few by an order, or sums instead of rows.

Both are offers. A connector that does not take one plans the request as if it were not there, and the caller does the
work over the rows; so nothing depends on it but time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Aggregate", "Measure", "Order", "Top"]

_DIGITS = 28
"""Of decimals that are added up: ten thousand million of them have a sum of 38 digits."""


@dataclass(frozen=True, slots=True)
class Order:
    """By the values of a top-level column, as DuckDB orders them; and whether NULLs come before all of them."""

    column: str
    descending: bool = False
    nulls_first: bool = False

    def __str__(self) -> str:
        return f"{self.column}{' desc' if self.descending else ''} nulls {'first' if self.nulls_first else 'last'}"


@dataclass(frozen=True, slots=True)
class Top:
    """The caller orders the rows himself and keeps the first `rows` (1 or more) of them, whichever of equal ones. So
    what cannot be among them need not come; what comes may come in any order, from each split as if it were alone."""

    order: tuple[Order, ...]
    rows: int

    def __str__(self) -> str:
        return f"the first {self.rows:,} by {', '.join(map(str, self.order))}"


@dataclass(frozen=True, slots=True)
class Measure:
    """`count` of rows (`column` is None) or of values that are not NULL; `sum` of whole numbers or decimals of up to
    28 digits, `min` and `max`, which are NULL where no value is."""

    kind: Literal["count", "sum", "min", "max"]
    column: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}({self.column or '*'})"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The caller adds groups up: of the rows for which all predicates hold he wants the `measures` for each different
    `keys` (top-level columns, NULL being a value like others). Without keys all rows are one group.

    What comes are parts of groups, which the caller puts together: equal keys may come more than once, counts and sums
    are added, of least and greatest values the least and the greatest count. A group of no rows need not come.
    """

    keys: tuple[str, ...]
    measures: tuple[Measure, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that it is of, each once."""
        return tuple(dict.fromkeys((*self.keys, *(one.column for one in self.measures if one.column is not None))))

    def schema(self, table: pa.Schema) -> pa.Schema:
        """Of the parts: `key 0`, `key 1`, … of the columns' types, then `measure 0`, …: counts are 64 bits wide, sums
        decimals of 38 digits with the column's scale. Raises TypeError for a sum of anything else."""
        import pyarrow as pa

        keys = [pa.field(f"key {at}", table.field(name).type) for at, name in enumerate(self.keys)]
        return pa.schema(
            [*keys, *(pa.field(f"measure {at}", _type(one, table)) for at, one in enumerate(self.measures))]
        )

    def __str__(self) -> str:
        return ", ".join(map(str, self.measures)) + (f" by {', '.join(self.keys)}" if self.keys else "")


def _type(measure: Measure, table: pa.Schema) -> pa.DataType:
    import pyarrow as pa

    if measure.kind == "count":
        return pa.int64()
    assert measure.column is not None
    kind = table.field(measure.column).type
    if measure.kind != "sum":
        return kind
    if pa.types.is_integer(kind):
        return pa.decimal128(38, 0)
    if pa.types.is_decimal128(kind) and kind.precision <= _DIGITS:
        return pa.decimal128(38, kind.scale)
    raise TypeError(f"a sum of {kind} is not exact")
