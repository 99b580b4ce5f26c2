"""What the connector for Redis can do and wants to know. Loads no driver."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest
from workbench.kit.parameters import CA_FILE, CONNECTIONS, PASSWORD, connect_timeout, host, port, tls, user

__all__ = ["MANIFEST"]

_PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host"],
    "properties": {
        "host": host(),
        "port": port(6379),
        "user": user("Empty for the user `default`"),
        "database": {"type": "string", "pattern": "^[0-9]{1,4}$", "default": "0", "description": "Its number"},
        "tls": tls(),
        "ca_file": CA_FILE,
        "group": {
            "type": "string",
            "maxLength": 255,
            "default": "",
            "description": "The consumer group in which positions that were confirmed are kept, for others to see",
        },
        "hide_meta": {
            "title": "Hide Redis' columns",
            "type": "boolean",
            "default": False,
            "description": "Leave `entry_id` and `entry_time` out of the columns",
        },
        "connections": CONNECTIONS,
        "connect_timeout": connect_timeout("Seconds to reach the server, and for it to answer"),
        "password": PASSWORD,
    },
}

_TABLE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "columns": {
            "type": "object",
            "description": "Fields that are known, name and type; others are found in a sample, unless `only`",
            "additionalProperties": {"type": "string", "enum": ["string", "integer", "double", "boolean", "json"]},
        },
        "only": {"type": "boolean", "description": "No other columns than those that are said"},
    },
}

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<path fill="#a83a32" d="M2 15l10 4.5L22 15v2.500L12 22 2 17.500z"/>'
    '<path fill="#c94a41" d="M2 10.500l10 4.500 10-4.500V13l-10 4.500L2 13z"/>'
    '<path fill="#de6259" d="M12 2l10 4.500L12 11 2 6.500z"/>'
    '<path fill="#f5d6d3" d="M7 6.500l5-2 5 2-5 2z"/>'
    "</svg>"
)

MANIFEST = Manifest(
    name="redis",
    label="Redis (streams)",
    capabilities=Capabilities(
        tables=True,
        feeds=True,
        sinks=True,
        writes=frozenset({"insert"}),
        transactional=True,
        lossless=False,
    ),
    implementation="workbench_redis.connector:RedisConnector",
    parameters=_PARAMETERS,
    schemes=("redis",),
    table_parameters=_TABLE,
    requires="redis",
    icon=_ICON,
    documentation="connectors/redis.md",
)
