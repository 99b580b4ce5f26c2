"""What runs on a cluster's worker: one task reads some splits and folds them where it is.

Nothing here is sent: tasks name these functions, and a worker imports them. No secret is in a task; a connection is
opened where it is used, by what `Opening` says, and kept by the process for the next task.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import secrets
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.contract.connector import Connector
from workbench.contract.errors import Cancelled, PathUnreachable
from workbench.contract.scan import ScanPlan
from workbench.execution.fold import Fold, Regroup, splits_of
from workbench.runs import Process

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "AT_ONCE", "Called", "Done", "Opening", "Task", "Turn", "again", "apply", "deal", "look", "merge", "put", "settle",
    "stop", "work",
]  # fmt: skip

AT_ONCE = 8
"""Tasks that read of one source at a time, on all workers together."""


class Opening(Protocol):
    """How a worker opens a connection: a small value that can be sent, with no secret in it."""

    @property
    def connection(self) -> str: ...

    @property
    def source(self) -> str:
        """Which source it is, by whatever name it is connected; nothing of where it is."""
        ...

    @property
    def at_once(self) -> int:
        """So many tasks read of it at a time: no more than `AT_ONCE`."""
        ...

    def unnoted(self) -> Opening:
        """The same, for work that is in no register."""
        ...

    def open(self) -> Connector:
        """The same connector for the same connection, in one process."""
        ...

    def native_started(self, run: str, native_id: str) -> None:
        """Writes down that work begins at the source, where others can end it."""
        ...

    def native_ended(self, run: str, native_id: str) -> None: ...


@dataclass(frozen=True)
class Task:
    """Some splits of a plan for one worker. `plan` has just these."""

    run: str
    number: int
    opening: Opening
    plan: ScanPlan
    guard: float | None = None


@dataclass(frozen=True)
class Done:
    """The part that a task's rows came to, and what it took."""

    part: Any
    rows_moved: int = 0
    rows_kept: int = 0
    bytes_received: int = 0
    retries: int = 0
    seconds: float = 0.0
    lost: dict[str, int] = field(default_factory=dict)

    def __sizeof__(self) -> int:
        """What Dask goes by where it places tasks, and where it moves results out of memory."""
        return object.__sizeof__(self) + _size(self.part)


@dataclass(frozen=True)
class Called:
    """What is called with the rows of a task, whose columns are `names`; somebody's own, pickled by value."""

    names: tuple[str, ...]
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __call__(self, rows: pa.Table) -> Any:
        return self.fn(rows.rename_columns(self.names), *self.args, **self.kwargs)


class Turn:
    """A source's turn where a task finds out by itself where it runs: on a cluster's worker it is the cluster's. One
    for each source in a process: Dask's refreshes its leases for ever, from when it is made. Where it lets in fewer
    than `AT_ONCE`, these are among those of the source, by whatever other names it is read."""

    def __init__(self, source: str, at_once: int = AT_ONCE) -> None:
        self._bounds = [(f"workbench-{source}-{most}", most) for most in sorted({at_once, max(at_once, AT_ONCE)})]
        self._held: list[contextlib.ExitStack] = []

    def __enter__(self) -> None:
        with contextlib.ExitStack() as held:
            for name, most in self._bounds:  # the narrower first
                held.enter_context(self._found(name, most))
            self._held.append(held.pop_all())

    def __exit__(self, *error: Any) -> None:
        self._held.pop().__exit__(*error)  # another thread's, it may be: they are alike

    @staticmethod
    def _found(name: str, most: int) -> Any:
        if "distributed" in sys.modules:
            from distributed import Semaphore, get_worker

            with contextlib.suppress(ValueError):  # this is no worker
                worker = get_worker()
                with _lock:
                    made = _semaphores.setdefault(worker, {})
                    if name not in made:
                        made[name] = Semaphore(most, name=name)
                    return made[name]
        with _lock:
            return _turns.setdefault(name, threading.Semaphore(most))


_lock = threading.Lock()
_turns: dict[str, threading.Semaphore] = {}
_semaphores: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()
_stopped: dict[str, float] = {}
_running: dict[str, set[Any]] = {}
_REMEMBERED = 3600.0


class _Here:
    """The run as a scan on a worker sees it."""

    def __init__(self, task: Task) -> None:
        self.id = task.run
        self._task = task
        self.title = ""

    def mark(self, n: int) -> str:
        return f"wb-{self.id}-{self._task.number}-{os.getpid()}-{n}"

    def native_started(self, connection: str, native_id: str) -> None:
        self._task.opening.native_started(self.id, native_id)

    def native_ended(self, connection: str, native_id: str) -> None:
        self._task.opening.native_ended(self.id, native_id)

    def progress(self, rows: int, bytes: int, fraction: float | None = None) -> None:  # noqa: A002
        """Told by the task's end."""


def work(task: Task, fold: Fold[Any, Any], turn: AbstractContextManager[object]) -> Done:
    """Reads the task's splits and folds them. `turn` is the source's: so many read of it at once, on all workers."""
    from workbench.execution.scan import Scan, Source

    _check(task.run)
    with turn:
        _check(task.run)
        opening = task.opening
        scan = Scan(Source(opening.connection, opening.open(), task.plan), _Here(task), workers=1, guard=task.guard)
        with _known(task.run, scan):
            try:
                with scan:
                    parts = [fold.each(number, batches) for number, batches in enumerate(_pieces(scan, task.run))]
            finally:
                scan.close()
                scan.drained(5.0)
    stats = scan.stats
    return Done(
        fold.merge(parts),
        stats.rows_moved,
        stats.rows_kept,
        stats.bytes_received,
        stats.retries,
        stats.seconds,
        dict(stats.lost),
    )


def merge(run: str, fold: Fold[Any, Any], done: Sequence[Done]) -> Done:
    """Several parts as one."""
    _check(run)
    return replace(_sum(done), part=fold.merge([one.part for one in done]))


def _sum(done: Sequence[Done]) -> Done:
    """What all of them took."""
    lost: dict[str, int] = {}
    for one in done:
        for column, count in one.lost.items():
            lost[column] = lost.get(column, 0) + count
    return Done(
        None,
        sum(one.rows_moved for one in done),
        sum(one.rows_kept for one in done),
        sum(one.bytes_received for one in done),
        sum(one.retries for one in done),
        sum(one.seconds for one in done),
        lost,
    )


def apply(run: str, call: Called, done: Done) -> Done:
    _check(run)
    return replace(done, part=call(done.part))


def deal(run: str, fold: Regroup[Any, Any], done: Done, partitions: int) -> list[Done]:
    """The part by partitions; what it took is with the first."""
    _check(run)
    first, *others = fold.deal(done.part, partitions)
    return [replace(done, part=first), *map(Done, others)]


def settle(run: str, fold: Regroup[Any, Any], done: Done) -> Done:
    _check(run)
    return replace(done, part=fold.settle(done.part))


def again(run: str, fold: Regroup[Any, Any], done: Done) -> Done:
    _check(run)
    return replace(done, part=fold.again(done.part))


def put(run: str, fold: Regroup[Any, Any], done: Sequence[Done], folder: str, number: int, whole: bool = False) -> Done:
    """Writes what settled parts come to (or the `whole` one) as a file of the folder: its name, rows and bytes. A file
    without rows is written only as the first, for its columns. A second attempt writes another file, so that what is
    named is whole."""
    import pyarrow.parquet as pq

    _check(run)
    table = fold.finish(done[0].part) if whole else fold.gather([one.part for one in done])
    files = []
    if table.num_rows or not number:
        path = Path(folder) / f"part-{number:05d}-{secrets.token_hex(4)}.parquet"
        try:
            with open(path, "xb") as file:
                pq.write_table(table, file, compression="zstd", write_page_checksum=True)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            why = f"{error.strerror or error} (on the worker at {platform.node()})"
            raise PathUnreachable(folder, why, act="write") from None
        files.append((path.name, table.num_rows, path.stat().st_size))
    return replace(_sum(done), part=files)


def stop(run: str) -> int:
    """Ends what this worker does for the run, now and later; how many scans that were. Called beside the tasks."""
    now = time.monotonic()
    with _lock:
        _stopped[run] = now
        for old in [one for one, when in _stopped.items() if now - when > _REMEMBERED]:
            del _stopped[old]
        scans = list(_running.get(run, ()))
    for scan in scans:
        scan.cancel()
    return len(scans)


def look(home: str) -> dict[str, Any]:
    """Who this worker is: versions, machine and user, and whether it can read the user's documents."""
    import importlib.metadata

    versions = {}
    for name in ("analytics-workbench", "distributed", "duckdb", "pyarrow"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    return {
        "python": platform.python_version(),
        "versions": versions,
        "host": Process.current().host,
        "user": getpass.getuser() if sys.platform != "win32" else "",
        "home": os.access(Path(home), os.R_OK),
    }


class _known:  # noqa: N801 - used as a `with` word
    """The scan is among those that `stop` ends."""

    def __init__(self, run: str, scan: Any) -> None:
        self._run, self._scan = run, scan

    def __enter__(self) -> None:
        with _lock:
            _running.setdefault(self._run, set()).add(self._scan)
        _check(self._run)

    def __exit__(self, *_: object) -> None:
        with _lock:
            scans = _running.get(self._run, set())
            scans.discard(self._scan)
            if not scans:
                _running.pop(self._run, None)


def _size(part: Any) -> int:
    if "dask" not in sys.modules or isinstance(getattr(part, "nbytes", None), int):
        return int(getattr(part, "nbytes", 0) or 0)
    from dask.sizeof import sizeof

    return int(sizeof(part))


def _check(run: str) -> None:
    with _lock:
        if run in _stopped:
            raise Cancelled("The query")


def _pieces(scan: Iterator[pa.RecordBatch], run: str) -> Iterator[list[pa.RecordBatch]]:
    """At least one, so that a fold says what no rows come to."""
    some = False
    for piece in splits_of(scan):
        _check(run)
        yield piece
        some = True
    if not some:
        yield []
