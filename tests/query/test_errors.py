"""What is written wrong is said in our words, with the place in the text as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.contract.errors import (
    InvalidParameter,
    QueryFailed,
    SqlSyntaxError,
    UnknownColumn,
    UnknownConnection,
    UnknownTable,
    Unsupported,
    UsageError,
    WorkbenchError,
)


@pytest.fixture
def shop(world: World) -> World:
    world.put("orders", {"id": range(20), "note": [f"x{number}" for number in range(20)]})
    return world


@pytest.mark.parametrize("text", [None, 5, b"select 1", ["select 1"]])
def test_a_statement_is_text(shop: World, text: Any) -> None:
    for ask in (shop.session.sql, lambda text: shop.session.native("shop", text)):
        with pytest.raises(UsageError, match="A statement is text, not"):
            ask(text)
    with pytest.raises(UsageError, match="A connection's name is text"):
        shop.session.native(text, "select 1")


@pytest.mark.parametrize("values", [[1], (1,), "x", 5])
def test_values_are_given_by_name(shop: World, values: Any) -> None:
    with pytest.raises(UsageError, match=rf"by name.*not as an? {type(values).__name__}\."):
        shop.session.sql("select $x", values)


TOO_MANY = "99999999999999999999"


@pytest.mark.parametrize(
    "text",
    [
        "select * from shop.orders\nlimit {}",
        "select id from shop.orders order by id limit {}",
        "create temp table u as\n select * from shop.orders limit {}",
        "\n\n  select note, id from shop.orders, (select 1) limit 1 offset {}",
        "explain analyze select * from shop.orders limit {}",
    ],
)
def test_a_limit_that_no_number_of_rows_can_reach(text: str, shop: World) -> None:
    written = text.format(TOO_MANY)
    with pytest.raises(SqlSyntaxError, match=rf"(LIMIT|OFFSET) {TOO_MANY} is more than 9,223,372,036") as caught:
        shop.session.sql(written).arrow()
    before = written[: written.index(TOO_MANY)]
    assert (caught.value.line, caught.value.column) == (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)
    assert shop.rows("select count(*) from (from shop.orders limit 9223372036854775807)") == [(20,)]


@pytest.mark.parametrize(
    "blank", ["", "   ", "\n\n", "-- a comment\n", "create temp table u as\n", "explain analyze\n\n"]
)
def test_places_are_those_of_the_text(blank: str, shop: World) -> None:
    """Of errors when it is bound, when it runs, and of a name that nothing carries."""
    for text, kind in (
        ("select nope from shop.orders", UnknownColumn),
        ("select\n cast(note as int) as n from shop.orders where random() < 2", QueryFailed),
        ("select 1 from shop.orderz", UnknownTable),
    ):
        with pytest.raises(kind) as caught:
            shop.session.sql(blank + text).arrow()
        at = max(text.find(word) for word in ("nope", "cast", "shop.orderz"))
        before = (blank + text)[: len(blank) + at]
        place = f"(line {before.count(chr(10)) + 1}, column {len(before.rpartition(chr(10))[2]) + 1})"
        assert place in str(caught.value)


def test_an_expression_that_is_too_deep(shop: World) -> None:
    with pytest.raises(SqlSyntaxError, match=r"deeper than 1,000 levels.*in \(") as caught:
        shop.session.sql("select " + "+".join(["id"] * 3_000) + " from shop.orders").arrow()
    assert "SET" not in str(caught.value)


def test_a_frame_that_is_none_is_named(shop: World) -> None:
    import pandas
    import polars

    shop.variables["twice"] = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    shop.variables["lazy"] = polars.LazyFrame({"a": [1]}).select("nope")
    for name in ("twice", "lazy"):
        with pytest.raises(InvalidParameter, match=f"`{name}` cannot be read as a table"):
            shop.rows(f"select * from {name}")


def test_a_query_with_a_point_in_its_name_is_not_the_table(shop: World) -> None:
    assert shop.rows('with "shop.orders" as (select -1 as id) select min(id) from shop.orders') == [(0,)]
    assert shop.rows('with "shop.orders" as (select -1 as id) select min(id) from "shop.orders"') == [(-1,)]


def test_dates_that_python_has_not_are_shown_and_written(world: World, tmp_path: Path) -> None:
    result = world.session.sql(
        "select [date '12000-01-01'] as l, {'a': timestamp '0044-03-15 (BC) 12:00:00'} as s, "
        "map {1: date '12000-01-02'} as m"
    )
    assert "12000-01-01" in repr(result)
    assert "12000-01-02" in result._repr_html_()
    result.write(tmp_path / "x.json")
    assert "-0043-03-15 12:00:00" in (tmp_path / "x.json").read_text()


def test_an_error_of_the_errors_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong where an error is put into words, whoever waits gets the error."""

    def broken(*args: object) -> BaseException:
        raise OverflowError("no words")

    monkeypatch.setattr("workbench.query.jobs.translated", broken)
    with pytest.raises(Exception, match="Conversion"):
        world.session.sql("select cast('x' as int) from range(3)").arrow()


def test_values_lost_in_two_scans_of_a_table_are_all_counted(world: World) -> None:
    from workbench.query.explain import SourceReport

    world.put("t", pa.table({"a": [1]}))
    result = world.session.sql("select count(*) from shop.t x join shop.t y on x.a = y.a").wait()
    assert result._execution is not None
    reports = [SourceReport("shop", "t", ("a",), "", lost={"a": lost}) for lost in (3, 4)]
    result._execution.job.reports = lambda: reports  # type: ignore[method-assign]
    assert result.lost == {"shop.t.a": 7}


def test_an_unknown_connection_is_told_with_the_known_ones(shop: World) -> None:
    for name, told in (("shp", "Did you mean `shop`?"), ("zz", "There are `crm`, `shop`.")):
        for ask in (
            lambda name: shop.session.native(name, "select 1"),
            lambda name: shop.session.write(pa.table({"a": [1]}), f"{name}.t"),
            lambda name: shop.session.sql(f"select 1 from {name}.t"),
        ):
            with pytest.raises(UnknownConnection) as caught:
                ask(name)
            assert told in str(caught.value)


def test_articles(shop: World) -> None:
    shop.variables["thing"] = object()
    with pytest.raises(UnknownTable, match="is an object, not a frame"):
        shop.rows("select * from thing")
    with pytest.raises(InvalidParameter, match="is an object; a parameter is one of"):
        shop.rows("select $thing")
    shop.variables["thing"] = {1}
    with pytest.raises(InvalidParameter, match="is a set; a parameter is one of"):
        shop.rows("select $thing")


def test_a_decimal_that_is_text_is_said_to_be_one(world: World) -> None:
    field = pa.field("d", pa.string(), metadata={b"source_type": b"decimal(50,2)"})
    world.put("big", pa.table({"d": ["1.50", "22.25"], "t": ["x", "y"]}, schema=pa.schema([field, ("t", pa.string())])))
    wanted = r"`d` of `shop\.big` is a decimal\(50,2\).*more than 38 digits.*`d::decimal\(38, 2\)`"
    for text in ("select sum(d) from shop.big", "select * from shop.big where d > 5"):
        with pytest.raises(SqlSyntaxError, match=wanted) as caught:
            world.rows(text)
        assert "Candidate" not in str(caught.value)
        assert "(line 1, column" in str(caught.value)
    with pytest.raises(SqlSyntaxError) as other:
        world.rows("select sum(t) from shop.big")
    assert "38 digits" not in str(other.value)
    assert world.rows("select sum(d::decimal(38, 2))::double from shop.big where d::double > 5") == [(22.25,)]


@pytest.mark.parametrize(
    "text", ["select nope from shop.t", "select id + 'x'::date from shop.t", "select nosuch(id) from shop.t"]
)
def test_explain_says_what_is_wrong_as_running_does(world: World, text: str) -> None:
    world.put("t", {"id": [1, 2]})
    with pytest.raises(WorkbenchError) as ran:
        world.session.sql(text).arrow()
    with pytest.raises(type(ran.value)) as explained:
        world.session.sql(text).explain()
    assert str(explained.value) == str(ran.value)
    assert "line 1" in str(explained.value)


def test_a_table_without_columns_is_named(world: World) -> None:
    world.put("bare", {})
    with pytest.raises(Unsupported, match=r"`shop.bare` cannot be queried. It has no columns"):
        world.rows("select count(*) from shop.bare")


def test_a_column_that_another_hides_is_named(world: World) -> None:
    world.put("caps", {"A": [1], "a": [2], "b": [3]})
    assert world.rows('select "A", a_1, b from shop.caps') == [(1, 2, 3)]
    assert world.rows("select * from shop.caps where A = 1") == [(1, 2, 3)]
    for sql in ("select a from shop.caps", 'select b from shop.caps t where t."a" = 1', "select max(a) from shop.caps"):
        with pytest.raises(UnknownColumn, match="`a` is called `a_1` here"):
            world.rows(sql)
