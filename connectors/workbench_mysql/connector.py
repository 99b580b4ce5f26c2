"""The connector for MySQL and MariaDB: one connection's pool of sessions, and its facets."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from workbench.contract.connector import ConnectionConfig, ServerInfo
from workbench.contract.errors import ConnectionLost, InvalidParameter, QueryFailed, UsageError
from workbench.contract.scan import TableRef
from workbench.kit.pool import Pool
from workbench_mysql.catalog import Known
from workbench_mysql.faults import Faults
from workbench_mysql.link import Link, opened
from workbench_mysql.sinks import MySQLSinks
from workbench_mysql.tables import MySQLTables
from workbench_mysql.types import Policy

__all__ = ["MySQLConnector"]

T = TypeVar("T")

_NATIVE_ID = re.compile(r"(\d{1,20}):([A-Za-z0-9_-]{1,64})")
_NOT_THERE = (1094, 1957)
_PATIENCE = 1.0
"""Seconds that a statement gets to notice KILL QUERY, before its session is ended."""
_POLICIES: dict[str, Policy] = {"null_and_count": "null", "error": "error", "string": "string"}


class MySQLConnector:
    """See `workbench.contract.connector.Connector`."""

    def __init__(self, config: ConnectionConfig) -> None:
        given = config.parameters
        self.config = config
        self.database = str(given.get("database") or "")
        self.guard = float(given.get("guard", 3600))
        self.policy = _POLICIES[given.get("impossible", "null_and_count")]
        where = f"{given['host']}:{given.get('port', 3306)}"
        password = config.secrets.get("password")
        variable = password.variable if password is not None else ""
        self.faults = Faults(config.name, where, str(given.get("user", "")), self.guard, variable)
        self.pool: Pool[Link] = Pool(lambda: opened(config, self.faults), healthy=Link.alive, drop=Link.drop, idle=6)
        self._lock = threading.Lock()
        self._known: dict[TableRef, Known] = {}
        self._cancelled: deque[str] = deque(maxlen=1000)
        self._tables, self._sinks = MySQLTables(self), MySQLSinks(self)

    @property
    def tables(self) -> MySQLTables:
        return self._tables

    @property
    def feeds(self) -> None:
        return None

    @property
    def sinks(self) -> MySQLSinks:
        return self._sinks

    def test(self) -> ServerInfo:
        link = opened(self.config, self.faults)  # a new one: the question is whether one can get in
        try:
            row = link.run("select current_user(), @@version_comment")[0]
            cipher = link.run("show session status like 'Ssl_cipher'")
            details = {
                "user": str(row[0]),
                "edition": str(row[1]),
                "database": self.database,
                "tls": (str(cipher[0][1]) if cipher else "") or "none",
                "session": "read-write" if self.config.writable else "read-only",
            }
            product = "MariaDB" if link.mariadb else "MySQL"
            return ServerInfo(product, link.server_version.removeprefix("5.5.5-"), details)
        finally:
            link.drop()

    def cancel(self, native_id: str) -> None:
        self._cancelled.append(native_id)
        self.stop(native_id)

    def stop(self, native_id: str) -> None:
        """As `cancel`, for the reader itself, whose work is over already for another reason."""
        found = _NATIVE_ID.fullmatch(native_id)
        if not found:
            raise InvalidParameter("native_id", f"`{native_id[:80]}` is none of this connector's")
        thread, mark = int(found[1]), found[2]
        try:
            self.ask(lambda link: _stop(link, thread, mark))
        except ConnectionLost:  # the pool is closed, or what was in it is: work is ended all the same
            link = opened(self.config, self.faults)
            try:
                _stop(link, thread, mark)
            finally:
                link.drop()

    def close(self) -> None:
        self.pool.close()

    # -- for the facets --------------------------------------------------------------------------------------------

    def ask(self, work: Callable[[Link], T]) -> T:
        """Does a few small questions on a session of the pool, and again on another when it had gone stale there."""
        while True:
            link = self.pool.take()
            rested, link.uses = link.uses > 0, link.uses + 1
            try:
                answer = work(link)
            except ConnectionLost:
                self.pool.discard(link)
                if not rested:
                    raise
            except (UsageError, QueryFailed):
                self.pool.give(link)
                raise
            except BaseException:
                self.pool.discard(link)
                raise
            else:
                self.pool.give(link)
                return answer

    def was_cancelled(self, native_id: str | None) -> bool:
        """Whether `cancel` was called for it in this process."""
        return native_id in self._cancelled

    def known(self, table: TableRef) -> Known | None:
        with self._lock:
            return self._known.get(table)

    def remember(self, known: Known) -> Known:
        with self._lock:
            self._known[known.ref] = known
        return known

    def forget(self, table: TableRef) -> None:
        with self._lock:
            self._known.pop(table, None)


def _stop(link: Link, thread: int, mark: str) -> None:
    work = _working(link, thread, mark)
    if not work:
        return
    _kill(link, work)
    deadline = time.monotonic() + _PATIENCE
    while _working(link, thread, mark):
        if time.monotonic() > deadline:
            _kill(link, f"KILL {thread}")  # it waits for a client that does not read
            return
        time.sleep(0.01)


def _working(link: Link, thread: int, mark: str) -> str:
    """What ends the statement with our mark that the session works on; empty when it works on none. MariaDB numbers
    statements, so that the next one on the session cannot be hit by a KILL that comes late."""
    begins = f"/* {mark} */"
    if link.mariadb:
        asked = f"select query_id, left(info, 80) from information_schema.processlist where id = {thread}"
        ours = [number for number, text in link.run(asked) if _info(text).startswith(begins)]
        return f"KILL QUERY ID {ours[0]}" if ours else ""
    rows = link.run("SHOW FULL PROCESSLIST")
    works = any(int(row[0]) == thread and _info(row[7]).startswith(begins) for row in rows)
    return f"KILL QUERY {thread}" if works else ""


def _info(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _kill(link: Link, text: str) -> None:
    try:
        link.run(text)
    except QueryFailed as error:
        if error.code not in _NOT_THERE:
            raise
