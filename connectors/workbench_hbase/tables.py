"""Tables: the catalog, what columns they have, and plans."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterable, Mapping as Dictionary, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import ConnectionLost, UnknownColumn, UnknownTable, Unreachable, Unsupported
from workbench.contract.predicate import And, Applied, Predicate, columns_of
from workbench.contract.scan import Control, Reader, ScanPlan, ScanRequest, Split, TableInfo, TableRef
from workbench.kit.like import like as fits
from workbench_hbase.encoding import Range
from workbench_hbase.faults import BUSY, MOVED
from workbench_hbase.filters import Either, Every, Filter, FirstKey, KeyOnly, Qualifier, said
from workbench_hbase.gateway import Refused
from workbench_hbase.keys import narrowed
from workbench_hbase.mapping import Mapping, declared, sampled, shown
from workbench_hbase.predicates import Pushed, pushed
from workbench_hbase.reader import Again
from workbench_hbase.route import Identity, Region
from workbench_hbase.rpc import Remote
from workbench_hbase.splits import Ends, occupied_parts, share, tiled, touched, within

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_hbase.cells import Cell
    from workbench_hbase.connector import HBaseConnector

    _Sampled = list[list[Cell]]

__all__ = ["HBaseTables"]

_FRESH = 60.0
"""Seconds that a sample is believed."""
_SAMPLE, _REGIONS = 1000, 10
_OVER = 4
"""Splits for each worker: the one who is done takes the next."""
_PART_MIB = 2
"""A region is not read in smaller parts: a part has to be worth its scanner."""
_HINTS = 100
"""Regions that a split knows beforehand; where the others are is asked while it is read."""
_FEW = 64
"""Cells that are picked out of a row one by one."""
_Name = tuple[bytes, bytes]
_Parts = list[list[Range]]


@dataclass(frozen=True)
class _Known:
    mapping: Mapping
    seen: frozenset[_Name]
    row_bytes: int
    identity: Identity
    said: Any
    at: float


class HBaseTables:
    """See `workbench.contract.connector.Tables`."""

    def __init__(self, connector: HBaseConnector) -> None:
        self._connector = connector
        self._lock = threading.Lock()
        self._samples: dict[TableRef, _Known] = {}

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        match = fits(like)
        found = [ref for ref in self._all() if match(ref.name) and (after is None or str(ref) > after)]
        return [TableInfo(ref) for ref in sorted(found, key=str)[:limit]]

    def schema(self, table: TableRef) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([column.arrow() for column in self._known(table, renew=True).mapping.columns])

    def native(self, text: str) -> ScanPlan:
        raise Unsupported("The HBase connector", "run the source's own text", "It has none: write SQL over the table.")

    def plan(self, request: ScanRequest) -> ScanPlan:
        import pyarrow as pa

        known = self._known(request.table)
        columns = {column.name: column for column in known.mapping.columns}
        used = [column.name for one in request.predicates for column in columns_of(one)]
        for name in (*request.columns, *used):
            if name not in columns:
                raise UnknownColumn(name, columns)
        route = self._connector.route
        keys = narrowed(request.predicates, known.mapping)
        filters = {one: pushed(one, known.mapping, route.bytewise) for one in request.predicates}
        applied = {one: _level(one, keys.applied.get(one), filters[one]) for one in request.predicates}
        again = [column.name for one, level in applied.items() if level is not Applied.EXACT
                 for column in columns_of(one)]  # fmt: skip
        extra = [name for name in dict.fromkeys(again) if name not in request.columns]
        wanted = [columns[name] for name in (*request.columns, *extra)]
        schema = pa.schema([column.arrow() for column in wanted])
        exact = all(level is Applied.EXACT for level in applied.values())
        limit = request.limit if exact else None
        cells = [field.cell for column in wanted for field in column.fields if field.cell is not None]
        kept, only = _scan(cells, [one for one in filters.values() if one.filter is not None], known)
        state: dict[str, Any] = {
            "table": self.full_name(request.table),
            "since": known.identity.since,
            "parts": known.mapping.parts,
            "columns": tuple(wanted),
            "kept": kept,
            "cells": only,
            "limit": limit,
            "rows": max(100, min(5000, (2 << 20) // max(known.row_bytes, 1))),
        }
        splits = self._splits(request, state, schema, keys.ranges)
        told = {
            one: "a range of rows, each looked at again here" if one in keys.applied else filters[one].reason
            for one, level in applied.items()
            if level is not Applied.EXACT
        }
        return ScanPlan(
            request=request,
            splits=splits,
            schema=schema,
            native_text="\n".join(one.native_text for one in splits[:50]),
            applied=applied,
            reasons={one: reason for one, reason in told.items() if reason},
            extra=len(extra),
            limit_applied=limit is not None,
            notes=(f"read by the {route.name}",),
        )

    def read(self, split: Split, control: Control) -> Reader:
        return self._connector.reader(split, control)

    # -- inside ----------------------------------------------------------------------------------------------------

    def full_name(self, table: TableRef) -> str:
        namespace = table.schema or self._connector.namespace
        return f"{namespace}:{table.name}" if namespace not in ("", "default") else table.name

    def _all(self) -> Iterable[TableRef]:
        with self._connector.faults.named():
            names = self._connector.route.tables()
        own = self._connector.namespace
        for name in names:
            namespace, _, table = name.rpartition(":")
            if own and (namespace or "default") == own:
                yield TableRef(table)
            elif not own:
                yield TableRef(table, namespace or None)

    def _known(self, table: TableRef, renew: bool = False) -> _Known:
        connector = self._connector
        with self._lock:
            known = self._samples.get(table)
        given = connector.config.tables.get(str(table), {})
        try:
            with connector.faults.named(str(table)):
                identity = connector.route.identity(self.full_name(table))
        except UnknownTable:
            with self._lock:
                self._samples.pop(table, None)
            raise UnknownTable(str(table), [str(ref) for ref in self._all()]) from None
        fresh = known is not None and time.monotonic() - known.at < _FRESH
        if known is None or renew or not fresh or known.identity != identity or known.said != given:
            if not identity.enabled:
                raise connector.faults.of("TableNotEnabledException", "", table=self.full_name(table))
            known = self._sampled(table, given, identity)
            with self._lock:
                self._samples[table] = known
        return known

    def _sampled(self, table: TableRef, given: Dictionary[str, Any], identity: Identity) -> _Known:
        again = Again(self._connector.patience)
        with self._connector.faults.named(str(table)):
            while True:
                try:
                    rows = self._some_rows(self.full_name(table), given)
                    break
                except (Remote, Refused) as refusal:
                    if refusal.kind not in MOVED | BUSY:
                        raise
                    time.sleep(again.pause(refusal))
        kind, fields = sampled(rows)
        mapping = declared({"key": [{"type": kind}], **given}, fields)
        seen = frozenset((cell.family, cell.qualifier) for row in rows for cell in row)
        size = sum(len(cell.row) + len(cell.qualifier) + len(cell.value) + 30 for row in rows for cell in row)
        return _Known(mapping, seen, size // max(len(rows), 1), identity, given, time.monotonic())

    def _some_rows(self, name: str, given: Dictionary[str, Any]) -> _Sampled:
        """Of several regions where columns are looked for; else a few, for how large they are."""
        route = self._connector.route
        regions = [region for region in route.regions(name) if region.host]
        if not given.get("sample", not given.get("columns")):
            return [row for one in regions[:1] for row in route.few(name, one, one.start, one.stop or None, 20)]
        some = regions[:: -(-len(regions) // _REGIONS) or 1]
        rows: _Sampled = []
        for region in some:
            rows += route.few(name, region, region.start, region.stop or None, _SAMPLE // len(some))
        return rows

    def _splits(
        self, request: ScanRequest, state: dict[str, Any], schema: pa.Schema, ranges: Sequence[Range]
    ) -> tuple[Split, ...]:
        with self._connector.faults.named(str(request.table)):
            regions = self._connector.route.regions(state["table"])
            pieces = [(region, within(ranges, rows)) for region, rows in tiled(regions)]
            pieces = [(region, inside) for region, inside in pieces if inside]
            parts: _Parts = []
            if request.splits > 1 and state["limit"] is None:
                parts = self._parted(state["table"], pieces, request.splits)
            elif pieces:
                parts = [_joined([one for _, inside in pieces for one in inside])]
        found = []
        for number, part in enumerate(parts or [[]]):
            near = {region: None for rows in part[:_HINTS] for region in touched(regions, rows)[:_HINTS]}
            text, hints = _shown(state, part), list(near)[:_HINTS]
            found.append(Split(number, request.table, text, schema, {**state, "ranges": part, "regions": hints}))
        return tuple(found)

    def _parted(
        self, table: str, pieces: Sequence[tuple[Region, Sequence[Range]]], workers: int
    ) -> _Parts:  # fmt: skip
        """A part is what is asked for of a region, or less where the region is large and whole ranges are."""
        wanted = _OVER * workers
        sizes = self._connector.route.sizes(table, [region for region, _ in pieces])
        whole = sum(sizes.get(region.name, 0) for region, _ in pieces)
        found: _Parts = []
        for region, inside in pieces:
            if len(inside) > 1 or not region.host:
                found.append(list(inside))
                continue
            size = sizes.get(region.name)
            part = wanted // len(pieces) if not whole or size is None else wanted * size // whole
            many = part if size is None else min(part, size // _PART_MIB)
            found += [[one] for one in self._occupied(table, region, inside[0], min(many, wanted))]
        return found

    def _occupied(self, table: str, region: Region, inside: Range, many: int) -> Sequence[Range]:
        """A region's rows in about so many parts. Where the region is elsewhere by now, or its server does not answer,
        it is not cut: reading it says more."""
        ends = functools.partial(self._connector.route.ends, table, region)
        try:
            if many > 1 and inside != (region.start, region.stop or None):
                many = int(many * _narrower(ends, region, inside))
            if many < 2 or self._connector.route.small(table, region, *inside):
                return [inside]
            return occupied_parts(inside, many, ends)
        except (Remote, Refused) as refusal:
            if refusal.kind not in MOVED | BUSY:
                raise
        except (ConnectionLost, Unreachable):
            pass
        return [inside]


def _narrower(ends: Ends, region: Region, inside: Range) -> float:
    """About what part of a region's rows a range has."""
    all_of_it, part = ends(region.start, region.stop or None), ends(*inside)
    return share(all_of_it, part) if all_of_it and part else 0.0


def _level(predicate: Predicate, by_key: Applied | None, by_filter: Pushed) -> Applied:
    """Of the key and the cells together: both take part in an AND alone."""
    if by_key is None:
        return by_filter.applied
    if isinstance(predicate, And):
        return max(Applied.SUPERSET, by_filter.applied)
    return max(by_key, by_filter.applied)


def _scan(
    wanted: Sequence[_Name], filters: Sequence[Pushed], known: _Known
) -> tuple[Filter | None, tuple[_Name, ...]]:  # fmt: skip
    """The filter, and the cells that alone are read; none: all are. A row that has none of the cells is a row: where
    it may be wanted, each row's first cell is read, too."""
    compared = {cell for one in filters for cell in one.cells}
    cells = sorted({*wanted, *compared})
    kept = [one.filter for one in filters if one.filter is not None]
    present = {cell for one in filters for cell in one.present}
    if not cells:  # filters that are there look at the key
        return Every((*kept, FirstKey(), KeyOnly())), ()
    if present:
        return _every(kept), tuple(cells)
    if known.mapping.marker is not None:
        return _every(kept), tuple(sorted({*cells, known.mapping.marker}))
    if known.seen <= set(cells) or len(cells) > _FEW:
        return _every(kept), ()
    picked = Either((FirstKey(), *(Qualifier(name) for name in sorted({qualifier for _, qualifier in cells}))))
    return _every([picked, *kept]), ()


def _every(filters: Sequence[Filter]) -> Filter | None:
    return None if not filters else filters[0] if len(filters) == 1 else Every(tuple(filters))


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """Ranges in order, those that touch as one."""
    found: list[Range] = []
    for low, high in ranges:
        if found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return found


def _shown(state: Dictionary[str, Any], ranges: Sequence[Range]) -> str:
    """As one would say it."""
    if not ranges:
        return f"scan '{state['table']}': no row can be wanted"
    spans = [f"['{shown(low)}', " + ("end)" if high is None else f"'{shown(high)}')") for low, high in ranges[:5]]
    more = [f"… {len(ranges)} in all"] if len(ranges) > 5 else []
    parts = [f"scan '{state['table']}' rows {', '.join([*spans, *more])}"]
    if state["cells"]:
        parts.append("cells " + ", ".join(f"{shown(family)}:{shown(name)}" for family, name in state["cells"][:20]))
    if state["kept"] is not None:
        parts.append(f"where {said(state['kept'])}")
    if state["limit"] is not None:
        parts.append(f"limit {state['limit']}")
    return " ".join(parts)
