"""Random SQL over sources gives what DuckDB alone gives over the same rows: with predicates at the source, without,
and by the public interface that is used where the private one has changed."""

from __future__ import annotations

import collections
import datetime
import decimal
import random
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.query import source
from workbench.query.engine import Limits

QUERIES = 150
TABLES = ("a", "b", "c")
FILTERS = [
    "{t}.id {op} {n}", "{t}.k = {n}", "{t}.k in ({n}, 1, 3)", "{t}.k not in ({n}, 2)", "{t}.s = 'x{n}'", "{t}.s > 'x3'",
    "{t}.s in ('x1', 'X2', '')", "{t}.s like 'x%'", "{t}.f > 0.5", "{t}.f <> 1.0", "{t}.f = 'nan'", "{t}.f is null",
    "{t}.d >= date '2024-01-0{d}'", "{t}.ts < timestamp '2024-01-01 00:00:0{d}.5'", "{t}.p <= {n}.25", "{t}.p = 2.50",
    "{t}.tz > timestamptz '2024-01-01 02:00:00+02'", "not ({t}.k = {n} or {t}.s = 'x1')", "{t}.id between {n} and 30",
    "({t}.k = 1 and {t}.b) or {t}.s is null", "{t}.b", "not {t}.b", "{t}.st.x = {n}", "{t}.st.y is not null",
    "{t}.id % 3 = 1", "coalesce({t}.k, 0) = 2", "{t}.k is distinct from 2", "year({t}.d) = 2024", "{t}.id + 1 = {n}",
]  # fmt: skip
OUTPUTS = [
    "count(*)",
    "sum({t}.id)",
    "min({t}.s)",
    "max({t}.p)",
    "count({t}.f)",
    "count(distinct {t}.k)",
    "max({t}.ts)",
]


def rows(seed: int, count: int) -> pa.Table:
    chance = random.Random(seed)

    def some(make: Any, nulls: float = 0.2) -> list[Any]:
        return [None if chance.random() < nulls else make() for _ in range(count)]

    start = datetime.datetime(2024, 1, 1)
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "k": pa.array(some(lambda: chance.randrange(6)), pa.int32()),
            "s": pa.array(some(lambda: chance.choice(["x1", "x2", "X2", "x3", "x5", "", "é", "x1 "]))),
            "f": pa.array(some(lambda: chance.choice([0.0, -0.0, 0.5, 1.0, float("nan"), float("inf"), -1.5]))),
            "d": pa.array(some(lambda: datetime.date(2023, 12, 28) + datetime.timedelta(chance.randrange(12)))),
            "ts": pa.array(some(lambda: start + datetime.timedelta(milliseconds=chance.randrange(9000)))),
            "tz": pa.array(
                some(lambda: start + datetime.timedelta(seconds=chance.randrange(9000))), pa.timestamp("us", "UTC")
            ),
            "p": pa.array(some(lambda: decimal.Decimal(chance.randrange(20)) / 4), pa.decimal128(9, 2)),
            "b": pa.array(some(lambda: chance.random() < 0.5)),
            "st": pa.array(some(lambda: {"x": chance.randrange(4), "y": chance.choice([None, "q"])})),
        }
    )


@pytest.fixture(scope="module")
def alone() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("set global timezone = 'UTC'")  # as the engine has it
    for schema in ("shop", "crm", "off"):
        connection.execute(f"create schema {schema}")
        for number, name in enumerate(TABLES):
            connection.register("arrow_rows", rows(number, (60, 200, 35)[number]))
            connection.execute(f"create table {schema}.{name} as from arrow_rows")
    return connection


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> World:
    # What is foreseen must not depend on how busy the machine is.
    world = World(tmp_path_factory.mktemp("full"), limits=Limits(rehearsal=30.0))
    world.catalog.add("off", world.source, **{name: {"applied": "none", "splits": 3} for name in TABLES})
    for number, name in enumerate(TABLES):
        world.put(name, rows(number, (60, 200, 35)[number]))
    return world


def condition(chance: random.Random, table: str) -> str:
    return chance.choice(FILTERS).format(
        t=table, n=chance.randrange(8), d=chance.randrange(1, 9), op=chance.choice(["<", ">=", "=", "<>"])
    )


def query(chance: random.Random) -> str:
    count = chance.choice([1, 1, 2, 2, 3])
    names = [f"t{number}" for number in range(count)]
    tables = [f"{chance.choice(['shop', 'crm', 'off'])}.{chance.choice(TABLES)} {name}" for name in names]
    text = tables[0]
    for number in range(1, count):
        join = chance.choice(["join", "left join", "right join", "full join", "semi join", "anti join"])
        left = names[0] if "semi" in text or "anti" in text else chance.choice(names[:number])
        if any(word in text for word in ("semi", "anti")):
            left = names[0]
        keys = [chance.choice(["id", "k"]) for _ in range(2)]
        text += f" {join} {tables[number]} on {left}.{keys[0]} = {names[number]}.{keys[1]}"
        if chance.random() < 0.3:
            text += f" and {condition(chance, names[number])}"
    where = " and ".join(condition(chance, "t0") for _ in range(chance.randrange(3)))
    where = f" where {where}" if where else ""
    match chance.randrange(8):
        case 0:
            return f"select * from (select t0.* from {text}{where}) order by all"
        case 1:
            return f"select t0.k, {', '.join(one.format(t='t0') for one in OUTPUTS)} from {text}{where} group by t0.k"
        case 2:
            return f"select distinct t0.s, t0.b from {text}{where}"
        case 3:
            other = f"select id, k from shop.c where {condition(chance, 'c')}"
            return f"select t0.id, t0.st.x from {text}{where} union all {other}"
        case 4:
            inner = f"select id from crm.b i where i.k = t0.k and {condition(chance, 'i')}"
            return f"select count(*) from {text}{where or ' where true'} and t0.id in ({inner})"
        case 5:
            return f"select {chance.choice(['*', 't0.s, id', 'k, b as c, st', 'st.x, id'])} from {tables[0]}{where}"
        case 6:
            return f"select * from {tables[0]}{where or ' where true'} and t0.id < 3 limit 5"
        case _:
            return f"select {chance.choice(OUTPUTS).format(t='t0')} from {text}{where}"


def bag(table: pa.Table) -> collections.Counter[str]:
    return collections.Counter(repr(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.mark.parametrize("way", ["source", "dataset"])
@pytest.mark.parametrize("seed", range(4))
def test_the_same_rows_as_duckdb_alone(
    seed: int, way: str, full: World, alone: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "dataset":
        monkeypatch.setattr(source, "push_down_works", lambda: False)
    chance = random.Random(seed)
    unforeseen = 0
    for _ in range(QUERIES if way == "source" else QUERIES // 3):
        text = query(chance)
        result = full.session.sql(text)
        assert bag(result.arrow()) == bag(alone.sql(text).to_arrow_table()), text
        unforeseen += result.explain().unforeseen
    assert unforeseen <= 2


@pytest.mark.parametrize("seed", range(3))
def test_a_predicate_its_negation_and_its_null_make_the_whole(seed: int, full: World) -> None:
    chance = random.Random(100 + seed)
    for _ in range(60):
        base = f"select t.id, t.s from {chance.choice(['shop', 'off'])}.{chance.choice(TABLES)} t"
        one = " and ".join(condition(chance, "t") for _ in range(chance.randrange(1, 3)))
        whole = bag(full.session.sql(base).arrow())
        parts = collections.Counter[str]()
        for part in (f"({one})", f"not ({one})", f"({one}) is null"):
            parts += bag(full.session.sql(f"{base} where {part}").arrow())
        assert parts == whole, one


def test_the_private_interface_is_as_it_was_known() -> None:
    assert source.push_down_works()


def test_another_interface_means_the_public_one(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source.push_down_works.cache_clear()
    monkeypatch.setattr(source, "_self_test", lambda: 1 / 0)
    try:
        assert not source.push_down_works()
        world.put("t", {"a": [1, 2, 3], "b": ["x", "y", None]})
        result = world.session.sql("select b from shop.t where a > 1 and b is null")
        assert result.arrow().to_pylist() == [{"b": None}]
        assert [report.conditions for report in result.explain().sources] == [()]
    finally:
        source.push_down_works.cache_clear()
