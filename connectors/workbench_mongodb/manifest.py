"""What the connector for MongoDB can do and wants to know. Loads no driver."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest
from workbench.kit.parameters import CA_FILE, CONNECTIONS, GUARD, PASSWORD, connect_timeout, host, port, tls, user

__all__ = ["MANIFEST"]

_PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host"],
    "dependentRequired": {"password": ["user"]},
    "properties": {
        "host": host(),
        "port": port(27017),
        "user": user(),
        "database": {
            "type": "string",
            "maxLength": 63,
            "default": "",
            "description": "Where collections are looked for that are named without a database",
        },
        "auth_source": {
            "type": "string",
            "minLength": 1,
            "maxLength": 63,
            "default": "admin",
            "description": "The database that knows the user",
        },
        "auth_mechanism": {"type": "string", "enum": ["SCRAM-SHA-256", "SCRAM-SHA-1"]},
        "read_preference": {
            "type": "string",
            "enum": ["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"],
            "default": "primaryPreferred",
            "description": "Which members of a shard a router (`mongos`) asks. A member that is named itself is asked "
            "whatever it is",
        },
        "tls": tls(),
        "ca_file": CA_FILE,
        "connections": CONNECTIONS,
        "connect_timeout": connect_timeout("Seconds to reach the server and log in"),
        "guard": GUARD,
        "hide_id": {
            "title": "Hide _id",
            "type": "boolean",
            "default": False,
            "description": "Leave `_id` out of the columns",
        },
        "password": PASSWORD,
    },
}

_TABLE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "columns": {
            "type": "object",
            "description": "Columns that are known: name and type. They come first; others are found in a sample",
            "additionalProperties": {
                "type": "string",
                "enum": ["bool", "long", "double", "date", "string", "objectId", "decimal", "binData", "json"],
            },
        }
    },
}

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<path fill="#4aa560" d="M12 1.5c4.5 5 6 8 6 11.5 0 4-2.5 6.5-5.4 7.500h-1.200C8.500 19.5 6 17 6 13 6 9.5 '
    '7.500 6.5 12 1.5z"/>'
    '<path fill="#b9803c" d="M11.4 9h1.200v13.5h-1.200z"/>'
    "</svg>"
)

MANIFEST = Manifest(
    name="mongodb",
    label="MongoDB",
    capabilities=Capabilities(
        tables=True,
        sinks=True,
        predicates=frozenset({"compare", "in", "is_null", "and", "or", "not"}),
        splits=True,
        cancel=True,
        guard=True,
        schemas=True,
        writes=frozenset({"insert", "upsert"}),
        lossless=False,
        top=True,
        measures=frozenset({"count", "sum", "min", "max"}),
    ),
    implementation="workbench_mongodb.connector:MongoDBConnector",
    parameters=_PARAMETERS,
    schemes=("mongodb",),
    table_parameters=_TABLE,
    icon=_ICON,
    documentation="connectors/mongodb.md",
)
