"""What is kept of streams for who looks: the newest rows of those that cost nothing to keep, and of a `LiveSink`.

A row that nobody takes is kept instead of dropped; so are windows' results and what came too late. Other streams go
from bolt to bolt as before: whoever wants to see one says so, `t.bolt("watch", LiveSink(), inputs="views")`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter, UnknownComponent, UsageError
from workbench.streams.component import DEFAULT, Bolt
from workbench.streams.tuples import Batch, Row
from workbench.streams.weighing import weight

if TYPE_CHECKING:
    from workbench.streams.outline import Outline
    from workbench.streams.topology import Node, Topology

__all__ = ["KEPT", "KEPT_BYTES", "LiveSink", "NotKept", "Tap", "Taps"]

KEPT = 10_000
"""Rows, or batches of them, that are kept of a stream before anybody looks."""
KEPT_BYTES = 32 << 20
"""Bytes of these, about; the newest row or batch is kept however large it is."""
EACH = 64
"""One of so many rows is weighed, as long as those are small."""
_chance = Random()


class NotKept(UsageError):
    """A stream that is not kept for views."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        super().__init__(
            f"Stream `{stream}` goes from bolt to bolt and is not kept for views. Add a sink that keeps it, "
            f't.bolt("watch", LiveSink(), inputs="{stream}"), and show "watch".'
        )


class Tap:
    """One stream. `row` and `batch` are called by the runner's thread and do next to nothing; `take` by whoever shows
    it, one thread. `count` is how many rows there were.

    Rows and batches are weighed, and the oldest go when all are too heavy. Once as many are held as may be, and they
    are small rows, the number alone bounds them: one in 64 is weighed then, by chance, until one is large."""

    def __init__(self, name: str, fields: tuple[str, ...], keep: int = KEPT, most: int = KEPT_BYTES) -> None:
        self.name, self.fields, self.keep, self.most = name, fields, keep, most
        self.count = 0
        self.wake: Callable[[], object] | None = None
        """Called once, when there is something new."""
        self.looked = False
        """Whether somebody looks at it now, as who shows it says."""
        self._pending: deque[Any] = deque(maxlen=keep)
        self._weighed: deque[tuple[Any, int, int]] | None = deque()
        """In place of `_pending`, while all are weighed: items, their rows and bytes."""
        self._due = 0
        self._rows = self._bytes = 0
        """Of `_weighed`."""
        self._fair = most // keep
        self._lock = threading.Lock()
        self._told = 0

    def row(self, values: Row) -> None:
        if self._weighed is None:
            self._pending.append(values)
            self.count = count = self.count + 1
            if count >= self._due:
                self._due = count + _chance.randrange(1, 2 * EACH)
                if weight(values) > self._fair:
                    self._weigh_all()
        else:
            self._put(values, 1)
        if self.wake is not None:
            self._ring()

    def batch(self, batch: Batch) -> None:
        if self._weighed is None:
            self._weigh_all()
        self._put(batch, len(batch))
        if self.wake is not None:
            self._ring()

    def _weigh_all(self) -> None:
        with self._lock:
            self._weighed = deque((one, 1, weight(one)) for one in self._pending)
            self._rows, self._bytes = len(self._weighed), sum(size for _, _, size in self._weighed)
            self._pending.clear()
            self._trim(self._weighed)

    def _put(self, item: Any, rows: int) -> None:
        with self._lock:
            assert self._weighed is not None
            size = weight(item)
            self._weighed.append((item, rows, size))
            self._rows += rows
            self._bytes += size
            self._trim(self._weighed)
            if len(self._weighed) == self.keep == self._rows and self._bytes < self.most // 4:  # they are small again
                self._pending.extend(one.rows[0] if one.__class__ is Batch else one for one, _, _ in self._weighed)
                self._weighed = None
        self.count += rows

    def _trim(self, weighed: deque[tuple[Any, int, int]]) -> None:
        """Batches are held as they are: so many that their rows are `keep`."""
        while len(weighed) > 1 and (self._rows - weighed[0][1] >= self.keep or self._bytes > self.most):
            _, rows, size = weighed.popleft()
            self._rows -= rows
            self._bytes -= size

    def _ring(self) -> None:
        wake, self.wake = self.wake, None
        if wake is not None:
            wake()

    @property
    def held(self) -> list[Row]:
        """Rows that were not taken yet; they stay."""
        with self._lock:
            items = list(self._pending) if self._weighed is None else [one for one, _, _ in self._weighed]
        return [row for one in items for row in (one.legible() if one.__class__ is Batch else (one,))]

    @property
    def waiting(self) -> int:
        """Rows that were not taken yet."""
        with self._lock:
            return len(self._pending) if self._weighed is None else self._rows

    @property
    def size(self) -> int:
        """Bytes of these, about."""
        with self._lock:
            if self._weighed is not None:
                return self._bytes
            some = list(self._pending)[:: max(1, len(self._pending) // 64)]
            return sum(map(weight, some)) * len(self._pending) // max(1, len(some))

    def drain(self) -> tuple[list[Row], int]:
        """Rows since the last time, the newest `keep` at most, and how many more there were."""
        return self.take(None)

    def take(self, most: int | None) -> tuple[list[Row], int]:
        """The oldest rows since the last time, so many at most, and how many were gone before these."""
        count, taken, rows = self.count, list[Any](), list[Row]()
        with self._lock:
            if self._weighed is None:
                number = len(self._pending)
                for _ in range(number if most is None else min(most, number)):
                    taken.append(self._pending.popleft())
                left = len(self._pending)
            else:
                taken, left = self._taken(self._weighed, most), self._rows
        for one in taken:
            if one.__class__ is Batch:
                over = len(one) - self.keep
                rows += (_cut(one, over, len(one)) if over > 0 else one).legible()
            else:
                rows.append(tuple(one))
        rows = rows[-self.keep :]
        skipped = max(0, count - self._told - len(rows) - left)
        self._told += len(rows) + skipped
        return rows, skipped

    def _taken(self, weighed: deque[tuple[Any, int, int]], most: int | None) -> list[Any]:
        taken, number = list[Any](), 0
        while weighed and (most is None or number < most):
            item, rows, size = weighed.popleft()
            self._rows -= rows
            self._bytes -= size
            number += rows
            if most is not None and number > most:  # a batch: what is too much of it stays
                fits = rows - (number - most)
                rest = _cut(item, fits, rows)
                weighed.appendleft((rest, len(rest), size * len(rest) // rows))
                self._rows += len(rest)
                self._bytes += weighed[0][2]
                item = _cut(item, 0, fits)
            taken.append(item)
        return taken


def _cut(batch: Batch, start: int, end: int) -> Batch:
    part = batch.table.slice(start, end - start) if batch.columnar else batch.rows[start:end]
    return Batch(part, batch.fields)


class Store:
    """Rows that were taken, for dashboards that are made later; as many and as large as their tap's."""

    def __init__(self, tap: Tap) -> None:
        self._tap = Tap(tap.name, tap.fields, tap.keep)
        self._before = 0

    def add(self, rows: Sequence[Row], skipped: int) -> None:
        self._before += skipped
        for row in rows:
            self._tap.row(row)

    @property
    def rows(self) -> list[Row]:
        return self._tap.held

    @property
    def gone(self) -> int:
        """How many more there were."""
        return self._before + self._tap.count - len(self._tap.held)

    @property
    def size(self) -> int:
        return self._tap.size


class Taps:
    """Those of a topology, by component and stream."""

    def __init__(self) -> None:
        self._taps: dict[tuple[str, str], Tap] = {}
        self._lock = threading.Lock()

    @classmethod
    def of_outline(cls, outline: Outline, make: Callable[..., Tap] = Tap) -> Taps:
        """Of all streams that are kept, wherever the topology runs."""
        found = cls()
        for component, stream, fields, keep in outline.kept(KEPT):
            found._taps[component, stream] = make(f"{component}.{stream}", fields, keep)
        return found

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

    @property
    def all(self) -> dict[str, Tap]:
        """By name, `component.stream`."""
        with self._lock:
            return {tap.name: tap for tap in self._taps.values()}

    def find(self, topology: Topology | Outline, name: str) -> Tap:
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
    """Keeps the newest `keep` rows of the streams that it takes, of 32 MiB at most, for `workbench.view`:
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
