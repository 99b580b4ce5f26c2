"""SQL over documents, as an analyst writes it: the session, the executor and DuckDB are the real ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import bson
import pytest

from tests.services.mongodb.server import MongoJava
from workbench.catalog import Catalog
from workbench.contract.errors import InvalidParameter, SecretMissing
from workbench.query.session import Session
from workbench.runs import Register

EVENTS = [
    {"_id": 1, "sub": {"a": 1, "b": "x"}, "tags": ["p", "q"], "day": dt.datetime(2024, 1, 1),
     "price": bson.Decimal128("1.50")},
    {"_id": 2, "sub": {"a": 2}, "tags": [], "day": dt.datetime(2024, 1, 2), "price": bson.Decimal128("2.25")},
    {"_id": 3, "tags": ["p"], "day": dt.datetime(2024, 1, 2)},
]  # fmt: skip


@pytest.fixture
def session(mongodb: MongoJava, tmp_path: Path) -> Iterator[Session]:
    with mongodb.client() as client:
        client.shop.events.drop()
        client.shop.events.insert_many(EVENTS)
    catalog, register = Catalog(tmp_path), Register(tmp_path / "runs.db")
    catalog.connect("m", mongodb.url(), writable=True)
    yield Session(catalog, register)
    catalog.close()
    register.close()


def test_a_password_is_asked_for_only_where_there_is_a_user(session: Session, mongodb: MongoJava) -> None:
    with pytest.raises(SecretMissing):
        session.catalog.connect("named", f"mongodb://ann@{mongodb.host}:{mongodb.port}/shop")


def rows(session: Session, text: str) -> list[tuple[object, ...]]:
    return session.sql(text).polars().rows()


def test_fields_of_documents_and_elements_of_arrays(session: Session) -> None:
    assert sorted(rows(session, "select sub.a, unnest(tags) from m.events"), key=str) == [
        (1, "p"), (1, "q"), (None, "p")]  # fmt: skip
    assert rows(session, "select _id from m.events where sub.b = 'x'") == [(1,)]
    assert rows(session, "select sum(cast(price as decimal(18, 2))) from m.events")[0][0] == 3.75
    assert rows(session, "select day::date d, count(*) n from m.events group by all order by all") == [
        (dt.date(2024, 1, 1), 1), (dt.date(2024, 1, 2), 2)]  # fmt: skip


def test_an_empty_collection_has_what_each_document_has(session: Session, mongodb: MongoJava) -> None:
    with mongodb.client() as client:
        client.shop.nothing.drop()
        client.shop.create_collection("nothing")
    assert rows(session, "select count(*) from m.nothing") == [(0,)]
    assert session.sql("select * from m.nothing").arrow().schema.names == ["_id"]


def test_a_name_that_no_database_has(session: Session, mongodb: MongoJava) -> None:
    session.catalog.connect("odd", f"mongodb://{mongodb.host}:{mongodb.port}/a%2Fb")
    with pytest.raises(InvalidParameter, match="cannot contain the character '/'"):
        session.catalog.open("odd").test()


def test_a_result_is_written_and_read_again(session: Session) -> None:
    report = session.write(session.sql("select _id, sub, tags, day from m.events"), "m.copied", key="_id")
    assert (report.rows, report.rejected) == (3, 0)
    both = "select e._id from m.events e join m.copied c using (_id, tags, day) where e.sub is not distinct from c.sub"
    assert sorted(rows(session, both)) == [(1,), (2,), (3,)]
