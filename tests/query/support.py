"""What the tests of this room share: a catalog over in-memory sources, and waiting with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from workbench.catalog import Catalog
from workbench.contract.connector import ConnectionConfig, Connector, Manifest
from workbench.query.namespace import Namespace
from workbench.query.session import Session
from workbench.runs import Register
from workbench.testing.memory import MANIFEST, MemorySource, source_config


class MemoryCatalog(Catalog):
    """Connections to in-memory sources; everything above connectors is the real thing."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.connectors: dict[str, tuple[Manifest, Connector]] = {}

    def add(self, name: str, source: MemorySource, writable: bool = True, **knobs: dict[str, Any]) -> None:
        self.connectors[name] = MANIFEST, MANIFEST.open(source_config(source, name, writable, **knobs))

    def names(self) -> list[str]:
        return sorted(self.connectors)

    def saved(self, name: str) -> Any:
        return SimpleNamespace(name=self._known(name))

    def manifest(self, name: str) -> Manifest:
        return self.connectors[self._known(name)][0]

    def config(self, name: str) -> ConnectionConfig:
        config: ConnectionConfig = self.connectors[self._known(name)][1].config  # type: ignore[attr-defined]
        return config

    def open(self, name: str) -> Connector:
        return self.connectors[self._known(name)][1]


class World:
    """A session over sources that a test fills: `shop` and `crm` hold the same source."""

    def __init__(self, home: Path, **session: Any) -> None:
        self.home = home
        self.source = MemorySource()
        self.catalog = MemoryCatalog(home)
        self.catalog.add("shop", self.source)
        self.catalog.add("crm", self.source)
        self.variables: dict[str, object] = {}
        self.kept: object = None  # sources live as long as somebody holds them
        self.register = Register(home / "runs.db")
        self.session = Session(self.catalog, self.register, **({"variables": Namespace(self.variables)} | session))

    def put(self, name: str, table: pa.Table | dict[str, Any]) -> None:
        self.source.put(name, table if isinstance(table, pa.Table) else pa.table(table))

    def rows(self, text: str, **parameters: object) -> list[tuple[Any, ...]]:
        table = self.session.sql(text, parameters).arrow()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def another(self, **session: Any) -> Session:
        """Another session over the same sources."""
        return Session(self.catalog, self.register, **session)

    def quiet(self) -> bool:
        """Nothing is left of any statement, here or at the source."""
        return not self.source.running() and not self.register.runs(active=True)


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Polls until the condition holds; fails at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)
