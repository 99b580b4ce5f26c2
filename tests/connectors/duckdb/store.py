"""A DuckDB file as the conformance suite sees it. Tables are loaded by a plain DuckDB, in a moment in which the
connector has let the file go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from workbench.contract import ConnectionConfig, Manifest, TableRef
from workbench.testing.store import Store
from workbench_duckdb.instance import database
from workbench_duckdb.manifest import MANIFEST

__all__ = ["DuckDBStore"]


class DuckDBStore(Store):
    def __init__(self, path: Path) -> None:
        self.path = path
        duckdb.connect(path).close()

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        return ConnectionConfig("local", {"path": str(self.path)}, writable=writable)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        quoted = '"' + name.replace('"', '""') + '"'
        database(str(self.path)).let_go()
        with duckdb.connect(self.path) as db:
            db.execute(f"drop table if exists {quoted}")
            db.register("loaded", table)
            db.execute(f"create table {quoted} as from loaded")
            if key:
                db.execute(f"alter table {quoted} add primary key ({', '.join(key)})")
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        quoted = '"' + table.name.replace('"', '""') + '"'
        database(str(self.path)).let_go()
        with duckdb.connect(self.path) as db:
            db.execute(f"drop table if exists {quoted}")

    def arrow_types(self) -> list[pa.DataType]:
        whole = [pa.type_for_alias(f"{sign}int{bits}") for bits in (8, 16, 32, 64) for sign in ("", "u")]
        return [
            *whole,
            *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
            pa.timestamp("us", "UTC"),
            pa.bool_(),
            pa.float32(),
            pa.float64(),
            pa.decimal128(38, 0),
            pa.decimal128(9, 4),
            pa.string(),
            pa.binary(),
            pa.date32(),
            pa.time64("us"),
        ]

    def values(self, arrow_type: pa.DataType) -> list[Any]:
        return list(super().values(arrow_type))

    def many(self) -> int:
        return 125_000

    def slow(self) -> str:
        return "select count(*) from range(1000000) a, range(1000000) b where a.range + b.range <> 7"
