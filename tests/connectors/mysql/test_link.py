"""Getting in: encryption as asked, passwords as they are, rogue and dead servers, addresses that are never reached."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import traceback
from collections.abc import Iterator

import pytest

from tests.connectors.mysql.scripted import GREETING, Scripted, error, packet
from tests.connectors.mysql.store import config
from tests.services.mysql.server import Server
from workbench.contract import ConnectionConfig, Secret
from workbench.contract.errors import (
    AuthenticationFailed,
    ProtocolError,
    QueryFailed,
    SourceError,
    Unreachable,
    UrlRefused,
    WorkbenchError,
)
from workbench.testing.proxy import free_port
from workbench.testing.scanning import assert_no_secret
from workbench_mysql.connector import MySQLConnector
from workbench_mysql.manifest import MANIFEST

CANARY = "canary-S3cret/+'\"&?%"
FILE_REQUEST = b"\xfb/etc/hostname"
SWITCH_TO_PLAIN = b"\xfemysql_clear_password\0"


@pytest.fixture
def opened() -> Iterator[list[MySQLConnector]]:
    made: list[MySQLConnector] = []
    yield made
    for connector in made:
        connector.close()


def connector(config: ConnectionConfig) -> MySQLConnector:
    made = MANIFEST.open(config)
    assert isinstance(made, MySQLConnector)
    return made


def at(port: int, **parameters: object) -> ConnectionConfig:
    usual = {"host": "127.0.0.1", "port": port, "user": "u", "tls": "disabled", "connect_timeout": 2}
    return ConnectionConfig("shop", {**usual, **parameters}, {"password": Secret(CANARY)})


@pytest.mark.parametrize(("tls", "encrypted"), [("disabled", False), ("preferred", True), ("required", True)])
def test_encryption_is_as_asked(mysql_server: Server, tls: str, encrypted: bool) -> None:
    info = connector(config(mysql_server, tls=tls)).test()
    assert (info.details["tls"] != "none") == encrypted
    assert info.product == {"mariadb": "MariaDB", "mysql": "MySQL"}[mysql_server.product]
    assert info.details["session"] == "read-only"


@pytest.mark.parametrize("tls", ["preferred", "required"])
def test_no_authorities_are_loaded_where_nothing_is_verified(
    mysql_server: Server, tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes 20 ms a session, in which no other thread runs."""
    loaded: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: loaded.append(tls))
    assert connector(config(mysql_server, tls=tls)).test().details["tls"] != "none"
    assert not loaded


def test_a_certificate_is_verified(mysql_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(mysql_server, tls="verify")
    with pytest.raises(Unreachable) as caught:
        connector(asked).test()
    assert "certificate verify failed" in str(caught.value).lower().replace("_", " ")
    own = config(mysql_server, tls="verify", ca_file=str(mysql_server.certificate))
    assert connector(own).test().details["tls"] != "none"
    monkeypatch.setenv("SSL_CERT_FILE", str(mysql_server.certificate))
    assert connector(asked).test().details["tls"] != "none"


@pytest.mark.parametrize("tls", ["required", "verify"])
def test_tls_that_was_stripped_is_an_error_before_the_password_is_sent(tls: str) -> None:
    with Scripted() as server:  # its greeting says that it has no TLS
        with pytest.raises(Unreachable) as caught:
            connector(at(server.port, tls=tls)).test()
        assert "SSL" in str(caught.value)
        assert server.heard == b""


@pytest.mark.parametrize("mysql_user", ["a'b\"c@d:/?#%00", "ö b`c\\", "plain"])
def test_awkward_users_and_passwords_get_in(mysql_server: Server, mysql_user: str) -> None:
    password = "a'b\"c@d:/?#%00\\n\n\\ ß"
    with mysql_server.connection() as link, link.cursor() as cursor:
        account = f"{link.escape(mysql_user)}@'%'"
        cursor.execute(f"create user {account} identified by {link.escape(password)}")
        try:
            usual = config(mysql_server).parameters
            given = {**usual, "user": mysql_user, "database": ""}
            info = connector(ConnectionConfig("shop", given, {"password": Secret(password)})).test()
            assert info.details["user"] == f"{mysql_user}@%"
            wrong = ConnectionConfig("shop", given, {"password": Secret(password + "x")})
            with pytest.raises(AuthenticationFailed) as caught:
                connector(wrong).test()
            assert mysql_user in str(caught.value)
            assert_no_secret(wrong, caught.value)
        finally:
            cursor.execute(f"drop user {account}")


def test_errors_of_the_way_there_name_it_and_not_the_secret(mysql_server: Server) -> None:
    cases: list[tuple[ConnectionConfig, type[WorkbenchError], str]] = [
        (at(free_port()), Unreachable, "refused"),
        (at(1, host="no-such-host.invalid"), Unreachable, "unknown"),
        (at(1, host="a" * 64 + ".invalid"), Unreachable, "unknown"),
        (at(mysql_server.port, user="reader"), AuthenticationFailed, "denied"),
        (at(mysql_server.port, user="reader", database="nope"), AuthenticationFailed, "denied"),
    ]
    for asked, expected, told in cases:
        with pytest.raises(expected) as caught:
            connector(asked).test()
        assert told in str(caught.value).lower()
        assert_no_secret(asked, caught.value)
        shown = "".join(traceback.format_exception(caught.value))
        assert "pymysql" not in shown, "the driver's frames hold the password in their variables"


def test_an_unknown_database_is_said(mysql_server: Server) -> None:
    with pytest.raises(QueryFailed) as caught:
        connector(config(mysql_server, "admin", database="nope")).test()
    assert "nope" in str(caught.value)


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "2852039166", "[fe80::1]", "::ffff:169.254.169.254"])
def test_metadata_addresses_are_never_talked_to(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the network let us through to it: the peer is judged, whatever the name was."""
    here, there = socket.socketpair()

    class Peer(socket.socket):
        def getpeername(self) -> tuple[str, int]:
            return ("169.254.169.254", 3306)

    peer = Peer(socket.AF_INET, socket.SOCK_STREAM, fileno=here.detach())
    monkeypatch.setattr(socket, "create_connection", lambda *_: peer)
    monkeypatch.setattr(type(peer), "family", socket.AF_INET, raising=False)
    try:
        with pytest.raises(UrlRefused):
            connector(at(3306, host=host)).test()
        there.settimeout(1)
        assert there.recv(1) == b"", "something was sent"
    finally:
        there.close()


@pytest.mark.parametrize("when", ["at log-in", "first query", "SET NAMES"])
def test_a_server_that_asks_for_a_file_gets_nothing(when: str) -> None:
    def ask(peer: socket.socket) -> None:
        peer.sendall(packet(1, FILE_REQUEST))

    if when == "at log-in":
        server = Rogue(packet(2, FILE_REQUEST))
    elif when == "SET NAMES":
        server = Rogue(packet(2, b"\0\0\0\x02\0\0\0") + packet(1, FILE_REQUEST))
    else:
        with Scripted(query=ask, prepare=ask) as scripted:
            for question in (lambda c: c.test(), lambda c: c.tables.native("select 1")):
                with pytest.raises(SourceError):
                    question(connector(at(scripted.port)))
            assert b"root:" not in scripted.heard
            assert CANARY.encode() not in scripted.heard
        return
    with server:
        with pytest.raises(SourceError) as caught:
            connector(at(server.port)).test()
        assert_no_secret(at(server.port), caught.value)
    assert len(server.heard) < 600
    assert CANARY.encode() not in server.heard


def test_a_server_that_asks_for_the_password_in_plain_text_gets_nothing() -> None:
    with Rogue(packet(2, SWITCH_TO_PLAIN)) as server:
        with pytest.raises(AuthenticationFailed) as caught:
            connector(at(server.port)).test()
        assert "mysql_clear_password" in str(caught.value)
    assert CANARY.encode() not in server.heard


def test_a_greeting_of_64_mb_and_one_that_never_ends() -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(struct.pack("<I", 0xFFFFFF))
        for _ in range(64):
            peer.sendall(bytes(1 << 20))

    with Scripted(greeting=endless) as server, pytest.raises((ProtocolError, Unreachable)):
        connector(at(server.port)).test()
    done = threading.Event()

    def drip(peer: socket.socket) -> None:
        peer.sendall(packet(0, GREETING)[:6])
        while not done.wait(0.05):
            peer.sendall(b"x")

    with Scripted(greeting=drip) as server:
        with pytest.raises(SourceError):
            connector(at(server.port, connect_timeout=0.5)).test()
        done.set()


def test_a_server_that_is_full_is_unreachable_for_now() -> None:
    with Scripted(greeting=packet(0, error(1040, "Too many connections"))) as server:
        with pytest.raises(Unreachable) as caught:
            connector(at(server.port)).test()
        assert "Too many connections" in str(caught.value)


def test_a_session_is_set_as_it_has_to_be(mysql_server: Server, opened: list[MySQLConnector]) -> None:
    made = connector(config(mysql_server))
    opened.append(made)
    row = made.ask(
        lambda link: link.run(
            "select @@time_zone, @@sql_mode, @@autocommit, @@net_write_timeout, @@character_set_results,"
            " @@sql_select_limit"
        )
    )[0]
    assert row[0] == "+00:00"
    assert "STRICT_TRANS_TABLES" in row[1]
    assert not {"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT"} & set(row[1].split(","))
    assert (row[2], row[3] >= 600, row[4], row[5]) == (1, True, "utf8mb4", 2**64 - 1)


class Rogue:
    """Greets, hears the log-in, says `reply`, and keeps what it hears."""

    def __init__(self, reply: bytes) -> None:
        self.heard = b""
        self._reply = reply
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        peer, _ = self._listener.accept()
        with peer:
            peer.settimeout(5)
            try:
                peer.sendall(packet(0, GREETING))
                self.heard += peer.recv(65_536)
                peer.sendall(self._reply)
                while part := peer.recv(65_536):
                    self.heard += part
            except OSError:
                return  # the client went away

    def __enter__(self) -> Rogue:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._listener.close()
