"""What the connector for HBase can do and wants to know. Loads no driver: there is none."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest
from workbench.kit.parameters import CA_FILE, CONNECTIONS, connect_timeout, host, port, tls, user

__all__ = ["MANIFEST"]

_KINDS = ["text", "json", "bytes", "boolean", "short", "int", "long", "float", "double", "sorted_int", "sorted_long",
          "time", "reversed_time", "text_integer", "text_double"]  # fmt: skip

_PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host"],
    "properties": {
        "host": host("Name or address of any server of the cluster, a master or a region server; or of a gateway"),
        "port": port(16000),
        "user": user("The name that is said to servers"),
        "database": {
            "title": "Namespace",
            "type": "string",
            "maxLength": 255,
            "default": "",
            "description": "Where tables are looked for that are named without one; when empty, all tables are listed",
        },
        "route": {
            "type": "string",
            "enum": ["auto", "native", "gateway"],
            "default": "auto",
            "description": "`native` asks the region servers themselves, `gateway` a Thrift gateway; `auto` takes the "
            "gateway where the port answers as none of the servers does",
        },
        "gateway_host": {
            "type": "string",
            "maxLength": 255,
            "default": "",
            "description": "The Thrift gateway's host, where it is another one",
        },
        "gateway_port": port(9090),
        "framed": {
            "type": "boolean",
            "default": False,
            "description": "The gateway was started with framed transport (`-f`, or one of its non-blocking servers)",
        },
        "redirect": {
            "type": "string",
            "maxLength": 4000,
            "default": "",
            "description": "Where servers are reached whose own addresses are not: `host:port=host:port`, several with "
            "commas between them",
        },
        "tls": tls(),
        "ca_file": CA_FILE,
        "connections": CONNECTIONS,
        "connect_timeout": connect_timeout("Seconds to reach a server"),
        "patience": {
            "type": "number",
            "minimum": 0,
            "maximum": 3600,
            "default": 60,
            "description": "Seconds that a region may be served by nobody, before the scan gives up",
        },
        "guard": {
            "type": "number",
            "minimum": 1,
            "maximum": 604_800,
            "default": 3600,
            "description": "Seconds that a scan may wait for servers, where the run sets no limit of its own",
        },
    },
}

_TABLE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "key": {
            "type": "array",
            "minItems": 1,
            "maxItems": 32,
            "description": "The parts of the row key, from the left; without it, it is one column `row_key`",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 255},
                    "type": {"type": "string", "enum": _KINDS, "default": "text"},
                    "width": {"type": "integer", "minimum": 1, "maximum": 32767, "description": "Bytes of the part"},
                    "separator": {"type": "string", "minLength": 1, "maxLength": 16},
                    "salts": {
                        "type": "array",
                        "items": {"type": "string", "minLength": 1, "maxLength": 64},
                        "minItems": 1,
                        "maxItems": 1000,
                        "description": "All values of a first part that only spreads the rows",
                    },
                    "buckets": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 256,
                        "description": "As salts, one byte from 0 on",
                    },
                    "hash": {
                        "type": "string",
                        "enum": ["phoenix", "crc32"],
                        "description": "Which of the salts a row has, by the rest of its key: for writing",
                    },
                },
            },
        },
        "columns": {
            "type": "object",
            "description": "Columns by name: a type, or an object with the type and the cell (`family:qualifier`) that "
            "it is of, where the name is not the cell's",
            "additionalProperties": {
                "anyOf": [
                    {"type": "string", "enum": _KINDS},
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["type"],
                        "properties": {
                            "type": {"type": "string", "enum": [*_KINDS, "cell_time"]},
                            "cell": {"type": "string", "minLength": 2, "maxLength": 4096},
                        },
                    },
                ]
            },
        },
        "families": {
            "type": "string",
            "enum": ["flat", "structs"],
            "default": "flat",
            "description": "`structs`: one column a family, with its cells as fields",
        },
        "sample": {
            "type": "boolean",
            "description": "Whether cells of a sample become columns beside the declared ones; by default where none "
            "is declared",
        },
        "hide_key": {"type": "boolean", "default": False, "description": "Leave the row key out of the columns"},
        "split_keys": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 4096},
            "maxItems": 10_000,
            "description": "Where regions begin in a table that is made by writing it",
        },
        "marker": {
            "type": "string",
            "minLength": 2,
            "maxLength": 4096,
            "description": "A cell that every row has (`0:_0` in tables of Phoenix): makes reading a few of many "
            "columns cheaper",
        },
    },
}

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<path fill="#c0392b" d="M3 5h18v3H3zM3 16h18v3H3z"/>'
    '<path fill="#8a97a6" d="M3 9.500h5v5H3zM9.500 9.500h5v5h-5zM16 9.500h5v5h-5z"/>'
    "</svg>"
)

MANIFEST = Manifest(
    name="hbase",
    label="HBase",
    capabilities=Capabilities(
        tables=True,
        sinks=True,
        predicates=frozenset({"compare", "in", "is_null", "and", "or", "not"}),
        splits=True,
        schemas=True,
        writes=frozenset({"upsert"}),
        lossless=False,
    ),
    implementation="workbench_hbase.connector:HBaseConnector",
    parameters=_PARAMETERS,
    schemes=("hbase",),
    table_parameters=_TABLE,
    icon=_ICON,
    documentation="connectors/hbase.md",
)
