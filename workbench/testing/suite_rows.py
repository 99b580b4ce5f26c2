"""Rows: what was put into the source comes out, whole and as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from workbench.contract import (
    And,
    Applied,
    Capabilities,
    Column,
    Compare,
    Connector,
    IsNull,
    Literal,
    ScanRequest,
    TableRef,
)
from workbench.contract.errors import UnknownColumn, UnknownTable, WorkbenchError
from workbench.testing.control import RecordingControl
from workbench.testing.oracle import rows_of
from workbench.testing.scanning import raw, read, read_split, scan, tables_of
from workbench.testing.store import Store
from workbench.testing.suite_base import SuiteBase, need

__all__ = ["RowPromises"]


def every_type(store: Store) -> pa.Table:
    """A key `rid`, and a column of each type with all its values and NULLs, shifted against each other."""
    values = {f"c{index}": (kind, [None, *store.values(kind)]) for index, kind in enumerate(store.arrow_types())}
    length = max(len(column) for _, column in values.values()) + 3
    columns = {"rid": pa.array(range(length), pa.int64())}
    for shift, (name, (kind, column)) in enumerate(values.items()):
        columns[name] = pa.array([column[(row + shift) % len(column)] for row in range(length)], kind)
    fields = [pa.field(name, column.type, nullable=name != "rid") for name, column in columns.items()]
    return pa.table(columns, schema=pa.schema(fields))


class RowPromises(SuiteBase):
    @pytest.fixture(scope="class")
    @classmethod
    def typed(cls, store: Store, can: Capabilities) -> Iterator[tuple[TableRef, pa.Table]]:
        """A table with every type and value that the source can hold."""
        need(can.tables, "tables")
        rows = every_type(store)
        ref = store.load("wbt_types", rows, ("rid",))
        yield ref, rows
        store.drop(ref)

    def test_each_type_is_kept(self, connector: Connector, typed: tuple[TableRef, pa.Table]) -> None:
        ref, rows = typed
        schema = tables_of(connector).schema(ref)
        assert {c.name: str(c.type) for c in schema} == {c.name: str(c.type) for c in rows.schema}

    def test_each_value_is_kept_extremes_and_nulls_among_them(
        self, connector: Connector, typed: tuple[TableRef, pa.Table], can: Capabilities
    ) -> None:
        ref, rows = typed
        for column in rows.column_names:
            got = scan(connector, ref, ("rid", column) if column != "rid" else ("rid",))
            assert rows_of(got) == rows_of(rows.select(got.column_names)), f"{column}: {rows.schema.field(column).type}"
        if can.lossless:
            reader = tables_of(connector).read(
                tables_of(connector).plan(ScanRequest(ref, ())).splits[0], RecordingControl()
            )
            list(reader)
            assert not any(reader.lost.values())
            reader.close()

    def test_columns_come_in_the_order_that_was_asked_for(
        self, connector: Connector, typed: tuple[TableRef, pa.Table]
    ) -> None:
        ref, rows = typed
        backwards = list(reversed(rows.column_names))
        got = scan(connector, ref, backwards)
        assert got.column_names == backwards
        assert rows_of(got) == rows_of(rows.select(backwards))

    def test_no_columns_are_only_a_number_of_rows(self, connector: Connector, typed: tuple[TableRef, pa.Table]) -> None:
        ref, rows = typed
        _, got = raw(connector, ref, ())
        assert got.num_rows == rows.num_rows

    def test_an_empty_table_has_its_schema_and_no_rows(
        self, store: Store, connector: Connector, can: Capabilities
    ) -> None:
        need(can.tables, "tables")
        ref = store.load("wbt_empty", every_type(store).schema.empty_table(), ("rid",))
        try:
            got = scan(connector, ref, ("rid", "c0"), splits=4)
            assert (got.num_rows, got.column_names) == (0, ["rid", "c0"])
        finally:
            store.drop(ref)

    def test_a_table_without_a_key_and_full_of_nulls_is_whole(
        self, store: Store, connector: Connector, can: Capabilities
    ) -> None:
        need(can.tables, "tables")
        rows = pa.table(
            {"n": pa.array([None] * 500 + [1, 2] * 3, pa.int64()), "t": pa.array([None] * 506, pa.string())}
        )
        ref = store.load("wbt_nulls", rows)
        try:
            assert rows_of(scan(connector, ref, ("n", "t"), splits=4)) == rows_of(rows)
        finally:
            store.drop(ref)

    def test_wide_values_are_whole(self, store: Store, connector: Connector, can: Capabilities) -> None:
        need(can.tables, "tables")
        rows = pa.table(
            {"t": pa.array([("é🦆x"[index % 3]) * (index * 997 % 20_011) for index in range(60)], pa.string())}
        )
        ref = store.load("wbt_large", rows)
        try:
            assert rows_of(scan(connector, ref, ("t",))) == rows_of(rows)
        finally:
            store.drop(ref)

    def test_an_unknown_column_is_an_error_with_near_names(
        self, connector: Connector, many: tuple[TableRef, pa.Table]
    ) -> None:
        wrong = Compare(Column(("idd",)), "=", Literal(1, pa.int64()))
        for request in (ScanRequest(many[0], ("id", "idd")), ScanRequest(many[0], ("id",), (wrong,))):
            with pytest.raises(UnknownColumn) as caught:
                tables_of(connector).plan(request)
            assert "id" in caught.value.near

    def test_a_limit_is_enough_rows_and_never_pushed_below_an_inexact_predicate(
        self, connector: Connector, many: tuple[TableRef, pa.Table]
    ) -> None:
        ref = many[0]
        plan = tables_of(connector).plan(ScanRequest(ref, ("id",), limit=10))
        got = read(connector, plan).num_rows
        assert got >= 10
        assert not plan.limit_applied or got <= 10 * len(plan.splits)
        vague = And((IsNull(Column(("v",)), True), Compare(Column(("t",)), ">", Literal("row 5", pa.string()))))
        plan = tables_of(connector).plan(ScanRequest(ref, ("id",), (vague,), limit=10))
        assert not plan.limit_applied or plan.applied[vague] == Applied.EXACT
        assert read(connector, plan).num_rows >= 10

    def test_a_table_that_is_another_one_by_now_is_an_error_or_what_it_was(
        self, store: Store, connector: Connector, can: Capabilities
    ) -> None:
        need(can.tables, "tables")
        old = pa.table({"id": [1, 2, 3], "v": ["a", "b", None]})
        ref = store.load("wbt_changing", old)
        plan = tables_of(connector).plan(ScanRequest(ref, ("id", "v")))
        store.load("wbt_changing", pa.table({"v": [1.5, 2.5], "w": [7, 8]}))
        try:
            got = read(connector, plan)
        except WorkbenchError:
            got = old  # it was said
        finally:
            store.drop(ref)
        assert rows_of(got) == rows_of(old)

    def test_a_table_that_is_gone_by_now_is_an_error(
        self, store: Store, connector: Connector, can: Capabilities
    ) -> None:
        need(can.tables, "tables")
        ref = store.load("wbt_going", pa.table({"id": [1]}))
        plan = tables_of(connector).plan(ScanRequest(ref, ("id",)))
        store.drop(ref)
        with pytest.raises(WorkbenchError):
            read_split(connector, plan.splits[0])
        with pytest.raises(UnknownTable):
            tables_of(connector).schema(ref)
