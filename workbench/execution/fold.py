"""A fold: what is computed beside the data, a split at a time, and put together afterwards.

    each(split, batches) → part        where the rows are: on a thread here, on a worker of a cluster elsewhere
    merge(parts)         → part        in any order and grouping
    finish(part)         → answer      once

A fold is a small picklable value; its parts are picklable too. Nothing depends on how rows are dealt out to splits.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextvars
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SPLIT_ROWS", "Fold", "SumFold", "fold_batches"]

SPLIT_ROWS = 1 << 20
"""Rows that one `each` gets at most where a stream is cut into splits; a single larger batch stays whole."""

Part = TypeVar("Part")
Answer = TypeVar("Answer", covariant=True)


class Fold(Protocol[Part, Answer]):
    """See the module. `each` may be called from several threads at once."""

    def each(self, split: int, batches: Sequence[pa.RecordBatch]) -> Part: ...

    def merge(self, parts: Sequence[Part]) -> Part:
        """Of no parts at all it is the part of no rows."""
        ...

    def finish(self, whole: Part) -> Answer: ...


@dataclasses.dataclass(frozen=True)
class SumFold:
    """The sum of a column of whole numbers; 0 of no rows."""

    column: str

    def each(self, split: int, batches: Sequence[pa.RecordBatch]) -> int:
        import pyarrow.compute as pc

        return sum(int(pc.sum(batch[self.column]).as_py() or 0) for batch in batches)

    def merge(self, parts: Sequence[int]) -> int:
        return sum(parts)

    def finish(self, whole: int) -> int:
        return whole


def fold_batches(fold: Fold[Part, Answer], batches: Iterable[pa.RecordBatch], threads: int = 2) -> Answer:
    """Runs a fold over a stream of batches, `each` on threads while the stream goes on. At most `threads + 1` splits
    are held at a time. An error of the stream or of the fold is raised, and no further split is begun."""
    done: list[Part] = []
    waiting: collections.deque[concurrent.futures.Future[Part]] = collections.deque()
    pool = concurrent.futures.ThreadPoolExecutor(threads, "workbench-fold")
    try:
        for number, split in enumerate(_splits(batches)):
            context = contextvars.copy_context()
            waiting.append(pool.submit(context.run, fold.each, number, split))
            if len(waiting) > threads:
                done.append(waiting.popleft().result())
        done += [one.result() for one in waiting]
    finally:
        pool.shutdown(cancel_futures=True)
    return fold.finish(fold.merge(done))


def _splits(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if held and rows + batch.num_rows > SPLIT_ROWS:
            yield held
            held, rows = [], 0
        held.append(batch)
        rows += batch.num_rows
    if held:
        yield held
