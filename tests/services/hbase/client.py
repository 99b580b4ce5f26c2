"""A plain client of the Thrift gateway: how tests load tables, apart from the connector under test."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workbench.kit import thrift

__all__ = ["Gateway", "GatewayError"]


class GatewayError(Exception):
    """The gateway's own refusal."""


class Gateway:
    """A connection for each call: simple, and nothing is left open."""

    def __init__(self, host: str, port: int, framed: bool = False) -> None:
        self._where, self._framed = (host, port), framed

    def tables(self) -> list[str]:
        return [name.decode() for name in self._call("getTableNames", {})]

    def create(self, table: str, *families: str) -> None:
        columns = [{1: (thrift.STRING, family.encode() + b":")} for family in families]
        self._call("createTable", {1: _text(table), 2: (thrift.LIST, (thrift.STRUCT, columns))})

    def drop(self, table: str) -> None:
        """No error when it is not there."""
        if table in self.tables():
            if self._call("isTableEnabled", {1: _text(table)}):
                self._call("disableTable", {1: _text(table)})
            self._call("deleteTable", {1: _text(table)})

    def disable(self, table: str) -> None:
        self._call("disableTable", {1: _text(table)})

    def enable(self, table: str) -> None:
        self._call("enableTable", {1: _text(table)})

    def put(self, table: str, rows: Iterable[tuple[bytes, Mapping[bytes, bytes]]], batch: int = 2000) -> None:
        """Rows with their cells, `family:qualifier` and value."""
        waiting: list[Any] = []
        for row, cells in rows:
            changes = [{2: (thrift.STRING, name), 3: (thrift.STRING, value)} for name, value in cells.items()]
            waiting.append({1: (thrift.STRING, row), 2: (thrift.LIST, (thrift.STRUCT, changes))})
            if len(waiting) == batch:
                self._rows(table, waiting)
                waiting = []
        self._rows(table, waiting)

    def delete(self, table: str, row: bytes) -> None:
        self._call("deleteAllRow", {1: _text(table), 2: (thrift.STRING, row)})

    def _rows(self, table: str, rows: Sequence[Any]) -> None:
        if rows:
            self._call("mutateRows", {1: _text(table), 2: (thrift.LIST, (thrift.STRUCT, rows))})

    def _call(self, name: str, arguments: thrift.Struct) -> Any:
        message = thrift.call(name, 1, arguments)
        with socket.create_connection(self._where, 60) as sock:
            sock.settimeout(60)
            sock.sendall((struct.pack(">i", len(message)) if self._framed else b"") + message)
            data = bytearray()
            skip = 4 if self._framed else 0
            while True:
                got = sock.recv(1 << 16)
                if not got:
                    raise GatewayError("the gateway closed the connection")
                data += got
                try:
                    body = thrift.reply(data[skip:], name, 1).body
                    break
                except thrift.Truncated:
                    continue
        for number, refusal in body.items():
            if number:
                raise GatewayError(str(refusal.get(1, b""), "utf-8", "replace")[:500])
        return body.get(0)


def _text(value: str) -> tuple[int, bytes]:
    return thrift.STRING, value.encode()
