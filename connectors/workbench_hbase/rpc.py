"""Calls to one service of one server of a cluster, in the protocol that servers and clients of HBase speak.

A request is a length, a header and a parameter; a reply is a length, a header, a message, and the block of cells that
the header announces.
"""

from __future__ import annotations

import getpass
import struct

from workbench.contract.errors import ProtocolError, SourceError
from workbench_hbase.protobuf import Message, delimited, flag, number, parse, take, text
from workbench_hbase.wire import Look, Wire

__all__ = ["ADMIN", "CLIENT", "MASTER", "REGISTRY", "Remote", "Reply", "Rpc"]

CLIENT, ADMIN, MASTER, REGISTRY = "ClientService", "AdminService", "MasterService", "ClientMetaService"
_CODEC = "org.apache.hadoop.hbase.codec.KeyValueCodec"
_PREAMBLE = b"HBas\0\x50"
"""Version 0, and authentication SIMPLE: a name, which the server believes."""
_VERSION = "2.6.1"
"""What servers take us for: with an older one, some replies have their cells elsewhere."""
_URGENT = 200


class Remote(SourceError):
    """A server's refusal. `kind` is the exception's class without its package."""

    def __init__(self, where: str, said: Message) -> None:
        self.where, self.java = where, said.text(1)
        self.kind = self.java.rpartition(".")[2]
        self.stack = said.text(2)
        first = self.stack.partition("\n")[0].strip()
        self.why = first.removeprefix(self.java).lstrip(": ")[:500] or self.kind
        self.moved = (said.text(3), said.number(4)) if 3 in said else None
        super().__init__(f"{self.kind}: {self.why}")


class Reply:
    """`message` and `block` lie in the connection's memory: they are there until its next reply."""

    def __init__(self, message: memoryview, block: memoryview) -> None:
        self.message, self.block = message, block

    def parsed(self) -> Message:
        return parse(self.message)


class Rpc:
    """One connection. Calls may be sent before the reply of the one before was received; not thread-safe."""

    def __init__(self, wire: Wire, service: str, user: str, look: Look) -> None:
        self.wire, self.service = wire, service
        self._number = 0
        header = _header(service, user or _login())
        wire.send(_PREAMBLE + struct.pack(">I", len(header)) + header, look)

    def send(self, method: str, parameter: bytes, look: Look, *, timeout: float, urgent: bool = False) -> int:
        """The call's number. `timeout`: seconds that the server takes for it at most, as far as it keeps to that."""
        self._number += 1
        header = number(1, self._number) + text(3, method) + flag(4, True)
        header += number(6, _URGENT) if urgent else b""
        header += number(7, max(1, int(timeout * 1000)))
        body = delimited(header) + delimited(parameter)
        self.wire.send(struct.pack(">I", len(body)) + body, look)
        return self._number

    def receive(self, call: int, look: Look) -> Reply:
        """The reply to that call; those to others are dropped. Raises Remote when the server refuses."""
        while True:
            look(0.0)  # also where replies to other calls come without an end
            (size,) = struct.unpack(">I", self.wire.read(4, look))
            self.wire.broken = True
            frame = self.wire.read(size, look)
            length, at = take(frame, 0)
            header, at = _part(frame, at, length)
            said = parse(header)
            answered = said.number(1)
            if 2 in said and (answered == call or answered > self._number):
                raise Remote(self.wire.where, said.inner(2))
            if answered != call:
                continue
            length, at = take(frame, at)
            message, at = _part(frame, at, length)
            cells = said.inner(3).number(1) if 3 in said else 0
            block, at = _part(frame, at, cells)
            if at != len(frame):
                raise ProtocolError(f"{self.wire.where} sent {len(frame) - at} bytes more than its reply has")
            return Reply(message, block)

    def call(self, method: str, parameter: bytes, look: Look, *, timeout: float, urgent: bool = False) -> Reply:
        return self.receive(self.send(method, parameter, look, timeout=timeout, urgent=urgent), look)

    def close(self) -> None:
        self.wire.close()


def _part(frame: memoryview, at: int, size: int) -> tuple[memoryview, int]:
    if size > len(frame) - at:
        raise ProtocolError(f"The server's reply claims a part of {size:,} bytes where {len(frame) - at:,} are left")
    return frame[at : at + size], at + size


def _header(service: str, user: str) -> bytes:
    version = b"".join((text(1, _VERSION), *(text(field, "-") for field in range(2, 7)), number(7, 2), number(8, 6)))
    codec = text(3, _CODEC) if service == CLIENT else b""
    return text(1, text(1, user)) + text(2, service) + codec + text(5, version)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "analyst"
