"""The native route: any live server knows where `hbase:meta` is, that knows where the regions are, and these are
asked themselves."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence

from workbench.contract.errors import (
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SourceTimeout,
    UnknownTable,
    Unreachable,
    WorkbenchError,
)
from workbench.kit.pool import Pool
from workbench.kit.tls import Encryption
from workbench_hbase.cells import Cell, cells, rows
from workbench_hbase.filters import Every, Filter, FirstKey, KeyOnly, message
from workbench_hbase.protobuf import Message, flag, number, parse, text
from workbench_hbase.route import Identity, Region
from workbench_hbase.rpc import ADMIN, CLIENT, MASTER, REGISTRY, Remote, Rpc
from workbench_hbase.wire import Look, Wire, within

__all__ = ["Native", "next_rows", "scan"]

Address = tuple[str, int]
_META = b"hbase:meta,,1"
_MOST = (1 << 31) - 1
_SMALL, _USUAL = 1 << 18, 2 << 20
_SAMPLED, _ALL_OF_META = 4 << 20, 1 << 30
"""Bytes after which no more rows are asked for."""
_SYSTEM = "hbase:"
_ENABLED = 0
_RUNNING = 1
_CREATED = 120.0
_RETRIES = 3


def scan(
    region: bytes,
    start: bytes,
    stop: bytes | None,
    *,
    cells: Sequence[tuple[bytes, bytes]] = (),
    families: Sequence[bytes] = (),
    kept: Filter | None = None,
    limit: int = 0,
    backwards: bool = False,
    size: int = _USUAL,
    mark: str = "",
    close: bool = False,
) -> bytes:
    """The request that opens a scanner on a region and brings its first rows. `cells`: none but these. `stop` is not
    read; a `start` beyond it reads nothing, so the caller sees to it."""
    inner = b"".join(text(1, text(1, family)) for family in families)
    by_family: dict[bytes, list[bytes]] = {}
    for family, qualifier in cells:
        by_family.setdefault(family, []).append(qualifier)
    for family, qualifiers in by_family.items():
        inner += text(1, text(1, family) + b"".join(text(2, one) for one in qualifiers))
    if mark:
        inner += text(2, text(1, "_operation.attributes.id") + text(2, mark))
    inner += (text(3, start) if start else b"") + (text(4, stop) if stop else b"")
    inner += text(5, message(kept)) if kept is not None else b""
    inner += number(7, 1) + flag(8, not mark) + number(10, size) + (flag(15, True) if backwards else b"")
    inner += number(17, _MOST) + number(23, 1)  # as a stream: else the first reply stops early
    return (
        text(1, number(1, 1) + text(2, region))
        + text(2, inner)
        + number(4, _MOST)
        + flag(5, close)
        + flag(7, True)
        + flag(8, True)
        + (number(11, limit) if limit else b"")
    )


def next_rows(scanner: int, sequence: int | None, close: bool = False) -> bytes:
    """The request for more of an open scanner, or for its end."""
    order = number(6, sequence) if sequence is not None else b""
    return (
        number(3, scanner) + number(4, 0 if close else _MOST) + flag(5, close) + order + flag(7, True) + flag(8, True)
    )


class Native:
    """One connection's way to a cluster. Thread-safe."""

    name = "native protocol"
    bytewise = True

    def __init__(
        self, start: Address, user: str, timeout: float, tls: Encryption, redirect: Mapping[Address, Address]
    ) -> None:
        self.start, self.user, self.timeout, self.tls, self._redirect = start, user, timeout, tls, redirect
        self.patience = max(timeout, 10.0)
        """Seconds that a small question may take."""
        self._lock = threading.Lock()
        self._pools: dict[tuple[Address, str], Pool[Rpc]] = {}
        self._meta: Address | None = None
        self._met: dict[Address, None] = {}
        self._closed = False

    # -- connections -----------------------------------------------------------------------------------------------

    def connected(self, address: Address, service: str = CLIENT) -> Rpc:
        """A connection of its own."""
        host, port = self._redirect.get(address, address)
        wire = Wire(host, port, self.timeout, self.tls)
        try:
            return Rpc(wire, service, self.user, within(self.timeout, "Logging in"))
        except BaseException:
            wire.close()
            raise

    def answers(self, address: Address) -> bool:
        """Whether a server is there and says something: for one that is dying, its machine still takes connections."""
        try:
            rpc = self.connected(address, REGISTRY)
            try:
                rpc.call("GetClusterId", b"", within(self.timeout, "Asking"), timeout=self.timeout, urgent=True)
            finally:
                rpc.close()
        except Remote:
            return True
        except WorkbenchError:
            return False
        return True

    def take(self, address: Address, service: str = CLIENT) -> Rpc:
        return self._pool(address, service).take()

    def give(self, address: Address, rpc: Rpc) -> None:
        """Back, when no call of it is open."""
        with self._lock:
            pool = self._pools.get((address, rpc.service))
        if pool is None:
            rpc.close()
        else:
            rpc.wire.rest()
            pool.give(rpc)

    def _pool(self, address: Address, service: str) -> Pool[Rpc]:
        with self._lock:
            if self._closed:
                raise ConnectionLost("The connection was closed; open it again.")
            pool = self._pools.get((address, service))
            if pool is None:
                pool = self._pools[(address, service)] = Pool(
                    lambda: self.connected(address, service),
                    healthy=lambda rpc: rpc.wire.quiet(),
                    drop=lambda rpc: rpc.close(),
                    idle=8,
                    fresh=0.5,
                )
            return pool

    def close(self) -> None:
        with self._lock:
            self._closed, pools = True, list(self._pools.values())
        for pool in pools:
            pool.close()

    def call(
        self, address: Address, service: str, method: str, parameter: bytes, look: Look | None = None
    ) -> tuple[Message, list[Cell]]:
        """A small question to one server. A connection that had rested and is gone is replaced, once."""
        for attempt in (0, 1):
            rpc = self.take(address, service) if attempt == 0 else self.connected(address, service)
            patience = within(self.patience, f"{method} at {rpc.wire.where}", look)
            fresh = rpc.wire.received == 0
            try:
                reply = rpc.call(method, parameter, patience, timeout=self.patience, urgent=True)
                answer = parse(reply.message), list(cells(reply.block))
            except Remote:
                self.give(address, rpc)
                raise
            except ConnectionLost:
                rpc.close()
                if fresh or attempt:
                    raise
                continue
            except BaseException:
                rpc.close()
                raise
            self.give(address, rpc)
            return answer
        raise AssertionError("the second attempt returns or raises")

    # -- what is where ---------------------------------------------------------------------------------------------

    def version(self) -> str:
        """As the active master says; empty when only region servers can be reached."""
        with contextlib.suppress(WorkbenchError):
            master = _server(self._registry("GetActiveMaster").inner(1))
            status, _ = self.call(master, MASTER, "GetClusterStatus", number(1, 0))
            return status.inner(1).inner(1).text(1)
        return ""

    def cluster(self) -> str:
        """The cluster's own id: also a test that somebody is there and speaks the protocol."""
        said, _ = self.call(self.start, REGISTRY, "GetClusterId", b"")
        return said.text(1)

    def reachable(self) -> None:
        """Raises what it raises when the servers cannot be asked for rows: the one with `hbase:meta` is."""
        self._in_meta(b"", b"", [b"table"], limit=1)

    def tables(self) -> list[str]:
        """All tables but the system's, `namespace:name` or `name`."""
        found = [row[0].row.decode("utf-8", "backslashreplace") for row in self._in_meta(b"", b"", [b"table"])]
        return [name for name in found if not name.startswith(_SYSTEM)]

    def identity(self, table: str, look: Look | None = None) -> Identity:
        """Raises UnknownTable."""
        name = table.encode()
        for row in self._in_meta(name, name + b"\0", [b"table"], look=look):
            for cell in row:
                if cell.qualifier == b"state":
                    return Identity(cell.time, parse(cell.value).number(1) == _ENABLED)
        raise UnknownTable(table)

    def regions(self, table: str) -> list[Region]:
        """In the order of their rows."""
        name = table.encode()
        found = []
        for row in self._in_meta(name + b",,", name + b" ,,", [b"info"]):
            said = {cell.qualifier: cell.value for cell in row}
            region = _region(row[0].row, said)
            if region is not None:
                found.append(region)
        with self._lock:
            self._met |= {(region.host, region.port): None for region in found[:50] if region.host}
        return sorted(found, key=lambda region: region.start)

    def region_at(self, table: str, key: bytes, look: Look | None = None) -> Region | None:
        """The region with that row, None when there is none just now."""
        before = table.encode() + b"," + key + b",:"
        for row in self._in_meta(before, b"", [b"info"], backwards=True, limit=4, look=look):
            said = {cell.qualifier: cell.value for cell in row}
            region = _region(row[0].row, said) if row[0].row.startswith(table.encode() + b",") else None
            if region is not None and region.start <= key and (not region.stop or key < region.stop):
                return region
        return None

    def sizes(self, table: str, regions: Sequence[Region]) -> dict[bytes, int]:
        """About how many MiB each region has, as its server says; nothing for what cannot be asked."""
        namespace, _, qualifier = table.rpartition(":")
        asked = text(1, text(1, namespace or "default") + text(2, qualifier))
        found: dict[bytes, int] = {}
        for address in {(region.host, region.port) for region in regions if region.host}:
            with contextlib.suppress(WorkbenchError):
                said, _ = self.call(address, ADMIN, "GetRegionLoad", asked)
                for load in said.each(1):
                    found[load.inner(1).bytes(2)] = load.number(5) + load.number(6)
        return found

    def small(self, table: str, region: Region, start: bytes, stop: bytes | None) -> bool:
        return False  # it knows sizes

    def create(self, table: str, families: Sequence[bytes], keys: Sequence[bytes]) -> None:
        """Makes a table whose regions begin at these keys, and waits until it is there."""
        namespace, _, qualifier = table.rpartition(":")
        schema = text(1, text(1, namespace or "default") + text(2, qualifier))
        schema += b"".join(text(3, text(1, family)) for family in families)
        request = text(1, schema) + b"".join(text(2, key) for key in keys)
        master = _server(self._registry("GetActiveMaster").inner(1))
        said, _ = self.call(master, MASTER, "CreateTable", request)
        ends = time.monotonic() + _CREATED
        while time.monotonic() < ends:
            answer, _ = self.call(master, MASTER, "getProcedureResult", number(1, said.number(1)))
            if answer.number(1) != _RUNNING:
                if 5 in answer:
                    why = answer.inner(5).inner(2)
                    raise QueryFailed(why.text(2) or "the master does not say why", why.text(1).rpartition(".")[2])
                return
            time.sleep(0.05)
        raise SourceTimeout(f"Making `{table}`", _CREATED)

    def _in_meta(
        self,
        start: bytes,
        stop: bytes,
        families: Sequence[bytes],
        *,
        backwards: bool = False,
        limit: int = 0,
        look: Look | None = None,
    ) -> list[list[Cell]]:
        for attempt in range(_RETRIES):
            address = self._meta_server(look)
            try:
                found = self._scanned(
                    address, _META, start, stop, families=families, backwards=backwards, limit=limit, look=look
                )
                return rows(found)
            except (Remote, ConnectionLost, Unreachable):
                with self._lock:
                    self._meta = None
                if attempt + 1 == _RETRIES:
                    raise
                time.sleep(0.05 * 4**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _meta_server(self, look: Look | None) -> Address:
        with self._lock:
            if self._meta is not None:
                return self._meta
        said = self._registry("GetMetaRegionLocations", look)
        for location in said.each(1):
            if 2 in location:
                found = _server(location.inner(2))
                with self._lock:
                    self._meta = found
                return found
        raise ProtocolError(f"{self.start[0]}:{self.start[1]} does not know where hbase:meta is; is it starting?")

    def _registry(self, method: str, look: Look | None = None) -> Message:
        """Any server answers; those that were met before, where the one that was named does not."""
        try:
            return self.call(self.start, REGISTRY, method, b"", look)[0]
        except (Unreachable, ConnectionLost):
            with self._lock:
                others = list(self._met)
            for other in others:
                with contextlib.suppress(WorkbenchError):
                    return self.call(other, REGISTRY, method, b"", look)[0]
            raise

    # -- a few rows ------------------------------------------------------------------------------------------------

    def few(
        self, table: str, region: Region, start: bytes, stop: bytes | None, limit: int, *, backwards: bool = False,
        kept: Filter | None = None,
    ) -> list[list[Cell]]:  # fmt: skip
        """At most so many rows of a region; fewer where they are large, and then the last one may not be whole."""
        found = self._scanned(
            (region.host, region.port), region.name, start, stop, limit=limit, backwards=backwards, kept=kept
        )
        return rows(found)[:limit]

    def _scanned(
        self, address: Address, region: bytes, start: bytes, stop: bytes | None, *,
        families: Sequence[bytes] = (), limit: int = 0, backwards: bool = False, kept: Filter | None = None,
        look: Look | None = None,
    ) -> list[Cell]:  # fmt: skip
        request = scan(
            region, start, stop, families=families, kept=kept, limit=limit, backwards=backwards, size=_SMALL,
            close=limit == 1,
        )  # fmt: skip
        said, found = self.call(address, CLIENT, "Scan", request, look)
        scanner, sequence, size = said.number(2), 0, _size(found)
        while limit != 1 and said.number(3) and said.number(8) and not (limit and size > _SAMPLED):
            said, more = self.call(address, CLIENT, "Scan", next_rows(scanner, sequence), look)
            found += more
            sequence, size = sequence + 1, size + _size(more)
            if size > _ALL_OF_META:
                raise ProtocolError(f"{address[0]}:{address[1]} has sent {size:,} bytes of hbase:meta, with no end")
        if not limit and said.number(8, 1):
            raise ConnectionLost(f"{address[0]}:{address[1]} stopped in the middle of hbase:meta. Run the query again.")
        if limit and limit != 1 and said.number(8, 1):
            with contextlib.suppress(WorkbenchError):  # it was closed by itself
                self.call(address, CLIENT, "Scan", next_rows(scanner, None, close=True))
        return found

    def has(self, region: Region, families: Sequence[bytes], look: Look) -> None:
        """Raises Remote where the region has not all of these families."""
        first = region.start or b"\0"
        address = (region.host, region.port)
        self._scanned(address, region.name, first, first + b"\0", families=families, limit=1, look=look)

    def ends(self, table: str, region: Region, start: bytes, stop: bytes | None) -> tuple[bytes, bytes] | None:
        """The first and the last row of what lies in the region of a range; None when it is empty."""
        first = self._one(table, region, start, stop, False)
        if first is None:
            return None
        last = self._one(table, region, start, stop, True)
        return first, first if last is None else last

    def _one(self, table: str, region: Region, start: bytes, stop: bytes | None, last: bool) -> bytes | None:
        """The first or last row of what lies in one region."""
        low, high = max(start, region.start), region.stop or None
        high = stop if high is None else high if stop is None else min(high, stop)
        if high is not None and low >= high:
            return None
        kept = Every((FirstKey(), KeyOnly()))
        if not last:
            found = self.few(table, region, low, high, 1, kept=kept)
            return found[0][0].row if found else None
        # Backwards one begins with the last row that is wanted, and what is not wanted comes behind.
        for row in self.few(table, region, high or b"", None, 2, backwards=True, kept=kept):
            if (high is None or row[0].row < high) and row[0].row >= low:
                return row[0].row
        return None


def _size(found: Sequence[Cell]) -> int:
    return sum(len(cell.value) for cell in found)


def _server(said: Message) -> Address:
    return said.text(1), said.number(2)


def _region(name: bytes, said: Mapping[bytes, bytes]) -> Region | None:
    """None for what serves no rows: the parent of a split, a replica."""
    about = said.get(b"regioninfo", b"")
    if not about.startswith(b"PBUF"):
        return None
    info = parse(about[4:])
    if info.number(5) or info.number(6) or info.number(7):
        return None
    host, _, port = said.get(b"server", b"").decode("utf-8", "replace").rpartition(":")
    ready = said.get(b"state", b"OPEN") == b"OPEN" and port.isdigit()
    return Region(name, info.bytes(3), info.bytes(4), host if ready else "", int(port) if ready else 0)
