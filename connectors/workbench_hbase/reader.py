"""One split's rows: ranges of rows, one after another, each as batches that know their last row.

What is broken off is gone on with after the last whole row, where HBase's own events are the reason: a region that
was split, merged or moved, a scanner whose lease ran out, a server that died. A connection that breaks while its
server lives is an error.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING

from workbench.contract.errors import ConnectionLost, SnapshotChanged, SourceError, SourceTimeout, Unreachable
from workbench.contract.scan import Control, Split
from workbench.kit.batches import pieces, rows_only
from workbench.kit.reading import GeneratedReader
from workbench_hbase.decode import Rows, Shape

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_hbase.connector import HBaseConnector

__all__ = ["Again", "Found", "HBaseReader", "aside"]

_STEP = 0.05
_LONGEST = 2.0
_GUARDED = "The query"
_SILENCE = 60.0
"""Seconds without a word, after which a server is taken for gone: a healthy one says something every few."""

Found = tuple[Rows, int, bytes]
"""Rows, how many, and the last one's key."""


class Again:
    """How often and how long something that went wrong is tried again: at most so many seconds without a new row."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.progress()

    def progress(self) -> None:
        self._since: float | None = None
        self._pause = _STEP

    @property
    def trying(self) -> bool:
        """Whether something went wrong since the last new row."""
        return self._since is not None

    def pause(self, error: SourceError) -> float:
        """Seconds to wait before the next attempt. Raises the error when that is enough."""
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > self.seconds:
            raise error
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST)
        return pause


def aside(work: Callable[[], None]) -> None:
    """Does it without waiting for it. Not at the end of the process, where no thread begins any more."""
    if not sys.is_finalizing():
        threading.Thread(target=work, name="workbench-hbase-close", daemon=True).start()


class HBaseReader(GeneratedReader):
    """See `workbench.contract.scan.Reader`. The routes differ in `_scan`."""

    def __init__(self, connector: HBaseConnector, split: Split, control: Control) -> None:
        self._connector = connector
        self._table: str = split.state["table"]
        self._shape = Shape(split.state["parts"], split.state["columns"], split.schema)
        self._guard = control.guard or connector.guard
        self._again = Again(connector.patience)
        self._lost: dict[str, int] = {}
        self._spent = 0.0
        self._left: int | None = split.state["limit"]
        cells = [field.cell for field in self._shape.fields]
        self._families = sorted({cell[0] for cell in cells if cell is not None and not split.state["cells"]})
        """Those that the scan does not name, so that nothing tells when one is dropped meanwhile, and with it rows."""
        super().__init__(split, control)

    @property
    def lost(self) -> Mapping[str, int]:
        return dict(self._lost)

    def _all(self) -> Generator[pa.RecordBatch, None, None]:
        with self._connector.faults.named(str(self._split.table), self._split.native_text):
            self._same_table()
            for low, high in self._split.state["ranges"]:
                at: bytes | None = low
                while at is not None and (high is None or at < high) and self._left != 0:
                    at = yield from self._range(at, high)

    def _range(self, low: bytes, high: bytes | None) -> Generator[pa.RecordBatch, None, bytes | None]:
        """Batches from `low` on; where to go on, None at the end."""
        at = low
        try:
            if self._again.trying:
                self._same_table()
            scanning = self._scan(low, high)
            try:
                while True:
                    try:
                        rows, count, last = next(scanning)
                    except StopIteration as end:
                        after: bytes | None = end.value
                        return after
                    at = last + b"\0"
                    self._again.progress()
                    yield from self._handed(rows, count)
                    if self._left == 0:
                        return None
            finally:
                scanning.close()
        except SourceError as error:
            self._sleep(self._again.pause(self._forgivable(error)))
            return at

    @abstractmethod
    def _scan(self, low: bytes, high: bytes | None) -> Generator[Found, None, bytes | None]:
        """Rows from `low` on, of one region or of several; returns where to go on, None when that was all."""

    @abstractmethod
    def _forgivable(self, error: SourceError) -> SourceError:
        """The error, when one may go on after it; else it is raised."""

    def _still_away(self, error: SourceError) -> bool:
        """Whether it is one more thing that goes wrong while a server is away, as it was just before."""
        if isinstance(error, SourceTimeout):
            return self._again.trying and error.what != _GUARDED
        return self._again.trying and isinstance(error, ConnectionLost | Unreachable)

    def _handed(self, rows: Rows, count: int) -> Generator[pa.RecordBatch, None, None]:
        if self._left is not None:
            count = min(count, self._left)
            self._left -= count
        if not self._shape.fields:
            yield from rows_only(count)
            return
        for piece in pieces(rows.batch(self._lost).slice(0, count)):
            yield piece
            self._check()

    def _look(self, waited: float) -> None:
        """While one waits for the server."""
        self._check()
        if self._spent + waited > self._guard:
            raise SourceTimeout(_GUARDED, self._guard)
        if waited > _SILENCE:
            raise ConnectionLost(f"The server has said nothing for {_SILENCE:g} s. Run the query again.")

    def _sleep(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self._look(0)
            threading.Event().wait(min(left, _STEP))
            self._spent += min(left, _STEP)

    def _same_table(self) -> None:
        """Raises SnapshotChanged where it is not sure to be the table that was planned."""
        now = self._connector.route.identity(self._table, self._look)
        if not now.enabled:
            raise self._connector.faults.of("TableNotEnabledException", "", table=self._table)
        if now.since != self._split.state["since"]:
            told = "it was disabled and enabled, or dropped and made again"
            raise SnapshotChanged(str(self._split.table), told, self._connector.config.name)
