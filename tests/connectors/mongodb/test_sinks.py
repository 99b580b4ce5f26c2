"""Documents that are written: their types, their keys, and what is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import bson
import pyarrow as pa
import pytest

from tests.connectors.mongodb.store import config
from tests.services.mongodb.server import MongoJava
from workbench.contract import Changes, ConnectionConfig, Guarantee, Position, ScanRequest, TableRef, WriteSpec
from workbench.contract.errors import ConnectionLost, InvalidParameter, QueryFailed
from workbench.testing.control import RecordingControl
from workbench_mongodb import refusing, writer as writing
from workbench_mongodb.connector import MongoDBConnector

REF, PLACE = TableRef("written"), Position("test", "1")


@pytest.fixture
def connector(mongodb: MongoJava) -> Iterator[MongoDBConnector]:
    with mongodb.client() as client:
        client.shop.written.drop()
    connector = MongoDBConnector(writable(mongodb))
    yield connector
    connector.close()


def writable(server: MongoJava, **parameters: object) -> ConnectionConfig:
    usual = config(server, **parameters)
    return ConnectionConfig(usual.name, usual.parameters, writable=True)


def write(connector: MongoDBConnector, rows: pa.Table, *ops: str, **how: Any) -> tuple[int, tuple[str, ...]]:
    writer = connector.sinks.open(REF, WriteSpec(rows.schema, **how))
    try:
        batch = rows.combine_chunks().to_batches()[0]
        refused = writer.write(Changes(REF, batch, pa.array(ops) if ops else None, PLACE, PLACE), 1)
        writer.commit(PLACE)
        return refused.count, refused.samples
    finally:
        writer.close()


def there(server: MongoJava) -> list[dict[str, Any]]:
    with server.client() as client:
        return list(client.shop.written.find(sort=[("_id", 1)]))


def test_each_type_is_written_as_its_own(connector: MongoDBConnector, mongodb: MongoJava) -> None:
    inner = pa.struct([("a", pa.int32()), ("at", pa.timestamp("us"))])
    row = {
        "_id": 1,
        "d": Decimal("12.340"),
        "day": dt.date(2024, 2, 29),
        "at": dt.datetime(2024, 2, 29, 1, 2, 3, 4000, dt.UTC),
        "b": b"\0\xff",
        "s": {"a": 1, "at": dt.datetime(1969, 12, 31)},
        "l": [[1.5, None], None, []],
        "f": [1, 2],
        "c": "word",
        "n": None,
    }
    kinds = [pa.int16(), pa.decimal128(5, 3), pa.date32(), pa.timestamp("ns", "Europe/Berlin"), pa.large_binary(),
             inner, pa.list_(pa.list_(pa.float32())), pa.list_(pa.uint8(), 2), pa.dictionary(pa.int8(), pa.string()),
             pa.null()]  # fmt: skip
    rows = pa.Table.from_pylist([row], pa.schema(list(zip(row, kinds, strict=True))))
    assert write(connector, rows, create=True) == (0, ())
    (found,) = there(mongodb)
    utc = row | {"at": dt.datetime(2024, 2, 29, 1, 2, 3, 4000), "day": dt.datetime(2024, 2, 29)}
    assert found == utc | {"d": bson.Decimal128("12.340")}


def test_what_was_read_is_written_back_as_it_was(connector: MongoDBConnector, mongodb: MongoJava) -> None:
    document = {"_id": bson.ObjectId(), "price": bson.Decimal128("1E+3"), "x": 2.0, "mixed": {"k": [1, None]}}
    with mongodb.client() as client:
        client.shop.written.insert_many([document, {"mixed": 5, "price": bson.Decimal128("1"), "x": 1.5}])
    read = pa.table({"_id": [str(document["_id"])], "price": ["2E+3"], "x": [3], "mixed": ['{"k":["new"]}']})
    assert write(connector, read, mode="upsert", key=("_id",)) == (0, ())
    found = next(one for one in there(mongodb) if one["_id"] == document["_id"])
    assert found == {**document, "price": bson.Decimal128("2E+3"), "x": 3.0, "mixed": {"k": ["new"]}}
    assert isinstance(found["x"], float)


def test_what_is_inside_is_written_back_as_it_was(connector: MongoDBConnector, mongodb: MongoJava) -> None:
    one = bson.ObjectId()
    document = {"_id": 1, "who": {"id": one, "balance": bson.Decimal128("1.50"), "note": 5}, "refs": [one, None]}
    other = {"_id": 2, "who": {"id": one, "balance": bson.Decimal128("2"), "note": "five"}, "refs": []}
    with mongodb.client() as client:
        client.shop.written.insert_many([document, other])
    plan = connector.tables.plan(ScanRequest(REF, ("_id", "who", "refs")))
    read = [batch for split in plan.splits for batch in connector.tables.read(split, RecordingControl())]
    assert write(connector, pa.Table.from_batches(read), mode="upsert", key=("_id",)) == (0, ())
    assert there(mongodb) == [document, other]
    wrong = pa.table({"_id": [1], "who": [{"id": 5}]})
    with pytest.raises(InvalidParameter, match=r"`who\.id` of type int64, which is objectId there"):
        write(connector, wrong, mode="upsert", key=("_id",))


def test_an_upsert_leaves_the_other_fields(connector: MongoDBConnector, mongodb: MongoJava) -> None:
    with mongodb.client() as client:
        client.shop.written.insert_many([{"_id": 1, "a": 1, "b": "kept"}, {"_id": 2, "a": 2, "b": "gone"}])
    rows = pa.table({"_id": [1, 2, 3, 3], "a": [10, 0, 30, 31]})
    ops = ("update", "delete", "insert", "update")
    assert write(connector, rows, *ops, mode="upsert", key=("_id",)) == (0, ())
    assert there(mongodb) == [{"_id": 1, "a": 10, "b": "kept"}, {"_id": 3, "a": 31}]


def test_rows_that_no_document_can_hold_are_named_and_the_others_are_there(
    connector: MongoDBConnector, mongodb: MongoJava
) -> None:
    rows = pa.table(
        {
            "_id": pa.array([1, 2, None, 4], pa.int64()),
            "u": pa.array([1, 2**63, 3, 4], pa.uint64()),
            "at": pa.array([0, 0, 0, 1], pa.timestamp("us")),
        }
    )
    count, samples = write(connector, rows, create=True)
    assert count == 3
    assert [sample.partition(":")[0] for sample in samples] == ["_id = 2", "_id = None", "_id = 4"]
    assert "beyond 64 bits" in samples[0]
    assert "milliseconds" in samples[2]
    assert [one["_id"] for one in there(mongodb)] == [1]


def test_a_document_that_is_too_large_is_refused(connector: MongoDBConnector, mongodb: MongoJava) -> None:
    rows = pa.table({"_id": [1, 2], "t": ["x" * (17 << 20), "y"]})
    count, samples = write(connector, rows, create=True)
    assert count == 1
    assert "more than a document may have" in samples[0]
    assert [one["_id"] for one in there(mongodb)] == [2]


def test_a_refused_bulk_says_what_is_there(connector: MongoDBConnector, mongodb: MongoJava) -> None:
    with mongodb.client() as client:
        client.shop.written.insert_one({"_id": 5, "a": 5})
    with pytest.raises(QueryFailed, match=r"refused 1 of 10 rows .*; 9 were written, 0 were not sent") as caught:
        write(connector, pa.table({"_id": range(10), "a": range(10)}))
    assert caught.value.code == 11000
    assert [one["_id"] for one in there(mongodb)] == list(range(10))


def apart(connector: MongoDBConnector, rows: pa.Table, **how: Any) -> tuple[set[int], set[int]]:
    """The places of the rows that are refused before the commit, and by it."""
    writer = connector.sinks.open(REF, WriteSpec(rows.schema, apart=True, **how))
    try:
        refused = set[int]()
        for number, batch in enumerate(rows.to_batches(), 1):
            refused |= {place for place, _ in writer.write(Changes(REF, batch, None, PLACE, PLACE), number).each}
        late = writer.commit(PLACE)
        assert late is not None
        assert late.count == len(late.each)
        assert all("E11000" in why for _, why in late.each)
        return refused, {place for place, _ in late.each}
    finally:
        writer.close()


@pytest.mark.parametrize("key", [(), ("_id",)])
def test_rows_are_refused_apart_and_those_that_are_there_already_are_not(
    connector: MongoDBConnector, mongodb: MongoJava, monkeypatch: pytest.MonkeyPatch, key: tuple[str, ...]
) -> None:
    monkeypatch.setattr(writing, "_ROWS", 3)
    one, other = {"x": 1, "y": [1.0, None]}, {"x": 2, "y": []}
    with mongodb.client() as client:
        client.shop.written.insert_many(
            [{"_id": 2, "a": 20, "s": one}, {"_id": 3, "a": 30, "s": other}, {"_id": 7, "a": 70, "s": one, "more": 1}]
        )
        client.shop.written.insert_one({"_id": 8, "a": 81, "s": one})
    batches = [pa.table({"_id": ids, "a": [10 * n if n else 0 for n in ids], "s": [one] * len(ids)})
               for ids in ([1, 2, None, 3], [4, 5, 6], [7, 8, 9, 9])]  # fmt: skip
    assert apart(connector, pa.concat_tables(batches), key=key) == ({2}, {3, 8})
    left = {one["_id"]: one["a"] for one in there(mongodb)}
    assert left == {n: 10 * n for n in range(1, 10)} | {8: 81}


def test_a_repeat_is_known_by_a_key_of_several_fields(connector: MongoDBConnector, mongodb: MongoJava) -> None:
    rows = pa.table({"shop": ["a", "a", "b"], "n": [1, 2, 1], "v": [1.5, None, 2.0]})
    how: dict[str, Any] = {"key": ("shop", "n"), "create": True}
    assert apart(connector, rows, **how) == (set(), set())
    assert apart(connector, rows, **how) == (set(), set())
    assert apart(connector, rows.set_column(2, "v", pa.array([1.5, 0.0, 2.0])), **how) == (set(), {1})
    assert len(there(mongodb)) == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (5, 5.0, True),
        (5, bson.Decimal128("5.0"), True),
        (float("nan"), bson.Decimal128("NaN"), True),
        (True, 1, False),
        ([1, {"a": 2}], [1.0, {"a": 2}], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        ("5", 5, False),
        (None, 0, False),
    ],
)
def test_values_are_the_same_as_the_server_compares(one: object, other: object, same: bool) -> None:
    assert (refusing._plain(one) == refusing._plain(other)) is same


def test_a_refusal_that_is_not_of_rows_is_one_of_the_whole() -> None:
    row = {"index": 0, "code": 121, "errmsg": "Document failed validation"}
    assert refusing.refused_apart(None, (), [{}], {"writeErrors": [row]}) == {0: "Document failed validation"}
    for details in (
        {},
        {"writeErrors": [row, {"index": 1, "code": 189, "errmsg": "stepped down"}]},
        {"writeErrors": [row], "writeConcernErrors": [{"code": 64}]},
    ):
        assert refusing.refused_apart(None, (), [{}, {}], details) is None


def test_many_rows_wait_on_disk_and_a_key_comes_once_a_bulk(
    connector: MongoDBConnector, mongodb: MongoJava, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_IN_MEMORY", 1000)
    rows = pa.table({"_id": [n % 700 for n in range(5000)], "a": range(5000)})
    assert write(connector, rows, mode="upsert", key=("_id",), create=True) == (0, ())
    last = {n % 700: n for n in range(5000)}
    assert {one["_id"]: one["a"] for one in there(mongodb)} == last


@pytest.mark.parametrize(
    ("schema", "how", "said"),
    [
        ({"a.b": pa.int64()}, {}, "`a.b`"),
        ({"$a": pa.int64()}, {}, r"`\$a`"),
        ({"s": pa.struct([("x.y", pa.int64())])}, {}, r"`x\.y`"),
        ({"t": pa.time64("us")}, {"create": True}, "cast it to text"),
        ({"a": pa.string()}, {}, "which is long there"),
        ({"zzz": pa.string()}, {}, "create=True"),
        ({"a": pa.int64()}, {"mode": "upsert"}, "is needed"),
        ({"a": pa.int64()}, {"mode": "upsert", "key": ("b",)}, "`b`"),
        ({"a": pa.int64()}, {"mode": "upsert", "key": ("a",)}, "no unique index"),
        ({"_id": pa.list_(pa.int64())}, {"mode": "upsert", "key": ("_id",), "create": True}, "which is array"),
        ({}, {}, "no columns"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    connector: MongoDBConnector, mongodb: MongoJava, schema: dict[str, Any], how: dict[str, Any], said: str
) -> None:
    with mongodb.client() as client:
        client.shop.written.insert_many([{"a": 1}, {"a": 2}])
    if schema and "_id" in schema:
        with mongodb.client() as client:
            client.shop.written.drop()
    with pytest.raises(InvalidParameter, match=said):
        connector.sinks.open(REF, WriteSpec(pa.schema(list(schema.items())), **how))


def test_a_made_collection_has_a_unique_index_and_repeats_overwrite(
    connector: MongoDBConnector, mongodb: MongoJava
) -> None:
    rows = pa.table({"shop": ["a", "a"], "n": [1, 2], "v": [1.5, None]})
    how: dict[str, Any] = {"mode": "upsert", "key": ("shop", "n"), "create": True}
    for _ in range(2):
        write(connector, rows, **how)
    found = {(one["shop"], one["n"]): one["v"] for one in there(mongodb)}
    assert found == {("a", 1): 1.5, ("a", 2): None}
    assert len(there(mongodb)) == 2
    writer = connector.sinks.open(REF, WriteSpec(rows.schema, **how))
    assert writer.guarantee is Guarantee.KEYED
    writer.close()


def test_a_server_that_goes_away_is_said_with_what_is_there() -> None:
    with MongoJava() as server:
        connector = MongoDBConnector(writable(server))
        rows = pa.table({"_id": [1], "a": [1]})
        writer = connector.sinks.open(REF, WriteSpec(rows.schema, create=True))
        writer.write(Changes(REF, rows.to_batches()[0], None, PLACE, PLACE), 1)
        server.kill()
        with pytest.raises(ConnectionLost, match="0 are there"):
            writer.commit(PLACE)
        with pytest.raises(ConnectionLost, match="open it again"):
            writer.commit(PLACE)
        writer.close()
        connector.close()
