"""Predicates: what the source says it dropped is what DuckDB would have dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from workbench.contract import (
    Applied,
    Capabilities,
    Column,
    Compare,
    Connector,
    In,
    IsNull,
    Literal,
    Not,
    Predicate,
    ScanPlan,
    ScanRequest,
    TableRef,
)
from workbench.kit import filter as kit_filter
from workbench.testing.clock import seeded
from workbench.testing.oracle import OPERATORS, Oracle, leaves, random_predicate
from workbench.testing.scanning import raw, tables_of
from workbench.testing.store import Store
from workbench.testing.suite_base import SuiteBase, need
from workbench.testing.suite_rows import every_type

__all__ = ["PredicatePromises"]

_TOGETHER, _ALONE = 100, 60
"""Predicates in one statement, where the store can; and how many of all are asked one by one nevertheless."""


@dataclass
class Judge:
    """Rows of every type, at the source and in DuckDB."""

    store: Store
    connector: Connector
    ref: TableRef
    rows: pa.Table
    oracle: Oracle
    declared: frozenset[str]

    def ask_each(self, predicates: Sequence[Predicate], splits: Callable[[], int] = lambda: 1) -> None:
        """As `ask` one by one; many together, and some one by one, where the store can."""
        chance, alone = seeded(), predicates
        for first in range(0, len(predicates), _TOGETHER):
            some = predicates[first : first + _TOGETHER]
            kept = self.store.kept(self.connector, self.ref, some)
            if kept is None:
                break
            for predicate, given in zip(some, kept, strict=True):
                plan = tables_of(self.connector).plan(ScanRequest(self.ref, ("rid",), (predicate,)))
                self._hold(plan, given, (predicate,))
        else:
            alone = chance.sample(predicates, min(len(predicates), _ALONE))
        for predicate in alone:
            self.ask(predicate, splits=splits())

    def ask(self, *predicates: Predicate, splits: int = 1) -> set[Any]:
        """The keys of the rows that the source gives, held to the levels that the plan says."""
        plan, got = raw(self.connector, self.ref, ("rid",), predicates, splits)
        keys = got.column("rid").to_pylist()
        assert len(keys) == len(set(keys)), f"rows came twice for {predicates}"
        given = set(keys)
        wanted, about = self._hold(plan, given, predicates)
        if all(kit_filter.can_apply(predicate, plan.schema) for predicate in plan.residual):
            kept = [kit_filter.apply(batch, plan.residual) for batch in got.to_batches()]
            assert {key for batch in kept for key in batch.column("rid").to_pylist()} == wanted, about
        return given

    def _hold(self, plan: ScanPlan, given: set[Any], predicates: tuple[Predicate, ...]) -> tuple[set[Any], str]:
        """What was wanted, and what to say about it. Fails where the source kept what the plan does not say."""
        wanted = set.intersection(*(self.oracle.keys(predicate) for predicate in predicates))
        about = f"{' and '.join(map(str, predicates))}\nsent: {plan.native_text}"
        assert set(plan.applied) <= set(predicates)
        assert given >= wanted, f"wanted rows were dropped: {sorted(wanted - given)}\n{about}"
        if not plan.residual:
            assert given == wanted, f"EXACT kept {sorted(given - wanted)}, which DuckDB drops\n{about}"
        for predicate in plan.residual:
            assert all(name in plan.schema.names for name in _names(predicate)), f"cannot be filtered again: {about}"
            if plan.applied.get(predicate, Applied.NONE) == Applied.NONE and len(predicates) == 1:
                assert given == self.oracle.keys(None), f"NONE says that nothing was dropped\n{about}"
        for predicate in predicates:
            if plan.applied.get(predicate, Applied.NONE) != Applied.NONE:
                assert _kind(predicate) in self.declared, f"{_kind(predicate)} is applied, but not declared: {about}"
        return wanted, about


class PredicatePromises(SuiteBase):
    @pytest.fixture(scope="class")
    @classmethod
    def judge(cls, store: Store, connector: Connector, can: Capabilities) -> Iterator[Judge]:
        need(can.tables, "tables")
        rows = every_type(store)
        ref = store.load("wbt_judged", rows, ("rid",))
        oracle = Oracle(rows, "rid")
        yield Judge(store, connector, ref, rows, oracle, can.predicates)
        oracle.close()
        store.drop(ref)

    def test_each_comparison_with_each_value_of_each_type(self, store: Store, judge: Judge) -> None:
        columns = judged_columns(store, judge.rows).items()
        judge.ask_each([leaf for name, (kind, values) in columns for leaf in leaves(name, kind, values)])

    def test_what_is_declared_is_done(self, judge: Judge) -> None:
        column = next(field.name for field in judge.rows.schema if field.type == pa.int64())
        one = Literal(1, pa.int64())
        simple: dict[str, Predicate] = {
            "compare": Compare(Column((column,)), "=", one),
            "in": In(Column((column,)), (one, Literal(2, pa.int64()))),
            "is_null": IsNull(Column((column,))),
        }
        for kind, predicate in simple.items():
            plan, _ = raw(judge.connector, judge.ref, ("rid",), (predicate,))
            level = plan.applied.get(predicate, Applied.NONE)
            assert (level > Applied.NONE) == (kind in judge.declared), f"{predicate}: {level!r}"
            assert level > Applied.NONE or plan.reasons.get(predicate) or kind not in judge.declared

    def test_random_trees_agree_with_duckdb(self, store: Store, judge: Judge, deep: bool) -> None:
        chance, columns = seeded(), judged_columns(store, judge.rows)
        trees = [random_predicate(chance, columns) for _ in range(2000 if deep else 200)]
        try:
            judge.ask_each(trees, lambda: chance.choice((1, 1, 5)))
        except AssertionError as error:
            raise AssertionError(f"a tree of {chance!r}: {error}") from error

    def test_several_predicates_are_joined_by_and(self, store: Store, judge: Judge) -> None:
        chance, columns = seeded(7), judged_columns(store, judge.rows)
        for _ in range(40):
            judge.ask(*{random_predicate(chance, columns, 1) for _ in range(chance.randint(2, 4))})

    def test_true_not_true_and_null_make_up_all_rows(self, store: Store, judge: Judge) -> None:
        asked: list[Predicate] = []
        for name, (kind, values) in judged_columns(store, judge.rows).items():
            for op, value in zip(OPERATORS, values * 6, strict=False):
                predicate = Compare(Column((name,)), op, Literal(value, kind))  # type: ignore[arg-type]
                asked += (predicate, Not(predicate), IsNull(Column((name,))))
        kept = _kept(judge, asked)
        for first in range(0, len(asked), 3):
            parts = kept[first : first + 3]
            if any(part is None for part in parts):
                continue
            together = [key for part in parts for key in part or ()]
            assert sorted(together) == sorted(judge.oracle.keys(None)), str(asked[first])


def judged_columns(store: Store, rows: pa.Table) -> dict[str, tuple[pa.DataType, list[Any]]]:
    """Columns that can be compared, and constants for them: their values, but no NULL."""
    types = zip(rows.column_names[1:], store.arrow_types(), strict=True)
    # A literal cannot be a duration.
    return {name: (kind, list(store.values(kind))[:16]) for name, kind in types if not pa.types.is_duration(kind)}


def _kept(judge: Judge, predicates: Sequence[Predicate]) -> list[set[Any] | None]:
    """The keys after filtering again; None where only an engine above can do that."""
    found: list[set[Any] | None] = []
    for number, predicate in enumerate(predicates):
        if number % _TOGETHER == 0:
            together = judge.store.kept(judge.connector, judge.ref, predicates[number : number + _TOGETHER])
        if together is None:
            plan, got = raw(judge.connector, judge.ref, ("rid",), (predicate,))
        else:
            plan = tables_of(judge.connector).plan(ScanRequest(judge.ref, ("rid",), (predicate,)))
            keys = pa.array(together[number % _TOGETHER], pa.int64())
            got = judge.rows.filter(pc.is_in(judge.rows["rid"], keys)).select(plan.schema.names).cast(plan.schema)
        if not all(kit_filter.can_apply(residual, plan.schema) for residual in plan.residual):
            found.append(None)
            continue
        kept = [kit_filter.apply(batch, plan.residual) for batch in got.to_batches()]
        found.append({key for batch in kept for key in batch.column("rid").to_pylist()})
    return found


def _names(predicate: Predicate) -> set[str]:
    from workbench.contract.predicate import columns_of

    return {column.name for column in columns_of(predicate)}


def _kind(predicate: Predicate) -> str:
    return {"IsNull": "is_null"}.get(type(predicate).__name__, type(predicate).__name__.lower())
