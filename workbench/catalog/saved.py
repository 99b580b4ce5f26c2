"""A saved connection, as its document says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.catalog.secrets import shown
from workbench.contract.errors import DocumentError
from workbench.documents import Document

__all__ = ["KIND", "VERSION", "Saved"]

KIND, VERSION = "connections", 1


@dataclass(frozen=True)
class Saved:
    """A connection as it is kept. `secrets` are references (`keyring:…`, `file:…`, `env:NAME`) by property name.
    `notes` are what the person who just connected should know; they are not kept."""

    name: str
    connector: str
    parameters: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict)
    writable: bool = False
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """`user@host:port/database`, or the path, as far as there is such a thing."""
        given = self.parameters
        if "path" in given:
            return _printable(str(given["path"]))
        host = str(given.get("host", ""))
        host = f"[{host}]" if ":" in host else host
        port = f":{given['port']}" if "port" in given else ""
        user = f"{given['user']}@" if "user" in given else ""
        return _printable(f"{user}{host}{port}" + (f"/{given['database']}" if "database" in given else ""))

    def __repr__(self) -> str:
        facts = [self.connector, self.where, "writable" if self.writable else "read-only"]
        facts += [f"{name} {shown(reference)}" for name, reference in self.secrets.items()]
        return f"{self.name}: " + ", ".join(filter(None, facts)) + "".join(f"\n  {note}" for note in self.notes)

    def body(self) -> dict[str, Any]:
        return {
            "connector": self.connector,
            "parameters": dict(self.parameters),
            "secrets": dict(self.secrets),
            "writable": self.writable,
            "tables": {name: dict(one) for name, one in self.tables.items()},
        }

    @classmethod
    def of(cls, document: Document) -> Saved:
        """Raises DocumentError when the document does not hold a connection."""
        body = document.body
        fields = {"connector": str, "parameters": dict, "secrets": dict, "writable": bool, "tables": dict}
        for name, kind in fields.items():
            if not isinstance(body.get(name), kind):
                raise DocumentError(f"{KIND}/{document.name}", f"has no `{name}`: connect again under this name.")
        if not all(isinstance(one, str) for one in body["secrets"].values()) or not all(
            isinstance(one, dict) for one in body["tables"].values()
        ):
            raise DocumentError(f"{KIND}/{document.name}", "is not a connection: connect again under this name.")
        return cls(document.name, **{name: body[name] for name in fields})


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
