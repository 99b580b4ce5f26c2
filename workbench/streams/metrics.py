"""Metrics as Storm names them, with exact counts: what a topology's tasks did, by component, task and stream.

A `Scrape` is everything at one moment, between two tuples: of each spout's stream `emitted = acked + failed + pending`
(what is tracked of it). A `History` of them gives what happened in the last 10 minutes, 3 hours and day, each in 20
steps as on Storm, so that "10m" covers up to 19/20ths more than its last step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.streams.counting import Link, Out, Times
from workbench.streams.task import Task

__all__ = ["WINDOWS", "History", "Key", "Scrape", "scraped"]

WINDOWS: dict[str, float | None] = {"10m": 600.0, "3h": 10_800.0, "1d": 86_400.0, "all": None}
STEPS = 20
COUNTS = ("emitted", "transferred", "executed", "acked", "failed", "pending", "untracked")
TIMES = ("execute", "process", "complete")
Key = tuple[str, int, str, str]
"""Component, task, whose stream (the component itself for what it emits, else where it came from), stream."""


@dataclass
class Cell:
    """The numbers of one task and stream since the beginning. A time is (count, seconds in all, buckets)."""

    emitted: int = 0
    transferred: int = 0
    executed: int = 0
    acked: int = 0
    failed: int = 0
    pending: int = 0
    untracked: int = 0
    whole: bool = False
    times: dict[str, tuple[int, float, tuple[int, ...]]] = field(default_factory=dict)


@dataclass
class Scrape:
    """Everything at one moment. `at` is the runner's clock, `uptime` since it began, `idle` seconds by spout's task and
    reason, `errors` by component, `queued` what other threads have handed in and the runner has not taken yet,
    `sources` what spouts count of their sources, by task: `reconnects`, `stalls`, …; and
    `windows` by window bolt's task: `late` rows, the `watermark` (milliseconds), how many seconds it is `behind`,
    and the `rows` that it holds."""

    at: float
    uptime: float
    cells: Mapping[Key, Cell]
    idle: Mapping[tuple[str, int], Mapping[str, float]]
    errors: Mapping[str, int]
    dead: Mapping[str, int]
    queued: int = 0
    windows: Mapping[tuple[str, int], Mapping[str, float]] = field(default_factory=dict)
    sources: Mapping[tuple[str, int], Mapping[str, float]] = field(default_factory=dict)


def scraped(tasks: list[Task], at: float, began: float, dead: Mapping[str, int], queued: int = 0) -> Scrape:
    """To be called where no tuple is on its way: in the runner's thread, between two."""
    cells: dict[Key, Cell] = {}
    errors: dict[str, int] = {}
    for task in tasks:
        errors[task.component] = errors.get(task.component, 0) + task.errors
        for out in task.outs.values():
            cells[task.component, task.id, task.component, out.stream] = _of_out(out, task.node.kind == "spout")
        for link in task.links:
            cells[task.component, task.id, link.component, link.stream] = _of_link(link)
    spouts = [task for task in tasks if task.node.kind == "spout"]
    idle = {(task.component, task.id): dict(task.idle) for task in spouts}
    told = {(task.component, task.id): dict(task.instance.counts()) for task in spouts}
    sources = {key: counts for key, counts in told.items() if counts}
    return Scrape(at, at - began, cells, idle, errors, dict(dead), queued, sources=sources)


def _of_out(out: Out, spout: bool) -> Cell:
    cell = Cell(emitted=out.emitted, transferred=out.transferred)
    if spout:
        cell.acked, cell.failed, cell.pending, cell.untracked = out.acked, out.failed, out.pending, out.untracked
        cell.times = {"complete": _frozen(out.complete)}
    return cell


def _of_link(link: Link) -> Cell:
    execute = _frozen(link.execute)
    process = _frozen(link.process) if link.own_acks else execute
    return Cell(
        whole=link.whole,
        executed=link.executed,
        acked=link.acked,
        failed=link.failed,
        times={"execute": execute, "process": process},
    )


def _frozen(times: Times) -> tuple[int, float, tuple[int, ...]]:
    times.fold()
    return sum(times.buckets), times.total, tuple(times.buckets)


class History:
    """Scrapes of the past, as many as the windows need."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[Scrape]] = {name: deque(maxlen=STEPS) for name, length in WINDOWS.items() if length}

    def note(self, scrape: Scrape) -> None:
        """Cheap unless a step has passed."""
        for name, kept in self._kept.items():
            length = WINDOWS[name]
            assert length is not None
            if not kept or scrape.at - kept[-1].at >= length / (STEPS - 1):
                kept.append(scrape)

    def due(self, at: float) -> bool:
        """Whether `note` would keep one."""
        length = WINDOWS["10m"]
        assert length is not None
        kept = self._kept["10m"]
        return not kept or at - kept[-1].at >= length / (STEPS - 1)

    def before(self, window: str, at: float) -> Scrape | None:
        """The scrape that the window begins with; None: with the run."""
        length = WINDOWS[window]
        if length is None:
            return None
        kept = self._kept[window]
        if len(kept) < STEPS:
            return None
        return kept[0]
