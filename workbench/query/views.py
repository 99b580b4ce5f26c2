"""Sorted, filtered and searched views of shared results. A child process (`views_child.py`) finds the rows; what is
kept of a view is the numbers of its rows, in a file without a name that is mapped into memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import mmap
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.contract.errors import (
    Cancelled,
    DocumentError,
    InvalidParameter,
    LimitExceeded,
    UnknownResult,
    WorkbenchError,
)
from workbench.execution.shared_reading import SharedReader
from workbench.query.conditions import Conditions
from workbench.query.views_child import FRAME, LARGEST

__all__ = ["SECONDS", "View", "Views"]

SECONDS = 60.0
"""The longest that a view may take to be found."""
MEMORY = 3 << 30
"""Bytes of address space that the child may have beside what it maps of a result."""
MOST_READERS = 64
MOST_VIEWS = 1_000
"""So many views are known by their conditions; one whose rows were let go is found again when it is asked for."""
MOST_BYTES = 1 << 30
"""Row numbers of all views together."""
CHILDREN = 2
_TICK = 0.05


@dataclass(frozen=True)
class View:
    """The rows of a result that fit `conditions`, of the first `seen` that there were."""

    id: str
    result: str
    conditions: Conditions
    seen: int
    rows: int


class Views:
    """Of the results in `folder`. Thread-safe; every method may wait."""

    def __init__(self, folder: Path, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._folder, self._seconds, self._memory = folder, seconds, memory
        self._lock = threading.Lock()
        self._readers: OrderedDict[str, SharedReader] = OrderedDict()
        self._views: OrderedDict[str, View] = OrderedDict()
        self._numbers: OrderedDict[str, pa.UInt32Array] = OrderedDict()
        self._free = threading.BoundedSemaphore(CHILDREN)
        self._idle: list[_Child] = []
        self._closed = False

    def reader(self, result_id: str) -> SharedReader:
        """Of that result, refreshed. Raises UnknownResult, DocumentError."""
        with self._lock:
            reader = self._readers.get(result_id)
            if reader is not None:
                self._readers.move_to_end(result_id)
        if reader is None:
            reader = SharedReader(self._folder, result_id)
            with self._lock:
                self._readers[result_id] = reader
                while len(self._readers) > MOST_READERS:
                    self._readers.popitem(last=False)  # closed when nobody reads in it any more
            return reader
        try:
            reader.refresh()
        except WorkbenchError:
            with self._lock:
                self._readers.pop(result_id, None)
            raise
        return reader

    def find(self, result_id: str, conditions: Conditions, stopped: Callable[[], bool] = lambda: False) -> View:
        """The view of the rows that are there now. Raises LimitExceeded after `seconds`, Cancelled when `stopped`."""
        seen = self.reader(result_id).rows
        with self._lock:
            for view in self._views.values():
                if (view.result, view.conditions, view.seen) == (result_id, conditions, seen):
                    return view
        numbers = self._found(result_id, conditions, seen, stopped)
        view = View(secrets.token_hex(8), result_id, conditions, seen, len(numbers))
        with self._lock:
            self._views[view.id] = view
            while len(self._views) > MOST_VIEWS:
                old, _ = self._views.popitem(last=False)
                self._numbers.pop(old, None)
        self._keep(view, numbers)
        return view

    def get(self, result_id: str, view_id: str) -> View:
        """A view that was found before. Raises InvalidParameter."""
        with self._lock:
            view = self._views.get(view_id)
            if view is None or view.result != result_id:
                raise InvalidParameter("view", "is not known any more. Sort or filter again.")
            self._views.move_to_end(view_id)
            return view

    def numbers(self, view: View, stopped: Callable[[], bool] = lambda: False) -> pa.UInt32Array:
        """The numbers of the view's rows in the result, in its order."""
        with self._lock:
            numbers = self._numbers.get(view.id)
            if numbers is not None:
                self._numbers.move_to_end(view.id)
                return numbers
        numbers = self._found(view.result, view.conditions, view.seen, stopped)
        self._keep(view, numbers)
        return numbers

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            self._readers.clear()
            self._numbers.clear()
        for child in idle:
            child.end()

    # --- inside

    def _keep(self, view: View, numbers: pa.UInt32Array) -> None:
        with self._lock:
            self._numbers[view.id] = numbers
            while len(self._numbers) > 1 and sum(one.nbytes for one in self._numbers.values()) > MOST_BYTES:
                self._numbers.popitem(last=False)

    def _found(self, result_id: str, conditions: Conditions, seen: int, stopped: Callable[[], bool]) -> pa.UInt32Array:
        asked = {
            "folder": os.path.abspath(self._folder),
            "result": result_id,
            "seen": seen,
            "seconds": self._seconds,
            "memory": self._memory,
            **dataclasses.asdict(conditions),
        }
        until = time.monotonic() + self._seconds
        with self._child(until) as child:
            answer, numbers = child.ask(asked, seen, until, stopped, self._folder)
            if answer.get("error") == "memory":
                child.end()  # who knows what else could not be made in it
        why = str(answer.get("why", ""))
        match answer.get("error"):
            case None:
                assert numbers is not None
                return numbers
            case "UnknownResult":
                raise UnknownResult(result_id)
            case "DocumentError":
                raise DocumentError(str(answer.get("name", "")), why)
            case "memory":
                raise LimitExceeded(
                    "memory of a view", _sized(self._memory), "Filter first, or sort by fewer columns; or ask by SQL."
                )
            case "value":
                raise InvalidParameter("value", f"does not fit its column: {why}")
            case _:
                raise DocumentError(f"results/{result_id}", f"cannot be sorted or filtered: {why}.")

    @contextlib.contextmanager
    def _child(self, until: float) -> Iterator[_Child]:
        if not self._free.acquire(timeout=max(0.0, until - time.monotonic())):
            raise LimitExceeded("seconds of a view", f"{self._seconds:g}", "Other views are being made. Try again.")
        try:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is not None and not child.alive:
                child.end()
                child = None
            child = child or _Child(self._seconds)
            try:
                yield child
            except BaseException:
                child.end()
                raise
            with self._lock:
                if not self._closed:
                    self._idle.append(child)
                    return
            child.end()
        finally:
            self._free.release()


class _Child:
    """The other process. Whatever goes wrong with it, it is ended, and the next one asked is new."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._folder = Path(tempfile.mkdtemp(prefix="workbench-view-"))
        kept = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TZDIR")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "workbench.query.views_child", os.fspath(self._folder)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={name: os.environ[name] for name in kept if name in os.environ},
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(
        self, asked: dict[str, Any], seen: int, until: float, stopped: Callable[[], bool], folder: Path
    ) -> tuple[dict[str, object], pa.UInt32Array | None]:
        data = json.dumps(asked).encode()
        if len(data) > LARGEST:
            raise LimitExceeded("bytes of a view's conditions", f"{LARGEST:,}")
        try:
            rest = memoryview(FRAME.pack(len(data)) + data)
            while rest:
                assert self._process.stdin is not None
                rest = rest[self._process.stdin.write(rest) or 0 :]
            said = bytearray()
            self._take(FRAME.size, said.extend, until, stopped)
            (size,) = FRAME.unpack(said)
            if size > LARGEST:
                raise _Broken
            said.clear()
            self._take(size, said.extend, until, stopped)
            answer = json.loads(said)
            if "error" in answer:
                return answer, None
            rows = int(answer["rows"])
            if not 0 <= rows <= seen:
                raise _Broken
            return answer, self._numbers(rows, until, stopped, folder)
        except (_Broken, OSError, ValueError, KeyError):
            code = self._process.poll()
            why = "its process ended" if code is None else f"its process ended by itself ({code})"
            raise LimitExceeded(
                "memory of a view", _sized(asked["memory"]), f"It could not be made: {why}. Ask for less."
            ) from None

    def _numbers(self, rows: int, until: float, stopped: Callable[[], bool], folder: Path) -> pa.UInt32Array:
        """Straight into a file, so that they cost this process no memory of its own."""
        if rows == 0:
            return pa.array([], pa.uint32())
        with tempfile.TemporaryFile(dir=folder, prefix="view-") as file:
            self._take(rows * 4, file.write, until, stopped)
            file.flush()
            mapped = mmap.mmap(file.fileno(), rows * 4, prot=mmap.PROT_READ)
        return pa.Array.from_buffers(pa.uint32(), rows, [None, pa.py_buffer(mapped)])

    def _take(self, size: int, put: Callable[[bytes], object], until: float, stopped: Callable[[], bool]) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while size:
            if time.monotonic() > until:
                hint = "It was ended. Filter by other columns first, or ask by SQL."
                raise LimitExceeded("seconds of a view", f"{self._seconds:g}", hint)
            if stopped():
                raise Cancelled("The view")
            if not poll.poll(_TICK * 1000):
                continue
            data = os.read(descriptor, min(size, 1 << 20))
            if not data:
                raise _Broken
            put(data)
            size -= len(data)

    def end(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Broken(Exception):
    """The child is not there any more, or says nonsense."""


def _sized(memory: int) -> str:
    return f"{memory >> 20:,} MiB"
