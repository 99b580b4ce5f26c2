"""What is MongoDB's own: documents, types that are mixed, filters that look into arrays, ids of several types."""

from __future__ import annotations

import datetime as dt
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import bson
import pyarrow as pa
import pytest

from tests.connectors.mongodb.store import config
from tests.services.mongodb.server import FerretDB, MongoJava
from workbench.contract import Applied, Column, Compare, In, IsNull, Literal, Not, ScanRequest, TableRef
from workbench.contract.errors import InvalidParameter, Unreachable, Unsupported
from workbench.testing.control import RecordingControl
from workbench.testing.proxy import free_port
from workbench.testing.scanning import read, scan
from workbench_mongodb import tables
from workbench_mongodb.connector import MongoDBConnector
from workbench_mongodb.splits import between

DOCUMENTS: list[dict[str, Any]] = [
    {"_id": bson.ObjectId("65f000000000000000000001"), "n": 1, "sub": {"a": 1, "b": "x"}, "tags": ["p", None, "q"],
     "price": bson.Decimal128("1234567890123456789012345678901.234"), "mixed": 5, "at": dt.datetime(2024, 2, 29, 1),
     "items": [{"sku": "s1", "qty": 2}, {"sku": "s2"}]},
    {"_id": bson.ObjectId("65f000000000000000000002"), "n": bson.Int64(2**40), "sub": {"a": None}, "tags": [],
     "price": bson.Decimal128("1E+3"), "mixed": "five", "at": None, "regex": bson.Regex("^a", "i")},
    {"_id": bson.ObjectId("65f000000000000000000003"), "mixed": {"k": [1, 2.5]}, "tags": ["r"], "n": 3},
]  # fmt: skip


@pytest.fixture
def connector(mongodb: MongoJava) -> Iterator[MongoDBConnector]:
    connector = MongoDBConnector(config(mongodb))
    yield connector
    connector.close()


@pytest.fixture
def load(mongodb: MongoJava) -> Iterator[Any]:
    names: list[str] = []

    def loaded(name: str, documents: list[dict[str, Any]]) -> TableRef:
        names.append(name)
        with mongodb.client() as client:
            client.shop[name].drop()
            client.shop[name].insert_many([dict(document) for document in documents])
        return TableRef(name)

    yield loaded
    with mongodb.client() as client:
        for name in names:
            client.shop[name].drop()


def whole(connector: MongoDBConnector, ref: TableRef) -> list[dict[str, Any]]:
    rows = scan(connector, ref, connector.tables.schema(ref).names).to_pylist()
    return sorted(rows, key=lambda row: str(row["_id"]))


def test_documents_are_structs_and_arrays_are_lists(connector: MongoDBConnector, load: Any) -> None:
    ref = load("nested", DOCUMENTS)
    schema = connector.tables.schema(ref)
    assert schema.field("sub").type == pa.struct([("a", pa.int64()), ("b", pa.string())])
    assert schema.field("items").type == pa.list_(pa.struct([("sku", pa.string()), ("qty", pa.int64())]))
    first, second, third = whole(connector, ref)
    assert (first["sub"], second["sub"], third["sub"]) == ({"a": 1, "b": "x"}, {"a": None, "b": None}, None)
    assert (first["tags"], second["tags"], third["tags"]) == (["p", None, "q"], [], ["r"])
    assert first["items"] == [{"sku": "s1", "qty": 2}, {"sku": "s2", "qty": None}]
    assert (first["_id"], first["price"]) == ("65f000000000000000000001", "1234567890123456789012345678901.234")
    assert (second["price"], second["n"], first["at"]) == ("1E+3", 2**40, dt.datetime(2024, 2, 29, 1, tzinfo=dt.UTC))


def test_mixed_types_are_json_and_the_catalog_says_their_shares(connector: MongoDBConnector, load: Any) -> None:
    ref = load("mixed", DOCUMENTS)
    assert [json.loads(row["mixed"]) for row in whole(connector, ref)] == [5, "five", {"k": [1, 2.5]}]
    about = connector.tables.schema(ref).field("mixed").metadata
    assert about[b"source_type"] == b"int 33.3 %, object 33.3 %, string 33.3 %"
    assert b"2 of 3 values" in about[b"comment"]
    regex = next(row["regex"] for row in whole(connector, ref) if row["regex"])
    assert json.loads(regex) == {"$regularExpression": {"pattern": "^a", "options": "i"}}


def test_a_value_that_the_sample_did_not_have_is_null_and_counted(connector: MongoDBConnector, load: Any) -> None:
    ref = load("drift", [{"_id": n, "n": n, "d": 0.5} for n in range(10)])
    plan = connector.tables.plan(ScanRequest(ref, ("_id", "n", "d")))
    load("drift", [{"_id": 1, "n": "one", "d": bson.Int64(2**53 + 1)}, {"_id": 2, "n": 2, "d": bson.Int64(2**53)}])
    reader = connector.tables.read(plan.splits[0], RecordingControl())
    assert [batch.to_pylist() for batch in reader] == [
        [{"_id": 1, "n": None, "d": None}, {"_id": 2, "n": 2, "d": float(2**53)}]
    ]
    assert reader.lost == {"n": 1, "d": 1}


def test_filters_do_not_look_into_arrays_nor_at_other_types(connector: MongoDBConnector, load: Any) -> None:
    documents = [{"_id": n, "x": n} for n in range(5)]
    ref = load("guarded", documents)
    asked_of = connector.tables
    column, two = Column(("x",)), Literal(2, pa.int64())
    predicates = [Compare(column, "=", two), Not(Compare(column, "=", two)), In(column, (two,)),
                  Not(In(column, (two,))), IsNull(column), IsNull(column, True)]  # fmt: skip
    plans = [asked_of.plan(ScanRequest(ref, ("_id",), (predicate,))) for predicate in predicates]
    load("guarded", [*documents, {"_id": 10, "x": [2, 7]}, {"_id": 11, "x": 2.5}, {"_id": 12, "x": None}, {"_id": 13}])
    asked = []
    for plan, predicate in zip(plans, predicates, strict=True):
        assert plan.applied[predicate] == Applied.EXACT
        asked.append(sorted(read(connector, plan).column("_id").to_pylist()))
    others, nulls = [0, 1, 3, 4], [10, 11, 12, 13]
    assert asked == [[2], others, [2], others, nulls, [0, 1, 2, 3, 4]]


def test_object_ids_are_compared_as_such(connector: MongoDBConnector, load: Any) -> None:
    ref = load("ids", DOCUMENTS)
    last = Compare(Column(("_id",)), ">", Literal("65f000000000000000000001", pa.string()))
    plan = connector.tables.plan(ScanRequest(ref, ("_id",), (last,)))
    assert plan.applied[last] == Applied.EXACT
    assert read(connector, plan).num_rows == 2


def test_ids_of_all_types_are_in_just_one_part(connector: MongoDBConnector, load: Any) -> None:
    odd: list[Any] = [None, "text", float("nan"), True, 2.5, dt.datetime(2020, 1, 1), b"x", {"a": 1}, bson.ObjectId(),
                      bson.Decimal128("7.5"), bson.MinKey(), bson.MaxKey(), float("inf"), -float("inf")]  # fmt: skip
    ref = load("odd", [*({"_id": n, "v": n} for n in range(6000)), *({"_id": key, "v": -1} for key in odd)])
    plan = connector.tables.plan(ScanRequest(ref, ("v",), splits=8))
    assert len(plan.splits) > 2
    assert sorted(read(connector, plan).column("v").to_pylist()) == [*[-1] * len(odd), *range(6000)]


def test_each_type_of_id_that_many_have_is_cut(
    connector: MongoDBConnector, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_SPLIT_ROWS", 300)
    uuids = [bson.Binary.from_uuid(uuid.UUID(int=n << 96 | n)) for n in range(0, 2**32, 2**32 // 3000)]
    keys = [*range(3000), *(f"k{n}" for n in range(3000)), *uuids, None, True, float("nan"), b"short", {"a": 1}]
    documents = [{"_id": key, "v": n} for n, key in enumerate(keys)]
    random.Random(1).shuffle(documents)  # this server's sample is mostly of what lies first
    ref = load("brackets", documents)
    plan = connector.tables.plan(ScanRequest(ref, ("v",), splits=12))
    texts = "\n".join(split.native_text for split in plan.splits)
    assert all(f'["{kind}"]' in texts for kind in ("string", "binData")), texts
    parts = [read(connector, replace(plan, splits=(split,))).column("v").to_pylist() for split in plan.splits]
    assert sorted(n for part in parts for n in part) == list(range(len(keys)))
    assert len(parts[-1]) >= 3  # of a type that none of the sample has
    assert max(map(len, parts)) < len(keys) // 2


def test_a_server_without_samples_is_cut_between_the_ends(ferretdb: FerretDB) -> None:
    keys = {"numbers": [-(2**63), *(n * 3 for n in range(5000)), 2**63 - 1], "texts": [f"k{n}" for n in range(5002)]}
    connector = MongoDBConnector(config(ferretdb))
    try:
        for name, some in keys.items():
            with ferretdb.client() as client:
                client.shop[name].drop()
                wrapped = (bson.Int64(key) if isinstance(key, int) else key for key in some)
                client.shop[name].insert_many([{"_id": key, "v": n} for n, key in enumerate(wrapped)])
            plan = connector.tables.plan(ScanRequest(TableRef(name), ("v",), splits=2))
            parts = [read(connector, replace(plan, splits=(split,))).column("v").to_pylist() for split in plan.splits]
            assert sorted(n for part in parts for n in part) == list(range(len(some)))
            assert (len(parts), max(map(len, parts)) < 4000) == ((1, False) if name == "texts" else (3, True)), name
            with ferretdb.client() as client:
                client.shop[name].drop()
    finally:
        connector.close()


@pytest.mark.parametrize(
    ("low", "high", "middle"),
    [
        (0, 100, 50),
        (-(2**63) + 1, 2**63 - 1, 0),
        (2.5, 10, 6),
        (bson.DatetimeMS(0), bson.DatetimeMS(10), bson.DatetimeMS(5)),
        (bson.ObjectId("00" * 12), bson.ObjectId("02" + "00" * 11), bson.ObjectId("01" + "00" * 11)),
        ("a", "c", None),
        (0, "c", None),
        (0, float("inf"), None),
        (None, None, None),
    ],
)
def test_ids_between_two(low: Any, high: Any, middle: Any) -> None:
    found = between(low, high, 2)
    assert found[1:] == ([] if middle is None else [middle])


def test_a_document_nested_a_hundred_deep_is_read(connector: MongoDBConnector, load: Any) -> None:
    deep: dict[str, Any] = {"end": "x"}
    for _ in range(95):
        deep = {"d": deep}
    ref = load("deep", [{"_id": 1, "deep": deep}])
    (row,) = whole(connector, ref)
    inner = row["deep"]
    while isinstance(inner, dict):
        inner = inner["d"]
    assert json.loads(inner)["d"]


def test_a_document_as_large_and_as_deep_as_can_be(connector: MongoDBConnector, load: Any) -> None:
    text = "x" * ((16 << 20) - 2048)
    deep: dict[str, Any] = {"end": text}
    for _ in range(98):
        deep = {"d": deep}
    ref = load("largest", [{"_id": 1, "deep": deep}, {"_id": 2, "deep": None}])
    first, second = whole(connector, ref)
    assert second["deep"] is None
    inner = first["deep"]
    while isinstance(inner, dict):
        inner = inner["d"]
    inner = json.loads(inner)
    while "end" not in inner:
        inner = inner["d"]
    assert inner["end"] == text


def test_names_that_are_too_long_or_too_many(connector: MongoDBConnector, load: Any) -> None:
    ref = load("names", [{"_id": 1, "x" * 70_000: 1, "short": 2, "in": {"x" * 70_000: 1}}])
    assert whole(connector, ref) == [{"_id": 1, "short": 2, "in": json.dumps({"x" * 70_000: 1}, separators=(",", ":"))}]
    assert any("left out" in note for note in connector.tables.plan(ScanRequest(ref, ("short",))).notes)
    ref = load("wide", [{"_id": 1, **{f"k{n}": n for n in range(10_001)}}])
    with pytest.raises(Unsupported, match="10,002 different fields"):
        connector.tables.schema(ref)
    ref = load("wide", [{"_id": 1, **{f"k{n}": n for n in range(3_000)}}])
    assert whole(connector, ref)[0]["k2999"] == 2999


def test_constants_that_are_too_large_for_a_command_are_compared_here(connector: MongoDBConnector, load: Any) -> None:
    ref = load("constants", [{"_id": n, "t": f"t{n}"} for n in range(3)])
    found = In(Column(("t",)), (Literal("t1", pa.string()), Literal("x" * (17 << 20), pa.string())))
    plan = connector.tables.plan(ScanRequest(ref, ("_id",), (found,)))
    assert plan.applied[found] == Applied.NONE
    assert "bytes" in plan.reasons[found]
    assert read(connector, plan).num_rows == 3


def test_a_date_beyond_what_columns_hold_is_null_and_counted(connector: MongoDBConnector, load: Any) -> None:
    never = bson.DatetimeMS(2**63 - 1)
    ref = load("never", [{"_id": 1, "at": dt.datetime(2024, 1, 1)}, {"_id": 2, "at": never}, {"_id": 3}])
    at, day = Column(("at",)), Literal(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), pa.timestamp("ms", "UTC"))
    for predicate, kept in ((Compare(at, ">", day), [1]), (Compare(at, "<>", day), [1]), (IsNull(at), [2, 3]),
                            (IsNull(at, True), [1]), (Not(In(at, (day,))), [1])):  # fmt: skip
        plan = connector.tables.plan(ScanRequest(ref, ("_id",), (predicate,)))
        assert plan.applied[predicate] == Applied.EXACT
        assert sorted(read(connector, plan).column("_id").to_pylist()) == kept, predicate
    reader = connector.tables.read(connector.tables.plan(ScanRequest(ref, ("at",))).splits[0], RecordingControl())
    assert [row["at"] for batch in reader for row in batch.to_pylist()] == [
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        None,
        None,
    ]
    assert reader.lost == {"at": 1}


def test_of_large_documents_the_sample_has_fewer(connector: MongoDBConnector, load: Any) -> None:
    ref = load("large", [{"_id": n, "t": "x" * (1 << 19)} for n in range(120)])
    seen: list[int] = []
    usual = connector.command

    def counted(*given: Any, **named: Any) -> dict[str, Any]:
        answer = usual(*given, **named)
        batch = answer.get("cursor", {})
        seen.append(sum("t" in one for one in batch.get("firstBatch", batch.get("nextBatch", []))))
        return answer

    connector.command = counted  # type: ignore[method-assign]
    assert connector.tables.schema(ref).names == ["_id", "t"]
    assert 60 <= sum(seen) <= 80


def test_an_address_of_the_sixth_version(connector: MongoDBConnector, mongodb: MongoJava) -> None:
    connector = MongoDBConnector(config(mongodb, host="::1", connect_timeout=0.5))
    with pytest.raises(Unreachable):
        connector.test()
    connector.close()
    connector = MongoDBConnector(config(mongodb, host="no/such:host", connect_timeout=0.5))
    with pytest.raises(Unreachable):
        connector.test()
    connector.close()


def test_no_id_but_ours_is_ended_and_a_server_that_cannot_says_so(connector: MongoDBConnector) -> None:
    with pytest.raises(InvalidParameter):
        connector.cancel("not one; of ours")
    with pytest.raises(Unsupported):
        connector.cancel("wb-000000000000-1")


def test_nobody_there_is_unreachable(mongodb: MongoJava) -> None:
    connector = MongoDBConnector(config(mongodb, port=free_port(), connect_timeout=0.5))
    with pytest.raises(Unreachable):
        connector.test()
    connector.close()
