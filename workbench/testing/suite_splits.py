"""Splits: disjoint, complete, and each of them readable by a stranger."""

from __future__ import annotations

import pickle

import pyarrow as pa

from workbench.contract import Capabilities, Column, Compare, Connector, IsNull, Literal, ScanRequest, TableRef
from workbench.testing.clock import seeded
from workbench.testing.fresh import read_elsewhere
from workbench.testing.oracle import rows_of
from workbench.testing.scanning import assert_no_secret, read_split, scan, tables_of
from workbench.testing.store import Store
from workbench.testing.suite_base import SuiteBase, need, numbers

__all__ = ["SplitPromises"]


class SplitPromises(SuiteBase):
    def test_a_large_table_has_several_splits_where_they_are_declared(
        self, connector: Connector, many: tuple[TableRef, pa.Table], can: Capabilities
    ) -> None:
        plan = tables_of(connector).plan(ScanRequest(many[0], ("id",), splits=8))
        assert (len(plan.splits) > 1) == can.splits
        assert [split.number for split in plan.splits] == list(range(len(plan.splits)))
        assert all(split.native_text for split in plan.splits)
        assert len(tables_of(connector).plan(ScanRequest(many[0], ("id",), splits=1)).splits) >= 1

    def test_splits_are_disjoint_and_complete_however_many(
        self, connector: Connector, many: tuple[TableRef, pa.Table], deep: bool
    ) -> None:
        ref, rows = many
        chance = seeded()
        for wanted in (2, *(chance.randint(2, 40) for _ in range(10 if deep else 2))):
            got = scan(connector, ref, ("id", "v", "t"), splits=wanted)
            assert got.num_rows == rows.num_rows, f"{wanted} splits"
            assert rows_of(got) == rows_of(rows), f"{wanted} splits"

    def test_splits_of_a_filtered_scan_are_disjoint_and_complete(
        self, connector: Connector, many: tuple[TableRef, pa.Table]
    ) -> None:
        ref, rows = many
        middle = rows.num_rows // 2
        predicate = Compare(Column(("id",)), ">=", Literal(middle, pa.int64()))
        wanted = {key for key in rows.column("id").to_pylist() if key >= middle}
        got = scan(connector, ref, ("id",), (predicate,), splits=8).column("id").to_pylist()
        assert len(got) == len(wanted)
        assert set(got) == wanted
        nulls = scan(connector, ref, ("v",), (IsNull(Column(("v",))),), splits=8)
        assert nulls.num_rows == rows.column("v").null_count

    def test_rows_without_a_key_value_are_in_some_split(
        self, store: Store, connector: Connector, can: Capabilities
    ) -> None:
        need(can.splits, "splits")
        rows = numbers(store.many())
        loose = rows.set_column(
            0, "id", pa.array([None if n % 11 == 0 else n for n in range(rows.num_rows)], pa.int64())
        )
        ref = store.load("wbt_loose", loose)
        try:
            got = scan(connector, ref, ("id",), splits=8)
            assert got.num_rows == loose.num_rows
            assert rows_of(got) == rows_of(loose.select(["id"]))
        finally:
            store.drop(ref)

    def test_a_plan_can_be_sent_and_holds_no_secret(
        self, store: Store, connector: Connector, many: tuple[TableRef, pa.Table]
    ) -> None:
        plan = tables_of(connector).plan(ScanRequest(many[0], ("id", "t"), splits=4))
        again = pickle.loads(pickle.dumps(plan))
        assert again.schema.equals(plan.schema)
        assert [split.native_text for split in again.splits] == [split.native_text for split in plan.splits]
        assert_no_secret(store.config(), plan, *plan.splits)
        assert sum(read_split(connector, split).num_rows for split in again.splits) == many[1].num_rows

    def test_each_split_can_be_read_in_a_fresh_process(
        self, store: Store, connector: Connector, many: tuple[TableRef, pa.Table]
    ) -> None:
        ref, rows = many
        plan = tables_of(connector).plan(ScanRequest(ref, ("id", "v"), splits=3))
        # Each starts an interpreter; of a plan with very many splits some are read here.
        far = plan.splits[:: -(-len(plan.splits) // 6)]
        near = [split for split in plan.splits if split not in far]
        parts = [
            *read_elsewhere(store.manifest, store.config(), far),
            *(read_split(connector, split) for split in near),
        ]
        assert rows_of(pa.concat_tables(parts)) == rows_of(rows.select(["id", "v"]))

    def test_rows_that_are_equal_in_the_clustering_columns_lie_in_one_split(
        self, connector: Connector, many: tuple[TableRef, pa.Table]
    ) -> None:
        plan = tables_of(connector).plan(ScanRequest(many[0], ("id", "v", "t"), splits=6))
        if not plan.clustered_by:
            return
        seen: dict[tuple[object, ...], int] = {}
        for split in plan.splits:
            for row in rows_of(read_split(connector, split).select(list(plan.clustered_by))):
                assert seen.setdefault(row, split.number) == split.number
