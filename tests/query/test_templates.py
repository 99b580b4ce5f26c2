"""A statement that differs from one met before only in whole numbers is what parsing it would give."""

from __future__ import annotations

import threading

import duckdb
import pytest

from tests.query.support import World
from workbench.query.statement import parse
from workbench.query.templates import Templates

OTHER = str.maketrans("123456789", "234567891")
ALIKE = [
    "select * from shop.orders where id = 1234",
    "select 5 as a, x.b from t limit 10 offset 20",
    "select cast(a as decimal(10, 2)) from t where b = 11 order by 1",
    "with x as (select 12 as b) from x where b = 12 and b in (11, 12);  ",
    "  select a, /* 3 */ 4 from t -- the end",
    "select case when a > 1 then 22 else 333 end, sum(b) over (partition by 1 rows 3 preceding) from t group by 2",
]
OTHERS = [
    "select * from t where id = 0",
    "select * from t where id = 007",
    "select 1.5, 12345678901, 1e3, 0x12",
    "select a from t where a = -5",
    "select 'x 12', interval '3' day, a[1], $p1, \"c 7\"",
    "select * from t using sample 10 rows",
    "pivot t on a using sum(b)",
    "select 'é', 5",
    "create temp table x as select 5",
]


@pytest.fixture
def parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"errors_as_json": "true"})


@pytest.mark.parametrize("text", [*ALIKE, *OTHERS])
def test_it_is_what_parsing_gives(text: str, parser: duckdb.DuckDBPyConnection) -> None:
    templates = Templates()
    templates.keep(parse(text, parser))
    for other in (text, text.translate(OTHER), text.translate(OTHER).translate(OTHER)):
        found = templates.find(other)
        assert found is None or found == parse(other, parser)
    assert (templates.find(text.translate(OTHER).replace("/* 4", "/* 3")) is not None) or text not in ALIKE
    parser.close()


@pytest.mark.parametrize("other", ["select 0000", "select 12345", "select 1.34", "select 01 34", "select \0\0\0\0"])
def test_other_texts_are_others(other: str, parser: duckdb.DuckDBPyConnection) -> None:
    templates = Templates()
    templates.keep(parse("select 1234", parser))
    assert templates.find("select 9876") is not None
    assert templates.find(other) is None
    parser.close()


def test_deep_trees_are_let_be(parser: duckdb.DuckDBPyConnection) -> None:
    templates = Templates()
    templates.keep(parse("select " + "(" * 300 + "1" + " + a)" * 300 + " from t", parser))
    assert templates.find("select " + "(" * 300 + "2" + " + a)" * 300 + " from t") is None
    parser.close()


def test_values_change_from_one_statement_to_the_next(world: World) -> None:
    world.put("t", {"id": list(range(100)), "v": [n * n for n in range(100)]})
    wrong: list[object] = []

    def ask(start: int) -> None:
        for number in range(start, 100, 4):
            got = world.rows(f"select v, {number} as n from shop.t where id = {number} limit 1")
            also = world.rows(f"select v from shop.t where id = {number}")
            if got != [(number * number, number)] or also != [(number * number,)]:
                wrong.append((number, got, also))

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(10, 14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert world.session.sql("select 5").columns == ["5"]
    assert world.session.sql("select 6").columns == ["6"]
