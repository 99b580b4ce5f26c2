"""`Result`: what a statement gives. Nothing runs until it is used; then it runs once."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.contract.errors import LimitExceeded, UsageError
from workbench.execution.dropped import when_dropped
from workbench.execution.shared import Shared
from workbench.execution.spool import Spool
from workbench.query.delivery import Direct, Spooled, Stream
from workbench.query.execution import Delivery, Execution, Job, Progress
from workbench.query.explain import Explanation, SourceReport

if TYPE_CHECKING:
    import pandas
    import polars

    from workbench.contract.predicate import Predicate

__all__ = ["Count", "Result", "Runner"]

_SHOWING = 1.0
"""Seconds within which heads belong to one showing."""


@dataclass(frozen=True)
class Count:
    """How many rows there are, honestly. `state`: `exact`, `so far` (it runs on), or `capped` (more exist)."""

    rows: int
    state: str

    def __int__(self) -> int:
        return self.rows

    def __str__(self) -> str:
        match self.state:
            case "exact":
                return f"{self.rows:,}"
            case "capped":
                return f"capped at {self.rows:,}, more rows exist"
            case _:
                return f"{self.rows:,} so far"


@dataclass(frozen=True)
class Runner:
    """What a result needs of its session. `job` makes the work anew each time."""

    text: str
    job: Callable[[], Job]
    start: Callable[[Job, Delivery], Execution]
    spool: Callable[[], Spool]
    shared: Callable[[], Path]
    plan: Callable[[Job], list[SourceReport]]
    again: Callable[[], Result]
    on_progress: Callable[[], Callable[[Progress], object] | None]
    files: Callable[[str], Result] | None = None
    """Where others than this process write the rows into a folder: names, rows and bytes of the files."""


class Result:
    """The rows of one statement.

    It executes once, on first use: shown, handed over or paged it runs at the source's speed into a spool, and the
    first rows can be had at once. `reader()` alone streams with back-pressure and keeps nothing, so a use after it
    executes anew. What would be cut by the session's caps is never handed over as if it were whole: LimitExceeded.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._lock = threading.Lock()
        self._execution: Execution | None = None
        self._patient: float | None = None
        self._spooled: Spooled | None = None
        self._shared: Shared | None = None

    @property
    def text(self) -> str:
        """The statement as it was written."""
        return self._runner.text

    # --- handing over

    def arrow(self) -> pa.Table:
        """All rows as a pyarrow Table."""
        execution, spool = self._whole()
        assert execution.schema is not None
        return pa.Table.from_batches(list(spool.batches()), execution.schema)

    def polars(self) -> polars.DataFrame:
        """All rows as a polars DataFrame."""
        import polars

        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def pandas(self) -> pandas.DataFrame:
        """All rows as a pandas DataFrame; needs the extra `pandas`."""
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise UsageError(
                "pandas is not installed. Install `analytics-workbench[pandas]`, or use polars()."
            ) from None
        return self.arrow().to_pandas()

    def reader(self) -> pa.RecordBatchReader:
        """The rows as a stream. As the first use of the result nothing is kept: a reader that sleeps holds the
        source up, and dropping it ends the source's work. Later it reads what was kept, and follows what is coming."""
        stream = self.stream()
        return pa.RecordBatchReader.from_batches(stream.schema, iter(stream))

    def stream(self) -> Stream:
        """The rows of `reader()` for a `with`, whose end ends the source's work at once, whatever happened in it."""
        execution = self._execution
        if execution is not None:
            stopped = threading.Event()
            schema = execution.wait_bound(self._runner.on_progress())
            return Stream(schema, self._batches(stopped.is_set), stopped.set)
        execution, direct, held = self._direct()
        schema = execution.wait_bound(self._runner.on_progress())
        return Stream(schema, self._taken(execution, direct, held), execution.stop)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches of `reader()` as a generator, whose `close()` ends the source's work at once."""
        if self._execution is not None:
            return self._batches(lambda: False)
        return self._taken(*self._direct())

    def write(self, path: str | os.PathLike[str]) -> int:
        """Writes all rows to a `.parquet`, `.csv`, `.arrow`, `.json` or `.jsonl` file (JSON: one object a line), which
        appears whole or not at all. Returns how many rows it has. Raises UsageError for a suffix, a folder or a
        column's type that cannot be written, PathUnreachable where the path cannot."""
        from workbench.query.write import write_file

        return write_file(self.stream, path)

    def write_parquet(self, folder: str | os.PathLike[str]) -> int:
        """Writes all rows as Parquet files into a new (or empty) folder, which appears whole or not at all. Of a result
        `on="cluster"` the workers write theirs, each where it is: nothing comes here, and no limit holds; an ORDER BY
        without LIMIT holds within a file then. The folder has to be one that all workers see. Returns how many rows it
        has. Raises UsageError for a name that is taken, PathUnreachable, ClusterFailed."""
        from workbench.query.write_folder import write_by_workers, write_here

        files = self._runner.files
        return write_by_workers(files, folder) if files is not None else write_here(self.stream, folder)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._follow().__arrow_c_stream__(requested_schema)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Rows as dicts."""
        for batch in self._follow():
            yield from batch.to_pylist()

    # --- looking

    @property
    def schema(self) -> pa.Schema:
        """Columns and types; starts the execution."""
        return self._started().wait_bound(self._runner.on_progress())

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    @property
    def rows(self) -> Count:
        """How many rows are there by now; never waits for the end, and says whether it was one."""
        execution, spool = self._spool()
        if execution.error is not None:
            raise execution.error
        return Count(spool.rows, "capped" if spool.capped else "exact" if execution.done else "so far")

    @property
    def running(self) -> bool:
        """Whether it executes just now."""
        return self._execution is not None and not self._execution.done

    @property
    def lost(self) -> dict[str, int]:
        """Values that Arrow could not hold and that are NULL therefore, counted by `connection.table.column`."""
        lost: Counter[str] = Counter()  # a table may be read more than once
        for report in self._execution.job.reports() if self._execution else ():
            lost.update(
                {f"{report.connection}.{report.table}.{column}": count for column, count in report.lost.items()}
            )
        return {column: count for column, count in lost.items() if count}

    def __len__(self) -> int:
        """Waits for the end. Raises LimitExceeded where the rows were capped, for then nobody knows."""
        return self._whole()[1].rows

    def __bool__(self) -> bool:
        return True

    def head(self, most: int = 50, patience: float = 0.0) -> pa.Table:
        """The first rows, as soon as they are there; `patience` seconds more for the end, so that what is nearly
        done is shown with its exact count. One showing is several heads: they have that time together."""
        if most < 0:
            raise UsageError(f"Of rows there are 0 or more to show, not {most}.")
        execution, spool = self._spool()
        execution.wait_bound(self._runner.on_progress())
        execution.wait(lambda: spool.rows >= most, self._runner.on_progress())
        if patience and (self._patient is None or time.monotonic() > self._patient + _SHOWING):
            self._patient = time.monotonic() + patience
        until = self._patient if patience and self._patient is not None else 0.0
        execution.wait(lambda: time.monotonic() >= until)
        assert execution.schema is not None
        taken: list[pa.RecordBatch] = []
        held = 0
        batches = spool.batches()
        while held < min(most, spool.rows):
            batch = next(batches)
            taken.append(batch.slice(0, most - held))
            held += taken[-1].num_rows
        return pa.Table.from_batches(taken, execution.schema)

    def show(self, rows: int = 50) -> None:
        """Shows the first rows: in a notebook as a table, else as text."""
        from workbench.query.rendering import displayed

        displayed(self, rows)

    def explain(self) -> Explanation:
        """Before it ran: the plan at each source. While and after it ran: what was moved and kept, and how long."""
        execution = self._execution
        if execution is None:
            job = self._runner.job()
            return Explanation(self._runner.text, "planned", tuple(self._runner.plan(job)))
        state = "running" if not execution.done else "failed" if execution.error is not None else "done"
        if execution.done:
            execution.wait_closed(1.0)
        if self._spooled is not None and self._spooled.spool.capped:
            state = "capped, more rows exist"
        return Explanation(
            self._runner.text, state, tuple(execution.job.reports()), execution.delivered, execution.seconds
        )

    # --- doing

    def rerun(self) -> Result:
        """The statement anew, as a result of its own; names are looked up again."""
        return self._runner.again()

    def cancel(self) -> None:
        """Ends it here and at the sources. Whoever waits for it gets `Cancelled`; nothing happens to one that is
        done."""
        if self._execution is not None:
            self._execution.stop()

    def start(self) -> Result:
        """Starts executing, and does not wait."""
        self._started()
        return self

    def wait(self) -> Result:
        """Waits for the end of the execution, and raises its error."""
        self._started().wait(on_progress=self._runner.on_progress())
        return self

    def close(self) -> None:
        """Stops it, and lets go of what it keeps."""
        self.cancel()
        if self._spooled is not None:
            self._spooled.spool.close()
        with self._lock:
            shared = self._shared
        if shared is not None:
            shared.close()

    def __repr__(self) -> str:
        from workbench.query.rendering import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from workbench.query.rendering import as_html

        return as_html(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        from workbench.query.showing import bundle

        return bundle(self)

    def share(self) -> Shared:
        """Its rows as files, so that other processes of this user can page in them; from now on until it is closed,
        dropped, or this process ends. Waits for the columns. Raises OSError where the files cannot be made."""
        schema = self.schema
        execution, spool = self._spool()
        with self._lock:
            if self._shared is None:
                spool.begin(schema)
                self._shared = Shared(self._runner.shared(), spool, self.text, execution.job.estimate)
                when_dropped(self, self._shared.close)
            return self._shared

    # --- inside

    def _started(self) -> Execution:
        with self._lock:
            if self._execution is None:
                self._spooled = Spooled(self._runner.spool)
                self._execution = self._runner.start(self._runner.job(), self._spooled)
                # What nobody can look at any more need not run on.
                when_dropped(self, self._execution.stop, self._execution.closed)
            return self._execution

    def _spool(self) -> tuple[Execution, Spool]:
        execution = self._started()
        assert self._spooled is not None
        return execution, self._spooled.spool

    def _whole(self) -> tuple[Execution, Spool]:
        execution, spool = self._spool()
        execution.wait(on_progress=self._runner.on_progress())
        if spool.capped:
            raise _capped(spool)
        return execution, spool

    def _follow(self) -> pa.RecordBatchReader:
        self._started()
        return self.reader()

    def _batches(self, stopped: Callable[[], bool], quietly: bool = False) -> Generator[pa.RecordBatch, None, None]:
        """What is kept, from the first row to the last one that will come."""
        execution, spool = self._spool()
        on_progress = None if quietly else self._runner.on_progress()
        at, batches = 0, spool.batches()
        while True:
            execution.wait(lambda seen=at: spool.rows > seen or stopped(), on_progress)  # type: ignore[misc]
            if stopped():
                return
            if at >= spool.rows:
                break
            batch = next(batches)
            at += batch.num_rows
            yield batch
        if spool.capped:
            raise _capped(spool)

    def _direct(self) -> tuple[Execution, Direct, _Held]:
        """An execution for one reader. When the last of these is dropped, it is stopped."""
        direct, held = Direct(), _Held()
        execution = self._runner.start(self._runner.job(), direct)
        when_dropped(held, direct.close)
        when_dropped(held, execution.stop)
        return execution, direct, held

    def _taken(self, execution: Execution, direct: Direct, held: _Held) -> Generator[pa.RecordBatch, None, None]:
        on_progress = self._runner.on_progress()
        # However this generator ends, its arguments go, and with them what holds the source up.
        while True:
            execution.wait(direct.ready, on_progress)
            batch = direct.take()
            if batch is not None:
                yield batch
            elif execution.done and not direct.ready():
                execution.tell_end(on_progress)
                return


class _Held:
    """Something that can be dropped."""


def _capped(spool: Spool) -> LimitExceeded:
    hint = "More rows exist: stream them by `rerun().reader()`, or ask for less."
    return LimitExceeded("result size", f"{spool.rows:,} rows, {spool.bytes:,} bytes", hint)


class ResultTable:
    """An earlier result as a table of a statement."""

    def __init__(self, result: Result) -> None:
        self._result = result

    @property
    def schema(self) -> pa.Schema:
        return self._result._started().wait_bound()

    @property
    def rows(self) -> int | None:
        count = self._result.rows
        return count.rows if count.state != "so far" else None

    def read(
        self, columns: tuple[str, ...], predicates: tuple[Predicate, ...], stopped: Callable[[], bool]
    ) -> pa.RecordBatchReader:
        from workbench.kit.filter import Filter

        schema = self._result.schema
        keep = Filter(predicates, schema) if predicates else None
        names = list(columns)
        out = pa.schema([schema.field(name) for name in names])

        def batches() -> Iterator[pa.RecordBatch]:
            # In a thread of DuckDB's, which is none to draw a line of progress in.
            for batch in self._result._batches(stopped, quietly=True):
                yield (keep(batch) if keep is not None else batch).select(names)

        return pa.RecordBatchReader.from_batches(out, batches())
