"""Writing HBase: what becomes of NULL, of keys, and of regions that change meanwhile; by both routes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from tests.connectors.hbase.store import Tables, config
from tests.services.hbase.admin import Admin
from tests.services.hbase.server import HBase
from workbench.contract import Changes, Column, Compare, ConnectionConfig, Literal, Position, TableRef, WriteSpec
from workbench.contract.errors import InvalidParameter, QueryFailed, Unsupported
from workbench.testing.scanning import scan
from workbench_hbase import mutations
from workbench_hbase.connector import HBaseConnector
from workbench_hbase.salts import HASHES
from workbench_hbase.values import fits, proposed, written

SCHEMA = pa.schema([("shop", pa.string()), ("at", pa.timestamp("ms", "UTC")), ("n", pa.int32()), ("t", pa.string())])
MAPPING = {
    "key": [{"name": "shop", "separator": "|"}, {"name": "at", "type": "reversed_time"}],
    "columns": {"n": {"type": "long", "cell": "f:n"}, "t": {"type": "text", "cell": "g:t"}},
}
_EASILY_FULL = {
    "MEMSTORE_FLUSHSIZE": 1 << 20,
    "hbase.hregion.memstore.block.multiplier": 1,
    "hbase.hstore.blockingStoreFiles": 0,
    "SPLIT_POLICY": "org.apache.hadoop.hbase.regionserver.DisabledRegionSplitPolicy",
}
"""A table whose region takes no more when it has a MiB in memory, and with a file on disk writes it out when told to
alone. (A region of so little memory would soon be split by itself.)"""
NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(params=["native", "gateway"])
def connector(request: pytest.FixtureRequest, hbase: HBase, tables: Tables) -> Iterator[HBaseConnector]:
    usual = config(hbase, tables, route=request.param, gateway_port=hbase.gateway)
    connector = HBaseConnector(ConnectionConfig(usual.name, usual.parameters, writable=True, tables=tables))
    yield connector
    connector.close()
    for name in tables:
        hbase.client().drop(name)


def changes(ref: TableRef, rows: list[dict[str, Any]], *ops: str, schema: pa.Schema = SCHEMA) -> Changes:
    batch = pa.RecordBatch.from_pylist(rows, schema)
    place = Position("test", "1")
    return Changes(ref, batch, pa.array(ops) if ops else None, place, place)


def row(shop: str | None, hours: int, n: int | None, t: str | None) -> dict[str, Any]:
    return {"shop": shop, "at": NOON + dt.timedelta(hours=hours), "n": n, "t": t}


def test_rows_are_written_changed_and_deleted(connector: HBaseConnector, tables: Tables) -> None:
    tables["written"] = MAPPING
    ref, spec = TableRef("written"), WriteSpec(SCHEMA, "upsert", ("shop", "at"), create=True)
    writer = connector.sinks.open(ref, spec)
    assert not writer.write(changes(ref, [row("a", 0, 1, "x"), row("b", 0, 2, None), row("b", 1, 3, "é")]), 1).count
    writer.commit(None)
    assert scan(connector, ref, ("shop", "at", "n", "t")).to_pylist() == [
        row("a", 0, 1, "x"), row("b", 1, 3, "é"), row("b", 0, 2, None)
    ]  # fmt: skip
    again = [row("a", 0, None, "y"), row("b", 0, 7, "z"), row("b", 0, 0, None), row("b", 1, 0, None)]
    writer.write(changes(ref, again, "update", "update", "delete", "delete"), 2)
    writer.write(changes(ref, [row("b", 0, 8, None)], "insert"), 3)
    writer.commit(None)
    writer.close()
    assert scan(connector, ref, ("shop", "at", "n", "t")).to_pylist() == [row("a", 0, None, "y"), row("b", 0, 8, None)]


def test_rows_that_no_key_can_say_are_refused_and_named(connector: HBaseConnector, tables: Tables) -> None:
    tables["refused"] = MAPPING
    ref, spec = TableRef("refused"), WriteSpec(SCHEMA, "upsert", ("shop", "at"), create=True)
    writer = connector.sinks.open(ref, spec)
    rows = [row(None, 0, 1, "x"), row("a|b", 0, 1, "x"), row("c", 0, None, None), row("d", 0, 1, None)]
    refused = writer.write(changes(ref, rows), 1)
    assert refused.count == 3
    for word, reason in zip(("NULL in `shop`", "separator", "marker"), refused.samples, strict=True):
        assert word in reason
    writer.commit(None)
    writer.close()
    assert scan(connector, ref, ("shop",)).to_pylist() == [{"shop": "d"}]


def test_refused_rows_are_named_by_their_places_since_the_commit_before(
    connector: HBaseConnector, tables: Tables
) -> None:
    """So that they are dead letters themselves, however many they are."""
    tables["apart"] = MAPPING
    ref, spec = TableRef("apart"), WriteSpec(SCHEMA, "upsert", ("shop", "at"), create=True, apart=True)
    writer = connector.sinks.open(ref, spec)
    good, odd = row("a", 0, 1, "x"), row("a|b", 0, 1, "x")
    assert writer.write(changes(ref, [good] * 3), 1).each == ()
    later = writer.write(changes(ref, [odd, good, *[odd] * 7]), 2)
    assert [place for place, _ in later.each] == [3, *range(5, 12)]
    assert all("separator" in reason for _, reason in later.each)
    assert len(later.samples) == 5
    assert writer.write(changes(ref, [odd]), 2) == later  # the same batch once more
    writer.commit(None)
    assert [place for place, _ in writer.write(changes(ref, [good, odd]), 3).each] == [1]
    writer.close()


def test_a_row_with_a_value_that_a_kind_cannot_hold_is_refused_alone(connector: HBaseConnector, tables: Tables) -> None:
    tables["odd_target"] = {
        "key": [{"name": "id", "type": "sorted_long"}],
        "columns": {"at": {"type": "time", "cell": "f:at"}, "back": {"type": "reversed_time", "cell": "f:back"}},
    }
    ref = TableRef("odd_target")
    schema = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us")), ("back", pa.timestamp("ms"))])
    writer = connector.sinks.open(ref, WriteSpec(schema, "upsert", ("id",), create=True))
    day = dt.datetime(2026, 1, 1)
    rows = [
        {"id": 1, "at": day, "back": day},
        {"id": 2, "at": day.replace(microsecond=5), "back": day},
        {"id": 3, "at": day, "back": dt.datetime(1969, 1, 1)},
        {"id": 4, "at": None, "back": day},
    ]
    rejects = writer.write(changes(ref, rows, schema=schema), 1)
    writer.commit(None)
    writer.close()
    assert rejects.count == 2
    assert [reason.split(" in ")[1].partition(",")[0] for reason in rejects.samples] == ["`at`", "`back`"]
    assert "2026-01-01 00:00:00.000005" in rejects.samples[0]
    assert scan(connector, ref, ("id",)).column("id").to_pylist() == [1, 4]


def test_what_does_not_fit_is_refused_with_the_way_out(connector: HBaseConnector, tables: Tables, hbase: HBase) -> None:
    ref = TableRef("unfit_target")
    plain = WriteSpec(pa.schema([("id", pa.int64()), ("v", pa.string())]), "upsert", ("id",), create=True)
    with pytest.raises(InvalidParameter, match=r'"type": "sorted_long"'):
        connector.sinks.open(ref, plain)
    tables["unfit_target"] = MAPPING
    with pytest.raises(Unsupported):
        connector.sinks.open(ref, WriteSpec(SCHEMA, "insert", ("shop", "at"), create=True))
    wrong_key = WriteSpec(SCHEMA, "upsert", ("shop",), create=True)
    wrong_type = WriteSpec(SCHEMA.set(3, pa.field("t", pa.float64())), "upsert", ("shop", "at"), create=True)
    unknown = WriteSpec(SCHEMA.append(pa.field("more", pa.int64())), "upsert", ("shop", "at"), create=True)
    for spec in (wrong_key, wrong_type, unknown):
        with pytest.raises(InvalidParameter):
            connector.sinks.open(ref, spec)
    tables["unfit_target"] = {**MAPPING, "key": [{"name": "s", "buckets": 2}, *MAPPING["key"]]}  # type: ignore[misc]
    with pytest.raises(InvalidParameter, match="salted"):
        connector.sinks.open(ref, WriteSpec(SCHEMA, "upsert", ("shop", "at"), create=True))
    assert "unfit_target" not in hbase.client().tables()


def test_a_table_is_made_with_its_split_keys_and_written_while_a_region_splits(hbase: HBase, tables: Tables) -> None:
    usual = config(hbase, tables)
    connector = HBaseConnector(ConnectionConfig(usual.name, usual.parameters, writable=True, tables=tables))
    admin = Admin(hbase)
    schema = pa.schema([("id", pa.string()), ("v", pa.int64())])
    tables["presplit"] = {
        "key": [{"name": "id"}],
        "columns": {"v": {"type": "long", "cell": "f:v"}},
        "split_keys": ["3", "6"],
    }
    ref = TableRef("presplit")
    try:
        writer = connector.sinks.open(ref, WriteSpec(schema, "upsert", ("id",), create=True))
        assert [region.start for region in admin.native.regions("presplit")] == [b"", b"3", b"6"]
        rows = [{"id": f"{n % 10}{n:05d}", "v": n} for n in range(5000)]
        writer.write(changes(ref, rows, schema=schema), 1)
        writer.commit(None)
        admin.split(admin.native.regions("presplit")[1], b"45")
        writer.write(changes(ref, [{"id": one["id"], "v": -one["v"]} for one in rows], schema=schema), 2)
        writer.commit(None)
        writer.close()
        got = scan(connector, ref, ("id", "v"), splits=4).to_pylist()
        assert sorted(got, key=lambda one: str(one["id"])) == sorted(
            ({"id": one["id"], "v": -one["v"]} for one in rows), key=lambda one: str(one["id"])
        )
    finally:
        connector.close()
        admin.close()
        hbase.client().drop("presplit")


def test_a_region_that_is_too_busy_is_waited_for(hbase: HBase, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table whose memory is full with one bulk: the server refuses the next, until that one was written out."""
    usual = config(hbase, tables, patience=60)
    connector = HBaseConnector(ConnectionConfig(usual.name, usual.parameters, writable=True, tables=tables))
    admin, refused, pauses = Admin(hbase), [], []
    worth_a_try = mutations._worth_a_try

    def noted(where: str, pair: Any) -> Any:
        refused.append(worth_a_try(where, pair).kind)
        return worth_a_try(where, pair)

    def written_out(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) % 2 == 0:
            admin.flush("busy")

    monkeypatch.setattr(mutations, "_worth_a_try", noted)
    monkeypatch.setattr(mutations, "clock", SimpleNamespace(sleep=written_out))
    schema = pa.schema([("id", pa.string()), ("v", pa.binary())])
    tables["busy"] = {"key": [{"name": "id"}], "columns": {"v": {"type": "bytes", "cell": "f:v"}}}
    hbase.client().drop("busy")
    admin.create("busy", "f", [], **_EASILY_FULL)
    try:
        hbase.client().put("busy", [(b"0", {b"f:v": b""})])
        admin.flush("busy")
        writer = connector.sinks.open(TableRef("busy"), WriteSpec(schema, "upsert", ("id",)))
        rows = [{"id": f"{n:05d}", "v": bytes(20_000)} for n in range(600)]
        writer.write(changes(TableRef("busy"), rows, schema=schema), 1)
        writer.commit(None)
        writer.close()
        assert scan(connector, TableRef("busy"), ()).num_rows == 601
        assert set(refused) == {"RegionTooBusyException"}
        assert pauses == [0.05, 0.1, 0.05, 0.1]  # two bulks came after the first one
    finally:
        connector.close()
        admin.close()
        hbase.client().drop("busy")


def test_each_type_has_a_kind_that_it_fits() -> None:
    numbers = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint16(), pa.float32(), pa.float64())
    kinds = (*numbers, pa.bool_(), pa.string(), pa.binary(), pa.timestamp("us"), pa.date32(), pa.decimal128(10, 2))
    for kind in kinds:
        assert fits(kind, proposed(kind, False))
        if not pa.types.is_floating(kind) and not pa.types.is_boolean(kind):
            assert fits(kind, proposed(kind, True))
    assert written(pa.array([1, None, -1]), "sorted_long") == [b"\x80" + bytes(6) + b"\1", None, b"\x7f" + b"\xff" * 7]
    with pytest.raises(pa.ArrowInvalid):
        written(pa.array([2**40]), "int")


def test_salted_keys_are_written_where_the_hash_says(connector: HBaseConnector, tables: Tables) -> None:
    salt = {"name": "s", "buckets": 4, "hash": "phoenix"}
    tables["salted"] = {
        "key": [salt, {"name": "id", "type": "sorted_long"}, {"name": "t"}],
        "columns": {"v": {"type": "long", "cell": "f:v"}},
    }
    schema = pa.schema([("v", pa.int64()), ("id", pa.int64()), ("t", pa.string())])
    rows = [{"v": n, "id": n - 20, "t": "é" * (n % 3)} for n in range(40)]
    ref = TableRef("salted")
    writer = connector.sinks.open(ref, WriteSpec(schema, "upsert", ("id", "t"), create=True))
    writer.write(changes(ref, rows, schema=schema), 1)
    writer.commit(None)
    writer.close()
    got = scan(connector, ref, schema.names, splits=2).to_pylist()
    assert sorted(got, key=lambda row: int(row["v"])) == rows
    assert len(connector.route.regions("salted")) == (4 if connector.route.bytewise else 1)
    seven = Compare(Column(("id",)), "=", Literal(7, pa.int64()))
    assert scan(connector, ref, ("v",), (seven,)).to_pylist() == [{"v": 27}]


def test_salts_are_those_that_phoenix_has() -> None:
    """`31 * hash + byte` from 1 on, in 32 bits and with signed bytes, as Java's `Arrays.hashCode`."""
    assert [HASHES["phoenix"](key) for key in (b"", b"\0", b"a", b"\xff", b"ab")] == [1, 31, 128, 30, 4066]
    assert HASHES["phoenix"](b"a-b_c.d/e") == 1284829957


def test_families_are_written_as_structs(connector: HBaseConnector, tables: Tables) -> None:
    tables["structs"] = {
        "families": "structs",
        "key": [{"name": "id"}],
        "columns": {"f:a": "long", "f:b": "text", "g:c": "text"},
        "marker": "g:_",
    }
    inner = pa.struct([("b", pa.string()), ("a", pa.int32())])
    schema = pa.schema([("id", pa.string()), ("f", inner), ("g", pa.struct([("c", pa.string())]))])
    ref, spec = TableRef("structs"), WriteSpec(schema, "upsert", ("id",), create=True)
    rows = [
        {"id": "1", "f": {"b": "x", "a": 1}, "g": None},
        {"id": "2", "f": {"b": None, "a": 2}, "g": {"c": "y"}},
        {"id": "3", "f": None, "g": {"c": None}},
    ]
    writer = connector.sinks.open(ref, spec)
    writer.write(changes(ref, rows, schema=schema), 1)
    writer.write(changes(ref, [{"id": "2", "f": None, "g": {"c": "z"}}], "update", schema=schema), 2)
    writer.commit(None)
    writer.close()
    assert scan(connector, ref, ("id", "f", "g")).to_pylist() == [
        {"id": "1", "f": {"a": 1, "b": "x"}, "g": None},
        {"id": "2", "f": None, "g": {"c": "z"}},
        {"id": "3", "f": None, "g": None},
    ]
    for wrong in (pa.int64(), pa.struct([("nobody", pa.int64())]), pa.struct([("a", pa.string())])):
        with pytest.raises(InvalidParameter, match=r"`f`|`f\.nobody`|`a`"):
            connector.sinks.open(ref, WriteSpec(schema.set(1, pa.field("f", wrong)), "upsert", ("id",)))


def test_times_of_cells_are_written(connector: HBaseConnector, tables: Tables) -> None:
    """Each row's own, where a column says it; what is older than what is there changes nothing."""
    tables["timed"] = {
        "key": [{"name": "id"}],
        "columns": {
            "v": {"type": "text", "cell": "f:v"},
            "at": {"type": "cell_time", "cell": "f:v"},
            "w": {"type": "text", "cell": "f:w"},
        },
    }
    schema = pa.schema([("id", pa.string()), ("v", pa.string()), ("at", pa.timestamp("ms", "UTC")), ("w", pa.string())])
    ref, spec = TableRef("timed"), WriteSpec(schema, "upsert", ("id",), create=True)
    hour = dt.timedelta(hours=1)
    writer = connector.sinks.open(ref, spec)

    def one(key: str, v: str | None, at: dt.datetime | None) -> dict[str, Any]:
        return {"id": key, "v": v, "at": at, "w": "w"}

    writer.write(changes(ref, [one("1", "x", NOON), one("2", "y", NOON + hour), one("3", "z", None)], schema=schema), 1)
    writer.write(changes(ref, [one("1", "old", NOON - hour), one("2", None, NOON + 2 * hour)], schema=schema), 2)
    early = writer.write(changes(ref, [one("4", "x", NOON - 24 * 366 * 99 * hour)], schema=schema), 3)
    assert "before 1970" in early.samples[0]
    writer.commit(None)
    writer.close()
    first, second, third = scan(connector, ref, ("id", "v", "at")).to_pylist()
    assert (first, second) == ({"id": "1", "v": "x", "at": NOON}, {"id": "2", "v": None, "at": None})
    assert third["at"] > dt.datetime.now(dt.UTC) - hour
    alone = WriteSpec(pa.schema([schema.field("id"), schema.field("at")]), "upsert", ("id",))
    with pytest.raises(InvalidParameter, match="not written"):
        connector.sinks.open(ref, alone)


def test_a_time_that_the_server_does_not_take_is_refused_at_once(hbase: HBase, tables: Tables) -> None:
    """It is not tried again, as what moves is."""
    usual = config(hbase, tables, patience=100)
    connector = HBaseConnector(ConnectionConfig(usual.name, usual.parameters, writable=True, tables=tables))
    admin = Admin(hbase)
    kinds = {"v": {"type": "text", "cell": "f:v"}, "at": {"type": "cell_time", "cell": "f:v"}}
    tables["strict"] = {"key": [{"name": "id"}], "columns": kinds}
    schema = pa.schema([("id", pa.string()), ("v", pa.string()), ("at", pa.timestamp("ms", "UTC"))])
    hbase.client().drop("strict")
    admin.create("strict", "f", [], **{"hbase.hregion.keyvalue.timestamp.slop.millisecs": 60_000})
    ref, late = TableRef("strict"), dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=1)
    try:
        writer = connector.sinks.open(ref, WriteSpec(schema, "upsert", ("id",)))
        writer.write(changes(ref, [{"id": "1", "v": "x", "at": late}], schema=schema), 1)
        with pytest.raises(QueryFailed, match=r"(?s)imestamp.*0 of 1 rows are there"):
            writer.commit(None)
        writer.close()
        assert scan(connector, ref, ("id",)).num_rows == 0
    finally:
        connector.close()
        admin.close()
        hbase.client().drop("strict")
