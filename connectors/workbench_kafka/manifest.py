"""What the connector for Kafka can do and wants to know. Loads no driver."""

from __future__ import annotations

from workbench.contract.connector import Capabilities, Manifest
from workbench.kit.parameters import CA_FILE, CONNECTIONS, PASSWORD, connect_timeout, host, port, tls, user

__all__ = ["MANIFEST"]

_PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host"],
    "dependentRequired": {"password": ["user"]},
    "properties": {
        "host": host("Name or address of a broker"),
        "port": port(9092),
        "servers": {
            "title": "More brokers",
            "type": "string",
            "maxLength": 2000,
            "pattern": r"^[A-Za-z0-9._\[\]:-]+(,[A-Za-z0-9._\[\]:-]+)*$",
            "description": "`host:port`, with commas between: asked when the first one does not answer",
        },
        "user": user(),
        "sasl_mechanism": {
            "title": "SASL mechanism",
            "type": "string",
            "enum": ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
            "default": "SCRAM-SHA-512",
            "description": "How a user logs in",
        },
        "tls": tls(),
        "ca_file": CA_FILE,
        "group": {
            "type": "string",
            "maxLength": 255,
            "default": "",
            "description": "The consumer group in which positions that were confirmed are kept, for others to see",
        },
        "hide_meta": {
            "title": "Hide Kafka's columns",
            "type": "boolean",
            "default": False,
            "description": "Leave `kafka_key`, `kafka_offset` and the like out of the columns",
        },
        "connections": CONNECTIONS,
        "connect_timeout": connect_timeout("Seconds to reach the cluster, and for it to answer"),
        "password": PASSWORD,
    },
}

_TABLE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "format": {
            "enum": ["json", "text", "raw"],
            "description": "What a value is: an object of JSON, text in UTF-8, or bytes (json)",
        },
        "columns": {
            "type": "object",
            "description": "JSON: columns that are known, name and type; others are found in a sample, unless `only`",
            "additionalProperties": {"type": "string", "enum": ["string", "integer", "double", "boolean", "json"]},
        },
        "only": {"type": "boolean", "description": "JSON: no other columns than those that are said"},
        "key": {"enum": ["text", "raw"], "description": "What a key is (text)"},
    },
}

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<path fill="none" stroke="#8a8f98" stroke-width="1.6" d="M9 6v12M10 8l6 -1M10 16l6 1"/>'
    '<circle cx="9" cy="4.5" r="2.500" fill="#6b7bb8"/><circle cx="9" cy="12" r="3.200" fill="#6b7bb8"/>'
    '<circle cx="9" cy="19.5" r="2.500" fill="#6b7bb8"/><circle cx="17" cy="7" r="2.500" fill="#d08a4e"/>'
    '<circle cx="17" cy="17" r="2.500" fill="#d08a4e"/>'
    "</svg>"
)

MANIFEST = Manifest(
    name="kafka",
    label="Kafka",
    capabilities=Capabilities(
        tables=True,
        feeds=True,
        sinks=True,
        splits=True,
        writes=frozenset({"insert"}),
        transactional=True,
        lossless=False,
    ),
    implementation="workbench_kafka.connector:KafkaConnector",
    parameters=_PARAMETERS,
    schemes=("kafka",),
    table_parameters=_TABLE,
    requires="kafka",
    icon=_ICON,
    documentation="connectors/kafka.md",
)
