"""What goes between the processes of a run: rows in frames, all else as JSON.

Rows are pickled: they are whatever a spout or bolt has emitted, and must come out as they went in. Only the worker that
the run itself has started reads them, over a socket that nobody else can open, with an identity that nobody else knows;
what passes them on reads nothing but the first bytes. The standard library only, but for Arrow tables.
"""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from workbench.contract.errors import EmitRefused
from workbench.streams.metrics import Cell, Scrape
from workbench.streams.processes_flights import Flight
from workbench.streams.processes_tracking import PartTracking
from workbench.streams.tuples import Batch, Row, Tuple, shown, told

__all__ = [
    "FRAME_ROWS",
    "LETTER",
    "MOST",
    "Outbox",
    "plain_scrape",
    "read_scrape",
    "rows_of",
    "tables",
    "told_error",
    "unpacked",
]

MOST = 256 << 20
"""Bytes of one message. The sockets drop whoever sends a longer one; rows that would are refused before."""
LETTER = 1 << 14
"""Bytes of a dead letter's row, or of an error; a longer one is told as text. A thousand are a third of a frame."""
FRAME_ROWS = 1_000
FRAME_BYTES, AIM = 32 << 20, 4 << 20
"""Rows of a frame that were in bytes too many are sent in halves, and later frames have so few as to be near the aim.
"""

Key = tuple[int, str, str, int]
"""Task that takes, component and stream that it takes from, task that gives."""
Edges = dict[int, int] | None
Entry = tuple[Key, list[Any], list[int | None], list[Any]]
"""Items, and of each its root and edge; of one with several roots None and all of them, of an untracked one None twice.
An item is a tuple (a row) or a list (a batch: rows, or the bytes of an Arrow stream, and its origin)."""
Flown = tuple[Key, int, int, int, int, list[Any]]
"""A flight: its first root, the edge of each, how many rows, of how many values each, and all values."""


class _Part:
    """What goes to one worker next: entries and flights, of each key in order; `last` has the newest of each."""

    __slots__ = ("last", "rows", "runs")

    def __init__(self) -> None:
        self.runs: list[Entry | Flight] = []
        self.last: dict[Key, Entry | Flight] = {}
        self.rows = 0


class Outbox:
    """Rows for other workers, until they are sent: `send(worker, rows, payload)`. Those from one task to another stay
    in order. What cannot be pickled fails alone: `refused(key, edges, item, error)`. A frame has `most` rows, and
    fewer when they are long."""

    def __init__(
        self,
        send: Callable[[int, int, bytes], None],
        refused: Callable[[Key, Edges, Any, Exception], None],
        tracking: PartTracking,
        most: int = FRAME_ROWS,
    ) -> None:
        self._send, self._refused, self._tracking, self._most = send, refused, tracking, most
        self._room = most
        self._parts: dict[int, _Part] = {}
        tracking.ground, tracking.filled = self._ground, self._filled

    def row(self, worker: int, task: int, given: Tuple, edges: Edges) -> None:
        kind = given.__class__
        self._put(worker, (task, kind.source_component, kind.source_stream, kind.source_task), tuple(given), edges, 1)

    def batch(self, worker: int, key: Key, batch: Batch, edges: Edges) -> None:
        data: Any = _arrow(batch.table) if batch.columnar else [tuple(row) for row in batch.rows]
        self._put(worker, key, [data, batch.origin], edges, len(batch))

    def flight(self, worker: int, key: Key, width: int) -> Flight:
        """One that takes rows, and is behind all that is there of the same key."""
        part = self._part(worker)
        made = part.last[key] = Flight(part, worker, key, width)
        part.runs.append(made)
        return made

    def _part(self, worker: int) -> _Part:
        part = self._parts.get(worker)
        if part is None:
            part = self._parts[worker] = _Part()
        return part

    def _put(self, worker: int, key: Key, item: Any, edges: Edges, rows: int) -> None:
        part = self._part(worker)
        self._add(part, key, item, edges)
        part.rows += rows
        if part.rows >= self._room:
            self.flush(worker)

    @staticmethod
    def _add(part: _Part, key: Key, item: Any, edges: Edges) -> None:
        entry = part.last.get(key)
        if entry is None or isinstance(entry, Flight):
            if entry is not None:
                entry.closed = True
            entry = part.last[key] = (key, [], [], [])
            part.runs.append(entry)
        _, items, roots, found = entry
        items.append(item)
        if edges is None or len(edges) != 1:
            roots.append(None)
            found.append(edges or None)
        else:
            ((root, edge),) = edges.items()
            roots.append(root)
            found.append(edge)

    def _ground(self, flight: Flight, root: int, edge: int) -> None:
        self._add(flight.part, flight.key, flight.pop(), {root: edge})
        flight.part.rows += 1

    def _filled(self, flight: Flight) -> None:
        part = flight.part
        part.rows += 1
        if part.rows >= self._room:
            self.flush(flight.worker)

    def flush(self, worker: int) -> None:
        self._tracking.ground_all()
        part = self._parts.pop(worker)
        runs = []
        for run in part.runs:
            if run.__class__ is Flight:
                run.closed = True
                if not run.number:
                    continue
                self._tracking.depart(run)
            runs.append(run)
        if runs:
            self._sent(worker, part.rows, runs)

    def flush_all(self) -> None:
        for worker in list(self._parts):
            self.flush(worker)

    @property
    def empty(self) -> bool:
        return not self._parts

    def _sent(self, worker: int, rows: int, runs: list[Any]) -> None:
        try:
            payload = pickle.dumps([_flown(run) if run.__class__ is Flight else run for run in runs], 5)
            several = sum(run.number if run.__class__ is Flight else len(run[1]) for run in runs) > 1
            if len(payload) > (FRAME_BYTES if several else MOST - 4096):
                raise ValueError(f"it is {len(payload):,} bytes, and {MOST:,} are the most that go to another process")
        except Exception as error:  # noqa: BLE001  # what pickles a value is anybody's code
            self._apart(worker, runs, error)
            return
        for run in runs:
            if run.__class__ is Flight:  # only its roots are of use from now on
                run.values, run.part = [], None
        self._room = max(1, min(self._most, AIM * rows // (len(payload) + 1)))
        self._send(worker, rows, payload)

    def _apart(self, worker: int, runs: list[Any], error: Exception) -> None:
        """What is too much for one message, or has something in it that cannot be sent, goes in halves."""
        flat: list[Entry] = []
        for run in runs:
            flat += self._singles(run) if run.__class__ is Flight else _items(run)
        if len(flat) > 1:
            for half in (flat[: len(flat) // 2], flat[len(flat) // 2 :]):
                self._sent(worker, sum(_size(items[0]) for _, items, _, _ in half), half)
            return
        for key, (item,), (root,), (edge,) in flat:
            self._refused(key, edge if root is None else {root: edge}, item, error)

    def _singles(self, flight: Flight) -> list[Entry]:
        """Its rows, each a root of its own."""
        rows = rows_of(flight.values, flight.width, flight.number)
        found: list[Entry] = []
        for place, row in enumerate(rows):
            root = flight.base + place
            found.append((flight.key, [row], [root], [self._tracking.single(root)]))
        return found


def _flown(flight: Flight) -> Flown:
    return flight.key, flight.base, flight.edge, flight.number, flight.width, flight.values


def rows_of(values: list[Any], width: int, number: int) -> Iterable[tuple[Any, ...]]:
    """The rows that values are of, so many to each."""
    return zip(*[iter(values)] * width, strict=True) if width else [()] * number


def _size(item: Any) -> int:
    if item.__class__ is tuple:
        return 1
    return len(item[0]) if item[0].__class__ is list else tables(item[0]).num_rows


def _items(entry: Entry) -> list[Entry]:
    key, items, roots, edges = entry
    return [(key, [item], [root], [edge]) for item, root, edge in zip(items, roots, edges, strict=True)]


def unpacked(payload: bytes) -> list[Entry | Flown]:
    """A frame's entries and flights. Only for what came from a worker of the same run."""
    entries: list[Entry | Flown] = pickle.loads(payload)
    return entries


def _arrow(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:  # only the rows of a slice, which a pickle is not sure to do
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def tables(data: bytes) -> Any:
    import pyarrow as pa

    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


# --- metrics as JSON

_COUNTS = ("emitted", "transferred", "executed", "acked", "failed", "pending", "untracked")


def plain_scrape(scrape: Scrape) -> dict[str, Any]:
    cells = [
        [
            *key,
            [getattr(cell, name) for name in _COUNTS],
            cell.whole,
            {name: [count, total, _sparse(buckets)] for name, (count, total, buckets) in cell.times.items()},
        ]
        for key, cell in scrape.cells.items()
    ]
    return {
        "at": scrape.at,
        "uptime": scrape.uptime,
        "cells": cells,
        "idle": [[*key, dict(value)] for key, value in scrape.idle.items()],
        "errors": dict(scrape.errors),
        "dead": dict(scrape.dead),
        "queued": scrape.queued,
        "windows": [[*key, dict(value)] for key, value in scrape.windows.items()],
        "sources": [[*key, dict(value)] for key, value in scrape.sources.items()],
    }


def read_scrape(body: Mapping[str, Any]) -> Scrape:
    from workbench.streams.counting import BUCKETS

    cells = {}
    for component, task, source, stream, counts, whole, times in body["cells"]:
        cell = Cell(**dict(zip(_COUNTS, counts, strict=True)), whole=whole)
        cell.times = {name: (one[0], one[1], _dense(one[2], BUCKETS)) for name, one in times.items()}
        cells[component, task, source, stream] = cell
    return Scrape(
        body["at"],
        body["uptime"],
        cells,
        {(component, task): value for component, task, value in body["idle"]},
        body["errors"],
        body["dead"],
        body["queued"],
        {(component, task): value for component, task, value in body["windows"]},
        {(component, task): value for component, task, value in body["sources"]},
    )


def _sparse(buckets: tuple[int, ...]) -> list[list[int]]:
    return [[place, count] for place, count in enumerate(buckets) if count]


def _dense(sparse: list[list[int]], length: int) -> tuple[int, ...]:
    buckets = [0] * length
    for place, count in sparse:
        buckets[place] = count
    return tuple(buckets)


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


def refusal(component: str, item: Any, error: Exception) -> EmitRefused:
    """What is said of a row that cannot go to another process."""
    return EmitRefused(
        component,
        f"{shown(item, 200)} cannot be sent to another process: {told(error, 500)}. Emit plain values.",
    )


def told_error(error: BaseException) -> dict[str, Any]:
    """As text, and whole where it can be pickled."""
    body = {"type": type(error).__name__, "text": told(error).partition(": ")[2], "pickle": ""}
    with contextlib.suppress(Exception):
        data = pickle.dumps(error, 5)
        pickle.loads(data)  # what cannot be made again is told as text
        if len(data) <= LETTER:
            body["pickle"] = base64.b64encode(data).decode()
    return body


def letter(row: Row, component: str, error: str, tries: int) -> dict[str, Any]:
    """A dead letter; its row as text where it cannot be pickled or is long."""
    try:
        data = pickle.dumps(tuple(row), 5)
        if len(data) > LETTER:
            raise ValueError("too long")
    except Exception:  # noqa: BLE001  # it is told as text then
        data = pickle.dumps(tuple(shown(value, 500) for value in row), 5)
    return {"component": component, "error": error[:2000], "tries": tries, "row": base64.b64encode(data).decode()}
