"""A reader made of a generator: over once it is over, and tidied up by whoever ends it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Generator
from typing import Any

import pyarrow as pa
import pytest

from workbench.contract import Split, TableRef
from workbench.contract.errors import Cancelled, ConnectionLost
from workbench.kit.reading import GeneratedReader
from workbench.testing.control import RecordingControl

SCHEMA = pa.schema([("a", pa.int64())])


class Counting(GeneratedReader):
    def __init__(self, control: RecordingControl, rows: int, broken: bool = False) -> None:
        self.rows, self.broken, self.tidied = rows, broken, 0
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        super().__init__(Split(0, TableRef("t"), "", SCHEMA), control)

    def _all(self) -> Generator[pa.RecordBatch, None, None]:
        try:
            for number in range(self.rows):
                self.inside.set()
                assert self.go_on.wait(10)
                self._check()
                yield pa.record_batch({"a": [number]})
            if self.broken:
                raise ConnectionLost("gone")
        finally:
            self.tidied += 1


@pytest.fixture
def control() -> RecordingControl:
    return RecordingControl()


def test_all_rows_then_the_end_again_and_again(control: RecordingControl) -> None:
    reader = Counting(control, 3)
    assert [batch["a"][0].as_py() for batch in reader] == [0, 1, 2]
    assert list(reader) == []
    reader.close()
    assert list(reader) == []
    assert reader.tidied == 1


def test_what_its_caller_had_is_let_go_with_it(control: RecordingControl) -> None:
    """Without the collector of cycles: else each scan's rows would lie in memory until it comes by."""

    class Kept:
        pass

    def caller() -> weakref.ref[Kept]:
        kept = Kept()
        reader = Counting(control, 3)
        assert len(list(reader)) == 3
        assert list(reader) == []
        return weakref.ref(kept)

    gc.collect()
    gc.disable()
    try:
        assert caller()() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("end", ["close", "cancel"])
def test_an_end_in_the_midst(control: RecordingControl, end: str) -> None:
    reader = Counting(control, 3)
    next(reader)
    for _ in range(2):
        reader.close() if end == "close" else control.cancel()
        with pytest.raises(Cancelled):
            next(reader)
    assert reader.tidied == 1


def test_an_error_stays(control: RecordingControl) -> None:
    reader = Counting(control, 1, broken=True)
    next(reader)
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            next(reader)
    assert reader.tidied == 1


def test_close_does_not_wait_for_the_step_that_runs(control: RecordingControl) -> None:
    reader = Counting(control, 3)
    reader.go_on.clear()
    outcome: list[Any] = []

    def step() -> None:
        with pytest.raises(Cancelled) as caught:
            next(reader)
        outcome.append(caught.value)

    thread = threading.Thread(target=step)
    thread.start()
    assert reader.inside.wait(10)
    reader.close()
    assert reader.tidied == 0
    reader.go_on.set()
    thread.join(10)
    assert outcome
    assert reader.tidied == 1
