"""The route through a Thrift gateway (Thrift 1), for where the region servers cannot be reached.

Questions are asked with plain calls. Rows are not read here: the native core reads them from the reply as it comes,
which has no length where the transport is not framed.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Sequence
from typing import Any

from workbench.contract.errors import (
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SourceError,
    UnknownTable,
    WorkbenchError,
)
from workbench.kit import thrift
from workbench.kit.pool import Pool
from workbench.kit.tls import Encryption
from workbench_hbase.cells import Cell
from workbench_hbase.filters import Every, Filter, FirstKey, KeyOnly, language
from workbench_hbase.protobuf import parse
from workbench_hbase.route import Identity, Region
from workbench_hbase.wire import LARGEST, Look, Wire, within

__all__ = ["ATTRIBUTES", "Gateway", "Link", "Refused", "scan"]

_META = "hbase:meta"
_AT_ONCE, _SAMPLED = 50, 4 << 20
_SYSTEM = "hbase:"
_WORTH = 500
"""Rows that are worth being read in parts."""


class Refused(SourceError):
    """The gateway's refusal. `kind` is the exception's class without its package, as far as it says one."""

    def __init__(self, number: int, said: Any) -> None:
        text = said.get(1, b"") if isinstance(said, dict) else b""
        text = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else ""
        first = text.partition("\n")[0].strip()
        java, _, why = first.partition(": ")
        named = "." in java and " " not in java
        self.kind = java.rpartition(".")[2] if named else ("IllegalArgument" if number == 2 else "IOError")
        self.why = ((why or java) if named else first)[:500] or "it does not say why"
        super().__init__(f"{self.kind}: {self.why}")


def scan(
    start: bytes,
    stop: bytes | None,
    *,
    cells: Sequence[tuple[bytes, bytes]] = (),
    kept: Filter | None = None,
    caching: int = 0,
    backwards: bool = False,
) -> dict[int, tuple[int, Any]]:
    """What a scanner is opened with. Never a batch size, which would give rows in pieces."""
    fields: dict[int, tuple[int, Any]] = {1: (thrift.STRING, start)}
    if stop is not None:
        fields[2] = (thrift.STRING, stop)
    if cells:
        names = [family + b":" + qualifier for family, qualifier in cells]
        fields[4] = (thrift.LIST, (thrift.STRING, names))
    if caching:
        fields[5] = (thrift.I32, caching)
    if kept is not None:
        fields[6] = (thrift.STRING, language(kept))
    if backwards:
        fields[9] = (thrift.BOOL, True)
    return fields


class Link:
    """One connection; one call at a time."""

    def __init__(self, wire: Wire, framed: bool) -> None:
        self.wire, self.framed = wire, framed
        self._number = 0

    def send(self, name: str, arguments: thrift.Struct, look: Look) -> None:
        self._number += 1
        message = thrift.call(name, self._number, arguments)
        self.wire.send((struct.pack(">i", len(message)) if self.framed else b"") + message, look)

    def receive(self, name: str, look: Look) -> Any:
        """The reply's result. Raises Refused."""
        self.wire.broken = True
        if self.framed:
            (size,) = struct.unpack(">I", self.wire.read(4, look))
            self.wire.broken = True
            return self.finish(self.wire.read(size, look), name)
        memory, have = bytearray(1 << 14), 0
        while True:
            have += self.wire.some(memoryview(memory)[have:], look)
            try:
                return self.finish(memoryview(memory)[:have], name)
            except thrift.Truncated:
                if have == len(memory):
                    if have >= LARGEST:
                        raise
                    memory = memory + bytearray(have)

    def finish(self, data: memoryview | bytearray, name: str) -> Any:
        """The result of the last call from all bytes of its reply. Raises Refused, and Truncated where more is due."""
        try:
            body = thrift.reply(data, name, self._number).body
        except thrift.Truncated:
            raise
        except ProtocolError as error:
            self.wire.broken = not str(error).startswith("The server could not answer")
            if not self.wire.broken:
                raise QueryFailed(f"{error}: its log knows", "TApplicationException") from None
            error.message = f"{self.wire.where} answers, but not as a gateway does: {error.message}"
            raise
        self.wire.broken = False
        for number, said in body.items():
            if number:
                raise Refused(number, said)
        return body.get(0)

    def call(self, name: str, arguments: thrift.Struct, look: Look) -> Any:
        self.send(name, arguments, look)
        return self.receive(name, look)

    def close(self) -> None:
        self.wire.close()


class Gateway:
    """One connection's way to a gateway. Thread-safe."""

    name = "Thrift gateway"
    bytewise = False

    def __init__(self, address: tuple[str, int], framed: bool, timeout: float, tls: Encryption) -> None:
        self.address, self.framed, self.timeout, self.tls = address, framed, timeout, tls
        self.patience = max(timeout, 10.0)
        self._lock = threading.Lock()
        self._pool = Pool(
            self.connected,
            healthy=lambda link: link.wire.quiet(),
            drop=lambda link: link.close(),
            fresh=0.5,
            oldest=30.0,  # the gateway closes a connection after 60 seconds of rest
        )

    def connected(self) -> Link:
        return Link(Wire(*self.address, self.timeout, self.tls), self.framed)

    def answers(self) -> bool:
        """Whether it is there and says something: for one that is dying, its machine still takes connections."""
        try:
            link = self.connected()
            try:
                link.call("getClusterId", {}, within(self.timeout, "Asking"))
            finally:
                link.close()
        except Refused:
            return True
        except WorkbenchError:
            return False
        return True

    def take(self) -> Link:
        return self._pool.take()

    def give(self, link: Link) -> None:
        """Back, or away where a reply was left in the middle."""
        if link.wire.broken:
            link.close()
        else:
            link.wire.rest()
            self._pool.give(link)

    def close(self) -> None:
        self._pool.close()

    def call(self, name: str, arguments: thrift.Struct, look: Look | None = None) -> Any:
        """A question. A connection that had rested and is gone is replaced, once."""
        link = self.take()
        patience = within(self.patience, f"{name} at {link.wire.where}", look)
        fresh = link.wire.received == 0
        try:
            return link.call(name, arguments, patience)
        except ConnectionLost:
            if fresh:
                raise
            again = self.connected()
            try:
                return again.call(name, arguments, patience)
            finally:
                self.give(again)
        finally:
            self.give(link)

    # -- what is where ---------------------------------------------------------------------------------------------

    def version(self) -> str:
        return ""

    def cluster(self) -> str:
        found = self.call("getClusterId", {})
        return found.decode("utf-8", "backslashreplace") if isinstance(found, bytes) else ""

    def tables(self) -> list[str]:
        names = [name.decode("utf-8", "backslashreplace") for name in self.call("getTableNames", {})]
        return [name for name in names if not name.startswith(_SYSTEM)]

    def identity(self, table: str, look: Look | None = None) -> Identity:
        """Raises UnknownTable."""
        row = {1: (thrift.STRING, _META.encode()), 2: (thrift.STRING, table.encode()), 3: ATTRIBUTES}
        for cell in (cell for found in _rows(self.call("getRow", row, look)) for cell in found):
            if (cell.family, cell.qualifier) == (b"table", b"state"):
                return Identity(cell.time, parse(cell.value).number(1) == 0)
        raise UnknownTable(table)

    def regions(self, table: str) -> list[Region]:
        found = self.call("getTableRegions", {1: (thrift.STRING, table.encode())})
        regions = [
            Region(one.get(4, b""), one.get(1, b""), one.get(2, b""), *self.address)
            for one in found
            if isinstance(one, dict)
        ]
        return sorted(regions, key=lambda region: region.start)

    def families(self, table: str, look: Look) -> set[bytes]:
        found = self.call("getColumnDescriptors", {1: (thrift.STRING, table.encode())}, look)
        return {name.removesuffix(b":") for name, _ in found or []}

    def sizes(self, table: str, regions: Sequence[Region]) -> dict[bytes, int]:
        return {}  # it does not know

    def small(self, table: str, region: Region, start: bytes, stop: bytes | None) -> bool:
        kept = Every((FirstKey(), KeyOnly()))
        return len(self.few(table, region, start, stop, _WORTH, kept=kept)) < _WORTH

    # -- a few rows ------------------------------------------------------------------------------------------------

    def few(
        self, table: str, region: Region, start: bytes, stop: bytes | None, limit: int, *, backwards: bool = False,
        kept: Filter | None = None,
    ) -> list[list[Cell]]:  # fmt: skip
        many = limit if kept is not None else min(limit, _AT_ONCE)  # with a filter rows are their keys
        asked = scan(start, stop, kept=kept, caching=many, backwards=backwards)
        found: list[list[Cell]] = []
        scanner, size = self.open(self.call, table, asked), 0
        try:
            while len(found) < limit and size < _SAMPLED:
                words = {1: (thrift.I32, scanner), 2: (thrift.I32, many)}
                more = _rows(self.call("scannerGetList", words))
                if not more:
                    break
                found += more
                size += sum(len(cell.value) for row in more for cell in row)
            return found[:limit]
        finally:
            with contextlib.suppress(SourceError):
                self.call("scannerClose", {1: (thrift.I32, scanner)})

    @staticmethod
    def open(call: Any, table: str, asked: dict[int, tuple[int, Any]]) -> int:
        """A scanner's number."""
        found = call(
            "scannerOpenWithScan",
            {1: (thrift.STRING, table.encode()), 2: (thrift.STRUCT, asked), 3: ATTRIBUTES},
        )
        if not isinstance(found, int):
            raise ProtocolError("The gateway opened a scanner and did not say its number")
        return found

    def ends(self, table: str, region: Region, start: bytes, stop: bytes | None) -> tuple[bytes, bytes] | None:
        """The first and the last row of what lies in the region of a range; None when it is empty."""
        low, high = max(start, region.start), region.stop or None
        high = stop if high is None else high if stop is None else min(high, stop)
        kept = Every((FirstKey(), KeyOnly()))
        first = self.few(table, region, low, high, 1, kept=kept)
        if not first:
            return None
        back = self.few(table, region, high or b"", None, 2, backwards=True, kept=kept)
        last = next((row[0].row for row in back if high is None or row[0].row < high), first[0][0].row)
        return first[0][0].row, max(last, first[0][0].row)


ATTRIBUTES: tuple[int, Any] = (thrift.MAP, (thrift.STRING, thrift.STRING, []))


def _rows(found: Any) -> list[list[Cell]]:
    rows = []
    for one in found or []:
        row = one.get(1, b"")
        cells = []
        for name, cell in one.get(2, []):
            family, _, qualifier = name.partition(b":")
            cells.append(Cell(row, family, qualifier, cell.get(2, 0), cell.get(1, b"")))
        if cells:
            rows.append(cells)
    return rows
