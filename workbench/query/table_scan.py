"""`wb.scan`: a table's rows in parts, each read where it is used: for code of one's own, and for Dask's data frames."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import Cancelled, InvalidParameter, UnknownColumn, UsageError
from workbench.execution.cluster_folding import Folding
from workbench.execution.cluster_worker import Called, Task, Turn, apply, stop, work
from workbench.query.cluster_plan import Dealt
from workbench.query.translate import translated
from workbench.query.trees import quoted
from workbench.query.writing import parts_of

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.execution.cluster import Cluster
    from workbench.query.cluster_fold import SqlFold
    from workbench.query.jobs import Prepared
    from workbench.query.session import Session
    from workbench.runs import Run

__all__ = ["Scan", "scan_text"]

TICK = 0.1


def scan_text(table: str, columns: Sequence[str] | None, where: str) -> str:
    """The statement that a scan is. Raises UsageError, InvalidParameter."""
    parts_of(table)
    if columns is not None and (isinstance(columns, str) or not all(isinstance(one, str) for one in columns)):
        raise InvalidParameter("columns", f'are a list of names, as ["id", "country"], not {columns!r}')
    if columns is not None and not columns:
        raise InvalidParameter("columns", "are at least one; leave them out for all")
    if columns is not None and len({one.casefold() for one in columns}) < len(columns):
        raise InvalidParameter("columns", f"name one twice: {', '.join(columns)}")
    if not isinstance(where, str):
        raise InvalidParameter("where", f"is a condition in SQL, as \"day >= '2026-01-01'\", not {where!r}")
    listed = "*" if columns is None else ", ".join(map(quoted, columns))
    return f"select {listed} from {table.strip()}" + (f" where ({where}\n)" if where.strip() else "")


class Scan:
    """Rows of one table. They are read in parts, on the workers of the session's cluster where there is one, else on
    threads here; and anew with each use. `where` is applied by the source where it can be, else where it is read."""

    def __init__(self, session: Session, prepared: Prepared, columns: Sequence[str] | None, cluster: Cluster | None):
        self._session, self._prepared, self._cluster = session, prepared, cluster
        target = next(iter(prepared.remotes.values()), None)
        if target is None:
            raise UsageError("A scan is of a table of a connection: `wb.scan('shop.orders')`.")
        known = {name.casefold() for name in target.schema.names}
        for name in columns or ():
            if name.casefold() not in known:
                raise UnknownColumn(name, target.schema.names, f"Of the table `{target.table}`.")

    @property
    def text(self) -> str:
        """The statement that it is."""
        return self._prepared.statement.text

    @property
    def schema(self) -> pa.Schema:
        """Of every part. Asks the source for its plan."""
        with self._run("explain") as (run, stopped):
            dealt = self._dealt(stopped)
            dealt.made(run, reading=False)
            return dealt.schema

    def map_partitions(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
        """`fn(table, *args, **kwargs)` of each part, a pyarrow Table, called where it is read; what it gave, in the
        parts' order. At least one part, also of no rows. What is given and comes back is pickled on a cluster, and
        may have 256 MB there. Raises what `fn` raises, what the source does, Cancelled, LimitExceeded, and
        ClusterFailed where `fn` ends its worker again and again."""
        if not callable(fn):
            raise InvalidParameter("fn", f"is a function of one part, as `lambda table: table.num_rows`, not {fn!r}")
        with self._run("query") as (run, stopped):
            fold, tasks = self._dealt(stopped).made(run)
            call = Called(fold.sql.names, fn, args, kwargs)

            def told(done: int) -> None:
                run.progress(0, 0, min(done / len(tasks), 0.99))

            if self._cluster is None:
                return _here(run, fold, tasks, call, stopped, told)
            folding = Folding(
                self._cluster, run.id, len(tasks), stopped=stopped, on_progress=lambda one: told(one.done)
            )
            return folding.pieces(fold, tasks, call)

    def to_dask(self) -> Any:
        """A Dask data frame with a partition a part, its columns of pandas' Arrow types, so that nothing is lost. No
        rows are read before it is computed: with `frame.compute(scheduler=cluster.client)` on the workers, else on
        Dask's own threads here. No secret is in its graph: a task opens the connection by what it is called, where it
        runs. `wb.running()` does not show it, and stopping it is Dask's."""
        try:
            import dask.dataframe as frames
            import pandas  # noqa: F401
        except ImportError:
            raise UsageError(
                "Dask's data frames need pandas. Install `analytics-workbench[pandas]`, or use map_partitions()."
            ) from None
        with self._run("explain") as (run, stopped):
            dealt = self._dealt(stopped)
            fold, tasks = dealt.made(run)
        name = f"scan-{secrets.token_hex(6)}"
        tasks = [replace(task, run=name, opening=task.opening.unnoted()) for task in tasks]
        meta = _frame(dealt.schema.empty_table())
        made: Any = frames.from_map
        return made(_read, tasks, fold=fold, meta=meta, label="workbench-scan")

    def __repr__(self) -> str:
        place = "on threads here" if self._cluster is None else f"on the cluster {self._cluster.address}"
        return f"<Scan {place}: {' '.join(self.text.split())}>"

    # --- inside

    def _dealt(self, stopped: Callable[[], bool]) -> Dealt:
        if self._cluster is None:
            near, address = [True] * _threads(), "here"
        else:
            near, address = [worker.near for worker in self._cluster.workers()], self._cluster.address
        return Dealt(self._session, self._prepared, near, address, stopped)

    @contextlib.contextmanager
    def _run(self, kind: str) -> Iterator[tuple[Run, Callable[[], bool]]]:
        connections = dict.fromkeys(one.connection for one in self._prepared.remotes.values())
        run = self._session.register.begin(kind, f"scan: {self.text}"[:200], self.text, tuple(connections))
        asked = threading.Event()
        with self._session.watched(run, asked.set):
            try:
                yield run, asked.is_set
            except Exception as error:
                shown = translated(error, self._prepared.statement.body, self._prepared.resolved.splices)
                if shown is error:
                    raise
                raise shown from None


def _threads() -> int:
    return max(1, min(8, os.cpu_count() or 1))


def _here(
    run: Run,
    fold: SqlFold,
    tasks: Sequence[Task],
    call: Called,
    stopped: Callable[[], bool],
    told: Callable[[int], object],
) -> list[Any]:
    def one(task: Task) -> Any:
        return apply(run.id, call, work(task, fold, contextlib.nullcontext())).part

    with concurrent.futures.ThreadPoolExecutor(_threads(), "workbench-scan") as pool:
        waiting = [pool.submit(one, task) for task in tasks]
        try:
            left = set(waiting)
            while left:
                done, left = concurrent.futures.wait(left, TICK, concurrent.futures.FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if stopped():
                    raise Cancelled("The scan")
                told(len(tasks) - len(left))
        except BaseException:
            stop(run.id)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in waiting]


def _read(task: Task, fold: SqlFold) -> Any:
    """A partition of a Dask data frame."""
    table = work(task, fold, Turn(task.opening.source, task.opening.at_once)).part
    return _frame(table.rename_columns(fold.sql.names))


def _frame(table: pa.Table) -> Any:
    import pandas

    return table.to_pandas(types_mapper=pandas.ArrowDtype)
