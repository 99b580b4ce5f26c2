"""Scans of a source whose connections are bounded."""

from __future__ import annotations

import threading

import pytest

from tests.execution.scripted import Broken, Script, Silent, rows
from workbench.contract.errors import Cancelled, SourceFull
from workbench.execution.scan import Scan
from workbench.kit.slots import Slots, all_of, bound, slots_of
from workbench.runs import Run
from workbench.testing.clock import eventually


def bounded(script: Script, reads: int) -> tuple[object, Slots]:
    """A source of so many slots for reads."""
    source = script.source(estimate=1000)
    bound(source.connector, reads + max(1, reads // 3))
    slots = slots_of(source.connector)
    assert slots is not None
    assert slots.most == reads
    return source, slots


@pytest.mark.parametrize("together", [True, False])
def test_the_consumer_of_two_scans_begins_with_the_second(together: bool, run: Run) -> None:
    """The first one's readers wait for it, with all connections, unless both had theirs before."""
    script = Script([[[rows(split, 0, 1) for _ in range(20)]] for split in range(4)])
    source, slots = bounded(script, 2)
    tickets = all_of([slots, slots], lambda: False) if together else [None, None]
    assert tickets is not None
    scans = [Scan(source, run, queue_batches=2) for _ in tickets]  # type: ignore[arg-type]
    for scan, ticket in zip(scans, tickets, strict=True):
        scan.start(ticket)
    if together:
        assert [sum(batch.num_rows for batch in scan) for scan in reversed(scans)] == [80, 80]
    else:
        eventually(lambda: scans[1].stats.said == "waits for a connection")
        scans[0].close()
        assert sum(batch.num_rows for batch in scans[1]) == 80
    for scan in scans:
        assert scan.drained(10)
    assert slots.busy == 0


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("reads", [1, 2, 9])
def test_all_rows_come_and_all_slots_are_given_back(workers: int, reads: int, run: Run) -> None:
    script = Script([[[rows(split, 0, 3)]] for split in range(6)])
    source, slots = bounded(script, reads)
    most = []
    script.pace = lambda: most.append(len(script.open))
    scan = Scan(source, run, workers=workers)  # type: ignore[arg-type]
    assert sum(batch.num_rows for batch in scan) == 18
    assert scan.drained(10)
    assert max(most) <= reads
    assert slots.busy == 0


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("end", ["close", "cancel", "error", "never started"])
def test_however_it_ends_the_slots_are_given_back(end: str, workers: int, run: Run) -> None:
    step = Broken(lambda: ValueError("no")) if end == "error" else rows(0, 1, 1)
    script = Script([[[rows(0, 0, 1), step, Silent()]] for _ in range(3)], cancel=lambda _: None)
    source, slots = bounded(script, 2)
    scan = Scan(source, run, workers=workers)  # type: ignore[arg-type]
    if end == "error":
        with pytest.raises(ValueError, match="no"):
            list(scan)
    elif end != "never started":
        next(scan)
    scan.cancel() if end == "cancel" else scan.close()
    eventually(lambda: slots.busy == 0, 10)
    assert scan.drained(10)


def test_one_that_waits_is_stopped(run: Run) -> None:
    script = Script([[[rows(0, 0, 1)]]])
    source, slots = bounded(script, 1)
    held = slots.ticket()
    scan = Scan(source, run)  # type: ignore[arg-type]
    scan.start()
    eventually(lambda: scan.stats.said == "waits for a connection")
    threading.Timer(0.05, scan.cancel).start()
    with pytest.raises(Cancelled):
        next(scan)
    assert scan.drained(10)
    assert not slots.wanted
    held.leave()
    assert not script.reads


def test_a_server_that_takes_no_more_is_asked_again(run: Run) -> None:
    full = Broken(lambda: SourceFull("here:1", "Too many connections"))
    script = Script([[[full], [full], [full], [full], [rows(0, 0, 5)]]])
    scan = Scan(script.source(), run, wait=lambda _: False)
    assert sum(batch.num_rows for batch in scan) == 5
    assert scan.stats.retries == 4
    ever = Script([[[full]]])
    with pytest.raises(SourceFull, match="shop: here:1 takes no more connections"):
        list(Scan(ever.source(), run, wait=lambda _: False))
    assert ever.reads[0] == 31


@pytest.mark.parametrize("workers", [0, 2])
def test_one_whose_rows_nobody_takes_does_not_hold_others_up_for_ever(workers: int, run: Run) -> None:
    script = Script([[[rows(0, at, 1) for at in range(50)]]])
    source, slots = bounded(script, 1)
    asleep = Scan(source, run, workers=workers, queue_batches=2)  # type: ignore[arg-type]
    assert next(asleep).num_rows == 1
    assert sum(batch.num_rows for batch in Scan(source, run)) == 50  # type: ignore[arg-type]
    assert sum(batch.num_rows for batch in asleep) == 49
    assert asleep.drained(10)
    eventually(lambda: slots.busy == 0)
    assert not slots._asleep
