"""DuckDB's own text: which statements pass, and what comes out of them."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.types as pt

from workbench.contract.errors import QueryFailed, StatementRefused
from workbench_duckdb.columns import Columns, identifier
from workbench_duckdb.trouble import named

__all__ = ["Native", "understood"]

_READING = {"SELECT", "EXPLAIN"}
_WRITING = {
    "INSERT", "UPDATE", "DELETE", "MERGE_INTO", "CREATE", "CREATE_FUNC", "DROP", "ALTER", "ANALYZE", "VACUUM",
}  # fmt: skip
_EXPLAINED = pa.schema([("explain_key", pa.string()), ("explain_value", pa.string())])
_CHANGED = pa.schema([("Count", pa.int64())])


class Native:
    """A statement that may run: its text, whether it writes, and the schema of its result."""

    def __init__(self, text: str, kind: str, schema: pa.Schema) -> None:
        self.text, self.kind, self.schema = text, kind, schema

    @property
    def writes(self) -> bool:
        return self.kind not in _READING


def understood(cursor: duckdb.DuckDBPyConnection, text: str, writable: bool, connection: str) -> Native:
    """Raises StatementRefused for what may not run here, QueryFailed for what DuckDB does not understand."""
    with named(connection, text):
        statements = cursor.extract_statements(text)
    if not statements:
        raise StatementRefused("an empty text", "write one statement.")
    if len(statements) > 1:
        raise StatementRefused("more than one statement", "write one at a time.")
    kind = statements[0].type.name
    if kind == "MULTI":
        raise StatementRefused("PIVOT without IN", "DuckDB runs it as several statements; list the values with IN.")
    if kind not in _READING and kind not in _WRITING:
        raise StatementRefused(kind, "only SELECT and its kin, SHOW, DESCRIBE and EXPLAIN are run as native text.")
    if kind in _WRITING and not writable:
        raise StatementRefused(kind, f"`{connection}` is read-only; connect it with writable=True.")
    body = statements[0].query.strip().rstrip(";").rstrip()
    if kind == "EXPLAIN":
        return Native(body, kind, _EXPLAINED)
    if kind in _WRITING:
        return Native(body, kind, _CHANGED)
    with named(connection, text):
        cursor.execute("begin transaction read only")
        try:
            relation = cursor.sql(body)
            if relation is None:
                raise QueryFailed("it has no result", native_text=text, connection=connection)
            names = relation.columns
            source = f"({body}\n)"
            columns = Columns.of(cursor, source)
        finally:
            cursor.execute("rollback")
    if len(set(names)) == len(names) and any(columns.expression(name) != identifier(name) for name in names):
        # Some type that Arrow does not have: the text is wrapped, and the columns cast.
        return Native(f"select {columns.selected(names)} from {source}", kind, columns.schema)
    fields = [
        pa.field(name, column.type.value_type if pt.is_dictionary(column.type) else column.type)
        for name, column in zip(columns.types, columns.schema, strict=True)
    ]
    return Native(body, kind, pa.schema(fields))
