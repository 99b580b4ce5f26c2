"""Many rows of a spout at once: one closure takes them from an iterator and emits each, as its collector's `emit` does.

What is done when its chain of calls has returned was never anybody's: it is kept nowhere, and nobody is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from workbench.streams.base import MORE, OVER, EmitRows

if TYPE_CHECKING:
    from workbench.streams.emitting import Outlet
    from workbench.streams.replay import Replay
    from workbench.streams.task import Task
    from workbench.streams.tracking import Source, Tracking

__all__ = ["emitting_rows"]


def emitting_rows(task: Task, outlet: Outlet, tracking: Tracking, source: Source, acking: bool) -> EmitRows:
    """Of a spout's default stream."""
    return _tracked(task, outlet, tracking, source) if acking else _untracked(task, outlet, tracking, source)


def _tracked(task: Task, outlet: Outlet, tracking: Tracking, source: Source) -> EmitRows:
    out, hand_on, make = outlet.out, outlet.row, outlet.make
    anchor, anchors = source.anchor, source.anchors
    width, every, clock, complete = len(out.fields), task.sample_every, task.clock, out.complete.add
    number, done, timed = 0, 0, every // 2  # not the tuples whose calls are timed, for that takes a while

    def emit_rows(rows: Iterator[Any], most: int, stop: Sequence[Any], replay: Replay) -> Any:
        nonlocal number, done
        before, id_before, kept = number, replay.last - number, replay.kept
        try:
            for values in islice(rows, most):
                if values.__class__ is not tuple:
                    if values.__class__ is not str:
                        return values
                    values = (values,)
                if len(values) != width:
                    return values
                number += 1
                source.calls += 1
                began = clock() if number % every == timed else 0.0
                tracking.anchors = anchors
                hand_on(make(values))
                if tracking.dirty:
                    tracking.flush()
                tracking.anchors = ()  # before the next row is asked for: whoever gives it may emit, too
                if not anchor.busy:
                    done += 1
                    if began:
                        complete(clock() - began)
                else:
                    kept[id_before + number] = values
                    group = anchor.group
                    if group is not None and group.out is out and not (began or anchor.failed or group.done):
                        # As settled(), for what has gone into a window alone.
                        group.ids.append(id_before + number)  # type: ignore[union-attr]  # a group has them
                        out.pending += 1
                        anchor.group, anchor.busy = None, False
                    else:
                        tracking.settled(source, id_before + number, out, 1, began)
                        if source.full():
                            return MORE
                if stop:
                    return MORE
            return MORE if number - before == most else OVER
        finally:
            tracking.anchors = ()
            replay.last = id_before + number

    out.tallies.append(lambda: (number, done, 0))
    return emit_rows


def _untracked(task: Task, outlet: Outlet, tracking: Tracking, source: Source) -> EmitRows:
    out, hand_on, make = outlet.out, outlet.row, outlet.make
    width = len(out.fields)
    number = 0

    def emit_rows(rows: Iterator[Any], most: int, stop: Sequence[Any], replay: Replay) -> Any:
        nonlocal number
        before = number
        for values in islice(rows, most):
            if values.__class__ is not tuple:
                if values.__class__ is not str:
                    return values
                values = (values,)
            if len(values) != width:
                return values
            number += 1
            source.calls += 1
            hand_on(make(values))
            if tracking.dirty:
                tracking.flush()
            if stop:
                return MORE
        return MORE if number - before == most else OVER

    out.tallies.append(lambda: (number, 0, number))
    return emit_rows
