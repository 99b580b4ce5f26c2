"""New rows of a table: late commits, ties, rows that are gone, a server that is gone; on a real MariaDB."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from tests.services.mysql.server import Server
from workbench.catalog import Catalog
from workbench.contract.errors import (
    Cancelled,
    DocumentError,
    InvalidParameter,
    LimitExceeded,
    UnknownColumn,
    UnknownConnection,
    UnknownTable,
)
from workbench.contract.secret import Secret
from workbench.runs import Register
from workbench.streams import TablePoll, Topology, growing, polling, receiving
from workbench.streams.growing import Growing, Polls, cursor_value
from workbench.streams.running import Running
from workbench.testing.proxy import Fault, FaultProxy

Start = Callable[..., Running]
WAIT = 60


@pytest.fixture
def shop(tmp_path: Path, mariadb: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A connection `shop` to a server with an empty table of orders."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(receiving, "BACKOFF", 0.01)
    catalog = Catalog()
    catalog.connect("shop", mariadb.url(), secret=Secret(mariadb.password))
    catalog.close()
    mariadb.execute(
        "drop table if exists polled",
        "create table polled (order_id bigint unsigned primary key, at datetime(6), page varchar(20), total int)",
    )
    return mariadb


def polled(spout: TablePoll, **config: Any) -> tuple[Topology, list[Any]]:
    rows: list[Any] = []
    t = Topology("polled", **{"retry_backoff": 0.01, **config}).spout("in", spout)
    return t.bolt("out", lambda row: rows.append(tuple(row)), inputs="in"), rows


def poll(key: Any = "order_id", *args: Any, **options: Any) -> TablePoll:
    return TablePoll("shop.polled", key, *args, every="20ms", **options)


def add(server: Server, *ids: int, at: str = "2026-11-01 10:00:00") -> None:
    rows = ", ".join(f"({one}, '{at}', '/{one}', {one * 10})" for one in ids)
    server.execute(f"insert into polled values {rows}")


def counts(running: Running) -> dict[str, float]:
    [found] = running.metrics().now.sources.values()
    return dict(found)


def test_new_rows_come_once_and_in_order(started: Start, shop: Server, eventually: Any) -> None:
    add(shop, 3, 1, 2)
    t, rows = polled(poll(columns=("page", "total")))
    running = started(t)
    eventually(lambda: rows == [("/1", 10), ("/2", 20), ("/3", 30)], within=WAIT)
    add(shop, 5)
    eventually(lambda: rows[3:] == [("/5", 50)], within=WAIT)
    before = counts(running)["polls"]
    eventually(lambda: counts(running)["polls"] > before + 3, within=WAIT)
    assert len(rows) == 4
    assert running.metrics().count("acked", "in") == 4  # rows; none of them twice
    assert counts(running)["received"] == 4


def test_a_row_that_is_committed_late_comes_too(started: Start, shop: Server, eventually: Any) -> None:
    t, rows = polled(poll(columns=("order_id",)))
    running = started(t)
    with shop.connection(autocommit=False) as slow, slow.cursor() as cursor:
        cursor.execute("insert into polled values (1, now(), 'slow', 1)")
        add(shop, 2)
        eventually(lambda: rows == [(2,)], within=WAIT)
        before = counts(running)["polls"]
        eventually(lambda: counts(running)["polls"] > before + 2, within=WAIT)
        assert rows == [(2,)]
        slow.commit()
    eventually(lambda: rows == [(2,), (1,)], within=WAIT)


def test_rows_of_the_same_time_are_told_apart_and_changed_ones_come_again(
    started: Start, shop: Server, eventually: Any
) -> None:
    add(shop, 1, 2)
    t, rows = polled(poll("order_id", "at", columns=("order_id", "total"), overlap="2s"))
    started(t)
    eventually(lambda: rows == [(1, 10), (2, 20)], within=WAIT)
    add(shop, 3)  # of the same microsecond
    eventually(lambda: rows[2:] == [(3, 30)], within=WAIT)
    shop.execute("update polled set total = 7, at = '2026-11-01 10:00:01.5' where order_id = 1")
    eventually(lambda: rows[3:] == [(1, 7)], within=WAIT)
    add(shop, 4, at="2026-11-01 09:59:59.6")  # within the overlap
    eventually(lambda: rows[4:] == [(4, 40)], within=WAIT)
    shop.execute("insert into polled values (9, null, 'no time', 0)")
    add(shop, 5, at="2026-11-01 09:00:00")  # before it: never seen
    add(shop, 6, at="2026-11-01 11:00:00")
    eventually(lambda: rows[5:] == [(6, 60)], within=WAIT)


def test_a_table_that_begins_anew_is_said(started: Start, shop: Server, eventually: Any) -> None:
    add(shop, 2_000, 2_001)
    t, rows = polled(poll(columns=("order_id",), overlap=10))
    running = started(t)
    eventually(lambda: len(rows) == 2, within=WAIT)
    shop.execute("truncate polled")
    add(shop, 1)
    eventually(lambda: counts(running)["jumps"] == 1, within=WAIT)
    assert any("greatest order_id, 2001, is gone" in line for line in running.log)
    add(shop, 2_002)
    eventually(lambda: rows[2:] == [(2_002,)], within=WAIT)
    assert counts(running)["jumps"] == 1
    assert "in: 1 jumps" in repr(running)


def test_it_begins_where_is_said_and_goes_on_where_it_was(
    started: Start, shop: Server, eventually: Any, tmp_path: Path
) -> None:
    add(shop, *range(1, 8))
    kept = tmp_path / "orders.json"
    spout = poll(columns=("order_id",), since=5, overlap=1, position_file=str(kept), batch_rows=2)
    t, rows = polled(spout)
    running = started(t)
    eventually(lambda: rows == [(5,), (6,), (7,)], within=WAIT)
    eventually(kept.exists, within=WAIT)
    running.stop()
    assert json.loads(kept.read_text())["greatest"] == 7
    add(shop, 8)
    t, rows = polled(spout)
    started(t)
    eventually(lambda: rows == [(6,), (7,), (8,)], within=WAIT)  # those of the overlap again
    eventually(lambda: json.loads(kept.read_text())["greatest"] == 8, within=WAIT)
    other = poll("order_id", "at", position_file=str(kept))
    with pytest.raises(DocumentError, match="another table or cursor"):
        started(polled(other)[0]).wait(WAIT)
    kept.write_text("{")
    with pytest.raises(DocumentError, match="damaged"):
        started(polled(spout)[0]).wait(WAIT)


def test_a_position_waits_for_rows_that_fail(started: Start, shop: Server, eventually: Any, tmp_path: Path) -> None:
    add(shop, *range(1, 9))
    kept = tmp_path / "orders.json"
    failing = [True]

    def out(row: Any) -> None:
        if row.order_id == 3 and failing:
            raise ValueError(row.order_id)

    t = Topology("failing", retry_backoff=0.01, retry_backoff_most=0.02, max_retries=1_000_000)
    t.spout("in", poll(columns=("order_id",), position_file=str(kept), batch_rows=4)).bolt("out", out, inputs="in")
    running = started(t)
    eventually(lambda: running.metrics().count("failed", "in") > 4, within=WAIT)
    assert not kept.exists()
    failing.clear()
    eventually(kept.exists, within=WAIT)
    assert json.loads(kept.read_text())["greatest"] == 8


def test_poison_rows_are_given_up_and_the_position_moves(
    started: Start, shop: Server, eventually: Any, tmp_path: Path
) -> None:
    add(shop, *range(1, 9))
    kept = tmp_path / "orders.json"

    def out(row: Any) -> None:
        if row.order_id == 3:
            raise ValueError(row.order_id)

    t = Topology("poison", retry_backoff=0.01, max_retries=0)
    t.spout("in", poll(columns=("order_id",), position_file=str(kept))).bolt("out", out, inputs="in")
    running = started(t)
    eventually(lambda: kept.exists() and running.dead_letters, within=WAIT)
    assert [letter.row for letter in running.dead_letters] == [(3,)]


def test_more_than_is_put_in_order_comes_all_the_same(
    started: Start, shop: Server, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "SORTED", 100)
    add(shop, *range(1, 1_001))
    t, rows = polled(poll(columns=("order_id",), batch_rows=10), max_spout_pending=2)
    started(t)
    eventually(lambda: sorted(rows) == [(one,) for one in range(1, 1_001)], within=WAIT)


def test_what_is_not_there_is_said(started: Start, shop: Server) -> None:
    for make, said in (
        (lambda: TablePoll("shp.orders", "id"), UnknownConnection),
        (lambda: TablePoll("shop.poled", "id"), UnknownTable),
        (lambda: poll("order"), UnknownColumn),
        (lambda: poll(columns=("total", "tota")), UnknownColumn),
    ):
        with pytest.raises(said):
            Topology("x").spout("in", make())
    for make, why in (
        (lambda: TablePoll("shop.polled", ()), "key"),
        (lambda: TablePoll("shop.polled", ("order_id", "at")), "which of order_id, at grows"),
        (lambda: poll(batch_rows=0), "batch_rows"),
    ):
        with pytest.raises(InvalidParameter, match=why):
            make()
    for spout, why in ((poll(since="x"), "since"), (poll(overlap="1m"), "overlap"), (poll(since=-1), "since")):
        with pytest.raises(InvalidParameter, match=why):
            started(polled(spout)[0]).wait(WAIT)


def test_its_run_is_listed_and_can_be_stopped(started: Start, shop: Server, eventually: Any, tmp_path: Path) -> None:
    running = started(polled(poll())[0])
    register = Register(tmp_path / "home" / "runs.sqlite")
    eventually(lambda: counts(running)["polls"], within=WAIT)
    [run] = [one for one in register.runs() if one.kind == "poll"]
    assert (run.title, run.connections) == ("poll shop.polled", ("shop",))
    register.request_stop(run.id)
    with pytest.raises(Cancelled):
        running.wait(WAIT)
    eventually(lambda: register.get(run.id).state == "stopped", within=WAIT)
    again = started(polled(poll())[0])
    eventually(lambda: counts(again)["polls"], within=WAIT)
    again.stop()
    eventually(lambda: not register.runs(), within=WAIT)
    register.close()


def test_a_server_that_is_gone_is_asked_again(tmp_path: Path, started: Start, shop: Server, eventually: Any) -> None:
    with FaultProxy(("127.0.0.1", shop.port)) as proxy:
        catalog = Catalog()
        catalog.connect(
            "far", shop.url().replace(f":{shop.port}", f":{proxy.address[1]}"), secret=Secret(shop.password)
        )
        catalog.close()
        add(shop, 1)
        t, rows = polled(TablePoll("far.polled", "order_id", columns=("order_id",), every="20ms"))
        running = started(t)
        eventually(lambda: rows == [(1,)], within=WAIT)
        proxy.set(Fault(cut_after=0, how="reset"))
        proxy.cut("reset")
        eventually(lambda: counts(running)["reconnects"] >= 2, within=WAIT)
        add(shop, 2)
        proxy.set(Fault())
        eventually(lambda: rows == [(1,), (2,)], within=WAIT)


# --- the logic alone


def batch(rows: list[tuple[Any, ...]], type_: Any = None) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array([row[0] for row in rows], type_ or pa.int64()), [row[1] for row in rows]], ["at", "id"]
    )


def given_of(it: Growing, table: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """One time of reading, in parts, as a source reads it."""
    low = it.least()
    read = [row for row in table if row[0] is None or low is None or row[0] >= low]
    it.begin()
    parts = [it.fresh(batch(read[start : start + 3], it.type)) for start in range(0, len(read), 3)]
    it.end()
    return [tuple(row.values()) for part in parts for row in part.to_pylist()]


@given(st.data())
def test_each_row_is_given_once_if_it_is_within_the_overlap(data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, 5))
    it = Growing("at", ("id",), pa.int64(), overlap)
    table: list[tuple[Any, ...]] = []
    seen: list[tuple[Any, ...]] = []
    for _ in range(data.draw(st.integers(1, 6))):
        greatest = max((row[0] for row in table), default=0)
        new = data.draw(st.lists(st.integers(greatest - overlap, greatest + 7), max_size=8))
        table += [(at, len(table) + place) for place, at in enumerate(new)]
        table = data.draw(st.permutations(table))
        seen += given_of(it, table)
    assert sorted(seen) == sorted(table)


def test_what_is_read_halfway_is_read_again() -> None:
    it = Growing("at", ("id",), pa.int64(), 0)
    it.begin()
    it.fresh(batch([(9, 1)]))  # and then the source is lost
    assert it.least() is None
    assert given_of(it, [(5, 0), (9, 1)]) == [(5, 0), (9, 1)]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "REMEMBERED", 10)
    it = Growing("at", ("id",), pa.int64(), 3)
    assert len(given_of(it, [(at, at) for at in range(1_000)])) == 1_000
    with pytest.raises(LimitExceeded, match="smaller `overlap`"):
        given_of(it, [(1_000, one) for one in range(20)])


@pytest.mark.parametrize(
    ("type_", "greatest", "overlap", "least"),
    [
        (pa.uint8(), 3, 5, 0),
        (pa.int8(), -127, 5, -128),
        (pa.int64(), 10, None, -990),
        (pa.decimal128(10, 2), 7, 2, 5),
        (pa.string(), "b", None, "b"),
        (pa.date32(), datetime.date(2026, 3, 1), "1h", datetime.date(2026, 2, 28)),
        (pa.date32(), datetime.date.min, None, None),
        (pa.timestamp("us"), datetime.datetime(2026, 1, 1), None, datetime.datetime(2025, 12, 31, 23, 59)),
        (pa.timestamp("s"), datetime.datetime(2026, 1, 1), 0.5, datetime.datetime(2025, 12, 31, 23, 59, 59)),
        (pa.timestamp("us"), datetime.datetime.min, None, None),
    ],
)
def test_from_where_on_is_read(type_: Any, greatest: Any, overlap: Any, least: Any) -> None:
    assert Growing("at", ("id",), type_, overlap).least(greatest) == least


@pytest.mark.parametrize("type_", [pa.float64(), pa.bool_(), pa.binary(), pa.list_(pa.int64()), pa.null()])
def test_a_cursor_of_another_type_is_refused(type_: Any) -> None:
    with pytest.raises(InvalidParameter, match="cursor"):
        Growing("at", ("id",), type_)


def test_values_to_begin_with() -> None:
    utc = datetime.UTC
    assert cursor_value("2026-01-01T01:00:00+01:00", pa.timestamp("us", "UTC")) == datetime.datetime(
        2026, 1, 1, tzinfo=utc
    )
    assert cursor_value("2026-01-01", pa.timestamp("us")) == datetime.datetime(2026, 1, 1)
    assert cursor_value("2026-01-01", pa.date32()) == datetime.date(2026, 1, 1)
    assert str(cursor_value("1.50", pa.decimal128(10, 2))) == "1.50"
    for value, type_ in (
        ("x", pa.int64()),
        (True, pa.int64()),
        (300, pa.uint8()),
        ("2026-01-01T00:00:00Z", pa.timestamp("us")),
        ("2026-01-01", pa.timestamp("us", "UTC")),
    ):
        with pytest.raises(InvalidParameter, match="since"):
            cursor_value(value, type_)


def test_a_position_may_be_kept_when_all_before_is_done() -> None:
    polls = Polls()
    polls.add(1)
    polls.add(2)
    assert polls.end("a") is None
    polls.add(3)
    assert polls.done(3) is None
    assert polls.end("b") is None
    polls.split(2, [4, 5])
    assert [polls.done(one) for one in (1, 4)] == [None, None]
    assert polls.done(5) == "b"
    assert polls.done(5) is None
    assert polls.end("c") == "c"
