"""Changes of rows, and how each route sends them. All of one call have one time, so no row is twice among them."""

from __future__ import annotations

import bisect
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.contract.errors import ConnectionLost, ProtocolError, SourceError, SourceTimeout, Unreachable
from workbench.kit import thrift
from workbench_hbase.faults import BUSY, INSANE, MOVED
from workbench_hbase.gateway import ATTRIBUTES, Gateway, Refused
from workbench_hbase.native import Address, Native
from workbench_hbase.protobuf import Message, number, parse, text
from workbench_hbase.reader import Again
from workbench_hbase.route import Region, Route
from workbench_hbase.rpc import CLIENT, Remote

__all__ = ["Change", "create", "send"]

_PUT, _DELETE, _ALL_VERSIONS = 2, 3, 1
_NO_ANSWER = (Unreachable, ConnectionLost, SourceTimeout)
"""After any of these the same is sent again, which does no harm: it has the same time."""
Name = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """Of one row: cells that it has from now on, cells that it has no more, or (`gone`) nothing of it. `times`: cells
    whose change is of another time than the others'."""

    row: bytes
    puts: tuple[tuple[Name, bytes], ...] = ()
    removed: tuple[Name, ...] = ()
    gone: bool = False
    times: Mapping[Name, int] = field(default_factory=dict)


def create(route: Route, table: str, families: Sequence[bytes], keys: Sequence[bytes]) -> None:
    """Makes a table, in as many regions as the keys say. Raises Remote and Refused."""
    if isinstance(route, Native):
        route.create(table, families, keys)
        return
    assert isinstance(route, Gateway)
    columns = [{1: (thrift.STRING, family + b":")} for family in families]
    route.call("createTable", {1: (thrift.STRING, table.encode()), 2: (thrift.LIST, (thrift.STRUCT, columns))})


def send(route: Route, table: str, changes: Sequence[Change], time: int, patience: float) -> None:
    """All of them, as of `time` (milliseconds). What a region is too busy for, or was not there for, is sent again as
    long as that is worth it; the last error is raised then."""
    again = Again(patience)
    waiting: Sequence[Change] = changes
    while waiting:
        try:
            if isinstance(route, Native):
                waiting, error = _native(route, table, waiting, time)
            else:
                assert isinstance(route, Gateway)
                _by_gateway(route, table, waiting, time)
                return
        except (Remote, Refused) as refusal:
            if not _later(refusal):
                raise
            error = refusal
        except _NO_ANSWER as trouble:
            error = trouble
        if waiting:
            assert error is not None
            clock.sleep(again.pause(error))


def _native(
    native: Native, table: str, changes: Sequence[Change], time: int
) -> tuple[list[Change], SourceError | None]:  # fmt: skip
    """What was not written for now, and why."""
    regions = native.regions(table)
    starts = [region.start for region in regions]
    by_server: dict[Address, dict[int, list[Change]]] = {}
    left: list[Change] = []
    error: SourceError | None = None
    for change in changes:
        index = bisect.bisect_right(starts, change.row) - 1
        region = regions[index] if index >= 0 else None
        if region is None or not region.host or (region.stop and change.row >= region.stop):
            left.append(change)
            error = ConnectionLost(f"No server has the region of `{table}` with the row {change.row[:80]!r}")
            continue
        by_server.setdefault((region.host, region.port), {}).setdefault(index, []).append(change)
    for address, parts in by_server.items():
        ordered = list(parts.items())
        request = b"".join(text(1, _action(regions[index], some, time)) for index, some in ordered)
        try:
            said, _ = native.call(address, CLIENT, "Multi", request)
        except _NO_ANSWER as trouble:
            error = trouble
            left += [change for _, some in ordered for change in some]
            continue
        results = list(said.each(1))
        if len(results) != len(ordered):
            told = f"answered for {len(results)} regions where {len(ordered)} were written"
            raise ProtocolError(f"{address[0]}:{address[1]} {told}")
        for (_, some), result in zip(ordered, results, strict=True):
            refused, why = _refused(f"{address[0]}:{address[1]}", result, some)
            left += refused
            error = why or error
    return left, error


def _action(region: Region, changes: Sequence[Change], time: int) -> bytes:
    """A region's changes, each with its place in them; a change may be two mutations."""
    actions = b""
    for index, change in enumerate(changes):
        for mutation in _mutations(change, time):
            actions += text(3, number(1, index) + text(2, mutation))
    return text(1, number(1, 1) + text(2, region.name)) + actions


def _mutations(change: Change, time: int) -> list[bytes]:
    found = []
    if change.gone:
        found.append(text(1, change.row) + number(2, _DELETE) + number(4, time))
    if change.puts:
        cells = _columns([(name, text(2, value)) for name, value in change.puts], time, change.times)
        found.append(text(1, change.row) + number(2, _PUT) + cells + number(4, time))
    if change.removed:
        cells = _columns([(name, number(4, _ALL_VERSIONS)) for name in change.removed], time, change.times)
        found.append(text(1, change.row) + number(2, _DELETE) + cells + number(4, time))
    return found


def _columns(cells: Sequence[tuple[Name, bytes]], time: int, times: Mapping[Name, int]) -> bytes:
    by_family: dict[bytes, bytes] = {}
    for (family, qualifier), rest in cells:
        when = times.get((family, qualifier), time)
        value = text(2, text(1, qualifier) + rest + number(3, when))
        by_family[family] = by_family.get(family, b"") + value
    return b"".join(text(3, text(1, family) + values) for family, values in by_family.items())


def _refused(where: str, result: Message, some: Sequence[Change]) -> tuple[list[Change], SourceError | None]:
    """Of a region's changes those that were not written for now, and why: also those that the answer leaves out."""
    if 2 in result:
        return list(some), _worth_a_try(where, result.inner(2))
    left = dict(enumerate(some))
    refused: dict[int, Change] = {}
    error: SourceError | None = None
    for one in result.each(1):
        index = one.number(1)
        change = left.pop(index, None)
        if 3 in one and index < len(some):
            error = _worth_a_try(where, one.inner(3))
            refused[index] = some[index]
        elif change is None and index >= len(some):
            raise ProtocolError(f"{where} answered for a row that was not written")
    if left:
        error = error or ConnectionLost(f"{where} did not say what became of {len(left):,} rows")
    return [*refused.values(), *left.values()], error


def _worth_a_try(where: str, pair: Message) -> SourceError:
    """The refusal, when another attempt may succeed; else it is raised."""
    refusal = Remote(where, parse(text(1, pair.bytes(1)) + text(2, pair.bytes(2))))
    if not _later(refusal):
        raise refusal
    return refusal


def _later(refusal: Remote | Refused) -> bool:
    """Whether another attempt may succeed: not where the server will never take it."""
    return refusal.kind in MOVED | BUSY and (refusal.kind != INSANE or "row out of range" in refusal.why)


def _by_gateway(gateway: Gateway, table: str, changes: Sequence[Change], time: int) -> None:
    """A call has one time, so there is one for each time that is among the changes."""
    name = (thrift.STRING, table.encode())
    calls: dict[int, dict[bytes, list[Any]]] = {}
    for change in changes:
        if change.gone:
            row = {1: name, 2: (thrift.STRING, change.row), 3: (thrift.I64, time), 4: ATTRIBUTES}
            gateway.call("deleteAllRowTs", row)
        for cell, value in change.puts:
            one = {2: (thrift.STRING, b":".join(cell)), 3: (thrift.STRING, value)}
            calls.setdefault(change.times.get(cell, time), {}).setdefault(change.row, []).append(one)
        for cell in change.removed:
            gone = {1: (thrift.BOOL, True), 2: (thrift.STRING, b":".join(cell))}
            calls.setdefault(change.times.get(cell, time), {}).setdefault(change.row, []).append(gone)
    for when, by_row in calls.items():
        rows = [{1: (thrift.STRING, row), 2: (thrift.LIST, (thrift.STRUCT, cells))} for row, cells in by_row.items()]
        words = {1: name, 2: (thrift.LIST, (thrift.STRUCT, rows)), 3: (thrift.I64, when), 4: ATTRIBUTES}
        gateway.call("mutateRowsTs", words)
