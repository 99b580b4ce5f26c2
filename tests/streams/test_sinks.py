"""Rows that go into tables of connections: when they are there, what is refused, what comes again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.services.mysql.server import Server
from tests.streams.parts import giving
from workbench.catalog import Catalog
from workbench.contract.errors import (
    ConnectionLost,
    InvalidParameter,
    StatementRefused,
    UnknownTable,
    WorkbenchError,
)
from workbench.contract.secret import Secret
from workbench.streams import Batch, Bolt, Origin, ParquetReplay, Sink, Topology, spout
from workbench.streams.running import Running
from workbench.streams.writing import Target
from workbench_duckdb.instance import database

Start = Callable[..., Running]


def rows(path: Path, text: str, write: bool = False) -> list[Any]:
    opened = database(str(path))  # as this process has it open
    cursor = opened.acquire(write, "test")
    try:
        return cursor.execute(text).fetchall()
    finally:
        opened.release(cursor)


def test_rows_are_written_together_and_acked_when_they_are_committed(
    started: Start, shop: Path, eventually: Any
) -> None:
    def some() -> Iterator[Any]:
        yield from ((f"/{number}", number) for number in range(8))
        while True:
            yield None

    t = (
        Topology("t")
        .spout("rows", spout("page", "n")(some))
        .bolt("save", Sink("shop.views", rows=5, every="1d"), inputs="rows")
    )
    running = started(t)
    eventually(lambda: running.metrics().count("acked", "rows") == 5, within=60)
    eventually(lambda: running.metrics().count("pending", "rows") == 3, within=60)
    running.stop(60)
    assert rows(shop, "select page, n from views order by n") == [(f"/{number}", number) for number in range(8)]
    assert not running.errors


def test_they_are_written_after_a_while(started: Start, shop: Path, eventually: Any) -> None:
    def some() -> Iterator[Any]:
        yield ("/a", 1)
        while True:
            yield None

    t = (
        Topology("t")
        .spout("rows", spout("page", "n")(some))
        .bolt("save", Sink("shop.views", every="100ms"), inputs="rows")
    )
    running = started(t)
    eventually(lambda: running.metrics().count("acked", "rows") == 1, within=60)


@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("batch", [0, 4])
def test_rows_that_are_refused_are_dead_letters_with_the_reason(
    started: Start, shop: Path, state: bool, batch: int
) -> None:
    given = [("/a", 1), ("/b", 500), ("/c", "many"), ("/d", 2), ("/a", 3), ("/e", 2**40), (None, 4), ("/f", 5)]
    bad: list[Any] = []
    t = (
        Topology("t")
        .spout("rows", giving(*given, batch=batch, repeats=True))
        .bolt("save", Sink("shop.views"), inputs="rows")
    )
    t.bolt("bad", bad.append, inputs="save.dead_letter")
    running = started(t, state=state)
    running.wait(60)
    assert rows(shop, "select page, n from views order by page") == [("/a", 1), ("/d", 2), ("/f", 5)]
    found = {letter.row: letter.error for letter in running.dead_letters}
    assert set(found) == {("/b", 500), ("/c", "many"), ("/a", 3), ("/e", 2**40), (None, 4)}
    assert "check" in found["/b", 500].lower()
    assert "`n`" in found["/c", "many"]
    assert "`n`" in found["/e", 2**40]
    assert "null" in found[None, 4].lower()
    assert sorted(map(str, (row.row for row in bad))) == sorted(map(str, found))
    assert running.metrics().dead_letters == 5
    assert running.metrics().count("failed", "rows") == 0


@pytest.mark.parametrize("state", [False, True])
def test_rows_that_are_all_refused_end_no_run(started: Start, shop: Path, state: bool) -> None:
    t = Topology("t").spout("rows", giving(*[(f"/{n}", 500) for n in range(5)], repeats=True))
    running = started(t.bolt("save", Sink("shop.views"), inputs="rows"), state=state).wait(60)
    assert running.state == "done"
    assert len(running.dead_letters) == 5


def test_rows_that_are_there_are_replaced_or_refused(started: Start, shop: Path) -> None:
    def run(sink: Sink, *values: Any) -> Running:
        running = started(Topology("t").spout("rows", giving(*values)).bolt("save", sink, inputs="rows"))
        return running.wait(60)

    run(Sink("shop.views", key="page"), ("/a", 1), ("/b", 1), ("/a", 2))
    assert rows(shop, "select page, n from views order by page") == [("/a", 2), ("/b", 1)]
    running = run(Sink("shop.views", mode="insert", key="page"), ("/a", 9), ("/c", 1), ("/c", 2))
    assert rows(shop, "select page, n from views order by page") == [("/a", 2), ("/b", 1), ("/c", 1)]
    assert [letter.row for letter in running.dead_letters] == [("/a", 9), ("/c", 2)]


def test_tables_are_made_where_that_is_asked_for(started: Start, shop: Path) -> None:
    with pytest.raises(UnknownTable, match="create=True"):
        started(Topology("t").spout("rows", giving(("/a", 1))).bolt("save", Sink("shop.nothing"), inputs="rows"))
    at = datetime(2026, 1, 2, 3, 4, 5)
    values = [(at, "/a", None, 1.5), (at, "/b", None, 2.5)]
    t = Topology("t").spout("rows", giving(*values, fields=("at", "page", "user", "price")))
    t.bolt("save", Sink("shop.made", create=True, types={"user": "int64"}), inputs="rows")
    started(t).wait(60)
    assert rows(shop, "select * from made order by page") == values
    t = Topology("t", max_retries=0).spout("rows", giving(*values, fields=("at", "page", "user", "price")))
    running = started(t.bolt("save", Sink("shop.other", create=True), inputs="rows"))
    running.wait(60)
    assert 'the first rows have no `user`. Say types={"user": "int64"}' in running.errors[0].error


def test_what_cannot_be_written_is_refused_before_anything_runs(started: Start, shop: Path) -> None:
    def topology(sink: Sink, fields: tuple[str, ...] = ("page", "n")) -> Topology:
        return Topology("t").spout("rows", giving(("/a", 1), fields=fields)).bolt("save", sink, inputs="rows")

    with pytest.raises(StatementRefused, match="writable=True"):
        started(topology(Sink("only.views")))
    with pytest.raises(WorkbenchError, match="nowhere"):
        started(topology(Sink("nowhere.views")))
    assert "nowhere" in str(topology(Sink("nowhere.views")))
    with pytest.raises(InvalidParameter, match="mode"):
        Sink("shop.views", mode="replace")
    with pytest.raises(InvalidParameter, match="key"):
        Sink("shop.views", mode="upsert")
    running = started(
        Topology("t", max_retries=0)
        .spout("rows", giving(("/a", 1), fields=("page", "m")))
        .bolt("save", Sink("shop.views"), inputs="rows")
    )
    running.wait(60)
    assert "have the field `m`" in running.errors[0].error


def test_columns_go_as_they_are(started: Start, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    pq.write_table(pa.table({"page": [f"/{n}" for n in range(50)], "n": range(50)}), tmp_path / "events" / "a.parquet")
    t = (
        Topology("t")
        .spout("rows", ParquetReplay(tmp_path / "events", rows=7))
        .bolt("save", Sink("shop.views"), inputs="rows")
    )
    started(t).wait(60)
    assert rows(shop, "select count(*), sum(n) from views") == [(50, 49 * 25)]


def test_rows_are_written_by_worker_processes_too(started: Start, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    pages = [f"/{n}" for n in range(200)]
    pq.write_table(pa.table({"page": pages, "n": range(200)}), tmp_path / "events" / "a.parquet")
    t = Topology("t").spout("rows", ParquetReplay(str(tmp_path / "events"), rows=7))
    t.bolt("save", Sink("shop.views", every="1d"), inputs="rows")
    running = started(t, runner="processes", workers=2)
    assert running.guarantees()["save"].claim == "at least once"
    running.wait(120)
    assert rows(shop, "select count(*), sum(n) from views") == [(100, 99 * 50)]
    assert len(running.dead_letters) == 100  # those that the table's check refuses
    assert "check" in running.dead_letters[0].error.lower()


class FailsOnce(Bolt):
    """Fails with each batch, the first time, after the others have had it."""

    seen: set[Any] = set()

    def execute_batch(self, batch: Batch) -> None:
        if batch.origin not in self.seen:
            self.seen.add(batch.origin)
            raise ValueError("the first time")


def numbered() -> list[Batch]:
    """Five batches of three rows."""
    return [
        Batch([(number * 3 + one,) for one in range(3)], ("n",), Origin("s", "p", str(number), ""))
        for number in range(5)
    ]


@pytest.mark.parametrize("most", [1, 1000])
def test_a_spouts_batch_that_comes_again_is_written_once(started: Start, shop: Path, most: int) -> None:
    """Whether it is committed already when it comes again, or waits to be."""
    FailsOnce.seen = set()
    t = Topology("t", retry_backoff=0.001).spout("rows", giving(*numbered(), fields=("n",)))
    t.bolt("save", Sink("shop.numbers", create=True, rows=most), inputs="rows").bolt("fails", FailsOnce, inputs="rows")
    running = started(t)
    running.wait(60)
    assert running.metrics().count("failed", "rows") == 15
    assert sorted(rows(shop, "select n from numbers")) == [(n,) for n in range(15)]
    started(t).wait(60)  # another run is asked for the rows anew
    assert len(rows(shop, "select n from numbers")) == 30


class Some(Bolt):
    """Leaves rows out that it has seen, and fails with one, once."""

    outputs = ("n",)
    seen: set[int] = set()
    fails: list[int] = []

    def execute(self, tuple: Any) -> None:  # noqa: A002
        if tuple.n in self.fails:
            self.fails.remove(tuple.n)
            raise ValueError("once")
        if tuple.n not in self.seen:
            self.seen.add(tuple.n)
            self.collector.emit((tuple.n,))


@pytest.mark.parametrize("parallelism", [1, 2])
def test_what_may_be_other_rows_the_second_time_is_written_again(started: Start, shop: Path, parallelism: int) -> None:
    """A bolt between, or several tasks, and parts of a batch come in another order: nothing is taken for known."""
    Some.seen, Some.fails = set(), [4, 10]
    t = Topology("t", retry_backoff=0.001).spout("rows", giving(*numbered(), fields=("n",)))
    t.bolt("some", Some, inputs="rows")
    t.bolt("save", Sink("shop.numbers", create=True, rows=1), inputs="some", parallelism=parallelism)
    started(t).wait(60)
    assert {n for (n,) in rows(shop, "select n from numbers")} == set(range(15))


def test_parts_of_a_batch_that_come_again_are_written_again(started: Start, shop: Path) -> None:
    FailsOnce.seen = set()
    t = Topology("t", retry_backoff=0.001).spout("rows", giving(*numbered(), fields=("n",)))
    t.bolt("fails", FailsOnce, inputs="rows")
    t.bolt("save", Sink("shop.numbers", create=True, rows=1), inputs="rows", parallelism=2)
    started(t).wait(60)
    assert {n for (n,) in rows(shop, "select n from numbers")} == set(range(15))


class Breaks:
    """A writer whose connection breaks when it commits: before it has, or after."""

    def __init__(self, writer: Any, after: bool, times: list[int]) -> None:
        self._writer, self._after, self._times = writer, after, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def commit(self, upto: Any) -> None:
        if not self._times:
            self._writer.commit(upto)
            return
        self._times.pop()
        if self._after:
            self._writer.commit(upto)
        raise ConnectionLost("the line is dead")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("state", [False, True])
def test_a_commit_whose_answer_is_lost_is_looked_for(
    started: Start, shop: Path, monkeypatch: pytest.MonkeyPatch, after: bool, state: bool
) -> None:
    times, opened = [1, 1], Target._writer
    monkeypatch.setattr(Target, "_writer", lambda self, *given: Breaks(opened(self, *given), after, times))
    t = Topology("t").spout("rows", giving(("/a", 1), ("/b", 500), repeats=True))
    t.bolt("save", Sink("shop.plain", create=True), inputs="rows")
    started(t, state=state).wait(60)
    assert times == ([1] if after else [])
    assert rows(shop, "select page, n from plain order by page") == [("/a", 1), ("/b", 500)]


def test_a_folder_has_a_file_for_each_snapshot(started: Start, shop: Path, tmp_path: Path) -> None:
    t = Topology("t").spout("rows", giving(("/a", 1), ("/b", 2), repeats=True))
    t.bolt("save", Sink("lake.views", create=True), inputs="rows")
    running = started(t, state=True).wait(60)
    assert running.guarantees()["save"].claim == "effectively once"
    (file,) = (tmp_path / "lake" / "views").glob("*.parquet")
    assert pq.read_table(file).to_pylist() == [{"page": "/a", "n": 1}, {"page": "/b", "n": 2}]


class AcksLater(Bolt):
    """Each tuple, when so many others have come, or a while later where none come."""

    outputs = ("n",)
    auto_ack = False

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        self.held: list[Any] = []
        self.most = 0

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.held.append(tuple)
        self.collector.emit((tuple.n,), anchors=[tuple])
        self.most = max(self.most, len(self.held))
        if len(self.held) == 1:
            threading.Timer(0.5, self.let_go).start()

    def let_go(self) -> None:
        held, self.held = self.held, []
        for one in held:
            self.collector.ack(one)


def test_a_sink_that_can_take_no_more_holds_the_spouts_back(started: Start, shop: Path, eventually: Any) -> None:
    """Something is always on its way, and yet snapshots are made, and the rows are written."""

    def some() -> Iterator[Any]:
        number = 0
        while True:
            number += 1
            yield (number,)

    t = Topology("t", snapshot_every="1d").spout("rows", spout("n", repeats=True)(some))
    t.bolt("later", AcksLater, inputs="rows")
    t.bolt("save", Sink("shop.numbers", create=True, rows=50), inputs="later")
    running = started(t, state=True)
    eventually(lambda: running.snapshot and running.snapshot.number >= 2, within=60)
    running.stop(60)
    ((count, distinct, least, most),) = rows(shop, "select count(*), count(distinct n), min(n), max(n) from numbers")
    assert count == distinct == most - least + 1


@pytest.mark.parametrize("state", [False, True])
def test_a_server_with_transactions_keeps_how_far_it_is(
    started: Start, shop: Path, mariadb: Server, state: bool
) -> None:
    mariadb.execute(
        "drop table if exists sink_views",
        *([] if state else ["drop table if exists _workbench_positions"]),
        "create table sink_views (page varchar(20) primary key, n int not null) engine=InnoDB",
    )
    Catalog().connect("crm", mariadb.url("writer"), secret=Secret(mariadb.password), writable=True)
    given = [("/a", 1), ("/b", None), ("/a", 2), ("/c", 3)]
    t = (
        Topology("t")
        .spout("rows", giving(*given, batch=4, repeats=True))
        .bolt("save", Sink("crm.sink_views"), inputs="rows")
    )
    assert t.guarantees()["save"].claim == "effectively once"
    running = started(t, state=state).wait(60)
    assert {letter.row for letter in running.dead_letters} == {("/b", None), ("/a", 2)}
    assert mariadb.execute("select page, n from sink_views order by page") == (("/a", 1), ("/c", 3))
    kept = mariadb.execute("select stream, source from _workbench_positions where stream like 't/save/0%'")
    assert len(kept) == 1 + state  # that of the run before is there, too
    mariadb.execute("drop table sink_views")


@pytest.mark.parametrize("server", [False, True])
@pytest.mark.parametrize(("state", "create"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_table_that_is_dropped_midway(
    started: Start, shop: Path, mariadb: Server, eventually: Any, server: bool, state: bool, create: bool
) -> None:
    """Its rows are dead letters; with state the run fails, and the next one goes on when the table is there again; with
    `create` it is made again."""
    table = "dropped_midway"

    def asked(text: str) -> list[Any]:
        return [tuple(row) for row in mariadb.execute(text)] if server else rows(shop, text, write=True)

    if server:
        Catalog().connect("crm", mariadb.url("writer"), secret=Secret(mariadb.password), writable=True)
        mariadb.execute(f"drop table if exists {table}")
    asked(f"create table {table} (n bigint)")
    go_on = threading.Event()

    @spout("n", repeats=True)
    def numbers() -> Iterator[Any]:
        yield from range(3)
        while not go_on.is_set():
            yield None
        yield from range(3, 6)

    def made() -> Topology:
        t = Topology("t", snapshot_every="100ms", max_retries=0).spout("numbers", numbers)
        sink = Sink(f"{'crm' if server else 'shop'}.{table}", create=create, every="20ms")
        return t.bolt("save", sink, inputs="numbers")

    def there() -> list[int]:
        return sorted(row[0] for row in asked(f"select n from {table}"))

    running = started(made(), state=state)
    eventually(lambda: there() == [0, 1, 2], within=60)
    asked(f"drop table {table}")
    go_on.set()
    assert running.ended(60)
    letters = [(letter.row, letter.error) for letter in running.dead_letters]
    if create:
        assert (running.state, letters, there()) == ("done", [], [3, 4, 5])
    elif state:
        assert (running.state, letters) == ("failed", [])
        assert f"No table `{table}`" in running.failure
        asked(f"create table {table} (n bigint)")
        assert started(made(), state=state).wait(60).state == "done"
        assert there() == [3, 4, 5]
    else:
        assert [row for row, _ in letters] == [(3,), (4,), (5,)]
        assert all(f"No table `{table}`" in error for _, error in letters)
