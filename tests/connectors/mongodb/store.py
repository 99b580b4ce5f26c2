"""A real wire server as the conformance suite sees it, filled through pymongo."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import bson
import pyarrow as pa

from tests.services.mongodb.server import FerretDB, MongoServer
from workbench.contract import ConnectionConfig, Manifest, Secret, TableRef
from workbench.testing.store import Store
from workbench_mongodb.manifest import MANIFEST

__all__ = ["FerretStore", "MongoStore", "config"]

_TYPES = {
    pa.int64(): "long",
    pa.float64(): "double",
    pa.string(): "string",
    pa.bool_(): "bool",
    pa.binary(): "binData",
    pa.timestamp("ms", "UTC"): "date",
}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def config(server: MongoServer, **parameters: object) -> ConnectionConfig:
    """A connection to the server's database."""
    usual = server.config()
    return ConnectionConfig("docs", {**usual.parameters, "connect_timeout": 2, **parameters}, usual.secrets)


class MongoStore(Store):
    def __init__(self, server: MongoServer) -> None:
        self.server = server

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        # An empty collection has no columns but those that are declared.
        empty = {"rid": "long", **{f"c{index}": kind for index, kind in enumerate(_TYPES.values())}}
        usual = config(self.server, hide_id=True)
        tables = {"wbt_empty": {"columns": empty}}
        return ConnectionConfig(usual.name, usual.parameters, usual.secrets, writable, tables)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        with self.server.client() as client:
            collection = client[self.server.database][name]
            collection.drop()
            client[self.server.database].create_collection(name)
            columns = [[_constant(value) for value in column.to_pylist()] for column in table.columns]
            rows = [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]
            if key:
                collection.create_index(list(key), unique=True)
            for row in rows if key else ():
                row["_id"] = row[key[0]] if len(key) == 1 else {part: row[part] for part in key}
            for first in range(0, len(rows), 5000):
                collection.insert_many(rows[first : first + 5000])
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        with self.server.client() as client:
            client[self.server.database][table.name].drop()

    def arrow_types(self) -> Sequence[pa.DataType]:
        return tuple(_TYPES)

    def names(self) -> Sequence[str]:
        # No collection may have a dollar in its name, and the driver refuses dots in a field's.
        return [name for name in super().names() if "$" not in name]

    def address(self) -> tuple[str, int] | None:
        return self.server.host, self.server.port

    def through(self, host: str, port: int) -> ConnectionConfig:
        usual = self.config()
        parameters = {**usual.parameters, "host": host, "port": port}
        return ConnectionConfig(usual.name, parameters, usual.secrets, tables=usual.tables)


class FerretStore(MongoStore):
    """As far as FerretDB goes: it ends the connection at infinities and NaN, forgets the sign of zero, makes SQL of
    names without quoting them, and is slow."""

    def __init__(self, server: FerretDB) -> None:
        super().__init__(server)

    def values(self, arrow_type: pa.DataType) -> Sequence[Any]:
        found = super().values(arrow_type)
        return [
            value for value in found if not isinstance(value, float) or (math.isfinite(value) and str(value) != "-0.0")
        ]

    def names(self) -> Sequence[str]:
        return [name for name in super().names() if "." not in name and '"' not in name]

    def many(self) -> int:
        return 5_000

    def wrong_secret(self) -> ConnectionConfig:
        usual = self.config()
        return ConnectionConfig(usual.name, usual.parameters, {"password": Secret("wr0ng-Canary'\"&?")})


def _constant(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return bson.Int64(value)
    if isinstance(value, dt.datetime):
        return bson.DatetimeMS((value - _EPOCH) // dt.timedelta(milliseconds=1))
    return value
