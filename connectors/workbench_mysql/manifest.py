"""What the connector for MySQL and MariaDB can do and wants to know. Loads no driver."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest
from workbench.kit.parameters import CA_FILE, CONNECTIONS, GUARD, PASSWORD, connect_timeout, host, port, tls, user

__all__ = ["MANIFEST"]

_PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host"],
    "properties": {
        "host": host(),
        "port": port(3306),
        "user": user(),
        "database": {
            "type": "string",
            "maxLength": 64,
            "default": "",
            "description": "Where tables are looked for that are named without a database",
        },
        "tls": tls(preferred=True),
        "ca_file": CA_FILE,
        "connections": CONNECTIONS,
        "connect_timeout": connect_timeout("Seconds to reach the server, and again to log in"),
        "guard": GUARD,
        "impossible": {
            "title": "Impossible dates",
            "type": "string",
            "enum": ["null_and_count", "error", "string"],
            "default": "null_and_count",
            "description": "What becomes of dates that no calendar has (0000-00-00)",
        },
        "password": PASSWORD,
    },
}

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<path fill="#3b8ac4" d="M12 2c5 0 8.5 1.5 8.5 3.5S17 9 12 9 3.5 7.5 3.5 5.5 7 2 12 2z"/>'
    '<path fill="#3b8ac4" d="M3.5 8.2C5 9.8 8.3 10.5 12 10.5s7-.7 8.5-2.3V12c0 2-3.5 3.5-8.5 3.5S3.5 14 3.5 12z"/>'
    '<path fill="#e8892b" d="M3.5 14.7C5 16.3 8.3 17 12 17s7-.7 8.5-2.3v3.8c0 2-3.5 3.5-8.5 3.5s-8.5-1.5-8.5-3.5z"/>'
    "</svg>"
)

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
        listing=True,
        top=True,
    ),
    implementation="workbench_mysql.connector:MySQLConnector",
    parameters=_PARAMETERS,
    schemes=("mysql", "mariadb"),
    icon=_ICON,
    documentation="connectors/mysql.md",
)
