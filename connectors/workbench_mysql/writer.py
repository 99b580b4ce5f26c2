"""Writing a table: rows in large statements, the position in the same transaction, refused rows named one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench.contract.change import Changes, Guarantee, Position, Rejects, WriteSpec
from workbench.contract.errors import ConnectionLost, InvalidParameter, QueryFailed, SourceError, StatementRefused
from workbench.contract.scan import TableRef
from workbench.kit.operations import operations
from workbench_mysql.catalog import POSITIONS, literal, target
from workbench_mysql.link import Link
from workbench_mysql.predicates import quoted
from workbench_mysql.values import Unwritable, constants

if TYPE_CHECKING:
    from workbench_mysql.connector import MySQLConnector

__all__ = ["MySQLWriter"]

Row = tuple[str, ...]

_ROWS, _BYTES = 5_000, 1 << 20
_SAMPLES = 5
_OF_THE_ROW = {
    *(1048, 1062, 1136, 1216, 1264, 1265, 1292, 1364, 1366, 1367, 1406, 1411, 1441, 1451, 1452, 1557, 1586),
    *(1644, 1690, 3140, 3141, 3156, 3157, 3819, 3903, 4025, 4078),
}
"""Refusals that are about a row's values; with any other the whole write fails."""


class MySQLWriter:
    """See `workbench.contract.connector.Writer`. Its session and transaction are its own."""

    def __init__(
        self,
        connector: MySQLConnector,
        link: Link,
        table: TableRef,
        database: str,
        spec: WriteSpec,
        guarantee: Guarantee,
        transactional: bool,
    ) -> None:
        self._connector, self._link, self._spec = connector, link, spec
        self._table, self._database = table, database
        self._target = target(database, table.name)
        self._guarantee, self._transactional = guarantee, transactional
        self._longest = max(1024, int(str(link.run("select @@max_allowed_packet")[0][0])) - 1024)
        self._sequence: int | None = None
        self._rejects = Rejects()
        self._open, self._broken = True, False
        self._begin()

    @property
    def guarantee(self) -> Guarantee:
        return self._guarantee

    def position(self) -> Position | None:
        if not self._spec.stream:
            return None
        # A locking read: a commit of ours that is still on its way is waited for.
        where = f"where stream = {literal(self._spec.stream)} for update"
        rows = self._link.run(f"select source, value from {target(self._database, POSITIONS)} {where}")
        return Position(str(rows[0][0]), str(rows[0][1])) if rows else None

    def write(self, changes: Changes, sequence: int) -> Rejects:
        if self._sequence is not None and sequence <= self._sequence:
            return self._rejects if sequence == self._sequence else Rejects()
        if changes.rows.schema.names != self._spec.schema.names:
            raise InvalidParameter("changes", f"have other columns than `{self._table}` was opened with")
        runs = list(_runs(changes, self._spec))
        rows = list(zip(*(constants(column) for column in changes.rows.columns), strict=True))
        refused: list[str] = []
        count = 0
        with self._whole():
            for operation, first, last in runs:
                for reason in self._apply(operation, rows[first:last]):
                    count += 1
                    if len(refused) < _SAMPLES:
                        refused.append(reason)
        self._sequence, self._rejects = sequence, Rejects(count, tuple(refused))
        return self._rejects

    def commit(self, upto: Position | None) -> None:
        with self._whole():
            if self._spec.stream and upto is not None:
                stream, source, value = (literal(part) for part in (self._spec.stream, upto.source, upto.value))
                self._link.run(
                    f"insert into {target(self._database, POSITIONS)} (stream, source, value)"
                    f" values ({stream}, {source}, {value}) on duplicate key update source = {source}, value = {value}"
                )
            self._link.run("commit")
            self._begin()
        self._connector.forget(self._table)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        try:
            if self._link.open:
                self._link.run("rollback")
        except SourceError:
            # Without its session the server rolls back by itself.
            pass
        finally:
            self._link.drop()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._link.run("start transaction read write")

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """After an error nobody knows what the transaction holds (a deadlock empties it), so it is never committed."""
        if not self._open or self._broken:
            raise ConnectionLost("The write failed before, or was closed; open it again", self._connector.config.name)
        self._broken = True
        yield
        self._broken = False

    def _apply(self, operation: str, rows: Sequence[Row]) -> Iterator[str]:
        """Writes rows; a reason for each that is refused."""
        good = []
        keys = [] if operation == "insert" else [self._spec.schema.names.index(name) for name in self._spec.key]
        for row in rows:
            bad = next((value for value in row if type(value) is Unwritable), None)
            if bad is not None:
                yield f"{_shown(row, self._spec)}: {bad}"
            elif any(row[place] == "NULL" for place in keys):
                yield f"{_shown(row, self._spec)}: NULL in its key, so it cannot say which row is meant"
            elif sum(map(len, row)) > self._longest - 4096:
                yield f"{_shown(row, self._spec)}: larger than the server's max_allowed_packet"
            else:
                good.append(row)
        for batch in _batches(good):
            yield from self._send(operation, batch)

    def _send(self, operation: str, rows: Sequence[Row]) -> Iterator[str]:
        """In one statement; where a row is refused, by halves, until it is found."""
        try:
            self._link.run(self._statement(operation, rows))
        except QueryFailed as error:
            if error.code not in _OF_THE_ROW:
                raise
            if len(rows) == 1:
                yield f"{_shown(rows[0], self._spec)}: {error.why} [{error.code}]"
                return
            if not self._transactional:
                told = "its engine has no transactions, so a refused row cannot be told from the others. Use InnoDB"
                raise StatementRefused(f"Writing to `{self._table}`", told) from None
        else:
            return
        half = len(rows) // 2
        yield from self._send(operation, rows[:half])
        yield from self._send(operation, rows[half:])

    def _statement(self, operation: str, rows: Sequence[Row]) -> str:
        names, key = self._spec.schema.names, self._spec.key
        if operation == "delete":
            places = [names.index(name) for name in key]
            left = ", ".join(quoted(name) for name in key)
            right = ", ".join("(" + ", ".join(row[place] for place in places) + ")" for row in rows)
            return f"delete from {self._target} where ({left}) in ({right})"
        listed = ", ".join(quoted(name) for name in names)
        given = ", ".join("(" + ", ".join(row) + ")" for row in rows)
        text = f"insert into {self._target} ({listed}) values {given}"
        if operation == "insert":
            return text
        changed = [name for name in names if name not in key] or [key[0]]
        return (
            text
            + " on duplicate key update "
            + ", ".join(f"{quoted(name)} = values({quoted(name)})" for name in changed)
        )


def _runs(changes: Changes, spec: WriteSpec) -> Iterator[tuple[str, int, int]]:
    """Stretches of rows that are written the same way, in order: operation, first row, row after the last."""
    first = 0
    for operation, same in itertools.groupby(operations(changes, spec)):
        count = sum(1 for _ in same)
        yield operation, first, first + count
        first += count


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    first = size = 0
    for place, row in enumerate(rows):
        length = sum(map(len, row)) + 4 * len(row)
        if place > first and (size + length > _BYTES or place - first >= _ROWS):
            yield rows[first:place]
            first, size = place, 0
        size += length
    if first < len(rows):
        yield rows[first:]


def _shown(row: Row, spec: WriteSpec) -> str:
    """Which row it is: its key, else its first columns."""
    names = spec.schema.names
    chosen = spec.key or tuple(names[:3])
    return ", ".join(f"{name} = {row[names.index(name)][:40]}" for name in chosen)
