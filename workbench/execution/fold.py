"""A fold: what is computed beside the data, a split at a time, and put together afterwards.

    each(split, batches) → part        where the rows are: on a thread here, on a worker of a cluster elsewhere
    merge(parts)         → part        in any order and grouping
    finish(part)         → answer      once

A fold is a small picklable value; its parts are picklable too. Nothing depends on how rows are dealt out to splits.

Parts that are too large for one place are regrouped, where a fold is a `Regroup`: each is dealt out by key into
partitions, the same partitions everywhere, and what belongs together meets in one of them.

    deal(part, n)        → n parts     equal keys have the same place among them
    settle(part)         → part        of a partition's whole: its rows are rows of the answer
    gather(settled)      → answer      of all partitions, or of some: then it is a piece of the answer
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextvars
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SPLIT_ROWS", "Fold", "Regroup", "SumFold", "fold_batches", "splits_of"]

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


@runtime_checkable
class Regroup(Fold[Part, Answer], Protocol):
    """See the module."""

    @property
    def settled(self) -> bool:
        """Any part's rows are rows of the answer: nothing has to meet, and `gather` takes parts as they are."""
        ...

    @property
    def dealable(self) -> bool:
        """Whether there are keys to deal out by; else parts are only merged."""
        ...

    @property
    def bounded(self) -> bool:
        """The answer has so many rows at most, of all parts together: no piece of it can be had by itself."""
        ...

    @property
    def then(self) -> Regroup[Part, Answer] | None:
        """The fold whose part a partition's whole comes to (by `again`), in place of `settle`; None: it settles."""
        ...

    def deal(self, part: Part, partitions: int) -> Sequence[Part]: ...

    def settle(self, part: Part) -> Part: ...

    def again(self, whole: Part) -> Part:
        """What a partition's whole of the fold before it is as a part of this one."""
        ...

    def gather(self, settled: Sequence[Part]) -> Answer: ...


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
        for number, split in enumerate(splits_of(batches)):
            context = contextvars.copy_context()
            waiting.append(pool.submit(context.run, fold.each, number, split))
            if len(waiting) > threads:
                done.append(waiting.popleft().result())
        done += [one.result() for one in waiting]
    finally:
        pool.shutdown(cancel_futures=True)
    return fold.finish(fold.merge(done))


def splits_of(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches by about `SPLIT_ROWS` rows."""
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
