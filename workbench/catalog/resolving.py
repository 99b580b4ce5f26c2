"""Which table a dotted name means, and which near ones there are when it means none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.catalog.bounded import TookTooLong, within
from workbench.contract.errors import UnknownTable, WorkbenchError
from workbench.contract.scan import TableRef

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog

__all__ = ["resolve"]

_PATIENCE = 2.0


def resolve(catalog: Catalog, parts: tuple[str, ...]) -> tuple[str, TableRef]:
    """See `Catalog.resolve`."""
    written = ".".join(parts)
    if len(parts) < 2:
        names = catalog.names()
        if written in names:
            raise UnknownTable(written, hint=f"`{written}` is a connection: write `{written}.table`.")
        raise UnknownTable(written, hint="A table of a connection is written `connection.table`.")
    if len(parts) > 3:
        raise UnknownTable(written, hint="Write `connection.table` or `connection.schema.table`.")
    connection = catalog.saved(parts[0]).name
    table = TableRef(parts[-1], parts[1] if len(parts) == 3 else None)
    near: tuple[str, ...] = ()
    try:
        catalog.schema(connection, table)
    except UnknownTable as error:
        near = error.near
    else:
        return connection, table
    listed = _listed(catalog, connection)
    same = [one for one in listed if _folded(one) == _folded(table)]
    if len(same) == 1:
        return connection, same[0]
    known = [f"{connection}.{name}" for name in (*near, *(str(one) for one in listed))]
    # With the schema left out where it is needed, the bare name is what is near.
    whole = [f"{connection}.{one}" for one in listed if one.schema and one.name.casefold() == table.name.casefold()]
    hint = f"Did you mean {' or '.join(f'`{one}`' for one in whole[:3])}?" if whole and not table.schema else ""
    raise UnknownTable(written, () if hint else known, hint)


def _listed(catalog: Catalog, connection: str) -> Sequence[TableRef]:
    """The first tables of the source; none when it does not say so in time, for they only make an error nicer."""
    try:
        return within(_PATIENCE, lambda: catalog.names_like(connection))
    except (TookTooLong, WorkbenchError):
        return []


def _folded(table: TableRef) -> tuple[str, str]:
    return table.name.casefold(), (table.schema or "").casefold()
