"""Writing results to tables through a connector's sink."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from tests.query.support import World, eventually
from workbench.contract import TableRef
from workbench.contract.errors import (
    Cancelled,
    ConnectionLost,
    StatementRefused,
    UnknownConnection,
    Unsupported,
    UsageError,
)


@pytest.fixture
def shop(world: World) -> World:
    world.put("orders", {"id": range(1_000), "cid": [number % 10 for number in range(1_000)]})
    return world


def test_a_result_becomes_a_table(shop: World) -> None:
    totals = shop.session.sql("select cid, count(*) as n from shop.orders group by cid")
    report = shop.session.write(totals, "crm.totals")
    assert (report.rows, report.rejected, report.table) == (10, 0, "crm.totals")
    assert "10 rows written to crm.totals" in repr(report)
    assert shop.rows("select sum(n) from crm.totals") == [(1_000,)]
    assert [info.kind for info in shop.register.runs(active=False)][:2] != []


def test_upsert_replaces_by_key(shop: World) -> None:
    shop.session.write(pa.table({"k": [1, 2], "v": ["a", "b"]}), "crm.t", key=["k"])
    report = shop.session.write(pa.table({"k": [2, 3], "v": ["B", "C"]}), "crm.t", mode="upsert", key="k")
    assert report.rows == 2
    assert shop.rows("from crm.t order by k") == [(1, "a"), (2, "B"), (3, "C")]


def test_rows_that_the_target_refuses_are_reported(shop: World) -> None:
    shop.session.write(pa.table({"k": [1, 2], "v": ["a", "b"]}), "crm.t", key=["k"])
    report = shop.session.write(pa.table({"k": [2, 3], "v": ["B", "C"]}), "crm.t", key=["k"])
    assert report.rejected == 1
    assert report.samples
    assert shop.rows("from crm.t order by k") == [(1, "a"), (2, "b"), (3, "C")]


def test_nothing_is_there_when_the_rows_break_off(shop: World) -> None:
    shop.catalog.add("broken", shop.source, orders={"fail_after": 2, "splits": 1, "batch_rows": 100})
    with pytest.raises(ConnectionLost):
        shop.session.write(shop.session.sql("select * from broken.orders"), "crm.copy")
    found = [ref for ref in shop.source.refs() if ref == TableRef("copy")]
    assert not found or shop.rows("select count(*) from crm.copy") == [(0,)]
    eventually(shop.quiet, 2)


def test_only_writable_connections(shop: World) -> None:
    shop.catalog.add("readonly", shop.source, writable=False)
    with pytest.raises(StatementRefused):
        shop.session.write(pa.table({"a": [1]}), "readonly.t")
    with pytest.raises(UnknownConnection):
        shop.session.write(pa.table({"a": [1]}), "nowhere.t")
    for name in ("t", "a.b.c.d", "", "shop.", "shop t"):
        with pytest.raises(UsageError):
            shop.session.write(pa.table({"a": [1]}), name)


def test_an_error_that_somebody_keeps_holds_nothing_up(shop: World) -> None:
    """IPython keeps the last error, and with it all frames."""
    shop.catalog.add("readonly", shop.source, writable=False)
    shop.catalog.add("slow", shop.source, orders={"batch_rows": 1})
    with pytest.raises(StatementRefused) as kept:
        shop.session.write(shop.session.sql("select id from slow.orders"), "readonly.t")
    eventually(shop.quiet, 2)
    assert kept.value.__traceback__ is not None


def test_a_write_is_stopped_while_its_source_is_silent(shop: World) -> None:
    shop.catalog.add("held", shop.source, orders={"hold_after": 1, "splits": 1, "batch_rows": 10})
    raised: list[BaseException] = []

    def write() -> None:
        try:
            shop.session.write(shop.session.sql("select id from held.orders"), "crm.copy")
        except BaseException as error:  # noqa: BLE001
            raised.append(error)

    thread = threading.Thread(target=write)
    thread.start()

    def writes() -> list[str]:
        return [run.id for run in shop.register.runs(active=True) if run.kind == "write" and shop.source.running()]

    eventually(lambda: bool(writes()))
    shop.register.request_stop(writes()[0])
    thread.join(2)
    assert not thread.is_alive()
    assert isinstance(raised[0], Cancelled)
    eventually(shop.quiet, 2)


@pytest.mark.parametrize("rows", [{"a": 1}, [1, 2], None, "text"])
def test_what_is_no_table_is_named_by_its_type(shop: World, rows: object) -> None:
    with pytest.raises(UsageError, match=rf"type `{type(rows).__name__}`.*polars"):
        shop.session.write(rows, "crm.t")
    with pytest.raises(UsageError, match=r"connection\.table"):
        shop.session.write(pa.table({"a": [1]}), None)  # type: ignore[arg-type]


def test_one_row_is_one_row(shop: World) -> None:
    assert repr(shop.session.write(pa.table({"a": [1]}), "crm.one")).startswith("1 row written")
    assert "1 rows" not in repr(shop.session.sql("select id from shop.orders where id = 3").wait().explain())


def test_native_text_where_a_source_has_none(shop: World) -> None:
    with pytest.raises(Unsupported, match="shop"):
        shop.session.native("shop", "show tables")
