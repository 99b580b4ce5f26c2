"""What the DuckDB connector is; loads nothing."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest

__all__ = ["MANIFEST"]

MANIFEST = Manifest(
    name="duckdb",
    label="DuckDB (a database file)",
    capabilities=Capabilities(
        tables=True,
        sinks=True,
        predicates=frozenset({"compare", "in", "is_null", "and", "or", "not"}),
        splits=True,
        native=True,
        schemas=True,
        writes=frozenset({"insert", "upsert"}),
        transactional=True,
    ),
    implementation="workbench_duckdb.connector:DuckDBConnector",
    parameters={
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {"path": {"type": "string", "minLength": 1, "description": "The database file"}},
    },
    suffixes=(".duckdb", ".ddb"),
    documentation="connectors/duckdb",
)
