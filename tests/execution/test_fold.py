"""A fold over a stream: every row once, bounded, and ended by an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest

from workbench.execution.fold import SPLIT_ROWS, fold_batches


class Total:
    """Adds a column up, and counts how many splits are held at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sizes: list[int] = []

    def each(self, split: int, batches: Sequence[pa.RecordBatch]) -> int:
        with self.lock:
            self.sizes.append(sum(batch.num_rows for batch in batches))
        return sum(sum(batch[0].to_pylist()) for batch in batches)

    def merge(self, parts: Sequence[int]) -> int:
        return sum(parts)

    def finish(self, whole: int) -> str:
        return f"{whole}"


def batches(count: int, rows: int = 10) -> Iterator[pa.RecordBatch]:
    for number in range(count):
        yield pa.record_batch({"n": [number] * rows})


def test_every_row_is_in_one_split() -> None:
    fold = Total()
    assert fold_batches(fold, batches(100)) == str(10 * sum(range(100)))
    assert sum(fold.sizes) == 1000


def test_of_no_rows() -> None:
    assert fold_batches(Total(), iter(())) == "0"


def test_splits_are_of_bounded_size() -> None:
    fold = Total()
    half = SPLIT_ROWS // 2 + 1
    zeros = pa.record_batch({"n": pa.nulls(half, pa.int64()).fill_null(0)})
    fold_batches(fold, iter([zeros] * 3))
    assert fold.sizes == [half] * 3


def test_the_stream_waits_for_the_fold() -> None:
    go, taken = threading.Event(), []

    class Slow(Total):
        def each(self, split: int, batches: Sequence[pa.RecordBatch]) -> int:
            assert go.wait(10)
            return super().each(split, batches)

    big = pa.record_batch({"n": pa.nulls(SPLIT_ROWS, pa.int64()).fill_null(1)})

    def stream() -> Iterator[pa.RecordBatch]:
        for number in range(20):
            taken.append(number)
            yield big

    answers: list[str] = []
    runner = threading.Thread(target=lambda: answers.append(fold_batches(Slow(), stream(), threads=1)))
    runner.start()
    runner.join(0.5)
    assert len(taken) <= 4
    go.set()
    runner.join(30)
    assert answers == [str(20 * SPLIT_ROWS)]


def test_an_error_of_the_fold_ends_the_stream() -> None:
    ended = []

    class Broken(Total):
        def each(self, split: int, batches: Sequence[pa.RecordBatch]) -> int:
            raise ValueError("no such number")

    def stream() -> Iterator[pa.RecordBatch]:
        try:
            for _ in range(1000):
                yield pa.record_batch({"n": pa.nulls(SPLIT_ROWS, pa.int64()).fill_null(1)})
            ended.append("whole")
        finally:
            ended.append("closed")

    rows = stream()
    with pytest.raises(ValueError, match="no such number"):
        fold_batches(Broken(), rows)
    rows.close()
    assert ended == ["closed"]


def test_an_error_of_the_stream_is_raised() -> None:
    def stream() -> Iterator[pa.RecordBatch]:
        yield from batches(3)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        fold_batches(Total(), stream())
