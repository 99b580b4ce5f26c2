"""What goes between the processes of a run: rows in frames, acks in arrays, all else as JSON.

Rows are pickled: they are whatever a spout or bolt has emitted, and must come out as they went in. Only the worker that
the run itself has started reads them, over a socket that nobody else can open, with an identity that nobody else knows;
what passes them on reads nothing but the first bytes. The standard library only, but for Arrow tables.
"""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
from array import array
from collections.abc import Callable, Mapping
from typing import Any

from workbench.contract.errors import EmitRefused
from workbench.streams.metrics import Cell, Scrape
from workbench.streams.tuples import Batch, Row, Tuple, shown, told

__all__ = ["FRAME_ROWS", "LETTER", "MOST", "Outbox", "plain_scrape", "read_scrape", "tables", "told_error", "unpacked"]

MOST = 256 << 20
"""Bytes of one message. The sockets drop whoever sends a longer one; rows that would are refused before."""
LETTER = 1 << 14
"""Bytes of a dead letter's row, or of an error; a longer one is told as text. A thousand are a third of a frame."""
FRAME_ROWS = 1_000
FRAME_BYTES = 32 << 20
"""Rows of a frame that were in bytes too many are sent in halves."""

Key = tuple[int, str, str, int]
"""Task that takes, component and stream that it takes from, task that gives."""
Edges = dict[int, int] | None
Entry = tuple[Key, list[Any], list[int | None], list[Any]]
"""Items, and of each its root and edge; of one with several roots None and all of them, of an untracked one None twice.
An item is a tuple (a row) or a list (a batch: rows, or the bytes of an Arrow stream, and its origin)."""


class Outbox:
    """Rows for other workers, until they are sent: `send(worker, rows, payload)`. Those from one task to another stay
    in order. What cannot be pickled fails alone: `refused(key, edges, item, error)`."""

    def __init__(
        self, send: Callable[[int, int, bytes], None], refused: Callable[[Key, Edges, Any, Exception], None]
    ) -> None:
        self._send, self._refused = send, refused
        self._parts: dict[int, dict[Key, Entry]] = {}
        self._rows: dict[int, int] = {}

    def row(self, worker: int, task: int, given: Tuple, edges: Edges) -> None:
        kind = given.__class__
        self._put(worker, (task, kind.source_component, kind.source_stream, kind.source_task), tuple(given), edges, 1)

    def batch(self, worker: int, key: Key, batch: Batch, edges: Edges) -> None:
        data: Any = _arrow(batch.table) if batch.columnar else [tuple(row) for row in batch.rows]
        self._put(worker, key, [data, batch.origin], edges, len(batch))

    def _put(self, worker: int, key: Key, item: Any, edges: Edges, rows: int) -> None:
        part = self._parts.get(worker)
        if part is None:
            part = self._parts[worker] = {}
            self._rows[worker] = 0
        entry = part.get(key)
        if entry is None:
            entry = part[key] = (key, [], [], [])
        entry[1].append(item)
        if edges is None or len(edges) != 1:
            entry[2].append(None)
            entry[3].append(edges or None)
        else:
            ((root, edge),) = edges.items()
            entry[2].append(root)
            entry[3].append(edge)
        self._rows[worker] = number = self._rows[worker] + rows
        if number >= FRAME_ROWS:
            self.flush(worker)

    def flush(self, worker: int) -> None:
        part, rows = self._parts.pop(worker), self._rows.pop(worker)
        self._sent(worker, rows, list(part.values()))

    def flush_all(self) -> None:
        for worker in list(self._parts):
            self.flush(worker)

    @property
    def empty(self) -> bool:
        return not self._parts

    def _sent(self, worker: int, rows: int, entries: list[Entry]) -> None:
        several = sum(len(entry[1]) for entry in entries) > 1
        try:
            payload = pickle.dumps(entries, 5)
            if len(payload) > (FRAME_BYTES if several else MOST - 4096):
                raise ValueError(f"it is {len(payload):,} bytes, and {MOST:,} are the most that go to another process")
        except Exception as error:  # noqa: BLE001  # what pickles a value is anybody's code
            if several:
                for half in _halves(entries):
                    self._sent(worker, sum(map(_size, (item for entry in half for item in entry[1]))), half)
                return
            ((key, (item,), (root,), (edge,)),) = entries
            self._refused(key, edge if root is None else {root: edge}, item, error)
            return
        self._send(worker, rows, payload)


def _size(item: Any) -> int:
    if item.__class__ is tuple:
        return 1
    return len(item[0]) if item[0].__class__ is list else tables(item[0]).num_rows


def _halves(entries: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    flat = [
        (key, [item], [root], [edge])
        for key, items, roots, edges in entries
        for item, root, edge in zip(items, roots, edges, strict=True)
    ]
    return flat[: len(flat) // 2], flat[len(flat) // 2 :]


def unpacked(payload: bytes) -> list[Entry]:
    """A frame's entries. Only for what came from a worker of the same run."""
    entries: list[Entry] = pickle.loads(payload)
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


# --- acks: root, value, how many more have some of it (negative: less), and which workers


def acks_of(messages: Mapping[int, list[int]]) -> bytes:
    flat = array("Q")
    for root, (value, more, workers) in messages.items():
        flat.extend((root, value, more & 0xFFFFFFFFFFFFFFFF, workers))
    return flat.tobytes()


def read_acks(data: bytes) -> list[tuple[int, int, int, int]]:
    flat = array("Q")
    flat.frombytes(data)
    every = iter(flat)
    return [
        (root, value, more - (1 << 64) if more >> 63 else more, of)
        for root, value, more, of in zip(*[every] * 4, strict=True)
    ]


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


def by_owner(messages: Mapping[int, list[int]]) -> dict[int, dict[int, list[int]]]:
    found: dict[int, dict[int, list[int]]] = {}
    for root, message in messages.items():
        found.setdefault(root >> 40, {})[root] = message
    return found


def letter(row: Row, component: str, error: str, tries: int) -> dict[str, Any]:
    """A dead letter; its row as text where it cannot be pickled or is long."""
    try:
        data = pickle.dumps(tuple(row), 5)
        if len(data) > LETTER:
            raise ValueError("too long")
    except Exception:  # noqa: BLE001  # it is told as text then
        data = pickle.dumps(tuple(shown(value, 500) for value in row), 5)
    return {"component": component, "error": error[:2000], "tries": tries, "row": base64.b64encode(data).decode()}
