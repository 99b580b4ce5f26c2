"""A HiveServer2 that answers by a script, for what no real one does: cuts, lies, silence."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from tests.connectors.hive.replies import column, fetched, reply
from workbench.contract import ConnectionConfig, ScanRequest, Split, TableRef
from workbench.kit import thrift
from workbench_hive.types import HiveType

__all__ = ["LOG", "Answer", "Scripted", "split_of"]

Answer = Callable[[str, int], bytes | None]
"""The whole message for a call of that name and number; None for silence."""

HANDLE = {1: (thrift.STRUCT, {1: (thrift.STRING, b"g" * 16), 2: (thrift.STRING, b"s" * 16)})}
_OPERATION: thrift.Struct = {**HANDLE, 2: (thrift.I32, 0), 3: (thrift.BOOL, True)}
_GOOD = (thrift.STRUCT, {1: (thrift.I32, 0)})
_TYPES = {"bigint": 4, "string": 7}
LOG = "FetchResults of the log"
"""How calls are named here that ask for lines of the log."""
_OF_THE_LOG = struct.pack(">bhh", thrift.I16, 4, 1)


class Scripted:
    """Listens on loopback until it is left. `calls` are the names of what was asked, in order. One that is not
    `patient` hangs up after a message that was harmed."""

    def __init__(
        self,
        pages: Sequence[tuple[list[int], bool]] = (([1, 2, 3], False),),
        *,
        sasl: bool = True,
        answer: Answer | None = None,
        harm: Callable[[str, bytes], bytes] = lambda name, message: message,
        states: Sequence[int] = (2,),
        patient: bool = True,
    ) -> None:
        self.calls: list[str] = []
        self.asked = threading.Condition()
        self._pages, self._sasl, self._answer, self._harm = list(pages), sasl, answer, harm
        self._states, self._patient = list(states), patient
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def config(self, **parameters: object) -> ConnectionConfig:
        host, port = self._listener.getsockname()[:2]
        given = {"host": host, "port": port, "connect_timeout": 5, **parameters}
        return ConnectionConfig("hive", given if self._sasl else {"authentication": "nosasl", **given})

    def wait_for(self, name: str, seconds: float = 10) -> bool:
        with self.asked:
            return self.asked.wait_for(lambda: name in self.calls, seconds)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()
        self._thread.join(5)

    def __enter__(self) -> Scripted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self._links.append(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError, struct.error), link.makefile("rb") as file:

            def exactly(size: int) -> bytes:
                found = file.read(size)
                if len(found) != size:
                    raise EOFError
                return found

            if self._sasl:
                for _ in range(2):
                    exactly(struct.unpack(">bi", exactly(5))[1])
                link.sendall(struct.pack(">bi", 5, 0))
            while True:
                message = exactly(struct.unpack(">i", exactly(4))[0]) if self._sasl else self._unframed(exactly)
                size = struct.unpack_from(">i", message, 4)[0]
                name, number = message[8 : 8 + size].decode(), struct.unpack_from(">i", message, 8 + size)[0]
                if name == "FetchResults" and _OF_THE_LOG in message:
                    name = LOG
                with self.asked:
                    self.calls.append(name)
                    self.asked.notify_all()
                said = self._answer(name, number) if self._answer else None
                said = said if said is not None else self._usual(name, number)
                if said is None:
                    continue
                framed = (struct.pack(">i", len(said)) if self._sasl else b"") + said
                harmed = self._harm(name, framed)
                link.sendall(harmed)
                if len(harmed) < len(framed) or (harmed != framed and not self._patient):
                    link.shutdown(socket.SHUT_RDWR)
                    return

    def _unframed(self, exactly: Callable[[int], bytes]) -> bytes:
        found = b""
        while True:
            try:
                patched = found[:3] + b"\x02" + found[4:] if len(found) > 3 else found
                size = struct.unpack_from(">i", found, 4)[0] if len(found) >= 8 else 0
                name = found[8 : 8 + size].decode()
                number = struct.unpack_from(">i", found, 8 + size)[0] if len(found) >= 12 + size and size else 0
                thrift.reply(patched, name, number)
            except thrift.Truncated as error:
                found += exactly(error.missing)
            else:
                return found

    def _usual(self, name: str, number: int) -> bytes | None:
        match name:
            case "OpenSession":
                response: thrift.Struct = {1: _GOOD, 2: (thrift.I32, 9), 3: (thrift.STRUCT, HANDLE)}
            case "ExecuteStatement" | "GetTables":
                response = {1: _GOOD, 2: (thrift.STRUCT, _OPERATION)}
            case "GetOperationStatus":
                state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
                response = {1: _GOOD, 2: (thrift.I32, state)}
            case "GetResultSetMetadata":
                entry = {1: (thrift.STRUCT, {1: (thrift.I32, _TYPES["bigint"])})}
                kind = {1: (thrift.LIST, (thrift.STRUCT, [entry]))}
                one = {1: (thrift.STRING, b"n"), 2: (thrift.STRUCT, kind), 3: (thrift.I32, 1)}
                response = {1: _GOOD, 2: (thrift.STRUCT, {1: (thrift.LIST, (thrift.STRUCT, [one]))})}
            case _ if name == LOG:
                return fetched([column("string", [])], number)
            case "FetchResults":
                values, more = self._pages.pop(0) if self._pages else ([], False)
                return fetched([column("i64", values)], number, more)
            case _:
                response = {1: _GOOD}
        return reply(name, number, response)


def split_of(sql: str = "select n from t") -> Split:
    """A split as the connector plans it, of one column `n`."""
    import pyarrow as pa

    kind = HiveType.of_name("bigint")
    schema = pa.schema([kind.field("n")])
    table = TableRef("t", "shop")
    assert ScanRequest(table, ("n",)).columns == ("n",)
    return Split(0, table, sql, schema, {"types": (kind,), "sql": sql, "counts": False})
