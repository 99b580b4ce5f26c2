"""The connector for MongoDB: one connection's client, and its facets."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workbench.contract.connector import ConnectionConfig, ServerInfo
from workbench.contract.errors import ConnectionLost, InvalidParameter, Unsupported
from workbench.kit.tls import Encryption
from workbench_mongodb.decode import dated
from workbench_mongodb.faults import Faults
from workbench_mongodb.sinks import MongoDBSinks
from workbench_mongodb.tables import MongoDBTables

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

__all__ = ["MongoDBConnector"]

_MARK = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LACKING = (59, 40324)
"""The codes of a server that has no such command or stage."""


_PREFERENCES = ("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest")
"""By the driver's numbers."""
_SELDOM = 86_400_000
"""Milliseconds between the driver's looks at the server. One that a busy server answers late would end all that runs
there; a host that vanished is noticed by the system (keep-alive), and a query that goes on for long by its guard."""


class MongoDBConnector:
    """See `workbench.contract.connector.Connector`."""

    def __init__(self, config: ConnectionConfig) -> None:
        given = config.parameters
        self.config = config
        self.database = str(given.get("database") or "")
        self.guard = float(given.get("guard", 3600))
        password = config.secrets.get("password")
        where = f"{given['host']}:{given.get('port', 27017)}"
        variable = password.variable if password is not None else ""
        self.faults = Faults(config.name, where, str(given.get("user", "")), self.guard, variable)
        self._lock = threading.Lock()
        self._client: MongoClient[dict[str, Any]] | None = None
        self._process, self._closed = 0, False
        self._tables, self._sinks = MongoDBTables(self), MongoDBSinks(self)

    @property
    def tables(self) -> MongoDBTables:
        return self._tables

    @property
    def feeds(self) -> None:
        return None

    @property
    def sinks(self) -> MongoDBSinks:
        return self._sinks

    def test(self) -> ServerInfo:
        with self.faults.named():
            client = self._opened()  # a new one: the question is whether one can get in
            try:
                said = client.admin.command("buildInfo")
                if self.database:
                    client[self.database].command("ping")
            finally:
                client.close()
        details = {"database": self.database, "tls": str(self.config.parameters.get("tls", "disabled"))}
        return ServerInfo("MongoDB", str(said.get("version", "unknown")), details)

    def cancel(self, native_id: str) -> None:
        """Ends the operations and cursors whose comment is the mark. Needs `killOp` and `inprog` of the role
        `clusterMonitor`, or nothing for work of the same user."""
        if not _MARK.fullmatch(native_id):
            raise InvalidParameter("native_id", f"`{native_id[:80]}` is none of this connector's")
        with self.faults.named("$currentOp"):
            client = self._opened()
            try:
                for work in _working(client, native_id):
                    _end(client, work)
            except Exception as error:
                if getattr(error, "code", None) in _LACKING:
                    raise Unsupported("This server", "end a statement from outside", "It has no $currentOp.") from None
                raise
            finally:
                client.close()

    def close(self) -> None:
        with self._lock:
            client, self._client, self._closed = self._client, None, True
        if client is not None:
            client.close()

    # -- for the facets --------------------------------------------------------------------------------------------

    def client(self) -> MongoClient[dict[str, Any]]:
        """This process's client. It connects when it is used."""
        with self._lock:
            if self._closed:
                raise ConnectionLost("The connection was closed; open it again.", self.config.name)
            if self._client is None or self._process != os.getpid():
                self._client, self._process = self._opened(), os.getpid()
            return self._client

    @contextmanager
    def session(self) -> Iterator[ClientSession | None]:
        """For commands that belong together, as a cursor's do: a server refuses a getMore of another session than the
        one that its cursor was made in, and the driver gives each command another one. None where there are none."""
        with self.faults.named():
            client = self.client()
            there = client.address is not None and client.topology_description.logical_session_timeout_minutes
            session = client.start_session(causal_consistency=False) if there else None
        try:
            yield session
        finally:
            if session is not None:
                session.end_session()

    def command(
        self,
        database: str,
        command: Mapping[str, Any],
        seconds: float | None = None,
        session: ClientSession | None = None,
    ) -> dict[str, Any]:
        """A small question. Values are decoded, dates as milliseconds."""
        name = next(iter(command))
        # A cursor has the limit that it was made with: servers refuse one at a getMore.
        limit = {} if name == "getMore" else {"maxTimeMS": int((seconds or self.guard) * 1000)}
        with self.faults.named(name, seconds):
            client = self.client()
            answer: dict[str, Any] = client[database].command(
                {**command, **limit}, codec_options=dated(), read_preference=self._preference(), session=session
            )
            return answer

    def raw(
        self, database: str, command: Mapping[str, Any], seconds: float, session: ClientSession | None = None
    ) -> bytes:
        """The reply as it came."""
        from bson.codec_options import CodecOptions
        from bson.raw_bson import RawBSONDocument

        options = CodecOptions(document_class=RawBSONDocument)
        with self.faults.named(next(iter(command)), seconds):
            reply = self.client()[database].command(
                dict(command), codec_options=options, read_preference=self._preference(), session=session
            )
            return bytes(reply.raw)

    def _preference(self) -> Any:
        from pymongo.read_preferences import make_read_preference

        name = str(self.config.parameters.get("read_preference", "primaryPreferred"))
        return make_read_preference(_PREFERENCES.index(name), None)

    def _opened(self) -> MongoClient[dict[str, Any]]:
        import pymongo

        given, password = self.config.parameters, self.config.secrets.get("password")
        wait = int(float(given.get("connect_timeout", 10)) * 1000)
        options: dict[str, Any] = {}
        if given.get("user"):
            options["username"] = given["user"]
            options["password"] = password.reveal() if password is not None else ""
            options["authSource"] = given.get("auth_source", "admin")
            if given.get("auth_mechanism"):
                options["authMechanism"] = given["auth_mechanism"]
        tls = Encryption.asked(given)
        if tls.kind != "disabled":
            options |= {"tls": True, "tlsAllowInvalidCertificates": tls.kind != "verify", "tlsCAFile": tls.ca_file}
        host = str(given["host"])
        with self.faults.named():
            return pymongo.MongoClient(
                f"[{host}]" if ":" in host else host,  # of the sixth version
                given.get("port", 27017),
                directConnection=True,  # a cursor lives on the server that made it
                appname="analytics-workbench",
                connectTimeoutMS=wait,
                serverSelectionTimeoutMS=wait,
                socketTimeoutMS=int(self.guard * 1000) + 30_000,
                serverMonitoringMode="poll",
                heartbeatFrequencyMS=_SELDOM,
                retryReads=False,
                retryWrites=False,
                **options,
            )


def _working(client: MongoClient[dict[str, Any]], mark: str) -> list[dict[str, Any]]:
    """Operations and resting cursors that carry the mark."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": False, "idleCursors": True}},
        {"$match": {"$or": [{"command.comment": mark}, {"cursor.originatingCommand.comment": mark}]}},
    ]
    return list(client.admin.aggregate(stages))


def _end(client: MongoClient[dict[str, Any]], work: Mapping[str, Any]) -> None:
    cursor = work.get("cursor")
    if isinstance(cursor, Mapping) and cursor.get("cursorId"):
        database, _, name = str(work.get("ns", "")).partition(".")
        client[database].command({"killCursors": name, "cursors": [cursor["cursorId"]]})
    if work.get("opid") is not None and work.get("type") != "idleCursor":
        client.admin.command({"killOp": 1, "op": work["opid"]})
