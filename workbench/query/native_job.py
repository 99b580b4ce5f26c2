"""The work behind `wb.native`: a source's own text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from workbench.contract.errors import SourceError
from workbench.contract.scan import ScanPlan, ScanRequest
from workbench.execution.scan import Scan, Source
from workbench.kit.slots import WAITS, asked
from workbench.query.engine import Limits
from workbench.query.explain import SourceReport
from workbench.query.jobs import distinct_names, renamed
from workbench.query.lookup import RemoteTarget
from workbench.query.reporting import figures, report
from workbench.query.stage import CLOSE_SECONDS

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["NativeJob"]


class NativeJob:
    """A source's own text, as the source gives it; DuckDB has no part in it."""

    def __init__(
        self, target: RemoteTarget, text: str, limits: Limits, protect: Callable[[RemoteTarget], None]
    ) -> None:
        self._target, self._text, self._limits, self._protect = target, text, limits, protect
        self._lock = threading.Lock()
        self._scan: Scan | None = None
        self._plan: ScanPlan | None = None
        self._stopping = False
        self._said = ""

    kind = "native"
    estimate = None

    @property
    def text(self) -> str:
        return self._text

    @property
    def connections(self) -> tuple[str, ...]:
        return (self._target.connection,)

    @property
    def title(self) -> str:
        return f"{self._target.connection}: {' '.join(self._text.split())}"[:200]

    def open(self, run: Run) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        tables = self._target.connector.tables
        assert tables is not None
        try:
            ask = partial(tables.native, self._text)
            plan = asked(self._target.connector, ask, lambda: self._stopping, self._waits)
        except SourceError as error:
            error.connection = error.connection or self._target.connection
            raise
        target = self._target
        scanned = Source(target.connection, target.connector, plan, lambda: self._protect(target))
        scan = Scan(scanned, run, guard=self._limits.seconds)
        with self._lock:
            self._plan, self._scan = plan, scan
            if self._stopping:
                scan.cancel()
        scan.start()
        schema = distinct_names(plan.schema)
        return schema, renamed(scan, schema)

    def _waits(self, waits: bool) -> None:
        self._said = WAITS if waits else ""

    def plan(self, run: Run) -> list[SourceReport]:
        request = ScanRequest(self._target.table, ())
        return [report(self._target, ScanPlan(request, (), pa.schema([]), self._text), None, True, False)]

    def translated(self, error: BaseException) -> BaseException:
        return error

    def failed_early(self) -> BaseException | None:
        return None

    def progress(self) -> tuple[int, int, float | None]:
        return figures([self._scan.stats]) if self._scan is not None else (0, 0, None)

    def said(self) -> str:
        return self._scan.stats.said if self._scan is not None else self._said

    def reports(self) -> list[SourceReport]:
        if self._plan is None or self._scan is None:
            return []
        return [report(self._target, self._plan, self._scan.stats, True, False)]

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            if self._scan is not None:
                self._scan.cancel()

    def close(self) -> None:
        if self._scan is not None:
            self._scan.close()
            self._scan.drained(CLOSE_SECONDS)
