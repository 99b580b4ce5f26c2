"""The in-memory connector as the conformance suite sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.contract import Changes, ConnectionConfig, Manifest, Secret, TableRef
from workbench.testing.memory import MANIFEST, MemorySource, source_config
from workbench.testing.store import Store

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """A `MemorySource` in a folder, so that splits can be read in other processes; other connectors that work on a
    memory source are tested by giving their manifest."""

    def __init__(self, folder: Path, manifest: Manifest = MANIFEST, password: str | None = "canary-S3cret/+") -> None:
        self._manifest = manifest
        self.source = MemorySource(folder=folder, password=password)
        self.table_parameters: dict[str, dict[str, Any]] = {"wbt_slow": {"batch_rows": 1, "hold_after": 1}}
        self.source.put("wbt_slow", pa.table({"id": list(range(5))}))

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def config(self, writable: bool = False) -> ConnectionConfig:
        return source_config(self.source, "memory", writable, **self.table_parameters)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        return self.source.put(name, table, key)

    def drop(self, table: TableRef) -> None:
        self.source.drop(table)

    def arrow_types(self) -> list[pa.DataType]:
        whole = [
            kind(f"{sign}int{bits}") for bits in (8, 16, 32, 64) for sign in ("", "u") for kind in (pa.type_for_alias,)
        ]
        times = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC")]
        return [
            *whole,
            *times,
            pa.bool_(),
            pa.float32(),
            pa.float64(),
            pa.decimal128(38, 0),
            pa.decimal128(9, 4),
            pa.string(),
            pa.large_string(),
            pa.binary(),
            pa.date32(),
            pa.time64("us"),
        ]

    def running(self) -> list[str]:
        return self.source.running()

    def wrong_secret(self) -> ConnectionConfig | None:
        if self.source.password is None:
            return None
        right = self.config()
        return ConnectionConfig(
            right.name, right.parameters, {"password": Secret("wrong-Canary&?")}, tables=right.tables
        )

    def slow(self) -> str | None:
        return "wbt_slow"

    def change(self, table: TableRef, changes: Changes) -> bool:
        self.source.change(table, [changes], "upsert")
        return True

    def forget(self, table: TableRef) -> bool:
        self.source.forget(table)
        return True
