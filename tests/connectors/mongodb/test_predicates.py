"""A thousand random conditions on documents whose fields are of many types: what the server keeps is what DuckDB keeps
of the rows that the documents are."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import bson
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.connectors.mongodb.store import config
from tests.services.mongodb.server import MongoJava
from workbench.contract import Applied, Column, Compare, Literal, Predicate, TableRef
from workbench.testing.oracle import Oracle, random_predicate
from workbench.testing.scanning import scan
from workbench_mongodb.connector import MongoDBConnector
from workbench_mongodb.predicates import filtered
from workbench_mongodb.types import Shape

Judged = Callable[[Predicate], tuple[Applied, Set[Any], Set[Any]]]
_IDS = [bson.ObjectId(f"65f0000000000000000000{n:02x}") for n in range(6)]
_DAYS = [dt.datetime(2024, 2, n, tzinfo=dt.UTC) for n in range(1, 6)]
_ODD: list[Any] = [
    None, True, 2, bson.Int64(3), 2.5, float("nan"), float("inf"), "b", "", b"b", [1, 2], ["b"], [], {"a": 2}, _IDS[1],
    _DAYS[1], bson.Decimal128("2"), bson.Regex("b"), bson.MinKey(), bson.DatetimeMS(2**62),
]  # fmt: skip
_USUAL: dict[str, list[Any]] = {
    "n": [-(2**63), -1, 0, 1, 2, 3, 2**53 + 1, 2**63 - 1],
    "x": [-1.5, 0.0, -0.0, 2.0, 2.5, 1e300],
    "t": ["", "a", "B", "b", "b ", "é", "\U0001f600", "\uffff"],
    "f": [True, False],
    "o": list(_IDS),
    "d": list(_DAYS),
}
_KINDS = {"n": pa.int64(), "x": pa.float64(), "t": pa.string(), "f": pa.bool_(), "o": pa.string(),
          "d": pa.timestamp("ms", "UTC")}  # fmt: skip
_DECLARED = {"n": "long", "x": "double", "t": "string", "f": "bool", "o": "objectId", "d": "date"}


def _documents() -> Iterator[dict[str, Any]]:
    """Each field with each usual value, with each odd one, and without one, in no order that they share."""
    number = 0
    for shift in range(2):
        for at in range(len(_ODD) + 9):
            document: dict[str, Any] = {"_id": number}
            for step, (name, usual) in enumerate(_USUAL.items(), 1):
                values = [*usual, *_ODD]
                place = (at * step + shift * 7) % (len(values) + 1)
                if place < len(values):
                    document[name] = values[place]
            yield document
            number += 1


_BESIDE: dict[str, list[Any]] = {
    "n": [4, -2, 2**53],
    "x": [float("nan"), float("inf"), 3.0],
    "t": ["A", "c", "\U0001f601", "\ud7ff", "a\0b", "$t"],
    "o": ["65F000000000000000000002", "none", ""],
    "d": [dt.datetime(1969, 12, 31, tzinfo=dt.UTC), dt.datetime(2024, 2, 3, 0, 0, 0, 1000, tzinfo=dt.UTC)],
}
"""Constants that no document has."""


def _constants(name: str) -> list[Any]:
    usual = [str(value) for value in _IDS] if name == "o" else _USUAL[name]
    return [*usual, *_BESIDE.get(name, [])]


_COLUMNS = {name: (_KINDS[name], _constants(name)) for name in _USUAL}


@pytest.fixture(scope="module")
def judged(mongodb: MongoJava) -> Iterator[Judged]:
    """How far a condition is applied, which documents the server keeps, and which DuckDB."""
    usual = config(mongodb)
    declared = type(usual)(usual.name, usual.parameters, tables={"judged": {"columns": _DECLARED}})
    connector, ref = MongoDBConnector(declared), TableRef("judged")
    with mongodb.client(tz_aware=True) as client:
        client.shop.judged.drop()
        client.shop.judged.insert_many(list(_documents()))
        shapes: Mapping[str, Shape] = connector.tables.shapes(ref)
        oracle = Oracle(scan(connector, ref, ("_id", *_DECLARED)), "_id")

        def ask(predicate: Predicate) -> tuple[Applied, Set[Any], Set[Any]]:
            found = filtered(predicate, shapes)
            kept = {row["_id"] for row in client.shop.judged.find(dict(found.document), {"_id": 1})}
            return found.applied, kept, oracle.keys(predicate)

        yield ask
        oracle.close()
        client.shop.judged.drop()
    connector.close()


@settings(max_examples=50, deadline=None)
@given(chance=st.randoms(use_true_random=True))
def test_a_thousand_conditions_keep_what_duckdb_keeps(judged: Judged, chance: random.Random) -> None:
    for _ in range(20):
        predicate = random_predicate(chance, _COLUMNS)
        applied, kept, due = judged(predicate)
        assert kept == due if applied is Applied.EXACT else kept >= due, predicate


def test_each_kind_of_column_is_compared_there(judged: Judged) -> None:
    levels = {name: judged(Compare(Column((name,)), "=", Literal(_text(name), _KINDS[name])))[0] for name in _USUAL}
    assert levels == {name: Applied.SUPERSET if name == "x" else Applied.EXACT for name in _USUAL}


def _text(name: str) -> Any:
    return str(_IDS[2]) if name == "o" else _USUAL[name][1]
