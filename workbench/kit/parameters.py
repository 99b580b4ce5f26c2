"""Parameters of a connection that several connectors ask for, as JSON Schema: said once, so that they are called alike,
bounded alike and explained alike in the form, in URLs and in the errors. Loads nothing."""

from __future__ import annotations

from typing import Any

__all__ = ["CA_FILE", "CONNECTIONS", "GUARD", "PASSWORD", "connect_timeout", "host", "port", "tls", "user"]

Schema = dict[str, Any]

PASSWORD: Schema = {"type": "string", "secret": True}

CA_FILE: Schema = {
    "title": "Authority",
    "type": "string",
    "minLength": 1,
    "maxLength": 1000,
    "description": "A PEM file with the certificates of the authorities that may have signed the server's; for "
    "`verify`, instead of those that this machine trusts",
}

CONNECTIONS: Schema = {
    "type": "integer",
    "minimum": 2,
    "maximum": 1000,
    "default": 16,
    "description": "How many connections are open at once in one process; who comes later waits. Keep it below what "
    "the server allows a user",
}

GUARD: Schema = {
    "title": "Statement limit",
    "type": "number",
    "minimum": 1,
    "maximum": 604_800,
    "default": 3600,
    "description": "Seconds after which the server ends a statement, where the run sets no limit of its own",
}


def host(description: str = "Name or address of the server") -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": 255, "description": description}


def port(default: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": 65535, "default": default}


def user(description: str | None = None) -> Schema:
    return {"type": "string", "maxLength": 255, "default": ""} | ({"description": description} if description else {})


def tls(*, preferred: bool = False) -> Schema:
    """How the connection is encrypted. `preferred` where the protocol lets a client find out what the server has."""
    kinds = ["disabled", "preferred", "required", "verify"] if preferred else ["disabled", "required", "verify"]
    return {
        "title": "TLS",
        "type": "string",
        "enum": kinds,
        "default": "preferred" if preferred else "disabled",
        "description": "`required` fails where the server offers no TLS; `verify` also wants a certificate for this "
        "host, signed by an authority that this machine trusts, or by one of `ca_file`",
    }


def connect_timeout(description: str, default: float = 10) -> Schema:
    return {"type": "number", "minimum": 0.1, "maximum": 300, "default": default, "description": description}
