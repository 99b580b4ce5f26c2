"""A topology as pure data: spouts, bolts, the streams between them, how many tasks, configuration. Building it runs
nothing. The standard library only, but for `run`, which asks a runner.

    t = Topology("trending")
    t.spout("views", Views)
    t.bolt("count", CountPages, inputs=[("views", fields("page"))], parallelism=4)
    t                                # drawn
    run = t.run()
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from workbench.contract.errors import (
    InvalidParameter,
    TopologyError,
    UnknownComponent,
    UnknownField,
    UnknownName,
    UnknownStream,
    UsageError,
)
from workbench.streams.checking import check_code
from workbench.streams.component import DEFAULT, Bolt, Component, FunctionBolt, FunctionSpout, Spout, declared
from workbench.streams.configuration import configured
from workbench.streams.groupings import Grouping, shuffle
from workbench.streams.tuples import shown
from workbench.streams.windows import LATE, LATE_FIELDS, WindowSpec

if TYPE_CHECKING:
    from workbench.runs import Register
    from workbench.streams.guarantees import Guarantees
    from workbench.streams.running import Running

__all__ = ["DEAD_LETTER", "DEAD_LETTER_FIELDS", "Input", "Node", "Topology"]

MOST_TASKS = 1024
LONGEST_WAY = 1000
"""Components one after the other: each is called by the one before it."""
RUNNERS = {
    "inline": ("state", "recover", "forget", "clock", "wall"),
    "processes": ("workers", "memory", "hang", "state", "recover", "forget"),
}
"""Modules of this package, each with a `run`, and the options of it."""
DEAD_LETTER = "dead_letter"
DEAD_LETTER_FIELDS = ("row", "component", "error", "tries")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAMES = "it is a letter or digit, and then up to 63 letters, digits, `_` and `-`."


class UnknownOption(UnknownName):
    kind = "option"


@dataclass(frozen=True)
class Input:
    """A stream that a bolt subscribes to."""

    component: str
    stream: str = DEFAULT
    grouping: Grouping = field(default_factory=shuffle)


@dataclass(frozen=True)
class Node:
    """A spout or bolt of a topology. `component` is what each task's is made like, `outputs` its fields by stream."""

    id: str
    kind: str
    component: Any
    outputs: Mapping[str, tuple[str, ...]]
    direct: frozenset[str]
    parallelism: int = 1
    inputs: tuple[Input, ...] = ()
    window: WindowSpec | None = None

    def made(self) -> Any:
        """A new instance, for one task."""
        args, kwargs = self.component.arguments
        return type(self.component)(*args, **kwargs)

    def fields_of(self, stream: str) -> tuple[str, ...]:
        """Raises UnknownStream."""
        if stream == DEAD_LETTER and self.kind == "spout":
            return DEAD_LETTER_FIELDS
        if stream == LATE and self.window is not None:
            return LATE_FIELDS
        if stream not in self.outputs:
            raise UnknownStream(f"{self.id}.{stream}", [f"{self.id}.{name}" for name in self.outputs])
        return self.outputs[stream]


class Topology:
    """A graph of spouts and bolts. What is wrong with one component is said when it is added, what is wrong with the
    whole by `check`, which `run` calls; both name the value and the way out. Settings are those of
    `workbench.streams.configuration.DEFAULTS`."""

    def __init__(self, name: str, **config: Any) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidParameter("name", f"of a topology is {shown(name, 100)}; {_NAMES}")
        self.name = name
        self.given = dict(config)
        self.config = configured(config)
        self.nodes: dict[str, Node] = {}

    def spout(self, id: str, code: Any, *, outputs: Any = None, parallelism: int = 1) -> Topology:  # noqa: A002
        """Adds a spout: a class, an instance, or a generator function (with `outputs`, where it is not decorated).
        Gives the topology, so that calls can be chained."""
        return self._add(id, "spout", code, outputs, parallelism, ())

    def bolt(
        self,
        id: str,  # noqa: A002
        code: Any,
        *,
        inputs: Any,
        outputs: Any = None,
        parallelism: int = 1,
        batch: bool = False,
        window: WindowSpec | None = None,
    ) -> Topology:
        """Adds a bolt. `inputs` is a component's name, or a list of names and pairs: `("views", fields("page"))`,
        `("views.errors", "shuffle")`; without a grouping it is shuffle. `batch`: a plain function takes batches.
        `window`: it is called with windows of its tuples; those that come too late are on its stream `late`."""
        return self._add(id, "bolt", code, outputs, parallelism, _inputs(id, inputs), batch, window)

    def _add(
        self,
        id: str,  # noqa: A002
        kind: str,
        code: Any,
        outputs: Any,
        parallelism: int,
        inputs: tuple[Input, ...],
        batch: bool = False,
        window: WindowSpec | None = None,
    ) -> Topology:
        if not isinstance(id, str) or not _NAME.fullmatch(id):
            raise InvalidParameter("id", f"of a {kind} is {shown(id, 100)}; {_NAMES}")
        if id in self.nodes:
            raise InvalidParameter("id", f"`{id}` is already that of a {self.nodes[id].kind}. Give this one another.")
        if not isinstance(parallelism, int) or isinstance(parallelism, bool) or not 1 <= parallelism <= MOST_TASKS:
            raise InvalidParameter("parallelism", f"of `{id}` is {parallelism!r}; it is 1 to {MOST_TASKS} tasks.")
        component = _template(id, kind, code, outputs, batch)
        streams = declared(component)
        if DEAD_LETTER in streams and kind == "spout":
            raise InvalidParameter("outputs", f"of `{id}` name a stream `{DEAD_LETTER}`, which every spout has.")
        if window is not None:
            _fits_window(id, component, streams, window)
        node = Node(id, kind, component, streams, frozenset(component.direct), parallelism, inputs, window)
        self.nodes[id] = node
        return self

    # --- checking

    def check(self) -> None:
        """Raises UnknownComponent, UnknownStream, UnknownField, TopologyError."""
        if not any(node.kind == "spout" for node in self.nodes.values()):
            self._refuse("it has no spout, so nothing would ever happen. Add one with .spout(id, code).")
        for node in self.nodes.values():
            for one in node.inputs:
                self._check_input(node, one)
            self._check_window(node)
        if (way := self.longest_way()) > LONGEST_WAY:
            self._refuse(f"a tuple goes through {way:,} components, one after the other; {LONGEST_WAY:,} are the most.")

    def _check_window(self, node: Node) -> None:
        """What windows alone hold does not time out. What a bolt that acks by itself has, too, does, so the time-out is
        at least twice as long as the window."""
        if node.window is None:
            return
        held, timeout = node.window.longest(), self.config["message_timeout"]
        if held >= timeout and "message_timeout" in self.given:
            self._refuse(
                f"window `{node.id}` holds tuples for up to {held:g} s, and after a message_timeout of {timeout:g} s "
                "those fail that a bolt which acks by itself has, too. Leave that setting out, or say a longer one."
            )
        self.config["message_timeout"] = max(timeout, 2 * held)

    def _check_input(self, node: Node, one: Input) -> None:
        source = self.nodes.get(one.component)
        if source is None:
            raise UnknownComponent(one.component, self.nodes, f"It is an input of `{node.id}`.")
        names = source.fields_of(one.stream)
        used = () if node.window is None else (*node.window.by, *((node.window.time,) if node.window.time else ()))
        for name in (*one.grouping.fields, *used):
            if name not in names:
                where = f"Stream `{one.component}.{one.stream}` has {', '.join(f'`{other}`' for other in names)}"
                raise UnknownField(name, names, f"{where}; `{node.id}` needs it.")
        if (one.grouping.kind == "direct") != (one.stream in source.direct):
            declares = "is declared as direct" if one.stream in source.direct else "is not declared as direct"
            self._refuse(
                f"`{node.id}` takes `{one.component}.{one.stream}` by {one.grouping}, and that stream {declares}. "
                f'Put it into `direct` of `{one.component}`, and group it by "direct".'
            )

    def order(self) -> list[str]:
        """The components, each after those that it takes from. Raises TopologyError at a cycle."""
        before = {name: {one.component for one in node.inputs} & self.nodes.keys() for name, node in self.nodes.items()}
        takers: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, sources in before.items():
            for source in sources:
                takers[source].append(name)
        left = {name: len(sources) for name, sources in before.items()}
        places = {name: place for place, name in enumerate(self.nodes)}
        ordered: list[str] = []
        free = [name for name, sources in left.items() if not sources]
        while free:
            ordered += free
            found = []
            for name in free:
                for taker in takers[name]:
                    left[taker] -= 1
                    found += [] if left[taker] else [taker]
            free = sorted(found, key=places.__getitem__)
        if len(ordered) < len(self.nodes):
            for name in ordered:
                del before[name]
            self._refuse(
                f"{' → '.join(f'`{name}`' for name in _cycle(before))} is a cycle: a tuple's tree would never be done. "
                "Take one of these inputs away."
            )
        return ordered

    def consumers(self) -> dict[tuple[str, str], list[tuple[Node, Input]]]:
        """By component and stream: the bolts that take it."""
        found: dict[tuple[str, str], list[tuple[Node, Input]]] = {}
        for node in self.nodes.values():
            for one in node.inputs:
                found.setdefault((one.component, one.stream), []).append((node, one))
        return found

    def longest_way(self) -> int:
        """How many components a tuple goes through at most. Raises TopologyError at a cycle."""
        ways: dict[str, int] = {}
        for name in self.order():
            ways[name] = 1 + max((ways[one.component] for one in self.nodes[name].inputs), default=0)
        return max(ways.values(), default=0)

    def _refuse(self, why: str) -> NoReturn:
        raise TopologyError(self.name, why)

    # --- running, keeping, drawing

    def run(self, runner: str = "inline", *, register: Register | None = None, **options: Any) -> Running:
        """Checks it and starts it; returns at once, with the handle. `runner="inline"`: in a thread of this process;
        `runner="processes", workers=2`: in processes of their own.

        `state=True` (or a name, or a path): what stateful bolts and windows keep, and how far the spouts are, is put
        into a file every `snapshot_every`, and the next run goes on from there; with `recover=False` it begins anew,
        `forget=("count",)` leaves out what was kept of these. Raises what `check` does, what a component's `open` or
        `prepare` raises, StateRefused, and TopologyError for a component that cannot travel to another process. What is
        added to the topology afterwards is in the next run."""
        self.check()
        if runner not in RUNNERS:
            raise InvalidParameter("runner", f"is {runner!r}; a topology runs on {', '.join(map(repr, RUNNERS))}.")
        module: Any = importlib.import_module(f"workbench.streams.{runner}")
        for name in options:
            if name not in RUNNERS[runner]:
                others = "".join(f' t.run("{one}", {name}=…) knows it.' for one in RUNNERS if name in RUNNERS[one])
                raise UnknownOption(name, RUNNERS[runner], f"Of the runner `{runner}`, that is.{others}")
        running: Running = module.run(self._as_it_is(), register=register, **options)
        return running

    def _as_it_is(self) -> Topology:
        """Another one, which bolts that are added to this one later do not change: it runs."""
        again = Topology(self.name, **self.given)
        again.config, again.nodes = dict(self.config), dict(self.nodes)
        return again

    @property
    def replayable(self) -> bool:
        """Whether all its spouts can be started again from the beginning."""
        spouts = [node for node in self.nodes.values() if node.kind == "spout"]
        return bool(spouts) and all(node.component.replayable for node in spouts)

    def played_again(self, speed: float | None = None) -> Topology:
        """The same topology, whose spouts play at another speed, where one is said. Raises UsageError, and
        InvalidParameter for what is no speed."""
        live = [node.id for node in self.nodes.values() if node.kind == "spout" and not node.component.replayable]
        if live:
            raise UsageError(
                f"Spout `{live[0]}` of topology `{self.name}` gives what happens now, and cannot be played again. What "
                "ParquetReplay plays can."
            )
        again = self._as_it_is()
        for name, node in self.nodes.items():
            if node.kind == "spout" and speed is not None:
                again.nodes[name] = replace(node, component=node.component.at_speed(speed))
        return again

    def to_document(self) -> dict[str, Any]:
        """Plain JSON, from which `Topology.from_document` makes it again. Raises DocumentError where a component is
        no code that can be imported, or has arguments that are no plain values."""
        from workbench.streams.saving import to_document

        return to_document(self)

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> Topology:
        """Imports the components that the document names. Raises DocumentError, and what adding them raises."""
        from workbench.streams.saving import from_document

        return from_document(body)

    def guarantees(self, state: bool = True) -> Guarantees:
        """What each of its ends may claim in a run with state (or without), "effectively once" or "at least once", and
        why not more. A run that is going on knows better: `run.guarantees()`."""
        guaranteeing: Any = importlib.import_module("workbench.streams.guarantees")
        found: Guarantees = guaranteeing.guarantees(self, state)
        return found

    def describe(self) -> str:
        """Its components and streams in words, one a line."""
        from workbench.streams.drawing import described

        return described(self)

    def svg(self) -> str:
        """Its picture."""
        from workbench.streams.drawing import svg

        return svg(self)

    def __repr__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        return f'<div style="overflow:auto">{self.svg()}</div>'


def _template(id: str, kind: str, code: Any, outputs: Any, batch: bool) -> Component:  # noqa: A002
    base: type[Component] = Spout if kind == "spout" else Bolt
    made = code
    if isinstance(code, type) and issubclass(code, Component):
        made = code()
    elif not isinstance(code, Component) and callable(code):
        if outputs is None and kind == "spout":
            raise InvalidParameter("outputs", f'of `{id}` are not said: outputs=("page", "user") names its fields.')
        made = FunctionSpout(code, outputs) if kind == "spout" else FunctionBolt(code, outputs or (), batch)
        outputs = None
    if not isinstance(made, base):
        raise InvalidParameter(
            "code",
            f"of `{id}` is {type(made).__name__}; a {kind} is a class or instance of {base.__name__}, or a function.",
        )
    if outputs is not None:
        raise InvalidParameter("outputs", f"of `{id}` are said twice: its class or decorator names them.")
    if isinstance(made, Bolt) and not (made.takes_rows or made.takes_batches):
        raise InvalidParameter("code", f"of `{id}`: {type(made).__name__} has neither `execute` nor `execute_batch`.")
    check_code(id, made)
    return made


def _fits_window(id: str, component: Any, streams: Mapping[str, Any], window: object) -> None:  # noqa: A002
    if not isinstance(window, WindowSpec):
        raise InvalidParameter("window", f'of `{id}` is {window!r}; say tumbling("1m"), sliding(…) or session(…).')
    if not component.takes_rows or not component.auto_ack:
        what = "has `auto_ack = False`" if component.takes_rows else "has no `execute`"
        raise InvalidParameter(
            "window", f"of `{id}`: its code {what}; a window is given to `execute`, and acked for it."
        )
    if LATE in streams:
        raise InvalidParameter("outputs", f"of `{id}` name a stream `{LATE}`, which every window bolt has.")


def _inputs(id: str, inputs: Any) -> tuple[Input, ...]:  # noqa: A002
    listed: Sequence[Any] = [inputs] if isinstance(inputs, str | Input) else _listed(inputs)
    if not listed:
        raise InvalidParameter("inputs", f'of `{id}` are empty; name a component: inputs="views".')
    found = tuple(_input(id, one) for one in listed)
    streams = [(one.component, one.stream) for one in found]
    for stream in streams:
        if streams.count(stream) > 1:
            raise InvalidParameter("inputs", f"of `{id}` name `{'.'.join(stream)}` twice; take it once.")
    return found


def _listed(inputs: Any) -> list[Any]:
    return list(inputs) if isinstance(inputs, Iterable) else [inputs]


def _input(id: str, one: Any) -> Input:  # noqa: A002
    if isinstance(one, Input):
        return one
    pair = isinstance(one, tuple | list) and len(one) == 2
    name, grouping = (one, shuffle()) if isinstance(one, str) else one if pair else (None, None)
    if isinstance(grouping, str):
        grouping = Grouping(grouping)
    if not isinstance(name, str) or not isinstance(grouping, Grouping):
        raise InvalidParameter(
            "inputs",
            f'of `{id}` have {one!r}; an input is "views", or ("views", fields("page")), or ("views.errors", …).',
        )
    component, _, stream = name.partition(".")
    return Input(component, stream or DEFAULT, grouping)


def _cycle(left: Mapping[str, set[str]]) -> list[str]:
    """A cycle among components that all wait for each other, in the direction of the tuples."""
    path = [next(iter(left))]
    while True:
        before = sorted(left[path[-1]] & left.keys())[0]
        if before in path:
            return [before, *reversed(path[path.index(before) :])]
        path.append(before)
