"""One session at a server: reached, encrypted as asked, logged in, and set so that answers mean the same everywhere."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from pymysql.constants import COMMAND

from workbench.contract.connector import ConnectionConfig
from workbench.contract.errors import AuthenticationFailed, Unreachable
from workbench.contract.secret import Secret
from workbench.kit.hosts import check_peer
from workbench.kit.tls import Encryption
from workbench_mysql.channel import Connection
from workbench_mysql.faults import Faults

__all__ = ["Link", "opened"]

_SQL_MODE = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
_PATIENCE = 3600
"""Seconds that the server waits for a client that does not read: back-pressure is no fault."""
_PLAIN = (b"mysql_clear_password", b"dialog")
_WEAK = (b"mysql_old_password",)


def opened(config: ConnectionConfig, faults: Faults) -> Link:
    """A new session. Raises Unreachable, AuthenticationFailed, ProtocolError, UrlRefused."""
    link = Link(config, faults)
    with faults.translated():
        link.log_in(config.secrets.get("password"))
    return link


class Link(Connection):
    """A session of pymysql with our rules. `guarded` seconds is the statement limit that the server has now.

    Settings: UTC, utf8mb4, a fixed SQL mode (no ANSI quotes, backslash escapes on), autocommit, no row limit of the
    server's own, patience with a reader that sleeps, and read-only transactions unless the connection is writable.
    """

    guarded: float | None = None
    uses = 0
    """How often it was taken from the pool."""

    def __init__(self, config: ConnectionConfig, faults: Faults) -> None:
        given = config.parameters
        self._tls = Encryption.asked(given, "preferred")
        self._faults = faults
        self._writable = config.writable
        encryption: dict[str, Any] = {}  # pymysql then encrypts where the server offers it
        if self._tls.kind == "disabled":
            encryption = {"ssl_disabled": True}
        elif self._tls.kind != "preferred":
            encryption = {"ssl": self._tls.context()}
        super().__init__(
            host=given["host"],
            port=int(given.get("port", 3306)),
            user=given.get("user", ""),
            database=given.get("database") or None,
            charset="utf8mb4",
            connect_timeout=given.get("connect_timeout", 10),
            autocommit=None,
            local_infile=False,
            program_name="analytics-workbench",
            max_allowed_packet=1 << 30,
            defer_connect=True,
            **encryption,
        )

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        """Where nothing is verified, pymysql too would load the authorities for each session."""
        return sslp if isinstance(sslp, ssl.SSLContext) else self._tls.context()

    @property
    def mariadb(self) -> bool:
        return "mariadb" in self.server_version.lower()

    @property
    def version(self) -> tuple[int, ...]:
        """Of the server, as far as it is numbers."""
        text = self.server_version.removeprefix("5.5.5-") if self.mariadb else self.server_version
        numbers = []
        for part in text.split("-", 1)[0].split("."):
            if not part.isdigit():
                break
            numbers.append(int(part))
        return tuple(numbers)

    def log_in(self, password: Secret | None) -> None:
        """Connects. The password is in here as bytes for the length of the log-in only."""
        sock = self._reach()
        self.password = password.reveal().encode() if password else b""
        try:
            self.connect(sock)
        except ssl.SSLError as error:
            why = f"no TLS could be agreed on ({error.reason or error})"
            raise Unreachable(self._faults.where, why, self._faults.connection) from None
        finally:
            self.password = b""

    def run(self, text: str) -> tuple[tuple[Any, ...], ...]:
        """A small statement over the text protocol; its rows."""
        with self._faults.translated(text), self.cursor() as cursor:
            cursor.execute(text)
            return tuple(cursor.fetchall())

    def texts(self, text: str) -> list[list[Any]]:
        """A statement with many rows of text, read by the native core, which leaves other threads running; its
        columns."""
        from workbench_mysql import wire

        with self._faults.translated(text):
            statement = wire.prepare(self, text, None, self._faults.made(text))
            rows = statement.execute()
            batches = list(rows)
            statement.close()
        return [
            [value for batch in batches for value in batch.column(at).to_pylist()] for at in range(len(rows.schema))
        ]

    def explained(self, text: str) -> dict[str, Any]:
        """The first line of the server's plan for a statement, by column name in small letters."""
        with self._faults.translated(text), self.cursor() as cursor:
            cursor.execute("explain format=traditional " + text)
            names = [str(column[0]).lower() for column in cursor.description]
            return dict(zip(names, cursor.fetchone() or (), strict=False))

    def guard(self, seconds: float) -> None:
        """Makes the server end statements after so many seconds; asks it only when that is another figure."""
        if seconds != self.guarded:
            if self.mariadb:
                self.run(f"set session max_statement_time = {seconds:.6f}")
            elif self.version >= (5, 7, 8):
                self.run(f"set session max_execution_time = {max(1, round(seconds * 1000))}")
            self.guarded = seconds

    def alive(self) -> bool:
        """Asks it."""
        try:
            with self._faults.translated():
                self.ping(reconnect=False)
        except Exception:  # noqa: BLE001 (whatever it is, this session is not used again)
            return False
        return True

    def drop(self) -> None:
        """Says good-bye if there is somebody to hear it. Never waits."""
        if self._sock is not None:
            self._sock.settimeout(0.0)
            self._write_timeout = 0.0
            self._current_timeout = 0.0
        if not self._closed:
            self.close()

    # -- pymysql's hooks -------------------------------------------------------------------------------------------

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """Called by `connect` once we are in, where pymysql sends SET NAMES: all settings, in one go."""
        settings = [
            f"NAMES {charset}",
            "time_zone = '+00:00'",
            f"sql_mode = '{_SQL_MODE}'",
            "autocommit = 1",
            "sql_auto_is_null = 0",
            "sql_select_limit = 18446744073709551615",
            f"net_write_timeout = {_PATIENCE}",
            f"net_read_timeout = {_PATIENCE}",
        ]
        if not self.mariadb and self.version >= (8,):
            settings.append("information_schema_stats_expiry = 0")
        self._settle("SET " + ", ".join(settings))
        if not self._writable:
            self._settle("SET SESSION TRANSACTION READ ONLY")

    def _settle(self, text: str) -> None:
        self._execute_command(COMMAND.COM_QUERY, text)
        self._read_packet()

    def _process_auth(self, plugin_name: bytes, auth_packet: Any, handler: Any = None) -> Any:
        if plugin_name in _WEAK or (plugin_name in _PLAIN and self._tls.kind != "verify"):
            what = plugin_name.decode("ascii", "replace")
            why = f"it asks for the log-in `{what}`, which would give the password away. "
            why += "It is only done with tls=verify" if plugin_name in _PLAIN else "It is not done at all"
            raise AuthenticationFailed(self._faults.user, self._faults.where, why, self._faults.connection)
        return super()._process_auth(plugin_name, auth_packet, handler)

    def _reach(self) -> socket.socket:
        try:
            sock = socket.create_connection((self.host, self.port), self.connect_timeout)
        except (OSError, UnicodeError) as error:
            why = "the name is unknown" if isinstance(error, socket.gaierror | UnicodeError) else _spoken(error)
            raise Unreachable(self._faults.where, why, self._faults.connection) from None
        try:
            check_peer(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except BaseException:
            sock.close()
            raise
        return sock


def _spoken(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
