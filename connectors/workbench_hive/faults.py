"""Every refusal of a server, as an error of the contract's tree: one table, here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.contract.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SourceTimeout,
    SqlSyntaxError,
    StatementRefused,
    UnknownTable,
    WorkbenchError,
)

__all__ = ["Faults", "as_number", "said", "spoken"]

CANCELED, CLOSED, FAILED, TIMED_OUT = 3, 4, 5, 8
"""States of an operation that are ends."""
_INVALID_HANDLE = 4
_NO_TABLE = 10001
_SYNTAX = re.compile(r"ParseException line (\d+):(\d+) (.*)", re.DOTALL)
_DENIED = ("HiveAccessControlException", "AccessControlException", "Permission denied", "does not have following priv")
_GONE = ("Invalid SessionHandle", "Invalid OperationHandle", "Session does not exist")
_FRAME = re.compile(r"^(?:Error while (?:compiling|processing) statement: )?(?:FAILED: )?")
_LONGEST = 1000


def said(value: Any) -> str:
    """A text of a reply."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_number(value: Any) -> int:
    """A number of a reply; 0 where it is none."""
    return value if isinstance(value, int) else 0


def spoken(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


class Faults:
    """Makes errors for one connection: `where` is host and port, `user` who logs in, `variable` the environment
    variable that the password came from, `other` what is asked where it is not HiveServer2."""

    def __init__(self, connection: str, where: str, user: str, variable: str = "", other: str = "") -> None:
        self.connection, self.where, self.user, self.variable = connection, where, user, variable
        self._other = other

    def lost(self, why: str) -> ConnectionLost:
        return ConnectionLost(f"The connection to {self.where} ended: {why}. Run the query again.", self.connection)

    def no_entry(self, user: str, why: str) -> AuthenticationFailed:
        hint = ""
        if "mechanism" in why.lower():
            hint = ". Where the server wants Kerberos: that is not there"
        shown = f"{why[:_LONGEST].rstrip('.') or 'it does not say why'}{hint}"
        return AuthenticationFailed(user, self.where, shown, self.connection, self.variable)

    def broken(self, what: str) -> ProtocolError:
        way_out = "Is it the right port?" if self._other else "Are port, transport, authentication and tls right?"
        told = f"{self.where} answers, but not as {self._other or 'HiveServer2'} does: {what.rstrip('.')}. {way_out}"
        return ProtocolError(told, self.connection)

    def refused(self, status: Mapping[int, Any], text: str = "") -> WorkbenchError:
        """For a `TStatus` that is no success."""
        message = said(status.get(5)) or next(map(said, _listed(status.get(2))), "")
        if status.get(1) == _INVALID_HANDLE or any(word in message for word in _GONE):
            return self.gone(message)
        return self.failed(message, said(status.get(3)), as_number(status.get(4)), text)

    def gone(self, message: str = "") -> ConnectionLost:
        told = f" ({message[:200]})" if message else ""
        return ConnectionLost(
            f"{self.where} knows the session no more{told}: it was ended from elsewhere, rested for too long, or the "
            "server was started anew. Run the query again.",
            self.connection,
        )

    def failed(self, message: str, state: str, code: int, text: str = "") -> WorkbenchError:
        """For the server's own words, SQL state and number about the statement `text`."""
        shown = _FRAME.sub("", message.strip() or "the server does not say why")[:_LONGEST].rstrip(".")
        if found := _SYNTAX.search(message):
            return SqlSyntaxError(found[3][:_LONGEST].strip(), int(found[1]), int(found[2]) + 1)
        if any(word in message for word in _DENIED):
            return StatementRefused("That", f"{shown}; the user of this connection lacks the right: ask for SELECT")
        if code == _NO_TABLE or state == "42S02":
            named = re.search(r"[Tt]able not found '?([^'\s]+)", message)
            return UnknownTable(named[1] if named else shown)
        if state and not code:
            return QueryFailed(shown, state, text, self.connection)
        return QueryFailed(shown, code or "", text, self.connection)

    def ended(self, state: int, reply: Mapping[int, Any], seconds: float, text: str) -> WorkbenchError | None:
        """For the state of an operation; None while it is at work or done."""
        if state == CANCELED:
            return Cancelled("The query (at the server)")
        if state == CLOSED:
            return self.gone("the operation is closed")
        if state == TIMED_OUT:
            return SourceTimeout("The query", seconds, self.connection)
        if state == FAILED:
            return self.failed(said(reply.get(5)), said(reply.get(3)), as_number(reply.get(4)), text)
        return None
