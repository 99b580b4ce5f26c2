"""A stand-in for MongoDB at the wire, for what no server from a package can do: `killOp`, `$currentOp`, `maxTimeMS`.

It answers OP_MSG by a function of the command, and keeps what it was asked.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import bson

from workbench.contract import ConnectionConfig
from workbench_mongodb.decode import dated

__all__ = ["HELLO", "PROOF", "Scripted", "framed", "refusal"]

_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
HELLO = {"ok": 1.0, "isWritablePrimary": True, "ismaster": True, "helloOk": True, "maxBsonObjectSize": 16 << 20,
         "maxMessageSizeBytes": 48 << 20, "maxWriteBatchSize": 100_000, "minWireVersion": 0,
         "maxWireVersion": 21, "logicalSessionTimeoutMinutes": 30}  # fmt: skip

PROOF: list[dict[str, Any]] = [
    {"k0": 1, "m0": 2, "m1": 2, "m2": bson.Int64(2**53 + 2), "m3": 1, "m4": bson.Int64(2**53 + 1),
     "m5": bson.DatetimeMS(7), "m6": bson.DatetimeMS(-5)},
    {"k0": "a", "m0": 2, "m1": 0, "m2": 0, "m3": None, "m4": None, "m5": None, "m6": None},
    {"k0": True, "m0": 1, "m1": 0, "m2": 0, "m3": None, "m4": None},
    {"k0": False, "m0": 1, "m1": 1, "m2": 0, "m3": 0, "m4": 0},
    {"k0": None, "m0": 2, "m1": 2, "m2": 2, "m3": -3, "m4": 5, "m5": bson.DatetimeMS(0), "m6": bson.DatetimeMS(0)},
]  # fmt: skip
"""What a server answers that adds up as it should (see `workbench_mongodb.reducing.proof`)."""

Answer = Callable[[str, dict[str, Any]], "dict[str, Any] | bytes | None"]
"""Of a command's name and its document: a document, bytes as they are, or None for the usual."""


def refusal(code: int, said: str) -> dict[str, Any]:
    return {"ok": 0.0, "code": code, "errmsg": said}


def framed(document: dict[str, Any], to: int = 0) -> bytes:
    """A whole OP_MSG."""
    body = struct.pack("<IB", 0, 0) + bson.encode(document)
    return struct.pack("<iiii", 16 + len(body), 1, to, _OP_MSG) + body


class Scripted:
    """A server on loopback, up when it is made. `asked` are the commands, but for those of the driver's own."""

    host = "127.0.0.1"

    def __init__(self, answer: Answer, **hello: object) -> None:
        self._answer, self._hello = answer, {**HELLO, **hello}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._peers: list[socket.socket] = []
        self._cursors: dict[int, object] = {}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def config(self, **parameters: object) -> ConnectionConfig:
        where = {"host": self.host, "port": self.port, "database": "shop", "connect_timeout": 2}
        return ConnectionConfig("docs", {**where, **parameters})

    def commands(self, name: str) -> list[dict[str, Any]]:
        return [command for asked, command in self.asked if asked == name]

    def __enter__(self) -> Scripted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._peers):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            threading.Thread(target=self._converse, args=(peer,), daemon=True).start()

    def _converse(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), peer.makefile("rb") as stream:
            while head := stream.read(16):
                size, request, _, kind = struct.unpack("<iiii", head)
                body = stream.read(size - 16)
                if kind == _OP_QUERY:  # the driver's first word
                    peer.sendall(_reply(request, self._hello))
                    continue
                command = bson.decode(body[5 : 5 + struct.unpack_from("<i", body, 5)[0]], dated())
                said = self._said(command)
                if isinstance(said, bytes):  # as it is, but for what it answers
                    said = said[:8] + struct.pack("<i", request)[: max(0, len(said) - 8)] + said[12:]
                peer.sendall(said if isinstance(said, bytes) else framed(said, request))
                if isinstance(said, bytes) and len(said) < struct.unpack("<i", said[:4].ljust(4, b"\xff"))[0] % 2**32:
                    # What is cut is the last.
                    peer.shutdown(socket.SHUT_RDWR)

    def _said(self, command: dict[str, Any]) -> dict[str, Any] | bytes:
        name = next(iter(command))
        if name in ("hello", "isMaster", "ismaster"):
            return self._hello
        self.asked.append((name, command))
        session = (command.get("lsid") or {}).get("id")
        if name == "getMore" and self._cursors.get(command["getMore"], session) != session:
            told = f"Cannot run getMore on cursor {command['getMore']}, which was created in another session"
            return refusal(50738, told)
        answer = self._answer(name, command)
        if answer is not None:
            if isinstance(answer, dict) and "firstBatch" in answer.get("cursor", {}):
                self._cursors[answer["cursor"]["id"]] = session
            return answer
        return _USUAL.get(name, {"ok": 1.0})


def _reply(to: int, hello: dict[str, Any]) -> bytes:
    body = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(hello)
    return struct.pack("<iiii", 16 + len(body), 1, to, _OP_REPLY) + body


def _cursor(*documents: dict[str, Any], name: str = "orders", more: int = 0) -> dict[str, Any]:
    return {"ok": 1.0, "cursor": {"id": bson.Int64(more), "ns": f"shop.{name}", "firstBatch": list(documents)}}


_USUAL: dict[str, dict[str, Any]] = {
    "listCollections": _cursor({"name": "orders", "type": "collection", "info": {}}, name="$cmd.listCollections"),
    "collStats": {"ok": 1.0, "count": 3, "avgObjSize": 30},
    "find": _cursor(*({"_id": n, "n": n} for n in range(3))),
}
