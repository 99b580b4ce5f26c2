"""What DuckDB scans: our own sources, which learn the columns and filters that DuckDB wants of each table.

`register` hands a table to one cursor. It uses DuckDB's call-back for Arrow sources, whose name is private; a
self-test at the first use decides whether it still works as known, else a pyarrow Dataset does the same with less.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from workbench.contract.predicate import Compare, Predicate
from workbench.query.predicates import predicate

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Table", "push_down_works", "register"]


class Table(Protocol):
    """A table as DuckDB is given it."""

    @property
    def schema(self) -> pa.Schema: ...

    @property
    def rows(self) -> int | None:
        """About how many; DuckDB orders joins by it."""
        ...

    def stream(self, columns: tuple[str, ...], predicates: tuple[Predicate, ...]) -> pa.RecordBatchReader:
        """The rows for which all predicates hold, with these columns in this order. Called from DuckDB's threads,
        once for each scan of the table."""
        ...


def register(connection: DuckDBPyConnection, name: str, table: Table, *, fallback: bool = False) -> None:
    """`table` is `name` for this cursor from now on."""
    if fallback or not push_down_works():
        connection.register(name, _TableDataset(table))
    else:
        register_arrow: Any = connection._register_arrow_source
        register_arrow(name, _source_class()(table))


@functools.cache
def _source_class() -> Any:
    from duckdb._sources import ArrowScanSource

    class TableSource(ArrowScanSource):
        schema_is_stable = True

        def __init__(self, table: Table) -> None:
            super().__init__(None)
            self.table = table

        def __arrow_c_schema__(self) -> object:
            return self.table.schema.__arrow_c_schema__()

        def rows(self) -> int | None:
            return self.table.rows

        def accepts(self, predicate_node: Any) -> bool:
            return predicate(predicate_node, self.table.schema) is not None

        def stream(self, columns: Sequence[int] | None, filters: Sequence[Any]) -> tuple[object, bool]:
            schema = self.table.schema
            names = tuple(schema.names if columns is None else (schema.names[index] for index in columns))
            wanted = tuple(made for made in (predicate(node, schema) for node in filters) if made is not None)
            if len(wanted) != len(filters):
                raise RuntimeError("DuckDB asks for a filter that was not accepted.")
            return self.table.stream(names, wanted).__arrow_c_stream__(), True

    return TableSource


class _Scanner:
    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader

    def to_reader(self) -> pa.RecordBatchReader:
        return self._reader


class _TableDataset(pads.Dataset):  # type: ignore[misc]  # pyarrow has no types
    """Projection is asked of the table, filters are applied here: what DuckDB's public interface allows."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def schema(self) -> pa.Schema:
        return self._table.schema

    def scanner(self, columns: Sequence[str] | None = None, filter: Any = None, **_: Any) -> _Scanner:  # noqa: A002
        schema = self._table.schema
        names = list(schema.names if columns is None else columns)
        if filter is None:
            return _Scanner(self._table.stream(tuple(names), ()))
        # The expression does not say which columns it reads; a name that its text holds may be one.
        text = str(filter)
        extra = [name for name in schema.names if name not in names and name in text]
        reader = self._table.stream((*names, *extra), ())
        out = pa.schema([schema.field(name) for name in names])
        return _Scanner(pa.RecordBatchReader.from_batches(out, _filtered(reader, filter, names)))


def _filtered(reader: pa.RecordBatchReader, expression: Any, names: list[str]) -> Any:
    with reader:
        for batch in reader:
            yield from pa.Table.from_batches([batch]).filter(expression).select(names).to_batches()


@functools.cache
def push_down_works() -> bool:
    """Pushes one filter and one projection through DuckDB, once a process."""
    try:
        return _self_test()
    except Exception:  # noqa: BLE001  # a private interface may fail in any way; the public one is used then
        return False


class _Probe:
    def __init__(self) -> None:
        self.data = pa.table({"a": pa.array([1, 2, 3], pa.int32()), "b": ["x", "y", "z"], "c": [0.5, 1.5, 2.5]})
        self.schema, self.rows = self.data.schema, 3
        self.asked: list[tuple[tuple[str, ...], tuple[Predicate, ...]]] = []

    def stream(self, columns: tuple[str, ...], predicates: tuple[Predicate, ...]) -> pa.RecordBatchReader:
        from workbench.kit.filter import expression

        self.asked.append((columns, predicates))
        rows = self.data
        for wanted in predicates:
            rows = rows.filter(expression(wanted, self.schema))
        return rows.select(list(columns)).to_reader()


def _self_test() -> bool:
    probe = _Probe()
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": "false"})
    try:
        register_arrow: Any = connection._register_arrow_source
        register_arrow("a probe.t", _source_class()(probe))
        answer = connection.execute('select b from "a probe.t" where a > 2').fetchall()
        everything = connection.execute('select count(*) from "a probe.t"').fetchall()
    finally:
        connection.close()
    if answer != [("z",)] or everything != [(3,)] or len(probe.asked) != 2:
        return False
    columns, predicates = probe.asked[0]
    return "c" not in columns and len(predicates) == 1 and isinstance(predicates[0], Compare)
