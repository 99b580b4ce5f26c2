"""What changed, and how far we are: positions and batches of changes, the same for feeds and for sinks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from workbench.contract.scan import TableRef

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Changes", "Guarantee", "Heartbeat", "Position", "Rejects", "SchemaChange", "WriteSpec"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a source's history. `source` identifies the source (server id, inode and CRC) and is verified on
    resume; `value` is opaque (GTID set, LSN, offset) and is ordered by `Feeds.reached` only."""

    source: str
    value: str


@dataclass(frozen=True)
class Changes:
    """A batch of changed rows of one table.

    `ops` is an array of `insert`, `update`, `delete` as long as `rows`; None means all inserts. `first` and `last`
    bound it; `complete` says that it ends at the end of a transaction, so that `last` may be committed.
    """

    table: TableRef
    rows: pa.RecordBatch
    ops: pa.Array | None
    first: Position
    last: Position
    complete: bool = True


@dataclass(frozen=True)
class SchemaChange:
    """From `at` on, rows of `table` have `schema`."""

    table: TableRef
    schema: pa.Schema
    at: Position


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing changed up to `at`."""

    at: Position


class Guarantee(StrEnum):
    """What a writer promises when a batch is written twice.

    TRANSACTIONAL: rows and position commit in one transaction, so a repeat is noticed and dropped. KEYED: a repeat
    overwrites itself. FILE: a file appears whole or not at all, a repeat has the same name. APPEND: a repeat stays.
    """

    TRANSACTIONAL = "transactional"
    KEYED = "keyed"
    FILE = "file"
    APPEND = "append"


@dataclass(frozen=True)
class WriteSpec:
    """How a table is written. `mode`: `insert` refuses an existing key, `upsert` replaces the row with the same
    `key`. `create`: make the table from `schema` when it is not there. `stream` names the position that is kept.
    `apart`: a commit that the target refuses some rows of writes the others and gives those back, where the writer can
    tell them; a row that is there with the same key and values, from a commit whose end nobody saw, is none of them."""

    schema: pa.Schema
    mode: str = "insert"
    key: tuple[str, ...] = ()
    create: bool = False
    stream: str = ""
    apart: bool = False


@dataclass(frozen=True)
class Rejects:
    """Rows that the target refused: how many, and a few with their reason. Empty is the usual case. `each`, with
    `WriteSpec.apart` and where the writer knows them: all of them, by their place (from 0) among the rows that were
    written since the commit before, with the reason."""

    count: int = 0
    samples: tuple[str, ...] = ()
    each: tuple[tuple[int, str], ...] = ()
