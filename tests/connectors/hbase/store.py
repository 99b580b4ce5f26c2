"""A real HBase as the conformance suite sees it, filled through its Thrift gateway by a client of the tests' own."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tests.services.hbase.server import HBase
from workbench.contract import ConnectionConfig, Manifest, TableRef
from workbench.testing.store import Store
from workbench_hbase.manifest import MANIFEST

__all__ = ["ENCODERS", "HBaseStore", "Tables", "config", "timestamp"]

Tables = dict[str, Mapping[str, Any]]
"""Mappings of tables, by name."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def timestamp(value: dt.datetime) -> int:
    """Milliseconds since 1970."""
    return (value - _EPOCH) // dt.timedelta(milliseconds=1)


ENCODERS: Mapping[str, Callable[[Any], bytes]] = {
    "text": lambda value: value.encode(),
    "bytes": bytes,
    "boolean": lambda value: b"\xff" if value else b"\0",
    "short": lambda value: struct.pack(">h", value),
    "int": lambda value: struct.pack(">i", value),
    "long": lambda value: struct.pack(">q", value),
    "sorted_long": lambda value: struct.pack(">Q", value + 2**63),
    "sorted_int": lambda value: struct.pack(">I", value + 2**31),
    "float": lambda value: struct.pack(">f", value),
    "double": lambda value: struct.pack(">d", value),
    "time": lambda value: struct.pack(">q", timestamp(value)),
    "reversed_time": lambda value: struct.pack(">q", 2**63 - 1 - timestamp(value)),
    "text_integer": lambda value: str(value).encode(),
    "text_double": lambda value: repr(value).encode(),
}
"""How each kind is written: by the tests, not by the connector."""

_KINDS = {
    pa.int64(): "long",
    pa.float64(): "double",
    pa.string(): "text",
    pa.bool_(): "boolean",
    pa.binary(): "bytes",
    pa.timestamp("ms", "UTC"): "time",
    pa.int32(): "sorted_int",
    pa.int16(): "short",
    pa.float32(): "float",
}


_WRITTEN = ("wbt_target", "wbt_written", "wbt_made")
"""Tables of the suite's that are written, also with rows whose values are all NULL."""


def config(
    server: HBase, tables: Mapping[str, Mapping[str, Any]] | None = None, **parameters: object
) -> ConnectionConfig:
    """A connection to the server by the native protocol; `redirect` and the like go through."""
    where = {"host": server.host, "port": server.port, "connect_timeout": 2, "route": "native", "patience": 5}
    return ConnectionConfig("hb", {**where, **parameters}, tables=tables if tables is not None else {})


class HBaseStore(Store):
    """Each table is loaded with the mapping that its Arrow types ask for; a row without a key has one of its own,
    which is hidden, and a cell that makes it a row where all its values are NULL."""

    def __init__(self, server: HBase, **parameters: object) -> None:
        self.server = server
        self._parameters = parameters
        self._gateway = parameters.get("route") == "gateway"
        self._mappings: dict[str, dict[str, Any]] = {}

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        usual = config(self.server, self._mappings, **self._parameters)
        return ConnectionConfig(usual.name, usual.parameters, usual.secrets, writable, usual.tables)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        client = self.server.client()
        client.drop(name)
        client.create(name, "f")
        kinds = {field.name: _KINDS[field.type] for field in table.schema}
        parts = [{"name": part, "type": _sorted(kinds[part])} for part in key]
        self._mappings[name] = {
            "key": parts or [{"name": "wbt_row", "type": "bytes"}],
            "hide_key": not key,
            "columns": {
                column: {"type": kind, "cell": f"f:{column}"} for column, kind in kinds.items() if column not in key
            },
            **({"marker": "f:\\x00there"} if name in _WRITTEN else {}),
        }
        client.put(name, _rows(table, kinds, key))
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        """Its mapping is the connection's, and stays."""
        self.server.client().drop(table.name)

    def arrow_types(self) -> Sequence[pa.DataType]:
        return tuple(_KINDS)

    def names(self) -> Sequence[str]:
        # Names of tables are letters, digits, underscores, dots and hyphens; of cells they may be anything.
        return ["wbt.dot", "wbt-dash", "select", "wbt" + "x" * 61, "wbt_lower", "WBT_UPPER"]

    def many(self) -> int:
        return 60_000

    def address(self) -> tuple[str, int] | None:
        return self.server.host, self.server.gateway if self._gateway else self.server.port

    def through(self, host: str, port: int) -> ConnectionConfig:
        if self._gateway:
            there: dict[str, Any] = {"gateway_host": host, "gateway_port": port}
        else:
            own = f"{self.server.host}:{self.server.port}"
            there = {"host": host, "port": port, "redirect": f"{own}={host}:{port}"}
        return ConnectionConfig("hb", {**self.config().parameters, **there}, tables=self._mappings)


def _sorted(kind: str) -> str:
    return f"sorted_{kind}" if kind in ("int", "long") else kind


def _rows(
    table: pa.Table, kinds: Mapping[str, str], key: tuple[str, ...]
) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
    columns = {name: _values(table.column(name)) for name in table.column_names}
    for number in range(table.num_rows):
        row = b"".join(ENCODERS[_sorted(kinds[part])](columns[part][number]) for part in key)
        cells = {b"f:\0there": b""}
        for name, values in columns.items():
            if name not in key and values[number] is not None:
                cells[b"f:" + name.encode()] = ENCODERS[kinds[name]](values[number])
        yield row or struct.pack(">Q", number), cells


def _values(column: pa.ChunkedArray) -> list[Any]:
    return list(column.to_pylist())
