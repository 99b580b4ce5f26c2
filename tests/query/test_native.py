"""A source's own text, here a DuckDB file's: as the source gives it, stoppable, reading only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.query.support import eventually
from workbench.catalog import Catalog
from workbench.contract.errors import Cancelled, QueryFailed, StatementRefused, UnknownConnection, WorkbenchError
from workbench.query.session import Session
from workbench.runs import Register


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute("create table orders as select i as id, i % 7 as k from range(10000) t(i)")
    catalog = Catalog(tmp_path / "home")
    catalog.connect("shop", path=tmp_path / "shop.duckdb")
    register = Register(tmp_path / "runs.db")
    session = Session(catalog, register)
    yield session
    session.close()
    catalog.close()
    register.close()


def test_the_sources_own_text(session: Session) -> None:
    result = session.native("shop", "select k, count(*) as n from orders group by k order by k limit 2")
    before = result.explain()
    assert [report.native_text for report in before.sources] == [result.text]
    assert result.arrow().to_pylist() == [{"k": 0, "n": 1429}, {"k": 1, "n": 1429}]
    after = result.explain()
    assert after.sources[0].rows_moved == 2
    assert result.rerun().polars().height == 2
    assert next(info.title for info in session.register.runs(active=False) if info.kind == "native").startswith(
        "shop: select"
    )


def test_equal_names_become_distinct(session: Session) -> None:
    assert session.native("shop", "select 1 as a, 2 as a").polars().row(0) == (1, 2)


@pytest.mark.parametrize("text", ["delete from orders", "drop table orders", "create table x as select 1"])
def test_only_reading(text: str, session: Session) -> None:
    with pytest.raises(StatementRefused):
        session.native("shop", text).wait()
    assert session.sql("select count(*) as n from shop.orders").arrow().to_pylist() == [{"n": 10_000}]


def test_its_errors_are_the_sources(session: Session) -> None:
    with pytest.raises(WorkbenchError) as error:
        session.native("shop", "select nothing from orders").wait()
    assert not isinstance(error.value, QueryFailed) or error.value.connection == "shop"
    with pytest.raises(UnknownConnection):
        session.native("shpo", "select 1")


def test_it_is_stopped_there(session: Session) -> None:
    result = session.native(
        "shop", "select count(*) from orders a, orders b, orders c where a.id + b.id > c.id"
    ).start()
    eventually(lambda: bool(session.register.runs(active=True)))
    result.cancel()
    with pytest.raises(Cancelled):
        result.wait()
    eventually(lambda: not session.register.runs(active=True), 3)


def test_a_broken_engine_is_replaced(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known that breaks DuckDB on purpose, so its saying so is played."""
    from workbench.query import session as module

    real, calls = module.parse, []

    def parse(text: str, parser: duckdb.DuckDBPyConnection) -> object:
        calls.append(parser)
        if len(calls) == 1:
            raise duckdb.FatalException("database has been invalidated")
        return real(text, parser)

    monkeypatch.setattr(module, "parse", parse)
    before = session._engine._connection
    assert session.sql("select 1 as a").arrow().to_pylist() == [{"a": 1}]
    assert session._engine._connection is not before
