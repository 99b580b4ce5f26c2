"""What a connector's tests give the conformance suite: a way to fill the source, and to look at it from behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from workbench.contract import Changes, ConnectionConfig, Connector, Manifest, Predicate, TableRef

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Store"]


class Store(Protocol):
    """A source under test. Inherit from it: what only some sources have is answered here for those that have not.

    The suite changes the source only through `load`, `drop`, `change` and the connector's own sinks, uses names that
    begin with `wbt`, and drops what it loaded. It asks from one thread at a time.
    """

    @property
    def manifest(self) -> Manifest:
        """The connector under test, as its entry point gives it."""
        ...

    def config(self, writable: bool = False) -> ConnectionConfig:
        """A connection that can log in to the source: each call gives an equal one. Valid in other processes of this
        machine as long as the store lives."""
        ...

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        """Creates a table of that name with these columns and rows, and drops an older one. `key` becomes the
        primary key, its columns hold no NULL. When it returns, every connection sees the rows. Not done through the
        connector under test, so that an error in both directions cannot cancel out. A column's type is one of
        `arrow_types()`; the suite asks for nullable columns only, but for the key's."""
        ...

    def drop(self, table: TableRef) -> None:
        """Drops it; no error when it is not there."""
        ...

    def arrow_types(self) -> Sequence[pa.DataType]:
        """The types that `load` keeps exactly: such a column has this type in `Tables.schema`, and each of
        `values(arrow_type)` comes back as it was. At least an integer, a float and a text type."""
        import pyarrow as pa

        return (pa.int64(), pa.float64(), pa.string())

    def values(self, arrow_type: pa.DataType) -> Sequence[Any]:
        """Values of the type that the source can hold, the extremes among them, without None. Override it to take
        out what the source cannot hold (NaN, years before 1000), and say so in the connector's page."""
        from workbench.testing.values import extremes

        return extremes(arrow_type)

    def refuses(self, value: Any) -> bool:
        """Whether the connector's writer has to refuse a row with this one of `values`, which the source may well
        hold from elsewhere. Never, unless it is overridden; then say so in the connector's page."""
        return False

    def names(self) -> Sequence[str]:
        """Awkward names that the source allows for a table and for a column. Take out what it forbids; a connector
        never has to forbid more than its source."""
        return (
            "wbt with space",
            "wbt'quote",
            'wbt"double',
            "wbt`tick",
            "wbt.dot",
            "wbt-dash;--",
            "wbt%s{0}$x",
            "wbtÜmläut",
            "select",
            "wbt" + "x" * 61,
        )

    def many(self) -> int:
        """So many rows, with an integer key, that a plan for several workers has several splits, where the connector
        declares them."""
        return 20_000

    def running(self) -> list[str]:
        """The marks, or texts with the marks in them, of our work that runs at the source now, asked of the source
        itself. Always empty for a source that is embedded in the process."""
        return []

    def kept(self, connector: Connector, table: TableRef, predicates: Sequence[Predicate]) -> list[set[Any]] | None:
        """For a source whose statements are slow: the keys `rid` of the rows that the source keeps for each of the
        predicates as the connector words it, many of them answered in one statement. None where the suite should ask
        one by one; else it does so for a few of them only."""
        return None

    def address(self) -> tuple[str, int] | None:
        """Where the source listens, for the fault proxy; None for an embedded source, which has no wire to cut."""
        return None

    def through(self, host: str, port: int) -> ConnectionConfig:
        """`config()`, but by that address. Asked only when `address()` is not None."""
        raise NotImplementedError("a store with an address() says how to go through another one")

    def wrong_secret(self) -> ConnectionConfig | None:
        """`config()` with a secret that the source does not accept; None where there is nothing to log in with."""
        return None

    def slow(self) -> str | None:
        """Something that runs for more than 30 seconds unless it is stopped: native text where the connector
        declares `native`, else the name of a table that is there. None where the source cannot be made slow."""
        return None

    def change(self, table: TableRef, changes: Changes) -> bool:
        """Changes a followed table from behind, in one transaction: `rows` with their `ops`; positions are ignored.
        False where that cannot be done (the suite then uses the connector's sinks, or skips)."""
        return False

    def forget(self, table: TableRef) -> bool:
        """Makes the source forget the table's history up to now; False where that cannot be done."""
        return False
