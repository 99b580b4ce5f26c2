"""A real Redis as the conformance suite sees it, filled through a plain client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tests.services.redis.server import Redis
from workbench.contract import Changes, ConnectionConfig, Manifest, Secret, TableRef
from workbench.testing.store import Store
from workbench_redis.manifest import MANIFEST

__all__ = ["RedisStore"]

_TYPES = {pa.int64(): "integer", pa.float64(): "double", pa.string(): "string"}
_PAIR = {"columns": {"id": "integer", "v": "string"}}


class RedisStore(Store):
    def __init__(self, server: Redis) -> None:
        self.server = server

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        # A stream without entries has no columns but those that are declared.
        empty = {"rid": "integer", **{f"c{index}": kind for index, kind in enumerate(_TYPES.values())}}
        tables: Mapping[str, Any] = {
            "wbt_empty": {"columns": empty},
            "wbt_written": {"columns": empty},
            **dict.fromkeys(("wbt_followed", "wbt_target", "wbt_made"), _PAIR),
        }
        usual = self.server.config(writable, hide_meta=True, connect_timeout=3)
        return ConnectionConfig(usual.name, usual.parameters, usual.secrets, writable, tables)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        with self.server.client() as client:
            client.delete(name)
            client.xgroup_create(name, "made", mkstream=True)
            client.xgroup_destroy(name, "made")
        self._add(name, table.to_pylist())
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        with self.server.client() as client:
            client.delete(table.name)

    def change(self, table: TableRef, changes: Changes) -> bool:
        ops = ["insert"] if changes.ops is None else changes.ops.to_pylist()
        if set(ops) != {"insert"}:
            return False
        self._add(table.name, changes.rows.to_pylist())
        return True

    def forget(self, table: TableRef) -> bool:
        with self.server.client() as client:
            client.xtrim(table.name, maxlen=0, approximate=False)
        return True

    def arrow_types(self) -> Sequence[pa.DataType]:
        return tuple(_TYPES)

    def names(self) -> Sequence[str]:
        return [*super().names(), "wbt🦆", "wbt*?[a]"]

    def address(self) -> tuple[str, int] | None:
        return self.server.host, self.server.port

    def through(self, host: str, port: int) -> ConnectionConfig:
        usual = self.config()
        parameters = {**usual.parameters, "host": host, "port": port}
        return ConnectionConfig(usual.name, parameters, usual.secrets, tables=usual.tables)

    def wrong_secret(self) -> ConnectionConfig:
        usual = self.config()
        return ConnectionConfig(usual.name, usual.parameters, {"password": Secret("wr0ng-Canary'\"&?")})

    def _add(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        with self.server.client() as client, client.pipeline(transaction=False) as together:
            for row in rows:
                together.xadd(name, {key: _text(value) for key, value in row.items() if value is not None})
            together.execute()


def _text(value: Any) -> Any:
    return repr(value) if isinstance(value, float) else value
