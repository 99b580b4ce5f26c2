"""Reading a planned table: splits side by side, one bounded queue, one consumer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType

import pyarrow as pa

from workbench.contract.errors import Unsupported
from workbench.execution.control import RunLike
from workbench.execution.crew import Crew
from workbench.execution.dropped import when_dropped
from workbench.execution.flow import End, Retry
from workbench.execution.source import ScanStats, Source
from workbench.kit.slots import Ticket

__all__ = ["RunLike", "Scan", "ScanStats", "Source"]


class Scan:
    """The rows of a plan, as an iterator of record batches; every row once, in no order between splits.

    Batches have the request's columns only, of `schema`: predicates that the source did not apply exactly are applied
    here, then the columns that were read for them are dropped. Batches have at most 65,536 rows and about 8 MiB.
    Where the request has a limit, the scan ends when that many rows are there.

    **Threads.** `start` makes `min(workers, splits)` threads, which take the next split when they are done with one.
    They are this scan's own, and each holds one reader, that is one connection of the source; so a scan that waits
    for its consumer keeps nothing from other scans, where connections are not bounded. Where they are
    (`workbench.kit.slots`), the first thread waits for its slot, and holds it until no split is left; the others come
    and go as there are free ones. Scans whose consumer takes the rows of one before those of another are given one
    ticket together (`start(ticket)`, a slot of it each), else they might wait for each other. With `workers=0`
    the splits are read one after another in the thread that iterates, when it asks: the least for a small scan, whose
    iteration then waits, after `cancel` too, until the reader has let go.
    The queue holds up to `queue_bytes` and `queue_batches`; when it is full the threads sleep until there is room.

    **Ends.** `close` ends it early and quietly: iteration stops, readers are closed, and what a reader has not ended
    at the source within a second is cancelled there. `cancel` makes iteration raise Cancelled, also while it waits in
    another thread; readers are closed and their work is cancelled at the source at the same time, in the background.
    Both return at once, from any thread, any number of times. A scan that is dropped is closed.

    **Errors.** The first error of any split ends the others and is raised by the iteration, with its own type, and
    with the connection's name; what was queued is not handed out any more. Errors after an end are not shown, they
    are in `late`. A split whose connection broke is read again, up to twice: before its first batch was handed on,
    or, if it is `resumable`, from its start without the rows that were handed on. A batch that is not exactly of the
    plan's schema is an error (ProtocolError). So is a filter that cannot be applied (Unsupported, when it is made).

    One thread iterates. `random`, `wait` (seconds → whether the scan was stopped meanwhile) and `clock` are for
    tests. `on_progress` is called from the workers' threads at most every 100 ms and once at the end, instead of
    `run.progress`.
    """

    def __init__(
        self,
        source: Source,
        run: RunLike,
        *,
        workers: int = 4,
        queue_bytes: int = 32 << 20,
        queue_batches: int = 256,
        guard: float | None = None,
        on_progress: Callable[[ScanStats], None] | None = None,
        random: random.Random | None = None,
        wait: Callable[[float], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        tables = source.connector.tables
        if tables is None:
            raise Unsupported(source.connection, "be read as tables")
        plan = source.plan
        self.source = source
        self.schema: pa.Schema = plan.schema
        if plan.extra:
            kept = range(len(plan.schema) - plan.extra)
            self.schema = pa.schema([plan.schema.field(at) for at in kept], plan.schema.metadata)
        self._crew = Crew(
            source,
            run,
            tables,
            workers=workers,
            queue_bytes=queue_bytes,
            queue_batches=queue_batches,
            guard=guard,
            retry=Retry() if random is None else Retry(random),
            wait=wait,
            clock=clock,
            on_progress=on_progress,
        )
        # The threads hold the crew, not the scan, so that a scan nobody holds any more ends.
        when_dropped(self, partial(self._crew.stop, End.CLOSED), self._crew.stopped)

    def start(self, ticket: Ticket | None = None) -> None:
        """Starts reading; only the first call does anything. Iterating starts it, too. `ticket`: one of its slots is
        this scan's, which gives it back."""
        self._crew.start(ticket)

    def __iter__(self) -> Scan:
        return self

    def __next__(self) -> pa.RecordBatch:
        self._crew.start()
        batch = self._crew.next()
        if batch is None:
            raise StopIteration
        return batch

    def reader(self) -> pa.RecordBatchReader:
        """The same batches for pyarrow, polars or DuckDB. Back-pressure reaches the source; single use."""
        return pa.RecordBatchReader.from_batches(self.schema, self)

    def cancel(self) -> None:
        """Stop was pressed: iteration raises Cancelled, nothing is left running at the source."""
        self._crew.stop(End.CANCELLED)

    def close(self) -> None:
        """No more batches are wanted; iteration ends. Nothing is left running at the source."""
        self._crew.stop(End.CLOSED)

    def drained(self, timeout: float) -> bool:
        """Waits until none of the scan's threads is alive; False when some still is after `timeout` seconds."""
        return self._crew.drained(timeout)

    @property
    def error(self) -> BaseException | None:
        """What ended it; None as long as it goes well, and after `cancel` and `close`."""
        return self._crew.flow.error

    @property
    def late(self) -> tuple[BaseException, ...]:
        """Errors that came after the end, or while work was ended: for a log, never instead of the result."""
        return tuple(self._crew.late)

    @property
    def stats(self) -> ScanStats:
        return self._crew.stats()

    def __enter__(self) -> Scan:
        self._crew.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
