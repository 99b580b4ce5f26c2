"""What a connection can follow as a spout: partitions, positions that are kept, what fails, what is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from tests.streams.process_help import children, gone
from tests.streams.process_parts import Write, written
from workbench.catalog import Catalog
from workbench.contract import Changes, Position, TableRef
from workbench.contract.errors import (
    DocumentError,
    InvalidParameter,
    LimitExceeded,
    PositionLost,
    UnknownTable,
    Unsupported,
)
from workbench.runs import Register
from workbench.streams import Bolt, Feed, StatefulBolt, Topology, feeding
from workbench.streams.following import Partition
from workbench.streams.running import Running

Start = Callable[..., Running]


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A connection `logs`, all of whose `.jsonl` files are one table."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "logs"
    folder.mkdir()
    catalog = Catalog()
    catalog.connect("logs", path=str(folder / "*.jsonl"), test=False)
    write(folder, "a", 1)
    Take.got, Take.fails = [], {}
    yield folder
    catalog.close()


def write(folder: Path, name: str, *ids: int, **more: Any) -> None:
    with (folder / f"{name}.jsonl").open("a") as file:
        file.writelines(json.dumps({"id": one, "log": name, **more}) + "\n" for one in ids)


class Take(Bolt):
    """Keeps the batches that it gets, and fails with one that has a row to fail with."""

    got: list[Any] = []
    fails: dict[int, int] = {}

    def execute_batch(self, batch: Any) -> None:
        for row in batch:
            if self.fails.get(row[0], 0) > 0:
                self.fails[row[0]] -= 1
                raise ValueError(f"row {row[0]}")
        self.got.append(batch)


def ids() -> list[int]:
    return [row[0] for batch in list(Take.got) for row in batch]


def topology(feed: Feed, parallelism: int = 1, **config: Any) -> Topology:
    t = Topology("feed", retry_backoff=0.01, **config).spout("rows", feed, parallelism=parallelism)
    return t.bolt("take", Take, inputs="rows")


def table(folder: Path) -> str:
    catalog = Catalog()
    try:
        return "logs." + str(catalog.tables("logs")[0].table)
    finally:
        catalog.close()


def test_rows_come_from_the_beginning_and_then_as_they_are_written(started: Start, logs: Path, eventually: Any) -> None:
    write(logs, "b", 10)
    running = started(topology(Feed(table(logs))))
    eventually(lambda: sorted(ids()) == [1, 10], within=60)
    write(logs, "a", 2)
    eventually(lambda: sorted(ids()) == [1, 2, 10], within=60)
    (logs / "a.jsonl").rename(logs / "a.jsonl.1")
    write(logs, "a", 3)
    eventually(lambda: sorted(ids()) == [1, 2, 3, 10], within=60)
    counts = running.metrics().now.sources
    assert counts
    assert all(batch.fields == ("id", "log") and batch.columnar for batch in Take.got)
    origins = [batch.origin for batch in Take.got]
    assert len(set(origins)) == 4
    assert {origin.partition for origin in origins} == {"a.jsonl", "b.jsonl"}


def test_from_now_on(started: Start, logs: Path, eventually: Any) -> None:
    running = started(topology(Feed(table(logs), begin="now")))
    eventually(lambda: "partitions" in str(running.metrics().now.sources), within=60)
    spout = running.topology  # the run has begun; its threads say so by `connected`
    assert spout is not None
    eventually(lambda: _count(running, "connected") == 1, within=60)
    write(logs, "a", 2)
    eventually(lambda: ids() == [2], within=60)


def _count(running: Running, name: str) -> float:
    return sum(counts.get(name, 0) for counts in running.metrics().now.sources.values())


def test_tasks_share_the_partitions(started: Start, logs: Path, eventually: Any) -> None:
    for number in range(6):
        write(logs, f"log{number}", *range(number * 10, number * 10 + 5))
    running = started(topology(Feed(table(logs)), parallelism=3))
    eventually(lambda: len(ids()) == 31, within=60)
    assert len(set(ids())) == 31 - 1, "each once (1 is in two logs)"
    assert _count(running, "partitions") == 7
    for name in ("log0", "log3"):
        mine = [row[0] for batch in Take.got for row in batch if row[1] == name]
        assert mine == sorted(mine)


def test_what_fails_comes_again_and_the_poison_row_alone_is_given_up(
    started: Start, logs: Path, eventually: Any, tmp_path: Path
) -> None:
    Take.fails = {4: 10_000, 2: 1}
    write(logs, "a", 2, 3, 4, 5)
    kept = tmp_path / "position.json"
    running = started(topology(Feed(table(logs), position_file=kept), max_retries=1))
    eventually(lambda: sorted(ids()) == [1, 2, 3, 5], within=60)
    eventually(lambda: [letter.row[0] for letter in running.dead_letters] == [4], within=60)
    running.stop()
    Take.got, Take.fails = [], {}
    write(logs, "a", 6)
    started(topology(Feed(table(logs), position_file=kept)))
    eventually(lambda: ids() == [6], within=60)


def test_a_run_goes_on_where_the_last_one_was_done(started: Start, logs: Path, eventually: Any, tmp_path: Path) -> None:
    """What was on its way when it stopped comes again, whatever was done behind it."""
    kept = tmp_path / "position.json"
    Take.fails = {2: 10_000}
    running = started(topology(Feed(table(logs), position_file=kept), max_retries=10_000))
    eventually(lambda: ids() == [1], within=60)
    write(logs, "a", 2)
    eventually(lambda: Take.fails[2] < 10_000, within=60)
    write(logs, "a", 3)
    eventually(lambda: 3 in ids(), within=60)
    running.stop()
    Take.got, Take.fails = [], {}
    started(topology(Feed(table(logs), position_file=kept)))
    eventually(lambda: ids() == [2, 3], within=60)


@pytest.mark.parametrize("tasks", [(2, 1), (1, 2)])
def test_the_next_run_may_have_other_tasks(
    started: Start, logs: Path, eventually: Any, tmp_path: Path, tasks: tuple[int, int]
) -> None:
    kept = tmp_path / "position.json"
    write(logs, "b", 10)
    expected: list[int] = []
    for turn, number in enumerate((*tasks, tasks[0])):
        Take.got = []
        write(logs, "a", 100 + turn)
        write(logs, "b", 200 + turn)
        running = started(topology(Feed(table(logs), position_file=kept), parallelism=number))
        expected = sorted([100 + turn, 200 + turn] + ([1, 10] if turn == 0 else []))
        eventually(lambda expected=expected: sorted(ids()) == expected, within=60)  # type: ignore[misc]
        running.stop()


def test_what_was_cut_within_a_transaction_goes_on_behind_the_rows_that_were_handed_on() -> None:
    """As plain code: who reads is told three rows of five, then asks anew and is told all of them in other pieces."""
    context: Any = SimpleNamespace(wake=lambda: None, random=Random(1), task=0)
    feeds = SimpleNamespace(subscribe=lambda table, name, after, control: asked.append(after))
    found: Any = SimpleNamespace(connector=SimpleNamespace(feeds=feeds), table="t", schema=pa.schema([]))
    asked: list[Position | None] = []
    partition = Partition(found, "0", after=None, now=False, begin_anew=False, shaped=lambda rows, ops: rows,
                          log=asked.append, context=context)  # type: ignore[arg-type]  # fmt: skip
    begin, end, later = (Position("s", str(number)) for number in (0, 5, 9))
    given: list[Any] = []

    def tell(last: Position, complete: bool, *ids: int) -> None:
        entry = Changes(TableRef("t"), pa.record_batch({"id": list(ids)}), None, begin, last, complete)
        if (queued := partition.queued(entry)) is not None:
            given.append((queued[0][0].column("id").to_pylist() if queued[0][0] is not None else [], queued[0][3]))
        partition.taken(entry)

    partition.subscribe()
    tell(begin, False, 1, 2)
    tell(begin, False, 3)
    partition.subscribe()
    tell(begin, True, 1, 2)
    tell(end, True, 3, 4, 5)
    partition.subscribe()
    tell(later, True, 6)
    assert given == [([1, 2], False), ([3], False), ([4, 5], True), ([6], True)]
    assert asked == [None, None, end]


def test_a_position_that_is_gone_fails_the_run_or_begins_anew(
    started: Start, logs: Path, eventually: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "position.json"
    running = started(topology(Feed(table(logs), position_file=kept)))
    eventually(lambda: ids() == [1], within=60)
    running.stop()
    (logs / "a.jsonl").unlink()
    write(logs, "a", 100, 200)
    with pytest.raises(PositionLost, match="from the beginning"):
        started(topology(Feed(table(logs), position_file=kept))).wait(60)
    Take.got = []
    running = started(topology(Feed(table(logs), position_file=kept, lost="begin")))
    eventually(lambda: ids() == [100, 200], within=60)
    assert _count(running, "lost") == 1
    assert any("begins anew" in line for line in list(running.log))


def test_columns_that_come_later_are_left_out_and_said(started: Start, logs: Path, eventually: Any) -> None:
    running = started(topology(Feed(table(logs))))
    eventually(lambda: ids() == [1], within=60)
    write(logs, "a", 2, more=True)
    eventually(lambda: ids() == [1, 2], within=60)
    assert tuple(Take.got[-1].rows[0]) == (2, "a")
    eventually(lambda: any("new columns more" in line for line in list(running.log)), within=60)


def test_who_does_not_take_is_waited_for(started: Start, logs: Path, eventually: Any) -> None:
    """A topology that is paused has a few batches in memory, and not the file."""
    running = started(topology(Feed(table(logs))))
    eventually(lambda: ids() == [1], within=60)
    running.pause()
    line = json.dumps({"id": 7, "log": "x" * 1000}) + "\n"
    with (logs / "a.jsonl").open("a") as file:
        for _ in range(40):
            file.write(line * 1000)
    eventually(lambda: _count(running, "queued") >= 4, within=60)
    assert _count(running, "queued") <= 6
    running.resume()
    eventually(lambda: len(ids()) == 40_001, within=120)


def test_what_cannot_be_followed_says_so(logs: Path, tmp_path: Path) -> None:
    catalog = Catalog()
    catalog.connect("db", path=str(tmp_path / "x.duckdb"), writable=True, test=False)
    catalog.close()
    with pytest.raises(UnknownTable):
        Topology("t").spout("rows", Feed("logs.nothing"))
    with pytest.raises((Unsupported, UnknownTable)):
        Topology("t").spout("rows", Feed("db.orders"))
    for wrong in ({"begin": "soon"}, {"lost": "never"}, {"after": {"a": 1}}):
        with pytest.raises(InvalidParameter):
            Feed(table(logs), **wrong)
    with pytest.raises(InvalidParameter, match="ops"):
        Topology("t").spout("rows", Feed(table(logs), ops="id"))


def test_a_position_file_of_another_table_or_a_damaged_one_is_refused(
    started: Start, logs: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "position.json"
    kept.write_text(json.dumps({"table": "other.table", "positions": {}}))
    with pytest.raises(DocumentError, match="of another table"):
        started(topology(Feed(table(logs), position_file=kept)))
    kept.write_text("{")
    with pytest.raises(DocumentError, match="is damaged"):
        started(topology(Feed(table(logs), position_file=kept)))


def test_more_partitions_than_a_task_may_have_are_refused(
    started: Start, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "LOOKED_AT", 2)
    for name in "bc":
        write(logs, name, 1)
    with pytest.raises(LimitExceeded, match="Say a higher parallelism"):
        started(topology(Feed(table(logs)))).wait(60)


class Sums(StatefulBolt):
    """How often each row came, in its state."""

    outputs = ("id", "times")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        times = self.state[tuple.id] = self.state.get(tuple.id, 0) + 1
        self.collector.emit((tuple.id, times))


def test_with_state_each_row_counts_once_over_runs_that_were_killed(
    started: Start, logs: Path, eventually: Any, tmp_path: Path
) -> None:
    """The snapshot's file is copied while it runs, as if the process had ended at that moment."""
    state, copy = tmp_path / "sums.sqlite", tmp_path / "copy.sqlite"
    got: list[Any] = []

    def summing() -> Topology:
        t = Topology("sums", snapshot_every="100ms").spout("rows", Feed(table(logs)))
        return t.bolt("sums", Sums, inputs="rows").bolt("out", got.append, inputs="sums")

    running = started(summing(), state=state)
    eventually(lambda: len(got) == 1, within=60)
    number = running.snapshot.number if running.snapshot else 0
    eventually(lambda: running.snapshot and running.snapshot.number > number + 1, within=60)
    running.pause()
    shutil.copyfile(state, copy)
    running.resume()
    (logs / "a.jsonl").rename(logs / "a.jsonl.1")
    write(logs, "a", 2, 3)
    eventually(lambda: len(got) == 3, within=60)
    running.stop(20)
    got.clear()
    started(summing(), state=copy)
    eventually(lambda: [tuple(row) for row in got] == [(2, 1), (3, 1)], within=60)


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.deep)])
def test_a_worker_that_is_killed_leaves_nothing_out(
    logs: Path, register: Register, eventually: Any, tmp_path: Path, kills: int
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write(logs, "b", 1)
    t = Topology("feed", message_timeout="3s").spout("rows", Feed(table(logs)), parallelism=2)
    t.bolt("write", Write(str(out)), inputs="rows", parallelism=2)
    running = t.run("processes", workers=2, register=register)
    try:
        expected = {1}

        def done() -> bool:
            assert running.state == "running", running.failure
            return {row[0] for rows in written(out, "write").values() for row in rows} >= expected

        eventually(done, within=120)
        for turn in range(kills):
            more = [turn * 100 + number for number in range(2, 40)]
            expected.update(more)
            write(logs, "ab"[turn % 2], *more)
            workers = [pid for pid in children(running._engine.pid) if not gone(pid)]  # type: ignore[attr-defined]
            os.kill(workers[turn % len(workers)], signal.SIGKILL)
            eventually(done, within=120)
    finally:
        running.stop(20)


def test_a_task_without_partitions_takes_those_that_come_from_their_beginning(
    logs: Path, started: Start, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "NEW_PARTITIONS", 0.05)
    running = started(topology(Feed(table(logs), begin="now"), parallelism=3))
    eventually(lambda: _count(running, "connected") == 1, within=60)
    running.metrics(), running.metrics()  # answered between two turns, so all three tasks have looked by now
    for number in range(7):
        write(logs, f"late{number}", number * 10, number * 10 + 1)
    eventually(lambda: sorted(ids()) == sorted([n * 10 for n in range(7)] + [n * 10 + 1 for n in range(7)]), within=60)
