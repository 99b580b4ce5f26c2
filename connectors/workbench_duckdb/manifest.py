"""What the DuckDB connector is; loads nothing."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest

__all__ = ["MANIFEST"]

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<circle cx="12" cy="12" r="10" fill="#8a6d00"/>'
    '<circle cx="9.5" cy="12" r="4.5" fill="#ffe04d"/>'
    '<path fill="#ffe04d" d="M15 10h2.5a2 2 0 0 1 0 4H15z"/>'
    "</svg>"
)

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
        listing=True,
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
    icon=_ICON,
    documentation="connectors/duckdb",
)
