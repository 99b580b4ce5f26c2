"""Questions to HDFS's name nodes over WebHDFS, and what they refuse as errors of the contract's tree."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.contract.connector import ConnectionConfig
from workbench.contract.errors import (
    AuthenticationFailed,
    ConnectionLost,
    InvalidParameter,
    PathUnreachable,
    ProtocolError,
    SourceError,
    Unreachable,
)
from workbench_hive.faults import spoken
from workbench_hive.link import encryption
from workbench_hive.web import Address, Trouble, asked, at_most

__all__ = ["ROOT", "WAY_OUT", "Elsewhere", "NameNodes"]

ROOT = "/webhdfs/v1"
WAY_OUT = "or connect with files=false"
_TOLD = 1 << 16
"""Bytes of a refusal at most."""
_STANDBY = "StandbyException"
_OTHER = (_STANDBY, "RetriableException")
"""What a name node says that is not, or not yet, the one to ask."""
_STRANGER = ("SecurityException", "InvalidToken", "AuthenticationException")
_LONGEST = 300


class Elsewhere(Exception):
    """Why this name node is not the one to ask."""


class NameNodes:
    """One or two of them, the one first that answered last. Each question has a connection of its own; used by many
    threads. Raises InvalidParameter."""

    def __init__(self, config: ConnectionConfig) -> None:
        given = config.parameters
        self.connection = config.name
        self.every = tuple(_node(text) for text in str(given["webhdfs"]).split(","))
        self.active = self.every[0]
        if len({node.scheme for node in self.every}) > 1:
            raise InvalidParameter("webhdfs", "names both http:// and https://: the name nodes want the same.")
        self._user, token = str(given.get("user") or ""), config.secrets.get("webhdfs_token")
        self._token, self._variable = ("", "") if token is None else (token.reveal(), token.variable)
        if self._token and self.active.scheme != "https":
            raise InvalidParameter("webhdfs", "is to be https:// where a token is given: it is sent over TLS only.")
        self._seconds = float(given.get("connect_timeout", 20))
        self._tls = encryption(given).verifying()

    def get(self, address: Address, target: str) -> contextlib.AbstractContextManager[http.client.HTTPResponse]:
        """See `web.asked`."""
        return asked(address, target, self._seconds, self._tls)

    @contextlib.contextmanager
    def asked(self, path: str, op: str, more: Mapping[str, object]) -> Iterator[http.client.HTTPResponse]:
        """What the active name node says: done, or a redirect. Raises FileNotFoundError, SourceError."""
        said: dict[str, object] = {"op": op, **more}
        if self._token:
            said["delegation"] = self._token
        elif self._user:
            said["user.name"] = self._user
        target = f"{ROOT}{urllib.parse.quote(path)}?{urllib.parse.urlencode(said)}"
        reasons = []
        with contextlib.ExitStack() as stack:
            for node in sorted(self.every, key=lambda one: one != self.active):
                try:
                    answer = stack.enter_context(self.get(node, target))
                    if answer.status not in (200, 307):
                        self.refused(answer, node, path)
                except FileNotFoundError:
                    self.active = node
                    raise
                except (*Trouble, Elsewhere) as error:
                    reasons.append(self.shown(error) if len(self.every) == 1 else f"{node}: {self.shown(error)}")
                else:
                    self.active = node
                    break
            else:
                nodes = " and ".join(map(str, self.every))
                raise Unreachable(f"the name node {nodes}", "; ".join(reasons), self.connection)
            yield answer

    def told(self, path: str, op: str, most: int) -> Any:
        """What it says, of at most so many bytes. Raises FileNotFoundError, SourceError."""
        with self.asked(path, op, {}) as answer:
            try:
                return json.loads(at_most(answer, most))
            except (ValueError, RecursionError) as error:
                raise self.broken(self.shown(error)) from None
            except Trouble as error:
                why = f"The connection to {self.active} ended: {self.shown(error)}. Run the query again."
                raise ConnectionLost(why, self.connection) from None

    def refused(self, answer: http.client.HTTPResponse, where: Address, path: str, others: bool = False) -> None:
        """Raises what an answer says that is no success: FileNotFoundError, Elsewhere, SourceError, `Trouble`. With
        `others`, whatever is wrong there need not be elsewhere."""
        kind, message = "", f"HTTP {answer.status}"
        with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
            told = json.loads(at_most(answer, _TOLD))["RemoteException"]
            kind, message = str(told["exception"]), self.line(str(told["message"])).rstrip(".")
        if kind in _OTHER:
            raise Elsewhere("on standby" if kind == _STANDBY else f"not ready ({message})")
        if kind == "FileNotFoundException":
            raise FileNotFoundError(message)
        if kind == "AccessControlException":
            why = f"{message}. Ask for the right to read it there, {WAY_OUT}"
            raise PathUnreachable(path, why, self.connection, "read")
        if answer.status == 401 or kind in _STRANGER:
            kerberos = "Where it wants Kerberos: that is not there. Give a delegation token as `webhdfs_token`"
            why = f"{message}. {kerberos}, {WAY_OUT}"
            raise AuthenticationFailed(self._user, str(where), why, self.connection, self._variable)
        if others:
            raise Elsewhere(f"it says: {message}")
        if kind:
            why = f"{where} says: {message} ({self.line(kind)}). Try again, {WAY_OUT}"
            raise PathUnreachable(path, why, self.connection, "read")
        raise self.broken(message, where)

    def broken(self, what: str, where: Address | None = None) -> SourceError:
        said = f"{where or self.active} answers, but not as WebHDFS does: {what}. Is it the port of its web pages?"
        return ProtocolError(said, self.connection)

    def shown(self, error: Exception) -> str:
        return self.line(spoken(error))

    def line(self, text: str) -> str:
        """In a line, and without the token."""
        return " ".join((text.replace(self._token, "…") if self._token else text).split())[:_LONGEST]


def _node(text: str) -> Address:
    found = Address.read(text.strip())
    if found is None:
        raise InvalidParameter("webhdfs", "is http://host:port or https://host:port of a name node, or two of them.")
    return found
