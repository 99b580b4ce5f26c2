"""What is HBase's own: bytes without types, rows without cells, keys of parts, regions that change under a scan."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest

from tests.connectors.hbase.store import ENCODERS, Tables, config
from tests.services.hbase.admin import Admin
from tests.services.hbase.server import HBase
from workbench.contract import And, Applied, Column, Compare, In, IsNull, Literal, Predicate, ScanRequest, TableRef
from workbench.contract.errors import (
    InvalidParameter,
    QueryFailed,
    SnapshotChanged,
    SourceError,
    UnknownTable,
    Unreachable,
    Unsupported,
)
from workbench.kit import thrift
from workbench.testing.clock import eventually
from workbench.testing.control import RecordingControl
from workbench.testing.proxy import free_port
from workbench.testing.scanning import raw, read, scan
from workbench_hbase.connector import HBaseConnector
from workbench_hbase.gateway import Gateway, Refused
from workbench_hbase.native import Native
from workbench_hbase.native_reader import NativeReader

Cells = Mapping[bytes, bytes]


@pytest.fixture(scope="module")
def admin(hbase: HBase) -> Iterator[Admin]:
    admin = Admin(hbase)
    yield admin
    admin.close()


@pytest.fixture
def load(hbase: HBase) -> Iterator[Any]:
    names: list[str] = []

    def loaded(name: str, rows: Mapping[bytes, Cells], *families: str) -> TableRef:
        names.append(name)
        client = hbase.client()
        client.drop(name)
        client.create(name, *(families or ("f",)))
        client.put(name, rows.items())
        return TableRef(name)

    yield loaded
    for name in names:
        hbase.client().drop(name)


def whole(connector: HBaseConnector, ref: TableRef, *predicates: Predicate) -> list[dict[str, Any]]:
    names = connector.tables.schema(ref).names
    return list(scan(connector, ref, names, predicates).to_pylist())


def test_columns_of_a_table_without_a_mapping_are_guessed_and_say_so(connector: HBaseConnector, load: Any) -> None:
    big = struct.pack(">d", 2.5)
    ref = load(
        "guessed",
        {
            b"r1": {b"f:text": "é".encode(), b"f:n": ENCODERS["long"](7), b"g:d": big, b"f:j": b'{"a": [1]}'},
            b"r2": {b"f:text": b"x", b"f:n": ENCODERS["long"](-7), b"f:\0odd": b"\xfe\xff", b"g:i": ENCODERS["int"](3)},
        },
        "f",
        "g",
    )
    schema = connector.tables.schema(ref)
    assert {field.name: str(field.type) for field in schema} == {
        "row_key": "string", "f:\\x00odd": "binary", "f:j": "string", "f:n": "int64", "f:text": "string",
        "g:d": "double", "g:i": "int32",
    }  # fmt: skip
    assert schema.field("f:n").metadata[b"comment"] == b"guessed from 2 values"
    assert schema.field("f:j").metadata[b"source_type"] == b"json in f:j"
    first, second = whole(connector, ref)
    assert (first["f:text"], first["f:n"], first["g:d"], first["g:i"]) == ("é", 7, 2.5, None)
    assert (second["f:\\x00odd"], second["f:n"], second["g:i"], second["f:j"]) == (b"\xfe\xff", -7, 3, None)


def test_families_are_structs_where_that_is_wanted(connector: HBaseConnector, tables: Tables, load: Any) -> None:
    tables["families"] = {"families": "structs", "columns": {"f:a": "long", "f:b": "text", "g:c": "text"}}
    ref = load("families", {b"1": {b"f:a": ENCODERS["long"](5)}, b"2": {b"g:c": b"x", b"f:z": b"z"}}, "f", "g")
    assert whole(connector, ref) == [
        {"row_key": "1", "f": {"a": 5, "b": None}, "g": None},
        {"row_key": "2", "f": None, "g": {"c": "x"}},
    ]
    five = Compare(Column(("f", "a")), "=", Literal(5, pa.int64()))
    plan, rows = raw(connector, ref, ("row_key",), (five,))
    assert (plan.applied[five], rows.to_pylist()) == (Applied.EXACT, [{"row_key": "1"}])


def test_a_row_without_the_wanted_cells_is_a_row(connector: HBaseConnector, tables: Tables, load: Any) -> None:
    tables["sparse"] = {"columns": {"f:a": "long", "f:b": "text"}}
    rows = {b"%03d" % n: {b"f:a": ENCODERS["long"](n)} if n % 3 else {b"f:zz": b"other"} for n in range(100)}
    ref = load("sparse", rows)
    for wanted in ((), ("f:a",), ("f:b",), ("row_key",), ("row_key", "f:a")):
        assert scan(connector, ref, wanted).num_rows == 100, wanted
    a = Column(("f:a",))
    nulls, plan_rows = raw(connector, ref, ("row_key",), (IsNull(a),))
    assert nulls.applied[IsNull(a)] == (Applied.EXACT if connector.route.bytewise else Applied.SUPERSET)
    assert plan_rows.num_rows >= 34
    assert scan(connector, ref, ("row_key",), (IsNull(a),)).num_rows == 34
    assert scan(connector, ref, ("row_key",), (IsNull(a, True),)).num_rows == 66


def test_values_that_are_not_of_the_type_are_null_and_counted(
    connector: HBaseConnector, tables: Tables, load: Any
) -> None:
    tables["odd"] = {"columns": {"f:n": "long", "f:t": "text", "f:d": "text_integer"}}
    ref = load(
        "odd",
        {
            b"1": {b"f:n": b"short", b"f:t": b"\xff", b"f:d": b"twelve"},
            b"2": {b"f:n": ENCODERS["long"](1), b"f:t": b"ok", b"f:d": b"-012"},
        },
    )
    plan = connector.tables.plan(ScanRequest(ref, ("f:n", "f:t", "f:d")))
    reader = connector.tables.read(plan.splits[0], RecordingControl())
    assert [row for batch in reader for row in batch.to_pylist()] == [
        {"f:n": None, "f:t": None, "f:d": None}, {"f:n": 1, "f:t": "ok", "f:d": -12}
    ]  # fmt: skip
    assert reader.lost == {"f:n": 1, "f:t": 1, "f:d": 1}
    n, t, d = (Column((name,)) for name in ("f:n", "f:t", "f:d"))
    for predicate, expected in (
        (Compare(n, "<>", Literal(5, pa.int64())), ["2"]),
        (Compare(n, ">", Literal(-5, pa.int64())), ["2"]),
        (IsNull(n), ["1"]),
        (Compare(t, ">=", Literal("", pa.string())), ["2"]),
        (IsNull(t), ["1"]),
        (Compare(d, "=", Literal(-12, pa.int64())), ["2"]),
        (IsNull(d), ["1"]),
    ):
        assert [row["row_key"] for row in whole(connector, ref, predicate)] == expected, predicate


def test_keys_of_several_parts_narrow_what_is_read(connector: HBaseConnector, tables: Tables, load: Any) -> None:
    tables["parts"] = {
        "key": [
            {"name": "salt", "salts": ["0", "1", "2"]},
            {"name": "shop", "separator": "|"},
            {"name": "at", "type": "reversed_time"},
        ],
        "columns": {"f:v": "long"},
    }
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    rows = {}
    for n in range(90):
        at = start + dt.timedelta(hours=n)
        key = b"%d" % (n % 3) + (b"berlin", b"bern", b"rome")[n % 3] + b"|" + ENCODERS["reversed_time"](at)
        rows[key] = {b"f:v": ENCODERS["long"](n)}
    ref = load("parts", rows)
    assert connector.tables.schema(ref).names == ["shop", "at", "f:v"]
    shop, at = Column(("shop",)), Column(("at",))
    kind = pa.timestamp("ms", "UTC")
    late = Compare(at, ">=", Literal(start + dt.timedelta(hours=60), kind))
    berlin = Compare(shop, "=", Literal("berlin", pa.string()))
    plan, got = raw(connector, ref, ("shop", "at", "f:v"), (berlin, late))
    assert "3 in all" not in plan.native_text
    assert {row["f:v"] for row in got.to_pylist()} == {n for n in range(60, 90) if n % 3 == 0}
    either = In(shop, (Literal("bern", pa.string()), Literal("rome", pa.string())))
    assert {row["f:v"] for row in whole(connector, ref, either)} == {n for n in range(90) if n % 3}
    below = And((Compare(shop, "<", Literal("bern", pa.string())), late))
    assert {row["f:v"] for row in whole(connector, ref, below)} == {n for n in range(60, 90) if n % 3 == 0}
    assert whole(connector, ref, Compare(shop, "=", Literal("paris", pa.string()))) == []


def test_the_time_of_a_cell_is_a_column(connector: HBaseConnector, tables: Tables, load: Any) -> None:
    tables["times"] = {"columns": {"v": {"type": "text", "cell": "f:v"}, "at": {"type": "cell_time", "cell": "f:v"}}}
    before = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    ref = load("times", {b"1": {b"f:v": b"x"}, b"2": {b"f:w": b"y"}})
    first, second = whole(connector, ref)
    assert before < first["at"] < before + dt.timedelta(minutes=5)
    assert (first["v"], second["at"]) == ("x", None)


def test_rows_larger_than_a_reply_are_whole(native: HBaseConnector, tables: Tables, load: Any) -> None:
    names = [b"f:c%02d" % n for n in range(60)]
    tables["wide"] = {"columns": {name.decode(): "bytes" for name in names}}
    rows = {b"%d" % n: {name: bytes((n,)) * 100_000 for name in names} for n in range(3)}
    rows[b"9"] = {b"f:c00": b"last"}
    ref = load("wide", rows)
    got = whole(native, ref)
    assert [row["row_key"] for row in got] == ["0", "1", "2", "9"]
    assert all(row[name.decode()] == bytes((n,)) * 100_000 for n, row in enumerate(got[:3]) for name in names)
    assert got[3]["f:c00"] == b"last"


def test_the_scanner_of_a_reader_that_is_closed_early_is_closed(
    hbase: HBase, native: HBaseConnector, tables: Tables, load: Any, admin: Admin
) -> None:
    tables["early"] = {"columns": {"f:v": "bytes"}}
    ref = load("early", {b"%05d" % n: {b"f:v": bytes(5000)} for n in range(3000)})
    names: set[int] = set()
    note = NativeReader._note

    class Watched(NativeReader):
        def _note(self, scanner: Any, told: Any) -> None:
            note(self, scanner, told)
            names.add(scanner.name)

    route = native.route
    assert isinstance(route, Native)
    reader = Watched(native, native.tables.plan(ScanRequest(ref, ("f:v",))).splits[0], RecordingControl(), route)
    next(reader)
    reader.close()
    assert names - {0}
    eventually(lambda: not any(admin.lives(hbase.port, name) for name in names - {0}), 5, "the scanner is closed")


def test_the_gateway_s_scanner_is_closed_too(hbase: HBase, tables: Tables, load: Any) -> None:
    tables["outlives"] = {"columns": {"f:v": "bytes"}}
    ref = load("outlives", {b"%05d" % n: {b"f:v": bytes(5000)} for n in range(3000)})
    connector = HBaseConnector(config(hbase, tables, route="gateway", gateway_port=hbase.gateway))
    gateway = connector.route
    assert isinstance(gateway, Gateway)
    numbers: list[int] = []
    opened = gateway.open

    class Watched(Gateway):
        @staticmethod
        def open(call: Any, table: str, asked: Any) -> int:
            numbers.append(opened(call, table, asked))
            return numbers[-1]

    gateway.__class__ = Watched
    reader = connector.tables.read(connector.tables.plan(ScanRequest(ref, ("f:v",))).splits[0], RecordingControl())
    next(reader)
    reader.close()

    def gone() -> bool:
        words = {1: (thrift.I32, numbers[-1]), 2: (thrift.I32, 1)}
        try:
            gateway.call("scannerGetList", words)
        except Refused as error:
            return "invalid" in error.why
        except QueryFailed:
            return False  # it is being closed
        return False

    eventually(gone, 5, "the gateway has forgotten the scanner")
    connector.close()


def test_tables_of_namespaces_are_named_with_them(
    hbase: HBase, connector: HBaseConnector, tables: Tables, admin: Admin
) -> None:
    if "ns1:inside" not in hbase.client().tables():
        admin.namespace("ns1")
        admin.create("ns1:inside", "f", [])
        hbase.client().put("ns1:inside", [(b"1", {b"f:v": b"x"})])
    ref = TableRef("inside", "ns1")
    assert ref in [info.table for info in connector.tables.list()]
    tables["ns1.inside"] = {"columns": {"f:v": "bytes"}}
    assert scan(connector, ref, ("f:v",)).to_pylist() == [{"f:v": b"x"}]
    own = HBaseConnector(config(hbase, {}, database="ns1"))
    assert [info.table for info in own.tables.list()] == [TableRef("inside")]
    assert scan(own, TableRef("inside"), ("f:v",)).num_rows == 1
    own.close()


@pytest.mark.parametrize("event", ["split", "merge", "flush"])
def test_a_scan_goes_on_where_a_region_changes(
    native: HBaseConnector, hbase: HBase, tables: Tables, admin: Admin, event: str
) -> None:
    name = f"changing_{event}"
    tables[name] = {"columns": {"f:v": "bytes"}}
    hbase.client().drop(name)
    admin.create(name, "f", [b"1000", b"2000"])
    hbase.client().put(name, ((b"%04d" % n, {b"f:v": b"%04d" % n * 500}) for n in range(3000)))
    try:
        plan = native.tables.plan(ScanRequest(TableRef(name), ("row_key", "f:v")))
        keys: list[str] = []
        for number, batch in enumerate(native.tables.read(plan.splits[0], RecordingControl())):
            keys += batch.column("row_key").to_pylist()
            if number == 1:
                regions = admin.native.regions(name)
                if event == "split":
                    admin.split(regions[0], b"0900")
                elif event == "merge":
                    admin.merge(regions[0], regions[1])
                else:
                    admin.flush(name)
        assert keys == [f"{n:04d}" for n in range(3000)]
    finally:
        hbase.client().drop(name)


def test_a_table_that_was_made_again_is_another_one(connector: HBaseConnector, tables: Tables, load: Any) -> None:
    tables["again"] = {"columns": {"f:v": "text"}}
    ref = load("again", {b"1": {b"f:v": b"x"}})
    plan = connector.tables.plan(ScanRequest(ref, ("f:v",)))
    load("again", {b"1": {b"f:v": b"y"}})
    with pytest.raises(SnapshotChanged):
        read(connector, plan)


def test_a_disabled_table_says_so(connector: HBaseConnector, hbase: HBase, tables: Tables, load: Any) -> None:
    tables["disabled"] = {"columns": {"f:v": "text"}}
    ref = load("disabled", {b"1": {b"f:v": b"x"}})
    plan = connector.tables.plan(ScanRequest(ref, ("f:v",)))
    hbase.client().disable("disabled")
    for ask in (lambda: read(connector, plan), lambda: connector.tables.schema(ref)):
        with pytest.raises(QueryFailed, match="enable"):
            ask()


def test_a_limit_is_kept_where_conditions_are_exact(connector: HBaseConnector, tables: Tables, load: Any) -> None:
    tables["limited"] = {"columns": {"f:v": "long"}}
    ref = load("limited", {b"%04d" % n: {b"f:v": ENCODERS["long"](n % 7)} for n in range(2000)})
    three = Compare(Column(("f:v",)), "=", Literal(3, pa.int64()))
    plan = connector.tables.plan(ScanRequest(ref, ("row_key",), (three,), limit=10))
    assert plan.limit_applied
    assert read(connector, plan).num_rows == 10


def test_the_gateway_is_taken_where_no_server_answers(hbase: HBase) -> None:
    for port in (free_port(), hbase.gateway):
        there = {"route": "auto", "port": port, "gateway_port": hbase.gateway, "connect_timeout": 1}
        connector = HBaseConnector(config(hbase, **there))
        assert connector.test().details["route"] == "Thrift gateway"
        connector.close()
    connector = HBaseConnector(config(hbase, route="auto"))
    assert connector.test().details["route"] == "native protocol"
    connector.close()


@pytest.mark.parametrize("route", ["native", "gateway"])
def test_another_protocol_at_the_port_is_a_typed_error(hbase: HBase, route: str) -> None:
    wrong = {"port": hbase.gateway, "gateway_port": hbase.port, "route": route, "connect_timeout": 1}
    connector = HBaseConnector(config(hbase, **wrong))
    with pytest.raises(SourceError) as caught:
        connector.test()
    assert caught.value.connection == "hb"
    connector.close()


def test_nobody_there_is_unreachable_whatever_the_route(hbase: HBase) -> None:
    for route in ("native", "gateway", "auto"):
        nobody = {"port": free_port(), "gateway_port": free_port(), "route": route, "connect_timeout": 0.5}
        connector = HBaseConnector(config(hbase, **nobody))
        with pytest.raises(Unreachable):
            connector.test()
        connector.close()


def test_what_does_not_fit_is_refused(hbase: HBase, tables: Tables, load: Any, native: HBaseConnector) -> None:
    with pytest.raises(InvalidParameter):
        HBaseConnector(config(hbase, redirect="nonsense")).test()
    with pytest.raises(Unsupported):
        native.cancel("wb-000000000000-1")
    with pytest.raises(UnknownTable):
        native.tables.schema(TableRef("nothing_like_it"))
    ref = load("unfit", {b"1": {b"f:v": b"x"}})
    for wrong in (
        {"columns": {"v": "text"}},
        {"key": [{"name": "a"}, {"name": "b"}]},
        {"key": [{"type": "long", "width": 4}]},
        {"columns": {"row_key": {"type": "text", "cell": "f:v"}}},
    ):
        tables["unfit"] = wrong
        with pytest.raises(InvalidParameter):
            native.tables.schema(ref)
    tables["unfit"] = {"columns": {"nofamily:v": "text"}, "marker": "f:v"}
    with pytest.raises(QueryFailed, match="family"):
        scan(native, ref, ("nofamily:v",))
