"""What every component is: Storm's spouts and bolts as classes, the collector that they emit to, and where they run.

The standard library only: it travels to Storm's workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, Protocol

from workbench.contract.errors import InvalidParameter, UnknownStream
from workbench.streams.replay import Replay
from workbench.streams.tuples import Batch, Held, Tuple

__all__ = [
    "DEFAULT",
    "MORE",
    "OVER",
    "Bolt",
    "Collector",
    "Component",
    "Context",
    "EmitRows",
    "Outputs",
    "Spout",
    "declared",
]

DEFAULT = "default"
Outputs = Sequence[str] | Mapping[str, Sequence[str]]

EmitRows = Callable[[Iterator[Any], int, Sequence[Any], Replay], Any]
"""`(rows, most, stop, replay)` emits so many at most, and fewer once `stop` is not empty. It gives MORE, or OVER when
there are none left, or the first value that is no plain row of the stream, which the caller is to emit. All are
numbered by `replay`, and those that are done are kept nowhere."""
MORE, OVER = object(), object()


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
    `config["seed"]`, where that is given. `wake`, from any thread: a spout with `wakes` has something to give."""

    topology: str
    component: str
    task: int
    index: int
    tasks: tuple[int, ...]
    config: Mapping[str, Any]
    clock: Callable[[], float]
    random: Random = field(repr=False)
    wake: Callable[[], None] = field(default=lambda: None, repr=False)


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
    that some that failed are to be emitted again later: the run ends when all is finished, acked and none waits.

    As long as it emits nothing, it is asked again some hundred times a second, after a while fewer. With `wakes`, it
    calls `context.wake()` when something has come for it, and is hardly asked before."""

    finished: bool = False
    waiting: bool = False
    wakes: bool = False
    replayable: ClassVar[bool] = False
    """Whether a new instance begins where this one began: what it gives lies there, and does not happen now."""

    replays: bool = False
    """Whether it gives the same again from a position on: then `position` and `seek` are there."""
    repeats: bool = False
    """Whether it gives the same in the same order whenever it begins."""
    midway: bool = False
    """Whether what it has emitted ends where there is no position: then no snapshot is made."""

    def at_speed(self, speed: float) -> Spout:
        """Of one that is replayable: the same at another speed, where it has one."""
        return self

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

    def lost(self, message_id: Any) -> None:
        """As `fail`, but nothing was wrong with it: a worker process that had some of it has ended."""
        self.fail(message_id)

    def acked_position(self) -> Any:
        """Where a new instance goes on so that nothing is left out that is not acked, as a plain value; None: there is
        no such place. Asked for now and then where spouts may be killed."""
        return None

    def resume(self, position: Any) -> None:
        """Before `open`, in place of an instance that was killed: what its `acked_position` was last."""

    def counts(self) -> Mapping[str, float]:
        """What it counts of its source, for the metrics, by short names as `reconnects`. Called between two tuples."""
        return {}

    def again(self) -> None:
        """Emits what is due to be sent again, and nothing new: before a snapshot."""

    def position(self) -> Any:
        """For a snapshot: a plain value, behind all that it has emitted. Asked for when that is done or kept."""
        return None

    def seek(self, position: Any) -> None:
        """To a position that it gave in another run; after `open`, before anything is emitted. Raises PositionLost."""

    def committed(self, position: Any) -> None:
        """A snapshot with that position is kept: what is before it will never be asked for again."""

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
