"""The threads of one scan, and the lock between them and its consumer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import pyarrow as pa

from workbench.contract.connector import Tables
from workbench.contract.errors import (
    Cancelled,
    ConnectionLost,
    ProtocolError,
    SnapshotChanged,
    SourceError,
    SourceFull,
    Unreachable,
    Unsupported,
)
from workbench.contract.scan import Reader, Split
from workbench.execution.batches import cut
from workbench.execution.control import ReadControl, RunLike
from workbench.execution.flow import End, Flow, Retry
from workbench.execution.source import Counts, ScanStats, Source
from workbench.kit.filter import Filter
from workbench.kit.slots import WAITS, Ticket, slots_of

__all__ = ["Crew"]

_log = logging.getLogger(__name__)
PROGRESS_SECONDS = 0.1
"""Progress is told at most this often."""
PATIENCE = 1.0
"""Seconds that closed readers have to end their work, before it is cancelled at the source as well."""


@dataclass
class _Seat:
    """One split under way. `moved` counts the rows that were dealt with in earlier reads and this one."""

    split: Split
    control: ReadControl
    reader: Reader | None = None
    moved: int = 0
    received: int = 0


class Crew:
    """Reads a plan's splits with `workers` threads into a bounded queue; with none, in the consumer's own thread, when
    it asks. Where the source's connections are bounded, the first of them waits for its turn, and the others work as
    long as nobody else waits. `Scan` is its face."""

    def __init__(
        self,
        source: Source,
        run: RunLike,
        tables: Tables,
        *,
        workers: int,
        queue_bytes: int,
        queue_batches: int,
        guard: float | None,
        retry: Retry,
        wait: Callable[[float], bool] | None,
        clock: Callable[[], float],
        on_progress: Callable[[ScanStats], None] | None,
    ) -> None:
        self.flow = Flow(source.plan.splits, queue_bytes, queue_batches)
        self.counts = Counts()
        self.late: list[BaseException] = []
        self._source, self._run, self._tables, self._guard = source, run, tables, guard
        self._filter = Filter(source.plan.residual, source.plan.schema)
        self._kept_columns = len(source.plan.schema) - source.plan.extra
        self._workers = min(workers, len(source.plan.splits))
        self._retry, self._clock, self._on_progress = retry, clock, on_progress
        self._told: float | None = None
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._lock = threading.Lock()
        self._some, self._room, self._left = (threading.Condition(self._lock) for _ in range(3))
        self._protection = threading.Lock()
        self._protected = source.protect is None
        self._open: dict[int, _Seat] = {}
        self._threads: list[threading.Thread] = []
        self._slots = slots_of(source.connector)
        self._held = False
        self._working = self._begun = 0
        self._said = ""
        self._turn = threading.Lock()
        self._own: Generator[None] | None = self._steps(None) if self._workers == 0 else None

    # The consumer's side

    def start(self, ticket: Ticket | None = None) -> None:
        with self._lock:
            if self.counts.began is not None or self.flow.stopped or self._workers == 0:
                self.counts.began = self.counts.began or self._clock()
                if ticket is not None:
                    ticket.leave()
                return
            self.counts.began = self._clock()
            if ticket is None and self._slots is not None:
                ticket = self._slots.ticket()
            self._begin(ticket)
            if ticket is None or ticket.granted:
                self._grow()

    def _begin(self, ticket: Ticket | None, first: bool = True) -> None:
        """One worker more. Under the lock."""
        thread = self._thread(f"{self._begun}", self._work, ticket, first)
        self._begun += 1
        self._working += 1
        thread.start()
        self._threads.append(thread)

    def _grow(self) -> None:
        """As many workers as there may be, and are of use. Under the lock."""
        while self._working < self._workers and (self.flow.waiting and not self.flow.stopped):
            ticket = self._slots.more() if self._slots is not None else None
            if ticket is None and self._slots is not None:
                return
            self._begin(ticket, first=False)

    def next(self) -> pa.RecordBatch | None:
        """The next batch, None at the end; waits. Raises the first error, or Cancelled."""
        if self._own is not None:
            self._read_on(self._own)
        with self._lock:
            flow = self.flow
            while True:
                if flow.error is not None:
                    raise flow.error
                if flow.end is End.CANCELLED:
                    raise Cancelled
                batch = flow.get()
                if batch is not None:
                    self._room.notify()
                    return batch
                if flow.over:
                    flow.seen_end = True
                    return None
                self._some.wait()

    def stop(self, end: End) -> None:
        """Ends it and returns at once; what runs is ended in the background."""
        with self._lock:
            stopped = self._stop(end)
        if stopped:
            self._end_work()

    def stopped(self) -> bool:
        """Takes no lock."""
        return self._stopped.is_set()

    def drained(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        joined = 0
        while True:
            with self._lock:
                waiting = self._threads[joined:]
            if not waiting:
                return True
            for thread in waiting:  # any of which may start others
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    return False
            joined += len(waiting)

    def stats(self) -> ScanStats:
        with self._lock:
            under_way = sum(seat.received for seat in self._open.values())
            flow, estimate = self.flow, self._source.plan.estimate
            said = [seat.control.said for seat in self._open.values()]
            if self._said:
                said.append((self._said, None))
            return self.counts.stats(self._clock(), under_way, flow.done, flow.total, estimate, said)

    # The workers' side

    def _work(self, ticket: Ticket | None, first: bool) -> None:
        for _ in self._steps(ticket, first):
            pass

    def _read_on(self, steps: Iterator[None]) -> None:
        """The work of the one who has no workers, until there is something for it, or no more."""
        with self._turn:
            if self._slots is not None:
                self._slots.wakes(id(self))
            while True:
                with self._lock:
                    if self.flow.batches or self.flow.stopped or self.flow.over:
                        break
                next(steps, None)
            if self._held and self._slots is not None:
                self._slots.sleeps(id(self))  # until the next batch is wanted

    def _steps(self, ticket: Ticket | None, first: bool = True) -> Generator[None]:
        """All the work of one worker; a step puts one batch."""
        if ticket is None and self._slots is not None and self.flow.waiting:
            ticket = self._slots.ticket()
        try:
            if ticket is not None and not ticket.granted:
                self._await(ticket)
            self._held = ticket is not None
            self._protect()
            while (first or not self._yields()) and (split := self._take()) is not None:
                yield from self._read_split(split)
                with self._lock:
                    self.flow.finished()
                    last = self.flow.done == self.flow.total and not self.flow.stopped
                    if last:
                        self.counts.ended = self._clock()
                        self._some.notify_all()
                    elif self._workers > self._working:
                        self._grow()
                self._progress(last)
        except (_Stopped, GeneratorExit):
            pass
        except BaseException as error:  # noqa: BLE001  # it is raised again where the batches are wanted
            self._fail(error)
        finally:
            self._held = False
            with self._lock:
                self._working -= 1
            if ticket is not None:
                if self._workers == 0:
                    ticket.slots.wakes(id(self))
                ticket.leave()

    def _await(self, ticket: Ticket) -> None:
        """The turn at a source whose connections are all in use."""
        self._said = WAITS
        if not ticket.wait(self._stopped.is_set):
            raise _Stopped
        self._said = ""
        with self._lock:
            self._grow()

    def _yields(self) -> bool:
        """Whether somebody else needs the connection more than this scan, which has another one."""
        return self._slots is not None and self._slots.wanted

    def _take(self) -> Split | None:
        with self._lock:
            return self.flow.take()

    def _protect(self) -> None:
        """Once a scan, before its first query; the other workers wait for it."""
        with self._protection:
            if not self._protected and self._source.protect is not None:
                self._source.protect()
                self._protected = True

    def _read_split(self, split: Split) -> Iterator[None]:
        seat = _Seat(split, self._control())
        failures = 0
        while True:
            try:
                yield from self._read(seat)
                return
            except (ConnectionLost, Unreachable) as error:
                failures += 1
                delay = self._retry.delay(error, failures, seat.moved > 0, split)
                if delay is None or self._stopped.is_set():
                    raise
                self._said = f"{WAITS}: the server takes no more" if isinstance(error, SourceFull) else ""
            with self._lock:
                self.counts.retries += 1
            if self._wait(delay):
                raise _Stopped
            self._said = ""
            seat.control = self._control()

    def _progress(self, last: bool = False) -> None:
        now = self._clock()
        with self._lock:
            if not last and self._told is not None and now - self._told < PROGRESS_SECONDS:
                return
            self._told = now
        stats = self.stats()
        if self._on_progress is None:
            self._run.progress(stats.rows_moved, stats.bytes_received, stats.fraction)
        else:
            self._on_progress(stats)

    def _control(self) -> ReadControl:
        return ReadControl(self._run, self._source.connection, self._guard, self._stopped.is_set)

    def _read(self, seat: _Seat) -> Iterator[None]:
        """One read of a split, from its start. Rows that an earlier read has dealt with are skipped."""
        with self._lock:
            if self.flow.stopped:
                raise _Stopped
            self._open[id(seat)] = seat
        passed, skip = 0, seat.moved
        try:
            reader = self._tables.read(seat.split, seat.control)
            with self._lock:
                seat.reader = reader
                if self.flow.stopped:
                    raise _Stopped  # whoever stopped it has not seen this reader
            for batch in reader:
                seat.received = reader.received
                self._check(batch)
                if passed < skip:
                    before, passed = passed, passed + batch.num_rows
                    batch = batch.slice(min(skip - before, batch.num_rows))
                if batch.num_rows:
                    yield from self._hand_on(batch, seat)
                self._progress()
            if passed < skip:
                raise SnapshotChanged(str(seat.split.table), f"it had {skip:,} rows at this place, now {passed:,}")
            with self._lock:
                self.counts.lost.update(reader.lost)
        finally:
            self._leave(seat)

    def _check(self, batch: pa.RecordBatch) -> None:
        wanted = self._source.plan.schema
        if not batch.schema.equals(wanted):
            raise ProtocolError(
                f"The reader of {self._source.plan.request.table} was to bring ({_said(wanted)}), "
                f"and brought ({_said(batch.schema)})."
            )

    def _hand_on(self, batch: pa.RecordBatch, seat: _Seat) -> Iterator[None]:
        moved, kept = batch.num_rows, self._filter(batch)
        if kept.num_columns != self._kept_columns:
            kept = kept.select(list(range(self._kept_columns)))
        with self._lock:
            self.counts.rows_moved += moved
            self.counts.batches += 1
        seat.moved += moved
        for piece, size in cut(kept):
            if piece.num_rows:
                self._put(piece, size)
                yield

    def _put(self, piece: pa.RecordBatch, size: int) -> None:
        limit = self._source.plan.request.limit
        with self._lock:
            if not self.flow.room(size) and not self.flow.stopped:
                self._sleep(size)
            if self.flow.stopped:
                raise _Stopped
            if limit is not None:
                piece = piece.slice(0, limit - self.counts.rows_kept)
            self.flow.put(piece, size)
            if self.counts.first is None:
                self.counts.first = self._clock()
            self.counts.rows_kept += piece.num_rows
            enough = limit is not None and self.counts.rows_kept >= limit and self._stop(End.ENOUGH)
            self._some.notify()
        if enough:
            self._end_work()

    def _sleep(self, size: int) -> None:
        """Until there is room. Under the lock."""
        me = threading.get_ident()
        if self._slots is not None:
            self._slots.sleeps(me)
        while not self.flow.room(size) and not self.flow.stopped:
            self._room.wait()
        if self._slots is not None:
            self._slots.wakes(me)

    def _leave(self, seat: _Seat) -> None:
        """Closes the reader; what it has not ended at the source is ended there, and then taken off the register."""
        unsure = seat.reader is None or not self._try(seat.reader.close)
        for native in seat.control.natives():
            if not unsure or self._try(self._cancel, native):
                self._try(seat.control.ended, native)
        with self._lock:
            self._open.pop(id(seat), None)
            self.counts.bytes_received += seat.received
            seat.received, seat.reader = 0, None
            self._left.notify_all()

    # Ending

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, SourceError) and not error.connection:
            error.connection = self._source.connection
        with self._lock:
            stopped = self._stop(End.FAILED, error)
            if not stopped and not isinstance(error, Cancelled):
                self.late.append(error)
        if stopped:
            self._end_work()

    def _stop(self, end: End, error: BaseException | None = None) -> bool:
        if not self.flow.stop(end, error):
            return False
        self.counts.ended = self._clock()
        self._stopped.set()
        self._some.notify_all()
        self._room.notify_all()
        return True

    def _end_work(self) -> None:
        """Lets blocked readers go, and has the source end what it still works on. Returns at once."""
        with self._lock:
            seats = list(self._open.values())
            gentle = self.flow.end in (End.CLOSED, End.ENOUGH)
        if seats and self._own is not None:
            self._background("leave", self._leave_own)
        for seat in seats:
            if seat.reader is not None:
                self._background("close", self._try, seat.reader.close)
            if seat.control.natives() or gentle:
                self._background("cancel", self._end_at_source, seat, PATIENCE if gentle else 0.0)

    def _leave_own(self) -> None:
        """A consumer that comes no more has nobody else who leaves its reader."""
        with self._turn:
            if self._own is not None:
                self._own.close()

    def _end_at_source(self, seat: _Seat, patience: float) -> None:
        with self._lock:
            self._left.wait_for(lambda: id(seat) not in self._open, patience)
        for native in seat.control.natives():
            self._try(self._cancel, native)

    def _cancel(self, native_id: str) -> None:
        try:
            self._source.connector.cancel(native_id)
        except Unsupported:  # not declared: closing the reader was all that can be done
            return

    def _try(self, act: Callable[..., None], *args: str) -> bool:
        """For what happens beside the rows: its failure is kept in `late` and logged, never shown instead of them."""
        try:
            act(*args)
        except Exception as error:  # noqa: BLE001
            self.late.append(error)
            _log.warning("%s: work may still run at the source: %s", self._source.connection, error)
            return False
        return True

    def _background(self, what: str, target: Callable[..., object], *args: object) -> None:
        thread = self._thread(what, target, *args)
        with self._lock:
            thread.start()
            self._threads.append(thread)

    def _thread(self, what: str, target: Callable[..., object], *args: object) -> threading.Thread:
        return threading.Thread(target=target, args=args, name=f"workbench-scan-{self._run.id}-{what}", daemon=True)


class _Stopped(Exception):
    """Leaves a worker's loops when the scan has ended otherwise."""


def _said(schema: pa.Schema) -> str:
    fields = [f"{column.name} {column.type}{'' if column.nullable else ' not null'}" for column in schema]
    return ", ".join(fields[:50]) + (f", … {len(fields)} columns" if len(fields) > 50 else "")
