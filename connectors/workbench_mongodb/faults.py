"""Every refusal of a server or of the driver, as an error of the contract's tree: one table, here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.contract.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    InvalidParameter,
    ProtocolError,
    QueryFailed,
    SourceTimeout,
    StatementRefused,
    Unreachable,
    WorkbenchError,
)

__all__ = ["Faults"]

_LOG_IN = {18, 11, 334}
_DENIED = {13, 33}
_INTERRUPTED = {11600, 11601, 11602, 237}
_NO_CURSOR = 43
_TIMES = {50, 262}


class Faults:
    """Makes errors for one connection: `where` is host and port, `user` who logs in, `variable` the environment
    variable that the password came from."""

    def __init__(self, connection: str, where: str, user: str, guard: float, variable: str = "") -> None:
        self.connection, self.where, self.user, self.guard, self.variable = connection, where, user, guard, variable

    @contextmanager
    def named(self, text: str = "", seconds: float | None = None) -> Iterator[None]:
        """Errors of the driver inside become ours; `text` is what was sent, `seconds` the limit that it had."""
        import bson.errors
        import pymongo.errors

        try:
            yield
        except (pymongo.errors.PyMongoError, bson.errors.BSONError, OSError) as error:
            raise self.of(error, text, seconds) from None
        except ValueError as error:  # of an address that is none
            raise Unreachable(self.where, _said(error), self.connection) from None

    def of(self, error: Exception, text: str = "", seconds: float | None = None) -> WorkbenchError:
        import bson.errors
        import pymongo.errors as theirs

        said, who = _said(error), self.connection
        if isinstance(error, theirs.ServerSelectionTimeoutError):
            return Unreachable(self.where, said, who)
        if isinstance(error, theirs.OperationFailure):
            return self._refused(error, said, text, seconds)
        if isinstance(error, theirs.ConfigurationError):
            return Unreachable(self.where, said, who)
        if isinstance(error, theirs.InvalidName):
            return InvalidParameter("database", f"or a collection's name is none that MongoDB has: {said}.")
        if isinstance(error, theirs.DocumentTooLarge):
            return QueryFailed("the conditions are larger than a command may be; use fewer or shorter constants", "",
                               text, who)  # fmt: skip
        if isinstance(error, theirs.ProtocolError | bson.errors.BSONError):
            return ProtocolError(f"{self.where} answers, but not as MongoDB does: {said}.", who)
        if isinstance(error, theirs.NetworkTimeout):
            return ConnectionLost(f"{self.where} did not answer in time: {said}. Run the query again.", who)
        return ConnectionLost(f"The connection to {self.where} ended: {said}. Run the query again.", who)

    def _refused(self, error: object, said: str, text: str, seconds: float | None) -> WorkbenchError:
        code = int(getattr(error, "code", 0) or 0)
        if code in _LOG_IN:
            return AuthenticationFailed(self.user, self.where, said, self.connection, self.variable)
        if code in _DENIED:
            told = f"{said}; the user of this connection lacks the right: ask for `read`, or `readWrite` to write"
            return StatementRefused("That", told)
        if code in _TIMES:
            return SourceTimeout("The query", seconds or self.guard, self.connection)
        if code in _INTERRUPTED:
            return Cancelled("The query")
        if code == _NO_CURSOR:
            said = "the server has given up the cursor, which it does after 10 minutes of rest; run the query again"
        return QueryFailed(said, code, text, self.connection)


def _said(error: Exception) -> str:
    """The driver's sentence without its appendix of all that it knows."""
    details = getattr(error, "details", None)
    if isinstance(details, dict) and details.get("errmsg"):
        return str(details["errmsg"])[:500].rstrip(".")
    text = str(error) or type(error).__name__
    for appendix in (", full error:", ", Timeout:", " (configured timeouts:"):
        text = text.partition(appendix)[0]
    return text[:500].rstrip(".")
