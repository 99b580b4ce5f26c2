"""Every refusal of a server or of the driver, as an error of the contract's tree: one table, here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql

from workbench.contract.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SourceError,
    SourceFull,
    SourceTimeout,
    SqlSyntaxError,
    StatementRefused,
    Unreachable,
    WorkbenchError,
)

__all__ = ["Faults", "named"]

_AUTHENTICATION = {1044, 1045, 1251, 1275, 1524, 1698, 1820, 1862, 1873, 2058, 2059, 2061, 3118, 3955, 4151}
_FULL = {1040, 1203}
_RESOURCE = 1226
_UNREACHABLE = {1129, 1130, _RESOURCE, 2001, 2002, 2003, 2004, 2005, 2026}
_LOST = {0, 1053, 1077, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055, 4031}
_BROKEN = {2012, 2014, 2027}
_TIMEOUT = {1969, 3024}
_READ_ONLY = {1290, 1792, 1836, 3989}
_DENIED = {1142, 1143, 1227, 1370, 1410, 1419}
_INTERRUPTED = 1317
_SYNTAX = {1064, 1065, 1149}
_HINTS = {
    **dict.fromkeys(_DENIED, "The user of this connection lacks that right; ask who runs the server for it"),
    1049: "Connect with a database that is there, or with none",
    1153: "Raise `max_allowed_packet` at the server, or write smaller rows",
    1205: "Somebody else holds the rows; try again later",
    1213: "Somebody else held the rows the other way round; try again",
    1267: "Compare with a column of the same collation",
}
_NEAR = re.compile(r"near '(?P<near>.*)' at line (?P<line>\d+)", re.DOTALL)


class Faults:
    """Makes errors for one connection: `where` is host and port, `user` who logged in, `variable` the environment
    variable that the password came from."""

    def __init__(self, connection: str, where: str, user: str, guard: float | None = None, variable: str = "") -> None:
        self.variable = variable
        self.connection, self.where, self.user, self.guard = connection, where, user, guard

    def of(self, code: int, message: str, text: str = "") -> WorkbenchError:
        """For the server's (or driver's) number and text. `text` is the statement, which holds no secret."""
        who = self.connection
        if code in _SYNTAX:
            return _syntax(message, text)
        if code in _AUTHENTICATION:
            return AuthenticationFailed(self.user, self.where, f"{message} [{code}]", who, self.variable)
        if code in _FULL or (code == _RESOURCE and "max_user_connections" in message):
            return SourceFull(self.where, f"{message} [{code}]", who)
        if code in _UNREACHABLE:
            return Unreachable(self.where, f"{message} [{code}]", who)
        if code in _LOST:
            return ConnectionLost(f"The connection to {self.where} was lost: {message or 'no reason given'}", who)
        if code in _BROKEN:
            return ProtocolError(f"{self.where} breaks MySQL's protocol: {message}", who)
        if code == _INTERRUPTED:
            return Cancelled("The query (by KILL at the server)")
        if code in _TIMEOUT:
            return SourceTimeout("The statement", self.guard, who)
        if code in _READ_ONLY:
            return StatementRefused("Writing", f"{message}. Connect with writable=True if it has to be")
        hint = f". {_HINTS[code]}" if code in _HINTS else ""
        return QueryFailed(message + hint, code, text, who)

    def made(self, text: str = "") -> Any:
        """The maker of errors that `Channel` and its users want: (code, state, message)."""
        return lambda code, state, message: self.of(code, message, text)

    @contextmanager
    def translated(self, text: str = "") -> Iterator[None]:
        """What pymysql raises inside comes out as ours, without the driver's frames: their variables hold what is
        secret. Errors of ours get the connection's name."""
        try:
            yield
        except SourceError as error:
            error.connection = error.connection or self.connection
            raise
        except pymysql.err.Error as error:
            raise self._from_driver(error, text) from None

    def _from_driver(self, error: pymysql.err.Error, text: str) -> WorkbenchError:
        arguments = error.args
        if len(arguments) >= 2 and isinstance(arguments[0], int):
            return self.of(arguments[0], str(arguments[1]), text)
        told = "; ".join(str(argument) for argument in arguments)
        if isinstance(error, pymysql.err.InternalError):
            return ProtocolError(f"{self.where} breaks MySQL's protocol: {told}", self.connection)
        if isinstance(error, pymysql.err.InterfaceError) or told == "Already closed":
            return ConnectionLost(f"The connection to {self.where} is closed", self.connection)
        return QueryFailed(told, "", text, self.connection)


@contextmanager
def named(connection: str) -> Iterator[None]:
    """Puts the connection's name into errors that were made by who does not know it."""
    try:
        yield
    except SourceError as error:
        error.connection = error.connection or connection
        raise


def _syntax(message: str, text: str) -> SqlSyntaxError:
    """With line and column, from what the server quotes of the rest of the statement."""
    found = _NEAR.search(message)
    if not found:
        return SqlSyntaxError(message)
    near, line = found["near"], int(found["line"])
    lines = text.split("\n")
    before = sum(len(part) + 1 for part in lines[: line - 1]) if line <= len(lines) else 0
    at = len(text) if not near else text.find(near, before)
    if at < 0:
        at = text.find(near)
    shown = near.split("\n", 1)[0][:80]
    told = f"The server does not understand the statement near `{shown}`" if shown else "The statement ends too early"
    if at < 0:
        return SqlSyntaxError(told, line, 0)
    return SqlSyntaxError(told, text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1)
