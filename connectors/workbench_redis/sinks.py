"""Writing a stream: rows are kept until they are committed, then added in one transaction, with their position."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.contract.change import Changes, Guarantee, Position, Rejects, WriteSpec
from workbench.contract.errors import (
    ConnectionLost,
    InvalidParameter,
    LimitExceeded,
    QueryFailed,
    StatementRefused,
    UnknownTable,
    Unsupported,
)
from workbench.contract.scan import TableRef
from workbench.kit import records
from workbench_redis.entries import META, written
from workbench_redis.streams import WHO

if TYPE_CHECKING:
    from workbench_redis.connector import RedisConnector

__all__ = ["RedisSinks", "RedisWriter"]

POSITIONS = "workbench:positions"
"""A hash: the positions of streams that are written, by their name and the table's."""
MOST_BYTES = 256 << 20
ID = "entry_id"


class RedisSinks:
    """See `workbench.contract.connector.Sinks`. A row is an entry, a column a field; NULL is a field that is not there.
    A column `entry_id` that is the key gives the entries' own ids, which only grow."""

    def __init__(self, connector: RedisConnector) -> None:
        self._connector = connector

    def open(self, table: TableRef, spec: WriteSpec) -> RedisWriter:
        connector = self._connector
        if not connector.config.writable:
            raise StatementRefused("Writing", f"`{connector.config.name}` is read-only; connect with writable=True")
        if spec.mode != "insert":
            raise Unsupported(WHO, f"write in mode `{spec.mode}`", "A stream only takes inserts.")
        try:
            connector.tables.about(table)
        except UnknownTable:
            if not spec.create or table.schema is not None:
                raise
            with connector.faults.named(table.name):  # an empty stream, by way of a group
                client = connector.client()
                client.xgroup_create(table.name, "workbench-made", mkstream=True)
                client.xgroup_destroy(table.name, "workbench-made")
        self._check(table, spec)
        usual = Guarantee.KEYED if spec.key == (ID,) else Guarantee.APPEND
        return RedisWriter(connector, table, spec, Guarantee.TRANSACTIONAL if spec.stream else usual)

    def _check(self, table: TableRef, spec: WriteSpec) -> None:
        import pyarrow.types as pt

        for name in spec.key:
            if name not in spec.schema.names:
                raise InvalidParameter("key", f"names `{name}`, which is not among the columns")
        there = self._connector.tables.entries(table).kinds
        for column in spec.schema:
            if column.name in META and column.name not in there:
                continue  # as the stream is read; its writer refuses them when it has rows
            if there and column.name not in there:
                told = f"has the column `{column.name}`; entries of `{table}` have {', '.join(there)}"
                raise InvalidParameter("schema", told)
            kind = there.get(column.name)
            fits = kind not in ("integer", "double") or records.arrow(kind) == column.type
            if not fits and not pt.is_integer(column.type):
                raise InvalidParameter("schema", f"has `{column.name}` as {column.type}, which is {kind} there")


class RedisWriter:
    """See `workbench.contract.connector.Writer`. A commit is one MULTI: all of it, or nothing."""

    def __init__(self, connector: RedisConnector, table: TableRef, spec: WriteSpec, guarantee: Guarantee) -> None:
        self._connector, self._table, self._spec, self._guarantee = connector, table, spec, guarantee
        self._kept: list[tuple[str, dict[Any, Any]]] = []
        self._bytes = 0
        self._sequence: int | None = None
        self._rejects = Rejects()
        self._open, self._broken = True, False
        self._known: tuple[bytes | None] | None = None
        """The position as this writer knows it, once it has looked."""

    @property
    def guarantee(self) -> Guarantee:
        return self._guarantee

    def position(self) -> Position | None:
        if not self._spec.stream:
            return None
        with self._connector.faults.named():
            found: Any = self._connector.client().hget(POSITIONS, self._field())
        if self._known is None:
            self._known = (found,)
        if found is None:
            return None
        source, value = json.loads(found)
        return Position(source, value)

    def write(self, changes: Changes, sequence: int) -> Rejects:
        self._usable()
        if self._sequence is not None and sequence <= self._sequence:
            return self._rejects if sequence == self._sequence else Rejects()
        if changes.rows.schema.names != self._spec.schema.names:
            raise InvalidParameter("changes", f"have other columns than `{self._table}` was opened with")
        if changes.ops is not None and any(one != "insert" for one in changes.ops.to_pylist()):
            raise Unsupported(WHO, "update or delete rows", "A stream only takes inserts.")
        own = [name for name in META if name in self._spec.schema.names and self._spec.key != (name,)]
        if own:
            raise InvalidParameter("schema", f"has `{own[0]}`, which Redis gives each entry itself: leave it out")
        refused: list[str] = []
        for row in changes.rows.to_pylist():
            entry = str(row.pop(ID)) if self._spec.key == (ID,) and row.get(ID) is not None else "*"
            fields = {name: written(value) for name, value in row.items() if value is not None}
            if any(row.get(name) is None for name in self._spec.key if name != ID):
                refused.append("NULL in its key")
            elif not fields:
                refused.append("all its columns are NULL, and an entry needs a field")
            else:
                self._kept.append((entry, fields))
                self._bytes += sum(len(name) + len(value) for name, value in fields.items())
            if self._bytes > MOST_BYTES:
                raise LimitExceeded("bytes", f"{MOST_BYTES:,} of rows before a commit", "Commit more often.")
        self._sequence, self._rejects = sequence, Rejects(len(refused), tuple(refused[:5]))
        return self._rejects

    def commit(self, upto: Position | None) -> None:
        import redis.exceptions

        self._usable()
        if not self._kept and (upto is None or not self._spec.stream):
            return
        self._broken = True
        try:
            answers = self._written(upto)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
            keeps = self._guarantee is not Guarantee.APPEND
            again = "Open it again: its position says it." if keeps else "Look before you write again."
            told = f"Nobody knows whether the {len(self._kept):,} rows of this commit are there ({error}). {again}"
            raise ConnectionLost(told, self._connector.config.name) from None
        except redis.exceptions.RedisError as error:
            raise self._connector.faults.of(error, self._table.name, True) from None
        self._judge(answers)
        self._kept, self._bytes, self._broken = [], 0, False
        self._connector.tables.forget(self._table)

    def close(self) -> None:
        self._open = False
        self._kept = []

    def _written(self, upto: Position | None) -> list[Any]:
        """What the server answers to each row. With a position: it is looked at and watched before, so that of two
        commits of the same rows, one of which is late on its way, one goes through."""
        import redis.exceptions

        keeps = upto is not None and bool(self._spec.stream)
        text = json.dumps([upto.source, upto.value]) if upto is not None else ""
        while True:
            with self._connector.client().pipeline(transaction=True) as together:
                if keeps:
                    together.watch(POSITIONS)
                    there: Any = together.hget(POSITIONS, self._field())
                    if there == text.encode():
                        return []  # it was done, although its answer did not come: a position names one commit
                    if self._known is not None and there != self._known[0]:
                        told = "Another writer of this stream has taken over; nothing of this commit is there."
                        raise ConnectionLost(told, self._connector.config.name)
                    self._known = (there,)
                    together.multi()
                for entry, fields in self._kept:
                    together.xadd(self._table.name, fields, entry)
                if keeps:
                    together.hset(POSITIONS, self._field(), text)
                try:
                    answers = together.execute(raise_on_error=False)
                except redis.exceptions.WatchError:
                    # A position was written, perhaps another stream's; or its answer was cut off. It is looked at anew.
                    continue
            if keeps:
                self._known = (text.encode(),)
            return answers

    def _judge(self, answers: list[Any]) -> None:
        """An id that is not above the last one was written before: the guarantee is KEYED for that. Any other refusal
        is one of some rows only, which cannot be taken back."""
        errors = [one for one in answers if isinstance(one, Exception)]
        other = [one for one in errors if "equal or smaller" not in str(one) or self._spec.key != (ID,)]
        if other:
            told = f"The server refused {len(other):,} of {len(self._kept):,} rows ({str(other[0])[:200]})"
            raise QueryFailed(f"{told}; the others are there", "", "", self._connector.config.name)

    def _field(self) -> str:
        return f"{self._spec.stream}\n{self._table.name}"

    def _usable(self) -> None:
        if not self._open or self._broken:
            raise ConnectionLost("The write failed before, or was closed; open it again.", self._connector.config.name)
