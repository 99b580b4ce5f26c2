"""What each end of a topology may claim: "effectively once" or "at least once", and why not more.

Delivery is at least once (with `acking=False` at most once). Results are as if each tuple had been worked on once where
the sources give the same again from a position, states are in snapshots with these positions, and the sink writes a
snapshot's rows together with its number, or by key, or as a file of its name.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from workbench.contract.change import Guarantee
from workbench.contract.errors import WorkbenchError
from workbench.streams.component import Bolt, FunctionBolt, FunctionSpout
from workbench.streams.sinks import ParquetSink, Sink
from workbench.streams.state import State, StatefulBolt, gives_again
from workbench.streams.tapping import LiveSink
from workbench.streams.topology import DEAD_LETTER
from workbench.streams.windows import LATE

if TYPE_CHECKING:
    from workbench.streams.topology import Node, Topology
    from workbench.streams.wiring import Wiring

__all__ = ["EFFECTIVELY", "Guarantees", "Promise", "guarantees", "keeps", "of_run"]

EFFECTIVELY, AT_LEAST, AT_MOST = "effectively once", "at least once", "at most once"
_ASIDE = (LATE, DEAD_LETTER)
"""Streams of which a component may be an end although somebody takes them."""
_HOLDERS = (dict, list, set, bytearray)
_BEFORE = frozenset(("__init__", "prepare", "cleanup", "declared_outputs"))
"""Methods that are not called with tuples."""
_OWN = frozenset(("arguments", "collector", "context", "function", "state"))
WRITES = {
    Guarantee.TRANSACTIONAL: "writes a snapshot's rows and its number in one transaction",
    Guarantee.KEYED: "writes by key, so that a row written again is there once",
    Guarantee.FILE: "writes a snapshot's rows as a file of its number",
    Guarantee.APPEND: "appends, and its target does not know what it has",
}


@dataclass(frozen=True)
class Promise:
    """Of one sink: its `claim`, `why` it is no better one, and `how` the sink writes."""

    claim: str
    why: tuple[str, ...] = ()
    how: str = ""

    def __str__(self) -> str:
        return f"{self.claim}{': ' + '; '.join(self.why) if self.why else ''}"

    def document(self) -> dict[str, Any]:
        """Plain values, for viewers."""
        return {"claim": self.claim, "why": list(self.why), "how": self.how}


class Guarantees(dict[str, Promise]):
    """By the sink's component."""

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {promise}" for name, promise in self.items()) or "no sinks"

    __str__ = __repr__

    @classmethod
    def of_document(cls, body: Mapping[str, Any]) -> Guarantees:
        return cls({name: Promise(one["claim"], tuple(one["why"]), one["how"]) for name, one in body.items()})

    def document(self) -> dict[str, Any]:
        return {name: promise.document() for name, promise in self.items()}


def guarantees(
    topology: Topology,
    state: bool,
    instances: Callable[[Node], Iterable[Any]] | None = None,
    writers: Mapping[str, Guarantee] | None = None,
    since: Iterable[str] = (),
) -> Guarantees:
    """Of all ends: components whose streams nobody takes, and sinks. While it runs: with its `instances`, what
    `writers` say, and what has happened `since` it began."""
    made = instances or (lambda node: (node.made(),))
    held_back = cache(lambda name: _held_back(topology.nodes[name], made))
    taken = {one.component for node in topology.nodes.values() for one in node.inputs if one.stream not in _ASIDE}
    places, found = {name: place for place, name in enumerate(topology.order())}, Guarantees()
    for node in topology.nodes.values():
        if node.kind == "bolt" and (node.id not in taken or isinstance(node.component, Sink | ParquetSink)):
            above = _above(topology, node.id)
            why = [reason for name in sorted(above, key=places.__getitem__) for reason in held_back(name)]
            found[node.id] = _promise(topology, node, state, above, writers or {}, [*why, *since])
    return found


def of_run(wiring: Wiring) -> Guarantees:
    """Of what runs in this process."""
    keeper = wiring.keeper
    return guarantees(
        wiring.topology,
        keeper is not None,
        lambda node: [task.instance for task in wiring.tasks[node.id]],
        {one.task.component: one.guarantee for one in list(wiring.sinks.values())},
        [] if keeper is None else list(keeper.reasons),
    )


def _promise(
    topology: Topology,
    node: Node,
    state: bool,
    above: set[str],
    writers: Mapping[str, Guarantee],
    held_back: Sequence[str],
) -> Promise:
    how, own = _end(topology, node, above, writers)
    if not topology.config["acking"]:
        return Promise(AT_MOST, ("acking is off, so what fails is gone",), how)
    why = [*own, *held_back]
    if not state:
        why.insert(0, "it runs without state=, so that what is counted and how far it came ends with the process")
    return Promise(AT_LEAST if why else EFFECTIVELY, tuple(why), how)


def _end(topology: Topology, node: Node, above: set[str], writers: Mapping[str, Guarantee]) -> tuple[str, list[str]]:
    """How it writes, and what keeps it from more."""
    component = node.component
    if isinstance(component, Sink):
        try:
            writer = writers.get(node.id) or component.target().promised()
        except WorkbenchError as error:
            return "", [f"`{node.id}`: {error}"]
        refused = [f"`{node.id}` {WRITES[writer]}"] if writer is Guarantee.APPEND else []
        if component.mode == "insert":
            refused += [
                f'`{name}` hands out windows early, and `{node.id}` adds a row for each; mode="upsert" replaces it'
                for name in sorted(above)
                if (window := topology.nodes[name].window) is not None and window.early
            ]
        return WRITES[writer], refused
    if isinstance(component, ParquetSink):
        why = (
            "a window that is handed out again after a crash is a second file; a Sink of a folder's connection knows it"
        )
        return "writes each window as a file", [f"`{node.id}`: {why}"]
    if isinstance(component, LiveSink):
        return "shows the newest rows", [f"`{node.id}` shows a row again that comes again"]
    if isinstance(component, StatefulBolt):
        return "its state is in the snapshots", []
    return "", [f"`{node.id}` is code of its own, and nobody knows what it does with a tuple that comes again"]


def _above(topology: Topology, name: str) -> set[str]:
    """The component, and all that its tuples come through."""
    found, left = {name}, [name]
    while left:
        for one in topology.nodes[left.pop()].inputs:
            if one.component in topology.nodes and one.component not in found:
                found.add(one.component)
                left.append(one.component)
    return found


def _held_back(node: Node, made: Callable[[Node], Iterable[Any]]) -> list[str]:
    component = node.component
    if node.kind == "spout":
        if gives_again(component):
            return []
        hint = ", or is not known to (repeats=True)" if isinstance(component, FunctionSpout) else ""
        return [f"spout `{node.id}` does not give the same again from a position{hint}"]
    if isinstance(component, Sink | ParquetSink):
        return []
    why = []
    if not component.auto_ack:
        why.append(f"`{node.id}` acks by itself, so that what it fails may have been worked on before")
    names = sorted({name for instance in made(node) for name in keeps(instance)})
    if names:
        listed = ", ".join(f"`{name}`" for name in names)
        why.append(f"`{node.id}` keeps {listed} by itself, which is in no snapshot; a StatefulBolt's `state` is")
    return why


def keeps(component: Any) -> list[str]:
    """The names of what an instance seems to keep from tuple to tuple, outside of a `state`: attributes that its
    methods set, lists, dicts, sets and iterators that it was not given, and the same of a function's closure. What it
    keeps elsewhere (a global's content, an object of its own, a file) is not seen, nor that it looks at the clock or
    at chance."""
    if isinstance(component, FunctionBolt):
        function = component.function
        cells = getattr(function, "__closure__", None) or ()
        code = getattr(function, "__code__", None)
        names = getattr(code, "co_freevars", ())
        pairs = [(name, _cell(cell)) for name, cell in zip(names, cells, strict=False)]
        held = {name for name, value in pairs if _holds(value)}
        return sorted(held | (set(_set_by(code)) if code is not None else set()))
    args, kwargs = component.arguments
    given = {id(value) for value in (*args, *kwargs.values())}
    values = getattr(component, "__dict__", {})
    held = {name for name, value in values.items() if name not in _OWN and id(value) not in given and _holds(value)}
    for made in type(component).__mro__:
        if made in (Bolt, StatefulBolt):
            break
        for name, method in vars(made).items():
            if name not in _BEFORE and isinstance(method, FunctionType):
                held |= {one for one in _set_by(method.__code__) if one not in _OWN}
    return sorted(held)


@lru_cache(maxsize=1024)
def _set_by(code: CodeType) -> tuple[str, ...]:
    """What a function sets that outlives its call: attributes, globals, names of the functions around it."""
    found = {
        str(step.argval)
        for step in dis.get_instructions(code)
        if step.opname in ("STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL")
        or (step.opname == "STORE_DEREF" and step.argval in code.co_freevars)
    }
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            own = set(code.co_cellvars)
            found |= {name for name in _set_by(inner) if name not in own}
    return tuple(sorted(found))


def _holds(value: object) -> bool:
    from collections import deque

    return isinstance(value, (*_HOLDERS, deque, Iterator)) and not isinstance(value, State)


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
