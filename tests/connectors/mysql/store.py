"""A real MySQL or MariaDB as the conformance suite sees it, filled and watched through pymysql."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tests.services.mysql.server import Server
from workbench.contract import ConnectionConfig, Manifest, Secret, TableRef
from workbench.testing.store import Store
from workbench_mysql.manifest import MANIFEST

__all__ = ["MySQLStore", "config", "quoted"]

_TYPES = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.uint8(): "tinyint unsigned",
    pa.uint16(): "smallint unsigned",
    pa.uint32(): "int unsigned",
    pa.uint64(): "bigint unsigned",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "longtext",
    pa.binary(): "longblob",
    pa.date32(): "date",
    pa.timestamp("us"): "datetime(6)",
    pa.timestamp("us", "UTC"): "timestamp(6) null default null",
    pa.duration("us"): "time(6)",
    pa.decimal128(38, 0): "decimal(38,0)",
    pa.decimal128(9, 4): "decimal(9,4)",
    pa.decimal128(38, 30): "decimal(38,30)",
}
_FIRST = dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)
_LAST = dt.datetime(2038, 1, 19, 3, 14, 7, 999_999, tzinfo=dt.UTC)
_LONGEST_TIME = dt.timedelta(hours=838, minutes=59, seconds=59)


def config(server: Server, user: str = "reader", writable: bool = False, **parameters: object) -> ConnectionConfig:
    """A connection to the server as that user."""
    where = {"host": server.host, "port": server.port, "user": user, "database": server.database}
    return ConnectionConfig("shop", {**where, **parameters}, {"password": Secret(server.password)}, writable)


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


class MySQLStore(Store):
    def __init__(self, server: Server) -> None:
        self.server = server

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        return config(self.server, "writer" if writable else "reader", writable)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        columns = [f"{quoted(field.name)} {_column(field, field.name in key)}" for field in table.schema]
        if key:
            columns.append(f"primary key ({', '.join(map(quoted, key))})")
        collation = "utf8mb4_nopad_bin" if self.server.product == "mariadb" else "utf8mb4_0900_bin"
        with self.server.connection() as link, link.cursor() as cursor:
            cursor.execute("set time_zone = '+00:00', sql_mode = 'STRICT_TRANS_TABLES'")
            cursor.execute(f"drop table if exists {quoted(name)}")
            cursor.execute(f"create table {quoted(name)} ({', '.join(columns)}) engine=InnoDB collate {collation}")
            for batch in table.to_batches(max_chunksize=20_000):
                rows = zip(*(_constants(link, column) for column in batch.columns), strict=True)
                text = ",".join("(" + ",".join(row) + ")" for row in rows)
                if text:
                    cursor.execute(f"insert into {quoted(name)} values {text}")
            cursor.execute(f"analyze table {quoted(name)}")
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        self.server.execute(f"drop table if exists {quoted(table.name)}")

    def arrow_types(self) -> Sequence[pa.DataType]:
        return tuple(_TYPES)

    def values(self, arrow_type: pa.DataType) -> Sequence[Any]:
        values = list(super().values(arrow_type))
        if pa.types.is_floating(arrow_type):
            values = [value for value in values if value - value == 0]  # no infinities and no NaN
            if self.server.product == "mariadb":  # which makes 0 of -0
                return [value for value in values if repr(value) != "-0.0"]
        if arrow_type == pa.timestamp("us", "UTC"):
            return [value for value in values if _FIRST <= value <= _LAST] + [_FIRST, _LAST]
        if pa.types.is_duration(arrow_type):
            return [value for value in values if abs(value) <= _LONGEST_TIME] + [_LONGEST_TIME, -_LONGEST_TIME]
        return values

    def many(self) -> int:
        return 260_000

    def running(self) -> list[str]:
        return [text for _, _, text in self.server.running() if re.match(r"/\* wb-", text)]

    def address(self) -> tuple[str, int] | None:
        return self.server.host, self.server.port

    def through(self, host: str, port: int) -> ConnectionConfig:
        usual = self.config()
        return ConnectionConfig(usual.name, {**usual.parameters, "host": host, "port": port}, usual.secrets)

    def wrong_secret(self) -> ConnectionConfig | None:
        usual = self.config()
        return ConnectionConfig(usual.name, usual.parameters, {"password": Secret("wr0ng-Canary'\"&?")})

    def slow(self) -> str | None:
        return "select sleep(0.2) from information_schema.columns limit 300"


def _column(field: pa.Field, key: bool) -> str:
    kind = _TYPES[field.type]
    if key and kind in ("longtext", "longblob"):
        kind = "varchar(255)" if kind == "longtext" else "varbinary(255)"
    return f"{kind} not null" if key else kind


def _constants(link: Any, column: pa.Array) -> list[str]:
    values = column.to_pylist()
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        values = [None if value is None else value.astimezone(dt.UTC).replace(tzinfo=None) for value in values]
    if pa.types.is_decimal(column.type):
        return ["NULL" if value is None else format(value, "f") for value in values]
    if pa.types.is_integer(column.type):
        return ["NULL" if value is None else str(value) for value in values]
    return [link.escape(value) for value in values]
