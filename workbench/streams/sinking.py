"""A sink's task in one process: rows are gathered, written together, and done when they are committed.

In a run with state rows are in the snapshot before they are written, and its number is committed with them: a run that
goes on from a snapshot knows from the target whether it has them. Without state a tuple is acked when its rows are
committed, and a spout's batch that comes again is skipped where its origin is committed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from workbench.contract.change import Guarantee, Position
from workbench.contract.errors import InvalidParameter, StateRefused
from workbench.streams.counting import Link
from workbench.streams.delivering import Deliver
from workbench.streams.state import Unit, Units
from workbench.streams.task import Task
from workbench.streams.tracking import Tracking
from workbench.streams.tuples import Batch, Origin, Row, Tuple

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.streams.writing import Refused, Target

__all__ = ["SinkTask"]

APPLIED = 1_000
"""Origins that are remembered, at least: of more batches than are on their way."""


class SinkTask:
    """`lost` takes rows that the target refuses. `clock` gives seconds that only move on."""

    def __init__(
        self,
        task: Task,
        topology: str,
        tracking: Tracking,
        clock: Callable[[], float],
        lost: Callable[[Task, Iterable[Row], str], None],
    ) -> None:
        self.task, self._topology, self._tracking, self._clock, self._lost = task, topology, tracking, clock, lost
        self._target: Target = task.instance.target()
        self._fields: tuple[str, ...] = ()
        self._link: Link | None = None
        self._units, self._line = Units(lambda: sum([one.calls for one in tracking.sources])), ""
        self._parts: list[tuple[Unit, Any, Row | Batch]] = []
        self._rows = 0
        self._since = 0.0
        # Without state:
        self._sequence, self._run = 0, secrets.token_hex(8)
        self._applied: dict[Origin, None] = {}
        """Of the spout's batches that are committed, the newest."""
        self._gathered: set[Origin] = set()
        # With state:
        self._sealed: pa.RecordBatch | None = None
        self._collected: pa.RecordBatch | None = None
        self._refused: list[Refused] = []
        self._epoch = 0
        self.guarantee: Guarantee = self._target.promised()

    @property
    def gathers(self) -> bool:
        """Whether rows wait to be written."""
        return bool(self._parts)

    @property
    def waits(self) -> bool:
        """The same, in a run without state."""
        return bool(self._parts) and not self._line

    @property
    def name(self) -> str:
        """By which the target keeps how far it is; of each line of snapshots another."""
        return f"{self._topology}/{self.task.component}/{self.task.index}{f'/{self._line[:12]}' if self._line else ''}"

    def open(self) -> None:
        """Raises what the target raises where it cannot be written at all."""
        self.guarantee = self._target.open(self.name)

    def deliver(self, link: Link, fields: tuple[str, ...], straight: bool) -> Deliver:
        """Of one stream. `straight`: a spout's batches come here as they are, and nothing else does; so one whose
        origin was here has been here whole."""
        if self._fields and self._fields != fields:
            raise InvalidParameter(
                "inputs",
                f"of `{self.task.component}` have the fields {list(self._fields)} and {list(fields)}; a sink's streams "
                "have the same, for they go to one table.",
            )
        self._link, self._fields = link, fields
        link.whole = True
        executed = 0
        straight = straight and len(self.task.instance.context.tasks) == 1

        def row(given: Tuple) -> None:
            nonlocal executed
            executed += 1
            self._take(given, 1)

        def batch(rows: Batch, make: type[Tuple]) -> None:
            nonlocal executed
            if len(rows):
                executed += len(rows)
                self._take(rows, len(rows), rows.origin if straight else None)

        link.counts.append(lambda: executed)
        return Deliver(row, batch, self.task, link)

    # --- gathering

    def _take(self, given: Row | Batch, rows: int, origin: Origin | None = None) -> None:
        if self._line:
            self._parts.append((self._units.now, None, given))
            self._rows += rows
            return
        if origin is not None:
            if origin in self._applied:
                return
            if origin in self._gathered:  # the rows wait to be written, and this one with them
                self._parts.append((self._units.now, self._tracking.held(), Batch.of_rows([], self._fields)))
                return
            self._gathered.add(origin)
        if not self._rows:
            self._since = self._clock()
        self._parts.append((self._units.now, self._tracking.held(), given))
        self._rows += rows
        if self._rows >= self._target.rows:
            self.flush()

    def _batch(self) -> tuple[pa.RecordBatch | None, list[Refused]]:
        """What was gathered, in order."""
        parts = [given for _, _, given in self._parts]
        return self._target.converted(parts, self._fields) if parts else (None, [])

    # --- without state

    def tick(self) -> None:
        """Some times a second."""
        if not self._line and self._parts and self._clock() - self._since >= self._target.seconds:
            self.flush()

    def flush(self) -> None:
        """Writes what was gathered, and lets its tuples go; when that fails, they fail."""
        if self._line or not self._parts:
            return
        link = self._link
        assert link is not None
        began = self._clock()
        holds = [hold for _, hold, _ in self._parts if hold is not None]
        try:
            self._write_gathered()
        except Exception as error:  # noqa: BLE001  # all of it fails, and is sent again
            link.failed += self._rows
            self._forget()
            self.task.raised(error)
            why = self.task.component
            self._tracking.with_anchors(tuple(dict.fromkeys(holds)), self._tracking.raised, why, error)
        else:
            self._forget()
        link.execute.add(self._clock() - began)
        self._tracking.let_go(holds)

    def _forget(self) -> None:
        self._parts, self._rows, self._gathered = [], 0, set()

    def _write_gathered(self) -> None:
        batch, refused = self._batch()
        self._sequence += 1
        kept = self.guarantee is Guarantee.TRANSACTIONAL  # so that it can be seen whether a commit that broke was one
        position = Position(self._run, str(self._sequence)) if kept else None
        refused = [*refused, *self._target.write(batch, self._sequence, position, self.name if kept else "")]
        self._applied.update(dict.fromkeys(self._gathered))
        most = max(APPLIED, 2 * int(self.task.instance.context.config["max_spout_pending"]))
        for origin in list(self._applied)[: max(0, len(self._applied) - most)]:
            del self._applied[origin]
        self._give_up(refused)

    def _give_up(self, refused: Iterable[Refused]) -> None:
        for row, why in refused:
            self._lost(self.task, [row], why)

    # --- with state

    def keep(self, units: Units, line: str) -> None:
        """It is a run with state; `line` is the identity of its snapshots."""
        self._units, self._line = units, line

    @property
    def crowded(self) -> bool:
        return bool(self._line) and self._rows >= self._target.rows

    def undo(self, unit: Unit) -> bool:
        """A failed unit's rows are not written."""
        kept = [part for part in self._parts if part[0] != unit]
        if len(kept) < len(self._parts):
            self._parts = kept
            self._rows = sum(len(given) if isinstance(given, Batch) else 1 for _, _, given in kept)
        return True

    def kept(self) -> bytes | None:
        """What it is to write with the next snapshot."""
        self._collected, self._refused = self._batch()
        if self._collected is None or not self._collected.num_rows:
            return None
        import pyarrow as pa

        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, self._collected.schema) as writer:
            writer.write_batch(self._collected)
        data: bytes = stream.getvalue().to_pybytes()
        return data

    def sealed(self, epoch: int) -> None:
        """The snapshot is kept: what it has is written by `commit`."""
        self._sealed, self._collected, self._epoch = self._collected, None, epoch
        self._parts, self._rows = [], 0
        refused, self._refused = self._refused, []
        self._give_up(refused)

    def restore(self, body: str | bytes, epoch: int) -> None:
        """Raises ValueError where it is damaged."""
        import pyarrow as pa

        try:
            table = pa.ipc.open_stream(body if isinstance(body, bytes) else body.encode()).read_all().combine_chunks()
        except pa.ArrowException as error:
            raise ValueError(str(error)) from None
        self._sealed = table.to_batches()[0] if table.num_rows else None
        self._epoch = epoch

    def recover(self, epoch: int) -> None:
        """Writes what the snapshot has for it, unless the target has it. Raises StateRefused, and what it raises."""
        self._epoch = epoch
        if self.guarantee is Guarantee.TRANSACTIONAL and epoch:
            position = self._target.position(self.name)
            there = int(position.value) if position is not None and position.source == self._line else 0
            if there > epoch:
                raise StateRefused(
                    self._topology,
                    self._line,
                    f"`{self._target.table}` has snapshot {there} of it, and the file only {epoch}: it is an older "
                    "copy. Put the newest in its place, or begin anew (recover=False).",
                )
            if there == epoch:
                self._sealed = None
        self.commit()

    def commit(self) -> None:
        """Writes what the last snapshot has for it; nothing where that is done."""
        batch = self._sealed
        if batch is None:
            return
        link, began = self._link, self._clock()
        refused = self._target.write(batch, self._epoch, Position(self._line, str(self._epoch)), self.name)
        if link is not None:
            link.execute.add(self._clock() - began)
        self._sealed = None
        self._give_up(refused)
