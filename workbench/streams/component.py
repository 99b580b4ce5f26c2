"""Spouts and bolts: small classes, or plain functions. The names are Storm's.

    class Split(Bolt):
        outputs = ("word",)

        def execute(self, tuple):
            for word in tuple.sentence.split():
                self.collector.emit((word,))

    @bolt("word")
    def split(tuple):
        for word in tuple.sentence.split():
            yield word

Every task has an instance of its own, made with the same arguments as the one that the topology was given, so a
component is code and plain arguments. The standard library only: it travels to Storm's workers.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import GeneratorType
from typing import Any

from workbench.contract.errors import TopologyError
from workbench.streams.base import (
    DEFAULT,
    MORE,
    OVER,
    Bolt,
    Collector,
    Component,
    Context,
    EmitRows,
    Outputs,
    Spout,
    declared,
)
from workbench.streams.replay import Replay
from workbench.streams.tuples import Batch, shown

__all__ = [
    "DEFAULT",
    "Bolt",
    "Collector",
    "Component",
    "Context",
    "FunctionBolt",
    "FunctionSpout",
    "IteratorSpout",
    "Outputs",
    "Spout",
    "bolt",
    "declared",
    "spout",
]


_ASKED = ("next_tuple", "ack", "ack_each")
"""A sub-class that has one of these itself is to be asked for each tuple, or told what has become of it."""


class IteratorSpout(Spout):
    """A spout that is an iterator: override `rows`. Each value is a row; a `Batch` or an Arrow table is a batch; None
    says that there is nothing just now. What fails is emitted again, `max_retries` times at most, then it is a dead
    letter. `batch=N` gathers rows into batches.

    `repeats` says that `rows` gives the same values in the same order whenever it is called: an instance that takes the
    place of a killed one, or a run that goes on from a snapshot, goes on where that one was. Otherwise it begins anew.
    """

    batch: int = 0
    repeats: bool = False
    _resumed: tuple[int, frozenset[int]] | None = None
    _resume_at: Any = None
    """Where it goes on, as its own `position` says it."""
    _awaited: tuple[Any, set[int]] | None = None
    """A position, and what was not done when it was behind all that had been emitted."""

    def rows(self) -> Iterable[Any]:
        raise NotImplementedError

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        self._replay = Replay(
            config["max_retries"], config["retry_backoff"], config["retry_backoff_most"], context.random
        )
        self._tracked = bool(config["acking"])
        self._clock = context.clock
        rows = _iterator(self.rows(), context)
        rows = _batches(rows, self.batch, self.repeats) if self.batch else rows
        self._passed = self._passing = 0
        if config.get("snapshots") and self.repeats and type(self).position is IteratorSpout.position:
            rows = self._numbered(rows)
        self._rows = rows if self._resumed is None else self._behind(rows, *self._resumed)
        self._over = False
        emit_rows: EmitRows | None = getattr(collector, "emit_rows", None)
        own = all(getattr(type(self), name) is getattr(IteratorSpout, name) for name in _ASKED)
        if own:
            self.ack_each = self._replay.acked_each  # type: ignore[method-assign, assignment]  # some calls less for each tuple
        if own and emit_rows is not None and not self.repeats:  # whose position is how many were acked
            self.next_tuples = self._in_bursts(emit_rows)
        if self._resume_at is not None:
            self.seek(self._resume_at)

    def _behind(self, rows: Iterator[Any], done: int, others: frozenset[int]) -> Iterator[Any]:
        """Without what was done before."""
        last = max(others, default=done)
        while self._replay.last < last:
            try:
                values = next(rows)
            except StopIteration:
                return
            number = self._replay.last + 1
            if values is not None and (number <= done or number in others):
                self._replay.last = number
            else:
                yield values
        yield from rows

    @property
    def _counts_values(self) -> bool:
        """Whether its position is how many values it has given."""
        return type(self).position is IteratorSpout.position

    def acked_position(self) -> Any:
        if not self._tracked or not (self.repeats or self.replays):
            return None
        if not self._counts_values:
            return self._acked_place()
        if not self.repeats:
            return None
        if self._resumed is not None and self._replay.last < max(self._resumed[1], default=self._resumed[0]):
            return self._resumed[0], sorted(self._resumed[1])  # it is not there again yet
        return self._replay.position()

    def _acked_place(self) -> Any:
        """The last position that all was acked or given up behind which it was."""
        left = self._replay.left()
        if self._awaited is None or not self._awaited[1] & left:
            if self._awaited is not None:
                self._resume_at = self._awaited[0]
            place = self.position()
            if place is not None and not left:
                self._resume_at = place
            self._awaited = None if place is None else (place, left)
        return self._resume_at

    def resume(self, position: Any) -> None:
        if self._counts_values:
            self._resumed = position[0], frozenset(position[1])
        else:
            self._resume_at = position

    @property
    def finished(self) -> bool:  # type: ignore[override]
        """Whether its iterator has ended."""
        return self._over

    @property
    def waiting(self) -> bool:  # type: ignore[override]
        """Whether something waits to be emitted again."""
        return bool(self._replay.waiting)

    def _numbered(self, rows: Iterator[Any]) -> Iterator[Any]:
        for values in rows:
            if values is not None:
                if self._passing:
                    self._passing -= 1
                    continue
                self._passed += 1
            yield values

    def position(self) -> Any:
        """How many values it has given; to be overridden together with `seek` where there is a better one."""
        return self._passed

    def seek(self, position: Any) -> None:
        self._passed = self._passing = int(position)

    def again(self) -> None:
        due = self._replay.due(self._clock()) if self._replay.waiting else None
        if due is not None:
            self._emit(due[1], due[0])

    def next_tuple(self) -> None:
        replay = self._replay
        if replay.waiting:
            again = replay.due(self._clock())
            if again is not None:
                self._emit(again[1], again[0])
                return
        if self._over:
            return
        try:
            values = next(self._rows)
        except StopIteration:
            self._over = True
            return
        self._general(values)

    def _general(self, values: Any) -> None:
        if values is None:
            return
        if values.__class__ is str:
            values = (values,)
        elif values.__class__ is not tuple and hasattr(values, "to_pydict"):
            values = Batch(values)
        self._emit(values, self._replay.add(values) if self._tracked else None)

    def _in_bursts(self, emit_rows: EmitRows) -> Callable[[int, Sequence[Any]], None]:
        """For a runner that can take many rows in one call, of a sub-class that asks for no verdicts: `next_tuple`, so
        many times at most, and fewer once `stop` is not empty."""
        replay, rows, clock = self._replay, self._rows, self._clock
        waiting = replay.waiting

        def next_tuples(most: int, stop: Sequence[Any]) -> None:
            if self._over or (waiting and waiting[0][0] <= clock()):
                self.next_tuple()
                return
            odd = emit_rows(rows, most, stop, replay)
            if odd is OVER:
                self._over = True
            elif odd is not MORE:
                self._general(odd)

        return next_tuples

    def _emit(self, values: Any, number: int | None) -> None:
        if values.__class__ is Batch:
            self.collector.emit_batch(values, DEFAULT, None, number)
        else:
            self.collector.emit(values, DEFAULT, None, number)

    def ack(self, message_id: Any) -> None:
        self._replay.acked(message_id)

    def lost(self, message_id: Any) -> None:
        if message_id.__class__ is tuple:
            message_id = self._replay.add(message_id)
        self._replay.again(message_id, self._clock())

    def fail(self, message_id: Any) -> None:
        dead = self._replay.failed(message_id, self._clock())
        if dead is not None:
            self.collector.dead_letter(dead.values, dead.tries, message_id)


class FunctionSpout(IteratorSpout):
    """A spout made of a generator function; with a parameter, it is called with the task's `Context`."""

    def __init__(
        self, function: Callable[..., Iterable[Any]], outputs: Outputs, batch: int = 0, repeats: bool = False
    ) -> None:
        self.function, self._outputs, self.batch, self.repeats = function, outputs, batch, repeats

    def declared_outputs(self) -> Outputs:
        return self._outputs

    def rows(self) -> Iterable[Any]:
        return self.function(self.context) if _parameters(self.function) else self.function()

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class FunctionBolt(Bolt):
    """A bolt made of a function of a tuple (with `batch=True`, of a batch). What it yields are rows; what it returns is
    one row, or a list or an iterator of rows, or a `Batch` or an Arrow table, or None."""

    def __init__(self, function: Callable[[Any], Any], outputs: Outputs, batch: bool = False) -> None:
        self.function, self._outputs, self.batch = function, outputs, batch

    def declared_outputs(self) -> Outputs:
        return self._outputs

    @property
    def takes_rows(self) -> bool:
        return not self.batch

    @property
    def takes_batches(self) -> bool:
        return self.batch

    def execute(self, tuple: Any) -> None:  # noqa: A002
        rows = self.function(tuple)
        if rows is not None:
            self.give(rows)

    def give(self, rows: Any) -> None:
        """Emits what the function has returned."""
        if rows.__class__ is list or rows.__class__ is GeneratorType:
            self.collector.emit_each(rows)
        elif rows.__class__ is not tuple and (rows.__class__ is Batch or hasattr(rows, "to_pydict")):
            self.collector.emit_batch(rows)
        elif hasattr(rows, "__next__"):  # of map, filter, zip
            self.collector.emit_each(rows)
        else:
            self.collector.emit(rows)

    def called(self) -> Callable[[Any], None]:
        """`execute` as a closure, for a runner that calls it for every tuple."""
        function, emit, emit_each, other = self.function, self.collector.emit, self.collector.emit_each, self.give

        def execute(given: Any) -> None:
            rows = function(given)
            if rows is None:
                return
            if rows.__class__ is list or rows.__class__ is GeneratorType:
                emit_each(rows)
            elif rows.__class__ is tuple:
                emit(rows)
            else:
                other(rows)

        return execute

    def execute_batch(self, batch: Batch) -> None:
        rows = self.function(batch)
        if rows is not None:
            self.collector.emit_batch(list(rows) if hasattr(rows, "__next__") else rows)

    def __call__(self, value: Any) -> Any:
        return self.function(value)


def spout(
    *fields: str, streams: Mapping[str, Sequence[str]] | None = None, batch: int = 0, repeats: bool = False
) -> Callable[..., Any]:
    """Makes a spout of a generator function: `@spout("page", "user")`. `batch=N`: its rows go in batches of N.
    `repeats`: it gives the same rows in the same order whenever it is called."""
    return lambda function: FunctionSpout(function, streams or fields, batch, repeats)


def bolt(*fields: str, streams: Mapping[str, Sequence[str]] | None = None, batch: bool = False) -> Callable[..., Any]:
    """Makes a bolt of a function: `@bolt("word")`. `batch=True`: it is called with batches."""
    return lambda function: FunctionBolt(function, streams or fields, batch)


def _iterator(rows: Any, context: Context) -> Iterator[Any]:
    """Raises TopologyError for what gives no rows, as a function that has forgotten to `yield`, and for a text, a dict
    or a DataFrame, of which Python would give letters and names."""
    if hasattr(rows, "to_pydict"):  # an Arrow table: one batch
        return iter((rows,))
    if not isinstance(rows, str | bytes | bytearray | Mapping) and not hasattr(rows, "__dataframe__"):
        with contextlib.suppress(TypeError):
            return iter(rows)
    why = f"spout `{context.component}` gives {shown(rows, 80)} for its rows; that is a generator, or a list."
    raise TopologyError(context.topology, why)


def _batches(rows: Iterator[Any], size: int, whole: bool) -> Iterator[Any]:
    gathered: list[Any] = []
    for row in rows:
        if row is None:  # nothing just now: what is there goes, unless batches must be the same again
            if gathered and not whole:
                yield Batch.of_rows(gathered, ())
                gathered = []
            yield None
            continue
        gathered.append(row if row.__class__ is tuple else tuple(row) if isinstance(row, list) else (row,))
        if len(gathered) >= size:
            yield Batch.of_rows(gathered, ())
            gathered = []
    if gathered:
        yield Batch.of_rows(gathered, ())


def _parameters(function: Callable[..., Any]) -> int:
    try:
        return len(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return 0
