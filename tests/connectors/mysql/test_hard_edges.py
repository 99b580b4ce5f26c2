"""Indexed fractions, odd character sets, a statement that answers unasked, and what is still open when it ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from tests.connectors.mysql.store import config
from tests.services.mysql.server import Server
from workbench.contract import (
    Applied,
    Changes,
    Column,
    Compare,
    In,
    Literal,
    Position,
    ScanRequest,
    TableRef,
    WriteSpec,
)
from workbench.contract.errors import InvalidParameter, Unsupported
from workbench.contract.predicate import Predicate
from workbench.testing.control import RecordingControl
from workbench.testing.scanning import read
from workbench_mysql import text
from workbench_mysql.connector import MySQLConnector
from workbench_mysql.decode import _becomes
from workbench_mysql.manifest import MANIFEST
from workbench_mysql.predicates import Source, fragment
from workbench_mysql.types import Kind

EDGES = TableRef("edges")


@pytest.fixture
def shop(mysql_server: Server) -> Iterator[MySQLConnector]:
    mysql_server.execute(
        "set time_zone = '+00:00'",
        "drop table if exists edges",
        "create table edges (id int primary key, d datetime, m datetime(3), s varchar(9) character set sjis,"
        " key (d), key (m))",
        "insert into edges values (1, '2024-01-01 00:00:03', '2024-01-01 00:00:03.500', x'815f'),"
        " (2, '2024-01-01 00:00:04', '2024-01-01 00:00:03.501', x'5c'), (3, null, null, null)",
    )
    connector = MANIFEST.open(config(mysql_server, "writer", writable=True))
    assert isinstance(connector, MySQLConnector)
    yield connector
    connector.close()


def ids(shop: MySQLConnector, predicate: Predicate) -> tuple[Applied, list[int]]:
    plan = shop.tables.plan(ScanRequest(EDGES, ("id",), (predicate,)))
    return plan.applied[predicate], read(shop, plan).column("id").to_pylist()


def test_no_row_equals_a_fraction_that_its_indexed_column_cannot_hold(shop: MySQLConnector) -> None:
    kind = pa.timestamp("us")
    for name, micros in (("d", 500_000), ("m", 500_400), ("m", 500_600)):
        finer = Literal(dt.datetime(2024, 1, 1, 0, 0, 3, micros), kind)
        there = Literal(dt.datetime(2024, 1, 1, 0, 0, 3, 0 if name == "d" else 500_000), kind)
        column = Column((name,))
        assert ids(shop, Compare(column, "=", finer)) == (Applied.EXACT, [])
        assert ids(shop, In(column, (finer,))) == (Applied.EXACT, [])
        assert ids(shop, In(column, (finer, there))) == (Applied.EXACT, [1])
        assert sorted(ids(shop, Compare(column, "<>", finer))[1]) == [1, 2]
        assert ids(shop, Compare(column, "=", there)) == (Applied.EXACT, [1])


def test_a_character_that_a_set_has_twice_is_not_compared_there(shop: MySQLConnector) -> None:
    backslash = Compare(Column(("s",)), "=", Literal("\\", pa.string()))
    applied, found = ids(shop, backslash)
    assert (applied, {1, 2} <= set(found)) == (Applied.NONE, True)
    for charset in ("sjis", "ujis", "swe7", "gbk"):
        source = {"s": Source("s", "varchar", pa.string(), charset)}
        assert fragment(Compare(Column(("s",)), "=", Literal("A-1", pa.string())), source).applied is Applied.SUPERSET
        assert fragment(Compare(Column(("s",)), "=", Literal("[1]", pa.string())), source).applied is Applied.NONE


def test_rows_of_a_procedure_are_never_dropped_in_silence(mysql_server: Server, shop: MySQLConnector) -> None:
    mysql_server.execute("drop procedure if exists answers", "create procedure answers() select 1 union select 2")
    control = RecordingControl()
    with pytest.raises(Unsupported, match=r"the 2 rows .* has run"):
        list(shop.tables.read(shop.tables.native("call answers()").splits[0], control))
    assert control.open == []


def test_a_native_id_is_out_of_the_register_before_its_session_is_another_s(shop: MySQLConnector) -> None:
    class Looking(RecordingControl):
        resting: list[int] = []

        def ended(self, native_id: str) -> None:
            self.resting.append(shop.pool.resting())
            super().ended(native_id)

    control = Looking()
    list(shop.tables.read(shop.tables.plan(ScanRequest(EDGES, ("id",))).splits[0], control))
    assert (control.resting, shop.pool.resting()) == ([0], 1)


def test_a_session_that_a_late_kill_may_hit_is_not_used_again(shop: MySQLConnector) -> None:
    reader = shop.tables.read(shop.tables.plan(ScanRequest(EDGES, ("id",))).splits[0], RecordingControl())
    next(reader)
    shop.cancel(str(reader.native_id))  # the rows have all come by now
    for _ in range(2):
        with pytest.raises(BaseException):  # noqa: B017, PT011 (Cancelled, then the end)
            next(reader)
    assert reader._link.open is False


def test_the_beginning_of_a_column_is_no_key_and_null_says_no_row(mysql_server: Server, shop: MySQLConnector) -> None:
    schema = pa.schema([("k", pa.string()), ("v", pa.int64())])
    mysql_server.execute("drop table if exists keyed", "create table keyed (k varchar(50), v bigint, unique (k(3)))")
    with pytest.raises(InvalidParameter, match="not unique"):
        shop.sinks.open(TableRef("keyed"), WriteSpec(schema, "upsert", ("k",)))
    mysql_server.execute("drop table keyed", "create table keyed (k varchar(50), v bigint, unique (k))")
    writer = shop.sinks.open(TableRef("keyed"), WriteSpec(schema, "upsert", ("k",)))
    rows = pa.RecordBatch.from_pydict({"k": ["a", None], "v": [1, 2]}, schema=schema)
    here = Position("s", "0")
    rejects = writer.write(Changes(TableRef("keyed"), rows, None, here, here), 1)
    writer.commit(None)
    writer.close()
    assert (rejects.count, "NULL in its key" in rejects.samples[0]) == (1, True)
    assert mysql_server.execute("select k, v from keyed") == (("a", 1),)


def test_a_double_does_not_become_a_float_in_silence() -> None:
    assert not _becomes(pa.float64(), pa.float32())
    assert _becomes(pa.float32(), pa.float64())


@pytest.mark.parametrize(
    ("kind", "value", "due"),
    [
        (Kind.DECIMAL, b"\x0c123456789.12", ("b'123456789.12'", "does not fit its column")),
        (Kind.TIME, b"\x0c" + bytes(12), (repr(bytes(12)), "is no time of day")),
        (Kind.DATE, b"\x04\xe8\x07\x02\x1e", ("2024-02-30", "is no date that a calendar has")),
    ],
)
def test_every_kind_of_lost_value_can_be_shown(kind: Kind, value: bytes, due: Any) -> None:
    assert text.shown(kind, memoryview(value)) == due
