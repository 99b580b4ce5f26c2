"""Servers that break off, lie, stall or attack: all rows, or an error that says which."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pymysql
import pytest

from tests.connectors.mysql import scripted
from tests.connectors.mysql.scripted import EOF, Scripted, definition, error, prepared, result
from tests.native.rows import length_encoded, packet, row
from workbench.contract.errors import (
    Cancelled,
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SnapshotChanged,
    SourceTimeout,
    StatementRefused,
    Unsupported,
)
from workbench.kit.columns import Slot
from workbench_mysql import channel, wire
from workbench_mysql.types import Kind

COLUMNS = [definition("n", 3), definition("t", 253, 40, charset=255)]
SLOTS = [Slot(Kind.W4, 4), Slot(Kind.TEXT, 0)]
ROWS = [row([n.to_bytes(4, "little"), f"row {n}".encode()], SLOTS) for n in range(100)]
EXPECTED = [(n, f"row {n}") for n in range(100)]


class Control:
    """As the executor gives it, with an event to stop by."""

    mark = "wb-test-1"

    def __init__(self, guard: float | None = None) -> None:
        self.guard, self.stop = guard, threading.Event()

    def cancelled(self) -> bool:
        return self.stop.is_set()

    def running(self, native_id: str) -> None: ...

    def ended(self, native_id: str) -> None: ...


def read(server: Scripted, control: Control | None = None, **options: object) -> list[tuple[object, ...]]:
    with contextlib.closing(server.connect(**options)) as connection:
        rows = wire.prepare(connection, "select n, t from t", control).execute(control)
        values = [tuple(pair.values()) for batch in rows for pair in batch.to_pylist()]
        assert rows.finished
        return values


def test_the_script_s_reply_is_read() -> None:
    with Scripted(prepared(COLUMNS), result(COLUMNS, ROWS)) as server:
        assert read(server) == EXPECTED


@pytest.mark.parametrize("which", ["prepare", "execute"])
def test_a_reply_cut_at_any_byte_is_an_error_or_whole(which: str) -> None:
    replies = {"prepare": prepared(COLUMNS), "execute": result(COLUMNS, ROWS)}
    whole = replies[which]
    cut = 0

    def say(peer: socket.socket) -> None:
        peer.sendall(whole[:cut])
        peer.shutdown(socket.SHUT_WR)

    with Scripted(**{**replies, which: say}) as server:
        for cut in range(len(whole)):  # noqa: B007 - `say` looks at it
            with pytest.raises(ConnectionLost):
                read(server)


def test_a_reply_in_single_bytes_is_read() -> None:
    def say(peer: socket.socket) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in result(COLUMNS, ROWS[:5]):
            peer.sendall(bytes((byte,)))

    with Scripted(prepared(COLUMNS), say) as server:
        assert read(server) == EXPECTED[:5]


def frames(*payloads: bytes) -> bytes:
    return b"".join(packet(number, payload) for number, payload in enumerate(payloads, 1))


HEAD = (b"\x02", *COLUMNS, EOF)
BROKEN = {
    "a local file": frames(b"\xfb/etc/passwd"),
    "a local file after the columns": frames(*HEAD, b"\xfb/etc/passwd"),
    "an empty packet": frames(b""),
    "2^63 columns": frames(b"\xfe" + (2**63).to_bytes(8, "little")),
    "5000 columns": frames(length_encoded(5000)),
    "bytes behind the count": frames(b"\x02\x02"),
    "a count that is cut": frames(b"\xfc\x01"),
    "a definition whose name leads outside": frames(b"\x01", b"\x03def\xfd\xff\xff\xff", EOF),
    "a definition of NULL": frames(b"\x01", b"\xfb" * 30, EOF),
    "a definition of another shape": frames(b"\x01", definition("n", 3).replace(b"\x0c?", b"\x0d?"), EOF),
    "a type that is none": frames(b"\x01", definition("n", 99), EOF),
    "one definition too few": frames(b"\x03", *COLUMNS, EOF),
    "one definition too many": frames(b"\x01", *COLUMNS, EOF),
    "16 MiB where a definition is due": b"\x01\0\0\x01\x02\xff\xff\xff\x02" + bytes(100),
    "2 MiB where a definition is due": b"\x01\0\0\x01\x02\0\0\x20\x02" + bytes(100),
    "a number that is not due": packet(1, b"\x02") + packet(3, COLUMNS[0]),
    "a row out of turn": frames(*HEAD, ROWS[0]) + packet(9, ROWS[1]),
    "a row of an empty packet": frames(*HEAD, b""),
    "a row that begins with 1": frames(*HEAD, b"\x01" + ROWS[0][1:]),
    "a row without its bitmap": frames(*HEAD, b"\0"),
    "a row whose text leads outside": frames(*HEAD, ROWS[0][:6] + b"\xfe" + b"\xff" * 8),
    "a row with a byte too many": frames(*HEAD, ROWS[0] + b"x"),
    "an end with a byte too many": frames(*HEAD, ROWS[0], EOF + b"x"),
    "more after the end": frames(*HEAD, ROWS[0], EOF, ROWS[1]),
    "an end that is cut": frames(*HEAD, ROWS[0], b"\xfe\0"),
    "an error that is cut": frames(*HEAD, ROWS[0], b"\xff\x01"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_reply_is_a_protocol_error_at_once_and_nothing_is_sent(name: str) -> None:
    with Scripted(prepared(COLUMNS), BROKEN[name]) as server:
        connection = server.connect()
        statement = wire.prepare(connection, "select n, t from t")
        began, before = time.monotonic(), len(server.heard)
        with pytest.raises(ProtocolError):
            list(statement.execute())
        assert time.monotonic() - began < 2
        assert not connection.open
    assert len(server.heard) - before == 10  # EXECUTE


@pytest.mark.parametrize(
    "reply",
    [
        frames(b"\0\x01"),
        frames(b"\x07"),
        frames(b"\0\x01\0\0\0\xff\xff\0\0\0\0\0"),
        frames(b""),
    ],
)
def test_a_broken_reply_to_prepare_is_a_protocol_error(reply: bytes) -> None:
    with Scripted(reply) as server, pytest.raises(ProtocolError):
        wire.prepare(server.connect(), "select 1")


def test_placeholders_are_refused_and_the_connection_lives() -> None:
    reply = frames(scripted.prepared([], 1)[4:], definition("?", 253), EOF)
    with Scripted(reply, result(COLUMNS, ROWS)) as server:
        connection = server.connect()
        with pytest.raises(StatementRefused, match="placeholder"):
            wire.prepare(connection, "select ?")
        connection.ping()
        connection.close()


def test_a_statement_without_rows_has_none() -> None:
    with Scripted(prepared([]), frames(b"\0\x05\0\x02\0\x03\0")) as server:
        connection = server.connect()
        rows = wire.prepare(connection, "delete from t").execute()
        assert list(rows) == []
        assert (rows.affected, rows.warnings, rows.finished, rows.schema.names) == (5, 3, True, [])
        connection.close()


def test_an_error_after_rows_is_the_server_s_own_and_the_connection_lives() -> None:
    reply = result(COLUMNS, ROWS, error(1317, "Query execution was interrupted"))
    with Scripted(prepared(COLUMNS), reply) as server:
        connection = server.connect()
        rows = wire.prepare(connection, "select n, t from t").execute()
        with pytest.raises(QueryFailed, match="interrupted") as caught:
            list(rows)
        assert (caught.value.code, caught.value.native_text) == (1317, "select n, t from t")
        with pytest.raises(QueryFailed):  # never an end that looks like the end of the rows
            next(rows)
        assert rows.finished
        connection.ping()
        connection.close()


def test_errors_are_made_by_whom_the_caller_names() -> None:
    def made(code: int, state: str, message: str) -> Exception:
        return LookupError(code, state, message)

    with Scripted(frames(error(1146, "no such table"))) as server:
        connection = server.connect()
        with pytest.raises(LookupError) as caught:
            wire.prepare(connection, "select 1", errors=made)
        assert caught.value.args == (1146, "HY000", "no such table")
        connection.close()


def test_a_second_result_is_refused_and_a_procedure_s_end_is_read() -> None:
    more = b"\xfe\0\0\x0a\0"
    first = result(COLUMNS, ROWS[:1], more)
    due = 7
    with Scripted(prepared(COLUMNS), first + packet(due, b"\0\0\0\x02\0\0\0")) as server:
        assert read(server) == EXPECTED[:1]
    with (
        Scripted(prepared(COLUMNS), first + packet(due, b"\x02")) as server,
        pytest.raises(Unsupported, match="more than"),
    ):
        read(server)


def test_other_columns_than_planned_are_said() -> None:
    with Scripted(prepared(COLUMNS), result([definition("n", 253, charset=255), COLUMNS[1]], [])) as server:
        statement = wire.prepare(server.connect(), "select n, t from t")
        with pytest.raises(SnapshotChanged, match=r"`t` has changed .*column `n` was int32, and is string"):
            statement.execute(schema=statement.schema())


def _stalling(released: threading.Event) -> Callable[[socket.socket], None]:
    def say(peer: socket.socket) -> None:
        peer.sendall(result(COLUMNS, ROWS)[:-9])
        released.wait(30)

    return say


def _started(server: Scripted, control: Control) -> wire.Rows:
    return wire.prepare(server.connect(), "select n, t from t", control).execute(control)


def test_a_stop_is_noticed_while_waiting_and_rows_in_hand_are_given_before() -> None:
    released, control = threading.Event(), Control()
    with Scripted(prepared(COLUMNS), _stalling(released)) as server:
        rows = _started(server, control)
        assert next(rows).num_rows == 100  # the stall gives them out
        timer = threading.Timer(0.3, control.stop.set)
        timer.start()
        began = time.monotonic()
        with pytest.raises(Cancelled):
            next(rows)
        assert time.monotonic() - began < 0.3 + 0.3
        assert not rows.finished
        rows.abandon()
        released.set()


def test_abandon_lets_go_at_once() -> None:
    released, control = threading.Event(), Control()
    with Scripted(prepared(COLUMNS), _stalling(released)) as server:
        rows = _started(server, control)
        next(rows)
        ended: list[float] = []

        def abandon() -> None:
            ended.append(time.monotonic())
            rows.abandon()

        threading.Timer(0.2, abandon).start()
        with pytest.raises(Cancelled):
            next(rows)
        assert time.monotonic() - ended[0] < 0.05
        with pytest.raises(Cancelled):
            next(rows)
        released.set()


def test_silence_past_the_guard_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "_GRACE", 0.2)
    released, control = threading.Event(), Control(guard=0.2)
    with Scripted(prepared(COLUMNS), _stalling(released)) as server:
        rows = _started(server, control)
        next(rows)
        with pytest.raises(SourceTimeout):
            next(rows)
        released.set()


def test_a_row_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "_LONGEST_ROW", 40 << 20)

    def say(peer: socket.socket) -> None:
        peer.sendall(frames(*HEAD))
        for number in range(5, 200):
            peer.sendall(b"\xff\xff\xff" + bytes((number,)) + bytes(0xFF_FFFF))

    with Scripted(prepared(COLUMNS), say) as server, pytest.raises(ProtocolError, match="row of more than"):
        read(server)


@pytest.mark.deep
def test_a_value_of_one_gib_is_read() -> None:
    columns = [definition("n", 3), definition("t", 252, 2**32 - 1, charset=255)]
    size, full = 2**30 - 1000, 0xFF_FFFF
    head = b"\0\0\x07\0\0\0" + length_encoded(size)

    def say(peer: socket.socket) -> None:
        peer.sendall(frames(b"\x02", *columns, EOF))
        left, number = len(head) + size, 5
        start = head
        while True:
            length = min(left, full)
            peer.sendall(length.to_bytes(3, "little") + bytes((number & 0xFF,)) + start)
            peer.sendall(b"x" * (length - len(start)))
            left, number, start = left - length, number + 1, b""
            if length < full:
                break
        peer.sendall(packet(number, EOF))

    with Scripted(prepared(columns), say) as server, contextlib.closing(server.connect()) as connection:
        (batch,) = wire.prepare(connection, "select n, t from t").execute()
        assert batch["n"].to_pylist() == [7]
        assert batch["t"].buffers()[2].size == size
        assert batch["t"][0].as_buffer()[-3:].to_pybytes() == b"xxx"


# -- logging in --------------------------------------------------------------------------------------------------------


def test_a_greeting_of_64_mb_is_given_up_early() -> None:
    sent = 0

    def flood(peer: socket.socket) -> None:
        nonlocal sent
        for number in range(4):
            sent += peer.send(b"\xff\xff\xff" + bytes((number,)))
            for _ in range(256):
                sent += peer.send(bytes(1 << 16))

    with Scripted(greeting=flood) as server:
        began = time.monotonic()
        with pytest.raises(ProtocolError, match="1 MiB"):
            server.connect()
        assert time.monotonic() - began < 2
    assert sent < 32 << 20  # what the sockets' own buffers took


@pytest.mark.parametrize(
    "greeting", [packet(0, b"\x0a"), packet(0, b""), packet(0, b"HTTP/1.1 400 Bad Request\r\n"), b"\x01"]
)
def test_a_greeting_that_is_none(greeting: bytes) -> None:
    def say(peer: socket.socket) -> None:
        peer.sendall(greeting)
        peer.shutdown(socket.SHUT_WR)

    with Scripted(greeting=say) as server, pytest.raises((ProtocolError, pymysql.err.OperationalError)):
        server.connect()


@pytest.mark.parametrize("drip", [False, True])
def test_logging_in_takes_no_longer_than_it_may(drip: bool) -> None:
    over = threading.Event()

    def say(peer: socket.socket) -> None:
        for byte in packet(0, scripted.GREETING):
            if drip:
                peer.sendall(bytes((byte,)))
            if over.wait(0.2):
                return

    with Scripted(greeting=say) as server:
        began = time.monotonic()
        with pytest.raises(pymysql.err.OperationalError, match="timed out"):
            server.connect(connect_timeout=1)
        assert 0.9 < time.monotonic() - began < 1.5
        over.set()


def test_a_cursor_gives_no_file_and_reads_no_huge_packet() -> None:
    for reply, said in (
        (frames(b"\xfb/etc/passwd"), "local file"),
        (b"\0\0\x90\x01" + bytes(50), "packet of 9,437,184"),
    ):
        with Scripted(query=reply) as server:
            connection = server.connect()
            with pytest.raises(ProtocolError, match=said), connection.cursor() as cursor:
                cursor.execute("select 1")
            assert not connection.open
            assert b"passwd" not in server.heard
    with Scripted(query=frames(b"\x01", b"\x03de")) as server:
        connection = server.connect()
        with pytest.raises(ProtocolError), connection.cursor() as cursor:
            cursor.execute("select 1")
