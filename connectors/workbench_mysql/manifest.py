"""What the connector for MySQL and MariaDB can do and wants to know. Loads no driver."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest

__all__ = ["MANIFEST"]

_PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host"],
    "properties": {
        "host": {"type": "string", "minLength": 1, "maxLength": 255, "description": "Name or address of the server"},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 3306},
        "user": {"type": "string", "maxLength": 255, "default": ""},
        "database": {
            "type": "string",
            "maxLength": 64,
            "default": "",
            "description": "Where tables are looked for that are named without a database",
        },
        "tls": {
            "title": "TLS",
            "type": "string",
            "enum": ["disabled", "preferred", "required", "verify"],
            "default": "preferred",
            "description": "`required` fails where the server offers no TLS; `verify` also wants a certificate for "
            "this host, signed by an authority that this machine trusts",
        },
        "connect_timeout": {
            "type": "number",
            "minimum": 0.1,
            "maximum": 300,
            "default": 10,
            "description": "Seconds to reach the server, and again to log in",
        },
        "guard": {
            "type": "number",
            "minimum": 1,
            "maximum": 604_800,
            "default": 3600,
            "description": "Seconds after which the server ends a statement, where the run sets no limit of its own",
        },
        "impossible": {
            "type": "string",
            "enum": ["null_and_count", "error", "string"],
            "default": "null_and_count",
            "description": "What becomes of dates that no calendar has (0000-00-00)",
        },
        "password": {"type": "string", "secret": True},
    },
}

MANIFEST = Manifest(
    name="mysql",
    label="MySQL and MariaDB",
    capabilities=Capabilities(
        tables=True,
        sinks=True,
        predicates=frozenset({"compare", "in", "is_null", "and", "or", "not"}),
        splits=True,
        native=True,
        cancel=True,
        guard=True,
        schemas=True,
        writes=frozenset({"insert", "upsert"}),
        transactional=True,
        lossless=False,
    ),
    implementation="workbench_mysql.connector:MySQLConnector",
    parameters=_PARAMETERS,
    schemes=("mysql", "mariadb"),
    documentation="connectors/mysql.md",
)
