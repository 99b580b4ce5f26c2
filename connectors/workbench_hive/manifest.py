"""What the connector for Hive can do and wants to know. Loads no driver."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest
from workbench.kit.parameters import CA_FILE, CONNECTIONS, GUARD, PASSWORD, connect_timeout, host, port, tls, user

__all__ = ["MANIFEST"]

_PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host"],
    "properties": {
        "host": host("Name or address of HiveServer2"),
        "port": port(10000),
        "user": user(),
        "database": {
            "type": "string",
            "maxLength": 128,
            "default": "",
            "description": "Where tables are looked for that are named without a database",
        },
        "authentication": {
            "type": "string",
            "enum": ["plain", "nosasl"],
            "default": "plain",
            "description": "As `hive.server2.authentication` has it: `plain` for NONE, LDAP, PAM and CUSTOM, `nosasl` "
            "for NOSASL. KERBEROS is not there",
        },
        "transport": {
            "type": "string",
            "enum": ["binary", "http"],
            "default": "binary",
            "description": "As `hive.server2.transport.mode` has it. With `http`, port 10001 is usual",
        },
        "http_path": {
            "title": "HTTP path",
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "pattern": "^[A-Za-z0-9._~/-]+$",
            "default": "cliservice",
        },
        "tls": tls(),
        "ca_file": CA_FILE,
        "files": {
            "type": "boolean",
            "default": False,
            "description": "Read the files of plain tables (Parquet, ORC, text) beside HiveServer2, where this "
            "machine reaches them: faster, and past what the warehouse masks or forbids. Wants `metastore`",
        },
        "metastore": {
            "type": "string",
            "pattern": "^[^:/@ ]{1,255}:[0-9]{1,5}$",
            "description": "host:port of the metastore, which is asked where files lie. Without SASL",
        },
        "webhdfs": {
            "title": "WebHDFS",
            "type": "string",
            "pattern": "^https?://[^,/@?# ]{1,262}(,https?://[^,/@?# ]{1,262})?$",
            "description": "http://host:port or https://host:port of the name node (or both of them, with a comma) "
            "through which files at hdfs:// are read. Wants `files`. Kerberos is not there",
        },
        "nameservice": {
            "type": "string",
            "maxLength": 262,
            "pattern": "^[^/@ ]+$",
            "description": "What stands after hdfs:// in the locations of tables, where that is no name node's host",
        },
        "datanodes": {
            "title": "Data nodes",
            "type": "string",
            "maxLength": 4000,
            "pattern": "^[^/@ :]+$",
            "description": "Hosts to which a name node may send us, with commas, or their domain: .lake.example. "
            "Those of the name nodes may always be",
        },
        "connections": CONNECTIONS,
        "connect_timeout": connect_timeout("Seconds to reach the server and log in", default=20),
        "guard": GUARD,
        "password": PASSWORD,
        "webhdfs_token": {"title": "Delegation token of WebHDFS", "type": "string", "secret": True},
    },
}

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<path fill="#e8b52b" d="M7 2h5l2.500 4.300-2.500 4.300H7L4.500 6.300z"/>'
    '<path fill="#d99a1f" d="M15.300 6.900h5L22.800 11.200l-2.500 4.300h-5l-2.500-4.300z"/>'
    '<path fill="#b9803c" d="M7 11.900h5l2.500 4.300-2.500 4.300H7l-2.500-4.300z"/>'
    "</svg>"
)

_TABLE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "nested": {
            "enum": ["text", "values"],
            "default": "text",
            "description": "Whether arrays, maps and structs are text, as HiveServer2 prints them, or values, which "
            "are read from files (the connection wants `files`), and through HiveServer2 where no text is inside",
        }
    },
}

MANIFEST = Manifest(
    name="hive",
    label="Hive",
    capabilities=Capabilities(
        tables=True,
        predicates=frozenset({"compare", "in", "is_null", "and", "or", "not"}),
        splits=True,
        native=True,
        cancel=True,
        guard=True,
        schemas=True,
    ),
    implementation="workbench_hive.connector:HiveConnector",
    parameters=_PARAMETERS,
    schemes=("hive",),
    table_parameters=_TABLE,
    icon=_ICON,
    documentation="connectors/hive.md",
)
