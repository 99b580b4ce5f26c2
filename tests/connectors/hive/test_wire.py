"""What no honest server does: cut replies, lies about lengths and states, silence. Rows or a typed error, never fewer
rows, and never for ever."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tests.connectors.hive.replies import column, fetched, reply
from tests.connectors.hive.scripted import Scripted, split_of
from workbench.contract import ConnectionConfig, TableRef
from workbench.contract.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SnapshotChanged,
    SourceError,
    SourceTimeout,
    SqlSyntaxError,
    StatementRefused,
    Unreachable,
    WorkbenchError,
)
from workbench.kit import thrift
from workbench.testing.clock import eventually
from workbench.testing.control import RecordingControl
from workbench_hive.connector import HiveConnector
from workbench_hive.metastore import Metastore

PAGES = [([1, 2], False), ([], True), ([3], True), ([], True), ([4, 5], False)]
"""Batches without rows that say that there is more are not the end, nor are those with rows that say there is none."""


def rows(
    server: Scripted, control: RecordingControl | None = None, config: ConnectionConfig | None = None
) -> list[int]:
    connector = HiveConnector(config or server.config())
    used = control or RecordingControl()
    try:
        found = [value for batch in connector.tables.read(split_of(), used) for value in batch.column(0).to_pylist()]
        assert not used.open
        return found
    finally:
        connector.close()


@pytest.mark.parametrize("sasl", [True, False])
def test_all_rows_come_with_and_without_frames(sasl: bool) -> None:
    with Scripted(PAGES, sasl=sasl, states=(0, 7, 1, 2)) as server:
        assert rows(server) == [1, 2, 3, 4, 5]
        assert server.calls[:2] == ["OpenSession", "ExecuteStatement"]
        assert server.wait_for("CloseSession")


@pytest.mark.parametrize("sasl", [True, False])
@pytest.mark.parametrize(
    "name", ["OpenSession", "ExecuteStatement", "GetOperationStatus", "GetResultSetMetadata", "FetchResults"]
)
def test_a_reply_that_is_cut_anywhere_is_an_error(name: str, sasl: bool) -> None:
    at, total = 0, 1
    while at < total:
        sizes: list[int] = []

        def harm(called: str, message: bytes, at: int = at, sizes: list[int] = sizes) -> bytes:
            if called != name:
                return message
            sizes.append(len(message))
            return message[:at]

        with Scripted(sasl=sasl, harm=harm) as server, pytest.raises(SourceError) as caught:
            rows(server)
        assert isinstance(caught.value, ConnectionLost | Unreachable), at
        assert caught.value.connection == "hive"
        total, at = sizes[0], at + 1


@pytest.mark.parametrize("sasl", [True, False])
def test_lies_about_lengths_are_errors_and_take_no_memory(sasl: bool) -> None:
    for place, length in ((0, 2**31 - 1), (0, -1), (4, 2**31 - 1), (4, -5)):

        def harm(called: str, message: bytes, place: int = place, length: int = length) -> bytes:
            if called != "FetchResults":
                return message
            at = place + (4 if not sasl and place == 0 else 0)
            return message[:at] + struct.pack(">i", length) + message[at + 4 : -1]

        with Scripted(sasl=sasl, harm=harm) as server, pytest.raises(SourceError):
            rows(server)


@pytest.mark.parametrize("sasl", [True, False])
@pytest.mark.parametrize("at", [0, 30])
def test_a_claim_of_two_gigabytes_is_refused_when_it_is_made(at: int, sasl: bool) -> None:
    """Nobody waits for what is to follow. At 30 lies the status's message, which is too long as a text."""
    told = b"\x80\x01\x00\x02" + thrift.call("FetchResults", 6, {0: (thrift.STRUCT, {1: (thrift.STRUCT, {})})})[4:]

    def harm(called: str, message: bytes) -> bytes:
        if called != "FetchResults":
            return message
        if sasl:
            return struct.pack(">i", 2**31 - 1) + message[4:]
        head = told[:-3] + struct.pack(">bhi", thrift.STRING, 5, 2**31 - 1)
        return head + b"x" * at + b" " * max(0, len(message) - len(head) - at)

    with Scripted(sasl=sasl, harm=harm) as server, pytest.raises(ProtocolError, match=r"reply of 2,147,\d{3},\d{3}"):
        rows(server)


@pytest.mark.parametrize("sasl", [True, False])
@pytest.mark.parametrize(
    "name", ["OpenSession", "ExecuteStatement", "GetOperationStatus", "GetResultSetMetadata", "FetchResults"]
)
def test_bytes_that_are_changed_anywhere_are_rows_or_an_error_of_the_tree(name: str, sasl: bool) -> None:
    chance = random.Random(f"{name} {sasl}")
    for _ in range(40):

        def harm(called: str, message: bytes) -> bytes:
            if called != name:
                return message
            changed = bytearray(message)
            for _ in range(chance.randint(1, 3)):
                changed[chance.randrange(len(message))] = chance.choice((0, 1, 2, 8, 11, 12, 0x7F, 0x80, 0xFF))
            return bytes(changed)

        with (
            Scripted(sasl=sasl, harm=harm, patient=False) as server,
            contextlib.suppress(WorkbenchError),
            contextlib.closing(HiveConnector(server.config())) as connector,
        ):
            list(connector.tables.read(split_of(), RecordingControl(guard=1)))


def test_answers_about_tables_that_are_none_are_errors_of_the_tree() -> None:
    pages = [([1], False), ([], False), ([2], False), ([], False), ([], False), ([], False)]
    with Scripted(pages) as server, contextlib.closing(HiveConnector(server.config())) as connector:
        for told in ("describes no table", "without columns"):
            with pytest.raises(ProtocolError, match=told):
                connector.tables.schema(TableRef("t"))
        with pytest.raises(ProtocolError, match="lists no tables"):
            connector.tables.list()


def test_a_server_that_promises_rows_and_sends_none_is_left() -> None:
    def answer(name: str, number: int) -> bytes | None:
        return fetched([column("i64", [])], number, more=True) if name == "FetchResults" else None

    with (
        Scripted(answer=answer) as server,
        contextlib.closing(HiveConnector(server.config())) as connector,
        pytest.raises(ConnectionLost, match="sends none"),
    ):
        list(connector.tables.read(split_of(), RecordingControl(guard=-29.5)))


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n", ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", ProtocolError),
        (b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n", ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n", ProtocolError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, ProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, ProtocolError),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ProtocolError),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", AuthenticationFailed),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", ProtocolError),
    ],
)
def test_http_that_is_none_is_an_error(head: bytes, error: type[WorkbenchError]) -> None:
    with answering(head) as port:
        given = {"host": "127.0.0.1", "port": port, "transport": "http", "connect_timeout": 5}
        connector = HiveConnector(ConnectionConfig("hive", given))
        with pytest.raises(error) as caught:
            connector.test()
        assert isinstance(caught.value, SourceError)
        assert caught.value.connection == "hive"


_GREETINGS = {
    "TLS's alert": b"\x15\x03\x03\x00\x02\x02\x50",
    "MySQL": b"\x4a\x00\x00\x00\x0a8.0.36\x00" + b"x" * 70,
    "SSH": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "SMTP": b"220 mail.example ESMTP\r\n",
    "nothing": b"",
    "what was asked": thrift.call("OpenSession", 1, {}),
}


@pytest.mark.parametrize("greeting", _GREETINGS.values(), ids=_GREETINGS.keys())
@pytest.mark.parametrize("given", [{}, {"authentication": "nosasl"}, {"transport": "http"}, {"tls": "required"}])
def test_a_port_where_something_else_answers_is_said_to_be_wrong(given: dict[str, str], greeting: bytes) -> None:
    with answering(greeting) as port:
        parameters = {"host": "127.0.0.1", "port": port, "connect_timeout": 5, **given}
        connector = HiveConnector(ConnectionConfig("hive", parameters))
        with pytest.raises((ProtocolError, Unreachable), match=r"tls|TLS"):
            connector.test()


@pytest.mark.parametrize("greeting", [_GREETINGS["SSH"], thrift.call("getName", 1, {})])
def test_what_is_no_metastore_is_told_as_such(greeting: bytes) -> None:
    with answering(greeting) as port, pytest.raises(ProtocolError, match=r"not as a metastore does.*the right port\?"):
        Metastore(f"127.0.0.1:{port}", "hive", 5.0).name()


@contextlib.contextmanager
def answering(said: bytes) -> Iterator[int]:
    """A port where whoever comes is told that."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as link:
            link.recv(4096)
            link.sendall(said)
            link.shutdown(socket.SHUT_WR)
            link.recv(4096)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_another_protocol_is_no_hive_server() -> None:
    def harm(called: str, message: bytes) -> bytes:
        return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" + b" " * len(message)

    for sasl in (True, False):
        with Scripted(sasl=sasl, harm=harm) as server, pytest.raises(ProtocolError, match="HiveServer2"):
            rows(server)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ({1: 3, 3: b"42000", 4: 40000, 5: b"FAILED: ParseException line 1:7 cannot recognize input"}, SqlSyntaxError),
        ({1: 3, 3: b"08S01", 4: 2, 5: b"FAILED: Execution Error, return code 2"}, QueryFailed),
        ({1: 3, 3: b"42000", 4: 40000, 5: b"HiveAccessControlException Permission denied: user x"}, StatementRefused),
        ({1: 3, 5: b"Invalid SessionHandle: SessionHandle [x]"}, ConnectionLost),
        ({1: 4}, ConnectionLost),
        ({1: 3}, QueryFailed),
    ],
)
@pytest.mark.parametrize("called", ["ExecuteStatement", "FetchResults"])
def test_refusals_are_errors_of_the_tree(called: str, status: dict[int, object], error: type[WorkbenchError]) -> None:
    kinds = {1: thrift.I32, 3: thrift.STRING, 4: thrift.I32, 5: thrift.STRING}
    written = {number: (kinds[number], value) for number, value in status.items()}

    def answer(name: str, number: int) -> bytes | None:
        return reply(name, number, {1: (thrift.STRUCT, written)}) if name == called else None

    with Scripted(answer=answer) as server, pytest.raises(error):
        rows(server)


@pytest.mark.parametrize(
    ("state", "error"), [(3, Cancelled), (4, ConnectionLost), (5, QueryFailed), (8, SourceTimeout)]
)
def test_ends_of_an_operation_are_errors(state: int, error: type[WorkbenchError]) -> None:
    with Scripted(states=(1, state)) as server, pytest.raises(error):
        rows(server)


def test_a_log_in_that_is_refused_says_so_and_shows_no_secret() -> None:
    from workbench.contract import Secret

    with Scripted() as server:
        config = server.config(user="ann", port=_refusing())
        given = ConnectionConfig("hive", config.parameters, {"password": Secret("s3cret")})
        connector = HiveConnector(given)
        with pytest.raises(AuthenticationFailed, match="Kerberos") as caught:
            connector.test()
        assert "s3cret" not in str(caught.value)


def _refusing() -> int:
    """A port where each log-in is answered with no."""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        link, _ = listener.accept()
        said = b"Unsupported mechanism type PLAIN"
        link.sendall(struct.pack(">bi", 3, len(said)) + said)
        with contextlib.suppress(OSError):
            link.recv(1000)
        link.close()
        listener.close()

    threading.Thread(target=serve, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def test_a_column_of_another_type_was_another_table() -> None:
    kind = {1: (thrift.LIST, (thrift.STRUCT, [{1: (thrift.STRUCT, {1: (thrift.I32, 7)})}]))}
    one = {1: (thrift.STRING, b"n"), 2: (thrift.STRUCT, kind), 3: (thrift.I32, 1)}
    told = {
        1: (thrift.STRUCT, {1: (thrift.I32, 0)}),
        2: (thrift.STRUCT, {1: (thrift.LIST, (thrift.STRUCT, [one]))}),
    }

    def answer(name: str, number: int) -> bytes | None:
        return reply(name, number, told) if name == "GetResultSetMetadata" else None

    with Scripted(answer=answer) as server, pytest.raises(SnapshotChanged, match="string"):
        rows(server)


@pytest.mark.parametrize("silent", ["ExecuteStatement", "GetOperationStatus", "FetchResults"])
def test_a_reader_that_waits_is_let_go_and_the_server_is_told(silent: str) -> None:
    """Also where the server never answers the cancel."""

    def answer(name: str, number: int) -> bytes | None:
        if name in (silent, "CancelOperation"):
            threading.Event().wait(5)
        return None

    with Scripted(answer=answer) as server:
        control = RecordingControl()
        outcome: list[BaseException] = []

        def work() -> None:
            try:
                rows(server, control)
            except BaseException as error:  # noqa: BLE001 - looked at below
                outcome.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert server.wait_for(silent)
        control.cancel()
        eventually(lambda: not thread.is_alive(), 3, "the reader was let go")
        assert isinstance(outcome[0], Cancelled)
        assert server.wait_for("CloseSession" if silent == "ExecuteStatement" else "CancelOperation")
        assert not control.open


@pytest.mark.parametrize("how", [{"authentication": "nosasl"}, {"transport": "http"}], ids=["nosasl", "http"])
def test_one_who_says_nothing_is_waited_for_as_long_as_the_connection_says(
    how: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody logs in there, so the first answer is that to the first call."""
    monkeypatch.setattr("workbench_hive.session._ANSWER", 3600.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = {"host": "127.0.0.1", "port": silent.getsockname()[1], "connect_timeout": 0.3, **how}
        with pytest.raises(Unreachable, match="does not let us log in"):
            HiveConnector(ConnectionConfig("hive", given)).test()

        control, outcome = RecordingControl(), list[BaseException]()
        patient = HiveConnector(ConnectionConfig("hive", {**given, "connect_timeout": 300}))

        def work() -> None:
            try:
                list(patient.tables.read(split_of(), control))
            except BaseException as error:  # noqa: BLE001 - looked at below
                outcome.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        eventually(lambda: ("opens a session", None) in control.said, 30, "it says what it does")
        control.cancel()
        eventually(lambda: not thread.is_alive(), 30, "the reader was let go")
        assert isinstance(outcome[0], Cancelled)
