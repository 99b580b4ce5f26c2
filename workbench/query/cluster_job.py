"""A statement that runs on a cluster: its largest table is read there, split by split; only sums, or names of files,
come here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from workbench.execution.cluster import Cluster
from workbench.execution.cluster_folding import Folding
from workbench.query.cluster_plan import Dealt
from workbench.query.explain import SourceReport, amount, counted
from workbench.query.jobs import BATCH_ROWS, Prepared, distinct_names
from workbench.query.reporting import figures, report, sayings
from workbench.query.translate import translated

if TYPE_CHECKING:
    from workbench.query.session import Session
    from workbench.query.stage import Stage
    from workbench.runs import Run

__all__ = ["ClusterJob"]

_FEW_ROWS = 2_000_000
_FILES = pa.schema([("file", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64())])


class ClusterJob:
    """See `workbench.query.execution.Job`. With a `folder` its workers write the rows there, as Parquet files; what
    comes then are names, rows and bytes of the files."""

    kind = "query"
    estimate = None

    def __init__(self, session: Session, prepared: Prepared, cluster: Cluster, folder: str = "") -> None:
        self._session, self._prepared, self._cluster, self._folder = session, prepared, cluster, folder
        self._stopped = threading.Event()
        self._dealt: Dealt | None = None
        self._folding: Folding | None = None

    @property
    def title(self) -> str:
        return " ".join(self._prepared.statement.text.split())[:200]

    @property
    def text(self) -> str:
        return self._prepared.statement.text

    @property
    def connections(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(target.connection for target in self._prepared.remotes.values()))

    def open(self, run: Run) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        fold, tasks = self._deal().made(run)
        folding = Folding(self._cluster, run.id, len(tasks), on_progress=self._seen, stopped=self._stopped.is_set)
        if self._folder:
            files = folding.files(fold, tasks, self._folder)
            table = pa.Table.from_pylist([dict(zip(_FILES.names, one, strict=True)) for one in files], _FILES)
        else:
            table = folding.answer(fold, tasks)
            table = table.rename_columns(distinct_names(table.schema).names)
        self._folding = folding
        return table.schema, iter(table.to_batches(BATCH_ROWS))

    def plan(self, run: Run) -> list[SourceReport]:
        try:
            self._deal().made(run, reading=False)
            return self.reports()
        finally:
            self.close()

    def translated(self, error: BaseException) -> BaseException:
        if self._stage is not None and self._stage.error is not None:
            error = self._stage.error
        return translated(error, self._prepared.statement.body, self._prepared.resolved.splices)

    def failed_early(self) -> BaseException | None:
        return self._stage.failed_early() if self._stage is not None else None

    def progress(self) -> tuple[int, int, float | None]:
        rows, size, _ = figures([feed.stats for feed in self._stage.feeds]) if self._stage is not None else (0, 0, None)
        folding = self._folding
        if folding is None:
            return rows, size, None
        done = min(folding.done / max(folding.tasks, 1), 0.99)
        return rows + folding.rows_moved, size + folding.bytes_received, done

    def said(self) -> str:
        if self._stage is None:
            return ""
        return sayings([feed.stats for feed in self._stage.feeds]) or self._stage.said

    def reports(self) -> list[SourceReport]:
        dealt = self._dealt
        if dealt is None or dealt.stage is None or dealt.plan is None or dealt.target is None:
            return []
        plan = dealt.plan
        whole = report(dealt.target, plan, None, True, False)
        done = "filtered and added up" if dealt.sums else "filtered"
        notes = [f"on the cluster {self._cluster.address}: {counted(dealt.tasks, 'task')}, each read and {done} there"]
        folding = self._folding
        if folding is not None:
            if folding.partitions:
                size, count = amount(folding.regrouped), counted(folding.partitions, "partition")
                notes.append(f"regrouped by key between the workers: {size} of parts, into {count}")
            notes.append(f"{amount(folding.gathered)} of parts came here")
            whole = replace(
                whole,
                rows_moved=folding.rows_moved,
                rows_kept=folding.rows_kept,
                bytes=folding.bytes_received,
                retries=folding.retries,
                lost=folding.lost,
            )
        if plan.estimate is not None and plan.estimate < _FEW_ROWS:
            notes.append(f"one machine would be faster: it is about {counted(plan.estimate, 'row')}")
        others = [report(feed.target, feed.plan, feed.stats, True, False) for feed in dealt.stage.feeds]
        others = [replace(one, notes=(*one.notes, "whole on each worker")) for one in others]
        return [replace(whole, notes=(*plan.notes, *notes)), *others]

    def stop(self) -> None:
        self._stopped.set()
        if self._stage is not None:
            self._stage.stop()

    def close(self) -> None:
        self._stopped.set()
        if self._stage is not None:
            self._stage.close()

    # --- inside

    @property
    def _stage(self) -> Stage | None:
        return self._dealt.stage if self._dealt is not None else None

    def _deal(self) -> Dealt:
        near = [worker.near for worker in self._cluster.workers()]
        self._dealt = Dealt(self._session, self._prepared, near, self._cluster.address, self._stopped.is_set)
        return self._dealt

    def _seen(self, folding: Folding) -> None:
        self._folding = folding
