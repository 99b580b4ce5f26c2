"""The counts of all workers together, also of those that have ended.

What a worker counted last before it ended stays; what was pending with its spouts then has failed, so that `emitted =
acked + failed + pending` holds at every moment. What it did after that is not counted: nobody knows of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from workbench.streams.metrics import Cell, Key, Scrape

__all__ = ["Counts"]

_ADDED = ("emitted", "transferred", "executed", "acked", "failed", "untracked")


class Counts:
    def __init__(self) -> None:
        self._now: dict[int, Scrape] = {}
        self._before: dict[int, Scrape] = {}

    def put(self, worker: int, scrape: Scrape) -> None:
        """What a worker says, with what those in its place had counted."""
        before = self._before.get(worker)
        self._now[worker] = scrape if before is None else _sum(before, scrape)

    def died(self, worker: int, keeps: bool = False) -> None:
        """`keeps`: what takes its place has its windows, and how many rows were late for them."""
        last = self._now.get(worker)
        if last is None:
            return
        cells = {}
        for key, cell in last.cells.items():
            cells[key] = dataclasses.replace(cell, failed=cell.failed + cell.pending, pending=0)
        late = {key: {**value, "rows": 0, **({"late": 0} if keeps else {})} for key, value in last.windows.items()}
        self._before[worker] = self._now[worker] = dataclasses.replace(last, cells=cells, windows=late, queued=0)

    def scrape(self, at: float, began: float, queued: int) -> Scrape:
        merged = Scrape(at, at - began, {}, {}, {}, {}, queued)
        cells: dict[Key, Cell] = {}
        idle: dict[Any, Any] = {}
        windows: dict[Any, Any] = {}
        sources: dict[Any, Any] = {}
        for one in list(self._now.values()):
            cells |= one.cells
            idle |= one.idle
            windows |= one.windows
            sources |= one.sources
            merged.queued += one.queued
            for into, values in ((merged.errors, one.errors), (merged.dead, one.dead)):
                for name, number in values.items():
                    into[name] = into.get(name, 0) + number  # type: ignore[index]
        merged.cells, merged.idle, merged.windows = dict(sorted(cells.items(), key=_order)), idle, windows
        merged.sources = sources
        return merged


def _order(item: tuple[Key, Cell]) -> tuple[int, bool, str, str]:
    component, task, source, stream = item[0]
    return task, source != component, source, stream


def _sum(before: Scrape, now: Scrape) -> Scrape:
    cells = {key: _cell(before.cells.get(key), cell) for key, cell in now.cells.items()}
    idle = {key: _added(before.idle.get(key, {}), value) for key, value in now.idle.items()}
    windows = {
        key: {**value, "late": value["late"] + before.windows.get(key, {}).get("late", 0)}
        for key, value in now.windows.items()
    }
    return dataclasses.replace(
        now,
        cells=cells,
        idle=idle,
        windows=windows,
        errors=_added(before.errors, now.errors),
        dead=_added(before.dead, now.dead),
    )


def _added(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    return {name: before.get(name, 0) + now.get(name, 0) for name in {**before, **now}}


def _cell(before: Cell | None, now: Cell) -> Cell:
    if before is None:
        return now
    cell = Cell(pending=now.pending, whole=now.whole)
    for name in _ADDED:
        setattr(cell, name, getattr(before, name) + getattr(now, name))
    for name, (count, total, buckets) in now.times.items():
        old = before.times.get(name)
        if old is None:
            cell.times[name] = count, total, buckets
        else:
            summed = tuple(a + b for a, b in zip(old[2], buckets, strict=True))
            cell.times[name] = old[0] + count, old[1] + total, summed
    return cell
