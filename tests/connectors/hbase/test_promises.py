"""No row is lost in silence: a map of regions with holes, servers that say less than they should, and stale answers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.connectors.hbase.store import ENCODERS, Tables, config
from tests.connectors.hbase.test_wire import Scripted, native as native_at
from tests.services.hbase.admin import Admin
from tests.services.hbase.server import HBase
from workbench.contract import Applied, Column, IsNull, ScanRequest, TableRef
from workbench.contract.errors import ConnectionLost, ProtocolError
from workbench.kit.tls import PLAIN
from workbench.testing.control import RecordingControl
from workbench.testing.scanning import raw, read, scan
from workbench_hbase.connector import HBaseConnector
from workbench_hbase.decode import Rows
from workbench_hbase.gateway import Gateway
from workbench_hbase.gateway_reader import GatewayReader
from workbench_hbase.keys import cut
from workbench_hbase.mutations import Change, _refused
from workbench_hbase.native import Native
from workbench_hbase.native_reader import NativeReader
from workbench_hbase.protobuf import number, parse, text
from workbench_hbase.route import Region
from workbench_hbase.rpc import Remote
from workbench_hbase.splits import tiled, touched, within

_BYTES = {"columns": {"f:v": "bytes"}}


@pytest.fixture
def table(hbase: HBase, tables: Tables) -> Iterator[TableRef]:
    """Three thousand rows of two kilobytes, in two regions."""
    name = "promised"
    tables[name] = _BYTES
    admin = Admin(hbase)
    hbase.client().drop(name)
    admin.create(name, "f", [b"2000"])
    admin.close()
    hbase.client().put(name, ((b"%04d" % n, {b"f:v": b"%04d" % n * 500}) for n in range(3000)))
    yield TableRef(name)
    hbase.client().drop(name)


def keys(connector: HBaseConnector, ref: TableRef, splits: int = 1) -> list[str]:
    return list(scan(connector, ref, ("row_key", "f:v"), splits=splits).column("row_key").to_pylist())


ALL = [f"{n:04d}" for n in range(3000)]
_EDGES = st.lists(st.sampled_from([b"", b"a", b"b", b"c", b"d"]), min_size=2, max_size=2, unique=True).map(sorted)


@settings(max_examples=200, deadline=None)
@given(st.lists(_EDGES, max_size=5), st.booleans())
def test_each_row_lies_in_one_region_whatever_the_list_of_them_says(edges: list[list[bytes]], endless: bool) -> None:
    regions = [Region(b"%d" % n, low, high, "h", 1) for n, (low, high) in enumerate(edges)]
    regions += [Region(b"last", b"d", b"", "h", 1)] if endless else []
    spans = [rows for _, rows in tiled(regions)]
    assert (spans[0][0], spans[-1][1]) == (b"", None)
    assert all(one[1] == other[0] and one[0] < one[1] for one, other in itertools.pairwise(spans))
    assert all(region in regions or not region.host for region, _ in tiled(regions))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=2), max_size=6, unique=True).map(sorted), _EDGES, _EDGES, _EDGES)
def test_what_lies_where_is_found_without_looking_at_all(
    starts: list[bytes], one: list[bytes], other: list[bytes], rows: list[bytes]
) -> None:
    edges = [b"", *starts, b""]
    regions = [Region(low, low, high, "h", 1) for low, high in itertools.pairwise(edges)]
    ranges = [(low, high) for low, high in sorted([one, other]) if low < high]
    ranges = ranges if len(ranges) < 2 or ranges[0][1] < ranges[1][0] else ranges[:1]
    span = (rows[0], rows[1])
    assert within(ranges, span) == cut(ranges, [span])
    assert list(touched(regions, span)) == [
        region for region in regions if cut([span], [(region.start, region.stop or None)])
    ]


def test_rows_that_no_region_is_listed_for_are_read_all_the_same(
    native: HBaseConnector, table: TableRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the middle of a split or a merge."""
    route = native.route
    assert isinstance(route, Native)
    for listed in ([0], [1], []):
        all_of_them = Native.regions(route, table.name)
        monkeypatch.setattr(route, "regions", lambda _, some=[all_of_them[n] for n in listed]: some)
        for splits in (1, 6):
            assert sorted(keys(native, table, splits)) == ALL, (listed, splits)


def test_a_region_that_changed_since_the_list_was_made_is_no_error(
    native: HBaseConnector, hbase: HBase, table: TableRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    route, admin = native.route, Admin(hbase)
    assert isinstance(route, Native)
    before = route.regions(table.name)
    native.tables.schema(table)
    admin.split(before[0], b"1000")
    admin.close()
    monkeypatch.setattr(route, "regions", lambda _: before)
    monkeypatch.setattr(route, "sizes", lambda *_: {region.name: 100 for region in before})
    assert sorted(keys(native, table, 8)) == ALL


def test_a_scan_that_the_server_ends_too_early_goes_on(native: HBaseConnector, table: TableRef) -> None:
    note, ended = NativeReader._note, []

    class EndsEarly(NativeReader):
        def _note(self, scanner: Any, told: Any) -> None:
            if len(ended) < 2:  # no more results, and nothing about the region's end
                ended.append(int(told.rows))
                told.more = 0
            note(self, scanner, told)

    route = native.route
    assert isinstance(route, Native)
    split = native.tables.plan(ScanRequest(table, ("row_key",))).splits[0]
    reader = EndsEarly(native, split, RecordingControl(), route)
    assert [key for batch in reader for key in batch.column("row_key").to_pylist()] == ALL
    assert len(ended) == 2


def test_a_row_without_an_end_is_an_error(
    native: HBaseConnector, table: TableRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench_hbase.native_reader.LARGEST", 3 << 20)
    cells = Rows.cells

    def endless(self: Rows, message: bytes, block: Any, carried: int) -> Any:
        """All of a reply is the beginning of a row that goes on."""
        told = cells(self, message, bytearray(block[-(len(block) - endless.held) :]), 0)  # type: ignore[attr-defined]
        told.used, told.carried, told.rows = 0, 1, 0
        endless.held = len(block)  # type: ignore[attr-defined]
        return told

    endless.held = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(Rows, "cells", endless)
    split = native.tables.plan(ScanRequest(table, ("row_key", "f:v"))).splits[0]
    with pytest.raises(ProtocolError, match="a row of more than 3 MiB"):
        list(native.tables.read(split, RecordingControl()))


def test_replies_of_the_gateway_stay_small_where_rows_are_large(
    hbase: HBase, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first rows, from which their size is guessed, are small."""
    tables["growing"] = _BYTES
    client = hbase.client()
    client.drop("growing")
    client.create("growing", "f")
    client.put(
        "growing", ((b"%04d" % n, {b"f:v": b"x" if n < 1000 else bytes(50_000)}) for n in range(1400)), batch=100
    )
    connector = HBaseConnector(config(hbase, tables, route="gateway", gateway_port=hbase.gateway))
    try:
        split = connector.tables.plan(ScanRequest(TableRef("growing"), ("row_key", "f:v"))).splits[0]
        assert split.state["rows"] > 1000
        reader = connector.tables.read(split, RecordingControl())
        assert isinstance(reader, GatewayReader)
        assert sum(batch.num_rows for batch in reader) == 1400
        assert reader.received > 400 * 50_000
        assert len(reader._memory) < 16 << 20
    finally:
        connector.close()
        client.drop("growing")


def test_a_key_that_is_too_short_is_asked_for_without_any_cell(
    connector: HBaseConnector, hbase: HBase, tables: Tables
) -> None:
    tables["short_keys"] = {
        "key": [{"name": "a", "type": "short"}, {"name": "b", "type": "short"}], "columns": {"f:v": "text"}
    }  # fmt: skip
    client, one, two = hbase.client(), ENCODERS["short"](1), ENCODERS["short"](2)
    client.drop("short_keys")
    client.create("short_keys", "f")
    client.put("short_keys", [(key, {b"f:v": b"x", b"f:w": b"y"}) for key in (one, one + two, two + one, two + b"\1")])
    try:
        null, ref = IsNull(Column(("b",))), TableRef("short_keys")
        for columns in ((), ("a", "b"), ("a", "b", "f:v")):
            for predicate, expected in ((null, 2), (IsNull(Column(("b",)), negated=True), 2)):
                plan, got = raw(connector, ref, columns, (predicate,))
                assert got.num_rows == expected or plan.applied[predicate] is not Applied.EXACT, (columns, predicate)
                assert scan(connector, ref, columns, (predicate,)).num_rows == expected, (columns, predicate)
    finally:
        client.drop("short_keys")


def test_rows_that_an_answer_leaves_out_count_as_not_written() -> None:
    some = [Change(b"%d" % n, (((b"f", b"v"), b"x"),)) for n in range(3)]
    done = [text(1, number(1, n) + text(2, b"")) for n in range(3)]
    busy = "org.apache.hadoop.hbase.RegionTooBusyException"
    refused = text(1, number(1, 1) + text(3, text(1, busy) + text(2, f"{busy}: full")))
    assert _refused("h:1", parse(b"".join(done)), some) == ([], None)
    left, why = _refused("h:1", parse(done[0] + done[2]), some)
    assert (left, isinstance(why, ConnectionLost)) == ([some[1]], True)
    left, why = _refused("h:1", parse(done[0] + refused), some)
    assert (left, isinstance(why, Remote)) == ([some[1], some[2]], True)
    left, why = _refused("h:1", parse(text(2, text(1, busy) + text(2, b"full"))), some)
    assert (left, isinstance(why, Remote)) == (some, True)
    with pytest.raises(ProtocolError):
        _refused("h:1", parse(text(1, number(1, 3))), some)


def test_a_server_answers_or_is_gone(hbase: HBase) -> None:
    """One that takes a connection and ends it may be dying."""
    with Scripted(b"") as dying:
        where = dying.address
        assert not answers_natively(where)
        assert not Gateway(where, False, 2.0, PLAIN).answers()
    assert not answers_natively(where)
    assert not Gateway(where, False, 2.0, PLAIN).answers()
    assert answers_natively((hbase.host, hbase.port))
    assert Gateway((hbase.host, hbase.gateway), hbase.framed, 2.0, PLAIN).answers()


def answers_natively(where: tuple[str, int]) -> bool:
    with contextlib.closing(native_at(where)) as route:
        return route.answers(where)


def test_the_newest_version_alone_is_read_and_deleted_rows_are_gone(
    connector: HBaseConnector, hbase: HBase, tables: Tables
) -> None:
    tables["versions"] = {"columns": {"f:v": "text", "at": {"type": "cell_time", "cell": "f:v"}}}
    admin, client = Admin(hbase), hbase.client()
    client.drop("versions")
    admin.create("versions", "f", [], versions=3)
    admin.close()
    try:
        for value in (b"first", b"second"):
            client.put("versions", [(b"%d" % n, {b"f:v": value}) for n in range(4)])
        client.delete("versions", b"2")
        plan = connector.tables.plan(ScanRequest(TableRef("versions"), ("row_key", "f:v", "at")))
        rows = read(connector, plan).to_pylist()
        assert [(row["row_key"], row["f:v"]) for row in rows] == [(key, "second") for key in "013"]
        assert all(isinstance(row["at"], type(rows[0]["at"])) and pa.types.is_timestamp(plan.schema.field("at").type)
                   for row in rows)  # fmt: skip
    finally:
        client.drop("versions")
