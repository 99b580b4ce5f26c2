"""HiveServer2's calls, as far as they are needed, over one connection. Replies are small here: rows come raw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.contract.connector import ConnectionConfig
from workbench.contract.errors import ProtocolError, SourceError, Unsupported
from workbench.kit.thrift import BOOL, I16, I32, I64, LIST, MAP, STRING, STRUCT, Struct, call, reply
from workbench_hive.faults import Faults, as_number, said
from workbench_hive.link import Check
from workbench_hive.types import HiveType
from workbench_hive.wire import opened

__all__ = ["Handle", "Session", "Side"]

_VERSION_10, _COLUMNS = 9, 5
"""Versions of the protocol, from 0: what we speak, and the first that sends columns."""
_ANSWER = 30.0
"""Seconds for an answer that needs no work."""
_NAME, _VERSION = 17, 18
_PRODUCT = "Hive"


@dataclass(frozen=True)
class Handle:
    """A session or an operation at the server. Whoever has it may use it, from any connection."""

    guid: bytes
    secret: bytes
    kind: int | None = None
    has_rows: bool = False

    def written(self) -> tuple[int, Struct]:
        inner: dict[int, tuple[int, Any]] = {1: (STRUCT, {1: (STRING, self.guid), 2: (STRING, self.secret)})}
        if self.kind is not None:
            inner |= {2: (I32, self.kind), 3: (BOOL, self.has_rows)}
        return STRUCT, inner

    @classmethod
    def read(cls, found: Any, faults: Faults) -> Handle:
        try:
            guid, secret = found[1][1], found[1][2]
            kind, rows = found.get(2), bool(found.get(3))
        except (KeyError, TypeError, AttributeError):
            raise faults.broken("it gives no handle") from None
        if not isinstance(guid, bytes) or not isinstance(secret, bytes) or kind not in (None, *range(256)):
            raise faults.broken("it gives no handle")
        return cls(guid, secret, kind, rows)


class _Calls:
    """Calls by name over a connection; replies are asked for one at a time."""

    def __init__(self, config: ConnectionConfig, faults: Faults, check: Check) -> None:
        self.faults = faults
        self.wire = opened(config.parameters, config.secrets.get("password"), faults, check)
        self._number = 0

    def raw(self, name: str, request: Struct, seconds: float, check: Check) -> tuple[bytearray, int]:
        """The reply as it came, and its number."""
        self._number += 1
        message = call(name, self._number, {1: (STRUCT, request)})
        return self.wire.exchange(message, seconds, check), self._number

    def ask(
        self, name: str, request: Struct, *, seconds: float = _ANSWER, check: Check | None = None, text: str = ""
    ) -> dict[int, Any]:
        """The reply, whose status is success; `text` is the statement that it is about."""
        found, number = self.raw(name, request, seconds, check or (lambda: None))
        return self.answer(found, name, number, text)

    def answer(self, found: bytearray, name: str, number: int, text: str = "") -> dict[int, Any]:
        try:
            body = reply(found, name, number).body.get(0)
        except ProtocolError as error:  # also of a reply that is cut
            raise self.faults.broken(error.message) from None
        status = body.get(1) if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(status, dict):
            raise self.faults.broken(f"its reply to {name} says no status")
        if status.get(1) not in (0, 1, 2):
            raise self.faults.refused(status, text)
        return body

    def cancel(self, operation: Handle, seconds: float) -> None:
        self.ask("CancelOperation", {1: operation.written()}, seconds=seconds)

    def close_operation(self, operation: Handle, seconds: float = _ANSWER) -> None:
        self.ask("CloseOperation", {1: operation.written()}, seconds=seconds)

    def close_session(self, session: Handle, seconds: float = _ANSWER) -> None:
        self.ask("CloseSession", {1: session.written()}, seconds=seconds)

    def state(self, operation: Handle, check: Check | None = None) -> dict[int, Any]:
        """With how far it is, where the server says that."""
        return self.ask("GetOperationStatus", {1: operation.written(), 2: (BOOL, True)}, check=check)


class Side(_Calls):
    """A connection without a session: to end what others do."""

    def close(self) -> None:
        self.wire.close()


class Session(_Calls):
    """A session of its own at the server, which ends with its connection."""

    uses = 0
    """How often it was taken from the pool."""

    def __init__(self, config: ConnectionConfig, faults: Faults, check: Check = lambda: None) -> None:
        super().__init__(config, faults, check)
        # Where nobody logs in, this is the first answer of whoever listens there.
        given = config.parameters
        logs_in = given.get("transport", "binary") != "http" and given.get("authentication", "plain") != "nosasl"
        seconds = _ANSWER if logs_in else float(given.get("connect_timeout", 20))
        try:
            self.handle = self._open(str(config.parameters.get("database") or ""), seconds, check)
        except BaseException:
            self.wire.close()
            raise

    def _open(self, database: str, seconds: float, check: Check) -> Handle:
        settings = [(b"use:database", database.encode())] if database else []
        request: Struct = {1: (I32, _VERSION_10), 4: (MAP, (STRING, STRING, settings))}
        found = self.ask("OpenSession", request, seconds=seconds, check=check)
        if as_number(found.get(2)) < _COLUMNS:
            raise Unsupported("The Hive connector", "read from a HiveServer2 older than 0.13", "It sends no columns.")
        return Handle.read(found.get(3), self.faults)

    def product(self) -> tuple[str, str]:
        """Name and version as the server says them."""
        answers = [self.ask("GetInfo", {1: self.handle.written(), 2: (I32, what)}).get(2) for what in (_NAME, _VERSION)]
        name, version = (said(answer.get(1)) if isinstance(answer, dict) else "" for answer in answers)
        return name.removeprefix("Apache ") or _PRODUCT, version or "unknown"

    def execute(
        self,
        text: str,
        *,
        seconds: float,
        check: Check | None = None,
        settings: Mapping[str, str] | None = None,
        background: bool = True,
    ) -> Handle:
        """Starts a statement, which the server ends after so many seconds; it is compiled when this returns."""
        overlay = [(name.encode(), value.encode()) for name, value in (settings or {}).items()]
        request: Struct = {
            1: self.handle.written(),
            2: (STRING, text.encode()),
            3: (MAP, (STRING, STRING, overlay)),
            4: (BOOL, background),
            5: (I64, max(1, round(seconds))),
        }
        found = self.ask("ExecuteStatement", request, seconds=seconds + _ANSWER, check=check, text=text)
        return Handle.read(found.get(2), self.faults)

    def columns(self, operation: Handle, check: Check | None = None) -> list[tuple[str, HiveType, str]]:
        """Name, type and comment of each column of an operation's rows."""
        found = self.ask("GetResultSetMetadata", {1: operation.written()}, check=check)
        try:
            return [
                (said(one[1]), HiveType.of_entry(one[2][1]), said(one.get(4)))
                for one in (found.get(2) or {}).get(1, [])
            ]
        except (KeyError, TypeError, IndexError, AttributeError, ValueError):
            raise self.faults.broken("it does not say what columns there are") from None

    def fetch(self, operation: Handle, rows: int, seconds: float, check: Check | None = None) -> tuple[bytearray, int]:
        """The next reply with rows, raw, and its number."""
        request: Struct = {1: operation.written(), 2: (I32, 0), 3: (I64, rows), 4: (I16, 0)}
        return self.raw("FetchResults", request, seconds, check or (lambda: None))

    def log(self, operation: Handle, rows: int, check: Check | None = None) -> tuple[bytearray, int]:
        """The next lines of the operation's log, as rows of one text; raw, and the reply's number."""
        request: Struct = {1: operation.written(), 2: (I32, 0), 3: (I64, rows), 4: (I16, 1)}
        return self.raw("FetchResults", request, _ANSWER, check or (lambda: None))

    def tables(self, schema: str, pattern: str, kinds: Sequence[str] = ()) -> Handle:
        request: Struct = {3: (STRING, schema.encode()), 4: (STRING, pattern.encode())}
        if kinds:
            request = {**request, 5: (LIST, (STRING, [kind.encode() for kind in kinds]))}
        return self._listing("GetTables", request)

    def close(self) -> None:
        """Never waits: says good-bye where there is somebody to hear it, and goes."""
        self._number += 1
        try:
            self.wire.send(call("CloseSession", self._number, {1: (STRUCT, {1: self.handle.written()})}), 0.2)
        except SourceError:
            pass  # it is gone already
        finally:
            self.wire.close()

    def _listing(self, name: str, request: Struct) -> Handle:
        found = self.ask(name, {1: self.handle.written(), **request}, seconds=300)
        return Handle.read(found.get(2), self.faults)
