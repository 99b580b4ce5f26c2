"""What a scan hands out: every row once, only the wanted columns and rows, at the consumer's speed."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.execution.conftest import scan_threads
from tests.execution.scripted import Broken, Lost, Says, Script, Silent, rows
from workbench.contract import Column, Compare, Literal, Predicate, ScanRequest
from workbench.contract.errors import ConnectionLost, ProtocolError, Unsupported
from workbench.execution.scan import Scan, ScanStats, Source
from workbench.runs import Run
from workbench.testing.clock import SettableClock, eventually
from workbench.testing.memory import MANIFEST, MemorySource, source_config

SAME_RUN = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _split(number: int, sizes: list[int]) -> list[pa.RecordBatch]:
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    return [rows(number, start, size) for start, size in zip(starts, sizes, strict=True)]


def _found(batches: list[pa.RecordBatch]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for batch in batches:
        for row in batch.to_pylist():
            found[row["split"]].append(row["row"])
    return found


@given(
    sizes=st.lists(st.lists(st.integers(0, 50), max_size=6), max_size=12),
    workers=st.integers(0, 6),
    queue_bytes=st.integers(1, 2_000),
    queue_batches=st.integers(1, 4),
)
@SAME_RUN
def test_every_row_once_and_in_order_within_its_split(
    run: Run, sizes: list[list[int]], workers: int, queue_bytes: int, queue_batches: int
) -> None:
    script = Script([[_split(number, each)] for number, each in enumerate(sizes)])
    scan = Scan(script.source(), run, workers=workers, queue_bytes=queue_bytes, queue_batches=queue_batches)
    found = _found(list(scan))
    assert found == {n: list(range(sum(each))) for n, each in enumerate(sizes) if sum(each)}
    assert scan.drained(5)
    stats = scan.stats
    assert stats.rows_moved == stats.rows_kept == sum(map(sum, sizes))
    assert stats.splits_done == stats.splits == len(sizes)
    assert stats.bytes_received == 100 * sum(map(len, sizes))
    assert stats.fraction == 1.0
    assert scan.error is None
    assert not script.open
    assert next(scan, None) is None


def test_thousands_of_splits(run: Run) -> None:
    script = Script([[[rows(number, 0, 3)]] for number in range(5_000)], natives=False)
    scan = Scan(script.source(), run, workers=4)
    scan.start()
    assert len([thread for thread in scan_threads() if run.id in thread.name]) <= 4
    assert sum(batch.num_rows for batch in scan) == 15_000


def test_large_batches_are_cut(run: Run) -> None:
    script = Script([[[rows(0, 0, 200_000)]]])
    sizes = [batch.num_rows for batch in Scan(script.source(), run)]
    assert sizes == [65_536, 65_536, 65_536, 200_000 - 3 * 65_536]


BIG = Compare(Column(("row",)), ">=", Literal(7, pa.int64()))


def test_what_the_source_did_not_apply_is_filtered_and_its_columns_are_dropped(run: Run) -> None:
    schema = pa.schema([("split", pa.int32()), ("row", pa.int64())])
    script = Script([[_split(0, [5, 5])], [_split(1, [3])]], schema)
    scan = Scan(script.source((BIG,), columns=("split",), extra=1), run)
    assert scan.schema.names == ["split"]
    batches = list(scan)
    assert all(batch.schema.equals(scan.schema) for batch in batches)
    assert sum(batch.num_rows for batch in batches) == 3
    assert (scan.stats.rows_moved, scan.stats.rows_kept) == (13, 3)


def test_batches_without_columns_count_rows(run: Run) -> None:
    script = Script([[_split(0, [5, 5])]])
    batches = list(Scan(script.source((BIG,), columns=(), extra=2), run))
    assert [batch.num_columns for batch in batches] == [0]
    assert sum(batch.num_rows for batch in batches) == 3


def test_a_predicate_that_cannot_be_filtered_is_refused_at_once(run: Run) -> None:
    wrong = Compare(Column(("row",)), "=", Literal("x", pa.string()))
    with pytest.raises(Unsupported):
        Scan(Script([[_split(0, [5])]]).source((wrong,)), run)


@pytest.mark.parametrize("applied", ["exact", "none"])
def test_over_a_connector(run: Run, applied: str) -> None:
    store = MemorySource()
    table = store.put("orders", pa.table({"id": range(10_000), "name": [f"n{n % 7}" for n in range(10_000)]}))
    connector = MANIFEST.open(source_config(store, orders={"applied": applied, "splits": 13, "batch_rows": 100}))
    assert connector.tables is not None
    wanted: Predicate = Compare(Column(("name",)), "=", Literal("n3", pa.string()))
    plan = connector.tables.plan(ScanRequest(table, ("id",), (wanted,)))
    with Scan(Source("shop", connector, plan), run) as scan:
        ids = sorted(pa.Table.from_batches(list(scan), scan.schema)["id"].to_pylist())
    assert ids == list(range(3, 10_000, 7))
    assert scan.stats.rows_moved == (10_000 if applied == "none" else len(ids))
    assert store.running() == []


@pytest.mark.parametrize("limit", [1, 7, 100, 1_000])
def test_a_limit_ends_it_early(run: Run, limit: int) -> None:
    script = Script([[_split(number, [10] * 10)] for number in range(20)])
    scan = Scan(script.source(limit=limit), run, workers=2, queue_batches=1)
    assert sum(batch.num_rows for batch in scan) == limit
    assert scan.stats.rows_kept == limit
    assert scan.drained(5)
    assert not script.open
    assert script.brought <= limit // 10 + 8


def test_a_sleeping_consumer_stops_the_readers_without_their_turning_in_circles(run: Run) -> None:
    script = Script([[_split(number, [10] * 1_000)] for number in range(4)], natives=False)
    scan = Scan(script.source(), run, workers=4, queue_batches=3)
    next(scan)
    eventually(lambda: script.brought >= 3 + 1 + 4)
    began = time.process_time()
    threading.Event().wait(0.3)
    assert time.process_time() - began < 0.1
    assert script.brought == 3 + 1 + 4  # the queue, what was fetched, and one in each reader's hands
    assert sum(batch.num_rows for batch in scan) == 40_000 - 10


def test_a_batch_larger_than_the_queue_passes(run: Run) -> None:
    script = Script([[_split(0, [1_000, 1_000])]])
    assert sum(batch.num_rows for batch in Scan(script.source(), run, queue_bytes=1)) == 2_000


def test_a_scan_that_nobody_holds_ends(run: Run) -> None:
    script = Script([[_split(0, [10] * 100)], [[Silent()]]])
    scan = Scan(script.source(), run, queue_batches=1)
    next(scan)
    eventually(lambda: "silent" in dict(script.log))
    threads = [thread for thread in scan_threads() if run.id in thread.name]
    assert threads
    del scan
    gc.collect()
    for thread in threads:
        thread.join(5)
    eventually(lambda: not script.open)  # by a thread that came later


def test_as_a_record_batch_reader(run: Run) -> None:
    script = Script([[_split(number, [10, 20])] for number in range(3)])
    assert Scan(script.source(), run).reader().read_all().num_rows == 90


def test_values_lost_are_counted_over_splits_and_not_for_broken_reads(run: Run) -> None:
    broken = [Lost({"row": 100}), Broken(lambda: ConnectionLost("gone"))]
    first = [broken, [Lost({"row": 2}), rows(0, 0, 1)]]
    second = [[Lost({"row": 1, "split": 4}), rows(1, 0, 1)]]
    scan = Scan(Script([first, second]).source(), run, random=random.Random(1), wait=lambda _: False)
    assert len(list(scan)) == 2
    assert scan.stats.lost == {"row": 3, "split": 4}
    assert scan.stats.retries == 1


def test_the_work_is_in_the_register_while_it_lasts(run: Run, register: object) -> None:
    from workbench.runs import Register

    assert isinstance(register, Register)
    script = Script([[[rows(0, 0, 1), Silent()]]])
    scan = Scan(script.source(), run)
    next(scan)
    [native] = register.natives(run.id)
    assert native.connection == "shop"
    assert native.native_id.startswith(f"wb-{run.id}-")
    scan.close()
    assert scan.drained(5)
    assert register.natives(run.id) == ()


def test_marks_are_never_used_twice(run: Run) -> None:
    scripts = [Script([[[rows(0, 0, 1)]]] * 5) for _ in range(2)]
    seen: list[str] = []
    for script in scripts:
        script.pace = lambda script=script: seen.extend(script.open)  # type: ignore[misc]
        list(Scan(script.source(), run, workers=1))
    assert len(set(seen)) == 10


@pytest.mark.parametrize("own", [True, False])
def test_progress_is_told_seldom_and_at_the_end(run: Run, own: bool) -> None:
    clock = SettableClock()
    script = Script([[_split(number, [10] * 10)] for number in range(2)], pace=lambda: clock.advance(0.03))
    told: list[ScanStats] = []
    estimated = script.source(estimate=400)
    scan = Scan(estimated, run, workers=1, on_progress=told.append if own else None, clock=clock)
    list(scan)
    assert scan.drained(5)
    if own:
        assert len(told) <= 2 + 22 * 0.03 / 0.1
        assert told[-1].rows_moved == 200
        assert told[-1].fraction == 1.0
        assert all(stats.fraction is not None and stats.fraction <= 0.99 for stats in told[:-1])
        assert told[1].fraction == told[1].rows_moved / 400


def test_what_a_source_says_of_its_work_stands_until_rows_come(run: Run) -> None:
    seen: list[tuple[str, float | None]] = []

    def look() -> None:
        seen.append((scan.stats.said, scan.stats.fraction))

    steps = [Says("Map 1 0/4", 0.0, look), Says("Map 1 3/4", 0.75, look), Says("x" * 500, 7.0, look)]
    script = Script([[[*steps, rows(0, 0, 5), Says("late", 0.9, look)]]])
    scan = Scan(script.source(), run, workers=1)
    list(scan)
    assert seen == [("Map 1 0/4", 0.0), ("Map 1 3/4", 0.75), ("x" * 200, None), ("", None)]


def test_times_are_measured(run: Run) -> None:
    clock = SettableClock()
    script = Script([[[rows(0, 0, 1), rows(0, 1, 1)]]], pace=lambda: clock.advance(1))
    scan = Scan(script.source(), run, clock=clock)
    assert scan.stats.first_batch_seconds is None
    list(scan)
    clock.advance(100)
    assert scan.stats.first_batch_seconds == 1
    assert scan.stats.seconds == 3


def test_protection_comes_once_and_before_the_first_read(run: Run) -> None:
    script = Script([[[rows(number, 0, 1)]] for number in range(8)])
    calls: list[int] = []

    def protect() -> None:
        calls.append(sum(script.reads.values()))

    assert len(list(Scan(script.source(protect=protect), run))) == 8
    assert calls == [0]


def test_without_protection_nothing_is_read(run: Run) -> None:
    def protect() -> None:
        raise RuntimeError("no child")

    script = Script([[[rows(0, 0, 1)]]] * 3)
    with pytest.raises(RuntimeError, match="no child"):
        list(Scan(script.source(protect=protect), run))
    assert not script.reads


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.select(["split"]),
        lambda batch: batch.select(["row", "split"]),
        lambda batch: batch.rename_columns(["split", "line"]),
        lambda batch: batch.cast(pa.schema([("split", pa.int64()), ("row", pa.int64())])),
        lambda batch: batch.cast(pa.schema([pa.field("split", pa.int32(), nullable=False), ("row", pa.int64())])),
    ],
)
def test_batches_of_another_schema_are_refused_loudly(
    run: Run, change: Callable[[pa.RecordBatch], pa.RecordBatch]
) -> None:
    script = Script([[[rows(0, 0, 3), change(rows(0, 3, 3))]]])
    scan = Scan(script.source(), run)
    with pytest.raises(ProtocolError, match="was to bring"):
        list(scan)


def test_schemas_may_differ_in_notes(run: Run) -> None:
    batch = rows(0, 0, 3).replace_schema_metadata({"a": "b"})
    assert next(Scan(Script([[[batch]]]).source(), run)).num_rows == 3


def test_three_million_rows_pass_in_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.execution.memory_child", str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    assert int(done.stdout) <= 250
