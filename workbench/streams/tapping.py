"""What is kept of streams for who looks: the newest rows of those that cost nothing to keep, and of a `LiveSink`.

A row that nobody takes is kept instead of dropped; so are windows' results and what came too late. Other streams go
from bolt to bolt as before: whoever wants to see one says so, `t.bolt("watch", LiveSink(), inputs="views")`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from workbench.contract.errors import InvalidParameter, UnknownComponent, UsageError
from workbench.streams.component import DEFAULT, Bolt
from workbench.streams.topology import Node, Topology
from workbench.streams.tuples import Batch, Row

__all__ = ["KEPT", "LiveSink", "NotKept", "Tap", "Taps"]

KEPT = 10_000
"""Rows, or batches of them, that are kept of a stream before anybody looks."""


class NotKept(UsageError):
    """A stream that is not kept for views."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        super().__init__(
            f"Stream `{stream}` goes from bolt to bolt and is not kept for views. Add a sink that keeps it, "
            f't.bolt("watch", LiveSink(), inputs="{stream}"), and show "watch".'
        )


class Tap:
    """One stream. `row` and `batch` are called by the runner's thread and do next to nothing; `drain` by whoever shows
    it. `count` is how many rows there were."""

    def __init__(self, name: str, fields: tuple[str, ...], keep: int = KEPT) -> None:
        self.name, self.fields, self.keep = name, fields, keep
        self.count = 0
        self.wake: Callable[[], object] | None = None
        """Called once, when there is something new."""
        self._pending: deque[Any] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._told = self._held = 0

    def row(self, values: Row) -> None:
        self._pending.append(values)
        self.count += 1
        if self.wake is not None:
            self._ring()

    def batch(self, batch: Batch) -> None:
        with self._lock:  # batches are held as they are: so many that their rows are `keep`
            self._pending.append(batch)
            self._held += len(batch)
            while len(self._pending) > 1 and self._held - _rows(self._pending[0]) >= self.keep:
                self._held -= _rows(self._pending.popleft())
        self.count += len(batch)
        if self.wake is not None:
            self._ring()

    def _ring(self) -> None:
        wake, self.wake = self.wake, None
        if wake is not None:
            wake()

    def drain(self) -> tuple[list[Row], int]:
        """Rows since the last time, the newest `keep` at most, and how many more there were. Called by one thread."""
        count, taken, rows = self.count, list[Any](), list[Row]()
        with self._lock:
            for _ in range(len(self._pending)):
                taken.append(self._pending.popleft())
            self._held = 0
        for one in taken:
            if one.__class__ is Batch:
                over = len(one) - self.keep
                rows += (Batch(one.table.slice(over)) if over > 0 and one.columnar else one).legible()
            else:
                rows.append(tuple(one))
        rows = rows[-self.keep :]
        skipped = max(0, count - self._told - len(rows))
        self._told = max(count, self._told + len(rows))
        return rows, skipped


def _rows(one: Any) -> int:
    return len(one) if one.__class__ is Batch else 0


class Taps:
    """Those of a topology, by component and stream."""

    def __init__(self) -> None:
        self._taps: dict[tuple[str, str], Tap] = {}
        self._lock = threading.Lock()

    def of(self, node: Node, stream: str, fields: tuple[str, ...], taken: bool) -> Tap | None:
        """The stream's tap; None where it is not kept."""
        if taken and node.window is None:
            return None
        return self._made((node.id, stream), fields, KEPT)

    def sink(self, node: Node, fields: tuple[str, ...], keep: int) -> Tap:
        return self._made((node.id, DEFAULT), fields, keep)

    def _made(self, key: tuple[str, str], fields: tuple[str, ...], keep: int) -> Tap:
        with self._lock:
            if key not in self._taps:
                self._taps[key] = Tap(".".join(key), fields, keep)
            return self._taps[key]

    def find(self, topology: Topology, name: str) -> Tap:
        """Of `component` or `component.stream`; a sink stands for the stream that it takes. Raises UnknownComponent,
        UnknownStream, NotKept."""
        component, _, stream = name.partition(".")
        node = topology.nodes.get(component)
        if node is None:
            raise UnknownComponent(component, topology.nodes)
        key = component, stream or DEFAULT
        if not stream and not node.outputs and key not in self._taps and len(node.inputs) == 1:
            key = node.inputs[0].component, node.inputs[0].stream
        elif key not in self._taps:
            node.fields_of(key[1])  # raises, where there is none
        if key not in self._taps:
            raise NotKept(key[0] if key[1] == DEFAULT else ".".join(key))
        return self._taps[key]


class LiveSink(Bolt):
    """Keeps the newest `keep` rows of the streams that it takes, for `workbench.view`:
    `t.bolt("watch", LiveSink(), inputs="views")`. They have the same fields."""

    def __init__(self, keep: int = KEPT) -> None:
        if not isinstance(keep, int) or isinstance(keep, bool) or not 1 <= keep <= 1_000_000:
            raise InvalidParameter("keep", f"of a LiveSink is {keep!r}; it is 1 to 1,000,000 rows.")
        self.keep = keep

    def tap(self, taps: Taps, node: Node, topology: Topology) -> None:
        """Before any row: where they are kept. Raises InvalidParameter."""
        fields = {topology.nodes[one.component].fields_of(one.stream) for one in node.inputs}
        if len(fields) > 1:
            raise InvalidParameter(
                "inputs", f"of `{node.id}` have different fields; a LiveSink for each can show them."
            )
        self._tap = taps.sink(node, fields.pop(), self.keep)

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self._tap.row(tuple)

    def execute_batch(self, batch: Batch) -> None:
        self._tap.batch(batch)
