"""Statements of one plain table go without a rehearsal once the types are known, and mean what DuckDB means by them."""

from __future__ import annotations

import random
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.contract.errors import SnapshotChanged, SqlSyntaxError, UnknownColumn, WorkbenchError
from workbench.query.jobs import QueryJob

OPERATORS = ("=", "<>", "!=", "<", "<=", ">", ">=")


def rows() -> pa.Table:
    texts = ["a", "A", "", "a ", "é", "e", "z'", None, "10", "9"] * 4
    return pa.table(
        {
            "id": pa.array([*range(38), None, -3], pa.int64()),
            "tiny": pa.array([(n % 7) - 3 if n % 5 else None for n in range(40)], pa.int8()),
            "big": pa.array([(1 << 64) - 1 - n if n % 4 else n for n in range(40)], pa.uint64()),
            "Text": pa.array(texts),
            "f": pa.array([n / 4 for n in range(40)]),
        }
    )


@pytest.fixture
def rehearsed(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts of the statements that were rehearsed; the world knows the types already."""
    world.put("t", rows())
    assert len(world.rows("select * from shop.t")) == 40
    texts: list[str] = []
    before = QueryJob._rehearse

    def noting(job: QueryJob, *args: Any) -> None:
        texts.append(job.title)
        before(job, *args)

    monkeypatch.setattr(QueryJob, "_rehearse", noting)
    return texts


def condition(chance: random.Random) -> str:
    number = chance.choice([0, 1, -3, 5, 37, 127, 128, 300, 1 << 40, (1 << 64) - 3, 1 << 63, 1 << 70])
    text = chance.choice(["'a'", "''", "'A'", "'é'", "'z'''", "'10'", "'a '"])
    op = chance.choice(OPERATORS)
    column = chance.choice(["id", "ID", "tiny", "big", "t.id", '"Text"', "f"])
    return chance.choice(
        [
            f"{column} {op} {number}" if column != '"Text"' else f"text {op} {text}",
            f"{number} {op} id",
            f"{text} {op} TEXT",
            f"id between -1 and {number}",
            f"tiny not between 0 and {number}",
            "id = null",
            "tiny is not null",
            f"id {op} '5'",
            f"id {op} 5.5",
            f"tiny {op} 300 and 1 = 1",
        ]
    )


@pytest.mark.parametrize("seed", range(120))
def test_the_same_rows_as_duckdb(seed: int, world: World, rehearsed: list[str]) -> None:
    chance = random.Random(seed)
    columns = chance.choice(["*", "id, tiny", 'f, "Text"', "TEXT, id", "id as x", "t.big"])
    text = f"select {columns} from {{}}t where " + " and ".join(
        condition(chance) for _ in range(chance.randrange(1, 4))
    )
    with duckdb.connect() as alone:
        alone.register("t", rows())
        wanted = alone.sql(text.format("")).to_arrow_table()
    got = world.session.sql(text.format("shop.")).arrow()
    assert got.schema.names == wanted.schema.names
    assert got.schema.types == wanted.schema.types
    assert got.to_pylist() == wanted.to_pylist()


@pytest.mark.parametrize(
    "where", ["id = 7", "7 = id and tiny <> 2", "text >= 'a'", "id between 3 and 8", "big = 18446744073709551614"]
)
def test_plain_conditions_need_no_rehearsal(where: str, world: World, rehearsed: list[str]) -> None:
    result = world.session.sql(f"select id, big from shop.t o where {where} limit 3")
    before = str(result.explain())
    assert 0 < len(result.arrow()) <= 3
    assert rehearsed == []
    assert "big" in before
    assert "big" in str(result.explain())


def test_values_are_bound(world: World, rehearsed: list[str]) -> None:
    assert world.rows("select id from shop.t where id = $n", n=7) == [(7,)]
    assert world.rows('select "Text" from shop.t where "Text" = $s and id < $n', s="a", n=9) == [("a",)]
    assert rehearsed == []
    assert world.rows("select id from shop.t where id = $n", n=True) == [(1,)]
    assert world.rows("select id from shop.t where id = $n", n=7.0) == [(7,)]
    assert world.rows("select id from shop.t where id = $n", n=None) == []
    assert len(rehearsed) == 3


@pytest.mark.parametrize(
    "text",
    [
        "select id from shop.t where id = 1 or id = 2",
        "select distinct tiny from shop.t where id > 1",
        "select id from shop.t where id > 1 order by 1",
        "select id, id from shop.t where id = 1",
        "select id from shop.t where f = 1",
        "select id from shop.t where id = '1'",
        "select id from shop.t where tiny < 200",
        "select id + 1 from shop.t where id = 1",
        "select id from shop.t tablesample 10 rows",
    ],
)
def test_what_is_not_plain_is_rehearsed(text: str, world: World, rehearsed: list[str]) -> None:
    world.rows(text)
    assert rehearsed == [text]


def test_wrong_names_are_errors_as_ever(world: World, rehearsed: list[str]) -> None:
    with pytest.raises(UnknownColumn):
        world.rows("select id from shop.t where nope = 1")
    with pytest.raises(WorkbenchError):
        world.rows("select id from shop.t where x.id = 1")
    assert world.rows("select t.id from shop.t where id = 7") == [(7,)]
    with pytest.raises(SqlSyntaxError, match="nope"):
        world.rows("select nope.id from shop.t where id = 7")
    with pytest.raises(SqlSyntaxError, match=r"\bt\b"):
        world.rows("select t.id from shop.t as u where id = 7")


def test_a_table_that_has_changed_is_told(world: World, rehearsed: list[str]) -> None:
    assert world.rows("select id from shop.t where id = 7") == [(7,)]
    world.put("t", pa.table({"id": pa.array(["7"])}))
    with pytest.raises(SnapshotChanged):
        world.rows("select id from shop.t where id = 7")
    assert world.rows("select id from shop.t where id = '7'") == [("7",)]
    world.put("t", pa.table({"other": [8]}))
    with pytest.raises(SnapshotChanged, match="no column `id` any more"):
        world.rows("select * from shop.t")
    assert world.rows("select * from shop.t") == [(8,)]
