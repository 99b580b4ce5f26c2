"""Servers that lie, stop in the middle, or speak another protocol: a typed error each time, and soon."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.services.hbase.server import HBase
from workbench.contract import ConnectionConfig
from workbench.contract.errors import (
    ConnectionLost,
    ProtocolError,
    SourceError,
    SourceTimeout,
    Unreachable,
    UrlRefused,
)
from workbench.kit import thrift
from workbench.kit.tls import PLAIN
from workbench_hbase.connector import HBaseConnector
from workbench_hbase.gateway import Gateway, Refused
from workbench_hbase.native import Native, scan
from workbench_hbase.protobuf import delimited, flag, number, parse, text
from workbench_hbase.rpc import REGISTRY, Remote, Rpc
from workbench_hbase.wire import Wire, within


class Scripted:
    """A server that answers each connection's first request with the same bytes, and ends it."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(5)
                sock.recv(1 << 16)
                sock.sendall(self.answer)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1 << 16):
                    pass

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


def native(address: tuple[str, int]) -> Native:
    return Native(address, "tester", 2.0, PLAIN, {})


def answered(answer: bytes, ask: Callable[[Any], object], by: type[Native] | type[Gateway] = Native) -> Exception:
    """What becomes of a question that is answered so."""
    with Scripted(answer) as server:
        route: Any = native(server.address) if by is Native else Gateway(server.address, False, 2.0, PLAIN)
        try:
            with pytest.raises((SourceError, Remote, Refused)) as caught:
                ask(route)
        finally:
            route.close()
    return caught.value


def frame(header: bytes, *parts: bytes) -> bytes:
    body = delimited(header) + b"".join(parts)
    return struct.pack(">I", len(body)) + body


def said(message: bytes, cells: bytes = b"", call: int = 1) -> bytes:
    block = text(3, number(1, len(cells))) if cells else b""
    return frame(number(1, call) + block, delimited(message), cells)


@pytest.mark.parametrize(
    "answer",
    [
        struct.pack(">I", 2**31 - 1) + b"x" * 100,
        struct.pack(">I", 2**32 - 1),
        struct.pack(">I", 4) + b"\xff\xff\xff\xff",
        struct.pack(">I", 0),
        frame(number(1, 1), b"\xff\xff\xff\xff\x07"),
        frame(number(1, 1) + text(3, number(1, 2**31 - 1)), delimited(b"")),
        said(b"") + b"",
        said(text(1, b"\xff")),
        said(b"\x0a\xff\xff\xff\xff\x0f"),
        frame(number(1, 1), delimited(text(1, "x")), b"more than the reply has"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"5.7.44\x00",
    ],
)
def test_a_server_that_lies_is_a_typed_error(answer: bytes) -> None:
    error = answered(answer, lambda route: route.regions("t"))
    assert isinstance(error, ProtocolError | ConnectionLost), repr(error)


def test_every_cut_of_a_reply_is_an_error() -> None:
    location = text(2, text(1, "127.0.0.1") + number(2, 1) + number(3, 2))
    whole = said(text(1, location))
    for end in range(len(whole)):
        assert isinstance(answered(whole[:end], lambda route: route.identity("t")), ConnectionLost), end


def test_a_refusal_of_a_server_is_read_with_its_class() -> None:
    java = "org.apache.hadoop.hbase.security.AccessDeniedException"
    refused = frame(number(1, 1) + text(2, text(1, java) + text(2, f"{java}: Authentication is required\n\tat x")))
    error = answered(refused, lambda route: route.cluster())
    assert isinstance(error, Remote)
    assert (error.kind, error.why) == ("AccessDeniedException", "Authentication is required")
    with Scripted(refused) as server:
        where = {"host": server.address[0], "port": server.address[1], "route": "native"}
        connector = HBaseConnector(ConnectionConfig("hb", where))
        with pytest.raises(SourceError, match=r"SASL.*gateway"):
            connector.test()
        connector.close()


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("route", ["native", "gateway"])
@pytest.mark.parametrize("other", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", bytes(4096)])
def test_another_protocol_is_told_with_the_way_out(other: bytes, route: str, framed: bool) -> None:
    with Scripted(other) as server:
        host, port = server.address
        where = {"host": host, "port": port, "gateway_port": port, "route": route, "framed": framed}
        connector = HBaseConnector(ConnectionConfig("hb", where))
        with pytest.raises(
            ProtocolError, match=r"^hb: .*\. Do host, port, `route`, `framed` and `tls` fit the server\?$"
        ):
            connector.test()
        connector.close()


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wire = Wire(*silent.getsockname()[:2], timeout=1.0)
        with pytest.raises(SourceTimeout):
            wire.read(4, within(0.2, "Waiting"))
        wire.close()


def test_memory_grows_with_what_comes() -> None:
    with Scripted(b"x" * 1000) as server:
        wire = Wire(*server.address, timeout=1.0)
        wire.send(b"?", within(1, "x"))
        with pytest.raises(ConnectionLost):
            wire.read(1 << 28, within(2, "x"))
        assert len(wire._memory) <= 1 << 16
        with pytest.raises(ProtocolError):
            wire.read(1 << 30, within(2, "x"))
        wire.close()


@pytest.mark.parametrize(
    "body",
    [
        b"\x0f\x00\x00\x0c\x7f\xff\xff\xff",
        b"\x0b\x00\x00\x7f\xff\xff\xff",
        b"\x0b\x00\x00\xff\xff\xff\xff",
        b"\x0c\x00\x00" * 100,
        b"\x63\x00\x00",
    ],
)
def test_a_gateway_that_lies_is_a_typed_error(body: bytes) -> None:
    head = struct.pack(">Ii", 0x80010002, 13) + b"getTableNames" + struct.pack(">i", 1)
    error = answered(head + body, lambda route: route.tables(), Gateway)
    assert isinstance(error, ProtocolError | ConnectionLost), repr(error)


def test_what_a_gateway_refuses_is_read_with_its_class() -> None:
    words = {1: (thrift.STRUCT, {1: (thrift.STRING, b"org.apache.hadoop.hbase.TableNotFoundException: nope\n\tat y")})}
    reply = bytearray(thrift.call("getTableNames", 1, words))
    reply[3] = 2  # a reply, not a call
    error = answered(bytes(reply), lambda route: route.tables(), Gateway)
    assert isinstance(error, Refused)
    assert (error.kind, error.why) == ("TableNotFoundException", "nope")


@pytest.fixture
def rpc(hbase: HBase) -> Iterator[Rpc]:
    route = native((hbase.host, hbase.port))
    rpc = route.connected((hbase.host, hbase.port))
    yield rpc
    rpc.close()
    route.close()


def test_a_real_server_refuses_nonsense_and_says_why(hbase: HBase, rpc: Rpc) -> None:
    look = within(10, "x")
    for method, parameter, kind in (
        ("Scam", b"", "DoNotRetryIOException"),
        ("Scan", scan(b"nope,,1.0123456789abcdef0123456789abcdef.", b"", None), "NotServingRegionException"),
    ):
        with pytest.raises((Remote, ConnectionLost)) as caught:
            rpc.call(method, parameter, look, timeout=5)
        if isinstance(caught.value, Remote):
            assert caught.value.kind == kind
    with contextlib.closing(native((hbase.host, hbase.port))) as route:
        said, _ = route.call((hbase.host, hbase.port), REGISTRY, "GetClusterId", b"")
        assert said.text(1) == route.cluster()
        with pytest.raises((Remote, ConnectionLost)):
            route.call((hbase.host, hbase.port), "NoService", "Scan", b"")
        assert route.cluster()


def test_cloud_metadata_is_not_spoken_to_wherever_it_comes_from() -> None:
    connector = HBaseConnector(ConnectionConfig("hb", {"host": "127.0.0.1", "port": 1, "route": "native",
                                                       "redirect": "127.0.0.1:1=169.254.169.254:80",
                                                       "connect_timeout": 0.3}))  # fmt: skip
    with pytest.raises((UrlRefused, Unreachable)):
        connector.test()
    connector.close()


def test_messages_are_read_as_they_are_written() -> None:
    whole = number(1, 2**64 - 1) + text(2, "é") + flag(3, True) + text(4, number(1, 7)) + text(4, number(1, 8))
    message = parse(whole)
    assert (message.number(1), message.text(2), message.number(3)) == (2**64 - 1, "é", 1)
    assert [inner.number(1) for inner in message.each(4)] == [7, 8]
    assert 5 not in message
    for end in range(1, len(whole)):
        with contextlib.suppress(ProtocolError):
            parse(whole[:end])
    for wrong in (lambda: message.bytes(1), lambda: message.number(2), lambda: list(message.each(1))):
        with pytest.raises(ProtocolError):
            wrong()
