"""A window as its bolt gets it, and the rows that lie in panes: one by one, or as parts of Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from workbench.streams.panes import Entry, Fired
from workbench.streams.tuples import Batch, Row, Tuple

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Chunk", "Window", "rows_in", "rows_of"]


class Window:
    """What a window bolt's `execute` gets. `start` (exclusive) and `end` (inclusive) are milliseconds, None for windows
    of rows alone; `key` is a session's. `final` is False of an early one, which is handed out again with more rows;
    `new` are those since it was handed out last. Iterating gives its rows."""

    __slots__ = ("_fired", "_table", "end", "fields", "final", "key", "start")

    def __init__(self, fired: Fired, fields: tuple[str, ...], final: bool = True) -> None:
        self._fired, self.fields, self.final = fired, fields, final
        self.start, self.end, self.key = fired.start, fired.end, fired.key
        self._table: Any = None

    @property
    def rows(self) -> list[Row]:
        return rows_of(self._fired.entries)

    @property
    def new(self) -> list[Row]:
        """Those that were in no window before."""
        return rows_of(self._fired.new)

    @property
    def expired(self) -> list[Row]:
        """Those that have left since the window before."""
        return rows_of(self._fired.expired)

    @property
    def table(self) -> pa.Table:
        """Its rows as an Arrow table; at no cost where they came in Arrow tables."""
        if self._table is None:
            import pyarrow as pa

            parts = [item for _, item, _ in self._fired.entries]
            if all(part.__class__ is Chunk for part in parts):
                self._table = pa.concat_tables([part.table for part in parts])
            else:
                self._table = Batch(self.rows, self.fields).table
        return self._table

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return rows_in(self._fired.entries)


class Chunk:
    """Rows of an Arrow table that are in one pane; `make` is the class of their tuples."""

    __slots__ = ("make", "rows", "table")

    def __init__(self, table: pa.Table, make: type[Tuple]) -> None:
        self.table, self.rows, self.make = table, table.num_rows, make


def rows_in(entries: Sequence[Entry]) -> int:
    return sum(item.rows if item.__class__ is Chunk else 1 for _, item, _ in entries)


def rows_of(entries: Sequence[Entry]) -> list[Row]:
    found: list[Row] = [entry[1] for entry in entries]
    if Chunk not in set(map(type, found)):
        return found
    items: list[Any] = found
    found = []
    for item in items:
        if item.__class__ is Chunk:
            found += map(item.make, Batch(item.table).rows)
        else:
            found.append(item)
    return found
