"""Tables that are in this process already: frames of the notebook and earlier results."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa

from workbench.contract.errors import InvalidParameter
from workbench.contract.predicate import Predicate

__all__ = ["Frame", "LocalTable", "frame"]

SMALL = 10_000
"""A table of at most so many rows keeps them in the rehearsal, so that DuckDB's plan is the same in the run."""


class LocalTable(Protocol):
    """Rows in this process that can be read again and again."""

    @property
    def schema(self) -> pa.Schema: ...

    @property
    def rows(self) -> int | None: ...

    def read(
        self, columns: tuple[str, ...], predicates: tuple[Predicate, ...], stopped: Callable[[], bool]
    ) -> pa.RecordBatchReader:
        """`stopped` is asked while waiting: once it says so, the rows may just end."""
        ...


class Frame:
    """A frame under its variable's name. Made into Arrow when it is first read, without a copy where the frame is
    Arrow underneath. Predicates are left to DuckDB except for a Dataset's, whose files may skip by them."""

    def __init__(self, name: str, value: Any, convert: Callable[[Any], pa.Table | pa.dataset.Dataset]) -> None:
        self._name, self._value, self._convert = name, value, convert
        self._arrow: Any = None

    @property
    def arrow(self) -> Any:
        if self._arrow is None:
            try:
                self._arrow = self._convert(self._value)
            except Exception as error:  # the frame's library may raise whatever it has
                raise InvalidParameter(self._name, f"cannot be read as a table: {error}") from error
            if len(set(self._arrow.schema.names)) < len(self._arrow.schema.names):
                raise InvalidParameter(self._name, "has two columns of one name; rename one of them.")
        return self._arrow

    @property
    def schema(self) -> pa.Schema:
        schema: pa.Schema = self.arrow.schema
        return schema

    @property
    def rows(self) -> int | None:
        return self.arrow.num_rows if isinstance(self.arrow, pa.Table) else None

    def read(
        self, columns: tuple[str, ...], predicates: tuple[Predicate, ...], stopped: Callable[[], bool]
    ) -> pa.RecordBatchReader:
        from workbench.kit.filter import expression

        names = list(columns)
        if isinstance(self.arrow, pa.Table):
            rows = self.arrow
            if predicates:
                rows = rows.filter(_joined([expression(predicate, rows.schema) for predicate in predicates]))
            return rows.select(names).to_reader(65_536)
        wanted = _joined([expression(predicate, self.schema) for predicate in predicates]) if predicates else None
        return self.arrow.scanner(columns=names, filter=wanted).to_reader()


def _joined(expressions: list[Any]) -> Any:
    whole = expressions[0]
    for expression in expressions[1:]:
        whole = whole & expression
    return whole


def frame(name: str, value: Any) -> Frame | None:
    """The table that a variable of a notebook is; None for a value that is none. No library is loaded for it: what
    is not imported cannot be a variable. Raises InvalidParameter for a reader that can be read only once."""
    for test in (_arrow, _polars, _pandas):
        if found := test(name, value):
            return Frame(name, value, found)
    return None


def _arrow(name: str, value: Any) -> Callable[[Any], Any] | None:
    if isinstance(value, pa.Table):
        return lambda table: table
    if isinstance(value, pa.RecordBatch):
        return lambda batch: pa.Table.from_batches([batch])
    if isinstance(value, pa.RecordBatchReader):
        raise InvalidParameter(name, "is a reader, which gives its rows only once; query `reader.read_all()` instead.")
    datasets = sys.modules.get("pyarrow.dataset")
    if datasets is not None and isinstance(value, datasets.Dataset):
        return lambda dataset: dataset
    return None


def _polars(name: str, value: Any) -> Callable[[Any], Any] | None:
    polars = sys.modules.get("polars")
    if polars is None:
        return None
    if isinstance(value, polars.DataFrame):
        return lambda rows: rows.to_arrow()
    if isinstance(value, polars.LazyFrame):
        return lambda lazy: lazy.collect(engine="streaming").to_arrow()
    return None


def _pandas(name: str, value: Any) -> Callable[[Any], Any] | None:
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, pandas.DataFrame):
        return None
    return lambda rows: pa.Table.from_pandas(rows, preserve_index=False)
