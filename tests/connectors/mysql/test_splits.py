"""Ranges of the key: disjoint, complete, and not one full of everything when a key lies far out."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.connectors.mysql.store import config
from tests.services.mysql.server import Server
from workbench.contract import Column, Compare, Connector, Literal, ScanRequest, TableRef
from workbench.testing.scanning import read_split, tables_of
from workbench_mysql import splits
from workbench_mysql.manifest import MANIFEST

_RANGE = re.compile(r"k between (-?\d+) and (-?\d+)")


class Index:
    """Answers what the server's index would, for a list of keys."""

    def __init__(self, keys: list[int]) -> None:
        self.keys, self.asked = sorted(keys), 0

    def __call__(self, text: str) -> list[tuple[int | None, ...]]:
        self.asked += 1
        found: list[int | None] = []
        for low, high in _RANGE.findall(text)[::2]:
            inside = [key for key in self.keys if int(low) <= key <= int(high)]
            found += [inside[0], inside[-1]] if inside else [None, None]
        return [tuple(found or ([self.keys[0], self.keys[-1]] if self.keys else [None, None]))]


def holds(condition: str, key: int | None) -> bool:
    if key is None:
        return condition == "k is null"
    return condition != "k is null" and bool(eval(condition, {"k": key}))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-(2**63), 2**64 - 1), min_size=0, max_size=60, unique=True),
    st.lists(st.integers(-(2**63), 2**64 - 1), max_size=20),
    st.integers(1, 40),
    st.booleans(),
)
def test_every_key_is_in_just_one_range(keys: list[int], late: list[int], parts: int, nullable: bool) -> None:
    found = splits.conditions(Index(keys), "t", "k", nullable, parts)
    for key in [*keys, *late, *([None] if nullable else [])]:
        assert not found or sum(holds(condition, key) for condition in found) == 1


def test_one_key_far_out_does_not_spoil_the_rest() -> None:
    keys = [*range(3000), 2**62, 2**64 - 1]
    index = Index(keys)
    found = splits.conditions(index, "t", "k", False, 16)
    assert len(found) >= 12
    assert max(sum(holds(condition, key) for key in keys) for condition in found) <= 600
    assert index.asked <= 7


@pytest.fixture(scope="module")
def connector(mysql_server: Server) -> Iterator[Connector]:
    connector = MANIFEST.open(config(mysql_server))
    yield connector
    connector.close()


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("bigint unsigned not null", "primary key (k)"),
        ("int", "unique (k)"),
        ("smallint not null", "primary key (k, v)"),
    ],
)
def test_real_tables(
    mysql_server: Server, connector: Connector, monkeypatch: pytest.MonkeyPatch, column: str, key: str
) -> None:
    monkeypatch.setattr(splits, "SMALL", 100)
    monkeypatch.setattr(splits, "_LEAST", 50)
    chance = random.Random(column)
    top = {"bigint": 2**64 - 1, "int": 2**31 - 1, "smallint": 2**15 - 1}[column.split()[0]]
    keys: list[int | None] = [*range(900), top, top - 1, *(chance.randrange(top) for _ in range(100))]
    keys = list(dict.fromkeys(keys))
    if "not null" not in column:
        keys += [None] * 50
    mysql_server.execute(
        "drop table if exists cut",
        f"create table cut (k {column}, v int not null, {key})",
        "insert into cut values " + ",".join(f"({'null' if k is None else k},{n})" for n, k in enumerate(keys)),
        "analyze table cut",
    )
    tables = tables_of(connector)
    tables.schema(TableRef("cut"))
    for workers in (2, 3, 8):
        plan = tables.plan(ScanRequest(TableRef("cut"), ("v",), splits=workers))
        assert len(plan.splits) > 1
        rows = [row for split in plan.splits for row in read_split(connector, split).column("v").to_pylist()]
        assert sorted(rows) == list(range(len(keys)))
        assert any("not one instant" in note for note in plan.notes)
    kind = tables.schema(TableRef("cut")).field("k").type
    point = Compare(Column(("k",)), "=", Literal(5, kind))
    assert len(tables.plan(ScanRequest(TableRef("cut"), ("v",), (point,), splits=8)).splits) == 1


@pytest.mark.parametrize(
    "definition",
    ["v int, w int", "v varchar(9) primary key, w int", "v int, w int, index (v)", "v double primary key, w int"],
)
def test_without_an_integer_key_there_is_one(
    mysql_server: Server, connector: Connector, monkeypatch: pytest.MonkeyPatch, definition: str
) -> None:
    monkeypatch.setattr(splits, "SMALL", 1)
    mysql_server.execute(
        "drop table if exists whole",
        f"create table whole ({definition})",
        "insert into whole values " + ",".join(f"({n},{n})" for n in range(500)),
        "analyze table whole",
        "create or replace view whole_view as select * from whole",
    )
    for name in ("whole", "whole_view"):
        plan = tables_of(connector).plan(ScanRequest(TableRef(name), ("w",), splits=8))
        assert len(plan.splits) == 1
        assert read_split(connector, plan.splits[0]).num_rows == 500


def test_a_small_table_is_read_whole(mysql_server: Server, connector: Connector) -> None:
    mysql_server.execute(
        "drop table if exists little", "create table little (k int primary key)", "insert into little values (1), (2)"
    )
    plan = tables_of(connector).plan(ScanRequest(TableRef("little"), ("k",), splits=8))
    assert len(plan.splits) == 1
    assert read_split(connector, plan.splits[0]).column("k").cast(pa.int64()).to_pylist() == [1, 2]
