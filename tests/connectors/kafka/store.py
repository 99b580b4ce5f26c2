"""A real Kafka as the conformance suite sees it, filled through a plain producer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tests.services.kafka.server import PASSWORD, USER, Kafka
from workbench.contract import Changes, ConnectionConfig, Manifest, Secret, TableRef
from workbench.testing.store import Store
from workbench_kafka.manifest import MANIFEST

__all__ = ["KafkaStore"]

_TYPES = {pa.int64(): "integer", pa.float64(): "double", pa.string(): "string", pa.bool_(): "boolean"}
_PAIR = {"columns": {"id": "integer", "v": "string"}}


class KafkaStore(Store):
    def __init__(self, server: Kafka) -> None:
        self.server = server

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        # A topic without messages has no columns but those that are declared.
        empty = {"rid": "integer", **{f"c{index}": kind for index, kind in enumerate(_TYPES.values())}}
        tables = {
            "wbt_empty": {"columns": empty},
            "wbt_written": {"columns": empty},
            **dict.fromkeys(("wbt_followed", "wbt_target", "wbt_made"), _PAIR),
        }
        where = {"host": self.server.host, "port": self.server.port, "hide_meta": True}
        return ConnectionConfig("kafka", where, {}, writable, tables)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        self.drop(TableRef(name))
        self.server.create(name)
        self.server.send(name, table.to_pylist())
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        self.server.drop(table.name)

    def change(self, table: TableRef, changes: Changes) -> bool:
        ops = ["insert"] if changes.ops is None else changes.ops.to_pylist()
        if set(ops) != {"insert"}:
            return False
        self.server.send(table.name, changes.rows.to_pylist())
        return True

    def forget(self, table: TableRef) -> bool:
        self.server.delete_before(table.name, -1)
        return True

    def arrow_types(self) -> Sequence[pa.DataType]:
        return tuple(_TYPES)

    def refuses(self, value: Any) -> bool:
        """JSON has no NaN and no infinity."""
        return isinstance(value, float) and not math.isfinite(value)

    def names(self) -> Sequence[str]:
        """A topic has letters, digits, dots, dashes and underscores."""
        return ["wbt.dot", "wbt-dash", "select", "wbt" + "x" * 61]

    def wrong_secret(self) -> ConnectionConfig:
        where = {"host": self.server.host, "port": self.server.sasl_port, "user": USER, "sasl_mechanism": "PLAIN"}
        return ConnectionConfig("kafka", where, {"password": Secret(f"wr0ng-{PASSWORD}")})
