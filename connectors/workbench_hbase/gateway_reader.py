"""Rows through the Thrift gateway: it follows the regions itself, so a range is one scanner."""

from __future__ import annotations

import struct
import time
from collections.abc import Generator
from typing import TYPE_CHECKING

from workbench.contract.errors import (
    ConnectionLost,
    ProtocolError,
    SnapshotChanged,
    SourceError,
    Unreachable,
    WorkbenchError,
)
from workbench.contract.scan import Control, Split
from workbench.kit import thrift
from workbench_hbase.decode import Rows
from workbench_hbase.faults import BUSY, MOVED
from workbench_hbase.gateway import Gateway, Link, Refused, scan
from workbench_hbase.mapping import shown
from workbench_hbase.reader import Found, HBaseReader, aside
from workbench_hbase.wire import LARGEST, within

if TYPE_CHECKING:
    from workbench_hbase.connector import HBaseConnector

__all__ = ["GatewayReader"]

_GET = "scannerGetList"
_HEAD = 4 + 4 + len(_GET) + 4 + 3 + 5
"""Bytes before the first row: the message's head, that of its result, and that of the list."""
_FIRST = 1 << 18
_POLITE = 0.3
_ATTEMPTS, _PAUSE = 20, 0.5
_RESTED = 20.0
_STARTING = frozenset({"RetriesExhaustedException", "IOError"})
"""What a gateway says whose cluster is not there yet, when it was away just before."""
_FEWEST, _GROWTH, _MOST = 32, 8, 5000
"""Rows that are asked for at first, how many times more each time, and at most."""
_REPLY = 2 << 20
"""Bytes that a reply should have."""


class GatewayReader(HBaseReader):
    def __init__(self, connector: HBaseConnector, split: Split, control: Control, gateway: Gateway) -> None:
        self._gateway = gateway
        self._memory = bytearray(_FIRST)
        self._asked = time.monotonic()
        self._size = 0
        super().__init__(connector, split, control)

    def _scan(self, low: bytes, high: bytes | None) -> Generator[Found, None, bytes | None]:
        state, link = self._split.state, self._gateway.take()
        scanner = None
        many = _FEWEST if self._left is None else min(_FEWEST, self._left)
        asked = scan(low, high, cells=state["cells"], kept=state["kept"], caching=state["rows"])
        try:
            scanner = self._gateway.open(lambda name, words: link.call(name, words, self._look), self._table, asked)
            while True:
                # Not asked ahead: a scanner cannot be closed while it is read.
                self._ask(link, scanner, many)
                rows, count, last = self._rows(link, many)
                if count == 0:
                    self._whole()
                    return None
                yield rows, count, last
                many = self._next(many, count)
        finally:
            self._leave(link, scanner)

    def _whole(self) -> None:
        """Raises SnapshotChanged where a family was dropped: the gateway does not tell that regions are others."""
        gone = set(self._families) - self._gateway.families(self._table, self._look) if self._families else ()
        for family in gone:
            told = f"its family `{shown(family)}` was dropped"
            raise SnapshotChanged(str(self._split.table), told, self._connector.config.name)

    def _next(self, many: int, count: int) -> int:
        """How many rows to ask for, by how large the last ones were: a reply is all in memory, here and there."""
        fit = count * _REPLY // max(self._size, 1)
        wanted = max(1, min(fit, many * _GROWTH, _MOST))
        return wanted if self._left is None else min(wanted, self._left)

    def _forgivable(self, error: SourceError) -> SourceError:
        """The gateway's scanners end when nobody asks them for long; what happens to regions it sees to itself, as
        long as its own patience lasts."""
        if isinstance(error, Refused) and (error.kind in MOVED | BUSY or error.kind == "IllegalArgument"):
            return error
        if isinstance(error, Refused) and self._again.trying and error.kind in _STARTING:
            return error
        if self._still_away(error) or (isinstance(error, ConnectionLost | Unreachable) and self._has_gone()):
            return error
        raise error

    def _has_gone(self) -> bool:
        """Whether the gateway died, or may have given up a connection on which nobody asked for long."""
        return time.monotonic() - self._asked > _RESTED or not self._gateway.answers()

    def _ask(self, link: Link, scanner: int, many: int) -> None:
        self._asked = time.monotonic()
        link.send(_GET, {1: (thrift.I32, scanner), 2: (thrift.I32, many)}, self._look)

    def _rows(self, link: Link, many: int) -> Found:
        """One reply's rows, how many, and the last one's key."""
        since, before = time.monotonic(), link.wire.received
        try:
            return self._framed(link, many) if link.framed else self._streamed(link, many)
        finally:
            self._spent += time.monotonic() - since
            self._size = link.wire.received - before
            self._received += self._size

    def _framed(self, link: Link, many: int) -> Found:
        link.wire.broken = True
        (size,) = struct.unpack(">I", link.wire.read(4, self._look))
        link.wire.broken = True
        frame = link.wire.read(size, self._look)
        link.wire.broken = False
        count = self._count(link, frame, many)
        rows = Rows(self._shape)
        if count == 0:
            return rows, 0, b""
        body = frame[_HEAD:]
        told = rows.thrift(body, count)
        if told.rows != count or bytes(body[told.used :]) != b"\0":
            raise ProtocolError("The gateway's reply has not the rows that it says it has")
        return rows, count, bytes(body[told.last : told.last + told.last_length])

    def _streamed(self, link: Link, many: int) -> Found:
        """The reply has no length: rows are taken as they come."""
        have, link.wire.broken = 0, True
        while have < _HEAD:
            have += self._more(link, have)
            if have < _HEAD and self._is_other(have):
                break
        count = self._count(link, memoryview(self._memory)[:have], many)
        rows, at, done, last = Rows(self._shape), _HEAD, 0, b""
        while True:
            if done < count:
                front = memoryview(self._memory)[at:have]
                told = rows.thrift(front, count - done)
                if told.last_length or told.used:
                    last = bytes(front[told.last : told.last + told.last_length])
                front.release()
                done, at = int(told.rows), at + int(told.used)
            if done == count and at < have:
                break
            self._memory[: have - at] = self._memory[at:have]
            have, at = have - at, 0
            have += self._more(link, have)
        if have - at != 1 or self._memory[at] != 0:
            raise ProtocolError("The gateway's reply has not the rows that it says it has")
        link.wire.broken = False
        return rows, count, last

    def _more(self, link: Link, have: int) -> int:
        if have == len(self._memory):
            if have >= LARGEST:
                raise ProtocolError("The gateway's reply has a row of more than 512 MiB")
            self._memory = self._memory + bytearray(have)
        return link.wire.some(memoryview(self._memory)[have:], self._look)

    def _is_other(self, have: int) -> bool:
        """Whether a reply that is shorter than any list of rows is one."""
        return have >= 4 + 4 + len(_GET) + 4 + 1 and self._memory[4 + 4 + len(_GET) + 4] != thrift.LIST

    def _count(self, link: Link, front: memoryview, many: int) -> int:
        """How many rows the reply says it has. Raises Refused."""
        at = 8 + len(_GET) + 4
        fits = (
            len(front) >= _HEAD
            and bytes(front[:4]) == b"\x80\1\0\2"
            and bytes(front[8 : 8 + len(_GET)]) == _GET.encode()
        )
        if fits and bytes(front[at : at + 4]) == bytes((thrift.LIST, 0, 0, thrift.STRUCT)):
            (count,) = struct.unpack_from(">i", front, at + 4)
            if not 0 <= count <= many:
                raise ProtocolError(f"The gateway gives {count:,} rows where {many:,} were asked for")
            return int(count)
        return self._refusal(link, front)

    def _refusal(self, link: Link, front: memoryview) -> int:
        """What came is no list of rows: it says why."""
        data = bytearray(front)
        while True:
            try:
                link.finish(data, _GET)
                return 0  # a reply without a result has no rows
            except thrift.Truncated:
                if link.framed or len(data) > 1 << 22:
                    raise
                more = bytearray(1 << 16)
                data += more[: link.wire.some(memoryview(more), self._look)]

    def _leave(self, link: Link, scanner: int | None) -> None:
        """Closes the scanner, whose number is known to every connection of the gateway. A reply that nobody waits for
        is not read: its connection is dropped."""
        if scanner is None or (not link.wire.broken and self._closed_politely(link, scanner)):
            self._gateway.give(link)
            return
        link.close()
        aside(lambda: self._close(scanner))

    def _closed_politely(self, link: Link, scanner: int) -> bool:
        try:
            link.call("scannerClose", {1: (thrift.I32, scanner)}, within(_POLITE, "Closing the scanner"))
        except Refused:
            return True  # it was gone
        except WorkbenchError:
            return False  # it is still being read, or the gateway does not answer
        return True

    def _close(self, scanner: int) -> None:
        """As soon as the gateway is done with what it was asked for last."""
        for _ in range(_ATTEMPTS):
            time.sleep(_PAUSE)
            if self._closed_aside(scanner):
                return

    def _closed_aside(self, scanner: int) -> bool:
        try:
            link = self._gateway.connected()
        except WorkbenchError:
            return True  # the gateway is gone
        try:
            return self._closed_politely(link, scanner)
        finally:
            link.close()
