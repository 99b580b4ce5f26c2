"""A real HiveServer2 as the conformance suite sees it, filled with Parquet files that pyarrow writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tests.services.hive.server import Hive, quoted
from workbench.contract import ConnectionConfig, Connector, Manifest, Predicate, Secret, TableRef
from workbench.testing.store import Store
from workbench_hive.manifest import MANIFEST
from workbench_hive.predicates import fragment
from workbench_hive.types import HiveType

__all__ = ["HiveStore", "config"]

_TYPES = (
    pa.bool_(),
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.binary(),
    pa.date32(),
    pa.timestamp("us"),
    pa.decimal128(38, 0),
    pa.decimal128(9, 4),
    pa.decimal128(38, 30),
)
_MANY = 10_000
"""Rows from which a table is loaded with partitions: nothing else of Hive's tells parts apart."""
_OVER = ("CANCELED", "CLOSED", "ERROR", "TIMEDOUT")


def config(server: Hive, **parameters: object) -> ConnectionConfig:
    """A connection to the server's database."""
    where = {"host": server.host, "port": server.port, "user": "reader", "database": server.database}
    return ConnectionConfig("hive", {**where, **parameters}, {"password": Secret(server.password)})


class HiveStore(Store):
    def __init__(self, server: Hive) -> None:
        self.server = server
        self._slow, self._turns = "", 0

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        return config(self.server)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        self.server.load(name, table, parts=5 if table.num_rows >= _MANY else 0)
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        self.server.execute(f"drop table if exists {quoted(table.name)}")

    def arrow_types(self) -> Sequence[pa.DataType]:
        return _TYPES

    def values(self, arrow_type: pa.DataType) -> Sequence[Any]:
        return super().values(arrow_type)

    def many(self) -> int:
        return _MANY

    def names(self) -> Sequence[str]:
        # No dots in names, and of a table's only ASCII.
        return [name for name in super().names() if name.isascii() and "." not in name]

    def kept(self, connector: Connector, table: TableRef, predicates: Sequence[Predicate]) -> list[set[Any]]:
        assert connector.tables is not None
        types = {field.name: HiveType.of_name(field.metadata[b"source_type"].decode())
                 for field in connector.tables.schema(table)}  # fmt: skip
        texts = [fragment(predicate, types).text or "true" for predicate in predicates]
        columns = ", ".join(f"{text} as c{number}" for number, text in enumerate(texts))
        # By turns as a fetch and as a task of the engine, which compares vectors.
        self._turns += 1
        way = ("set hive.fetch.task.conversion=none",) if self._turns % 2 else ()
        rows = self.server.execute(*way, f"select rid, {columns} from {quoted(table.name)}")
        return [{row[0] for row in rows if row[1 + number] is True} for number in range(len(texts))]

    def running(self) -> list[str]:
        return [text for state, text in self.server.running() if text.startswith("/* wb-") and state not in _OVER]

    def slow(self) -> str | None:
        if not self._slow:
            self.server.load("wbt_slow", pa.table({"id": range(200_000)}))
            self._slow = "select count(*) from wbt_slow where sha2(repeat(cast(id as string), 100000), 512) = 'x'"
        return self._slow

    def address(self) -> tuple[str, int] | None:
        return self.server.host, self.server.port

    def through(self, host: str, port: int) -> ConnectionConfig:
        usual = self.config()
        return ConnectionConfig(usual.name, {**usual.parameters, "host": host, "port": port}, usual.secrets)

    def wrong_secret(self) -> ConnectionConfig | None:
        usual = self.config()
        return ConnectionConfig(usual.name, usual.parameters, {"password": Secret("wr0ng-Canary'\"&?")})
