"""One execution: a thread of its own that runs a job and hands its batches on, registered as a Run, stoppable from
anywhere, with one outcome: all the rows, an error with its own type, `Cancelled`, or a cap that says so."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from workbench.contract.errors import Cancelled, LimitExceeded
from workbench.execution import threads
from workbench.query.telling import Telling
from workbench.runs import Register, Run
from workbench.runs.register import PROGRESS_SECONDS

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.execution.stop import Watch
    from workbench.query.explain import SourceReport
    from workbench.runs.publisher import Publisher

__all__ = ["Delivery", "Execution", "Job", "Progress"]

TICK = 0.05
"""Whoever waits looks this often at what else may have happened: a failed scan, a signal, the progress."""
PROGRESS_AFTER = 1.0
EXIT_SECONDS = 3.0


@dataclass(frozen=True)
class Progress:
    """How far an execution is: rows and bytes moved from the sources (or rows delivered, where there is no source);
    `fraction` is None where nobody knows. `said` is what the sources say of their own work while they send no rows."""

    seconds: float
    rows: int
    bytes: int
    fraction: float | None
    finished: bool = False
    said: str = ""


_live: weakref.WeakSet[Execution] = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    """The interpreter must not end under threads that DuckDB runs our sources in: that aborts the process."""
    live = [execution for execution in _live if not execution.wait_closed(0)]
    for execution in live:
        execution.stop(nudge=False)  # no thread can be started any more
    deadline = time.monotonic() + EXIT_SECONDS
    while live and time.monotonic() < deadline:
        for execution in live:
            execution.job.stop()
        live = [execution for execution in live if not execution.wait_closed(0.02)]


class Job(Protocol):
    """What an execution runs. `open`, the iterator and `close` are called in the execution's thread; `stop` and
    the rest from any."""

    @property
    def kind(self) -> str:
        """`query`, or `native` for a source's own text; `part` for one of several statements of something else."""
        ...

    @property
    def title(self) -> str: ...

    @property
    def text(self) -> str:
        """The statement as it was written."""
        ...

    @property
    def connections(self) -> tuple[str, ...]: ...

    def open(self, run: Run) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]: ...

    def plan(self, run: Run) -> list[SourceReport]:
        """What would be asked of the sources; nothing is started there."""
        ...

    def translated(self, error: BaseException) -> BaseException:
        """The error that the caller shall see for what was raised."""
        ...

    @property
    def estimate(self) -> int | None:
        """About so many rows will come, once it is open; None where nobody knows."""
        ...

    def failed_early(self) -> BaseException | None: ...

    def progress(self) -> tuple[int, int, float | None]: ...

    def said(self) -> str:
        """What the sources say of their own work while they send no rows."""
        ...

    def reports(self) -> list[SourceReport]: ...

    def stop(self) -> None:
        """Lets go of whoever waits, soon; does not wait itself. May be called again and again."""
        ...

    def close(self) -> None: ...


class Delivery(Protocol):
    """Where the batches go."""

    def begin(self, schema: pa.Schema) -> None: ...

    def append(self, batch: pa.RecordBatch) -> bool:
        """False: no more are wanted. May block."""
        ...

    def end(self) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class Execution:
    """Starts at `start`. `schema` is there once the statement is bound, `error` once it has failed."""

    def __init__(
        self,
        job: Job,
        delivery: Delivery,
        register: Register,
        watch: Watch,
        seconds: float | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        self.job, self.delivery = job, delivery
        self.schema: pa.Schema | None = None
        self.error: BaseException | None = None
        self.delivered = 0
        self.run: Run | None = None
        self.begun: float | None = None
        self.ended: float | None = None
        self._register, self._watch, self._seconds = register, watch, seconds
        self._publisher = publisher
        self._telling: Telling | None = None
        self._changed = threading.Condition()
        self._bound = threading.Event()
        self._done = threading.Event()
        self._over = threading.Event()
        self._reason: BaseException | None = None

    def start(self) -> None:
        _live.add(self)
        self.begun = time.monotonic()
        threads.run(self._work)
        if self._seconds is not None:
            threading.Thread(target=self._guard, args=(self._seconds,), name="workbench-guard", daemon=True).start()

    # --- waiting

    @property
    def done(self) -> bool:
        """All rows are delivered, or it has failed."""
        return self._done.is_set()

    def wait(
        self, until: Callable[[], bool] | None = None, on_progress: Callable[[Progress], object] | None = None
    ) -> None:
        """Until it is done, or `until()`. A signal (the kernel's Stop) stops the execution and is raised on. Raises
        the execution's error."""
        shown = False
        try:
            while not self.done and not (until is not None and until()):
                self._tick()
                if until is None:
                    self._done.wait(TICK)  # not woken by each batch
                else:
                    with self._changed:
                        if not self.done and not until():
                            self._changed.wait(TICK)
                if on_progress is not None and self.seconds > PROGRESS_AFTER and not self.done:
                    shown = True
                    on_progress(self.progress())
        except BaseException:
            self.stop(Cancelled())
            raise
        finally:
            if shown and on_progress is not None:
                on_progress(self.progress())
        if self.error is not None:
            raise self.error

    def tell_end(self, on_progress: Callable[[Progress], object] | None) -> None:
        """That it is done, where it was said how far it is."""
        if on_progress is not None and self.seconds > PROGRESS_AFTER:
            on_progress(self.progress())

    def wait_bound(self, on_progress: Callable[[Progress], object] | None = None) -> pa.Schema:
        self.wait(self._bound.is_set, on_progress)
        assert self.schema is not None
        return self.schema

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Until nothing of it is left, at the sources either."""
        return self._over.wait(timeout)

    def closed(self) -> bool:
        """Whether nothing of it is left. Takes no lock."""
        return self._over.is_set()

    def notify(self) -> None:
        """Something that somebody may wait for has happened."""
        with self._changed:
            self._changed.notify_all()

    @property
    def seconds(self) -> float:
        if self.begun is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.begun

    def progress(self) -> Progress:
        return self._progress(*self._figures())

    def _progress(self, rows: int, size: int, fraction: float | None) -> Progress:
        said = "" if self.done else self.job.said()
        return Progress(self.seconds, rows, size, 1.0 if self.done else fraction, self.done, said)

    # --- stopping

    def stop(self, reason: BaseException | None = None, *, nudge: bool = True) -> None:
        """Whoever waits gets the reason (Cancelled) at once; the sources' work is ended behind it. Idempotent; does
        nothing to an execution that is done."""
        with self._changed:
            if self._reason is not None or self.done:
                return
            self._reason = reason or Cancelled()
            self._fail(self._reason)
        if nudge:
            threading.Thread(target=self._nudge, name="workbench-stop", daemon=True).start()

    def _guard(self, seconds: float) -> None:
        """Also where nobody waits."""
        if not self._over.wait(seconds):
            hint = "Ask for less, or raise the limit `seconds` of the session."
            self.stop(LimitExceeded("seconds", f"{seconds:g}", hint))

    def _nudge(self) -> None:
        """DuckDB forgets an interrupt that comes between two of its steps: so it is told until it has heard."""
        while not self._over.is_set():
            self.job.stop()
            self._over.wait(0.02)

    def _fail(self, error: BaseException) -> None:
        if self.error is None and not self.done:
            self.error = error
            self.ended = time.monotonic()
            self.delivery.fail(error)
            self._done.set()
            self._changed.notify_all()

    def _tick(self) -> None:
        if self.run is not None and self.seconds > PROGRESS_SECONDS:
            self._tell(self.run)  # also where no batch comes for a while
        if (early := self.job.failed_early()) is not None:
            self.stop(self._translated(early))

    # --- the thread

    def _work(self) -> None:
        state, message = "failed", ""
        try:
            job = self.job
            self.run = self._register.begin(job.kind, job.title, job.text, job.connections)
            if self._publisher is not None:
                self._telling = Telling(self._publisher, self.run, self.job)
            self._watch.add(self.run, lambda: self.stop(Cancelled()))
            self._deliver(self.run)
            state = "done"
        except BaseException as error:  # noqa: BLE001  # it is raised again in the threads that wait
            shown = self._reason or self._translated(error)
            with self._changed:
                self._fail(shown)
            state, message = ("stopped", "") if isinstance(shown, Cancelled) else ("failed", str(shown))
        finally:
            self._close(state, message)

    def _translated(self, error: BaseException) -> BaseException:
        try:
            return self.job.translated(error)
        except Exception:  # noqa: BLE001  # else nobody who waits would ever hear of it
            return error

    def _deliver(self, run: Run) -> None:
        schema, batches = self.job.open(run)
        with self._changed:
            self._stop_if_asked()
            self.schema = schema
            self.delivery.begin(schema)
            self._bound.set()
            self._changed.notify_all()
        for batch in batches:
            self._stop_if_asked()
            wanted = self.delivery.append(batch)
            self.delivered += batch.num_rows
            self.notify()
            self._tell(run)
            if not wanted:
                break
        with self._changed:
            # Sources that were told to stop just end: only here it is known that the rows are all the rows.
            self._stop_if_asked()
            self.delivery.end()
            self.ended = time.monotonic()
            self._done.set()
            self._changed.notify_all()

    def _tell(self, run: Run) -> None:
        if self.seconds < PROGRESS_SECONDS:
            return  # nobody would get to see it
        figures = self._figures()
        run.progress(*figures)
        if self._telling is not None:
            self._telling.tell(self._progress(*figures))

    def _figures(self) -> tuple[int, int, float | None]:
        rows, size, fraction = self.job.progress()
        return rows or self.delivered, size, fraction

    def _stop_if_asked(self) -> None:
        if self._reason is not None:
            raise self._reason

    def _close(self, state: str, message: str) -> None:
        try:
            try:
                self.job.stop()
                self.job.close()
            finally:
                if self.run is not None:
                    self._watch.remove(self.run)
                    figures = self._figures()
                    self.run.progress(*figures)
                    self.run.finish(state, message)
                    if self._telling is not None:
                        self._telling.end(state, message, self._progress(*figures))
        finally:
            self._over.set()
            self.notify()
