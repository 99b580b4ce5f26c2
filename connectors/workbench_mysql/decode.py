"""The rows of a reply, as Arrow batches: binary ones through the native core, text ones in Python."""

from __future__ import annotations

import abc
import ctypes
import time
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING

from workbench.contract.errors import DataError, SnapshotChanged, Unsupported
from workbench.kit import native
from workbench.kit.columns import ColumnBuffers, Slot
from workbench_mysql import text, types
from workbench_mysql.channel import Channel, Errors
from workbench_mysql.reply import Ending, Reader, ending

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BinaryRows", "Rows", "TextRows"]

_OLD = 0.5
"""Seconds after which a batch is handed on though it is not full."""
_LONGEST_END = 1 << 16


class Rows(abc.ABC):
    """The batches of one reply, each of `schema`. An error ends it; only the server's own end of the rows stops the
    iteration."""

    def __init__(
        self,
        channel: Channel,
        definitions: types.Definitions,
        schema: pa.Schema | None,
        policy: types.Policy,
        errors: Errors,
    ) -> None:
        self.definitions = definitions
        sent = definitions.schema(policy)
        use = schema is not None and definitions
        self.schema = _agreed(channel, sent, schema, definitions) if use else sent
        same = self.schema is sent or self.schema.equals(sent) or self.schema.types == sent.types
        self._target = self.schema if same else sent
        self.finished = False
        """The reply was read to its end, or to the server's error: the connection can be used again."""
        self.warnings = self.affected = 0
        self.rows = 0
        """Handed on so far."""
        self._layout = definitions.layout(policy)
        self._channel, self._policy, self._errors = channel, policy, errors
        self._over = False
        self._failure: BaseException | None = None

    @property
    def received(self) -> int:
        """Bytes from the server so far."""
        return self._channel.received

    @property
    @abc.abstractmethod
    def lost(self) -> Mapping[str, int]:
        """Values that became NULL because Arrow cannot hold them, by column."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._failure is not None:
            raise self._failure  # and never an end that looks like the end of the rows
        if self._over:
            raise StopIteration
        try:
            batch = None if self.finished else self._next()
            batch = None if batch is None else self._as_planned(batch)
        except BaseException as error:
            self._failure = error
            raise
        if batch is None:
            self._over = True
            raise StopIteration
        self.rows += batch.num_rows
        return batch

    def abandon(self) -> None:
        """From any thread: a `next` that waits raises Cancelled. Unless `finished`, the connection is of no use
        afterwards."""
        if not self.finished:
            self._channel.abandon()

    def end(self, said: Ending) -> None:
        """The reply's last packet was read."""
        self.warnings, self.affected = said.warnings, said.affected
        while said.more:  # a procedure's own end follows its rows
            head = self._channel.packet()
            if head[:1] == b"\xff":
                self._refused(head)
            if head[:1] != b"\x00":
                self._channel.connection._force_close()
                raise Unsupported("The connector", "read more than one result of a statement", "Ask for one at a time.")
            said = ending(self._channel, head)
        self._channel.release()
        self.finished = True

    def _as_planned(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        if self._target is self.schema:
            return batch
        arrays = []
        for was, column in zip(self.schema, batch.columns, strict=True):
            try:
                arrays.append(column.cast(was.type))
            except pa.ArrowInvalid as error:
                raise SnapshotChanged(_table(self.definitions), _changed(was, column.type)) from error
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    @abc.abstractmethod
    def _next(self) -> pa.RecordBatch | None:
        """The next batch, or None after the last."""

    def _refused(self, payload: bytes) -> None:
        error = self._channel.error(payload, self._errors)
        if self._channel.connection.open:
            self._channel.release()
            self.finished = True
        raise error


def _agreed(channel: Channel, sent: pa.Schema, planned: pa.Schema, definitions: types.Definitions) -> pa.Schema:
    """The schema that was planned, if what the server sends can become it without loss.

    Some of what a server says at PREPARE is wider than what it sends then (MySQL's SHOW INDEX: bigint, then int).
    """
    if planned.equals(sent):
        return planned
    if planned.names != sent.names:
        why = f"its columns were {', '.join(planned.names)}, and are {', '.join(sent.names)}"
    else:
        pairs = zip(planned, sent, strict=True)
        why = next((_changed(was, now.type) for was, now in pairs if not _becomes(now.type, was.type)), "")
    if why:
        channel.connection._force_close()  # its rows are still to come
        raise SnapshotChanged(_table(definitions), why)
    return planned


def _becomes(sent: pa.DataType, planned: pa.DataType) -> bool:
    import pyarrow as pa

    if sent == planned or pa.types.is_null(sent):
        return True
    if pa.types.is_floating(sent) and pa.types.is_floating(planned):
        return bool(sent.bit_width <= planned.bit_width)  # the cast would round, and not say so
    # These casts refuse a value that does not fit.
    return any(kind(sent) and kind(planned) for kind in (pa.types.is_integer, pa.types.is_decimal))


def _changed(was: pa.Field, now: pa.DataType) -> str:
    return f"column `{was.name}` was {was.type}, and is {now}"


def _table(definitions: types.Definitions) -> str:
    return next((definition.table for definition in definitions if definition.table), "The answer")


class _State(IntEnum):
    """`mysql::State` in the native core."""

    MORE = 0
    END = 1
    ERROR = 2
    LONG = 3
    ROWS = 4
    MALFORMED = 5
    ROOM = 6
    LOST = 7
    SEQUENCE = 8


class BinaryRows(Rows):
    """Rows of a prepared statement."""

    def __init__(
        self,
        channel: Channel,
        definitions: types.Definitions,
        schema: pa.Schema | None,
        policy: types.Policy,
        errors: Errors,
    ) -> None:
        super().__init__(channel, definitions, schema, policy, errors)
        self._buffers = ColumnBuffers(self._target, self._layout)
        self._progress = native.Progress(strict=policy == "error")
        self._memory: object = None
        self._address = 0

    @property
    def lost(self) -> Mapping[str, int]:
        counts = zip(self.schema.names, self._buffers.lost, strict=True)
        return {name: count for name, count in counts if count}

    def _next(self) -> pa.RecordBatch | None:
        buffers, channel, began = self._buffers, self._channel, time.monotonic()
        while True:
            state = self._decode()
            if state is _State.MORE:
                if buffers.full or (buffers.rows and time.monotonic() - began > _OLD):
                    return buffers.take()
                if not channel.fill(patient=buffers.rows == 0):
                    return buffers.take()
            elif state is _State.END:
                self.end(ending(channel, channel.packet(_LONGEST_END)))
                return buffers.take(last=True) if buffers.rows else None
            elif state is _State.ROWS:
                if not buffers.more_slots():
                    return buffers.take()
            elif state is _State.ROOM:
                length = int.from_bytes(channel.view[channel.start : channel.start + 3], "little")
                if not self._more_room(length):
                    return buffers.take()
            elif state is _State.LONG:
                batch = self._long_row()
                if batch is not None:
                    return batch
            else:
                self._give_up(state, channel.view[channel.start : channel.end])

    def _decode(self) -> _State:
        """Rows of what has been received, as far as it goes."""
        channel, progress = self._channel, self._progress
        if channel.view is not self._memory:
            self._memory = channel.view
            self._address = ctypes.addressof(ctypes.c_char.from_buffer(channel.view))
        progress.sequence = channel.sequence
        state = self._call("workbench_mysql_packets", self._address + channel.start, channel.end - channel.start)
        if state is not _State.LOST:
            channel.start += progress.used
            channel.sequence = progress.sequence
        return state

    def _call(self, function: str, address: int, length: int) -> _State:
        progress, buffers = self._progress, self._buffers
        progress.rows, progress.slots = buffers.rows, buffers.slots
        native.call(function, address, length, buffers.columns, progress)
        buffers.rows = progress.rows
        return _State(progress.state)

    def _more_room(self, at_least: int) -> bool:
        """Makes room in the column that lacks it; False when the batch should go first."""
        buffers = self._buffers
        if buffers.full or not buffers.more_room(self._progress.column, at_least):
            if not buffers.rows:
                raise self._channel.broken("a single value is larger than 2 GiB")
            return False
        return True

    def _long_row(self) -> pa.RecordBatch | None:
        """A row of 16 MiB or more; a batch when the rows before it have to go first. Alone in its batch, then."""
        payload = self._channel.long_packet()
        address = ctypes.addressof(ctypes.c_char.from_buffer(payload))
        before = self._buffers.take() if self._buffers.rows else None
        while True:
            state = self._call("workbench_mysql_long_row", address, len(payload))
            if state is _State.MORE:
                return before
            if state is _State.ROOM:
                self._more_room(len(payload))
            else:
                self._give_up(state, memoryview(payload))

    def _give_up(self, state: _State, packet: memoryview) -> None:
        channel, progress = self._channel, self._progress
        if state is _State.ERROR:
            self._refused(channel.packet(_LONGEST_END))
        if state is _State.LOST:
            definition, row = self.definitions[progress.column], self.rows + progress.row
            if progress.at >= 0:
                shown, why = text.shown(types.Kind(self._layout.slots[progress.column].kind), packet[progress.at :])
            else:
                shown = repr(self._buffers.value(progress.column, progress.row)[:60])
                why = "is not UTF-8"
            channel.connection._force_close()
            raise DataError(definition.name, row, shown, why)
        if state is _State.SEQUENCE:
            raise channel.broken(f"a packet came out of turn, {channel.sequence} was due")
        raise channel.broken("a row is not as its column definitions say")


class TextRows(Rows):
    """Rows of a plain query: every value is text."""

    def __init__(
        self,
        channel: Channel,
        definitions: types.Definitions,
        schema: pa.Schema | None,
        policy: types.Policy,
        errors: Errors,
    ) -> None:
        super().__init__(channel, definitions, schema, policy, errors)
        self._lost = dict.fromkeys(self.schema.names, 0)

    @property
    def lost(self) -> Mapping[str, int]:
        return {name: count for name, count in self._lost.items() if count}

    def _next(self) -> pa.RecordBatch | None:
        import pyarrow as pa

        channel, size, rows = self._channel, 0, 0
        columns: list[list[object]] = [[] for _ in self._layout.slots]
        while rows < text.BATCH_ROWS and size < text.BATCH_BYTES:
            payload = channel.long_packet()
            if payload[:1] == b"\xff":
                self._refused(bytes(payload))
            if payload[:1] == b"\xfe" and len(payload) < (0xFF_FFFF if channel.deprecate_eof else 9):
                self.end(ending(channel, bytes(payload)))
                break
            reader = Reader(channel, payload)
            for index, slot in enumerate(self._layout.slots):
                columns[index].append(self._value(index, slot, reader.optional_bytes(), self.rows + rows))
            reader.done()
            rows, size = rows + 1, size + len(payload)
        if not rows:
            return None
        try:
            arrays = [pa.array(column, field.type) for column, field in zip(columns, self._target, strict=True)]
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise channel.broken(f"a value does not fit its column ({error})") from error
        return pa.RecordBatch.from_arrays(arrays, schema=self._target)

    def _value(self, index: int, slot: Slot, value: bytes | None, row: int) -> object:
        if value is None:
            return None
        name = self.definitions[index].name
        try:
            return text.parsed(types.Kind(slot.kind), slot, value)
        except text.Lost as lost:
            if self._policy == "error":
                self._channel.connection._force_close()
                raise DataError(name, row, repr(value[:60]), str(lost)) from lost
            self._lost[name] += 1
            return None
        except (ValueError, ArithmeticError) as error:
            raise self._channel.broken(f"column `{name}` has {value[:60]!r}") from error
