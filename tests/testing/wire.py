"""A small source with a wire: a threaded server around a memory source, and a connector that speaks with it.

One connection a request: a JSON line with a password goes in; frames come out, each a kind (`D` data, `E` error, `Z`
the end of the reply) and a length. A reply without its `Z` is a lost connection.
"""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.contract import (
    Capabilities,
    ConnectionConfig,
    Control,
    Manifest,
    ScanPlan,
    ScanRequest,
    Secret,
    ServerInfo,
    Split,
    TableInfo,
    TableRef,
)
from workbench.contract.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    ProtocolError,
    Unreachable,
    Unsupported,
    WorkbenchError,
)
from workbench.testing.control import RecordingControl
from workbench.testing.memory import MANIFEST as MEMORY, MemoryConnector
from workbench.testing.memory_store import MemoryStore

PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "host": {"type": "string"},
        "port": {"type": "integer"},
        "password": {"type": "string", "secret": True},
    },
}
MANIFEST = Manifest(
    name="wire",
    label="Wire (for tests)",
    capabilities=replace(
        MEMORY.capabilities, sinks=False, feeds=False, writes=frozenset(), transactional=False, listing=False
    ),
    implementation="tests.testing.wire:WireConnector",
    parameters=PARAMETERS,
)  # fmt: skip
assert isinstance(MANIFEST.capabilities, Capabilities)


class WireServer:
    """Listens until it is closed."""

    def __init__(self, inner: MemoryConnector, password: str) -> None:
        self._inner, self._password = inner, password
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(link,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, link: socket.socket) -> None:
        with link:
            try:
                asked = json.loads(link.makefile("rb").readline() or "{}")
                if asked.get("password") != self._password:
                    raise AuthenticationFailed("tester", "the wire server", "wrong password")
                for payload in self._answer(asked, link):
                    _send(link, b"D", payload)
                _send(link, b"Z", b"")
            except WorkbenchError as error:
                try:
                    _send(link, b"E", pickle.dumps(error))
                except OSError:
                    return
            except (OSError, ValueError):
                return  # the client went away, or sent half a line

    def _answer(self, asked: Mapping[str, Any], link: socket.socket) -> Iterator[bytes]:
        tables = self._inner.tables
        given = pickle.loads(base64.b64decode(asked["given"])) if "given" in asked else ()
        match asked["do"]:
            case "test":
                yield pickle.dumps(self._inner.test())
            case "cancel":
                self._inner.cancel(*given)
            case "list" | "schema" | "plan" as what:
                yield pickle.dumps(getattr(tables, what)(*given))
            case "read":
                split, mark = given
                control = RecordingControl(mark)
                reader = tables.read(split, control)
                watch = threading.Thread(target=_hang_up, args=(link, control), daemon=True)
                watch.start()
                try:
                    for batch in reader:
                        sink = pa.BufferOutputStream()
                        with pa.ipc.new_stream(sink, batch.schema) as out:
                            out.write_batch(batch)
                        yield sink.getvalue().to_pybytes()
                finally:
                    reader.close()


def _hang_up(link: socket.socket, control: RecordingControl) -> None:
    """A client says nothing more: what comes is its end."""
    with contextlib.suppress(OSError):
        link.recv(1)
    control.cancel()


def _send(link: socket.socket, kind: bytes, payload: bytes) -> None:
    link.sendall(kind + struct.pack("!I", len(payload)) + payload)


class WireConnector:
    """Tables of a `WireServer`."""

    def __init__(self, config: ConnectionConfig) -> None:
        self.config = config
        self.tables = WireTables(self)
        self.feeds = self.sinks = None

    def test(self) -> ServerInfo:
        (info,) = self.ask("test")
        return pickle.loads(info)

    def cancel(self, native_id: str) -> None:
        list(self.ask("cancel", native_id))

    def close(self) -> None:
        pass

    def ask(self, what: str, *given: Any, link: socket.socket | None = None) -> Iterator[bytes]:
        link = link or self.dial()
        with link:
            self.say(link, what, *given)
            while True:
                kind, payload = self.frame(link)
                if kind == b"Z":
                    return
                if kind == b"E":
                    raise pickle.loads(payload)
                yield payload

    def dial(self) -> socket.socket:
        where = (self.config.parameters["host"], self.config.parameters["port"])
        try:
            link = socket.create_connection(where, timeout=10)
        except OSError as error:
            raise Unreachable(f"{where[0]}:{where[1]}", str(error), self.config.name) from None
        link.settimeout(0.05)
        return link

    def say(self, link: socket.socket, what: str, *given: Any) -> None:
        words = {
            "do": what,
            "password": self.config.secrets["password"].reveal(),
            "given": base64.b64encode(pickle.dumps(given)).decode(),
        }
        try:
            link.sendall(json.dumps(words).encode() + b"\n")
        except OSError as error:
            raise ConnectionLost(f"while asking: {error}", self.config.name) from None

    def frame(self, link: socket.socket, control: Control | None = None) -> tuple[bytes, bytes]:
        head = self.exactly(link, 5, control)
        kind, length = head[:1], struct.unpack("!I", head[1:])[0]
        if kind not in (b"D", b"E", b"Z"):
            raise ProtocolError(f"a frame of kind {kind!r}", self.config.name)
        return kind, self.exactly(link, length, control)

    def exactly(self, link: socket.socket, count: int, control: Control | None) -> bytes:
        got = b""
        while len(got) < count:
            if control is not None and control.cancelled():
                raise Cancelled("The scan")
            try:
                piece = link.recv(count - len(got))
            except TimeoutError:
                continue
            except OSError as error:
                raise ConnectionLost(str(error), self.config.name) from None
            if not piece:
                raise ConnectionLost("the reply ended early", self.config.name)
            got += piece
        return got


class WireTables:
    def __init__(self, connector: WireConnector) -> None:
        self._connector = connector

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        return self._one("list", like, after, limit)

    def schema(self, table: TableRef) -> pa.Schema:
        return self._one("schema", table)

    def plan(self, request: ScanRequest) -> ScanPlan:
        plan = self._one("plan", request)
        # A predicate with NaN is not equal to its copy, so the answer is put into the caller's own.
        applied = {
            ours: plan.applied[theirs] for ours, theirs in zip(request.predicates, plan.request.predicates, strict=True)
        }
        return replace(plan, request=request, applied=applied)

    def native(self, text: str) -> ScanPlan:
        raise Unsupported("The wire connector", "run native text")

    def read(self, split: Split, control: Control) -> WireReader:
        return WireReader(self._connector, split, control)

    def _one(self, what: str, *given: Any) -> Any:
        (payload,) = self._connector.ask(what, *given)
        return pickle.loads(payload)


class WireReader:
    def __init__(self, connector: WireConnector, split: Split, control: Control) -> None:
        self._connector, self.split, self._control = connector, split, control
        self.schema, self.snapshot, self.lost, self.received = split.schema, None, {}, 0
        self.native_id = f"{control.mark}-{split.number}"
        self._outcome: BaseException | None = None
        self._lock = threading.Lock()
        self._ended = False
        control.running(self.native_id)
        try:
            self._link = connector.dial()
            connector.say(self._link, "read", split, control.mark)
        except BaseException:
            self._ended = True
            control.ended(self.native_id)
            raise

    def __iter__(self) -> WireReader:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._outcome is not None:
            raise self._outcome
        try:
            return self.next_batch()
        except BaseException as error:
            self._outcome = error
            self.close()
            raise

    def next_batch(self) -> pa.RecordBatch:
        kind, payload = self._connector.frame(self._link, self._control)
        if kind == b"Z":
            raise StopIteration
        if kind == b"E":
            raise pickle.loads(payload)
        self.received += len(payload)
        return pa.ipc.open_stream(payload).read_next_batch()

    def close(self) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        with contextlib.suppress(OSError):  # the other side may be quicker
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()
        self._control.ended(self.native_id)


class WireStore(MemoryStore):
    """The server's source is filled from behind; nobody else logs in to it."""

    def __init__(self, folder: Path, manifest: Manifest = MANIFEST) -> None:
        super().__init__(folder, manifest, password=None)
        self._secret = "canary-S3cret/+"
        self.server = WireServer(MemoryConnector(super().config()), self._secret)

    def config(self, writable: bool = False) -> ConnectionConfig:
        if not hasattr(self, "server"):
            return super().config(writable)
        return self.through(*self.server.address)

    def through(self, host: str, port: int) -> ConnectionConfig:
        secrets = {"password": Secret(self._secret)}
        return ConnectionConfig("wire", {"host": host, "port": port}, secrets)

    def wrong_secret(self) -> ConnectionConfig:
        right = self.config()
        return ConnectionConfig(right.name, right.parameters, {"password": Secret("wrong-Canary&?")})

    def address(self) -> tuple[str, int]:
        return self.server.address
