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

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import GeneratorType
from typing import Any, ClassVar, Protocol

from workbench.contract.errors import InvalidParameter, UnknownStream
from workbench.streams.replay import Replay
from workbench.streams.tuples import Batch, Held, Tuple

__all__ = [
    "Bolt",
    "Collector",
    "Component",
    "Context",
    "FunctionBolt",
    "FunctionSpout",
    "IteratorSpout",
    "Spout",
    "bolt",
    "declared",
    "spout",
]

DEFAULT = "default"
Outputs = Sequence[str] | Mapping[str, Sequence[str]]


class Collector(Protocol):
    """What a component hands its tuples to. Rows are tuples or lists with a value for each field of the stream; any
    other value is a row of that one. Calls may come from any thread; from another one than the runner's they wait
    while much is queued.

    Raises UnknownStream for a stream that the component does not declare, EmitRefused for a row of another width, and
    for acking, failing or anchoring to what was acked or failed before.
    """

    def emit(
        self,
        values: Any,
        stream: str = DEFAULT,
        anchors: Iterable[Tuple] | None = None,
        message_id: Any = None,
    ) -> None:
        """A spout's tuple is tracked when it has a message id. A bolt's is anchored to `anchors`; where that is not
        said, to the tuple that a bolt with `auto_ack` is given just now."""
        ...

    def emit_each(self, rows: Iterable[Any]) -> None:
        """`emit`, one by one, on the default stream."""
        ...

    def emit_batch(
        self,
        rows: Any,
        stream: str = DEFAULT,
        anchors: Iterable[Tuple] | None = None,
        message_id: Any = None,
    ) -> None:
        """Rows (a list, a Batch or an Arrow table) that are acked and failed as one."""
        ...

    def emit_direct(
        self,
        task: int,
        values: Any,
        stream: str = DEFAULT,
        anchors: Iterable[Tuple] | None = None,
        message_id: Any = None,
    ) -> None:
        """To one task, on a stream that is declared as direct."""
        ...

    def ack(self, tuple: Held) -> None:  # noqa: A002
        """This bolt has done with it. For bolts with `auto_ack = False`."""
        ...

    def fail(self, tuple: Held) -> None:  # noqa: A002
        """The spout's tuple that it stems from fails at once."""
        ...

    def reset_timeout(self, tuple: Held) -> None:  # noqa: A002
        """It takes longer: its time-out begins anew."""
        ...

    def report_error(self, error: BaseException) -> None:
        """To be shown at the component; nothing fails."""
        ...

    def log(self, text: str) -> None:
        """A line for the run's log."""
        ...

    def dead_letter(self, values: Any, tries: int, message_id: Any = None) -> None:
        """A spout gives this up: it goes to the spout's stream `dead_letter`."""
        ...


@dataclass(frozen=True)
class Context:
    """Where a component runs. `task` is its task's id, unique in the topology, `index` its place among the component's
    `tasks`; `config` is the topology's configuration. `clock` gives seconds that only move on, `random` is seeded by
    `config["seed"]`, where that is given."""

    topology: str
    component: str
    task: int
    index: int
    tasks: tuple[int, ...]
    config: Mapping[str, Any]
    clock: Callable[[], float]
    random: Random = field(repr=False)


class Component:
    """`outputs`: the fields of its default stream, or fields by stream, `direct` the streams whose emitter says the
    task."""

    outputs: ClassVar[Any] = ()
    direct: ClassVar[Sequence[str]] = ()
    collector: Collector
    context: Context
    arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made.arguments = (args, kwargs)  # another task's instance is made with the same ones
        return made

    def declared_outputs(self) -> Outputs:
        """Its outputs, where they depend on its arguments."""
        outputs: Outputs = self.outputs
        return outputs


class Spout(Component):
    """Where tuples come from. Called by one thread. `finished` says that there will be no new ones, ever, `waiting`
    that some that failed are to be emitted again later: the run ends when all is finished, acked and none waits."""

    finished: bool = False
    waiting: bool = False

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        """Before all else. An error here is one of `run()`."""

    def next_tuple(self) -> None:
        """Emits what is there, and returns soon; at once when there is nothing. An error ends the run."""
        raise NotImplementedError

    def ack(self, message_id: Any) -> None:
        """The whole tree of that tuple is done."""

    def ack_each(self, message_ids: Sequence[Any]) -> None:
        """`ack`, one by one."""
        for message_id in message_ids:
            self.ack(message_id)

    def fail(self, message_id: Any) -> None:
        """Some of it failed, or the time-out has passed. To emit it again is the spout's work."""

    def counts(self) -> Mapping[str, float]:
        """What it counts of its source, for the metrics, by short names as `reconnects`. Called between two tuples."""
        return {}

    def activate(self) -> None:
        """It goes on after a pause."""

    def deactivate(self) -> None:
        """`next_tuple` is not called for a while."""

    def close(self) -> None:
        """After all else."""


class Bolt(Component):
    """What works on tuples: `execute` on one, `execute_batch` on a batch, and what has both gets each as it comes.

    With `auto_ack`, as usual, a tuple is acked when `execute` returns, fails when it raises, and what is emitted
    meanwhile is anchored to it. Without, the bolt acks and fails each tuple itself, also later, and says the anchors.
    """

    auto_ack: ClassVar[bool] = True

    def prepare(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        """Before all else. An error here is one of `run()`."""

    def execute(self, tuple: Any) -> None:  # noqa: A002
        raise NotImplementedError

    def execute_batch(self, batch: Batch) -> None:
        raise NotImplementedError

    def cleanup(self) -> None:
        """After all else."""

    @property
    def takes_rows(self) -> bool:
        return type(self).execute is not Bolt.execute

    @property
    def takes_batches(self) -> bool:
        return type(self).execute_batch is not Bolt.execute_batch


class IteratorSpout(Spout):
    """A spout that is an iterator: override `rows`. Each value is a row; a `Batch` or an Arrow table is a batch; None
    says that there is nothing just now. What fails is emitted again, `max_retries` times at most, then it is a dead
    letter. `batch=N` gathers rows into batches."""

    batch: int = 0

    def rows(self) -> Iterable[Any]:
        raise NotImplementedError

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        self._replay = Replay(
            config["max_retries"], config["retry_backoff"], config["retry_backoff_most"], context.random
        )
        self._tracked = bool(config["acking"])
        self._clock = context.clock
        if type(self).ack is IteratorSpout.ack:
            self.ack_each = self._replay.acked_each  # type: ignore[method-assign, assignment]  # some calls less for each tuple
        rows = iter(self.rows())
        self._next = (_batches(rows, self.batch) if self.batch else rows).__next__
        self._over = False
        if type(self).next_tuple is IteratorSpout.next_tuple:
            self.next_tuple = self._quick()  # type: ignore[method-assign]

    @property
    def finished(self) -> bool:  # type: ignore[override]
        """Whether its iterator has ended."""
        return self._over

    @property
    def waiting(self) -> bool:  # type: ignore[override]
        """Whether something waits to be emitted again."""
        return bool(self._replay.waiting)

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
            values = self._next()
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

    def _quick(self) -> Callable[[], None]:
        """`next_tuple` for what is the rule: a new row that is a tuple. For all else the general one."""
        replay, following, emit, general = self._replay, self._next, self.collector.emit, self._general
        waiting, kept = replay.waiting, replay.kept

        def next_tuple() -> None:
            if waiting or self._over:
                IteratorSpout.next_tuple(self)
                return
            try:
                values = following()
            except StopIteration:
                self._over = True
                return
            if values.__class__ is not tuple:
                general(values)
                return
            replay.last = number = replay.last + 1
            kept[number] = values
            emit(values, DEFAULT, None, number)

        def next_untracked() -> None:
            try:
                values = following()
            except StopIteration:
                self._over = True
                return
            if values.__class__ is tuple:
                emit(values)
            else:
                general(values)

        return next_tuple if self._tracked else next_untracked

    def _emit(self, values: Any, number: int | None) -> None:
        if values.__class__ is Batch:
            self.collector.emit_batch(values, DEFAULT, None, number)
        else:
            self.collector.emit(values, DEFAULT, None, number)

    def ack(self, message_id: Any) -> None:
        self._replay.acked(message_id)

    def fail(self, message_id: Any) -> None:
        dead = self._replay.failed(message_id, self._clock())
        if dead is not None:
            self.collector.dead_letter(dead.values, dead.tries, message_id)


class FunctionSpout(IteratorSpout):
    """A spout made of a generator function; with a parameter, it is called with the task's `Context`."""

    def __init__(self, function: Callable[..., Iterable[Any]], outputs: Outputs, batch: int = 0) -> None:
        self.function, self._outputs, self.batch = function, outputs, batch

    def declared_outputs(self) -> Outputs:
        return self._outputs

    def rows(self) -> Iterable[Any]:
        return self.function(self.context) if _parameters(self.function) else self.function()

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class FunctionBolt(Bolt):
    """A bolt made of a function of a tuple (with `batch=True`, of a batch). What it yields are rows; what it returns is
    one row, or a list of rows, or a `Batch` or an Arrow table, or None."""

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
            self.collector.emit_batch(list(rows) if isinstance(rows, GeneratorType) else rows)

    def __call__(self, value: Any) -> Any:
        return self.function(value)


def spout(*fields: str, streams: Mapping[str, Sequence[str]] | None = None, batch: int = 0) -> Callable[..., Any]:
    """Makes a spout of a generator function: `@spout("page", "user")`. `batch=N`: its rows go in batches of N."""
    return lambda function: FunctionSpout(function, streams or fields, batch)


def bolt(*fields: str, streams: Mapping[str, Sequence[str]] | None = None, batch: bool = False) -> Callable[..., Any]:
    """Makes a bolt of a function: `@bolt("word")`. `batch=True`: it is called with batches."""
    return lambda function: FunctionBolt(function, streams or fields, batch)


def declared(component: Component) -> dict[str, tuple[str, ...]]:
    """Fields by stream, as the component declares them. Raises InvalidParameter."""
    outputs = component.declared_outputs()
    if isinstance(outputs, str):
        outputs = (outputs,)
    streams = dict(outputs) if isinstance(outputs, Mapping) else {DEFAULT: outputs} if outputs else {}
    checked: dict[str, tuple[str, ...]] = {}
    for stream, names in streams.items():
        names = (names,) if isinstance(names, str) else tuple(names)
        twice = {name for name in names if names.count(name) > 1}
        if not all(isinstance(name, str) and name for name in names):
            raise InvalidParameter("outputs", f"of stream `{stream}` are {list(names)!r}; each field is a text.")
        if twice:
            raise InvalidParameter("outputs", f"of stream `{stream}` name `{sorted(twice)[0]}` twice.")
        checked[stream] = names
    unknown = set(component.direct) - set(checked)
    if unknown:
        raise UnknownStream(sorted(unknown)[0], checked)
    return checked


def _batches(rows: Iterator[Any], size: int) -> Iterator[Any]:
    gathered: list[Any] = []
    for row in rows:
        if row is None:  # nothing just now: what is there goes
            if gathered:
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
