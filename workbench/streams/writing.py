"""A table of a connection as sinks see it: rows become its columns, are written in one transaction where there are
such, and those that it refuses are found."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, time as time_of_day, timedelta
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.contract.change import Changes, Guarantee, Position, Rejects, WriteSpec
from workbench.contract.errors import (
    ConnectionLost,
    InvalidParameter,
    PathUnreachable,
    QueryFailed,
    SourceError,
    SourceTimeout,
    UnknownTable,
    Unreachable,
    Unsupported,
)
from workbench.contract.scan import TableRef
from workbench.streams.tuples import Batch, Row, shown

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.catalog import Catalog
    from workbench.contract.connector import Connector, Manifest, Writer

__all__ = ["Refused", "Target", "catalog"]

Answer = TypeVar("Answer")
Refused = tuple[Row, str]
"""A row and why it was refused."""
NAP = 0.1
HANDED_OVER = 5.0
"""Seconds that a file which another process has open is waited for at the start."""
MOST_REFUSED = 5_000
"""Of one commit: each is found by trying, so many more would be at it for hours."""
_ROW_ERRORS = ("ConstraintException", "ConversionException", "OutOfRangeException", "InvalidInputException")
_PASSES = (1205, 1213, "TransactionException")
"""Refusals that another one who writes has caused: a lock, a deadlock, a conflict."""
_catalogs: dict[str, Catalog] = {}


def catalog() -> Catalog:
    """The user's connections, one for this process."""
    from workbench.catalog import Catalog, places

    home = places.home()
    return _catalogs.setdefault(str(home), Catalog(home))


class Target:
    """Opens a writer for every commit, so that nothing of the target is held between two of them. A source that is out
    of reach is tried again for `patience` seconds."""

    def __init__(
        self,
        table: str,
        mode: str,
        key: Sequence[str],
        create: bool,
        types: Mapping[str, str],
        rows: int,
        seconds: float,
        patience: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.table, self.mode, self.key, self.create = table, mode, tuple(key), create
        self.rows, self.seconds, self._patience, self._sleep = rows, seconds, patience, sleep
        self._types = dict(types)
        self._schema: pa.Schema | None = None
        self._ref: TableRef | None = None
        self._connection = ""

    # --- what it is

    def _connector(self) -> Connector:
        if self._ref is None:
            self._find()
        return catalog().open(self._connection)

    def _find(self) -> None:
        from workbench.query.writing import parts_of

        parts = parts_of(self.table)
        self._connection = catalog().saved(parts[0]).name
        try:
            self._connection, self._ref = catalog().resolve(parts)
        except (UnknownTable, PathUnreachable, Unsupported):
            self._ref = TableRef(parts[-1], parts[1] if len(parts) == 3 else None)

    def _manifest(self) -> Manifest:
        if self._ref is None:
            self._find()
        return catalog().manifest(self._connection)

    def promised(self) -> Guarantee:
        """As far as it can be told before anything is written. A key says which row is meant in an insert, too: a row
        that is there already with the same values was written (`WriteSpec.apart`)."""
        able = self._manifest().capabilities
        if not able.sinks:
            raise Unsupported(f"Connection `{self._connection}`", "be written to")
        if able.transactional:
            return Guarantee.TRANSACTIONAL
        if "upsert" not in able.writes:
            return Guarantee.FILE
        return Guarantee.KEYED if self.key else Guarantee.APPEND

    def open(self, stream: str) -> Guarantee:
        """Looks whether it can be written; what its writer guarantees. Raises what the connector raises. A file that
        another process has open is waited for, for who has just used it may keep it for a moment."""
        deadline = time.monotonic() + HANDED_OVER
        while True:
            try:
                return self._opened(stream)
            except PathUnreachable as error:
                if not os.path.isfile(error.where) or time.monotonic() > deadline:
                    raise
                self._sleep(NAP)

    def _opened(self, stream: str) -> Guarantee:
        try:
            self._schema = self._there()
        except (UnknownTable, PathUnreachable) as error:
            if self.create:
                return self.promised()
            if isinstance(error, UnknownTable):
                raise UnknownTable(self.table, error.near, "A Sink with create=True makes it.") from None
            raise
        writer = self._writer(self._schema_of(tuple(self._schema.names)) if self._types else self._schema, stream)
        try:
            return writer.guarantee
        finally:
            writer.close()

    def _there(self) -> pa.Schema:
        connector = self._connector()
        tables = connector.tables
        assert self._ref is not None
        if tables is None:
            raise UnknownTable(self.table, (), "It cannot be read, so its columns are not known.")
        return tables.schema(self._ref)

    def _schema_of(self, fields: tuple[str, ...]) -> pa.Schema | None:
        """Of these columns, where the table or `types` say it."""
        import pyarrow as pa

        found = []
        for name in fields:
            if name in self._types:
                found.append(pa.field(name, pa.type_for_alias(self._types[name])))
            elif self._schema is None:
                return None
            elif name not in self._schema.names:
                raise InvalidParameter(
                    "inputs", f"have the field `{name}`, which `{self.table}` has not. It has {self._schema.names}."
                )
            else:
                found.append(self._schema.field(name).remove_metadata())
        return pa.schema(found)

    # --- rows

    def converted(
        self, parts: Sequence[Row | Batch], fields: tuple[str, ...]
    ) -> tuple[pa.RecordBatch | None, list[Refused]]:
        """Rows as the table's columns, and those that do not fit them. Raises InvalidParameter."""
        import pyarrow as pa

        schema = self._schema_of(fields)
        if schema is not None and all(isinstance(part, Batch) and (part.columnar or not len(part)) for part in parts):
            tables = [part.table for part in parts if isinstance(part, Batch) and len(part)]
            try:
                whole = pa.concat_tables([table.rename_columns(list(fields)).cast(schema) for table in tables])
                return _one(whole), []
            except (pa.ArrowException, ValueError):
                pass  # by rows, to find those that do not fit
        rows = [row for part in parts for row in (part.rows if isinstance(part, Batch) else (tuple(part),))]
        if not rows:
            return None, []
        if schema is None:
            schema = self._inferred(rows, fields)
        try:
            return _columns(rows, schema), []
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            good, refused = [], []
            for row in rows:
                why = _misfit(row, schema)
                if why:
                    refused.append((tuple(row), why))
                else:
                    good.append(row)
            return _columns(good, schema), refused

    def _inferred(self, rows: Sequence[Row], fields: tuple[str, ...]) -> pa.Schema:
        """Of a table that is to be made: from its first rows."""
        import pyarrow as pa

        found = []
        for place, name in enumerate(fields):
            if name in self._types:
                found.append(pa.field(name, pa.type_for_alias(self._types[name])))
                continue
            try:
                kind = pa.array([row[place] for row in rows]).type
            except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
                raise InvalidParameter(
                    "types",
                    f'of `{self.table}`: `{name}` cannot be told from the rows ({error}). Say types={{"{name}": …}}.',
                ) from None
            if pa.types.is_null(kind):
                raise InvalidParameter(
                    "types", f'of `{self.table}`: the first rows have no `{name}`. Say types={{"{name}": "int64"}}.'
                )
            found.append(pa.field(name, kind))
        self._schema = pa.schema(found)
        return self._schema_of(fields) or self._schema

    # --- writing

    def position(self, stream: str) -> Position | None:
        """How far the target says that it is. Raises what the connector raises."""
        try:
            schema = self._there()
        except (UnknownTable, PathUnreachable):
            return None
        return self._patiently(lambda: self._position(schema, stream))

    def _position(self, schema: pa.Schema, stream: str) -> Position | None:
        writer = self._writer(schema, stream)
        try:
            return writer.position()
        finally:
            writer.close()

    def write(
        self, batch: pa.RecordBatch | None, sequence: int, position: Position | None, stream: str
    ) -> list[Refused]:
        """All of it in one commit, with the position where there is one; gives the rows that are refused."""
        if batch is None or not batch.num_rows:
            return []
        refused: list[Refused] = []
        tried = False

        def write() -> list[Refused]:
            nonlocal tried
            if tried and position is not None and self._position(batch.schema, stream) == position:
                return refused  # the commit was one, although the connection broke
            tried = True
            self._write(batch, sequence, position, stream, refused)
            return refused

        return self._patiently(write)

    def _write(
        self, batch: pa.RecordBatch, sequence: int, position: Position | None, stream: str, refused: list[Refused]
    ) -> None:
        refused.clear()
        stays, why = self._attempt(batch, sequence, position, stream)
        if stays:
            refused += why
            return
        good, found = self._sorted(batch)
        refused += found
        if good.num_rows:
            stays, why = self._attempt(good, sequence, position, stream)
            if not stays:
                raise QueryFailed(f"rows are refused only together: {why[0][1]}", connection=self._connection)

    def _attempt(
        self, batch: pa.RecordBatch, sequence: int, position: Position | None, stream: str
    ) -> tuple[bool, Sequence[Refused]]:
        """Whether it is committed, and what of it is refused. Where the target has transactions nothing is committed
        then: the rows are to be sorted out."""
        assert self._ref is not None
        writer = self._writer(batch.schema, stream)
        try:
            at = position or Position("workbench", str(sequence))
            try:
                rejects = writer.write(Changes(self._ref, batch, None, at, at), sequence)
            except QueryFailed as error:
                if not self._of_rows(error):
                    raise
                return False, [((), error.why)]
            if rejects.count and self._manifest().capabilities.transactional:
                return False, _refused(batch, rejects)
            late = writer.commit(position)
            return True, [*_refused(batch, rejects), *(_refused(batch, late) if late else [])]
        finally:
            writer.close()

    @staticmethod
    def _of_rows(error: QueryFailed) -> bool:
        return error.code in _ROW_ERRORS or "have a key that is there already" in error.why

    def _sorted(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Refused]]:
        """The rows that the target takes, found by trying halves of which nothing is kept, and the others."""
        import pyarrow as pa

        refused: dict[int, str] = {}
        left = [(0, batch.num_rows)]
        while left:
            first, last = left.pop()
            if last <= first:
                continue
            why = self._tried(batch.slice(first, last - first))
            if not why:
                continue
            if last - first == 1:
                refused[first] = why
                continue
            middle = (first + last) // 2
            left += [(middle, last), (first, middle)]
        if self.mode == "insert" and self.key:
            seen: set[Any] = set()
            keys = zip(*(batch.column(name).to_pylist() for name in self.key), strict=True)
            for place, key in enumerate(keys):
                if place not in refused and key in seen:
                    refused[place] = f"its key {key!r} came twice"
                seen.add(key)
        good = [place for place in range(batch.num_rows) if place not in refused]
        while why := self._tried(batch.take(pa.array(good, pa.int64()))) if good else "":
            place = self._first_too_many(batch, good)
            refused[good.pop(place)] = why
            if len(refused) > MOST_REFUSED:
                raise QueryFailed(f"too many rows are refused: {why}", connection=self._connection)
        rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        return batch.take(pa.array(good, pa.int64())), [(rows[place], why) for place, why in sorted(refused.items())]

    def _first_too_many(self, batch: pa.RecordBatch, good: Sequence[int]) -> int:
        """Of rows that the target takes each alone: the place of the first that it does not take after the others."""
        import pyarrow as pa

        taken, refused = 1, len(good)
        while taken < refused:
            middle = (taken + refused) // 2
            if self._tried(batch.take(pa.array(good[:middle], pa.int64()))):
                refused = middle
            else:
                taken = middle + 1
        return refused - 1

    def _tried(self, batch: pa.RecordBatch) -> str:
        """Why some of it is refused; nothing is kept."""
        assert self._ref is not None
        writer = self._writer(batch.schema, "")
        try:
            at = Position("workbench", "0")
            rejects = writer.write(Changes(self._ref, batch, None, at, at), 1)
            return (rejects.samples or ("it is refused",))[0] if rejects.count else ""
        except QueryFailed as error:
            if not self._of_rows(error):
                raise
            return error.why
        finally:
            writer.close()

    def _writer(self, schema: pa.Schema | None, stream: str) -> Writer:
        sinks = self._connector().sinks
        if sinks is None:
            raise Unsupported(f"Connection `{self._connection}`", "be written to")
        assert self._ref is not None
        assert schema is not None
        return sinks.open(self._ref, WriteSpec(schema, self.mode, self.key, self.create, stream, apart=True))

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        """While the source is out of reach, or others are in the way, again and again; a run can be stopped then."""
        left, delay = self._patience, NAP
        while True:
            try:
                return call()
            except (Unreachable, ConnectionLost, SourceTimeout, QueryFailed) as error:
                passes = not isinstance(error, QueryFailed) or error.code in _PASSES
                if left <= 0 or not passes:
                    raise
                if isinstance(error, SourceError):
                    error.connection = error.connection or self._connection
            slept = 0.0
            while slept < min(delay, left):
                self._sleep(NAP)
                slept += NAP
            left -= slept
            delay = min(2 * delay, 5.0)


def _refused(batch: pa.RecordBatch, rejects: Rejects) -> list[Refused]:
    """The rows, where the writer says which; else a few of its sentences."""
    import pyarrow as pa

    if rejects.count and len(rejects.each) == rejects.count:
        found = batch.take(pa.array([place for place, _ in rejects.each], pa.int64()))
        rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
        return [(row, why) for row, (_, why) in zip(rows, rejects.each, strict=True)]
    rest = rejects.count - len(rejects.samples)
    told = [*rejects.samples, *([f"{rest:,} rows more were refused"] if rest else [])]
    return [((sample,), sample) for sample in told]


def _columns(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [_array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Raises where a value does not fit, also where Arrow would cut something off it without a word."""
    import pyarrow as pa

    made = pa.array(values, type=kind)
    if not set(map(type, values)) <= _AS_THEY_ARE.get(str(kind), _ANY_COLUMN):
        for value in values:
            if value is not None and _loses(value, kind):
                raise ValueError(f"{shown(value, 100)} is no value of type {kind} unless something is cut off it.")
    return made


_ANY_COLUMN: set[type] = {str, bytes, bool, type(None)}
_AS_THEY_ARE: Mapping[str, set[type]] = {
    "int64": {int, bool, type(None)},
    "int32": {int, bool, type(None)},
    "double": {float, int, type(None)},
    "timestamp[us]": {datetime, type(None)},
    "timestamp[ns]": {datetime, type(None)},
}
"""Python's types of which a column of that type takes each value whole, or refuses it itself."""


def _loses(value: Any, kind: pa.DataType) -> bool:
    """Of a value that Arrow takes for a column of that type: whether it is another one then. A float of 32 bits is a
    number rounded, not one that has become infinite."""
    import pyarrow.types as is_a

    if is_a.is_nested(kind):
        return any(_loses(one, of) for one, of in _inside(value, kind) if one is not None)
    if is_a.is_integer(kind) and isinstance(value, Real | Decimal):
        return bool(value % 1)
    if is_a.is_floating(kind) and isinstance(value, Real):
        return math.isfinite(value) and abs(float(value)) >= _INFINITE.get(str(kind), math.inf)
    if is_a.is_date(kind) and isinstance(value, datetime):
        return value.time() != time_of_day()
    unit = _CUT_OFF.get(getattr(kind, "unit", ""), 0)
    if unit and isinstance(value, datetime | time_of_day):
        return bool(value.microsecond % unit)
    if unit and isinstance(value, timedelta):
        return bool(value.microseconds % unit)
    return False


def _inside(value: Any, kind: Any) -> Iterator[tuple[Any, Any]]:
    """The values of a list, struct or map, with their types."""
    import pyarrow.types as is_a

    if is_a.is_struct(kind):
        yield from ((value.get(field.name), field.type) for field in kind if isinstance(value, dict))
    elif is_a.is_map(kind):
        for key, one in value.items() if isinstance(value, dict) else value:
            yield from ((key, kind.key_type), (one, kind.item_type))
    elif hasattr(kind, "value_type"):
        yield from ((one, kind.value_type) for one in value)


_CUT_OFF = {"s": 1_000_000, "ms": 1_000}
"""Microseconds that a unit has no place for."""
_INFINITE = {"float": 2.0**128 - 2.0**103, "halffloat": 65_520.0}


def _one(table: pa.Table) -> pa.RecordBatch:
    import pyarrow as pa

    whole = table.combine_chunks()
    batches = whole.to_batches()
    if len(batches) == 1:
        return batches[0]
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in whole.columns], schema=whole.schema)


def _misfit(row: Row, schema: pa.Schema) -> str:
    import pyarrow as pa

    for value, field in zip(row, schema, strict=True):
        try:
            _array([value], field.type)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            return f"`{field.name}`: {error}"
    return ""
