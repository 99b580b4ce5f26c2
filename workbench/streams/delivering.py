"""From a stream to a task: one closure for each link, which counts, calls the bolt, and catches what it raises.

Each gives two functions, for a row and for a batch. A bolt's error is counted where it was raised and fails the tree;
whoever emitted goes on, as on Storm, where it is in another thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench.streams.counting import Link
from workbench.streams.task import Task
from workbench.streams.tracking import Tracking
from workbench.streams.tuples import Batch, Tuple, held_class, told

__all__ = ["Deliver", "failing", "to_batches", "to_held", "to_rows"]


@dataclass(frozen=True)
class Deliver:
    """`row(tuple)` and `batch(batch, class of its tuples)`; `rows_only`: it calls `execute` and acks on return."""

    row: Callable[[Any], None]
    batch: Callable[[Batch, type[Tuple]], None]
    task: Task
    link: Link
    rows_only: bool = False


def to_rows(task: Task, link: Link, tracking: Tracking) -> Deliver:
    """To a bolt that is called with each row, and acks on return."""
    execute, every = task.execute(), task.sample_every
    failed = failing(task, link, tracking)
    executed = 0

    def row(given: Tuple) -> None:
        nonlocal executed
        executed += 1
        try:
            if executed % every:
                execute(given)
            else:
                task.timed(link, execute, given)
        except Exception as error:  # noqa: BLE001  # whatever it is, the tree fails and the run goes on
            failed(error, given)

    def batch(rows: Batch, make: type[Tuple]) -> None:
        nonlocal executed
        try:
            listed = rows.rows
        except Exception as error:  # noqa: BLE001  # a table has a value that Python has none of
            executed += len(rows)
            failed(error, rows)
            link.failed += len(rows) - 1
            return
        for values in listed:
            row(make(values))

    link.counts.append(lambda: executed)
    return Deliver(row, batch, task, link, rows_only=True)


def failing(task: Task, link: Link, tracking: Tracking) -> Callable[[BaseException, object], None]:
    """What is done when a bolt that acks on return has raised."""

    def failed(error: BaseException, given: object) -> None:
        link.failed += 1
        task.raised(error, given)
        tracking.raised(task.component, error)

    return failed


def to_held(task: Task, link: Link, tracking: Tracking) -> Deliver:
    """To a bolt that acks by itself: each row is an edge in the ledger."""
    execute, every = task.instance.execute, task.sample_every
    classes: dict[type[Tuple], Any] = {}
    failed = failing(task, link, tracking)
    executed = 0

    def row(given: Tuple) -> None:
        nonlocal executed
        executed += 1
        kind = given.__class__
        make = classes.get(kind)
        if make is None:
            make = classes[kind] = held_class(kind.source_component, kind.source_stream, kind.fields, kind.source_task)
        held = make(given)
        held.edges, held.emitted, held.settled, held.link = tracking.edges(), 0, "", link
        held.began = 0.0 if executed % every else task.clock()
        try:
            # What it emits is anchored as it says itself, not to what holds now.
            if executed % every:
                tracking.with_anchors((), execute, held)
            else:
                tracking.with_anchors((), task.timed, link, execute, held)
        except Exception as error:  # noqa: BLE001
            task.raised(error, given)
            if not held.settled:
                held.settled = "failed"
                link.failed += 1
                tracking.fail(held.edges, (task.component, told(error)))

    def batch(rows: Batch, make: type[Tuple]) -> None:
        nonlocal executed
        try:
            listed = rows.rows
        except Exception as error:  # noqa: BLE001  # as above
            executed += len(rows)
            failed(error, rows)
            link.failed += len(rows) - 1
            return
        for values in listed:
            row(make(values))

    link.counts.append(lambda: executed)
    return Deliver(row, batch, task, link)


def to_batches(task: Task, link: Link, tracking: Tracking) -> Deliver:
    """To a bolt that takes batches, and acks on return. Rows are gathered until the chain above has returned."""
    execute = task.instance.execute_batch
    link.whole = not task.instance.takes_rows
    gathered: list[Any] = []
    put = gathered.append
    failed = failing(task, link, tracking)
    executed = 0

    def row(given: Tuple) -> None:
        put(given)
        tracking.dirty = True

    def batch(rows: Batch, make: type[Tuple]) -> None:
        nonlocal executed
        if gathered:
            flush()
        if not len(rows):
            return
        executed += len(rows)
        try:
            task.timed(link, execute, rows)
        except Exception as error:  # noqa: BLE001
            failed(error, rows)
            link.failed += len(rows) - 1

    def flush() -> None:
        if gathered:
            rows = gathered[:]
            gathered.clear()
            kind = rows[0].__class__
            batch(Batch.of_rows(rows, kind.fields, kind.source_component, kind.source_stream), kind)

    link.counts.append(lambda: executed)
    task.flushes.append(flush)
    return Deliver(row, batch, task, link)
