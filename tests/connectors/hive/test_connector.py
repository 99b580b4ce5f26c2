"""What is Hive's own: its types and file formats, partitions, views, HiveQL, transports, and cancel as the server sees
it."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from tests.connectors.hive.store import config
from tests.services.hive.client import handle
from tests.services.hive.server import Hive
from workbench.contract import (
    Applied,
    Column,
    Compare,
    In,
    IsNull,
    Literal,
    Not,
    Predicate,
    ScanRequest,
    Split,
    TableRef,
)
from workbench.contract.errors import (
    InvalidParameter,
    SnapshotChanged,
    SourceTimeout,
    SqlSyntaxError,
    StatementRefused,
    UnknownTable,
    Unreachable,
    WorkbenchError,
)
from workbench.testing.clock import eventually
from workbench.testing.control import RecordingControl
from workbench.testing.proxy import free_port
from workbench.testing.scanning import read, read_split, scan
from workbench_hive.connector import HiveConnector

SLOW = "select count(*) from own_slow where sha2(repeat(cast(id as string), 100000), 512) = 'x'"


@pytest.fixture
def connector(hive: Hive) -> Iterator[HiveConnector]:
    connector = HiveConnector(config(hive))
    yield connector
    connector.close()


@pytest.fixture(scope="module")
def slow(hive: Hive) -> Iterator[str]:
    hive.load("own_slow", pa.table({"id": range(200_000)}))
    yield SLOW
    hive.execute("drop table own_slow")


@pytest.fixture
def made(hive: Hive) -> Iterator[Any]:
    """Makes tables by statements, and drops them."""
    names: list[str] = []

    def make(name: str, *statements: str) -> TableRef:
        names.append(name)
        hive.execute(f"drop table if exists {name}", *statements)
        return TableRef(name)

    yield make
    for name in names:
        hive.execute(f"drop table if exists {name}")


def whole(connector: HiveConnector, ref: TableRef, *predicates: Predicate, splits: int = 1) -> list[dict[str, Any]]:
    schema = connector.tables.schema(ref)
    rows = scan(connector, ref, schema.names, predicates, splits).to_pylist()
    return sorted(rows, key=lambda row: str(row[schema.names[0]]))


@pytest.mark.parametrize("form", ["textfile", "orc", "parquet"])
def test_types_and_nested_values_of_each_format(connector: HiveConnector, made: Any, form: str) -> None:
    ref = made(
        "own_types",
        "create table own_types (id int, c char(5), v varchar(5), d decimal(10,2), day date, at timestamp, b binary, "
        f"a array<int>, m map<string,int>, s struct<x:int,y:string>) stored as {form}",
        "insert into own_types select 1, 'ab', 'ab ', 12.30, date '2024-02-29', "
        "timestamp '2024-03-31 12:30:00.123456789', cast('xyz' as binary), array(1, null), map('k', 1), "
        "named_struct('x', 1, 'y', 'it\"s')",
        "insert into own_types (id) select 2",
    )
    one, two = whole(connector, ref)
    assert one["at"] == dt.datetime(2024, 3, 31, 12, 30, 0, 123456)
    assert (one["c"], one["v"], one["d"]) == ("ab", "ab ", Decimal("12.30"))
    assert (one["day"], one["b"]) == (dt.date(2024, 2, 29), b"xyz")
    assert (json.loads(one["a"]), json.loads(one["m"]), json.loads(one["s"])) == (
        [1, None],
        {"k": 1},
        {"x": 1, "y": 'it"s'},
    )
    assert set(two.values()) == {2, None}
    schema = connector.tables.schema(ref)
    assert schema.field("c").metadata[b"source_type"] == b"char(5)"
    assert schema.field("s").metadata[b"source_type"] == b"struct<x:int,y:string>"
    assert b"JSON" in schema.field("m").metadata[b"lossy"]


def test_nested_values_are_texts_as_the_server_prints_them(connector: HiveConnector) -> None:
    """Which is why they are not made structs: some of it cannot be read back."""
    text = """select map(1, 'a') as m, array(cast('NaN' as double), 1.5) as f, array(cast('x"y' as binary)) as b,
              array('q"\\\\', 'é') as t"""
    (row,) = read(connector, connector.tables.native(text)).to_pylist()
    assert row == {"m": '{1:"a"}', "f": "[NaN,1.5]", "b": '[x"y]', "t": '["q\\"\\\\","é"]'}
    assert json.loads(row["t"]) == ['q"\\', "é"]


def test_blanks_at_the_end_count_in_varchar_and_not_in_char(connector: HiveConnector, made: Any) -> None:
    ref = made(
        "own_blanks",
        "create table own_blanks (c char(4), v varchar(4)) stored as orc",
        "insert into own_blanks values ('a', 'a'), ('a ', 'a '), ('b', 'b')",
    )
    for name, text, count in (("c", "a", 2), ("c", "a ", 0), ("v", "a", 1), ("v", "a ", 1)):
        equal = Compare(Column((name,)), "=", Literal(text, pa.string()))
        assert len(whole(connector, ref, equal)) == count, (name, text)
        assert len(whole(connector, ref, Not(equal))) == 3 - count, (name, text)


def test_moments_finer_than_microseconds_are_compared_as_they_are_delivered(
    connector: HiveConnector, made: Any
) -> None:
    ref = made(
        "own_moments",
        "create table own_moments (at timestamp) stored as orc",
        "insert into own_moments values (timestamp '2024-01-01 00:00:00.000001'), "
        "(timestamp '2024-01-01 00:00:00.000001999'), (timestamp '2024-01-01 00:00:00.000002'), (null)",
    )
    first = Literal(dt.datetime(2024, 1, 1, 0, 0, 0, 1), pa.timestamp("us"))
    at = Column(("at",))
    for op, count in (("=", 2), ("<>", 1), ("<", 0), ("<=", 2), (">", 1), (">=", 3)):
        assert len(whole(connector, ref, Compare(at, op, first))) == count, op  # type: ignore[arg-type]
    assert len(whole(connector, ref, In(at, (first,)))) == 2


@pytest.mark.parametrize(
    ("kind", "values", "constant"),
    [
        ("string", ["'a'", "'b/c=d%'", "'é'", "'${x'", "''"], Literal("b/c=d%", pa.string())),
        ("int", ["1", "-5", "70", "3"], Literal(3, pa.int32())),
        (
            "date",
            ["date '2024-01-01'", "date '1999-12-31'", "date '2024-02-29'"],
            Literal(dt.date(2024, 2, 29), pa.date32()),
        ),
    ],
)
def test_splits_by_partitions_are_disjoint_and_complete(
    connector: HiveConnector, made: Any, kind: str, values: list[str], constant: Literal
) -> None:
    rows = ", ".join(f"({number}, {value})" for number, value in enumerate([*values, "null"]))
    ref = made(
        "own_parts",
        f"create table own_parts (n int) partitioned by (p {kind}) stored as orc",
        "set hive.exec.dynamic.partition.mode=nonstrict",
        f"insert into own_parts partition (p) values {rows}",
    )
    there = len(values) + 1
    plan = connector.tables.plan(ScanRequest(ref, ("n", "p"), splits=4))
    assert len(plan.splits) > 1
    assert sorted(read(connector, plan).column("n").to_pylist()) == list(range(there))
    nulls = 1 + values.count("''")  # an empty text is no name of a folder
    p, delivered = Column(("p",)), whole(connector, ref)
    assert sum(row["p"] is None for row in delivered) == nulls
    equal = Compare(p, "=", constant)
    for predicate, count in (
        (IsNull(p), nulls),
        (IsNull(p, True), there - nulls),
        (equal, 1),
        (Not(equal), there - nulls - 1),
    ):
        plan = connector.tables.plan(ScanRequest(ref, ("n",), (predicate,), splits=4))
        assert plan.applied[predicate] == Applied.EXACT
        assert read(connector, plan).num_rows == count, str(predicate)
    plan = connector.tables.plan(ScanRequest(ref, ("n",), (equal,), splits=4))
    assert any(note.startswith("1 of ") for note in plan.notes), plan.notes


def test_a_partition_that_is_added_after_planning_is_in_some_split(
    hive: Hive, connector: HiveConnector, made: Any
) -> None:
    ref = made(
        "own_later",
        "create table own_later (n int) partitioned by (p int) stored as orc",
        "insert into own_later partition (p=1) values (1)",
        "insert into own_later partition (p=9) values (9)",
    )
    plan = connector.tables.plan(ScanRequest(ref, ("n",), splits=2))
    hive.execute(
        "insert into own_later partition (p=5) values (5)", "insert into own_later partition (p=50) values (50)"
    )
    assert sorted(read(connector, plan).column("n").to_pylist()) == [1, 5, 9, 50]


def test_columns_that_older_partitions_lack_are_null(connector: HiveConnector, made: Any) -> None:
    ref = made(
        "own_evolved",
        "create table own_evolved (n int) partitioned by (p int) stored as parquet",
        "insert into own_evolved partition (p=1) values (1)",
        "alter table own_evolved add columns (t string) cascade",
        "insert into own_evolved partition (p=2) values (2, 'new')",
    )
    assert whole(connector, ref) == [{"n": 1, "t": None, "p": 1}, {"n": 2, "t": "new", "p": 2}]


def test_views_are_tables(hive: Hive, connector: HiveConnector, made: Any) -> None:
    made("own_base", "create table own_base (n int) stored as orc", "insert into own_base values (1), (2)")
    hive.execute("create or replace view own_view as select n, n * 2 as twice from own_base")
    try:
        assert whole(connector, TableRef("own_view")) == [{"n": 1, "twice": 2}, {"n": 2, "twice": 4}]
        kinds = {info.table.name: info.kind for info in connector.tables.list("own_%")}
        assert kinds == {"own_base": "table", "own_view": "view"}
    finally:
        hive.execute("drop view own_view")


def test_without_a_database_tables_are_named_with_theirs(hive: Hive, made: Any) -> None:
    made("own_named", "create table own_named (n int) stored as orc", "insert into own_named values (7)")
    connector = HiveConnector(config(hive, database=""))
    ref = TableRef("own_named", "shop")
    assert ref in [info.table for info in connector.tables.list("own_named")]
    assert whole(connector, ref) == [{"n": 7}]
    with pytest.raises(UnknownTable, match=r"shop\.own_named"):
        connector.tables.schema(TableRef("own_name", "shop"))
    connector.close()


def test_a_database_is_meant_by_its_own_name(hive: Hive) -> None:
    """In the server's calls `_` is any letter."""
    hive.execute("create database own_x", "create database ownax", "create table ownax.t (n int)")
    connector = HiveConnector(config(hive, database="own_x"))
    try:
        assert connector.tables.list() == []
        hive.execute("create table own_x.t_1 (n int)")
        assert [info.table for info in connector.tables.list()] == [TableRef("t_1")]
    finally:
        connector.close()
        hive.execute("drop database own_x cascade", "drop database ownax cascade")


def test_hiveql_of_ones_own(connector: HiveConnector, made: Any) -> None:
    made(
        "own_native",
        "create table own_native (n int, t string) stored as orc",
        "insert into own_native values (1, 'a')",
    )
    tables = connector.tables
    assert read(connector, tables.native("select n, upper(t) as u from own_native;")).to_pylist() == [
        {"n": 1, "u": "A"}
    ]
    assert read(connector, tables.native("select t.* from own_native t")).column_names == ["n", "t"]
    assert read(connector, tables.native("with q as (select 1 as one) select * from q")).num_rows == 1
    assert "own_native" in read(connector, tables.native("show tables")).column(0).to_pylist()
    assert read(connector, tables.native("explain select n from own_native")).num_rows
    with pytest.raises(SqlSyntaxError):
        tables.native("select n frm own_native where")
    with pytest.raises(WorkbenchError):
        tables.native("select nothing from own_native")
    for text in ("add jar /tmp/x.jar", "dfs -ls /", "select reflect('java.lang.System', 'getenv', 'HOME')"):
        with pytest.raises(StatementRefused):
            tables.native(text)


def test_nothing_in_a_constant_or_a_name_is_run_or_replaced(hive: Hive, connector: HiveConnector) -> None:
    texts = [
        "' or 1=1 --",
        "\\' or ''='",
        "${env:HOME}",
        "${hiveconf:x}",
        "a;drop table t",
        "%",
        "\\",
        '"',
        "🦆\x00",
        "\u2028",
    ]
    hive.load("own `hostile`", pa.table({"a`b": texts, "n": range(len(texts))}))
    ref, column = TableRef("own `hostile`"), Column(("a`b",))
    try:
        for number, text in enumerate(texts):
            equal = Compare(column, "=", Literal(text, pa.string()))
            plan = connector.tables.plan(ScanRequest(ref, ("n",), (equal,)))
            assert plan.applied[equal] == Applied.EXACT
            assert "${" not in plan.native_text
            assert read(connector, plan).column("n").to_pylist() == [number], text
    finally:
        hive.execute("drop table `own ``hostile```")


def test_the_http_transport_gives_the_same(hive: Hive, made: Any) -> None:
    ref = made("own_http", "create table own_http (n int) stored as orc", "insert into own_http values (1), (2), (3)")
    connector = HiveConnector(config(hive, transport="http", port=hive.http_port))
    assert connector.test().version.startswith("4.")
    assert [row["n"] for row in whole(connector, ref)] == [1, 2, 3]
    connector.close()
    from workbench.contract import ConnectionConfig, Secret
    from workbench.contract.errors import AuthenticationFailed

    right = config(hive, transport="http", port=hive.http_port)
    wrong = HiveConnector(ConnectionConfig("hive", right.parameters, {"password": Secret("n0")}))
    with pytest.raises(AuthenticationFailed):
        wrong.test()


def test_without_sasl_it_gives_the_same_and_mistaking_one_for_the_other_is_said(hive: Hive, made: Any) -> None:
    ref = made("own_bare", "create table own_bare (n int) stored as orc", "insert into own_bare values (1), (2), (3)")
    with hive.without_sasl() as other:
        connector = HiveConnector(config(hive, authentication="nosasl", port=other.port))
        assert [row["n"] for row in whole(connector, ref)] == [1, 2, 3]
        connector.close()
        mistaken = HiveConnector(config(hive, port=other.port, connect_timeout=3))
        with pytest.raises(Unreachable):
            mistaken.test()
    for wrong in ({"authentication": "nosasl"}, {"transport": "http"}, {"port": hive.http_port}, {"tls": "required"}):
        mistaken = HiveConnector(config(hive, connect_timeout=3, **wrong))
        with pytest.raises(WorkbenchError):
            mistaken.test()


def test_cancel_is_seen_at_the_server_at_once(hive: Hive, connector: HiveConnector, slow: str) -> None:
    """The call itself may block for as long as the engine takes."""
    session = connector.opened()
    operation = session.execute(slow, seconds=600)
    found = {1: {1: operation.guid, 2: operation.secret}, 2: operation.kind, 3: operation.has_rows}
    with hive.client() as client:
        eventually(lambda: client.state(found) == 1, 20, "it runs")
        stopper = threading.Thread(target=_stopped, args=(connector, session.handle, operation), daemon=True)
        stopper.start()
        eventually(lambda: _state(client, found) in (3, None), 0.5, "its state is CANCELED")
    session.close()
    assert handle(found)


def _stopped(connector: HiveConnector, *handles: Any) -> None:
    with contextlib.suppress(WorkbenchError):  # its session is closed meanwhile
        connector.stop(*handles)


def _state(client: Any, found: Any) -> int | None:
    """None when it is closed already."""
    from tests.services.hive.client import HiveError

    try:
        return int(client.state(found))
    except HiveError:
        return None


@pytest.mark.parametrize("transport", ["binary", "http"])
def test_a_reader_that_is_left_in_the_middle_leaves_no_session(
    hive: Hive, connector: HiveConnector, slow: str, transport: str
) -> None:
    """Over HTTP a session does not end with its connection."""
    port = hive.port if transport == "binary" else hive.http_port
    other = HiveConnector(config(hive, transport=transport, port=port))
    split = connector.tables.plan(ScanRequest(TableRef("own_slow"), ("id",))).splits[0]
    connector.close()
    eventually(lambda: hive.sessions() == 0, 30, "those of other tests are gone")
    reader = other.tables.read(split, RecordingControl())
    assert next(reader).num_rows
    assert hive.sessions() == 1
    reader.close()
    eventually(lambda: hive.sessions() == 0, 10, "its session is closed")
    control = RecordingControl()
    waiting = threading.Thread(
        target=_swallowed, args=(other, other.tables.native(slow).splits[0], control), daemon=True
    )
    waiting.start()
    eventually(lambda: control.open, 20, "it runs")
    control.cancel()
    waiting.join(20)
    other.close()
    eventually(lambda: hive.sessions() == 0, 60, "its session is closed, once the engine has noticed")


def _swallowed(connector: HiveConnector, split: Split, control: RecordingControl) -> None:
    with contextlib.suppress(WorkbenchError):
        read_split(connector, split, control)


def test_the_server_ends_a_statement_at_its_limit(connector: HiveConnector, slow: str) -> None:
    split = connector.tables.native(slow).splits[0]
    with pytest.raises(SourceTimeout):
        read_split(connector, split, RecordingControl(guard=2))


def test_a_table_that_changes_between_plan_and_read_is_an_error(
    hive: Hive, connector: HiveConnector, made: Any
) -> None:
    ref = made("own_changed", "create table own_changed (n int) stored as orc", "insert into own_changed values (1)")
    plan = connector.tables.plan(ScanRequest(ref, ("n",)))
    hive.execute("drop table own_changed", "create table own_changed (n string) stored as orc")
    with pytest.raises(SnapshotChanged, match="string"):
        read(connector, plan)
    hive.execute("drop table own_changed")
    with pytest.raises(UnknownTable):
        read(connector, plan)


def test_foreign_ids_are_refused_and_old_ones_do_nothing(connector: HiveConnector) -> None:
    with pytest.raises(InvalidParameter):
        connector.cancel("not one; of ours")
    session = connector.opened()
    native_id = connector.native_id(session.handle, "wb-old000000-1")
    session.close()
    connector.cancel(native_id)


def test_nobody_there_is_unreachable_and_an_unknown_database_is_said(hive: Hive) -> None:
    connector = HiveConnector(config(hive, port=free_port(), connect_timeout=0.5))
    with pytest.raises(Unreachable):
        connector.test()
    elsewhere = HiveConnector(config(hive, database="not_there"))
    with pytest.raises(WorkbenchError, match="not_there"):
        elsewhere.test()
