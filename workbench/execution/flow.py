"""What a scan decides, without threads and without a clock: which split is next, whether a batch fits into the
queue, when it is over and how, and whether a broken split is read again."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa

from workbench.contract.errors import ConnectionLost, SourceFull, Unreachable
from workbench.contract.scan import Split

__all__ = ["End", "Flow", "Retry"]


class End(StrEnum):
    """How a scan ended before all was read. ENOUGH: the wanted number of rows is there; what is queued still counts."""

    ENOUGH = "enough"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class Retry:
    """Reading a broken split again: only when the way to the source broke, at most `times`, and only where no row can
    come twice: before the first batch was handed on, or where the split is resumable."""

    random: random.Random = field(default_factory=random.Random)
    times: int = 2
    first: float = 0.2
    """Seconds before the first repeat; doubled for the next, and scattered by half to one and a half."""
    times_full: int = 30
    longest: float = 2.0
    """A server that takes no more connections is asked so often, at most so many seconds apart: for a minute."""

    def delay(self, error: BaseException, failures: int, handed_on: bool, split: Split) -> float | None:
        """Seconds to wait, or None to give up. `failures` counts this split's, this one included."""
        times = self.times_full if isinstance(error, SourceFull) else self.times
        if not isinstance(error, ConnectionLost | Unreachable) or failures > times:
            return None
        if handed_on and not split.resumable:
            return None
        return float(min(self.first * 2 ** (failures - 1), self.longest) * (0.5 + self.random.random()))


class Flow:
    """The books of one scan. Not thread-safe: its owner holds a lock."""

    def __init__(self, splits: Sequence[Split], queue_bytes: int, queue_batches: int) -> None:
        self._waiting = deque(splits)
        self._queue: deque[tuple[pa.RecordBatch, int]] = deque()
        self._most_bytes, self._most_batches = queue_bytes, queue_batches
        self.total, self.done, self.bytes = len(splits), 0, 0
        self.end: End | None = None
        self.error: BaseException | None = None
        self.seen_end = False

    @property
    def stopped(self) -> bool:
        """Whether readers are to end; nothing they bring is taken any more."""
        return self.end is not None

    @property
    def over(self) -> bool:
        """Whether no further batch will come out."""
        return not self._queue and (self.stopped or self.done == self.total)

    @property
    def batches(self) -> int:
        return len(self._queue)

    def take(self) -> Split | None:
        """The next split to read, for whoever asks first."""
        return None if self.stopped or not self._waiting else self._waiting.popleft()

    @property
    def waiting(self) -> bool:
        """Whether there are splits that nobody reads yet."""
        return bool(self._waiting)

    def finished(self) -> None:
        """One split was read to its end, and all of it was put."""
        self.done += 1

    def room(self, size: int) -> bool:
        """Whether a batch of `size` fits. An empty queue takes any, so that a large row cannot block for ever."""
        return not self._queue or (self.bytes + size <= self._most_bytes and len(self._queue) < self._most_batches)

    def put(self, batch: pa.RecordBatch, size: int) -> None:
        self._queue.append((batch, size))
        self.bytes += size

    def get(self) -> pa.RecordBatch | None:
        """The oldest batch, or None when none is there now."""
        if not self._queue:
            return None
        batch, size = self._queue.popleft()
        self.bytes -= size
        return batch

    def stop(self, end: End, error: BaseException | None = None) -> bool:
        """Ends it; False when it has already ended. The first end holds, but a scan with ENOUGH can still be closed,
        cancelled or fail, as long as not all is fetched."""
        if self.seen_end or self.end not in (None, End.ENOUGH):
            return False
        if self.end is End.ENOUGH and end in (End.ENOUGH, End.FAILED):
            return False
        self.end, self.error = end, error
        self._waiting.clear()
        if end is not End.ENOUGH:
            self._queue.clear()
            self.bytes = 0
        return True
