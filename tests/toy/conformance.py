"""The toy's own tests, as its author would write them; run by `test_toy.py` where the toy is installed."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from workbench.contract import ConnectionConfig, Manifest, TableRef
from workbench.testing.conformance import ConformanceSuite
from workbench.testing.store import Store

KINDS = {pa.int64(): "INTEGER", pa.float64(): "REAL", pa.string(): "TEXT"}


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class ToyStore(Store):
    def __init__(self, folder: Path) -> None:
        self.file = folder / "toy.db"
        self.link = sqlite3.connect(self.file)
        self.link.execute("pragma journal_mode = wal")

    @property
    def manifest(self) -> Manifest:
        (point,) = entry_points(group="workbench.connectors", name="toy")
        return point.load()

    def config(self, writable: bool = False) -> ConnectionConfig:
        return ConnectionConfig("t", {"database": str(self.file)}, writable=writable)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        self.drop(TableRef(name))
        columns = [
            f"{quoted(column.name)} {KINDS[column.type]}{'' if column.nullable else ' not null'}"
            for column in table.schema
        ]
        if key:
            columns.append(f"primary key ({', '.join(map(quoted, key))})")
        self.link.execute(f"create table {quoted(name)} ({', '.join(columns)})")
        marks = ", ".join("?" * table.num_columns)
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        self.link.executemany(f"insert into {quoted(name)} values ({marks})", rows)
        self.link.commit()
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        self.link.execute(f"drop table if exists {quoted(table.name)}")
        self.link.commit()

    def values(self, arrow_type: pa.DataType) -> Sequence[Any]:
        # SQLite keeps NaN as NULL, and -0.0 as 0.
        return [
            v for v in super().values(arrow_type) if not isinstance(v, float) or (v == v and math.copysign(1, v) * v)
        ]


class TestToy(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> ToyStore:
        return ToyStore(tmp_path_factory.mktemp("toy"))
