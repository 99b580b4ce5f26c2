"""Names in the scopes of SQL, and the text rewritten around them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import pytest

from workbench.contract.errors import StatementRefused, UnknownColumn, UnknownConnection, UnknownTable
from workbench.query.engine import Engine, Limits
from workbench.query.names import Place, Resolved, resolve
from workbench.query.statement import parse
from workbench.query.templates import Templates
from workbench.query.tokens import Splice, Text, tokens


@dataclass(frozen=True)
class Found:
    key: tuple[Any, ...]
    place: Place


class Everything:
    """Finds whatever is asked for."""

    def table(self, parts: tuple[str, ...], place: Place) -> Found:
        return Found(("table", *(part.casefold() for part in parts)), place)

    def path(self, path: str, suffix: str, place: Place) -> Found:
        return Found(("path", path, suffix), place)


@pytest.fixture(scope="module")
def parser() -> Iterator[duckdb.DuckDBPyConnection]:
    engine = Engine(Limits())
    with engine.parser() as parser:
        yield parser
    engine.close()


def resolved(text: str, parser: duckdb.DuckDBPyConnection) -> Resolved[Found]:
    found = resolve(parse(text, parser), Everything())
    parser.extract_statements(found.sql)
    return found


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("select * from shop.orders", ["shop.orders"]),
        ("select * from a.b.c, A.B.C", ["a.b.c"]),
        ("with t as (select * from t) select * from t", ["t"]),
        ("with t as (select 1) select * from t, (select * from T) u", []),
        ("with a as (select 1), b as (select * from a, c) select * from b", ["c"]),
        ("select * from (with t as (select 1) select * from t) x, t", ["t"]),
        ("with recursive t as (select 1 a union all select a + 1 from t, s.u where a < 3) from t", ["s.u"]),
        ("select (select max(x) from s.a i where i.a = o.a) from s.b o", ["s.a", "s.b"]),
        ("select * from a.t where x in (from b.t) or exists (select 1 from c.t)", ["a.t", "b.t", "c.t"]),
        ("table s.t", ["s.t"]),
        ("describe s.t", ["s.t"]),
        ("describe table s.t", ["s.t"]),
        ("summarize s.t", ["s.t"]),
        ("select * from (table s.t) x, (describe s.u) y", ["s.t", "s.u"]),
        ("from 'folder/a.parquet' x, read_csv('b.csv')", ["folder/a.parquet", "b.csv"]),
        ("pivot s.t on é || 'x', y using sum(x) group by k", ["s.t"]),
        ("with p as (pivot s.t on a using sum(b)) select * from p, s.u", ["s.t", "s.u"]),
        ("from s.t pivot (sum(x) for y in ('a', 'b'))", ["s.t"]),
        ("from range(3), generate_series(1, 2), unnest([1])", []),
        ('select 1 from "a b"."c.d"."e""f"', ['a b.c.d.e"f']),
        ("select 1 from s.t tablesample 10%", ["s.t"]),
        ("select 1 from s.a natural join s.b left join s.c using (x), lateral (select * from s.d)", [
            "s.a", "s.b", "s.c", "s.d"]),
    ],
)  # fmt: skip
def test_tables_are_found(text: str, names: list[str], parser: duckdb.DuckDBPyConnection) -> None:
    assert sorted(resolved(text, parser).targets) == sorted(names)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("select shop.orders.total from shop.orders", 'select "orders".total from "shop.orders" as "orders"'),
        ("select o.total from shop.orders o", 'select o.total from "shop.orders" o'),
        (
            "select a.t.x, b.t.x from a.t, b.t where a.t.id = b.t.id",
            'select "a.t".x, "b.t".x from "a.t" as "a.t", "b.t" as "b.t" where "a.t".id = "b.t".id',
        ),
        ("select c.s.t.x, s.t.y, t.z from c.s.t", 'select "t".x, "t".y, t.z from "c.s.t" as "t"'),
        (
            "select (select max(s.t.x) from s.u) from s.t",
            'select (select max("t".x) from "s.u" as "u") from "s.t" as "t"',
        ),
        (
            "select 'shop.orders' from shop.orders -- shop.orders",
            'select \'shop.orders\' from "shop.orders" as "orders"',
        ),
        ("explain analyze from s.t", 'explain analyze from "s.t" as "t"'),
    ],
)
def test_the_rewritten_text(text: str, sql: str, parser: duckdb.DuckDBPyConnection) -> None:
    assert " ".join(resolved(text, parser).sql.split()).removesuffix(" -- shop.orders") == sql


@pytest.mark.parametrize(
    "text",
    [
        "select * from a.b where c = {0}",
        "select {0}, x.c, a.b.c.d from a.b.c x, A.B.C, b.t where c = $p and d < {1} limit {0}",
        "with t as (select {0} as n) select * from t, s.t where n = {1}",
        "  explain select * from s.t where (select max(x) from s.a i where i.a = {1}) > {0} -- end",
        "select * from 'folder/a.parquet' x, read_csv('b.csv') where n = {0} and m in ({1}, {0})",
        'select {0} from a.t, b.t, "a.t".t union all select {1} from A.t',
        "describe s.t",
    ],
)
def test_the_next_of_a_form_is_resolved_as_if_it_were_the_first(text: str, parser: duckdb.DuckDBPyConnection) -> None:
    templates = Templates()
    first = templates.keep(parse(text.format(12, 345), parser))
    resolve(first, Everything())
    assert first.form is not None or "explain" in text
    for numbers in ((34, 678), (12, 345)):
        again = templates.find(text.format(*numbers)) or parse(text.format(*numbers), parser)
        found = resolve(again, Everything())
        assert found == resolve(parse(text.format(*numbers), parser), Everything())
        parser.extract_statements(found.sql)


def test_tables_that_become_one_or_two_are_named_anew(parser: duckdb.DuckDBPyConnection) -> None:
    """What two names lead to can change between two statements of a form."""

    class Same(Everything):
        def table(self, parts: tuple[str, ...], place: Place) -> Found:
            return Found(("one",), place)

    templates = Templates()
    text = "select {} from a.t, b.t"
    for lookups in ((Everything(), Same()), (Same(), Everything())):
        resolve(templates.keep(parse(text.format(11), parser)), lookups[0])
        again = templates.find(text.format(12))
        assert again is not None
        assert resolve(again, lookups[1]) == resolve(parse(text.format(12), parser), lookups[1])


def test_a_form_keeps_no_table_alive(parser: duckdb.DuckDBPyConnection) -> None:
    alive: weakref.WeakSet[Found] = weakref.WeakSet()

    class Watched(Everything):
        def table(self, parts: tuple[str, ...], place: Place) -> Found:
            found = super().table(parts, place)
            alive.add(found)
            return found

    templates = Templates()
    resolve(templates.keep(parse("select 11 from a.t", parser)), Watched())
    gc.collect()
    assert not alive


def test_places_lead_back_to_the_text_as_written(parser: duckdb.DuckDBPyConnection) -> None:
    text = "select é, shop.orders.a, b from shop.orders\n where shop.orders.c = 1 and d = 2"
    found = resolved(text, parser)
    for word in ("é", "b from", "where", "d = 2"):
        assert Splice.origin(found.sql.index(word), found.splices) == text.index(word)
    assert found.targets["shop.orders"].place == Place(1, 33)


def test_parameters_and_recursion_are_told(parser: duckdb.DuckDBPyConnection) -> None:
    found = resolved("select $b, $a, $b", parser)
    assert set(found.parameters) == {"a", "b"}
    assert not found.recursive
    assert resolved("with recursive t as (select 1 a union all select a + 1 from t) from t", parser).recursive


@pytest.mark.parametrize(
    "text",
    [
        "select ?",
        "select $1",
        "from t at (version => 1)",
        "from read_csv('a', header=true)",
        "from read_parquet(['a', 'b'])",
        "pivot t on a in (select 1) using sum(b)",
        "select current_setting('threads')",
        "select getenv('HOME')",
        "from glob('*')",
        "from query('select 1')",
        "from duckdb_settings()",
        "select x.nextval('s')",
    ],
)
def test_forms_that_are_refused(text: str, parser: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(StatementRefused):
        resolved(text, parser)


def test_no_function_that_tells_about_the_process_was_forgotten(parser: duckdb.DuckDBPyConnection) -> None:
    """Every function of this DuckDB whose name looks like telling, running or sleeping is refused or is known to be
    harmless; a new DuckDB that brings more of them fails here."""
    from workbench.query.functions import scalar_refusal

    suspicious = r"sett|env|secret|pragma|query|file|read|user|session|log_|_log|sleep|exec|nextval|currval|txid|plan"
    harmless = {
        "current_role", "current_user", "session_user", "user",  # always `duckdb`
        "parse_filename", "read", "from_json_strict", "parse_path", "variant_to_parquet_variant",
    }  # fmt: skip
    rows = parser.execute(
        "select distinct function_name from duckdb_functions() where function_type in ('scalar', 'macro')"
        f" and regexp_matches(function_name, '{suspicious}')"
    ).fetchall()
    assert {name for (name,) in rows if scalar_refusal(name) is None} <= harmless


def test_unknown_names_are_told_with_near_ones_and_the_place(world) -> None:  # type: ignore[no-untyped-def]
    world.put("orders", {"order_id": [1], "total": [1.0]})
    for text, error, words in [
        ("select * from shop.ordes", UnknownTable, ("shop.orders", "line 1, column 15")),
        ("select * from shpo.orders", UnknownConnection, ("`shop`", "line 1, column 15")),
        ("select * from\n nothing", UnknownTable, ("connection.table", "line 2, column 2")),
        ("select * from shop", UnknownTable, ("shop.table",)),
    ]:
        with pytest.raises(error) as unknown:
            world.session.sql(text)
        assert all(word in str(unknown.value) for word in words), str(unknown.value)
    with pytest.raises(UnknownColumn) as column:
        world.session.sql("select 1,\n  totl from shop.orders").arrow()
    assert "`total`" in str(column.value)
    assert "line 2, column 3" in str(column.value)


def test_names_ignore_case_but_prefer_the_same(world) -> None:  # type: ignore[no-untyped-def]
    world.put("Orders", {"Id": [1]})
    assert world.rows("select iD from SHOP.ORDERS") == [(1,)]
    import pyarrow as pa

    world.variables.update(frame=pa.table({"a": [1]}), FRAME=pa.table({"a": [2]}))
    assert world.rows("from FRAME") == [(2,)]
    assert world.rows("from Frame") == [(1,)]


def test_columns_by_every_prefix(world) -> None:  # type: ignore[no-untyped-def]
    world.put("orders", {"id": [1, 2], "total": [1.5, 2.5]})
    assert world.rows("select shop.orders.total, orders.id, total from shop.orders where shop.orders.id = 2") == [
        (2.5, 2, 2.5)
    ]
    assert world.rows(
        "select shop.orders.id, crm.orders.total from shop.orders join crm.orders using (id) order by 1"
    ) == [
        (1, 1.5),
        (2, 2.5),
    ]


def test_tokens_see_what_duckdb_sees() -> None:
    text = "select 'a''b', e'\\'x', \"q\"\"r\", $tag$ ; $tag$, $n, 1.5e3 /* a /* b */ c */ -- d\n, ünï"
    assert [(token.kind, token.text) for token in tokens(text)] == [
        ("word", "select"), ("string", "'a''b'"), ("sign", ","), ("string", "e'\\'x'"), ("sign", ","),
        ("quoted", '"q""r"'), ("sign", ","), ("string", "$tag$ ; $tag$"), ("sign", ","), ("parameter", "$n"),
        ("sign", ","), ("number", "1.5e3"), ("sign", ","), ("word", "ünï"),
    ]  # fmt: skip
    assert Text("aé\nb").character(3) == 2
    assert Text("aé\nb").place(3) == (2, 1)
