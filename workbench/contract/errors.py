"""One tree of errors. A class takes the facts and writes its own sentence, which names the value and the way out.

```text
    WorkbenchError
    ├── UsageError                 the caller can mend it by writing something else
    │   ├── UnknownName            UnknownConnection · UnknownConnector · UnknownTable · UnknownColumn ·
    │   │                        UnknownVariable · UnknownRun · UnknownResult · UnknownComponent ·
    │   │                        UnknownStream · UnknownField
    │   ├── SqlSyntaxError         with line and column
    │   ├── StatementRefused       a kind of statement, function or option that is not allowed here
    │   ├── UrlRefused             scheme, parameter or host of a connection that is not on the allow-list
    │   ├── InvalidParameter       a value that does not fit its schema
    │   ├── DocumentError          a saved document that cannot be read or is from a newer version
    │   ├── TopologyError          a topology that cannot run as it is written
    │   ├── StateRefused           the kept state of a topology that is of another one, in use or damaged
    │   ├── EmitRefused            a spout or bolt did with its collector what cannot be done
    │   └── Unsupported            the connector does not declare this ability
    ├── SourceError                a source or the way to it failed; `connection` says which
    │   ├── Unreachable            no TCP, no TLS, no answer to the greeting
    │   │   ├── SourceFull         it takes no more connections now
    │   │   └── PathUnreachable    a file or folder that cannot be opened
    │   ├── AuthenticationFailed
    │   ├── ConnectionLost         in mid-conversation; nothing of the broken split was handed on as whole
    │   ├── ProtocolError          the reply is not what the protocol says (hostile or broken server)
    │   ├── QueryFailed            the source refused or broke off the query; its own code and text
    │   ├── SourceTimeout          a guard ended it
    │   ├── DataError              a value that Arrow cannot hold, under the policy `error`
    │   ├── SnapshotChanged        the table is not what was planned any more
    │   ├── NotExact               sums that the source made are not exact; the caller asks for the rows instead
    │   └── PositionLost           the source no longer has that position
    ├── Cancelled                  somebody pressed Stop
    ├── LimitExceeded              one of our own guards (rows, bytes, seconds) ended it
    ├── SecretMissing              a reference to a secret that is not there
    └── NativeMissing              the native core is absent or of another version
```
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AuthenticationFailed",
    "Cancelled",
    "ClusterFailed",
    "ConnectionLost",
    "DataError",
    "DocumentError",
    "EmitRefused",
    "InvalidParameter",
    "LimitExceeded",
    "NativeMissing",
    "NotExact",
    "NotReplaced",
    "PathUnreachable",
    "PositionLost",
    "ProtocolError",
    "QueryFailed",
    "SecretMissing",
    "SnapshotChanged",
    "SourceError",
    "SourceFull",
    "SourceTimeout",
    "SqlSyntaxError",
    "StateRefused",
    "StatementRefused",
    "TopologyError",
    "UnknownColumn",
    "UnknownComponent",
    "UnknownConnection",
    "UnknownConnector",
    "UnknownField",
    "UnknownName",
    "UnknownResult",
    "UnknownRun",
    "UnknownStream",
    "UnknownTable",
    "UnknownVariable",
    "UnknownView",
    "Unreachable",
    "Unsupported",
    "UrlRefused",
    "UsageError",
    "WorkbenchError",
]


class WorkbenchError(Exception):
    """Whatever this product raises on purpose. `str(error)` is a whole sentence for the person at the keyboard."""

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross processes; the facts are attributes, so the constructor is not called again.
        return (_rebuilt, (type(self), self.args, dict(self.__dict__)))


def _rebuilt(cls: type[WorkbenchError], args: tuple[object, ...], facts: dict[str, object]) -> WorkbenchError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class UsageError(WorkbenchError):
    """The caller can mend it by writing something else."""


class UnknownName(UsageError):
    """A name that nothing carries; offers up to three near ones."""

    kind = "name"

    def __init__(self, name: str, known: Iterable[str] = (), hint: str = "") -> None:
        self.name = name
        self.near = tuple(near(name, known))
        did = f" Did you mean {' or '.join(f'`{other}`' for other in self.near)}?" if self.near else ""
        super().__init__(f"No {self.kind} `{name}`.{did}{' ' + hint if hint else ''}")


class UnknownConnection(UnknownName):
    """Where no known name is near, all of them are said."""

    kind = "connection"

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        names = sorted(known)
        super().__init__(name, names, "" if near(name, names) else _there_are(names))


class UnknownConnector(UnknownName):
    kind = "connector"


class UnknownTable(UnknownName):
    kind = "table"


class UnknownColumn(UnknownName):
    kind = "column"


class UnknownVariable(UnknownName):
    kind = "variable"


class UnknownRun(UnknownName):
    kind = "run"


class UnknownResult(UnknownName):
    kind = "result"


class UnknownComponent(UnknownName):
    kind = "component"


class UnknownStream(UnknownName):
    kind = "stream"


class UnknownField(UnknownName):
    kind = "field"


class UnknownView(UsageError):
    """The rows in that order, or that fit those conditions, were let go: they are to be asked for again."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__("These sorted or filtered rows are not kept any more. Sort or filter again.")


class SqlSyntaxError(UsageError):
    """The statement does not parse. `line` and `column` count from 1; 0 means unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        self.line, self.column = line, column
        super().__init__(f"{message} (line {line}, column {column})" if line else message)


class StatementRefused(UsageError):
    """`what` is refused (a kind of statement, a function); `why` says the reason and the way out."""

    def __init__(self, what: str, why: str) -> None:
        self.what, self.why = what, why
        super().__init__(f"{what} is refused: {why}")


class UrlRefused(UsageError):
    """A part of a connection URL is not on the allow-list. The URL is never in the text, for it may hold a secret."""

    def __init__(self, part: str, why: str) -> None:
        self.part, self.why = part, why
        super().__init__(f"The connection is refused, because of {part}: {why}")


class InvalidParameter(UsageError):
    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"Parameter `{name}` {why}")


class DocumentError(UsageError):
    def __init__(self, document: str, why: str) -> None:
        self.document, self.why = document, why
        super().__init__(f"The saved document {document} {why}")


class TopologyError(UsageError):
    """A topology that cannot run as it is written; `topology` is its name."""

    def __init__(self, topology: str, why: str) -> None:
        self.topology, self.why = topology, why
        super().__init__(f"Topology `{topology}` cannot run: {why}")


class StateRefused(UsageError):
    """The kept state of a topology, in the file `where`, cannot be gone on from, or not be written."""

    def __init__(self, topology: str, where: str, why: str) -> None:
        self.topology, self.where, self.why = topology, where, why
        super().__init__(f"The state of topology `{topology}` in {where}: {why}")


class EmitRefused(UsageError):
    """A spout or bolt emitted, acked or failed what it could not; raised in its own code."""

    def __init__(self, component: str, why: str) -> None:
        self.component, self.why = component, why
        super().__init__(f"Component `{component}`: {why}")


class NotReplaced(UsageError):
    """What was to stand in the place of a connection that is there does not work: `name`, `where` the old one leads,
    and `why`; `said` is the sentence without the way out, where that is a button."""

    def __init__(self, name: str, where: str, why: str) -> None:
        self.name, self.where, self.why = name, where, why
        end = "" if why.endswith(("?", "!")) else "."
        self.said = (
            f"`{name}` stays the connection that it was ({where}), for the new one does not work: "
            f"{why.rstrip('.')}{end}"
        )
        super().__init__(f"{self.said} Mend it, or say test=False (--no-test) to replace it all the same.")


class Unsupported(UsageError):
    def __init__(self, who: str, what: str, hint: str = "") -> None:
        self.who, self.what = who, what
        super().__init__(f"{who} cannot {what}.{' ' + hint if hint else ''}")


class SourceError(WorkbenchError):
    """A source, or the way to it, failed. `connection` is the connection's name; it is put in by who knows it."""

    def __init__(self, message: str, connection: str = "") -> None:
        self.message, self.connection = message, connection
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.connection}: {self.message}" if self.connection else self.message


class Unreachable(SourceError):
    def __init__(self, where: str, why: str, connection: str = "") -> None:
        self.where, self.why = where, why
        super().__init__(f"Cannot reach {where}: {why}. Is the server up, and the host and port right?", connection)


class SourceFull(Unreachable):
    """The server takes no more connections now; it may when others are gone. Reads wait for that for a minute."""

    def __init__(self, where: str, why: str, connection: str = "") -> None:
        self.where, self.why = where, why
        way_out = "Ask again when others have ended, or connect with a smaller `connections`"
        SourceError.__init__(self, f"{where} takes no more connections: {why}. {way_out}.", connection)


class PathUnreachable(Unreachable):
    """A file or folder that is not there, may not be read, or is held by another process; `act` is what was tried."""

    def __init__(self, path: str, why: str, connection: str = "", act: str = "open") -> None:
        self.where, self.why = path, why
        SourceError.__init__(self, f"Cannot {act} `{path}`: {why}.", connection)


class AuthenticationFailed(SourceError):
    """The log-in was refused. `variable` names the environment variable that the password came from, if it did."""

    def __init__(self, user: str, where: str, why: str, connection: str = "", variable: str = "") -> None:
        self.user, self.where, self.why, self.variable = user, where, why, variable
        again = f"the environment variable {variable}, which the password is taken from"
        hint = f"Check the user, and {again if variable else 'give the connection its password again'}"
        super().__init__(f"{where} did not let `{user}` in: {why}. {hint}.", connection)


class ConnectionLost(SourceError):
    """The connection ended before the reply did."""


class ProtocolError(SourceError):
    """The reply breaks its own protocol; the connection is not used again."""


class QueryFailed(SourceError):
    """The source's own refusal. `code` is its number or state, `native_text` the statement that was sent."""

    def __init__(self, why: str, code: str | int = "", native_text: str = "", connection: str = "") -> None:
        self.why, self.code, self.native_text = why, code, native_text
        super().__init__(f"{why} [{code}]" if code != "" else why, connection)


class SourceTimeout(SourceError):
    """A guard on our side or the source's ended the statement after `seconds`."""

    def __init__(self, what: str, seconds: float | None = None, connection: str = "") -> None:
        self.what, self.seconds = what, seconds
        super().__init__(f"{what} took longer than {seconds:g} s" if seconds else f"{what} took too long", connection)


class DataError(SourceError):
    """A value that Arrow cannot hold, where the policy says `error`. `row` counts from 0 within the split."""

    def __init__(self, column: str, row: int, value: str, why: str, connection: str = "") -> None:
        self.column, self.row, self.value, self.why = column, row, value, why
        super().__init__(f"Column `{column}`, row {row}: {value} {why}", connection)


class SnapshotChanged(SourceError):
    """The table changed its shape between plan and read: `table`, and what is different now."""

    def __init__(self, table: str, why: str, connection: str = "") -> None:
        self.table, self.why = table, why
        super().__init__(f"`{table}` has changed since it was planned: {why}. Run the query again.", connection)


class NotExact(SourceError):
    """Raised by a reader of a plan that is `aggregated`: `why` the source's sums cannot be had, or are not those of
    the rows. What other readers gave is worth nothing; the same request without `aggregate` has the answer."""

    def __init__(self, why: str, connection: str = "") -> None:
        super().__init__(f"The source could not add this up exactly: {why}.", connection)
        self.why = why


class PositionLost(SourceError):
    """The source no longer has `position`; `remedy` says how to start again."""

    def __init__(self, position: str, remedy: str, connection: str = "") -> None:
        self.position, self.remedy = position, remedy
        super().__init__(f"The source no longer has position {position}. {remedy}", connection)


class Cancelled(WorkbenchError):
    def __init__(self, what: str = "The query") -> None:
        super().__init__(f"{what} was stopped.")


class LimitExceeded(WorkbenchError):
    def __init__(self, limit: str, value: str, hint: str = "") -> None:
        self.limit, self.value = limit, value
        super().__init__(f"The limit `{limit}` of {value} was reached.{' ' + hint if hint else ''}")


class ClusterFailed(WorkbenchError):
    """A cluster that cannot be reached, or cannot do what was asked. `address` is its scheduler's."""

    def __init__(self, address: str, why: str) -> None:
        self.address, self.why = address, why
        super().__init__(f"The cluster {address} cannot be used: {why}.")


class SecretMissing(WorkbenchError):
    def __init__(self, reference: str, hint: str) -> None:
        self.reference = reference
        super().__init__(f"There is no secret at {reference}. {hint}")


class NativeMissing(WorkbenchError, ImportError):
    def __init__(self, path: str, why: str) -> None:
        self.library, self.why = path, why
        super().__init__(
            f"The native core {path} {why}. Install a wheel, or run `make setup` in the repository, "
            "and start the kernel again."
        )


def _there_are(names: list[str]) -> str:
    if not names:
        return "There is none yet: make one with connect()."
    shown = ", ".join(f"`{name}`" for name in names[:10])
    return f"There {'is' if len(names) == 1 else 'are'} {shown}{', …' if len(names) > 10 else ''}."


def with_article(word: str) -> str:
    """`an object`, `a list`."""
    return f"{'an' if word[:1].lower() in ('a', 'e', 'i', 'o', 'u') else 'a'} {word}"


def near(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that look like `name`, best first, case ignored."""
    by_fold: dict[str, str] = {}
    for other in known:
        by_fold.setdefault(other.casefold(), other)
    return [by_fold[fold] for fold in difflib.get_close_matches(name.casefold(), list(by_fold), n=3, cutoff=0.6)]
