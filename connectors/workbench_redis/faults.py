"""Every refusal of a server or of the driver, as an error of the contract's tree: one table, here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.contract.errors import (
    AuthenticationFailed,
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    StatementRefused,
    UnknownTable,
    Unreachable,
    WorkbenchError,
)

__all__ = ["Faults"]

_LOG_IN = ("WRONGPASS", "NOAUTH", "invalid username-password", "without any password", "AUTH failed")


class Faults:
    """Makes errors for one connection: `where` is host and port, `user` who logs in."""

    def __init__(self, connection: str, where: str, user: str, variable: str = "") -> None:
        self.connection, self.where, self.user, self.variable = connection, where, user, variable

    @contextmanager
    def named(self, table: str = "", begun: bool = False) -> Iterator[None]:
        """Errors of the driver inside become ours. `begun`: it had answered before."""
        import redis.exceptions

        try:
            yield
        except (redis.exceptions.RedisError, OSError) as error:
            raise self.of(error, table, begun) from None

    def of(self, error: Exception, table: str = "", begun: bool = False) -> WorkbenchError:
        import redis.exceptions as theirs

        said, who = " ".join(str(error).split())[:300].rstrip("."), self.connection
        if isinstance(error, theirs.AuthenticationError) or any(word in said for word in _LOG_IN):
            return AuthenticationFailed(self.user or "default", self.where, said, who, self.variable)
        if isinstance(error, theirs.InvalidResponse) or "Protocol Error" in said:
            return ProtocolError(f"{self.where} answers, but not as Redis does: {said}.", who)
        if isinstance(error, theirs.ConnectionError | theirs.TimeoutError | OSError):
            if begun:
                return ConnectionLost(f"The connection to {self.where} ended: {said}. Ask again.", who)
            return Unreachable(self.where, said or type(error).__name__, who)
        if isinstance(error, theirs.NoPermissionError) or "NOPERM" in said:
            return StatementRefused("That", f"{said}; the user of this connection lacks the right in the server's ACL")
        if "WRONGTYPE" in said or "no such key" in said:
            return UnknownTable(table or "stream", (), "Only streams are tables.")
        return QueryFailed(said, said.partition(" ")[0], "", who)
