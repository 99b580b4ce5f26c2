"""The pool, the guard, ends and stops, names, and errors with a way out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from tests.connectors.mysql.store import config, quoted
from tests.services.mysql.server import MariaDB, Server
from workbench.contract import Column, Compare, Literal, Order, ScanRequest, TableRef, Top
from workbench.contract.errors import (
    Cancelled,
    ConnectionLost,
    DataError,
    InvalidParameter,
    QueryFailed,
    SnapshotChanged,
    SourceError,
    SourceTimeout,
    SqlSyntaxError,
    StatementRefused,
    UnknownTable,
    Unreachable,
)
from workbench.testing.control import RecordingControl
from workbench.testing.scanning import read, read_split
from workbench_mysql.connector import MySQLConnector
from workbench_mysql.manifest import MANIFEST

Eventually = Callable[..., object]
SLOW = "select sleep(0.2) from information_schema.columns limit 300"


@pytest.fixture
def shop(mysql_server: Server) -> Iterator[MySQLConnector]:
    mysql_server.execute(
        "drop table if exists pairs",
        "create table pairs (id int primary key, v varchar(20) comment 'a value') comment 'two columns'",
        "insert into pairs values (1, 'a'), (2, 'b'), (3, NULL)",
    )
    connector = MANIFEST.open(config(mysql_server))
    assert isinstance(connector, MySQLConnector)
    yield connector
    connector.close()


def point(shop: MySQLConnector) -> list[dict[str, Any]]:
    one = Compare(Column(("id",)), "=", Literal(2, pa.int32()))
    return read(shop, shop.tables.plan(ScanRequest(TableRef("pairs"), ("id", "v"), (one,)))).to_pylist()


def questions(server: Server) -> int:
    return int(str(server.execute("show global status like 'Questions'")[0][1]))


def test_a_warm_point_query_is_three_questions_on_one_session(mysql_server: Server, shop: MySQLConnector) -> None:
    assert point(shop) == [{"id": 2, "v": "b"}]
    own = questions(mysql_server)
    spent = questions(mysql_server) - own
    sessions = int(str(mysql_server.execute("show global status like 'Connections'")[0][1]))
    before = questions(mysql_server)
    for _ in range(10):
        point(shop)
    asked = (questions(mysql_server) - before - spent - 1) / 10
    assert asked <= 6, "prepare to plan, prepare, execute, and two that are closed"
    after = int(str(mysql_server.execute("show global status like 'Connections'")[0][1]))
    assert after - sessions <= 3, "each of ours connects anew"
    assert shop.pool.resting() == 1


def test_sessions_that_the_server_ended_are_replaced(mysql_server: Server, shop: MySQLConnector) -> None:
    for _ in range(2):
        point(shop)
        for row in mysql_server.execute("show processlist"):
            if row[1] == "reader":
                mysql_server.execute(f"kill {row[0]}")
        assert point(shop) == [{"id": 2, "v": "b"}]
        assert shop.test().version


def test_the_server_goes_away_and_comes_back_as_an_error() -> None:
    with MariaDB() as server:
        server.execute("create table pairs (id int primary key, v text)", "insert into pairs values (2, 'b')")
        connector = MANIFEST.open(config(server, connect_timeout=2))
        assert isinstance(connector, MySQLConnector)
        point(connector)
        server.kill()
        with pytest.raises(Unreachable) as caught:
            point(connector)
        assert str(server.port) in str(caught.value)
        connector.close()


def test_a_server_that_dies_in_mid_scan_is_an_error_not_an_end() -> None:
    with MariaDB() as server:
        server.execute(
            "create table wide (id int primary key auto_increment, v varchar(1000))",
            "insert into wide (v) select repeat('x', 1000) from information_schema.columns a,"
            " information_schema.columns b limit 60000",
        )
        connector = MANIFEST.open(config(server, connect_timeout=2))
        assert isinstance(connector, MySQLConnector)
        plan = connector.tables.plan(ScanRequest(TableRef("wide"), ("id", "v")))
        reader = connector.tables.read(plan.splits[0], RecordingControl())
        next(reader)
        server.kill()
        with pytest.raises(ConnectionLost) as caught:
            list(reader)
        assert caught.value.connection == "shop"
        connector.close()


def test_the_guard_is_the_servers(mysql_server: Server, shop: MySQLConnector) -> None:
    for _ in range(2):
        plan = shop.tables.native("select count(*) from information_schema.columns a, information_schema.columns b,"
                                  " information_schema.columns c, information_schema.columns d")  # fmt: skip
        with pytest.raises(SourceTimeout, match=r"longer than 0\.5 s"):
            read_split(shop, plan.splits[0], RecordingControl(guard=0.5))
    assert point(shop)


def test_a_stop_from_another_process_ends_the_work(
    mysql_server: Server, shop: MySQLConnector, eventually: Eventually
) -> None:
    control = RecordingControl("wb-elsewhere000-1")
    failed: list[BaseException] = []
    split = shop.tables.native(SLOW).splits[0]

    def work() -> None:
        try:
            for _ in shop.tables.read(split, control):
                pass
        except BaseException as error:  # noqa: BLE001 (looked at below)
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    native_id = control.wait_running()
    eventually(lambda: any("wb-elsewhere000-1" in text for _, _, text in mysql_server.running()))
    code = (
        "import sys, os\n"
        "from workbench.contract import ConnectionConfig, Secret\n"
        "from workbench_mysql.manifest import MANIFEST\n"
        "host, port, native_id = sys.argv[1:]\n"
        "config = ConnectionConfig('shop', {'host': host, 'port': int(port), 'user': 'reader'},"
        " {'password': Secret(os.environ['SECRET'])})\n"
        "connector = MANIFEST.open(config)\n"
        "connector.cancel(native_id.replace(':', ':not-'))\n"
        "connector.cancel('999999:' + native_id.split(':')[1])\n"
        "print('others are left alone', flush=True)\n"
        "connector.cancel(native_id)\n"
        "connector.close()\n"
    )
    environment = {**os.environ, "SECRET": mysql_server.password, "PYTHONPATH": ":".join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, mysql_server.host, str(mysql_server.port), str(native_id)]
    assert b"left alone" in subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    eventually(lambda: not any("wb-elsewhere000-1" in text for _, _, text in mysql_server.running()))
    worker.join(5)
    assert isinstance(failed[0], Cancelled)
    assert control.open == []


def test_a_reader_that_does_not_read_is_ended_all_the_same(
    mysql_server: Server, shop: MySQLConnector, eventually: Eventually
) -> None:
    """KILL QUERY does not reach a server thread that waits for the client to read."""
    mysql_server.execute(
        "drop table if exists bulk",
        "create table bulk (id int primary key auto_increment, v varchar(1000))",
        "insert into bulk (v) select repeat('x', 1000) from information_schema.columns a,"
        " information_schema.columns b limit 60000",
    )
    control = RecordingControl("wb-notreading00-1")
    plan = shop.tables.plan(ScanRequest(TableRef("bulk"), ("id", "v")))
    reader = shop.tables.read(plan.splits[0], control)
    next(reader)
    shop.cancel(str(reader.native_id))
    eventually(lambda: not any("wb-notreading00-1" in text for _, _, text in mysql_server.running()))
    with pytest.raises((Cancelled, SourceError)):
        list(reader)
    assert control.open == []
    assert point(shop)


@pytest.mark.parametrize("native_id", ["", "1", "x:y", "1:a b", "1:*/ drop", "-1:wb-1", "1:" + "x" * 65])
def test_a_native_id_that_is_none_is_refused(shop: MySQLConnector, native_id: str) -> None:
    with pytest.raises(InvalidParameter):
        shop.cancel(native_id)


def test_a_mark_cannot_carry_sql(shop: MySQLConnector) -> None:
    with pytest.raises(InvalidParameter):
        shop.tables.read(shop.tables.native("select 1").splits[0], RecordingControl("a */ select 2 /*"))


@pytest.mark.parametrize(
    "name", ["a`b", 'a"b', "a.b", "a'b", "select", "x" * 64, "a b", "a%b_c", "a\\b", "ü", "a--b", "a/*b*/", "`", "$$"]
)
def test_awkward_identifiers(mysql_server: Server, shop: MySQLConnector, name: str) -> None:
    mysql_server.execute(
        f"drop table if exists {quoted(name)}",
        f"create table {quoted(name)} ({quoted(name)} int primary key)",
        f"insert into {quoted(name)} values (7)",
    )
    predicate = Compare(Column((name,)), "=", Literal(7, pa.int32()))
    plan = shop.tables.plan(ScanRequest(TableRef(name), (name,), (predicate,)))
    assert read(shop, plan).to_pylist() == [{name: 7}]
    assert TableRef(name) in [info.table for info in shop.tables.list()]
    mysql_server.execute(f"drop table {quoted(name)}")


@pytest.mark.parametrize(
    "name", ["", "x" * 65, "a\0b", "🦆", "nope", "pairs ", "pairs` where 1 -- ", "information_schema"]
)
def test_names_that_no_table_has(shop: MySQLConnector, name: str) -> None:
    for ask in (shop.tables.schema, lambda ref: shop.tables.plan(ScanRequest(ref, ("id",)))):
        with pytest.raises(UnknownTable):
            ask(TableRef(name))


def test_near_names_and_databases(mysql_server: Server, shop: MySQLConnector) -> None:
    with pytest.raises(UnknownTable) as caught:
        shop.tables.schema(TableRef("pears"))
    assert caught.value.near == ("pairs",)
    with pytest.raises(UnknownTable):
        shop.tables.schema(TableRef("pairs", "no_such_database"))
    assert shop.tables.schema(TableRef("pairs", "shop")).names == ["id", "v"]
    nowhere = MANIFEST.open(config(mysql_server, database=""))
    assert isinstance(nowhere, MySQLConnector)
    with pytest.raises(UnknownTable) as caught:
        nowhere.tables.schema(TableRef("pairs"))
    assert "connection.database.table" in str(caught.value)
    assert TableRef("pairs", "shop") in [info.table for info in nowhere.tables.list("pair_")]
    nowhere.close()


def test_comments_keys_and_kinds(mysql_server: Server, shop: MySQLConnector) -> None:
    mysql_server.execute("create or replace view pairs_view as select * from pairs")
    schema = shop.tables.schema(TableRef("pairs"))
    assert schema.field("id").metadata[b"key"] == b"primary"
    assert schema.field("v").metadata == {b"source_type": b"varchar(20)", b"comment": b"a value"}
    about = {info.table.name: info for info in shop.tables.list("pairs%")}
    assert (about["pairs"].kind, about["pairs"].comment) == ("table", "two columns")
    assert (about["pairs_view"].kind, about["pairs_view"].comment) == ("view", "")
    assert shop.tables.list("pairs\\_view") == []


def test_a_table_that_changed_is_planned_anew_and_an_old_plan_is_refused(
    mysql_server: Server, shop: MySQLConnector
) -> None:
    old = shop.tables.plan(ScanRequest(TableRef("pairs"), ("id", "v")))
    mysql_server.execute("alter table pairs modify v varbinary(30), add w int default 5")
    with pytest.raises(SnapshotChanged):
        read(shop, old)
    new = shop.tables.plan(ScanRequest(TableRef("pairs"), ("v", "w")))
    assert read(shop, new).to_pylist()[0] == {"v": b"a", "w": 5}
    mysql_server.execute("alter table pairs drop column v")
    with pytest.raises((SnapshotChanged, QueryFailed)):
        read(shop, new)
    assert shop.tables.plan(ScanRequest(TableRef("pairs"), ("w",))).schema.names == ["w"]


@pytest.mark.parametrize(
    ("text", "line", "column"), [("select from", 1, None), ("select 1\n frm t where", 2, None), ("select (1", 1, 10)]
)
def test_a_syntax_error_has_its_place(shop: MySQLConnector, text: str, line: int, column: int | None) -> None:
    with pytest.raises(SqlSyntaxError) as caught:
        shop.tables.native(text)
    assert caught.value.line == line
    assert caught.value.column > 0
    assert column is None or caught.value.column == column


def test_the_sources_own_words_are_kept(shop: MySQLConnector) -> None:
    with pytest.raises(QueryFailed) as caught:
        shop.tables.native("select nope from pairs")
    assert (caught.value.code, "nope" in str(caught.value), caught.value.connection) == (1054, True, "shop")
    assert caught.value.native_text == "select nope from pairs"
    for refused in ("select ?", "call x()", "select 1; select 2"):
        with pytest.raises(StatementRefused):
            shop.tables.native(refused)


def test_show_describe_and_explain(shop: MySQLConnector) -> None:
    for text in ("show tables", "describe pairs", "explain select * from pairs", "show create table pairs",
                 "show index from pairs;", "-- a\n(select 1) union select 2"):  # fmt: skip
        assert read(shop, shop.tables.native(text)).num_rows


def test_what_becomes_of_impossible_dates(mysql_server: Server) -> None:
    with mysql_server.connection() as link, link.cursor() as cursor:
        cursor.execute("set sql_mode = ''")
        cursor.execute("drop table if exists zeros")
        cursor.execute("create table zeros (id int primary key, d date, t datetime)")
        cursor.execute("insert into zeros values (1, '2024-01-01', '2024-01-01'), (2, '0000-00-00', '2024-00-01')")
    seen = {}
    for policy in ("null_and_count", "string", "error"):
        connector = MANIFEST.open(config(mysql_server, impossible=policy))
        assert isinstance(connector, MySQLConnector)
        plan = connector.tables.plan(ScanRequest(TableRef("zeros"), ("d", "t")))
        reader = connector.tables.read(plan.splits[0], RecordingControl())
        if policy == "error":
            with pytest.raises(DataError) as caught:
                list(reader)
            assert (caught.value.column, caught.value.row) == ("d", 1)
        else:
            seen[policy] = [row for batch in reader for row in batch.to_pylist()]
            assert reader.lost == ({"d": 1, "t": 1} if policy == "null_and_count" else {})
        assert any("counted" in note for note in plan.notes) == (policy == "null_and_count")
        connector.close()
    assert seen["null_and_count"][1] == {"d": None, "t": None}
    assert seen["string"][1] == {"d": "0000-00-00", "t": "2024-00-01 00:00:00"}


def test_closing_a_reader_lets_go_who_waits(mysql_server: Server, shop: MySQLConnector, eventually: Eventually) -> None:
    control = RecordingControl("wb-waits0000000-1")
    reader = shop.tables.read(shop.tables.native("select sleep(60)").splits[0], control)
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            next(reader)
        except BaseException as error:  # noqa: BLE001 (looked at below)
            outcome.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(lambda: any("wb-waits0000000-1" in text for _, _, text in mysql_server.running()))
    reader.close()
    waiter.join(1)
    assert not waiter.is_alive()
    assert isinstance(outcome[0], Cancelled)
    eventually(lambda: not any("wb-waits0000000-1" in text for _, _, text in mysql_server.running()))


def test_closing_the_connector_first_leaves_nothing_running(
    mysql_server: Server, shop: MySQLConnector, eventually: Eventually
) -> None:
    control = RecordingControl("wb-closedfirst-1")
    reader = shop.tables.read(shop.tables.native(SLOW).splits[0], control)
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            list(reader)
        except BaseException as error:  # noqa: BLE001 (looked at below)
            outcome.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(lambda: any("wb-closedfirst-1" in text for _, _, text in mysql_server.running()))
    shop.close()
    reader.close()
    waiter.join(2)
    eventually(lambda: not any("wb-closedfirst-1" in text for _, _, text in mysql_server.running()))
    assert control.open == []
    assert isinstance(outcome[0], Cancelled)


def test_the_first_rows_are_the_server_s_where_its_order_is_the_same(
    shop: MySQLConnector, mysql_server: Server
) -> None:
    def asked(*order: Order) -> str | None:
        plan = shop.tables.plan(ScanRequest(TableRef("shop_top"), ("id", "v", "t"), splits=8, top=Top(order, 3)))
        return plan.native_text.partition(" order by ")[2] if plan.top_applied else None

    mysql_server.execute(
        "drop table if exists shop_top",
        "create table shop_top (id bigint primary key, v decimal(9,2), t varchar(9))",
        "insert into shop_top values (1, null, 'a'), (2, 1.5, 'B'), (3, -2, null)",
    )
    table = f"{quoted(shop.database)}.`shop_top`"
    assert asked(Order("id")) == f"{table}.`id` limit 3"
    assert asked(Order("v", True)) == f"{table}.`v` desc limit 3"
    assert asked(Order("v"), Order("id", True)) == f"{table}.`v` is null, {table}.`v`, {table}.`id` desc limit 3"
    assert asked(Order("v", True, True)) == f"{table}.`v` is null desc, {table}.`v` desc limit 3"
    assert asked(Order("v", False, True)) == f"{table}.`v` limit 3"
    assert asked(Order("t")) is None
    assert asked(Order("id"), Order("t")) is None
