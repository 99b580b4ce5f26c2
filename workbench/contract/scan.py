"""Reading a table: request, plan, split, reader, and what a reader is given to work under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from workbench.contract.predicate import Applied, Predicate
from workbench.contract.reduction import Aggregate, Top

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.contract.change import Position

__all__ = ["Control", "Reader", "ScanPlan", "ScanRequest", "Split", "TableInfo", "TableRef"]

BATCH_ROWS = 65_536
"""A batch holds at most this many rows …"""
BATCH_BYTES = 8 << 20
"""… or about this many bytes, whichever comes first (one row may be larger)."""


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table within one connection. `schema` is None where the source has no such level, or for its default."""

    name: str
    schema: str | None = None

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A row of the catalog. `rows` and `bytes` are the source's own estimates or None, never a count."""

    table: TableRef
    kind: str = "table"
    rows: int | None = None
    bytes: int | None = None
    comment: str = ""


@dataclass(frozen=True)
class ScanRequest:
    """What is wanted of one table.

    `columns` are top-level names in the order wanted; empty means that only the number of rows matters (the reader
    then returns batches without columns and with a row count, or any one column's worth: see `ScanPlan.schema`).
    `predicates` are joined by AND. `splits` is how many workers wait (a hint). `limit` is set only when the caller
    would accept any `limit` rows. `top` and `aggregate` are offers (see `workbench.contract.reduction`), at most one
    of the three is there; `columns` are then those that are needed where it is not taken.
    """

    table: TableRef
    columns: tuple[str, ...]
    predicates: tuple[Predicate, ...] = ()
    splits: int = 1
    limit: int | None = None
    top: Top | None = None
    aggregate: Aggregate | None = None


@dataclass(frozen=True)
class Split:
    """A part of a plan that one `read` reads. Picklable; holds no secret and no connection.

    `native_text` is what the source will be sent, for people. `state` is the connector's own: plain values only.
    `schema` is the plan's. `resumable`: a broken read may be started again after its last whole batch, exactly.
    """

    number: int
    table: TableRef
    native_text: str
    schema: pa.Schema
    state: Mapping[str, Any] = field(default_factory=dict)
    estimate: int | None = None
    resumable: bool = False


@dataclass(frozen=True)
class ScanPlan:
    """How a request will be answered; made without reading data, shown by explain, picklable.

    `schema` is exactly what every batch will have: the request's columns in the request's order, then such columns
    as are needed to filter again (`extra` of them). `applied` has an entry for each of the request's predicates;
    one that is not EXACT is filtered again by the executor, so its columns must be in `schema`.
    Where anything is not EXACT, `limit_applied` and `top_applied` are False, and `aggregated`, too: where that is True,
    the batches are parts of groups, and `schema` is `request.aggregate.schema(…)`.
    Splits are disjoint and complete, NULL keys included. `clustered_by`: rows equal in these columns lie in one split.
    `notes` are sentences for explain.
    """

    request: ScanRequest
    splits: tuple[Split, ...]
    schema: pa.Schema
    native_text: str
    applied: Mapping[Predicate, Applied] = field(default_factory=dict)
    reasons: Mapping[Predicate, str] = field(default_factory=dict)
    extra: int = 0
    estimate: int | None = None
    limit_applied: bool = False
    top_applied: bool = False
    aggregated: bool = False
    clustered_by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def residual(self) -> tuple[Predicate, ...]:
        """The predicates that have to be filtered again above the reader."""
        return tuple(p for p in self.request.predicates if self.applied.get(p, Applied.NONE) != Applied.EXACT)


class Control(Protocol):
    """What a reader works under; given by the executor.

    `mark` names the work at the source: put it into the statement (a comment), so that `cancel` can prove that what
    it ends is ours. It matches `[A-Za-z0-9_-]{1,64}`.
    `guard` is the statement time limit in seconds that the source should enforce, or None.
    """

    @property
    def mark(self) -> str: ...

    @property
    def guard(self) -> float | None: ...

    def cancelled(self) -> bool:
        """Asked between batches, and at least every 100 ms while waiting; then the reader ends its work and raises
        `Cancelled`."""
        ...

    def running(self, native_id: str) -> None:
        """Call before the query is sent: from then on the work can be ended by other processes."""
        ...

    def ended(self, native_id: str) -> None:
        """Call when the source works no more on it, and before its connection is used for anything else."""
        ...

    def working(self, said: str, fraction: float | None = None) -> None:
        """May be called, from any thread and as often as there is news: what the source says of its own work while no
        rows come, a few words for people, and how much of that work is done, between 0 and 1."""
        ...


class Reader(Protocol):
    """The batches of one split: an iterator of `pyarrow.RecordBatch`, each exactly of `schema`.

    Errors are of the contract's tree. A reader that has raised, or was closed, is over. `Cancelled` is raised when
    the control says so. Nothing but StopIteration means "these were all the rows".
    """

    @property
    def schema(self) -> pa.Schema: ...

    @property
    def native_id(self) -> str | None:
        """The work's name at the source, with our mark in it; None where nothing runs there."""
        ...

    @property
    def snapshot(self) -> Position | None:
        """From where a feed would go on, where the source can say it."""
        ...

    @property
    def lost(self) -> Mapping[str, int]:
        """Values that were made NULL because Arrow cannot hold them, counted per column. Final at the end."""
        ...

    @property
    def received(self) -> int:
        """Bytes that came from the source so far."""
        ...

    def __iter__(self) -> Reader: ...

    def __next__(self) -> pa.RecordBatch: ...

    def close(self) -> None:
        """Ends the work at the source too. Idempotent, from any thread; a `__next__` that waits is let go."""
        ...
