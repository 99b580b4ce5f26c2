"""Columns of a table that differ by capitals alone, which SQL does not tell apart: DuckDB renames the later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.contract.errors import UnknownColumn
from workbench.query.trees import quoted, walk

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["told_apart"]


def told_apart(cursor: DuckDBPyConnection, name: str, schema: pa.Schema, tree: Any) -> None:
    """Raises UnknownColumn where the statement writes such a name just as the table has it, and would get another
    column. `name` is what the table is registered as."""
    if len({one.casefold() for one in schema.names}) == len(schema.names):
        return
    called = cursor.sql(f"select * from {quoted(name)}").columns
    renamed = {own: here for own, here in zip(schema.names, called, strict=True) if own != here}
    for node in walk(tree):
        for part in node.get("column_names") or () if node.get("class") == "COLUMN_REF" else ():
            if part in renamed:
                first = next(one for one in schema.names if one.casefold() == part.casefold())
                told = f"`{first}` differs from it by capitals alone, which SQL does not tell apart"
                raise UnknownColumn(part, (), f"{told}: `{part}` is called `{renamed[part]}` here.")
