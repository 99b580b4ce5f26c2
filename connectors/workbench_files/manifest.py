"""What the files connector is; loads nothing."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest

__all__ = ["MANIFEST"]

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<path fill="#4f9d69" d="M3 4h6.5l2 2.5H21V9H3z"/>'
    '<path fill="#6bbd86" d="M3 10h18v10H3z"/>'
    '<path fill="none" stroke="#24573a" stroke-width="1.2" d="M6 13.5h12M6 16.5h12M10 12v6.5"/>'
    "</svg>"
)

MANIFEST = Manifest(
    name="files",
    label="Files (Parquet, CSV, JSON lines, Arrow)",
    capabilities=Capabilities(
        tables=True,
        feeds=True,
        sinks=True,
        predicates=frozenset({"compare", "in", "is_null", "and", "or", "not"}),
        splits=True,
        writes=frozenset({"insert"}),
    ),
    implementation="workbench_files.connector:FilesConnector",
    parameters={
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": "A file, a folder whose files and sub-folders are tables, or a pattern (`*`, `?`, "
                "`[a]`, `**`) whose files are one table",
            },
        },
    },
    suffixes=(
        ".parquet", ".pq", ".arrow", ".arrows", ".feather", ".ipc",
        ".csv", ".tsv", ".csv.gz", ".tsv.gz", ".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz",
    ),
    folders=True,
    table_parameters={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "format": {
                "enum": ["parquet", "arrow", "csv", "jsonl", "lines"],
                "description": "Where the file's name does not say it",
            },
            "encoding": {
                "type": "string", "minLength": 1, "maxLength": 40,
                "description": "CSV, JSON lines: `cp1252`, `latin-1`, … (`utf-8`; `utf-16` where its mark is there)",
            },
            "delimiter": {
                "type": "string", "minLength": 1, "maxLength": 1,
                "description": "CSV: between fields (`,`; a tab in .tsv)",
            },
            "quote": {"type": "string", "maxLength": 1, "description": 'CSV: around fields (`"`); empty for none'},
            "escape": {"type": "string", "maxLength": 1, "description": "CSV: before a quote within a field"},
            "header": {"type": "boolean", "description": "CSV: the first row has the names (yes)"},
            "columns": {
                "type": "array", "items": {"type": "string"},
                "description": "CSV: the names, where there is no header",
            },
            "skip_rows": {"type": "integer", "minimum": 0, "description": "CSV: rows before the header to leave out"},
            "null_values": {
                "type": "array", "items": {"type": "string"},
                "description": "CSV: unquoted fields that are NULL (the empty one)",
            },
            "decimal_point": {"type": "string", "minLength": 1, "maxLength": 1, "description": "CSV: `.` or `,`"},
            "types": {
                "type": "object", "additionalProperties": {"type": "string"},
                "description": "CSV, JSON lines: types of columns, instead of those that the sample suggests",
            },
            "sample_bytes": {
                "type": "integer", "minimum": 1024, "maximum": 1 << 30,
                "description": "CSV, JSON lines: so much of each file is looked at for names and types (8 MiB)",
            },
        },
    },
    icon=_ICON,
    documentation="connectors/files",
)  # fmt: skip
