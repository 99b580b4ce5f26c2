"""Writing a table: rows are kept until they are committed, then sent in bulks, each with a time of its own."""

from __future__ import annotations

import itertools
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from workbench.contract.change import Changes, Guarantee, Position, Rejects, WriteSpec
from workbench.contract.errors import ConnectionLost, InvalidParameter, SourceError
from workbench.contract.scan import TableRef
from workbench.kit.operations import operations
from workbench_hbase.mapping import Field, Mapping, Part, shown
from workbench_hbase.mutations import Change, send
from workbench_hbase.salts import HASHES
from workbench_hbase.values import written

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_hbase.connector import HBaseConnector

__all__ = ["HBaseWriter"]

_IN_MEMORY = 32 << 20
_ROWS, _BYTES = 1000, 4 << 20
_LONGEST_KEY = 32_767
_SAMPLES = 5


class HBaseWriter:
    """See `workbench.contract.connector.Writer`. A commit that fails midway leaves the bulks that it had written, and
    of a row perhaps its values without what had to be removed; to write all again makes it right. No position is kept.
    """

    guarantee = Guarantee.KEYED

    def __init__(self, connector: HBaseConnector, table: TableRef, spec: WriteSpec, mapping: Mapping) -> None:
        self._connector, self._table, self._spec, self._mapping = connector, table, spec, mapping
        self._columns = [_fields(mapping, field) for field in spec.schema]
        self._fields = [field for fields in self._columns for field in fields]
        self._kept = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - until close()
        self._count = self._given = 0
        """Rows that are kept, and that came, since the last commit."""
        self._last = 0
        self._sequence: int | None = None
        self._rejects = Rejects()
        self._open, self._broken = True, False

    def position(self) -> Position | None:
        return None

    def write(self, changes: Changes, sequence: int) -> Rejects:
        self._usable()
        if self._sequence is not None and sequence <= self._sequence:
            return self._rejects if sequence == self._sequence else Rejects()
        if changes.rows.schema.names != self._spec.schema.names:
            raise InvalidParameter("changes", f"have other columns than `{self._table}` was opened with")
        refused: dict[int, str] = {}
        kept: list[Change] = []
        for row, operation in zip(self._rows(changes), operations(changes, self._spec), strict=True):
            try:
                if isinstance(row, _Refusal):
                    raise row
                kept.append(self._change(row, operation))
            except _Refusal as reason:
                refused[self._given] = str(reason)
            self._given += 1
        for first in range(0, len(kept), _ROWS):
            pickle.dump(kept[first : first + _ROWS], self._kept, pickle.HIGHEST_PROTOCOL)
        self._count += len(kept)
        samples = tuple(itertools.islice(refused.values(), _SAMPLES))
        each = tuple(refused.items()) if self._spec.apart else ()
        self._sequence, self._rejects = sequence, Rejects(len(refused), samples, each)
        return self._rejects

    def commit(self, upto: Position | None) -> None:
        self._usable()
        self._broken, done = True, 0
        for bulk in self._bulks():
            self._last = max(int(time.time() * 1000), self._last + 1)
            try:
                self._send(bulk)
            except SourceError as error:
                told = f"{done:,} of {self._count:,} rows are there for sure; write all again: each is there once then."
                error.message = f"{error.message.removesuffix(' Run the query again.')} {told}"
                raise
            done += len(bulk)
        self._kept.seek(0)
        self._kept.truncate()
        self._count, self._given, self._broken = 0, 0, False

    def close(self) -> None:
        self._open = False
        self._kept.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _usable(self) -> None:
        if not self._open or self._broken:
            raise ConnectionLost("The write failed before, or was closed; open it again", self._connector.config.name)

    def _send(self, bulk: Sequence[Change]) -> None:
        connector = self._connector
        with connector.faults.named(str(self._table)):
            name = connector.tables.full_name(self._table)
            send(connector.route, name, bulk, self._last, connector.patience)

    def _rows(self, changes: Changes) -> Iterator[tuple[bytes | None, ...] | _Refusal]:
        """The bytes of each row's values, or why it has none."""
        import pyarrow as pa

        inside = [
            column.flatten() if pa.types.is_struct(column.type) else [column] for column in changes.rows.columns
        ]  # fmt: skip
        columns, refused = [], dict[int, _Refusal]()
        for field, column in zip(self._fields, itertools.chain(*inside), strict=True):
            try:
                columns.append(written(column, field.kind))
            except (pa.ArrowInvalid, UnicodeEncodeError):
                columns.append(list(_one_by_one(column, field, refused)))
        for place, row in enumerate(zip(*columns, strict=True)):
            yield refused.get(place, row)

    def _change(self, row: Sequence[bytes | None], operation: str) -> Change:
        key = self._key({field.part: value for field, value in zip(self._fields, row, strict=True)
                         if field.part is not None})  # fmt: skip
        if operation == "delete":
            return Change(key, gone=True)
        cells: list[tuple[tuple[bytes, bytes], bytes | None]] = []
        times: dict[tuple[bytes, bytes], int] = {}
        for field, value in zip(self._fields, row, strict=True):
            if field.cell is not None and field.kind != "cell_time":
                cells.append((field.cell, value))
            elif field.cell is not None and value is not None:
                times[field.cell] = int.from_bytes(value, "big", signed=True)
                if times[field.cell] < 0:
                    raise _Refusal(f"{shown(key)}: a time before 1970 in `{field.name}`, and a cell has none such")
        puts = [(cell, value) for cell, value in cells if value is not None]
        if self._mapping.marker is not None:
            puts.append((self._mapping.marker, b""))
        if not puts:
            told = (
                f"{shown(key)}: NULL in all columns, so no row would be there; name a `marker` in the table's settings"
            )
            raise _Refusal(told)
        return Change(key, tuple(puts), tuple(cell for cell, value in cells if value is None), times=times)

    def _key(self, values: dict[int | None, bytes | None]) -> bytes:
        key, parts = b"", self._mapping.parts
        for index, part in enumerate(parts):
            if part.salts:
                continue
            value = values.get(index)
            if value is None:
                raise _Refusal(f"{shown(key)}: NULL in `{part.name}`, a part of the row key")
            key += _part(part, value, last=index + 1 == len(parts))
        if parts[0].salts:
            key = parts[0].salts[HASHES[parts[0].hash](key) % len(parts[0].salts)] + key
        if not 0 < len(key) <= _LONGEST_KEY:
            raise _Refusal(f"a row key of {len(key):,} bytes: it has 1 to {_LONGEST_KEY:,}")
        return key

    def _bulks(self) -> Iterator[list[Change]]:
        """What was kept, in bulks in which no row is twice: a bulk has one time."""
        self._kept.seek(0)
        bulk: list[Change] = []
        rows: set[bytes] = set()
        size = 0
        for change in itertools.chain.from_iterable(self._loaded()):
            if len(bulk) == _ROWS or size > _BYTES or change.row in rows:
                yield bulk
                bulk, rows, size = [], set(), 0
            bulk.append(change)
            rows.add(change.row)
            size += len(change.row) + sum(len(value) + len(name[1]) for name, value in change.puts)
        if bulk:
            yield bulk

    def _loaded(self) -> Iterator[list[Change]]:
        while True:
            try:
                some: list[Change] = pickle.load(self._kept)  # our own file, which nobody else can open
            except EOFError:
                return
            yield some


class _Refusal(Exception):
    """A row that cannot be written; the text says which, and why."""


def _one_by_one(column: pa.Array, field: Field, refused: dict[int, _Refusal]) -> Iterator[bytes | None]:
    """The bytes of each value; where there are none, the place's reason is noted."""
    import pyarrow as pa

    for place in range(len(column)):
        try:
            yield written(column.slice(place, 1), field.kind)[0]
        except (pa.ArrowInvalid, UnicodeEncodeError) as error:
            told = f"{str(column[place].as_py())[:100]!r} in `{field.name}`, which {field.kind} cannot hold"
            refused.setdefault(place, _Refusal(f"{told}: {str(error)[:200]}"))
            yield None


def _part(part: Part, value: bytes, last: bool) -> bytes:
    if part.width is not None:
        if len(value) != part.width:
            raise _Refusal(f"{shown(value)}: `{part.name}` has {len(value)} bytes, and {part.width} in the row key")
        return value
    if part.separator:
        if part.separator in value:
            raise _Refusal(f"{shown(value)}: `{part.name}` holds the separator that ends it in the row key")
        return value if last else value + part.separator
    return value


def _fields(mapping: Mapping, column: pa.Field) -> list[Field]:
    """What a column is written to: a field, or those of a family that its struct has."""
    import pyarrow as pa

    struct = pa.types.is_struct(column.type)
    paths = [(column.name, inner.name) for inner in column.type] if struct else [(column.name,)]
    found = [mapping.find(path) for path in paths]
    assert None not in found, "seen to by HBaseSinks"
    return [field for field in found if field is not None]
