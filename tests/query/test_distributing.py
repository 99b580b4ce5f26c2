"""A statement taken apart means the same as the whole, however its table is dealt out."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from workbench.contract.errors import Unsupported
from workbench.query.cluster_fold import SqlFold
from workbench.query.distributing import distributed, types_of

ROWS = 1_000
COLUMNS = {"t": ("k", "s", "x", "f", "d", "y", "day", "today"), "u": ("k", "n"), "w": ("k", "from_day", "today")}


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as engine:
        engine.execute(
            "create table t as select (i % 7)::int k, 'n' || (i % 3) s, i::int x, (i * 0.5)::double f,"
            " ((i % 100) / 10)::decimal(10, 2) d, case when i % 5 = 0 then null else i % 11 end y,"
            f" date '2024-01-01' + (i % 400)::int as day, (i % 17)::int as today from range({ROWS}) r(i)"
        )
        engine.execute(
            "create table w as select nullif(i % 6, 5)::int k, date '2024-01-01' + (i * 30)::int as from_day,"
            " nullif(i, 3)::int today from range(12) r(i)"
        )
        engine.execute("create table u as select i::int k, 'name' || i n from range(5) r(i)")
        yield engine


def apart(engine: duckdb.DuckDBPyConnection, sql: str, sizes: list[int]) -> tuple[list[dict[str, Any]], Any]:
    """The rows by way of parts of so many rows, merged and regrouped, and what the whole gives."""
    relation = engine.sql(sql)
    shape = list(zip(relation.columns, map(str, relation.types), strict=True))
    plan = distributed(sql, engine, "t", COLUMNS, shape)
    table = engine.sql("from t").to_arrow_table()
    others = {name: engine.sql(f"from {name}").to_arrow_table() for name in plan.broadcast}
    fold = SqlFold(plan, table.schema, others)
    try:
        fold.rehearsed(engine.sql(plan.first).limit(0).to_arrow_table())
    except (duckdb.Error, pa.ArrowException) as error:  # as the planner does, before anything is read
        raise Unsupported("A cluster", f"take this statement apart ({error})", "Leave out `on=`.") from None
    parts, at = [], 0
    for number, size in enumerate(sizes):
        parts.append(fold.each(number, table.slice(at, size).to_batches()))
        at += size
    parts.append(fold.each(len(sizes), table.slice(at).to_batches()))
    middle = len(parts) // 2
    whole = fold.merge([fold.merge(parts[:middle]), fold.merge(parts[middle:])]) if middle else fold.merge(parts)
    found = fold.finish(whole)
    whole_table = engine.sql(sql).to_arrow_table()
    assert found.schema.equals(whole_table.schema)
    if (by_key := regrouped(fold, parts)) is not None:
        assert by_key.schema.equals(whole_table.schema)
        if "order by" in sql:
            assert rounded(by_key.to_pylist()) == rounded(whole_table.to_pylist())
        else:
            assert sortable(by_key.to_pylist()) == sortable(whole_table.to_pylist())
    return found.to_pylist(), whole_table.to_pylist()


def regrouped(fold: SqlFold, parts: list[pa.Table], partitions: int = 3) -> pa.Table | None:
    """What the parts come to when they are dealt out by key, at each level that there is."""
    if fold.settled:
        return fold.gather(parts)
    if not fold.dealable:
        return None
    dealt = [fold.deal(part, partitions) for part in parts]
    assert [sum(piece.num_rows for piece in one) for one in dealt] == [part.num_rows for part in parts]
    met = [fold.merge([one[at] for one in dealt]) for at in range(partitions)]
    if fold.then is None:
        return fold.gather([fold.settle(one) for one in met])
    again = [fold.then.again(one) for one in met]
    assert fold.then.finish(fold.then.merge(again)).num_rows >= 0
    found = regrouped(fold.then, again, 2)
    return found if found is not None else fold.then.finish(fold.then.merge(again))


def sortable(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(map(str, rounded(rows)))


def rounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: comparable(one) for name, one in row.items()} for row in rows]


def comparable(value: Any) -> Any:
    """Sums of floats are not the same in every order; and NaN is equal to nothing."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else round(value, 6)
    return value


STATEMENTS = [
    "select n, count(*) c, sum(x) from t natural join u group by n order by n",
    "select * from t natural join u where x < 30 order by x",
    "select k, today, from_day, count(*) c from t natural join w group by all order by all",
    "select k, n, count(*) c from t natural left join u natural join w group by all order by all",
    "select count(*) c from (t join u using (k)) natural join w",
    "select k, sum(x), count(*), avg(f), min(s), max(d), avg(x) + 1 z from t group by k order by k",
    "select count(*), count(y), sum(x) from t",
    "select k, count_if(y > 3) n, count_if(x > 500) + 1 m from t where x % 35 = 0 or k > 3 group by k order by k",
    "select count_if(y > 3) n, count(y) c from t where y is null",
    "select count(*), sum(x), max(s) from t where x < 0",
    "select count(distinct y), sum(distinct x), avg(d), count(y) from t where x > 10",
    "select n, sum(x) filter (where f > 3) q, count(distinct s) from t join u using (k) group by n"
    " having count(*) > 10 order by q desc limit 3",
    "select lower(s) l, year(day) yy, count(*) n from t group by all order by all",
    "select s, k, sum(x) from t group by rollup (s, k) order by 1 nulls last, 2 nulls last",
    "select k as kk, count(*) from t group by kk order by count(*) desc, kk",
    "select x as k, count(*) n from t group by k order by 1, 2 limit 3",
    "select x, f from t where k = 3 order by f desc limit 7",
    "select distinct s from t order by s",
    "select * from t where x < 20 order by 3 limit 5 offset 2",
    "select t.k, u.n, t.x from t left join u on t.k = u.k where t.x < 30 order by t.x",
    "select max(x) m from t having max(x) > 5",
    "select max(x) m from t having max(x) > 5000",
    "select sum(x) / count(*) r, s from t group by s order by r, s",
    "select k from t group by k order by sum(x) desc, k limit 2",
    "select bool_or(x > 990) b, any_value(k) v, k from t group by k order by k",
    "select case when sum(x) > 100 then 'a' else s end w from t group by s order by w",
    "select count(*) from t where k in (select k from u)",
    "select x from t where k = 2 order by f desc, x limit 4 offset 3",
    "select s, x from t where x < 9 order by f % 2, x",
    "select x % 50 g, count(distinct y) n, sum(distinct y) q, avg(distinct y) a, sum(f) from t group by g order by g",
    "select count(distinct x) n, avg(distinct x) a, max(f) from t",
    "select k, count(distinct y), sum(distinct k), sum(distinct y) from t group by k order by k",
    "select count(distinct x) n from t having count(*) > 5000",
    "select distinct count(*) n from t group by x % 50, s order by n",
    "select x % 90 g, s, sum(f) q from t group by all having sum(f) > 20 order by sum(x) desc, g, s limit 7 offset 2",
    "select x % 90 g, s, sum(f) q from t group by all order by all desc",
    'select x % 90 as "a b", count(*), count(*) from t group by 1 order by 1',
    "select distinct k, s from t order by s desc, k limit 5",
    "select g, count(*) n from (select 1) join t on true join (select k g from u) v on v.g = t.k group by g order by g",
    "select y, count(*) n from t group by y order by y nulls first",
    "select distinct y from t order by y desc nulls first limit 3",
    "select y, x from t order by y asc nulls first, x limit 9",
    "select b.k, count(*) n from t b group by k order by B.K",
    "select k, count(*) n from t b group by b.k having b.K > 2 order by k",
    "select S as k1, count(*) a0, sum(x) k0 from t where x > 4 group by all order by k1",
    "select k as c1, s as c0, x from t where x < 30 order by c0, c1 desc, x",
    "select today, count(*) from t group by today order by today",
    "select t.today, age(day::timestamp, timestamp '2020-01-01') a from t where x < 9 order by x",
    "select list_max([k, y]) m, count(*) from t group by all order by m nulls first",
    "select count(*) from t, range(3)",
    "select t.k, u.k from t left join u on t.k = u.k where x < 40 order by u.k nulls first, t.k, x limit 12",
    "select day, count(*) n from t where day between '2024-01-05' and '2024-02-01' group by 1 order by 1",
]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_parts_come_to_what_the_whole_does(engine: duckdb.DuckDBPyConnection, sql: str) -> None:
    if "group by k order by 1, 2 limit 3" in sql:  # a column of the table goes before an alias, as in DuckDB
        with pytest.raises(duckdb.Error):
            engine.sql(sql)
        return
    found, whole = apart(engine, sql, [137] * 6)
    assert rounded(found) == rounded(whole)


KEYS = ["k", "s", "y", "x % 3", "lower(s)", "case when y is null then 'none' else s end"]
SUMS = ["count(*)", "count(y)", "sum(x)", "avg(f)", "avg(y)", "min(day)", "max(s)", "sum(d)", "count(distinct y)",
        "sum(distinct k)", "count(*) filter (where x > 500)", "sum(x) / nullif(count(y), 0)", "avg(d) * 2"]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    keys=st.lists(st.sampled_from(KEYS), max_size=3, unique=True),
    sums=st.lists(st.sampled_from(SUMS), min_size=1, max_size=4, unique=True),
    where=st.sampled_from(["", " where x > 100", " where y is null", " where false", " where k in (1, 2)"]),
    seed=st.integers(0, 2**32),
)
def test_random_statements_and_random_parts(
    engine: duckdb.DuckDBPyConnection, keys: list[str], sums: list[str], where: str, seed: int
) -> None:
    listed = ", ".join(f"{one} as c{at}" for at, one in enumerate([*keys, *sums]))
    by = f" group by {', '.join(str(at + 1) for at in range(len(keys)))}" if keys else ""
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(ROWS + 1) for _ in range(chance.randrange(6)))
    sizes = [high - low for low, high in zip([0, *cuts], cuts, strict=False)]
    found, whole = apart(engine, f"select {listed} from t{where}{by}", sizes)

    assert sortable(found) == sortable(whole)


NAMES = ["k", "s", "x", "f", "d", "y", "day", "today"]
TABLES = [
    "t", "t", "t", "t b", "t as B", "t join u using (k)", "t left join u on t.k = u.k", "t b left join w on b.k = w.k",
    "t b, u", "t semi join u using (k)", "t anti join u using (k)", "u right join t on u.k = t.k", "t b, range(2) r(z)",
    "t b join (select k, max(n) as s from u group by k) v on b.k = v.k", "t join (select 1 as k2) v on true",
]  # fmt: skip
ODD_TABLES = [
    "t natural join u", "t right join u using (k)", "u left join t on u.k = t.k", "t positional join u", "u", "u as b",
    "t b asof join w on b.day >= w.from_day", "w positional join t", "w", "t b, range(2) r(today)", "t, t b",
]  # fmt: skip
CONDITIONS = ["", "", "x < 90", "y is null", "false", "{0} is not null", "{0} in (select k from u)", "b.X > 7"]
ODD_CONDITIONS = [
    "k in (select k from t)", "n not in (select s from t)", "exists (select 1 from t z where z.k = 3)", "k0 > 2",
    "q > 1", "x > (select geomean(k + 1) from u)", "day < today()", "age(day::timestamp) is not null",
]  # fmt: skip
SCALARS = ["{0}", "{0}", "{0}", "{0} is null", "coalesce({0}::varchar, '-')", "list_sum([{1}, 1])", "{1} + 1"]
ODD_SCALARS = [
    "1", "'c'", "today", "random() < 2", "txid_current() > 0", "current_localtimestamp() > timestamp '2020-01-01'",
    "#2", "columns('k|x')", "unnest({{'a': {1}, 'b': 2}})", "k",
]  # fmt: skip
TOTALS = [
    "count(*)", "count({0})", "sum({1})", "avg({1})", "min({0})", "max({0})", "count(distinct {0})",
    "sum(distinct {1})", "any_value(1)", "sum({1}) filter (where {1} < 3)",
    "bool_or({0} is null)", "sum({1}) + count(*)", "sum({1}) / count({0})",
    "case when max({0}) is null then 1 else 2 end", "count(distinct {1})",
]  # fmt: skip
ODD_TOTALS = [
    "max({1}, 3)", "min({1}, 2)", "geomean({1} + 1)", "weighted_avg({1}, 2)", "wavg({1}, x)", "max(columns(*))",
    "list(1)", "arg_max(x, f)", "variant_group_array(1)", "median({1})", "sum({1} order by {1})",
]  # fmt: skip
ALIASES = ["", "", "", "q", "p", "k0", "K1", "a0", "c0", "c1", '"Sum 0"']
ODD_ALIASES = ["k", "s", "x", "today", '"workbench key 0"']
HOW = ["", " asc", " desc"]
NULLS = ["", " nulls first", " nulls last"]
LIMITS = ["", "", "", " limit 5", " limit 7 offset 3", " offset 4", " limit 0"]


def one_of(chance: random.Random, usual: list[str], odd: list[str]) -> str:
    return chance.choice(odd if chance.random() < 0.06 else usual)


def named(chance: random.Random, table: str, names: list[str]) -> str:
    """A column of `t` in one of the ways in which it may be written."""
    name, owner = chance.choice(names), "b" if " b" in table.lower() else "t"
    ways = [name, name.upper(), f"{owner}.{name}", f"{owner.upper()}.{name}"]
    return chance.choice(ways[2:] if " join" in table or "," in table else ways)


def statement(chance: random.Random) -> str:
    """One of very many that DuckDB may take, with an order that says where each row goes, or none."""
    table, grouped = one_of(chance, TABLES, ODD_TABLES), chance.random() < 0.6

    def filled(usual: list[str], odd: list[str]) -> str:
        text = one_of(chance, usual, odd)
        return text.format(named(chance, table, NAMES), named(chance, table, ["k", "x", "y", "today"]))

    keys = [filled(SCALARS, ODD_SCALARS) for _ in range(chance.randrange(0 if grouped else 1, 4))]
    totals = [filled(TOTALS, ODD_TOTALS) for _ in range(chance.randrange(1, 4))] if grouped else []
    items = [*keys, *totals]
    aliases = [one_of(chance, ALIASES, ODD_ALIASES) for _ in items]
    listed = [f"{one} as {alias}" if alias else one for one, alias in zip(items, aliases, strict=True)]
    if not grouped and chance.random() < 0.2 and " join" not in table and "," not in table:
        listed = ["*"]
    text = f"select {'distinct ' if chance.random() < 0.15 else ''}{', '.join(listed)} from {table}"
    if chance.random() < 0.5 and (condition := filled(CONDITIONS, ODD_CONDITIONS)):
        text += f" where {condition}"
    if grouped and keys:
        text += f" group by {groups_of(chance, keys, aliases)}"
    if grouped and chance.random() < 0.2:
        text += f" having {chance.choice(['count(*) > 3', 'q > 2', 'sum(x) > 9', f'{items[0]} is not null'])}"
    spread = any("columns(" in one or "unnest(" in one for one in items)
    if chance.random() < 0.6 and not spread:
        first = chance.choice([*items, *filter(None, aliases), "all"])
        first = one_of(chance, [first], ["#1", "x + 1", "q + 1", "k", "t.k", "columns('k')", "*"])
        rest = ["all"] if first == "all" else [first, *map(str, range(1, len(items) + 1))]
        if listed == ["*"]:
            rest = [first, "x", *map(str, range(1, 9))]
        text += " order by " + ", ".join(f"{one}{chance.choice(HOW)}{chance.choice(NULLS)}" for one in rest)
        text += chance.choice(LIMITS)
    return text


def groups_of(chance: random.Random, keys: list[str], aliases: list[str]) -> str:
    """By the expression, as it is or in other letters, by its place, by its alias, or without its table."""
    written = [
        chance.choice([one, one, one.lower(), str(at + 1), aliases[at] or one, one.rpartition(".")[2]])
        for at, one in enumerate(keys)
    ]
    listed = ", ".join(written)
    return chance.choice(["all", listed, listed, f"rollup ({listed})"])


@settings(max_examples=250, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_any_statement_gives_what_the_whole_does_or_is_refused(engine: duckdb.DuckDBPyConnection, seed: int) -> None:
    chance = random.Random(seed)
    sql = statement(chance)
    try:
        engine.sql(sql).fetchall()
    except duckdb.Error:
        return  # it is none, and never comes to be taken apart
    cuts = sorted(chance.randrange(ROWS + 1) for _ in range(chance.randrange(1, 6)))
    sizes = [high - low for low, high in zip([0, *cuts], cuts, strict=False)]
    try:
        found, whole = apart(engine, sql, sizes)
    except Unsupported:
        return
    if " order by " in sql:
        assert rounded(found) == rounded(whole), sql
    else:
        assert sortable(found) == sortable(whole), sql


def test_rows_without_an_order_are_any_so_many(engine: duckdb.DuckDBPyConnection) -> None:
    found, _ = apart(engine, "select x from t limit 10", [100] * 5)
    assert len({row["x"] for row in found}) == 10


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("select row_number() over (order by x) from t", "a window"),
        ("select k from t union all select k from u", "a UNION"),
        ("with w as (select * from t) select count(*) from w", "a WITH"),
        ("select count(*) from (select * from t)", "a sub-query over its largest table"),
        ("select count(*) from t a join t b using (k)", "2 times"),
        ("select u.n, count(*) from t right join u using (k) group by 1", "a right join"),
        ("select count(*) from t full join u using (k)", "a full join"),
        ("select median(x) from t", "`median`"),
        ("select string_agg(s order by x) from t", "`string_agg`"),
        ("select count(*) from t where day > current_date", "`current_date`"),
        ("select random(), x from t", "`random`"),
        ("select (select max(n) from u), count(*) from t", "a sub-query beside groups"),
        ("select distinct s from t order by x", "ORDER BY of what is not among the columns"),
        ("select s collate nocase, count(*) from t group by all", "COLLATE"),
        ("select distinct on (k) k, x from t", "DISTINCT ON"),
        ("select x from t limit 10%", "in percent"),
        ("select x from t using sample 10", "a sample"),
        ("select count(distinct y) filter (where x > 3) from t", "DISTINCT values like this"),
        ("select count(*) from u where k not in (select k from t)", "a sub-query over its largest table"),
        ("select count(*) from u where exists (select 1 from t where t.k = u.k)", "a sub-query over its largest table"),
        ("select (select max(x) from t) m, n from u", "a sub-query over its largest table"),
        ("select x from t order by x offset 3", "an OFFSET without a LIMIT apart. Say how many"),
        ("select k, count(*) from t group by k offset 3", "an OFFSET without a LIMIT"),
        ("select max(x, 3) from t", "`max` of 2 arguments"),
        ("select min(x, 3) from t", "`min` of 2 arguments"),
        ("select geomean(x + 1) from t", "`geomean`"),
        ("select geometric_mean(x + 1) from t", "`geometric_mean`"),
        ("select wavg(x, f) from t", "`wavg`"),
        ("select k, weighted_avg(x, f) from t group by k", "`weighted_avg`"),
        ("select variant_group_array(x) from t", "`variant_group_array`"),
        ("select json_group_structure(s) from t", "`json_group_structure`"),
        ("select count(*) from t asof join w on t.day >= w.from_day", "a asof join"),
        ("select count(*) from t positional join u", "a positional join"),
        ("select count(*) from t natural join (select k from u)", "apart. Write `using (…)` with the columns"),
        ("select count(*) from t natural join u as b(k, z)", "a natural join"),
        ("select x from t order by #1", "`#1`"),
        ("select #1 from t", "`#1`"),
        ("select min(columns(*)) from t", "a `*` beside groups"),
        ("select x from t order by columns('x')", "an ORDER BY of `*` or COLUMNS"),
        ("select age(day::timestamp) from t", "`age`"),
        ("select ago('1 day'::interval) < day from t", "`ago`"),
        ("select today() from t", "`today`"),
        ("select count(*) from t where current_localtimestamp() > day", "`current_localtimestamp`"),
        ("select count(*) from t where current_localtime() is null", "`current_localtime`"),
        ("select count(*) from t where localtime is null", "`localtime`"),
        ("select txid_current() from t", "`txid_current`"),
        ("select current_transaction_id() from t", "`current_transaction_id`"),
        ("select current_connection_id() from t", "`current_connection_id`"),
        ("select getvariable('a') from t", "`getvariable`"),
        ('select x as "workbench key 0" from t', "the name `workbench key 0`"),
        ("select k + 1 as x, x as y from t order by x + 1", "`x`, a column and an alias"),
        ("select y, Y, count(*) from t group by rollup (y, t.y)", "the same twice"),
        ("select count(*) from t, duckdb_settings()", "the table function `duckdb_settings`"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_by_name(engine: duckdb.DuckDBPyConnection, sql: str, what: str) -> None:
    relation = engine.sql(sql)
    shape = list(zip(relation.columns, map(str, relation.types), strict=True))
    with pytest.raises(Unsupported, match="eave out `on=`") as caught:
        distributed(sql, engine, "t", COLUMNS, shape)
    assert what in str(caught.value)


KINDS = ["tinyint", "utinyint", "smallint", "usmallint", "integer", "uinteger", "bigint", "ubigint", "hugeint",
         "decimal(4, 1)", "decimal(9, 3)", "decimal(18, 2)", "decimal(38, 9)"]  # fmt: skip


GROUPS = ["group by k", "group by all", "group by rollup (k)", "group by grouping sets ((k), ())"]
DIGITS = {"decimal(4, 1)": 3, "decimal(9, 3)": 6, "decimal(18, 2)": 16, "decimal(38, 9)": 18}
BITS = {"tinyint": 7, "utinyint": 8, "smallint": 15, "usmallint": 16, "integer": 31, "uinteger": 32}


def parts_and_whole(engine: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, pa.Table | None, Any]:
    relation = engine.sql(sql)
    shape = list(zip(relation.columns, map(str, relation.types), strict=True))
    plan = distributed(sql, engine, "t", {"t": ("k", "d")}, shape, types_of(engine, engine, {}))
    table = engine.sql("from t").to_arrow_table()
    fold, size = SqlFold(plan, table.schema), table.num_rows // 4
    parts = [fold.each(at, table.slice(at * size, size).to_batches()) for at in range(4)]
    return fold.finish(fold.merge(parts)).to_pylist(), regrouped(fold, parts), relation.to_arrow_table().to_pylist()


@pytest.mark.parametrize("kind", KINDS)
def test_averages_are_the_same_to_the_last_digit(kind: str) -> None:
    """In groups DuckDB divides wider than a double is, of all rows it does not."""
    most = 10.0 ** DIGITS[kind] if kind in DIGITS else 2.0 ** BITS.get(kind, 62)
    least = 0 if kind.startswith("u") else -most
    with duckdb.connect(":memory:") as engine:
        engine.execute("select setseed(0.3)")
        engine.execute(
            f"create table t as select k, case when random() > 0.1 then"
            f" ({least} + random() * ({most} - {least}) * 0.99)::{kind} end d"
            " from (select (random() * 60)::int k from range(800))"
        )
        texts = [
            f"select k, avg(d) a, mean(d + 0) * 2 b, avg(d) filter (where k > 30) c from t {groups} order by all"
            for groups in GROUPS
        ]
        texts += ["select avg(d) a from t", "select k, avg(distinct d) a, avg(d) b from t group by k order by k"]
        for text in texts:
            found, by_key, whole = parts_and_whole(engine, text)
            assert found == whole
            assert by_key is None or sorted(by_key.to_pylist(), key=str) == sorted(whole, key=str)
