"""Which functions a statement may call.

Table functions by a list of what is allowed. Of the others, those are refused that tell about this process instead
of about data, or that take SQL as text: their names are listed, since a statement without `upper` is no use.
"""

from __future__ import annotations

import re

__all__ = ["FILE_READERS", "TABLE_FUNCTIONS", "scalar_refusal"]

TABLE_FUNCTIONS = frozenset(
    {
        "generate_series",
        "json_each",
        "json_tree",
        "range",
        "repeat",
        "repeat_row",
        "unnest",
        "generate_subscripts",
    }
)
"""Table functions that make rows of their own arguments and touch nothing else."""

FILE_READERS = {
    "parquet_scan": "parquet",
    "read_csv": "csv",
    "read_csv_auto": "csv",
    "read_json": "json",
    "read_json_auto": "json",
    "read_ndjson": "json",
    "read_ndjson_auto": "json",
    "read_parquet": "parquet",
}
"""Readers of files, which a connector for files answers instead of DuckDB."""

_TELLS = frozenset(
    {
        "add_parquet_key",
        "current_connection_id",
        "current_query",
        "current_query_id",
        "current_setting",
        "current_transaction_id",
        "currval",
        "getenv",
        "getvariable",
        "json_serialize_plan",
        "json_execute_serialized_sql",
        "nextval",
        "parse_duckdb_log_message",
        "query",
        "query_table",
        "sleep_ms",
        "txid_current",
        "which_secret",
        "write_log",
    }
)
_TELLS_LIKE = re.compile(
    r"duckdb_|pragma_|pg_(?!typeof$|size_pretty$)|inet_|has_\w+_privilege$|read_|parquet_|enable_|disable_|sniff_|icu_"
)


def scalar_refusal(name: str) -> str | None:
    """Why the function must not be called in an expression; None where it may."""
    lower = name.lower()
    if lower in _TELLS or _TELLS_LIKE.match(lower) or lower in FILE_READERS or lower in {"glob_files", "glob"}:
        return "it tells about the workbench itself or runs text as SQL, not about data; ask a table instead"
    return None
