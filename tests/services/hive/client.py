"""A client of HiveServer2 for tests: statements one after the other, and their rows as texts. Not the connector's code,
so that a mistake there cannot hide here."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any

from workbench.kit import thrift

__all__ = ["Client", "HiveError"]


class HiveError(RuntimeError):
    """The server's refusal, in its words."""


class Client:
    """A session over a socket of its own; a context manager."""

    def __init__(self, port: int, user: str, password: str, sasl: bool = True, timeout: float = 170) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.settimeout(timeout)
        self._file = self._socket.makefile("rb")
        self._sasl, self._number = sasl, 0
        try:
            self.session = self._opened(user, password)
        except BaseException:
            self._close()
            raise

    def _opened(self, user: str, password: str) -> Any:
        if self._sasl:
            for status, content in ((1, b"PLAIN"), (5, f"\0{user}\0{password}".encode())):
                self._socket.sendall(struct.pack(">bi", status, len(content)) + content)
            status, size = struct.unpack(">bi", self._exactly(5))
            said = self._exactly(size)
            if status != 5:
                raise HiveError(said.decode())
        return self.call("OpenSession", {1: (thrift.I32, 9)})[3]

    def call(self, name: str, request: thrift.Struct) -> dict[int, Any]:
        self._number += 1
        message = thrift.call(name, self._number, {1: (thrift.STRUCT, request)})
        self._socket.sendall((struct.pack(">i", len(message)) if self._sasl else b"") + message)
        body: dict[int, Any] = self._reply(name).body[0]
        if body[1][1] not in (0, 1):
            raise HiveError(body[1].get(5, b"").decode())
        return body

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Runs them; the rows of the last."""
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            rows = self._run(statement)
        return rows

    def state(self, operation: Any) -> int:
        """Of an operation, whoever started it."""
        return int(self.call("GetOperationStatus", {1: handle(operation)})[2])

    def close(self) -> None:
        try:
            self.call("CloseSession", {1: handle(self.session)})
        finally:
            self._close()

    def _close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, statement: str) -> list[tuple[Any, ...]]:
        request: thrift.Struct = {1: handle(self.session), 2: (thrift.STRING, statement.encode())}
        operation = self.call("ExecuteStatement", request)[2]
        rows: list[tuple[Any, ...]] = []
        if operation[3]:
            while True:
                ask: thrift.Struct = {1: handle(operation), 2: (thrift.I32, 0), 3: (thrift.I64, 1000)}
                found = _rows(self.call("FetchResults", ask)[3])
                if not found:
                    break
                rows += found
        self.call("CloseOperation", {1: handle(operation)})
        return rows

    def _reply(self, name: str) -> thrift.Message:
        if self._sasl:
            return thrift.reply(self._exactly(struct.unpack(">i", self._exactly(4))[0]), name, self._number)
        found = b""
        while True:
            try:
                return thrift.reply(found, name, self._number)
            except thrift.Truncated as error:
                found += self._exactly(error.missing)

    def _exactly(self, size: int) -> bytes:
        found = self._file.read(size)
        if len(found) != size:
            raise HiveError("the server ended the connection")
        return found


def handle(found: Any) -> tuple[int, thrift.Struct]:
    """A handle as it came, to be sent."""
    inner: dict[int, tuple[int, Any]] = {
        1: (thrift.STRUCT, {1: (thrift.STRING, found[1][1]), 2: (thrift.STRING, found[1][2])})
    }
    if 2 in found:
        inner |= {2: (thrift.I32, found[2]), 3: (thrift.BOOL, found[3])}
    return thrift.STRUCT, inner


def _rows(found: Any) -> list[tuple[Any, ...]]:
    columns = []
    for union in found.get(3, []):
        ((values, nulls),) = [(one[1], one[2]) for one in union.values()]
        columns.append([_value(value, index, nulls) for index, value in enumerate(values)])
    return list(zip(*columns, strict=True))


def _value(value: Any, index: int, nulls: Sequence[int]) -> Any:
    if index // 8 < len(nulls) and nulls[index // 8] >> (index % 8) & 1:
        return None
    return value.decode() if isinstance(value, bytes) else value
