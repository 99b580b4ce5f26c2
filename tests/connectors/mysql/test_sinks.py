"""Writing: tables that are made, extreme values, refused rows, and positions that belong to their rows."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.connectors.mysql.store import config
from tests.services.mysql.server import Server
from workbench.contract import Changes, Guarantee, Position, ScanRequest, TableRef, WriteSpec
from workbench.contract.errors import ConnectionLost, InvalidParameter, QueryFailed, StatementRefused, UnknownTable
from workbench.testing.oracle import rows_of
from workbench.testing.scanning import read
from workbench_mysql.connector import MySQLConnector
from workbench_mysql.manifest import MANIFEST
from workbench_mysql.values import Unwritable, constants

REF = TableRef("written")
HERE = Position("s", "0")
PAIR = pa.schema([pa.field("k", pa.int64()), pa.field("v", pa.string())])


@pytest.fixture
def shop(mysql_server: Server) -> Iterator[MySQLConnector]:
    mysql_server.execute("drop table if exists written", "drop table if exists _workbench_positions")
    connector = MANIFEST.open(config(mysql_server, "writer", writable=True))
    assert isinstance(connector, MySQLConnector)
    yield connector
    connector.close()


def changes(rows: pa.Table | pa.RecordBatch, *ops: str) -> Changes:
    batch = rows.combine_chunks().to_batches()[0] if isinstance(rows, pa.Table) else rows
    return Changes(REF, batch, pa.array(ops) if ops else None, HERE, HERE)


def pairs(*rows: tuple[Any, Any]) -> pa.RecordBatch:
    keys, values = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(keys, pa.int64()), pa.array(values, pa.string())], schema=PAIR)


def now(shop: MySQLConnector, columns: tuple[str, ...] = ("k", "v")) -> pa.Table:
    return read(shop, shop.tables.plan(ScanRequest(REF, columns)))


def test_a_table_of_all_types_is_made_and_comes_back(shop: MySQLConnector) -> None:
    long = "x" * 100_000 + "🦆'\\\"\n\0\x1a%s"
    columns: dict[str, tuple[pa.DataType, list[Any]]] = {
        "k": (pa.string(), ["a", "A", "a ", "é"]),
        "i8": (pa.int8(), [-128, 127, 0, None]),
        "u64": (pa.uint64(), [0, 2**64 - 1, None, 1]),
        "f32": (pa.float32(), [3.4028234663852886e38, -1.5, 1e-45, None]),
        "f64": (pa.float64(), [5e-324, 1.7976931348623157e308, 0.1, None]),
        "dec": (pa.decimal128(38, 10), [Decimal("9" * 28 + "." + "9" * 10), Decimal("-1E-10"), None, Decimal("0E-10")]),
        "text": (pa.string(), [long, "", None, "NULL"]),
        "bin": (pa.binary(), [bytes(range(256)), b"", None, b"'"]),
        "d": (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29), None]),
        "t": (pa.timestamp("us"), [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999), None,
                                   dt.datetime(1969, 12, 31, 23, 59, 59, 1)]),
        "z": (pa.timestamp("us", "UTC"), [dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC), None,
                                          dt.datetime(2038, 1, 19, 3, 14, 7, 999_999, tzinfo=dt.UTC),
                                          dt.datetime(2024, 3, 31, 2, 30, tzinfo=dt.UTC)]),
        "p": (pa.duration("us"), [dt.timedelta(hours=-838), dt.timedelta(microseconds=-1), dt.timedelta(0), None]),
    }  # fmt: skip
    rows = pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()})
    writer = shop.sinks.open(REF, WriteSpec(rows.schema, "insert", ("k",), create=True))
    assert writer.guarantee is Guarantee.KEYED
    assert not writer.write(changes(rows), 1).count
    writer.commit(None)
    writer.close()
    assert rows_of(now(shop, tuple(columns))) == rows_of(rows)


@settings(max_examples=300, deadline=None)
@given(st.integers(-719_528, 2_932_896), st.integers(0, 86_399_999_999))
def test_the_calendar_is_pythons(days: int, micros: int) -> None:
    if days >= -719_162:
        day = dt.date(1970, 1, 1) + dt.timedelta(days=days)
        assert constants(pa.array([days], pa.int32()).cast(pa.date32())) == [f"'{day.isoformat()}'"]
        moment = dt.datetime(1970, 1, 1) + dt.timedelta(days=days, microseconds=micros)
        said = constants(pa.array([days * 86_400_000_000 + micros], pa.timestamp("us")))
        assert said == [f"'{moment.isoformat(' ', 'microseconds')}'"]


def test_what_has_no_constant_says_why() -> None:
    bad = [
        pa.array([float("nan"), float("inf")]),
        pa.array([2**62], pa.timestamp("us")),
        pa.array([1], pa.timestamp("ns")),
        pa.array([-800_000], pa.int32()).cast(pa.date32()),
    ]
    assert all(isinstance(constant, Unwritable) for array in bad for constant in constants(array))


def test_refused_rows_are_found_and_the_others_written(shop: MySQLConnector, mysql_server: Server) -> None:
    mysql_server.execute(
        "create table written (k tinyint primary key, v varchar(3) not null)", "insert into written values (3, 'old')"
    )
    writer = shop.sinks.open(REF, WriteSpec(PAIR, key=("k",)))
    rows = [(n, "abc") for n in range(1, 101)] + [(1000, "x"), (101, "long"), (102, None), (5, "twice")]
    rejects = writer.write(changes(pairs(*rows)), 1)
    writer.commit(None)
    writer.close()
    assert rejects.count == 5
    assert len(rejects.samples) == 5
    assert any("k = 1000" in sample and "1264" in sample for sample in rejects.samples)
    assert any("k = 3:" in sample and "1062" in sample for sample in rejects.samples)
    assert now(shop).num_rows == 100


def test_rows_and_position_are_one_transaction(shop: MySQLConnector, mysql_server: Server) -> None:
    spec = WriteSpec(PAIR, "upsert", ("k",), create=True, stream="orders 🦆'")
    writer = shop.sinks.open(REF, spec)
    assert writer.guarantee is Guarantee.TRANSACTIONAL
    writer.write(changes(pairs((1, "one"))), 1)
    assert mysql_server.execute("select count(*) from written") == ((0,),)
    assert mysql_server.execute("select count(*) from _workbench_positions") == ((0,),)
    writer.commit(Position("s", "gtid:1"))
    writer.write(changes(pairs((2, "two"))), 2)
    mysql_server.execute(f"kill {writer._link.thread_id()}")
    with pytest.raises(ConnectionLost):
        writer.commit(Position("s", "gtid:2"))
    with pytest.raises(ConnectionLost):
        writer.write(changes(pairs((3, "three"))), 3)
    writer.close()
    again = shop.sinks.open(REF, spec)
    assert again.position() == Position("s", "gtid:1")
    again.close()
    assert now(shop).to_pylist() == [{"k": 1, "v": "one"}]


def test_a_commit_that_is_late_on_its_way_is_waited_for(shop: MySQLConnector, mysql_server: Server) -> None:
    """A connection broke on our side, and the server has not seen the commit yet: not to wait would be to write all
    of it a second time."""
    spec = WriteSpec(PAIR, "upsert", ("k",), create=True, stream="late")
    writer = shop.sinks.open(REF, spec)
    writer.write(changes(pairs((1, "one"))), 1)
    writer.commit(Position("s", "1"))
    writer.close()
    with ThreadPoolExecutor(1) as pool, mysql_server.connection(autocommit=False) as late, late.cursor() as cursor:
        cursor.execute("update _workbench_positions set value = '2' where stream = 'late'")
        again = shop.sinks.open(REF, spec)
        told = pool.submit(again.position)
        waits = "select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'"
        while mysql_server.execute(waits) != ((1,),):
            assert not told.done()
            time.sleep(0.05)
        late.commit()
        assert told.result(60) == Position("s", "2")
        again.close()


def test_a_deadlock_is_not_committed_by_half(shop: MySQLConnector, mysql_server: Server) -> None:
    mysql_server.execute(
        "create table written (k bigint primary key, v text)", "insert into written values (1, 'a'), (2, 'b')"
    )
    writer = shop.sinks.open(REF, WriteSpec(PAIR, "upsert", ("k",)))
    writer._link.run("set session innodb_lock_wait_timeout = 1")
    with mysql_server.connection(autocommit=False) as other, other.cursor() as cursor:
        cursor.execute("update written set v = 'mine' where k = 2")
        writer.write(changes(pairs((1, "A"))), 1)
        with pytest.raises(QueryFailed) as caught:
            writer.write(changes(pairs((2, "B"))), 2)
        assert "1205" in str(caught.value)
        other.rollback()
    with pytest.raises(ConnectionLost):
        writer.commit(None)
    writer.close()
    assert sorted(now(shop).column("v").to_pylist()) == ["a", "b"]


def test_what_does_not_fit_is_said_before_anything_is_written(shop: MySQLConnector, mysql_server: Server) -> None:
    with pytest.raises(UnknownTable):
        shop.sinks.open(REF, WriteSpec(PAIR))
    mysql_server.execute(
        "create table written (k int, v date)", "create or replace view written_view as select 1 k, 'x' v"
    )
    for spec in (
        WriteSpec(PAIR),
        WriteSpec(pa.schema([pa.field("q", pa.int64())])),
        WriteSpec(pa.schema([pa.field("k", pa.int64())]), "upsert", ("k",)),
        WriteSpec(pa.schema([pa.field("k", pa.int64())]), "upsert"),
        WriteSpec(pa.schema([])),
        WriteSpec(PAIR, key=("z",)),
    ):
        with pytest.raises(InvalidParameter):
            shop.sinks.open(REF, spec)
    with pytest.raises(InvalidParameter):
        shop.sinks.open(TableRef("written_view"), WriteSpec(PAIR))


def test_a_read_only_connection_writes_nothing(mysql_server: Server) -> None:
    for user in ("reader", "writer"):
        connector = MANIFEST.open(config(mysql_server, user))
        assert isinstance(connector, MySQLConnector)
        with pytest.raises(StatementRefused):
            connector.sinks.open(REF, WriteSpec(PAIR, create=True))
        refusal = StatementRefused if user == "writer" else QueryFailed  # by the session, and by the user's rights
        with pytest.raises(StatementRefused):
            connector.ask(lambda link: link.run("create table nothing (a int)"))
        with pytest.raises(refusal):
            connector.ask(lambda link: link.run("insert into _workbench_positions values ('a', 'b', 'c')"))
        connector.close()


def test_native_text_may_write_where_the_connection_may(shop: MySQLConnector) -> None:
    for text, affected in (
        ("create table written (k int primary key, v text)", 0),
        ("insert into written values (1, 'a'), (2, 'b')", 2),
        ("update written set v = 'c' where k > 1;", 1),
        ("drop table written", 0),
    ):
        plan = shop.tables.native(text)
        assert read(shop, plan).to_pylist() == [{"affected_rows": affected}], text


def test_large_rows_and_many(shop: MySQLConnector) -> None:
    writer = shop.sinks.open(REF, WriteSpec(PAIR, create=True))
    assert not writer.write(changes(pairs(*enumerate(["x"] * 11_999 + ["y" * (20 << 20)]))), 1).count
    huge = pairs((-1, "z" * (65 << 20)))
    rejects = writer.write(changes(huge), 2)
    assert (rejects.count, "max_allowed_packet" in rejects.samples[0]) == (1, True)
    writer.commit(None)
    writer.close()
    assert now(shop, ("k",)).num_rows == 12_000
