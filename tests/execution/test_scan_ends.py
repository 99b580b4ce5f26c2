"""How scans end: stopped, closed, broken; and that nothing of them is left."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.execution.conftest import scan_threads
from tests.execution.scripted import Broken, Deaf, Script, Silent, Step, rows
from workbench.contract.errors import (
    Cancelled,
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SnapshotChanged,
    SourceError,
    Unreachable,
)
from workbench.execution.scan import Scan
from workbench.runs import Register, Run
from workbench.testing.clock import eventually

SAME_RUN = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _silent(scan_of: Script) -> bool:
    return any(what == "silent" for what, _ in scan_of.log)


def _gone(scan: Scan, script: Script, register: Register, run: Run) -> None:
    assert scan.drained(5)
    assert not script.open
    assert register.natives(run.id) == ()


def test_cancel_is_felt_at_once_while_readers_wait_in_sockets(run: Run, register: Register) -> None:
    """The best of five, because other tests may have the processors; an implementation that waits has no good one."""
    assert min(_felt_after(run, register) for _ in range(5)) < 0.05


def _felt_after(run: Run, register: Register) -> float:
    script = Script([[[rows(0, 0, 1), Silent()]], [[Silent()]]], cancel=lambda _: None)
    scan = Scan(script.source(), run)
    assert next(scan).num_rows == 1
    felt: list[float] = []

    def consume() -> None:
        with pytest.raises(Cancelled):
            next(scan)
        felt.append(time.perf_counter())

    consumer = threading.Thread(target=consume)
    consumer.start()
    eventually(lambda: sum(what == "silent" for what, _ in script.log) == 2)
    began = time.perf_counter()
    scan.cancel()
    returned = time.perf_counter()
    consumer.join(5)
    _gone(scan, script, register, run)
    with pytest.raises(Cancelled):
        next(scan)
    assert scan.error is None
    scan.cancel()
    scan.close()
    return max(felt[0], returned) - began


@pytest.mark.parametrize("gently", [False, True])
def test_what_closing_does_not_end_is_ended_by_the_source(run: Run, register: Register, gently: bool) -> None:
    script = Script([[[Deaf()]]] * 2)
    script.cancel = lambda _: script.freed.set()
    scan = Scan(script.source(), run)
    scan.start()
    eventually(lambda: sum(what == "silent" for what, _ in script.log) == 2)
    natives = {native.native_id for native in register.natives(run.id)}
    assert len(natives) == 2
    if gently:
        scan.close()
    else:
        scan.cancel()
    _gone(scan, script, register, run)
    cancelled = {native for what, native in script.log if what == "cancel"}
    assert cancelled
    assert cancelled <= natives


def test_cancel_waits_for_no_server(run: Run, register: Register) -> None:
    let_go = threading.Event()
    script = Script([[[Deaf()]]] * 3)

    def slowly(_: str) -> None:
        let_go.wait(10)
        script.freed.set()

    script.cancel = slowly
    scan = Scan(script.source(), run)
    scan.start()
    eventually(lambda: sum(what == "silent" for what, _ in script.log) == 3)
    began = time.perf_counter()
    scan.cancel()
    with pytest.raises(Cancelled):
        next(scan)
    assert time.perf_counter() - began < 2
    assert not scan.drained(0.05)
    let_go.set()
    _gone(scan, script, register, run)


def test_a_scan_cancelled_before_its_start_reads_nothing(run: Run) -> None:
    script = Script([[[rows(0, 0, 1)]]])
    scan = Scan(script.source(), run)
    scan.cancel()
    with pytest.raises(Cancelled):
        next(scan)
    assert not script.reads


def test_what_the_source_refuses_to_end_is_told_beside(run: Run) -> None:
    script = Script([[[Deaf()]]])

    def refuse(_: str) -> None:
        script.freed.set()
        raise QueryFailed("not allowed to kill", 1095)

    script.cancel = refuse
    scan = Scan(script.source(), run)
    scan.start()
    eventually(lambda: _silent(script))
    scan.cancel()
    with pytest.raises(Cancelled):
        next(scan)
    assert scan.drained(5)
    assert any("not allowed" in str(error) for error in scan.late)


@given(
    splits=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    silent=st.sets(st.integers(0, 7)),
    after=st.integers(0, 20),
    cancel=st.booleans(),
    workers=st.integers(0, 4),
)
@SAME_RUN
def test_ended_at_any_point(
    run: Run, register: Register, splits: list[int], silent: set[int], after: int, cancel: bool, workers: int
) -> None:
    """The consumer takes a while, then somebody ends it from another thread while it waits for more."""
    quiet = {number for number in silent if number < len(splits)}
    script = Script(
        [
            [[*(rows(number, at * 5, 5) for at in range(count)), *([Silent()] if number in quiet else [])]]
            for number, count in enumerate(splits)
        ]
    )
    scan = Scan(script.source(), run, workers=workers, queue_batches=2)
    seen: list[tuple[int, int]] = []
    reached = threading.Event()

    def end() -> None:
        reached.wait(0.02)  # or the readers are silent before that many batches
        if cancel:
            scan.cancel()
        else:
            scan.close()

    ender = threading.Thread(target=end)
    ender.start()
    outcome = "end"
    try:
        for at, batch in enumerate(scan):
            seen.extend((row["split"], row["row"]) for row in batch.to_pylist())
            if at >= after:
                reached.set()
    except Cancelled:
        outcome = "cancelled"
    ender.join()
    assert len(seen) == len(set(seen))
    if outcome == "end" and cancel:  # it was all there before the cancel came
        assert not quiet
        assert len(seen) == 5 * sum(splits)
    _gone(scan, script, register, run)


def test_closed_iteration_just_ends(run: Run, register: Register) -> None:
    script = Script([[[rows(0, 0, 1), Silent()]], [[rows(1, at, 1) for at in range(1_000)]]])
    scan = Scan(script.source(), run, queue_batches=1)
    next(scan)
    eventually(lambda: _silent(script) or len(script.reads) == 2)
    scan.close()
    assert next(scan, None) is None
    _gone(scan, script, register, run)


def test_an_early_end_does_not_trouble_the_source_when_readers_end_their_work(run: Run) -> None:
    script = Script([[[rows(0, 0, 1), Silent()]]], cancel=lambda _: None)
    with Scan(script.source(), run) as scan:
        next(scan)
        eventually(lambda: _silent(script))
    assert scan.drained(5)
    assert all(what != "cancel" for what, _ in script.log)


ERRORS: list[Callable[[], BaseException]] = [
    lambda: QueryFailed("no such column", 1054),
    lambda: ProtocolError("odd reply"),
    lambda: ConnectionLost("gone"),
    lambda: ValueError("a bug"),
    lambda: MemoryError(),
]


@given(
    before=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    at=st.integers(0, 5),
    kind=st.integers(0, len(ERRORS) - 1),
)
@SAME_RUN
def test_an_error_anywhere_is_raised_as_it_was(
    run: Run, register: Register, before: list[int], at: int, kind: int
) -> None:
    at %= len(before)
    made: list[BaseException] = []

    def make() -> BaseException:
        made.append(ERRORS[kind]())
        return made[-1]

    steps: list[list[list[Step]]] = []
    for number, count in enumerate(before):
        batches: list[Step] = [rows(number, n * 5, 5) for n in range(count)]
        steps.append([[*batches, Broken(make) if number == at else Silent()]])
    script = Script(steps)
    scan = Scan(script.source(), run, workers=len(before), wait=lambda _: False)
    with pytest.raises(type(ERRORS[kind]())) as raised:
        list(scan)
    assert raised.value is made[-1]
    assert scan.error is raised.value
    if isinstance(raised.value, SourceError):
        assert raised.value.connection == "shop"
    with pytest.raises(type(raised.value)):
        next(scan)
    _gone(scan, script, register, run)


def test_a_connection_named_by_the_reader_is_kept(run: Run) -> None:
    script = Script([[[Broken(lambda: QueryFailed("no", connection="inner"))]]])
    with pytest.raises(QueryFailed, match="inner"):
        list(Scan(script.source(), run))


def test_errors_after_a_cancel_are_not_shown(run: Run) -> None:
    gate = threading.Event()
    script = Script([[[Broken(lambda: QueryFailed("late"))]]], pace=lambda: gate.wait(10))
    scan = Scan(script.source(), run)
    scan.start()
    eventually(lambda: script.reads)
    scan.cancel()
    gate.set()
    assert scan.drained(5)
    with pytest.raises(Cancelled):
        next(scan)
    assert scan.error is None
    assert [str(error) for error in scan.late] == ["shop: late"]


def test_a_reader_that_was_cancelled_by_others_cancels_the_scan(run: Run) -> None:
    script = Script([[[Broken(lambda: Cancelled())]]])
    with pytest.raises(Cancelled):
        list(Scan(script.source(), run))


# Reading again


def _broken(error: Exception) -> Broken:
    return Broken(lambda: error)


@pytest.mark.parametrize("error", [ConnectionLost("gone"), Unreachable("db", "refused")])
def test_a_split_that_breaks_before_its_first_batch_is_read_again(run: Run, error: Exception) -> None:
    script = Script([[[_broken(error)], [_broken(error)], [rows(0, 0, 5)]]])
    waits: list[float] = []
    scan = Scan(script.source(), run, random=random.Random(3), wait=lambda seconds: bool(waits.append(seconds)))
    assert sum(batch.num_rows for batch in scan) == 5
    assert scan.stats.retries == 2
    assert scan.stats.rows_moved == 5
    again = random.Random(3)
    assert waits == [0.2 * (0.5 + again.random()), 0.4 * (0.5 + again.random())]


def test_and_given_up_after_two_repeats(run: Run) -> None:
    script = Script([[[_broken(ConnectionLost("gone"))]]])
    with pytest.raises(ConnectionLost):
        list(Scan(script.source(), run, wait=lambda _: False))
    assert script.reads[0] == 3


def test_a_split_that_breaks_later_is_not_read_again(run: Run) -> None:
    script = Script([[[rows(0, 0, 5), _broken(ConnectionLost("gone"))]]])
    with pytest.raises(ConnectionLost):
        list(Scan(script.source(), run, wait=lambda _: False))
    assert script.reads[0] == 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.lists(st.integers(0, 6), min_size=1, max_size=2))
@SAME_RUN
def test_a_resumable_split_goes_on_after_its_last_whole_batch(run: Run, sizes: list[int], breaks: list[int]) -> None:
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    whole = [rows(0, start, size) for start, size in zip(starts, sizes, strict=True)]
    other = [rows(0, at, 1) for at in range(sum(sizes))]  # the second read cuts its batches elsewhere
    reads = [[*(other if at else whole)[:stop], _broken(ConnectionLost("gone"))] for at, stop in enumerate(breaks)]
    script = Script([[*reads, whole]], resumable=True)
    scan = Scan(script.source(), run, wait=lambda _: False)
    found = [row["row"] for batch in scan for row in batch.to_pylist()]
    assert found == list(range(sum(sizes)))
    assert scan.stats.rows_moved == sum(sizes)


def test_a_resumable_split_that_has_become_shorter_is_an_error(run: Run) -> None:
    script = Script([[[rows(0, 0, 9), _broken(ConnectionLost("gone"))], [rows(0, 0, 5)]]], resumable=True)
    with pytest.raises(SnapshotChanged):
        list(Scan(script.source(), run, wait=lambda _: False))


def test_a_cancel_ends_the_wait_for_the_next_try(run: Run) -> None:
    script = Script([[[_broken(ConnectionLost("gone"))]]])
    forever = random.Random(1)
    forever.random = lambda: 1e6  # type: ignore[method-assign]
    scan = Scan(script.source(), run, random=forever)
    scan.start()
    eventually(lambda: scan.stats.retries == 1)
    scan.cancel()
    with pytest.raises(Cancelled):
        next(scan)
    assert scan.drained(5)
    assert script.reads[0] == 1


def test_without_workers_nothing_is_read_before_it_is_asked_for(run: Run, register: Register) -> None:
    script = Script([[[rows(0, 0, 1), rows(0, 1, 1)]]])
    scan = Scan(script.source(), run, workers=0)
    scan.start()
    assert not script.reads
    assert next(scan).num_rows == 1
    assert not scan_threads()
    scan.close()
    _gone(scan, script, register, run)
    assert next(scan, None) is None


@pytest.mark.parametrize("gently", [False, True])
def test_without_workers_another_thread_ends_a_read_that_waits(run: Run, register: Register, gently: bool) -> None:
    script = Script([[[rows(0, 0, 1), Silent()]]], cancel=lambda _: None)
    scan = Scan(script.source(), run, workers=0)
    assert next(scan).num_rows == 1
    ended: list[object] = []

    def consume() -> None:
        try:
            ended.append(next(scan, None))
        except Cancelled as error:
            ended.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    eventually(lambda: _silent(script))
    if gently:
        scan.close()
    else:
        scan.cancel()
    consumer.join(5)
    assert not consumer.is_alive()
    assert ended == [None] if gently else isinstance(ended[0], Cancelled)
    _gone(scan, script, register, run)


def test_a_scan_without_workers_that_is_dropped_leaves_its_reader(run: Run, register: Register) -> None:
    script = Script([[[rows(0, 0, 1), rows(0, 1, 1)]]])
    scan = Scan(script.source(), run, workers=0)
    assert next(scan).num_rows == 1
    assert script.open
    del scan
    eventually(lambda: not script.open and register.natives(run.id) == ())
