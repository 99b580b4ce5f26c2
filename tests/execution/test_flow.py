"""The books of a scan, without a thread."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.execution.scripted import SCHEMA, rows
from workbench.contract import Split, TableRef
from workbench.contract.errors import (
    AuthenticationFailed,
    ConnectionLost,
    ProtocolError,
    QueryFailed,
    SourceTimeout,
    Unreachable,
)
from workbench.contract.scan import BATCH_BYTES, BATCH_ROWS
from workbench.execution.batches import cut
from workbench.execution.flow import End, Flow, Retry


def _splits(count: int, resumable: bool = False) -> list[Split]:
    return [Split(number, TableRef("t"), "", SCHEMA, resumable=resumable) for number in range(count)]


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(1, 5_000), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_order_of_events_hands_out_every_split_and_batch_once_within_the_bounds(
    splits: int, most: int, batches: int, chance: random.Random
) -> None:
    flow = Flow(_splits(splits), most, batches)
    taken: list[int] = []
    put: list[int] = []
    got: list[int] = []
    open_splits: list[int] = []
    while not flow.over:
        event = chance.choice(("take", "put", "get", "finish"))
        size = chance.randrange(1, 3_000)
        if event == "take" and (split := flow.take()) is not None:
            taken.append(split.number)
            open_splits.append(split.number)
        elif event == "put" and open_splits and flow.room(size):
            assert flow.batches == 0 or flow.bytes + size <= most
            put.append(len(put))
            flow.put(rows(0, put[-1], 1), size)
            assert flow.batches <= batches
        elif event == "get" and (batch := flow.get()) is not None:
            got.append(batch["row"][0].as_py())
        elif event == "finish" and open_splits:
            open_splits.pop()
            flow.finished()
    assert taken == list(range(splits))
    assert got == put
    assert flow.bytes == 0


@pytest.mark.parametrize("end", [End.CLOSED, End.CANCELLED, End.FAILED])
def test_after_an_end_nothing_is_handed_out(end: End) -> None:
    flow = Flow(_splits(2), 100, 1)
    flow.take()
    flow.put(rows(0, 0, 1), 10)
    assert flow.stop(end)
    assert flow.over
    assert flow.get() is None
    assert flow.take() is None
    assert not flow.stop(End.CANCELLED)
    assert flow.end is end


def test_enough_keeps_what_is_queued_and_can_still_be_cancelled() -> None:
    flow = Flow(_splits(2), 100, 1)
    flow.put(rows(0, 0, 1), 10)
    assert flow.stop(End.ENOUGH)
    assert not flow.over
    assert not flow.stop(End.FAILED, ConnectionLost("late"))
    assert flow.stop(End.CANCELLED)
    assert flow.over


@pytest.mark.parametrize("error", [ConnectionLost("gone"), Unreachable("db", "refused")])
def test_what_is_tried_again(error: Exception) -> None:
    plain, resumable = _splits(1)[0], _splits(1, resumable=True)[0]
    retry = Retry(random.Random(7))
    assert retry.delay(error, 1, False, plain) is not None
    assert retry.delay(error, 2, False, plain) is not None
    assert retry.delay(error, 3, False, plain) is None
    assert retry.delay(error, 1, True, plain) is None
    assert retry.delay(error, 1, True, resumable) is not None


@pytest.mark.parametrize(
    "error",
    [
        QueryFailed("no"),
        ProtocolError("odd"),
        SourceTimeout("it", 1),
        AuthenticationFailed("u", "db", "no"),
        ValueError("bug"),
    ],
)
def test_what_is_not_tried_again(error: Exception) -> None:
    assert Retry().delay(error, 1, False, _splits(1)[0]) is None


@given(st.integers(0, 2**32))
def test_delays_are_scattered_and_grow(seed: int) -> None:
    retry = Retry(random.Random(seed), first=1.0)
    split = _splits(1)[0]
    delays = [retry.delay(ConnectionLost("x"), failures, False, split) for failures in (1, 2)]
    assert delays[0] is not None
    assert 0.5 <= delays[0] < 1.5
    assert delays[1] is not None
    assert 1.0 <= delays[1] < 3.0


@settings(deadline=None)
@given(st.integers(1, 200_000), st.integers(1, 400))
def test_batches_are_cut_to_size_without_losing_a_row(count: int, width: int) -> None:
    data = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, pa.py_buffer(bytes(width * count))])
    batch = pa.record_batch([pa.array(range(count)), data], names=["n", "data"])
    pieces = list(cut(batch))
    assert pa.Table.from_batches([piece for piece, _ in pieces])["n"].to_pylist() == list(range(count))
    for piece, size in pieces:
        assert piece.num_rows <= BATCH_ROWS
        assert abs(size - piece.nbytes) <= 16
        assert size <= BATCH_BYTES * 1.01
        assert piece.column(0).buffers()[1].address == batch.column(0).buffers()[1].address
