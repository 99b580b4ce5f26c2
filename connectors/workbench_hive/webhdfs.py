"""HDFS over its REST interface: folders, and parts of files.

Of a table's location only the path is taken: hosts and ports are the connection's own. A name node sends us to data
nodes, which have to be on the connection's list. As the WebHDFS REST API of Hadoop 3 has it.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.contract.connector import ConnectionConfig
from workbench.contract.errors import ConnectionLost, PathUnreachable, UrlRefused
from workbench_hive.namenodes import ROOT, WAY_OUT, Elsewhere, NameNodes
from workbench_hive.web import Address, Trouble, spelled

__all__ = ["About", "WebHdfs"]

_LOCATION = re.compile(r"hdfs://([^/]*)(/.*)", re.DOTALL)
_PLAIN = re.compile(r"[!-~]*")
_LISTED = 64 << 20
"""Bytes of a folder's description at most: some 200,000 files."""
_TOLD = 1 << 16
_CHUNK = 1 << 18
_TRIES = 3
"""Times that a part is asked for, of other data nodes where there are others."""


@dataclass(frozen=True)
class About:
    """A file or folder. `identity` is another one for each file that is ever made, also of the same path; 0 where it is
    not at WebHDFS."""

    path: str
    name: str
    folder: bool
    size: int
    changed: int
    identity: int = 0


class WebHdfs:
    """One file system. Used by many threads. Raises InvalidParameter."""

    def __init__(self, config: ConnectionConfig) -> None:
        given = config.parameters
        self._names = NameNodes(config)
        self._nameservice = str(given.get("nameservice") or "")
        self._allowed = tuple(spelled(one) for one in str(given.get("datanodes") or "").split(",") if one)
        self.shown = f"hdfs://{self._nameservice or self._names.every[0].host}"

    def path(self, location: str) -> str:
        """The path in a location of this file system. Raises ValueError, which says why, for one of another."""
        found = _LOCATION.fullmatch(location)
        where = found[1] if found is not None else ""
        if found is None or not where or "@" in where:
            raise ValueError("its location names no file system")
        if self._nameservice and where != self._nameservice:
            raise ValueError(f"its files lie at hdfs://{where}, and this connection's are at {self.shown}")
        host = spelled(re.sub(r":[0-9]+$", "", where))
        if not self._nameservice and all(host != node.host for node in self._names.every):
            way = "what the name nodes are called together is the parameter `nameservice`"
            raise ValueError(f"its files lie at hdfs://{where}, which is none of the name nodes of `webhdfs`; {way}")
        if any(part in (".", "..") for part in found[2].split("/")):
            raise ValueError("its location has dots for folders")
        return found[2].rstrip("/") or "/"

    def node(self) -> str:
        """The name node that answers. Raises SourceError."""
        self.about("/")
        return str(self._names.active)

    def listed(self, path: str) -> list[About]:
        """What is in the folder. Raises FileNotFoundError, SourceError."""
        told = self._names.told(path, "LISTSTATUS", _LISTED)
        try:
            found = [_about(path, one) for one in told["FileStatuses"]["FileStatus"]]
        except (KeyError, TypeError, ValueError):
            raise self._names.broken("it describes no folder") from None
        return [one for one in found if one.name]  # a file lists itself, without a name

    def about(self, path: str) -> About:
        """Raises FileNotFoundError, SourceError."""
        told = self._names.told(path, "GETFILESTATUS", _TOLD)
        try:
            return _about(path, told["FileStatus"])
        except (KeyError, TypeError, ValueError):
            raise self._names.broken("it describes no file") from None

    def read(self, path: str, offset: int, length: int, check: Callable[[], None] = lambda: None) -> bytes:
        """So many bytes, all of them; another data node is asked where one fails. `check` is called between blocks and
        raises what ends it. Raises FileNotFoundError, SourceError, and UrlRefused for a data node not on the list."""
        found, failed = bytearray(), _Failed()
        while len(found) < length:
            part: dict[str, object] = {"offset": offset + len(found), "length": length - len(found)}
            if failed.hosts:
                part["excludedatanodes"] = ",".join(failed.hosts)
            try:
                with self._opened(path, part, failed) as (where, answer):
                    self._fill(found, length, where, answer, failed, check)
            except PathUnreachable as error:
                if not failed.told:
                    raise
                if not failed.hosts:
                    raise self._lost(path, failed, error.why.partition(". ")[0]) from None
                failed.hosts.clear()  # no other has it: the same again, which may be back
            if len(failed.told) >= _TRIES:
                raise self._lost(path, failed, "no more were asked")
        return bytes(found)

    # -- inside ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(
        self, path: str, part: Mapping[str, object], failed: _Failed
    ) -> Iterator[tuple[Address, http.client.HTTPResponse | None]]:
        """Who answers, and the answer with the bytes; none where a data node gives none, as `failed` then says."""
        with self._names.asked(path, "OPEN", part) as first:
            if first.status == 200:  # a gateway (HttpFS), which sends them itself
                yield self._names.active, first
                return
            address, said = self._sent_to(first.getheader("Location") or "")
        target = f"{ROOT}{urllib.parse.quote(path)}?{said}"
        with contextlib.ExitStack() as stack:
            try:
                answer = stack.enter_context(self._names.get(address, target))
                if answer.status != 200:
                    self._names.refused(answer, address, path, others=True)
            except FileNotFoundError:
                raise
            except (*Trouble, Elsewhere) as error:
                failed.note(address, self._names.shown(error))
                yield address, None
            else:
                yield address, answer

    def _fill(
        self,
        found: bytearray,
        length: int,
        where: Address,
        answer: http.client.HTTPResponse | None,
        failed: _Failed,
        check: Callable[[], None],
    ) -> None:
        """Up to `length`, or as far as the answer goes, as `failed` then says."""
        while answer is not None and len(found) < length:
            check()
            try:
                piece = answer.read1(min(_CHUNK, length - len(found)))
            except Trouble as error:
                failed.note(where, self._names.shown(error))
                break
            if not piece:
                failed.note(where, "it ended in the middle")
                break
            found += piece

    def _lost(self, path: str, failed: _Failed, why: str) -> ConnectionLost:
        told = f"`{path}` could not be read to its end. Data node {'; '.join(failed.told)}. Then {why.rstrip('.')}"
        way = f"Run the query again when its data nodes are up, {WAY_OUT}."
        return ConnectionLost(f"{told}. {way}", self._names.connection)

    def _sent_to(self, location: str) -> tuple[Address, str]:
        """Where a name node sends us, if that is allowed, and what is to be said there beside the path."""
        before, _, said = location.partition("?")
        base, root, _ = before.partition(f"{ROOT}/")
        address = Address.read(base)
        if address is None or not root or _PLAIN.fullmatch(said) is None:
            raise self._names.broken("it sends us to no data node")
        if address.scheme != self._names.active.scheme:
            raise self._names.broken(f"it sends us to {address.scheme}://{address}")
        if not self._may(address.host):
            raise UrlRefused(
                f"the data node {address}",
                f"the name node {self._names.active} sends us there, and it is not on the connection's list. "
                "Name it, or its domain (`.lake.example`), in `datanodes`.",
            )
        return address, said

    def _may(self, host: str) -> bool:
        if any(host.endswith(one) if one.startswith(".") else host == one for one in self._allowed):
            return True
        return any(host == node.host for node in self._names.every)


class _Failed:
    """The data nodes that failed in one read."""

    def __init__(self) -> None:
        self.hosts: dict[str, None] = {}
        self.told: list[str] = []

    def note(self, where: Address, why: str) -> None:
        self.hosts[where.host] = None
        self.told.append(f"{where}: {why}")


def _about(path: str, said: Any) -> About:
    """Raises KeyError, TypeError, ValueError."""
    name = str(said["pathSuffix"])
    if "/" in name or name in (".", ".."):
        raise ValueError(name)
    whole = f"{path.rstrip('/')}/{name}" if name else path
    folder = said["type"] != "FILE"
    return About(whole, name, folder, int(said["length"]), int(said["modificationTime"]), int(said["fileId"]) + 1)
