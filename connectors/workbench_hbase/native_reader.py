"""Rows straight from the region servers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import TYPE_CHECKING

from workbench.contract.errors import ConnectionLost, ProtocolError, SourceError, Unreachable, WorkbenchError
from workbench.contract.scan import Control, Split
from workbench_hbase.decode import Rows, Told
from workbench_hbase.faults import BUSY, MOVED
from workbench_hbase.native import Address, Native, next_rows, scan
from workbench_hbase.reader import Found, HBaseReader, aside
from workbench_hbase.route import Region
from workbench_hbase.rpc import Remote, Reply, Rpc
from workbench_hbase.wire import LARGEST, within

if TYPE_CHECKING:
    from workbench_hbase.connector import HBaseConnector

__all__ = ["NativeReader"]

_CALL = 10.0
"""Seconds that a server is given for a call; it says that it lives after half of them."""
_POLITE = 0.3
_RESTED = 20.0
"""Seconds after which a connection that broke may have been given up by the other side, for nobody asked."""


class Unserved(ConnectionLost):
    """Nobody serves the region just now."""


class _Scanner:
    """A scanner on one region, and the call that is open."""

    def __init__(self, address: Address, rpc: Rpc) -> None:
        self.address, self.rpc = address, rpc
        self.name = 0
        self.sequence = 0
        self.pending: int | None = None
        self.over, self.whole = False, False


class NativeReader(HBaseReader):
    def __init__(self, connector: HBaseConnector, split: Split, control: Control, native: Native) -> None:
        self._native = native
        self._hints: list[Region] = list(split.state["regions"])
        self._region: Region | None = None
        self._asked = time.monotonic()
        super().__init__(connector, split, control)

    def _scan(self, low: bytes, high: bytes | None) -> Generator[Found, None, bytes | None]:
        region = self._region = self._serving(low)
        stop = region.stop or None
        if high is not None and (stop is None or high < stop):
            stop = high
        yield from self._rows(region, low, stop)
        if self._families:
            self._native.has(region, self._families, self._look)
        return region.stop or None

    def _serving(self, key: bytes) -> Region:
        self._region = None
        for region in self._hints:
            if region.host and region.start <= key and (not region.stop or key < region.stop):
                return region
        found = self._native.region_at(self._table, key, self._look)
        if found is None or not found.host:
            raise Unserved(f"No server has the region of `{self._table}` with the row {key[:80]!r}")
        self._hints.append(found)
        return found

    def _forgivable(self, error: SourceError) -> SourceError:
        if isinstance(error, Remote) and error.kind in MOVED | BUSY:
            if error.kind in MOVED:
                self._hints.clear()
            return error
        if isinstance(error, Unserved):
            self._hints.clear()
            return error
        if self._still_away(error) or (isinstance(error, ConnectionLost | Unreachable) and self._has_gone()):
            self._hints.clear()
            return error
        raise error

    def _has_gone(self) -> bool:
        """Whether the server died, or may have given up a connection on which nobody asked for long."""
        if time.monotonic() - self._asked > _RESTED:
            return True
        return self._region is not None and not self._native.answers((self._region.host, self._region.port))

    def _rows(self, region: Region, low: bytes, stop: bytes | None) -> Generator[Found, None, None]:
        address = (region.host, region.port)
        state = self._split.state
        request = scan(
            region.name, low, stop, cells=state["cells"], kept=state["kept"], limit=self._left or 0,
            mark=self._control.mark,
        )  # fmt: skip
        rpc = self._native.take(address)
        scanner = _Scanner(address, rpc)
        carry, carried = bytearray(), 0
        try:
            self._send(scanner, request)
            while not scanner.over:
                reply = self._receive(scanner)
                block: memoryview | bytearray = reply.block
                if carried:
                    if len(carry) + len(block) > LARGEST:
                        raise ProtocolError(f"{rpc.wire.where} sent a row of more than {LARGEST >> 20} MiB")
                    carry += block
                    block = carry
                rows = Rows(self._shape)
                told = rows.cells(bytes(reply.message), block, carried)
                self._note(scanner, told)
                last = bytes(block[told.last : told.last + told.last_length])
                carried, carry = told.carried, _left_over(carry, block, told)
                if not scanner.over and not (self._left is not None and told.rows >= self._left):
                    self._send(scanner, next_rows(scanner.name, scanner.sequence))
                    scanner.sequence += 1
                if told.rows:
                    yield rows, int(told.rows), last
            if not scanner.whole:
                raise Unserved("The server ended the scan before the region's end")
        finally:
            self._leave(scanner)

    def _note(self, scanner: _Scanner, told: Told) -> None:
        if told.scanner:
            scanner.name = int(told.scanner)
        if told.more < 0 and told.more_in_region < 0:
            raise Unserved("The server answers as if the scanner were closed")
        scanner.whole = told.more_in_region == 0
        scanner.over = told.more == 0 or scanner.whole
        if scanner.whole:
            scanner.name = 0  # it is closed

    def _send(self, scanner: _Scanner, request: bytes) -> None:
        self._asked = time.monotonic()
        scanner.pending = scanner.rpc.send("Scan", request, self._look, timeout=_CALL)

    def _receive(self, scanner: _Scanner) -> Reply:
        assert scanner.pending is not None
        since, before = time.monotonic(), scanner.rpc.wire.received
        reply = scanner.rpc.receive(scanner.pending, self._look)
        scanner.pending = None
        self._spent += time.monotonic() - since
        self._received += scanner.rpc.wire.received - before
        return reply

    def _leave(self, scanner: _Scanner) -> None:
        """Closes the scanner, politely where the server answers at once; else the connection is dropped, at which the
        server stops reading, and the scanner is closed by another one."""
        rpc, look = scanner.rpc, within(_POLITE, "Closing the scanner")
        try:
            if rpc.wire.broken:
                raise ConnectionLost("A reply was left in the middle")
            if scanner.pending is not None:
                said = rpc.receive(scanner.pending, look).parsed()
                scanner.name = said.number(2, scanner.name) if said.number(8, 1) else 0
            if scanner.name:
                request = next_rows(scanner.name, None, close=True)
                rpc.call("Scan", request, look, timeout=_CALL)
        except Remote:
            self._native.give(scanner.address, rpc)  # the scanner was gone already
        except Exception:  # noqa: BLE001 - whatever it is, the connection is not used again
            rpc.close()
            if scanner.name:
                aside(lambda: self._close(scanner))
        else:
            self._native.give(scanner.address, rpc)

    def _close(self, scanner: _Scanner) -> None:
        with contextlib.suppress(WorkbenchError):  # the server is gone, or the lease has ended it
            rpc = self._native.connected(scanner.address)
            try:
                request = next_rows(scanner.name, None, close=True)
                rpc.call("Scan", request, within(_CALL, "Closing the scanner"), timeout=_CALL)
            finally:
                rpc.close()


def _left_over(carry: bytearray, block: memoryview | bytearray, told: Told) -> bytearray:
    """The cells of a row that goes on, from the end of the block; `carry` itself where that is the block."""
    if not told.carried:
        return bytearray()
    if block is not carry:
        return bytearray(block[told.used :])
    del carry[: told.used]
    return carry
