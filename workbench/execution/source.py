"""What is scanned, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from workbench.contract.connector import Connector
from workbench.contract.scan import ScanPlan

__all__ = ["Counts", "ScanStats", "Source"]


@dataclass
class Source:
    """A plan and who reads it. `connection` names the connector in errors and in the register. `protect` is called
    once, in a worker's thread, before the first read: it makes sure that the work would be ended if this process
    died (the watchdog), and what it raises fails the scan."""

    connection: str
    connector: Connector
    plan: ScanPlan
    protect: Callable[[], None] | None = None


@dataclass(frozen=True)
class ScanStats:
    """How far a scan is. `rows_moved` came from the source, `rows_kept` of them were left by the predicates that the
    source did not apply exactly, and by the limit. `bytes_received` are as they came, before decoding. `seconds`
    runs until all splits are read or the scan is stopped; `first_batch_seconds` is None as long as none is there.
    `lost` counts, per column, values that Arrow cannot hold; it grows as splits end. `retries` counts reads of a
    split that were begun again."""

    rows_moved: int = 0
    rows_kept: int = 0
    bytes_received: int = 0
    batches: int = 0
    splits_done: int = 0
    splits: int = 0
    seconds: float = 0.0
    first_batch_seconds: float | None = None
    lost: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    fraction: float | None = None
    """An estimate between 0 and 1, or None where nothing is known; 1 only at the end."""
    said: str = ""
    """What the source says of its own work, while it sends no rows."""


@dataclass
class Counts:
    """What a crew counts, under its lock; times are its clock's."""

    rows_moved: int = 0
    rows_kept: int = 0
    bytes_received: int = 0
    batches: int = 0
    retries: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    began: float | None = None
    first: float | None = None
    ended: float | None = None

    def stats(
        self,
        now: float,
        under_way: int,
        done: int,
        splits: int,
        estimate: int | None,
        said: Sequence[tuple[str, float | None]] = (),
    ) -> ScanStats:
        began = now if self.began is None else self.began
        fraction: float | None
        if splits == done:
            fraction = 1.0
        elif estimate:
            fraction = min(self.rows_moved / estimate, 0.99)
        else:
            fraction = done / splits if splits > 1 else None
        texts: dict[str, None] = {}
        if self.rows_moved == 0 and splits > done:
            texts = dict.fromkeys(text for text, _ in said if text)
            parts = [part for _, part in said if part is not None]
            if not done and parts and len(parts) == len(said):
                fraction = min(sum(parts) / len(parts), 0.99)
        return ScanStats(
            rows_moved=self.rows_moved,
            rows_kept=self.rows_kept,
            bytes_received=self.bytes_received + under_way,
            batches=self.batches,
            splits_done=done,
            splits=splits,
            seconds=(now if self.ended is None else self.ended) - began,
            first_batch_seconds=None if self.first is None else self.first - began,
            lost=dict(self.lost),
            retries=self.retries,
            fraction=fraction,
            said="; ".join(texts),
        )
