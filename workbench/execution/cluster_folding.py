"""One fold over the workers of a cluster: splits are read there, parts are put together there, what is asked for comes
here or goes to files.

Small parts are merged by eights, those of one worker with each other first, so that little is sent. Parts that are
large together are regrouped: each worker deals its own out by key, and every partition is merged by one worker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import duckdb
import pyarrow as pa

from workbench.contract.errors import Cancelled, ClusterFailed, LimitExceeded, WorkbenchError
from workbench.execution.cluster_worker import (
    AT_ONCE,
    Called,
    Done,
    Task,
    Turn,
    again,
    apply,
    deal,
    merge,
    put,
    settle,
    work,
)
from workbench.execution.fold import Fold, Regroup

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["MOST_GATHERED", "Folding"]

Answer = TypeVar("Answer")
TICK = 0.1
MERGED_AT_ONCE = 8
MOST_GATHERED = 256 << 20
"""Bytes of a result that come to who asked; more stays where it is, and is refused."""
REGROUPED = 64 << 20
"""Bytes of parts from which on they are regrouped by key …"""
PARTITION = 32 << 20
"""… into partitions of about so many."""
MOST_PARTITIONS = 256
MOST_DEALT = 4_096
"""Pieces; where there would be more, parts are merged by eights before."""
_SMALL = 1 << 20


class _Cluster(Protocol):
    @property
    def address(self) -> str: ...
    @property
    def client(self) -> Client: ...
    def stop(self, run: str) -> None: ...


@dataclass
class Folding:
    """One fold on a cluster, and how far it is. Raises the tasks' own errors, DuckDB's and Arrow's of
    the rows, Cancelled, LimitExceeded, and ClusterFailed where a task ends its workers again and again."""

    cluster: _Cluster
    run: str
    tasks: int
    at_once: int = AT_ONCE
    on_progress: Callable[[Folding], object] = lambda _: None
    stopped: Callable[[], bool] = lambda: False
    done: int = 0
    rows_moved: int = 0
    rows_kept: int = 0
    bytes_received: int = 0
    retries: int = 0
    gathered: int = 0
    """Bytes of parts which came here."""
    partitions: int = 0
    """Its parts were regrouped into so many; 0 where they were merged."""
    regrouped: int = 0
    """Bytes of the parts that were."""
    lost: dict[str, int] = field(default_factory=dict)
    _level: int = 0
    _theirs: bool = False

    def answer(self, fold: Fold[Any, Answer], tasks: Sequence[Task]) -> Answer:
        """What the fold comes to, here."""
        with _Ended(self):
            sent = self._sent(fold)
            parts = self._waited(self._read(tasks, sent), reading=True)
            return self._together(fold, sent, parts)

    def pieces(self, fold: Fold[Any, Any], tasks: Sequence[Task], call: Called) -> list[Any]:
        """What `call` gives for each task's part, in the tasks' order. Raises its own errors, too."""
        with _Ended(self):
            self._theirs = True
            reads = self._read(tasks, self._sent(fold))
            called = [self._submit("call", n, apply, call, one) for n, one in enumerate(reads)]
            del reads
            return [done.part for done in self._come(self._waited(called, reading=True))]

    def files(self, fold: Regroup[Any, Any], tasks: Sequence[Task], folder: str) -> list[tuple[str, int, int]]:
        """Writes the answer as Parquet files from where it is: their names, rows and bytes. Where only the answer as a
        whole can be had, it is one file."""
        with _Ended(self):
            sent = self._sent(fold)
            parts = self._read(tasks, sent)
            if not fold.settled:
                fold, sent, parts, settled = self._regrouped(fold, sent, self._waited(parts, reading=True))
                if not settled:
                    last = self._submit("write", 0, put, sent, [self._merged(sent, parts)], folder, 0, True)
                    return list(self._come(self._waited([last]))[0].part)
            together = [parts] if fold.bounded else [[one] for one in parts]
            written = [self._submit("write", n, put, sent, of, folder, n) for n, of in enumerate(together)]
            del parts, together  # so that rows go from a worker as soon as they are written
            self._waited(written, reading=fold.settled)
            return [one for done in self._come(written) for one in done.part]

    # --- inside

    @property
    def _client(self) -> Client:
        return self.cluster.client

    def _sent(self, fold: Fold[Any, Any]) -> Any:
        if getattr(fold, "nbytes", 0) > _SMALL:
            return self._client.scatter(fold, broadcast=True, hash=False)
        return fold

    def _read(self, tasks: Sequence[Task], sent: Any) -> list[Future[Done]]:
        bounds = {task.opening.source: min(self.at_once, task.opening.at_once) for task in tasks}
        turns = {source: Turn(source, most) for source, most in bounds.items()}
        return [
            self._submit("read", task.number, work, task, sent, turns[task.opening.source], run=False) for task in tasks
        ]

    def _together(self, fold: Fold[Any, Answer], sent: Any, parts: list[Future[Done]]) -> Answer:
        settled = False
        if isinstance(fold, Regroup):
            fold, sent, parts, settled = self._regrouped(fold, sent, parts)
            if settled:
                return fold.gather([done.part for done in self._come(parts)])
        return fold.finish(self._come([self._merged(sent, parts)])[0].part)

    def _regrouped(
        self, fold: Regroup[Any, Answer], sent: Any, parts: list[Future[Done]]
    ) -> tuple[Regroup[Any, Answer], Any, list[Future[Done]], bool]:
        """Parts to go on with, of which fold they are, and whether they are settled; else they are to be merged."""
        settled = fold.settled
        while not settled and fold.dealable and len(parts) > 1 and (size := self._size(parts)) > REGROUPED:
            partitions = max(2, min(MOST_PARTITIONS, -(-size // PARTITION)))
            self.partitions, self.regrouped = max(partitions, self.partitions), self.regrouped + size
            parts, after = self._dealt(sent, parts, partitions), fold.then
            settled = after is None
            if after is None:
                parts = self._waited([self._submit("settle", n, settle, sent, one) for n, one in enumerate(parts)])
            else:
                fold, sent = after, after
                parts = self._waited([self._submit("again", n, again, sent, one) for n, one in enumerate(parts)])
        return fold, sent, parts, settled

    def _dealt(self, sent: Any, parts: list[Future[Done]], partitions: int) -> list[Future[Done]]:
        while len(parts) * partitions > MOST_DEALT and len(parts) > 1:
            parts = self._level_merged(sent, parts)
        dealt = [self._submit("deal", n, deal, sent, one, partitions) for n, one in enumerate(parts)]
        pieces = [
            [self._submit("piece", n * partitions + at, _piece, one, at, run=False) for at in range(partitions)]
            for n, one in enumerate(dealt)
        ]
        return self._waited(
            [self._submit("partition", at, merge, sent, [of[at] for of in pieces]) for at in range(partitions)]
        )

    def _merged(self, sent: Any, parts: list[Future[Done]]) -> Future[Done]:
        while len(parts) > 1:
            parts = self._level_merged(sent, parts)
        return parts[0]

    def _level_merged(self, sent: Any, parts: list[Future[Done]]) -> list[Future[Done]]:
        """Neighbours are those of one worker."""
        holders = self._client.who_has(parts)
        parts = sorted(parts, key=lambda one: min(holders.get(one.key, ("",)), default=""))
        grouped = [parts[at : at + MERGED_AT_ONCE] for at in range(0, len(parts), MERGED_AT_ONCE)]
        return self._waited([self._submit("merge", at, merge, sent, of) for at, of in enumerate(grouped)])

    def _size(self, parts: Sequence[Future[Done]]) -> int:
        keys: Any = [one.key for one in parts]
        sizes: dict[str, int] = self._client.nbytes(keys, summary=False)
        return sum(sizes.values())

    def _come(self, parts: Sequence[Future[Done]]) -> list[Done]:
        """The parts, here, where they are few enough."""
        size = self._size(parts)
        if size > MOST_GATHERED:
            way_out = (
                "Aggregate or filter more, write `limit`, or write it where it is: `result.write_parquet('folder')`."
            )
            raise LimitExceeded("bytes of a cluster's result", f"{MOST_GATHERED:,}", f"It has {size:,}. {way_out}")
        try:
            found: list[Done] = self._client.gather(list(parts))
        except Exception as error:  # noqa: BLE001  # it is told apart by what the parts say
            failed = next((one for one in parts if one.status != "finished"), None)
            raise self._error(failed) if failed is not None else self._told(error) from None
        self.gathered += size
        for done in found:
            self.rows_moved += done.rows_moved
            self.rows_kept += done.rows_kept
            self.bytes_received += done.bytes_received
            self.retries += done.retries
            for column, count in done.lost.items():
                self.lost[column] = self.lost.get(column, 0) + count
        return found

    def _submit(self, what: str, number: int, function: Any, *given: Any, run: bool = True) -> Future[Any]:
        """The key is what a dashboard shows: nothing of the statement. A worker that dies is made up for by Dask; an
        error is an error."""
        self._level += 1
        key = f"workbench-{what}-{self.run}-{self._level}-{number}"
        options: dict[str, Any] = {"pure": False, "key": key}
        return self._client.submit(function, *((self.run,) if run else ()), *given, **options)

    def _waited(self, futures: list[Future[Any]], reading: bool = False) -> list[Future[Any]]:
        woken = threading.Event()
        for one in futures:
            one.add_done_callback(lambda _: woken.set())
        waiting = set(futures)
        while waiting:
            woken.clear()
            if self.stopped():
                raise Cancelled("The query")
            # `lost`: its worker died with it, and it is made again.
            over = {one for one in waiting if one.status not in ("pending", "lost")}
            for one in over:
                if one.status != "finished":
                    raise self._error(one)
            waiting -= over
            if reading:
                self.done += len(over)
                self.on_progress(self)
            if waiting:
                woken.wait(TICK)
        return futures

    def _error(self, future: Future[Any]) -> BaseException:
        """The task's own, where it is ours."""
        try:
            error = future.exception(timeout=5)
        except BaseException as raised:  # noqa: BLE001 - a cancelled future has no error, it raises one
            error = raised
        return self._told(error)

    def _told(self, error: BaseException | None) -> BaseException:
        if isinstance(error, WorkbenchError):
            return error
        if isinstance(error, (duckdb.Error, pa.ArrowException)):  # of the rows, whichever worker reads them
            return error
        address = self.cluster.address
        if type(error).__name__ == "KilledWorker":
            why = "a task ended its worker again and again: it may need more memory than the worker has"
            return ClusterFailed(address, why)
        if self._client.status != "running":
            return ClusterFailed(address, "the scheduler is gone. Start it again: wb.cluster(…)")
        if self._theirs and isinstance(error, Exception):
            return error
        told = ClusterFailed(address, f"a task failed: {type(error).__name__}: {str(error)[:300]}")
        told.__cause__ = error
        return told


class _Ended:
    """However it ends otherwise than well, the workers' work for it ends too, also at the sources."""

    def __init__(self, folding: Folding) -> None:
        self._folding = folding

    def __enter__(self) -> None:
        """Nothing to do before."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._folding.cluster.stop(self._folding.run)


def _piece(dealt: Sequence[Done], at: int) -> Done:
    return dealt[at]
