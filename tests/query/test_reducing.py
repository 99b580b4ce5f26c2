"""Orders and sums at the source: when they are asked for, and that the answers are those of all rows."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.query.support import World, eventually
from workbench.contract import ScanRequest
from workbench.contract.errors import Cancelled, ConnectionLost, NotExact
from workbench.testing.memory import MemoryTables
from workbench.testing.memory_reader import MemoryReader

START = datetime.datetime(2024, 1, 1)
"""Of the column `ts`."""


def rows(count: int = 300) -> pa.Table:
    def some(make: Any, gap: int) -> list[Any]:
        return [None if number % gap == 0 else make(number) for number in range(count)]

    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "k": pa.array(some(lambda n: n * 7 % 5, 11), pa.int32()),
            "s": pa.array(some(lambda n: f"x{n * 3 % 4}", 7)),
            "n": pa.array(some(lambda n: n * 2654435761 % 2**63 - 2**62, 9), pa.int64()),
            "p": pa.array(some(lambda n: decimal.Decimal(n * 37 % 1000) / 4, 5), pa.decimal128(9, 2)),
            "f": pa.array(some(lambda n: n / 4, 13)),
            "ts": pa.array(some(lambda n: START + datetime.timedelta(hours=n * 5 % 77), 17)),
            "st": pa.array([{"k": n % 3} for n in range(count)]),
            "l": pa.array([[n % 3] * (n % 2) for n in range(count)]),
        }
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("reducing"))
    made.put("t", rows())
    made.catalog.add("shop", made.source, t={"splits": 3})
    made.catalog.add("off", made.source, t={"applied": "none"})
    yield made
    made.session.close()
    made.register.close()


@pytest.fixture(scope="module")
def alone() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.register("given", rows())
        connection.execute("create schema shop; create schema off")
        connection.execute("create table shop.t as from given; create table off.t as from given")
        yield connection


def answers(world: World, alone: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """The notes of the only scan; the rows and their types must be DuckDB's."""
    result = world.session.sql(sql)
    found, wanted = result.arrow(), alone.sql(sql).to_arrow_table()
    assert found.schema.names == wanted.schema.names, sql
    assert found.schema.types == wanted.schema.types, sql
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, wanted.to_pylist())), sql
    return list(result.explain().sources[0].notes)


ADDED_UP = [
    "select count(*) from shop.t",
    "select k, count(*) n from shop.t group by k",
    "select k, count(*) n, count(s), sum(n), min(ts), max(p) from shop.t group by 1 order by n desc, k limit 3",
    "select s, sum(p) total from shop.t where id > 40 and k = 2 group by s having sum(p) > 100 order by total",
    "select sum(n) from shop.t where id < 0",
    "select k, s, sum(n) / count(*) from shop.t group by all",
    "select sum(k) + count(*) * 1.5, max(n) - min(n) from shop.t",
    "select K, COUNT(*) from shop.t as T where T.k is not null group by t.k",
    "select count(distinct s), count(*) from shop.t",
    "select k, case when count(*) > 50 then 'many' else 'few' end from shop.t group by k",
    "select k from shop.t group by k having count(*) > 55",
    "select count(*) // 7, count(*) % 7, sum(k) // 7, sum(p) // 7 from shop.t",
    "select k, count(*) from shop.t group by rollup (k)",
    "select max(ts)::date, count(id)::varchar from shop.t group by s",
]
NOT_ADDED_UP = [
    "select count(*) from (select k from shop.t group by k)",
    "select count(*) from shop.t, (select 1)",
    "with q as (select * from shop.t) select k, count(*) from q group by k",
    "with t as (select -k as k from shop.t where k = 1) select k, count(*) from t group by k",
    "select count(*) from shop.t union all select 1",
    "select k, (select count(*) from shop.t) c from shop.t group by k",
    "select count(*), max(now()) >= now() from shop.t",
    "select distinct on (k) k, sum(n) over (partition by k order by id) from shop.t order by k, id",
    "select count(*) over () from shop.t limit 1",
    "select list(k order by id) from shop.t",
    "select sum(distinct k) + count(*), sum(k + 1) from shop.t",
    "select count(st), count(l) from shop.t group by l",
    "select sum(f) from shop.t",
    "select avg(k) from shop.t",
    "select k + 1, count(*) from shop.t group by 1",
    "select k, count(*) from shop.t where f > 0.5 or id % 3 = 1 group by k",
    "select count(*) filter (where k = 1) from shop.t",
    "select st.k, count(*) from shop.t group by 1",
    "select f, count(*) from shop.t group by f",
    "select k, count(*) from off.t where id > 3 group by k",
    "select k, string_agg(s, ',' order by id) from shop.t group by k",
    "select a.k, count(*) from shop.t a join shop.t b using (id) group by 1",
    "select k, count(*), row_number() over (order by k) from shop.t group by k",
]
TOPS = [
    "select id, n from shop.t order by n desc limit 5",
    "select id, n from shop.t order by n limit 5 offset 3",
    "select id + 1 as more, s from shop.t where k = 2 order by t.ts desc nulls first, id limit 7",
    "select * from shop.t order by id limit 4",
    "select k as s, id from shop.t order by id desc limit 4",
    "select id from shop.t order by k nulls first, s desc nulls last, id limit 60",
]
NO_TOPS = [
    "select * from (select k, sum(n) s from shop.t group by k) order by s desc limit 2",
    "select a.id from shop.t a join (select 3 as id) b using (id) order by a.id limit 2",
    "select * from (values (1), (2)) v(x), shop.t order by id, x limit 3",
    "with q as (select * from shop.t) select id from q order by id limit 3",
    "with q as (select -id as id, s from shop.t) select id from q order by id limit 3",
    "with t as (select -id as id, s from shop.t) select id from t order by id limit 3",
    "select id from shop.t where id in (select max(id) from shop.t) order by id limit 3",
    "(select id from shop.t order by id limit 2) union all select 1 order by id limit 3",
    "select id from shop.t order by all limit 3",
    "select id from shop.t order by 1 limit 3",
    "select id from shop.t order by id limit 10 percent",
    "select id from shop.t order by id limit (select 3)",
    "select id, (select count(*) from shop.t u where u.k = t.k) c from shop.t t order by id limit 3",
    "select id from shop.t tablesample 100 percent order by id limit 3",
    "select -id as id from shop.t order by id limit 3",
    "select id, unnest(l) from shop.t order by id limit 3",
    "select id from shop.t order by f, id limit 3",
    "select id from shop.t where f > 20 or s like '%2' order by id limit 3",
    "select distinct k from shop.t order by k limit 2",
    "select id from shop.t order by id + 1 limit 3",
    "select id, row_number() over (order by id desc) from shop.t order by id limit 3",
    "select * replace (-id as id) from shop.t order by id limit 3",
    "select st.k, id from shop.t order by k, id limit 3",
    "select id from shop.t order by id",
    "select id from off.t where id > 3 order by id limit 3",
]


@pytest.mark.parametrize("sql", ADDED_UP)
def test_sums_are_made_at_the_source(world: World, alone: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert any("added up at the source" in note for note in answers(world, alone, sql)), sql


@pytest.mark.parametrize("sql", NOT_ADDED_UP)
def test_sums_that_could_differ_are_made_here(world: World, alone: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert not any("added up at the source" in note for note in answers(world, alone, sql)), sql


@pytest.mark.parametrize("sql", TOPS)
def test_only_the_first_rows_of_an_order_come(world: World, alone: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert any("of each split" in note for note in answers(world, alone, sql)), sql
    assert world.session.sql(sql).arrow().to_pylist() == alone.sql(sql).to_arrow_table().to_pylist()


@pytest.mark.parametrize("sql", NO_TOPS)
def test_all_rows_come_where_others_could_be_the_first(
    world: World, alone: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert not any("of each split" in note for note in answers(world, alone, sql)), sql


def test_fewer_rows_move(world: World) -> None:
    result = world.session.sql("select k, count(*) from shop.t group by k")
    result.arrow()
    assert result.explain().sources[0].rows_moved == 3 * 6
    result = world.session.sql("select id from shop.t order by n desc limit 2")
    result.arrow()
    assert result.explain().sources[0].rows_moved == 3 * 2


def test_explain_asks_for_no_row(world: World) -> None:
    explained = world.session.sql("select k, sum(n) from shop.t group by k").explain()
    assert explained.sources[0].rows_moved is None
    assert "added up at the source: sum(n) by k" in explained.sources[0].notes


def test_parameters_reach_the_source_and_what_is_done_here(world: World, alone: duckdb.DuckDBPyConnection) -> None:
    sql = "select k, count(*) * $f from shop.t where id > $a group by k having count(*) > $m order by k"
    given = {"a": 17, "f": 3, "m": 40}
    result = world.session.sql(sql, given)
    assert result.arrow().to_pylist() == alone.sql(sql, params=given).to_arrow_table().to_pylist()
    assert "added up at the source: count(*) by k" in result.explain().sources[0].notes


def test_sums_that_are_not_exact_after_all_are_made_of_the_rows(
    world: World, alone: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = MemoryTables.read, list[bool]()

    def unsure(self: MemoryTables, split: Any, control: Any) -> MemoryReader:
        asked.append(split.state["aggregate"] is not None)
        if asked[-1] and split.number == 1:
            raise NotExact("the sum of `n` is beyond 64 bits")
        return read(self, split, control)

    monkeypatch.setattr(MemoryTables, "read", unsure)
    notes = answers(world, alone, "select k, sum(n) from shop.t group by k order by k")
    assert notes == ["added up here: the sum of `n` is beyond 64 bits"]
    assert asked.count(False) == 3
    assert asked.count(True) >= 1


def test_what_is_not_taken_is_planned_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, asked = MemoryTables.plan, list[ScanRequest]()

    def counted(self: MemoryTables, request: ScanRequest) -> Any:
        asked.append(request)
        return plan(self, request)

    monkeypatch.setattr(MemoryTables, "plan", counted)
    world.session.sql("select f, count(*) from shop.t group by f").arrow()
    assert [request.aggregate is not None for request in asked] == [True]


KEYS, MEASURES = (
    ("k", "s", "ts", "id", "f"),
    ("count(*)", "count(f)", "sum(k)", "sum(p)", "sum(n)", "min(ts)", "max(s)"),
)
FILTERS = ("id > 100", "k = 2", "s <> 'x1'", "p <= 100.25", "f > 10", "ts is null", "k in (1, 3)", "id % 2 = 0")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(KEYS), max_size=2, unique=True),
    st.lists(st.sampled_from(MEASURES), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from(FILTERS), max_size=2, unique=True),
    st.sampled_from(("", "having count(*) > 2", "having sum(k) is not null or max(id) > 3")),
    st.booleans(),
)
def test_random_groups(
    world: World,
    alone: duckdb.DuckDBPyConnection,
    keys: list[str],
    measures: list[str],
    filters: list[str],
    having: str,
    ordered: bool,
) -> None:
    where = f" where {' and '.join(filters)}" if filters else ""
    order = " order by all limit 5" if ordered else ""
    by = f" group by {', '.join(keys)}" if keys else ""
    answers(world, alone, f"select {', '.join([*keys, *measures])} from shop.t{where}{by} {having}{order}")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(("k", "s", "n", "p", "ts", "f")), min_size=1, max_size=2, unique=True),
    st.lists(st.sampled_from(("", " desc", " nulls first", " desc nulls first")), min_size=2, max_size=2),
    st.lists(st.sampled_from(FILTERS), max_size=2, unique=True),
    st.integers(1, 40),
    st.integers(0, 5),
)
def test_random_first_rows(
    world: World,
    alone: duckdb.DuckDBPyConnection,
    columns: list[str],
    ways: list[str],
    filters: list[str],
    rows: int,
    skipped: int,
) -> None:
    order = ", ".join(name + way for name, way in zip(columns, ways, strict=False))
    where = f" where {' and '.join(filters)}" if filters else ""
    sql = f"select id, {', '.join(columns)} from shop.t{where} order by {order}, id limit {rows} offset {skipped}"
    found = world.session.sql(sql).arrow().to_pylist()
    assert repr(found) == repr(alone.sql(sql).to_arrow_table().to_pylist()), sql


def test_a_path_is_asked_as_before(world: World, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows(), tmp_path / "t.parquet")
    result = world.session.sql(f"select k, count(*) from '{tmp_path}/t.parquet' group by k")
    assert len(result.arrow()) == 6


def test_stop_reaches_sums_that_are_being_made(world: World) -> None:
    world.catalog.add("held", world.source, t={"splits": 2, "hold_after": 0})
    for sql in ("select k, count(*) from held.t group by k", "select id from held.t order by n limit 3"):
        result = world.session.sql(sql).start()
        eventually(lambda: len(world.source.running()) == 2, 60)
        result.cancel()
        with pytest.raises(Cancelled):
            result.arrow()
        eventually(world.quiet, 60)


def test_a_source_that_fails_while_it_adds_up_is_told_as_ever(world: World) -> None:
    world.catalog.add("broken", world.source, t={"splits": 2, "fail_after": 0})
    for sql in ("select k, count(*) from broken.t group by k", "select id from broken.t order by n limit 3"):
        with pytest.raises(ConnectionLost, match="broken: the connection ended"):
            world.session.sql(sql).arrow()
    eventually(world.quiet, 60)


def test_a_reader_and_a_second_look_at_sums(world: World) -> None:
    result = world.session.sql("select k, count(*) n from shop.t group by k order by k")
    first = result.arrow()
    assert result.polars().rows() == [tuple(row.values()) for row in first.to_pylist()]
    assert result.rerun().arrow().equals(first)
    assert world.session.sql("select k, count(*) n from shop.t group by k order by k").reader().read_all().equals(first)
    world.variables["earlier"] = result
    assert world.rows("select sum(n) from earlier")[0][0] == 300
