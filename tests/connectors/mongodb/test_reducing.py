"""Sums and first rows by the server, over documents that are not all of one kind: the answers are those of the rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import bson
import duckdb
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.connectors.mongodb.scripted import PROOF
from tests.services.mongodb.server import FerretDB, MongoJava
from workbench.catalog import Catalog
from workbench.contract import Secret
from workbench.query.session import Session
from workbench.runs import Register
from workbench_mongodb import reducing

DAY = dt.datetime(2024, 1, 1)
"""Of the column `day`."""
ODD: list[dict[str, Any]] = [
    {"n": 2.0}, {"n": 2.5}, {"n": "2"}, {"n": [1, None]}, {"n": {"a": 1}}, {"n": True}, {"n": bson.Decimal128("3")},
    {"n": float("nan")}, {"n": None}, {}, {"k": "red", "n": bson.MinKey()}, {"k": "red", "n": bson.MaxKey()},
    {"k": 7, "n": 5}, {"k": ["red"], "n": 6}, {"k": None, "n": 7}, {"k": True, "n": 8},
    {"day": bson.DatetimeMS(2**62), "n": 9}, {"day": "2024-01-01", "n": 10}, {"day": [DAY], "n": 11},
    {"flag": 1, "n": 12}, {"flag": [True], "n": 13}, {"k": "red", "n": bson.Int64(2**53 + 1)},
    {"k": "é\U0001f600", "n": 1}, {"k": "red\n$n", "n": 18},
    {"k": "$n", "n": 14}, {"k": "$n", "n": 15}, {"k": "$$ROOT", "n": 16}, {"k": "$", "n": 17},
]  # fmt: skip


def documents() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number in range(400):
        one: dict[str, Any] = {"_id": number, "n": number * 7 % 101 - 50, "k": ("red", "blue", "Red")[number % 3]}
        if number % 4:
            one["n"] = bson.Int64(one["n"])
        if number % 5:
            one |= {"day": DAY + dt.timedelta(hours=number * 11 % 97), "flag": number % 2 == 0}
        if number % 7 == 0:
            one["owner"] = bson.ObjectId(f"{number % 6:024x}")
        made.append(one)
    return [*made, *({"_id": 1000 + number, **one} for number, one in enumerate(ODD))]


@pytest.fixture(scope="module")
def session(mongodb: MongoJava, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    home = tmp_path_factory.mktemp("reducing")
    with mongodb.client() as client:
        client.shop.mixed.drop()
        client.shop.mixed.insert_many(documents())
    catalog, register = Catalog(home), Register(home / "runs.db")
    kinds = {"n": "long", "k": "string", "day": "date", "flag": "bool", "owner": "objectId"}
    catalog.connect("m", mongodb.url(), writable=True, tables={"mixed": {"columns": kinds}})
    yield Session(catalog, register)
    catalog.close()
    register.close()


@pytest.fixture(scope="module")
def alone(session: Session) -> Iterator[duckdb.DuckDBPyConnection]:
    """The rows as they come one by one, in DuckDB."""
    whole = session.sql("select n, k, day, flag, owner, _id from m.mixed").arrow()
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'; create schema m")
        connection.register("given", whole)
        connection.execute("create table m.mixed as from given")
        yield connection


def notes(session: Session, alone: duckdb.DuckDBPyConnection, sql: str) -> str:
    """What explain says; the rows must be DuckDB's."""
    result = session.sql(sql)
    found, wanted = result.arrow(), alone.sql(sql).to_arrow_table()
    assert [str(kind) for kind in found.schema.types] == [str(kind) for kind in wanted.schema.types], sql
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, wanted.to_pylist())), sql
    return "\n".join(result.explain().sources[0].notes)


def test_the_server_adds_up_and_odd_documents_come_as_rows(session: Session, alone: duckdb.DuckDBPyConnection) -> None:
    sql = (
        "select k, count(*) c, count(n) cn, sum(n) s, min(day) d, max(owner) o from m.mixed group by k order by c desc"
    )
    assert "added up at the source" in notes(session, alone, sql)
    result = session.sql(sql)
    result.arrow()
    (source,) = result.explain().sources
    assert ".aggregate([" in source.native_text
    assert "$group" in source.native_text
    assert source.rows_moved is not None
    assert source.rows_moved < 40
    assert sum(source.lost.values()) >= 10  # each value of another type, counted as ever


def test_conditions_go_with_it(session: Session, alone: duckdb.DuckDBPyConnection) -> None:
    sql = "select flag, count(*), sum(n) from m.mixed where n > -20 and k = 'red' group by flag"
    assert "added up at the source" in notes(session, alone, sql)
    sql = "select flag, count(*) from m.mixed where k > 'blue' group by flag"  # text by order is compared again here
    assert "added up" not in notes(session, alone, sql)


def test_what_could_differ_is_added_up_here(session: Session, alone: duckdb.DuckDBPyConnection) -> None:
    said = notes(session, alone, "select max(k) from m.mixed")
    assert "added up here: `k` is string" in said
    assert "each document has its own `_id`" in notes(session, alone, "select _id, count(*) from m.mixed group by _id")


def test_the_first_documents_and_those_without_a_value(session: Session, alone: duckdb.DuckDBPyConnection) -> None:
    for order in ("n desc nulls first, _id", "n, _id"):
        assert "several columns" in notes(session, alone, f"select _id, n from m.mixed order by {order} limit 9")
    for order in ("n", "n desc", "day nulls first", "day desc nulls first", "owner desc", "_id desc"):
        name = order.split()[0]
        sql = f"select {name} from m.mixed where n < 45 or n is null order by {order} limit 30 offset 2"
        assert "only the first 32" in notes(session, alone, sql.replace("n < 45 or n is null", "k = 'red'"))
        notes(session, alone, sql)
    result = session.sql("select _id from m.mixed order by _id desc limit 3")
    assert result.arrow().column(0).to_pylist() == [1000 + len(ODD) - one for one in (1, 2, 3)]
    assert '.sort({"_id": -1}).limit(3)' in result.explain().sources[0].native_text


def test_a_sum_beyond_64_bits_is_made_of_the_rows(session: Session, mongodb: MongoJava) -> None:
    with mongodb.client() as client:
        client.shop.large.drop()
        client.shop.large.insert_many([{"n": bson.Int64(2**63 - 1), "k": number % 2} for number in range(10)])
    result = session.sql("select k, sum(n) s from m.large group by k order by k")
    found, wanted = result.arrow(), 5 * (2**63 - 1)
    assert list(map(int, found["s"].to_pylist())) == [wanted, wanted]
    assert "added up here: sum(n) may be beyond 64 bits there" in result.explain().sources[0].notes


def test_an_empty_collection_and_no_rows(
    session: Session, alone: duckdb.DuckDBPyConnection, mongodb: MongoJava
) -> None:
    notes(session, alone, "select count(*), sum(n), min(day) from m.mixed where n > 100000")
    notes(session, alone, "select k, count(*) from m.mixed where n > 100000 group by k")


def test_a_server_that_cannot_is_asked_for_rows(ferretdb: FerretDB, tmp_path: Any) -> None:
    with ferretdb.client() as client:
        client.shop.few.drop()
        client.shop.few.insert_many([{"n": bson.Int64(number), "k": f"k{number % 2}"} for number in range(20)])
    catalog, register = Catalog(tmp_path), Register(tmp_path / "runs.db")
    catalog.connect("f", ferretdb.url(), secret=Secret(ferretdb.password))
    try:
        result = Session(catalog, register).sql("select k, sum(n)::int s from f.few group by k order by k")
        assert result.arrow().to_pylist() == [{"k": "k0", "s": 90}, {"k": "k1", "s": 100}]
        assert "added up here: the server cannot" in "\n".join(result.explain().sources[0].notes)
    finally:
        catalog.close()
        register.close()


def test_a_server_that_adds_up_in_its_own_way_is_found_out() -> None:
    apart = [*PROOF[:4], {"k0": None, "m0": 1, "m1": 1, "m2": -3, "m3": -3, "m4": -3},
             {**PROOF[4], "m0": 1, "m1": 1, "m2": 5, "m3": 5}]  # fmt: skip
    assert reducing.proven(PROOF)
    assert reducing.proven(apart)
    assert not reducing.proven(PROOF[1:])
    assert not reducing.proven([])
    for number, one in enumerate(PROOF):
        for name, value in one.items():
            others: list[Any] = [float(value)] if isinstance(value, int) and not isinstance(value, bool) else []
            for other in (*others, "text", 99):
                wrong = [*PROOF[:number], {**one, name: other}, *PROOF[number + 1 :]]
                assert not reducing.proven(wrong) or (name == "k0" and other == value), (number, name, other)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(("k", "day", "flag", "owner", "n")), max_size=2, unique=True),
    st.lists(
        st.sampled_from(
            ("count(*)", "count(n)", "count(flag)", "sum(n)", "min(n)", "max(day)", "min(owner)", "max(k)")
        ),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    st.lists(st.sampled_from(("n > -10", "k = 'red'", "flag", "n is null", "day > '2024-01-02'", "n in (1, 2, 5, 9)"))),
)
def test_random_groups(
    session: Session, alone: duckdb.DuckDBPyConnection, keys: list[str], measures: list[str], filters: list[str]
) -> None:
    where = f" where {' and '.join(filters)}" if filters else ""
    by = f" group by {', '.join(keys)}" if keys else ""
    notes(session, alone, f"select {', '.join([*keys, *measures])} from m.mixed{where}{by}")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(("n", "day", "owner", "_id", "k", "flag")),
    st.sampled_from(("", " desc", " nulls first", " desc nulls first")),
    st.lists(st.sampled_from(("n > -10", "k = 'red'", "flag", "n is null"))),
    st.integers(1, 60),
    st.integers(0, 9),
)
def test_random_first_rows(
    session: Session,
    alone: duckdb.DuckDBPyConnection,
    column: str,
    way: str,
    filters: list[str],
    rows: int,
    skipped: int,
) -> None:
    where = f" where {' and '.join(filters)}" if filters else ""
    sql = f"select {column} from m.mixed{where} order by {column}{way} limit {rows} offset {skipped}"
    assert session.sql(sql).arrow().column(0).to_pylist() == [row[0] for row in alone.sql(sql).fetchall()], sql
