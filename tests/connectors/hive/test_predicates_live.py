"""A thousand random predicates as the server itself understands them, beside DuckDB on the rows that it delivers: many
to a statement, projected as columns, for a statement is slow there."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from tests.connectors.hive.store import config
from tests.services.hive.server import Hive
from workbench.contract import Applied, TableRef
from workbench.testing.oracle import Oracle, random_predicate
from workbench.testing.scanning import scan
from workbench_hive.connector import HiveConnector
from workbench_hive.predicates import fragment
from workbench_hive.types import HiveType

_TOGETHER, _TURNS = 100, 10
_DAYS = [dt.date(1, 1, 1), dt.date(1582, 10, 4), dt.date(1969, 12, 31), dt.date(2024, 2, 29), dt.date(9999, 12, 31)]
_TEXTS = [
    "",
    "a",
    "A",
    "a ",
    "é",
    "e\u0301",
    "\uffff",
    "\U0001f986",
    "__HIVE_DEFAULT_PARTITION__",
    "it's",
    "\\",
    "${x}",
    "10",
    "9",
]
_VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "b": (pa.bool_(), [True, False]),
    "tiny": (pa.int8(), [-128, -1, 0, 1, 127]),
    "whole": (pa.int32(), [-(2**31), -1, 0, 7, 2**31 - 1]),
    "big": (pa.int64(), [-(2**63), -(2**31), 0, 2**53 + 1, 2**63 - 1]),
    "single": (pa.float32(), [0.0, -0.0, 0.5, -1.5, float("inf"), float("nan")]),
    "double": (pa.float64(), [0.0, -0.0, 0.1, 1e300, -5e-324, float("-inf"), float("nan")]),
    "text": (pa.string(), _TEXTS),
    "day": (pa.date32(), _DAYS),
    "at": (pa.timestamp("us"), [dt.datetime.combine(day, dt.time(12, 30, 0, 1)) for day in _DAYS[2:4]]),
    "exact": (pa.decimal128(9, 4), [Decimal("0.0000"), Decimal("-0.0001"), Decimal("99999.9999")]),
    "wide": (pa.decimal128(38, 0), [Decimal(0), Decimal(10**38 - 1), Decimal(-(10**38) + 1)]),
    "wbt_part": (pa.string(), ["p0", "p1", "P0", "p", "__HIVE_DEFAULT_PARTITION__"]),
}
"""Constants by column; the rows have them, too, and NULL."""


@pytest.fixture(scope="module")
def judged(hive: Hive) -> Iterator[tuple[Hive, dict[str, HiveType], Oracle]]:
    chance, rows = random.Random(3), 300
    columns = {
        name: pa.array([None if chance.random() < 0.15 else chance.choice(values) for _ in range(rows)], kind)
        for name, (kind, values) in _VALUES.items()
        if name != "wbt_part"
    }
    hive.load("judged", pa.table({"rid": range(rows), **columns}), parts=3)
    connector = HiveConnector(config(hive))
    schema = connector.tables.schema(TableRef("judged"))
    delivered = scan(connector, TableRef("judged"), schema.names)
    types = {field.name: HiveType.of_name(field.metadata[b"source_type"].decode()) for field in schema}
    types["wbt_part"] = HiveType("string", spelled="string", partition=True)
    oracle = Oracle(delivered, "rid")
    yield hive, types, oracle
    oracle.close()
    connector.close()
    hive.execute("drop table judged")


@settings(max_examples=_TURNS, phases=[Phase.generate], suppress_health_check=list(HealthCheck), deadline=None)
@given(chance=st.randoms(use_true_random=True), engine=st.booleans())
def test_the_server_keeps_what_duckdb_keeps(
    judged: tuple[Hive, dict[str, HiveType], Oracle], chance: random.Random, engine: bool
) -> None:
    hive, types, oracle = judged
    trees = [random_predicate(chance, _VALUES) for _ in range(_TOGETHER)]
    found = [fragment(tree, types) for tree in trees]
    columns = ", ".join(f"({one.text or 'true'}) as c{number}" for number, one in enumerate(found))
    way = ("set hive.fetch.task.conversion=none",) if engine else ()  # the engine compares vectors
    rows = hive.execute(*way, f"select rid, {columns} from judged")
    assert len(rows) == 300
    for number, (tree, one) in enumerate(zip(trees, found, strict=True)):
        kept, wanted = {row[0] for row in rows if row[1 + number] is True}, oracle.keys(tree)
        if one.applied == Applied.EXACT:
            assert kept == wanted, (str(tree), one.text)
        else:
            assert kept >= wanted, (str(tree), one.text)
    assert sum(one.applied == Applied.EXACT for one in found) > _TOGETHER // 4
