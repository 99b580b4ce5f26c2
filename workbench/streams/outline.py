"""A topology as plain values, without its code: as much of it as viewers need, in any process and when it is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import UnknownStream
from workbench.streams.component import DEFAULT
from workbench.streams.tapping import LiveSink
from workbench.streams.topology import DEAD_LETTER, DEAD_LETTER_FIELDS
from workbench.streams.windows import LATE, LATE_FIELDS

if TYPE_CHECKING:
    from workbench.streams.topology import Node, Topology

__all__ = ["Outline"]


@dataclass(frozen=True)
class Taken:
    """A stream that a component takes, and how."""

    component: str
    stream: str
    grouping: str


@dataclass(frozen=True)
class Part:
    """A component. `outputs` are the streams that it declares, with their fields, `implied` those that come with what
    it is (`late`, `dead_letter`); `window` in words, `live` the rows that it keeps as a LiveSink."""

    id: str
    kind: str
    parallelism: int
    inputs: tuple[Taken, ...]
    outputs: Mapping[str, tuple[str, ...]]
    implied: Mapping[str, tuple[str, ...]]
    direct: tuple[str, ...]
    window: str
    early: bool
    live: int

    def fields_of(self, stream: str) -> tuple[str, ...]:
        """Raises UnknownStream."""
        found = {**self.outputs, **self.implied}
        if stream not in found:
            raise UnknownStream(f"{self.id}.{stream}", [f"{self.id}.{name}" for name in found])
        return found[stream]


@dataclass(frozen=True)
class Outline:
    name: str
    nodes: Mapping[str, Part]
    replayable: bool = False

    @classmethod
    def of(cls, topology: Topology) -> Outline:
        return cls(topology.name, {node.id: _part(node) for node in topology.nodes.values()}, topology.replayable)

    @classmethod
    def of_document(cls, body: Mapping[str, Any]) -> Outline:
        nodes = {}
        for one in body["nodes"]:
            streams = {name: {key: tuple(value) for key, value in one[name].items()} for name in ("outputs", "implied")}
            inputs = tuple(Taken(**given) for given in one["inputs"])
            nodes[one["id"]] = Part(**{**one, **streams, "inputs": inputs, "direct": tuple(one["direct"])})
        return cls(body["name"], nodes, body["replayable"])

    def document(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "name": self.name,
            "nodes": [asdict(one) for one in self.nodes.values()],
            "replayable": self.replayable,
        }

    def kept(self, most: int) -> Iterator[tuple[str, str, tuple[str, ...], int]]:
        """The streams that are kept for views: component, stream, fields, rows. They are those of `Taps.of`."""
        taken = {(one.component, one.stream) for part in self.nodes.values() for one in part.inputs}
        for part in self.nodes.values():
            for stream, fields in {**part.outputs, **part.implied}.items():
                if stream not in part.direct and (part.window or (part.id, stream) not in taken):
                    yield part.id, stream, fields, most
            if part.live:
                source = part.inputs[0]
                yield part.id, DEFAULT, self.nodes[source.component].fields_of(source.stream), part.live


def _part(node: Node) -> Part:
    implied: dict[str, tuple[str, ...]] = {DEAD_LETTER: DEAD_LETTER_FIELDS} if node.kind == "spout" else {}
    implied |= {LATE: LATE_FIELDS} if node.window is not None else {}
    return Part(
        node.id,
        node.kind,
        node.parallelism,
        tuple(Taken(one.component, one.stream, str(one.grouping)) for one in node.inputs),
        dict(node.outputs),
        implied,
        tuple(node.direct),
        "" if node.window is None else str(node.window),
        node.window is not None and bool(node.window.early),
        node.component.keep if isinstance(node.component, LiveSink) else 0,
    )
