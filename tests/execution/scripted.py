"""A source whose splits do what a script says: bring batches, break, wait in a socket as a driver does."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from workbench.contract import (
    Applied,
    Control,
    Position,
    Predicate,
    ScanPlan,
    ScanRequest,
    ServerInfo,
    Split,
    TableInfo,
    TableRef,
)
from workbench.contract.errors import ConnectionLost, QueryFailed, Unsupported
from workbench.execution.scan import Source

SCHEMA = pa.schema([("split", pa.int32()), ("row", pa.int64())])


@dataclass(frozen=True)
class Broken:
    """Raise what it makes."""

    make: Callable[[], BaseException]


@dataclass(frozen=True)
class Silent:
    """Wait in a socket for a server that says nothing; let go by `close` alone."""


@dataclass(frozen=True)
class Deaf:
    """Wait for a server that only a cancel at the server (`Script.freed`) lets go; `close` does not help."""


@dataclass(frozen=True)
class Lost:
    """Values that are counted as lost from now on."""

    counts: Mapping[str, int]


@dataclass(frozen=True)
class Says:
    """What the source says of its own work; then `then` is called."""

    text: str
    fraction: float | None = None
    then: Callable[[], object] = lambda: None


Step = pa.RecordBatch | Broken | Silent | Deaf | Lost | Says


def rows(split: int, start: int, count: int) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array([split] * count, pa.int32()), pa.array(range(start, start + count), pa.int64())], schema=SCHEMA
    )


@dataclass
class Script:
    """For each split, the steps of its first read, its second read …; the last is repeated."""

    splits: Sequence[Sequence[Sequence[Step]]]
    schema: pa.Schema = SCHEMA
    natives: bool = True
    resumable: bool = False
    cancel: Callable[[str], None] | None = None
    pace: Callable[[], object] = lambda: None
    """Called before each step."""
    log: list[tuple[str, str]] = field(default_factory=list)
    reads: Counter[int] = field(default_factory=Counter)
    brought: int = 0
    freed: threading.Event = field(default_factory=threading.Event)
    open: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def source(
        self,
        predicates: tuple[Predicate, ...] = (),
        columns: tuple[str, ...] | None = None,
        extra: int = 0,
        limit: int | None = None,
        estimate: int | None = None,
        protect: Callable[[], None] | None = None,
    ) -> Source:
        table = TableRef("t")
        names = tuple(self.schema.names) if columns is None else columns
        request = ScanRequest(table, names, predicates, limit=limit)
        splits = tuple(
            Split(number, table, "read", self.schema, resumable=self.resumable) for number in range(len(self.splits))
        )
        applied = dict.fromkeys(predicates, Applied.SUPERSET)
        plan = ScanPlan(request, splits, self.schema, "read", applied, extra=extra, estimate=estimate)
        return Source("shop", ScriptedConnector(self), plan, protect)

    def note(self, what: str, about: str) -> None:
        with self.lock:
            self.log.append((what, about))


class ScriptedConnector:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.tables = ScriptedTables(script)
        self.feeds = None
        self.sinks = None

    def test(self) -> ServerInfo:
        return ServerInfo("script", "1")

    def cancel(self, native_id: str) -> None:
        self.script.note("cancel", native_id)
        if self.script.cancel is None:
            raise Unsupported("The script", "cancel")
        self.script.cancel(native_id)

    def close(self) -> None:
        return


class ScriptedTables:
    def __init__(self, script: Script) -> None:
        self._script = script

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        return [TableInfo(TableRef("t"))]

    def schema(self, table: TableRef) -> pa.Schema:
        return self._script.schema

    def plan(self, request: ScanRequest) -> ScanPlan:
        raise Unsupported("The script", "plan")

    def native(self, text: str) -> ScanPlan:
        raise Unsupported("The script", "run text")

    def read(self, split: Split, control: Control) -> ScriptedReader:
        return ScriptedReader(self._script, split, control)


class ScriptedReader:
    def __init__(self, script: Script, split: Split, control: Control) -> None:
        self._script, self._split, self._control = script, split, control
        with script.lock:
            attempts = script.splits[split.number]
            steps = attempts[min(script.reads[split.number], len(attempts) - 1)]
            self._steps = iter(steps)
            self._deaf = any(isinstance(step, Deaf) for step in steps)
            script.reads[split.number] += 1
            script.open.add(control.mark)
        self._ours, self._servers = socket.socketpair()
        self._lost: dict[str, int] = {}
        self._received = 0
        self._closed = False
        self._closing, self._receiving = threading.Lock(), threading.Lock()
        if script.natives:
            control.running(control.mark)

    @property
    def schema(self) -> pa.Schema:
        return self._script.schema

    @property
    def native_id(self) -> str | None:
        return self._control.mark if self._script.natives else None

    @property
    def snapshot(self) -> Position | None:
        return None

    @property
    def lost(self) -> Mapping[str, int]:
        return self._lost

    @property
    def received(self) -> int:
        return self._received

    def __iter__(self) -> ScriptedReader:
        return self

    def __next__(self) -> pa.RecordBatch:
        while True:
            self._script.pace()
            step: Any = next(self._steps)
            match step:
                case Broken(make=make):
                    raise make()
                case Lost(counts=counts):
                    self._lost = dict(counts)
                case Says(text=text, fraction=fraction, then=then):
                    self._control.working(text, fraction)
                    then()
                case Deaf():
                    self._script.note("silent", self._control.mark)
                    self._script.freed.wait(30)
                    raise QueryFailed("interrupted", 1317)
                case Silent():
                    self._script.note("silent", self._control.mark)
                    with self._receiving:
                        if not self._closed:
                            self._ours.recv(1)
                    raise ConnectionLost("the socket was closed")
                case _:
                    with self._script.lock:
                        self._script.brought += 1
                    self._received += 100
                    return step

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._ours.shutdown(socket.SHUT_RDWR)  # wakes the reader, if it is in `recv`
        with self._receiving:
            self._ours.close()
        self._servers.close()
        with self._script.lock:
            self._script.open.discard(self._control.mark)
        if self._script.natives and not self._deaf:
            self._control.ended(self._control.mark)
