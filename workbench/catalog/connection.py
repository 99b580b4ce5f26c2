"""What `wb.connection(name)` and `wb.connections()` give: connections as objects that show themselves."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from workbench.catalog.secrets import shown
from workbench.contract.connector import ServerInfo
from workbench.contract.errors import DocumentError
from workbench.contract.scan import TableInfo, TableRef

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.catalog.catalog import Catalog
    from workbench.catalog.saved import Saved

__all__ = ["Connection", "Connections", "TableList"]

T = TypeVar("T")


class _Listing(Sequence[T], Generic[T]):
    """A list that shows itself as a table, in text and in HTML; every cell is text."""

    columns: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()  # places of the columns that are set to the right
    empty = "nothing"

    def __init__(self, items: Iterable[T]) -> None:
        self._items = list(items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._items[index]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def rows(self) -> list[tuple[str, ...]]:
        raise NotImplementedError

    def __repr__(self) -> str:
        rows = [self.columns, *(tuple(_plain(cell) for cell in row) for row in self.rows())]
        if len(rows) == 1:
            return self.empty
        widths = [max(len(row[place]) for row in rows) for place in range(len(self.columns))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                         for row in rows)  # fmt: skip

    def _repr_html_(self) -> str:
        def line(cells: Iterable[str], tag: str) -> str:
            return (
                "<tr>"
                + "".join(
                    f'<{tag} style="text-align:{"right" if number in self.numbers else "left"}">'
                    f"{html.escape(_plain(cell))}</{tag}>"
                    for number, cell in enumerate(cells)
                )
                + "</tr>"
            )

        rows = self.rows()
        if not rows:
            return f"<p>{html.escape(self.empty)}</p>"
        body = "".join(line(row, "td") for row in rows)
        return f"<table class='mathjax_ignore'><thead>{line(self.columns, 'th')}</thead><tbody>{body}</tbody></table>"


class TableList(_Listing[TableInfo]):
    """Tables of a connection. `rows` and `bytes` are the source's estimates."""

    columns = ("table", "kind", "rows (estimate)", "comment")
    numbers = (2,)
    empty = "no tables"

    def rows(self) -> list[tuple[str, ...]]:
        return [
            (str(one.table), one.kind, "" if one.rows is None else f"{one.rows:,}", one.comment) for one in self._items
        ]

    def names(self) -> list[str]:
        return [str(one.table) for one in self._items]


class Connection:
    """A saved connection. It holds the name only, so it is always what is saved under that name now."""

    def __init__(self, catalog: Catalog, name: str) -> None:
        """Raises UnknownConnection with near names."""
        self._catalog = catalog
        self.name = catalog.saved(name).name

    @property
    def saved(self) -> Saved:
        return self._catalog.saved(self.name)

    def tables(self, like: str = "", limit: int = 1000) -> TableList:
        """The first `limit` tables; `like` is an SQL LIKE pattern on the name, such as `ord%`."""
        return TableList(self._catalog.tables(self.name, like, limit))

    def schema(self, table: str | TableRef) -> pa.Schema:
        """Columns of `table` or `schema.table`, with the source's own types in their metadata. Raises UnknownTable."""
        if isinstance(table, TableRef):
            return self._catalog.schema(self.name, table)
        first, dot, rest = table.partition(".")
        parts = (self.name, first, rest) if dot else (self.name, table)
        connection, found = self._catalog.resolve(parts)
        return self._catalog.schema(connection, found)

    def test(self) -> ServerInfo:
        """Connects and asks the source who it is. Raises Unreachable, AuthenticationFailed, …"""
        return self._catalog.test(self.name)

    def refresh(self) -> None:
        """Forgets what is known of its tables, so that they are asked for again."""
        self._catalog.refresh(self.name)

    def remove(self) -> None:
        """Forgets the connection and its secret. Nothing happens to the source."""
        self._catalog.remove(self.name)

    def __repr__(self) -> str:
        return repr(self.saved)


class Connections(_Listing[Connection]):
    """All saved connections; `connections["shop"]` is one of them."""

    columns = ("connection", "kind", "where", "may write", "secret")
    empty = 'no connections yet: wb.connect("shop", "scheme://user@host/database") or wb.connect("lake", path="…")'

    def __init__(self, catalog: Catalog) -> None:
        self._broken: list[tuple[str, ...]] = []
        found = []
        for name in catalog.names():
            try:
                found.append(Connection(catalog, name))
            except DocumentError as error:
                self._broken.append((name, "", error.why, "", ""))
        super().__init__(found)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, str):
            by_name = {one.name: one for one in self._items}
            if index in by_name:
                return by_name[index]
            from workbench.contract.errors import UnknownConnection

            raise UnknownConnection(index, by_name)
        return self._items[index]

    def rows(self) -> list[tuple[str, ...]]:
        whole = []
        for saved in (one.saved for one in self._items):
            secrets = "; ".join(f"{key} {shown(reference)}" for key, reference in saved.secrets.items())
            whole.append((saved.name, saved.connector, saved.where, "yes" if saved.writable else "no", secrets))
        return sorted([*whole, *self._broken])


def _plain(cell: str) -> str:
    """One line, without control characters: a name of a table may hold anything."""
    return "".join(letter if letter.isprintable() else "�" for letter in cell)
