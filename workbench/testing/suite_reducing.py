"""Orders and sums at the source: what comes is enough, and put together it is what DuckDB makes of all rows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from workbench.contract import (
    Aggregate,
    Capabilities,
    Column,
    Compare,
    Connector,
    Literal,
    Measure,
    Order,
    Predicate,
    ScanPlan,
    ScanRequest,
    Top,
)
from workbench.contract.errors import NotExact
from workbench.testing.clock import seeded
from workbench.testing.oracle import to_sql
from workbench.testing.scanning import read, tables_of
from workbench.testing.store import Store
from workbench.testing.suite_base import SuiteBase, need
from workbench.testing.suite_rows import every_type

__all__ = ["ReducingPromises"]

_KINDS = ("count", "sum", "min", "max")


class _Twice:
    """Rows of every type, many of them equal in one column and not in another, at the source and in DuckDB."""

    def __init__(self, store: Store, connector: Connector) -> None:
        self.store, self.connector = store, connector
        once = every_type(store)
        chance = random.Random(5)
        rows = [chance.randrange(once.num_rows) for _ in range(3 * once.num_rows)]
        columns = {
            name: once.column(name).take(pa.array(chance.sample(rows, len(rows)))) for name in once.column_names[1:]
        }
        fields = [once.schema.field(0), *(once.schema.field(name) for name in columns)]
        self.rows = pa.table([pa.array(range(len(rows)), pa.int64()), *columns.values()], schema=pa.schema(fields))
        self.ref = store.load("wbt_reduced", self.rows, ("rid",))
        self.schema = tables_of(connector).schema(self.ref)
        self.duck = duckdb.connect()
        self.duck.execute("set timezone = 'UTC'")
        self.duck.register("given", self.rows)
        self.duck.execute("create table wbt as from given")

    @property
    def columns(self) -> list[str]:
        return list(self.rows.column_names)

    def plan(self, columns: Sequence[str], predicates: tuple[Predicate, ...], splits: int, **offer: Any) -> ScanPlan:
        return tables_of(self.connector).plan(ScanRequest(self.ref, tuple(columns), predicates, splits, **offer))

    def answer(self, sql: str, table: pa.Table | None = None) -> list[tuple[Any, ...]]:
        if table is not None:
            self.duck.register("came", table)
        return self.duck.execute(sql).fetchall()


class ReducingPromises(SuiteBase):
    @pytest.fixture(scope="class")
    @classmethod
    def twice(cls, store: Store, connector: Connector, can: Capabilities) -> Iterator[_Twice]:
        need(can.tables, "tables")
        made = _Twice(store, connector)
        yield made
        made.duck.close()
        store.drop(made.ref)

    def test_an_order_is_taken_just_where_that_is_declared(self, twice: _Twice, can: Capabilities) -> None:
        assert twice.plan(("rid",), (), 1, top=Top((Order("rid"),), 3)).top_applied == can.top

    def test_sums_are_taken_just_where_they_are_declared(self, twice: _Twice, can: Capabilities) -> None:
        number = _number(twice)
        for kind in _KINDS:
            aggregate = Aggregate((), (Measure(kind, number),))  # type: ignore[arg-type]
            assert twice.plan((number,), (), 1, aggregate=aggregate).aggregated == (kind in can.measures), kind

    def test_the_first_rows_by_each_column(self, twice: _Twice, can: Capabilities) -> None:
        ways = itertools.product(twice.columns, (False, True), (False, True), (1, 7))
        for column, descending, first, rows in ways:
            _hold_top(twice, Top((Order(column, descending, first),), rows), (), can)

    def test_the_first_rows_by_several_columns_of_some(self, twice: _Twice, can: Capabilities, deep: bool) -> None:
        chance = seeded()
        for _ in range(60 if deep else 15):
            order = [Order(name, chance.random() < 0.5, chance.random() < 0.5) for name in _some(chance, twice, 3)]
            top = Top(tuple(order), chance.choice((1, 2, 10, 1000)))
            _hold_top(twice, top, _condition(chance, twice), can, chance.choice((1, 4)))

    def test_sums_of_groups_by_each_column(self, twice: _Twice, can: Capabilities) -> None:
        for column in twice.columns[1:]:
            _hold_sums(twice, Aggregate((column,), (Measure("count"), Measure("count", column))), (), can)
            for kind in ("sum", "min", "max"):
                try:
                    _hold_sums(twice, Aggregate((), (Measure(kind, column),)), (), can)
                except TypeError:
                    continue  # no exact sum

    def test_sums_of_random_groups(self, twice: _Twice, can: Capabilities, deep: bool) -> None:
        chance = seeded(3)
        for _ in range(100 if deep else 25):
            keys = tuple(_some(chance, twice, 2)) if chance.random() < 0.8 else ()
            measures = [Measure("count"), *_measures(chance, twice)]
            aggregate = Aggregate(keys, tuple(measures[: chance.randint(1, len(measures))]))
            _hold_sums(twice, aggregate, _condition(chance, twice), can, chance.choice((1, 5)))

    def test_sums_of_no_rows(self, twice: _Twice, can: Capabilities) -> None:
        none = (Compare(Column(("rid",)), "<", Literal(-1, pa.int64())),)
        _hold_sums(twice, Aggregate((), (Measure("count"), Measure("max", "rid"))), none, can)
        _hold_sums(twice, Aggregate(("rid",), (Measure("count"),)), none, can)


def _hold_top(twice: _Twice, top: Top, predicates: tuple[Predicate, ...], can: Capabilities, splits: int = 1) -> None:
    plan = twice.plan([one.column for one in top.order], predicates, splits, top=top)
    assert can.top or not plan.top_applied
    assert not (plan.top_applied and plan.residual), "where anything is not EXACT, all rows have to come"
    if plan.residual:
        return
    came, by = read(twice.connector, plan), ", ".join(map(_said, top.order))
    names = ", ".join(_name(one.column) for one in top.order)
    ends = f"order by {by} limit {top.rows}"
    where = _where(predicates)
    found = _repr(twice.answer(f"select {names} from came {ends}", came))
    wanted = _repr(twice.answer(f"select {names} from wbt {where} {ends}"))
    assert found == wanted, f"{top} {where}\nsent: {plan.native_text}"


def _hold_sums(
    twice: _Twice, aggregate: Aggregate, predicates: tuple[Predicate, ...], can: Capabilities, splits: int = 1
) -> None:
    schema = aggregate.schema(twice.schema)
    plan = twice.plan(aggregate.columns, predicates, splits, aggregate=aggregate)
    assert not (plan.aggregated and plan.residual), "where anything is not EXACT, nothing is added up"
    assert not plan.aggregated or {one.kind for one in aggregate.measures} <= can.measures
    if not plan.aggregated:
        return
    assert plan.schema.equals(schema)
    try:
        came = read(twice.connector, plan)
    except NotExact:
        assert any(one.kind == "sum" for one in aggregate.measures), "only a sum is beyond what a source can hold"
        return
    keys = ", ".join(f'"key {at}"' for at in range(len(aggregate.keys)))
    added = [_text(_again(one), f'"measure {at}"') for at, one in enumerate(aggregate.measures)]
    named = [_text(one.kind, "*" if one.column is None else _name(one.column)) for one in aggregate.measures]
    where, by = _where(predicates), ", ".join(map(_name, aggregate.keys))
    found = twice.answer(f"select {', '.join([*filter(None, [keys]), *added])} from came group by ({keys})", came)
    wanted = twice.answer(f"select {', '.join([*filter(None, [by]), *named])} from wbt {where} group by ({by})")
    if not aggregate.keys:
        found = [tuple("0" if one is None and m.kind == "count" else one
                       for one, m in zip(row, aggregate.measures, strict=True)) for row in found]  # fmt: skip
        found, wanted = found or [()], wanted or [()]
    assert sorted(_repr(found)) == sorted(_repr(wanted)), f"{aggregate} {where}\nsent: {plan.native_text}"


def _text(kind: str, of: str) -> str:
    """A sum has one type there and another here: its digits count."""
    return f"{kind}({of})::varchar" if kind in ("sum", "count") else f"{kind}({of})"


def _again(measure: Measure) -> str:
    return "sum" if measure.kind == "count" else measure.kind


def _repr(rows: list[tuple[Any, ...]]) -> list[str]:
    """The two zeros are equal: which of them comes first, or is the least, is anybody's choice."""
    return [repr(tuple(0.0 if isinstance(one, float) and one == 0 else one for one in row)) for row in rows]


def _where(predicates: tuple[Predicate, ...]) -> str:
    return f"where {' and '.join(map(to_sql, predicates))}" if predicates else ""


def _condition(chance: random.Random, twice: _Twice) -> tuple[Predicate, ...]:
    if chance.random() < 0.5:
        return ()
    return (Compare(Column(("rid",)), ">", Literal(chance.randrange(twice.rows.num_rows), pa.int64())),)


def _some(chance: random.Random, twice: _Twice, most: int) -> list[str]:
    return chance.sample(twice.columns, chance.randint(1, most))


def _measures(chance: random.Random, twice: _Twice) -> Iterator[Measure]:
    for _ in range(3):
        name = chance.choice(twice.columns)
        kind = twice.rows.schema.field(name).type
        whole = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.precision <= 28)
        yield Measure(chance.choice(_KINDS if whole else ("count", "min", "max")), name)  # type: ignore[arg-type]


def _number(twice: _Twice) -> str:
    fields = twice.rows.schema
    return next(str(field.name) for field in fields if pa.types.is_integer(field.type) and field.name != "rid")


def _said(order: Order) -> str:
    way = "desc" if order.descending else "asc"
    return f"{_name(order.column)} {way} nulls {'first' if order.nulls_first else 'last'}"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
