"""Every refusal of a server as an error of the contract's tree: one table, here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.contract.errors import (
    AuthenticationFailed,
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SourceError,
    SourceTimeout,
    StatementRefused,
    UnknownTable,
    Unreachable,
    WorkbenchError,
)
from workbench_hbase.gateway import Refused
from workbench_hbase.rpc import Remote

__all__ = ["BUSY", "INSANE", "MOVED", "Faults"]

MOVED = frozenset(
    {"NotServingRegionException", "RegionMovedException", "RegionOpeningException", "UnknownScannerException",
     "LeaseException", "OutOfOrderScannerNextException", "ScannerResetException", "RegionServerStoppedException",
     "RegionServerAbortedException", "ServerNotRunningYetException", "FailedSanityCheckException"}
)  # fmt: skip
"""The region is elsewhere by now, or the scanner is gone: the scan goes on with the next row, wherever that is."""
INSANE = "FailedSanityCheckException"
"""Also what a server says to a row that is another region's by now; and to what it will never take."""
BUSY = frozenset(
    {"RegionTooBusyException", "CallQueueTooBigException", "CallTimeoutException", "CallDroppedException",
     "RpcThrottlingException", "PleaseHoldException", "ServerTooBusyException"}
)  # fmt: skip
"""Later is better."""
_ANOTHER = " Do host, port, `route`, `framed` and `tls` fit the server?"
_LOG_IN = ("AccessControlException", "FatalConnectionException", "BadAuthException", "SaslException")


class Faults:
    """Makes errors for one connection: `where` is host and port, `user` the name that is said."""

    def __init__(self, connection: str, where: str, user: str) -> None:
        self.connection, self.where, self.user = connection, where, user

    @contextmanager
    def named(self, table: str = "", text: str = "") -> Iterator[None]:
        """Errors inside become ours, with the connection's name; `table` and `text` are what was asked."""
        try:
            yield
        except Remote as error:
            raise self.of(error.kind, error.why, error.where, table, text) from None
        except Refused as error:
            raise self.of(error.kind, error.why, "", table, text) from None
        except SourceError as error:
            error.connection = error.connection or self.connection
            another = isinstance(error, ProtocolError) or (isinstance(error, SourceTimeout) and not table)
            if another and not error.message.endswith(_ANOTHER):
                error.message = f"{error.message.rstrip('.')}.{_ANOTHER}"
            raise
        except OSError as error:
            raise Unreachable(self.where, str(error), self.connection) from None

    def of(self, kind: str, why: str, where: str = "", table: str = "", text: str = "") -> WorkbenchError:
        """For an exception's class (without its package) and its sentence."""
        who, where = self.connection, where or self.where
        if kind == "TableNotFoundException":
            return UnknownTable(table or why)
        if kind in ("TableNotEnabledException", "DisabledTableException"):
            return QueryFailed(f"`{table}` is disabled: `enable '{table}'` in HBase's shell", kind, text, who)
        if kind in _LOG_IN or (kind == "AccessDeniedException" and "uthentication" in why):
            told = f"{why}. Kerberos and tokens (SASL) are not there by the native protocol; a gateway may log in"
            return AuthenticationFailed(self.user, where, told, who)
        if kind == "AccessDeniedException":
            return StatementRefused(
                "That", f"{why}; the user `{self.user}` lacks the right: grant him `R` on the table"
            )
        if kind == "NoSuchColumnFamilyException":
            short = why.partition(", {NAME")[0].rstrip(".")  # then the whole table's settings would follow
            return QueryFailed(f"{short}. The table's parameters name a family that is not there", kind, text, who)
        if kind == "CallTimeoutException":
            return SourceTimeout("The server's part of the query", None, who)
        if kind in MOVED | BUSY and kind != INSANE:
            what = "is served by nobody just now" if kind in MOVED else "has servers that are too busy just now"
            told = f"`{table}` {what} ({why} [{kind}]). Is the cluster whole? Run the query again, or connect with a"
            return ConnectionLost(f"{told} larger `patience`.", who)
        if kind == "WrongVersionException":
            return ProtocolError(f"{where} does not speak this version of HBase's protocol: {why}", who)
        return QueryFailed(why, kind, text, who)
