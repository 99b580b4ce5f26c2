"""Looking through a connection's tables a page at a time, whatever number there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.contract.scan import TableInfo, TableRef

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog

__all__ = ["Column", "Page", "columns", "page", "schemas"]

MOST_SCHEMAS = 1_000
_LAST = "\U0010ffff"
"""Sorts behind every letter that a name has."""


@dataclass(frozen=True)
class Page:
    """`next` is what to ask for the page after it with; None at the end. `total` is how many there are in all of what
    was asked for; None where the source was not asked for all."""

    tables: Sequence[TableInfo]
    next: str | None
    total: int | None = None


@dataclass(frozen=True)
class Column:
    """`type` is Arrow's, `source_type` the source's own; `key` is `primary` or empty."""

    name: str
    type: str
    source_type: str
    nullable: bool
    key: str
    comment: str


def schemas(catalog: Catalog, connection: str) -> list[str]:
    """The schemas that hold tables, in order; none where tables are named without one. Where the source cannot list
    all names at once, one small question a schema, so that no table is listed for it."""
    if (listing := catalog.listing(connection)) is not None:
        return listing.schemas[:MOST_SCHEMAS]
    found: list[str] = []
    after: str | None = None
    while len(found) < MOST_SCHEMAS:
        tables = catalog.listed(connection, "", after, 1)
        if not tables or tables[0].table.schema is None:
            break
        found.append(tables[0].table.schema)
        after = f"{found[-1]}.{_LAST}"
    return found


def page(
    catalog: Catalog, connection: str, schema: str | None = None, search: str = "", after: str | None = None,
    limit: int = 200,
) -> Page:  # fmt: skip
    """Tables in the order of their names, those of one schema or all; `search` is a part of the name, in any case."""
    if (listing := catalog.listing(connection)) is not None:
        found, more, total = listing.search(schema, search, after, limit)
        return Page(catalog.about(connection, found) if found else (), str(found[-1]) if more else None, total)
    if after is None and schema is not None:
        after = f"{schema}."
    listed = catalog.listed(connection, f"%{search}%" if search else "", after, limit)
    inside = [one for one in listed if schema is None or one.table.schema == schema]
    over = len(listed) < limit or (schema is not None and listed[-1].table.schema != schema)
    # `%` and `_` of the search are no letters to the source; here they are.
    shown = [one for one in inside if search.casefold() in one.table.name.casefold()]
    return Page(shown, None if over or not listed else str(listed[-1].table))


def columns(catalog: Catalog, connection: str, table: TableRef) -> list[Column]:
    """Raises UnknownTable with near names."""

    def told(field: Any, name: bytes) -> str:
        said: bytes = (field.metadata or {}).get(name, b"")
        return said.decode("utf-8", "replace")

    return [
        Column(
            field.name,
            str(field.type),
            told(field, b"source_type"),
            field.nullable,
            told(field, b"key"),
            told(field, b"comment"),
        )
        for field in catalog.schema(connection, table)
    ]
