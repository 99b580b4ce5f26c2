"""The connector for Hive: one connection's pool of sessions, and its facets."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from workbench.contract.connector import ConnectionConfig, ServerInfo
from workbench.contract.errors import (
    ConnectionLost,
    InvalidParameter,
    QueryFailed,
    SourceError,
    UsageError,
    WorkbenchError,
)
from workbench.kit.pool import Pool
from workbench_hive.faults import Faults
from workbench_hive.link import Check
from workbench_hive.metastore import Metastore
from workbench_hive.session import Handle, Session, Side
from workbench_hive.tables import HiveTables
from workbench_hive.webhdfs import WebHdfs

__all__ = ["HiveConnector"]

T = TypeVar("T")

_NATIVE_ID = re.compile(r"([0-9a-f]{2,128})\.([0-9a-f]{2,128}):([0-9a-f]{16}):([A-Za-z0-9_-]{1,64})")
_ANSWER = 600.0
"""Seconds for which a thread of its own waits for the server's answer to a cancel."""
_PATIENCE = 1.0


class HiveConnector:
    """See `workbench.contract.connector.Connector`."""

    def __init__(self, config: ConnectionConfig) -> None:
        given = config.parameters
        self.config = config
        self.database = str(given.get("database") or "")
        self.guard = float(given.get("guard", 3600))
        password = config.secrets.get("password")
        variable = password.variable if password is not None else ""
        where = f"{given['host']}:{given.get('port', 10000)}"
        self.faults = Faults(config.name, where, str(given.get("user", "")), variable)
        self.pool: Pool[Session] = Pool(self.opened, healthy=_healthy, drop=Session.close, idle=4)
        self._cancelled: deque[str] = deque(maxlen=1000)
        self.metastore: Metastore | None = None
        if given.get("files"):
            if not given.get("metastore"):
                raise InvalidParameter(
                    "metastore", "is wanted with `files`: its host:port, to be asked where files lie."
                )
            seconds = float(given.get("connect_timeout", 20))
            self.metastore = Metastore(str(given["metastore"]), config.name, seconds)
        self.hdfs: WebHdfs | None = None
        if given.get("webhdfs"):
            if self.metastore is None:
                raise InvalidParameter("files", "is to be true with `webhdfs`: it says where files are read from.")
            self.hdfs = WebHdfs(config)
        self._tables = HiveTables(self)

    @property
    def tables(self) -> HiveTables:
        return self._tables

    @property
    def feeds(self) -> None:
        return None

    @property
    def sinks(self) -> None:
        return None

    def test(self) -> ServerInfo:
        session = self.opened()  # a new one: the question is whether one can get in
        try:
            product, version = session.product()
        finally:
            session.close()
        given = self.config.parameters
        details = {
            "database": self.database,
            "transport": str(given.get("transport", "binary")),
            "tls": str(given.get("tls", "disabled")),
        }
        if self.metastore is not None:
            try:
                details["metastore"] = f"answers as {self.metastore.name()}"
            except SourceError as error:  # HiveServer2 is asked for everything then
                details["metastore"] = f"nothing is read from files: {error.message}"
        if self.hdfs is not None:
            try:
                details["webhdfs"] = f"{self.hdfs.node()} answers"
            except SourceError as error:
                details["webhdfs"] = f"nothing is read from hdfs://: {error.message}"
        return ServerInfo(product, version, details)

    def cancel(self, native_id: str) -> None:
        """Ends the session that the work has for itself, and so the work. Does not wait for the engine to notice."""
        session = self._session_of(native_id)
        if session is None:
            return
        self._cancelled.append(native_id)
        trouble: list[WorkbenchError] = []
        sent = threading.Event()

        def work() -> None:
            try:
                self.stop(session, None, sent)
            except ConnectionLost:
                pass  # the session is not there any more, or the server is not
            except WorkbenchError as error:
                trouble.append(error)

        stopper = threading.Thread(target=work, name="workbench-hive-cancel", daemon=True)
        stopper.start()
        sent.wait(float(self.config.parameters.get("connect_timeout", 20)))
        stopper.join(_PATIENCE)
        if trouble:
            raise trouble[0]

    def close(self) -> None:
        self.pool.close()

    # -- for the facets --------------------------------------------------------------------------------------------

    def opened(self, check: Check = lambda: None) -> Session:
        """A new session."""
        return Session(self.config, self.faults, check)

    def ask(self, work: Callable[[Session], T]) -> T:
        """Does a few small questions in a session of the pool, and again in another when it had gone stale there."""
        while True:
            session = self.pool.take()
            rested, session.uses = session.uses > 0, session.uses + 1
            try:
                answer = work(session)
            except ConnectionLost:
                self.pool.discard(session)
                if not rested:
                    raise
            except (UsageError, QueryFailed):
                self.pool.give(session)
                raise
            except BaseException:
                self.pool.discard(session)
                raise
            else:
                self.pool.give(session)
                return answer

    def stop(self, session: Handle, operation: Handle | None, sent: threading.Event | None = None) -> None:
        """Cancels the operation, where one is known, and closes the session, over a connection of its own. Waits for
        the server, which may take as long as its engine takes to notice."""
        try:
            side = Side(self.config, self.faults, lambda: None)
        except BaseException:
            if sent is not None:
                sent.set()
            raise
        try:
            if sent is not None:
                sent.set()
            if operation is not None:
                side.cancel(operation, _ANSWER)
            side.close_session(session, _ANSWER)
        except SourceError as error:
            error.connection = error.connection or self.config.name
            raise
        finally:
            side.close()

    def native_id(self, session: Handle, mark: str) -> str:
        """The session's handle, and the mark. The digest binds them: with another mark it is none of ours."""
        return f"{session.guid.hex()}.{session.secret.hex()}:{_digest(session, mark)}:{mark}"

    def was_cancelled(self, native_id: str | None) -> bool:
        """Whether `cancel` was called for it in this process."""
        return native_id in self._cancelled

    def _session_of(self, native_id: str) -> Handle | None:
        found = _NATIVE_ID.fullmatch(native_id)
        if found is None or len(found[1]) % 2 or len(found[2]) % 2:
            raise InvalidParameter("native_id", f"`{native_id[:80]}` is none of this connector's")
        session = Handle(bytes.fromhex(found[1]), bytes.fromhex(found[2]))
        return session if found[3] == _digest(session, found[4]) else None


def _digest(session: Handle, mark: str) -> str:
    return hashlib.sha256(session.guid + b"\0" + session.secret + b"\0" + mark.encode()).hexdigest()[:16]


def _healthy(session: Session) -> bool:
    if not session.wire.quiet():
        return False
    try:
        session.product()
    except WorkbenchError:
        return False
    return True
