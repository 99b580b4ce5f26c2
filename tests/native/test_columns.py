"""Column buffers: what a decoder fills, and what becomes of it in Arrow."""

from __future__ import annotations

import ctypes

import pyarrow as pa
import pytest

from tests.native import rows
from workbench.contract.scan import BATCH_BYTES, BATCH_ROWS
from workbench.kit import native
from workbench.kit.columns import ColumnBuffers, Layout, Slot
from workbench_mysql.types import Kind

SCHEMA = pa.schema({"n": pa.int32(), "t": pa.string(), "z": pa.null()})
SLOTS = [Slot(Kind.W4, 4), Slot(Kind.TEXT, 0), Slot(Kind.NULL, None)]
LAYOUT = Layout(SLOTS)


def fill(buffers: ColumnBuffers, values: list[tuple[int | None, str | None]]) -> int:
    """Decodes rows until something is full; the state."""
    payloads = [
        rows.row([None if n is None else n.to_bytes(4, "little"), None if t is None else t.encode(), None], SLOTS)
        for n, t in values
    ]
    content = rows.packets(payloads)
    memory = ctypes.create_string_buffer(content, len(content))
    progress = native.Progress(rows=buffers.rows, slots=buffers.slots)
    native.call("workbench_mysql_packets", ctypes.addressof(memory), len(content), buffers.columns, progress)
    buffers.rows = progress.rows
    return int(progress.state)


def test_batches_follow_each_other_and_share_nothing() -> None:
    buffers = ColumnBuffers(SCHEMA, LAYOUT)
    assert fill(buffers, [(1, "eins"), (None, None), (3, "")]) == 0
    first = buffers.take()
    assert fill(buffers, [(4, "vier")]) == 0
    second = buffers.take()
    first.validate(full=True)
    second.validate(full=True)
    assert first.to_pydict() == {"n": [1, None, 3], "t": ["eins", None, ""], "z": [None] * 3}
    assert second.to_pydict() == {"n": [4], "t": ["vier"], "z": [None]}
    assert second["n"].null_count == 0
    assert second["n"].buffers()[0] is None
    assert buffers.take().num_rows == 0


def test_growing_keeps_what_is_there() -> None:
    buffers = ColumnBuffers(SCHEMA, Layout(SLOTS, first_slots=1))
    values: list[tuple[int | None, str | None]] = [(n, "x" * n) for n in range(40)]
    for n, value in enumerate(values):
        while state := fill(buffers, [value]):
            if state == 4:
                assert buffers.more_slots()
            else:
                assert state == 6
                assert buffers.more_room(1, at_least=1)
        assert buffers.rows == n + 1
    batch = buffers.take()
    batch.validate(full=True)
    assert list(zip(*batch.to_pydict().values(), strict=True)) == [(n, t, None) for n, t in values]


def test_batches_of_any_size_follow_each_other() -> None:
    """Small ones share one piece of memory, and whether the next one does is decided anew each time."""
    buffers = ColumnBuffers(SCHEMA, LAYOUT)
    held: list[tuple[pa.RecordBatch, list[tuple[int, str]]]] = []
    for count in (1, 64, 65, 3, 1_000, 64, 63, 5_000, 2):
        values = [(count + n, f"{n:x}" * (n % 5)) for n in range(count)]
        for value in values:
            while state := fill(buffers, [value]):
                assert buffers.more_slots() if state == 4 else buffers.more_room(1, at_least=100)
        held.append((buffers.take(), values))
    for batch, values in held:
        batch.validate(full=True)
        assert list(zip(batch["n"].to_pylist(), batch["t"].to_pylist(), strict=True)) == values


def test_a_batch_has_no_more_rows_than_agreed_and_a_wide_one_fewer() -> None:
    narrow = ColumnBuffers(SCHEMA, LAYOUT)
    while narrow.more_slots():
        pass
    assert narrow.slots == BATCH_ROWS
    wide = ColumnBuffers(pa.schema([(f"c{n}", pa.int64()) for n in range(4096)]), Layout([Slot(Kind.W8, 8)] * 4096))
    while wide.more_slots():
        pass
    assert wide.slots * 4096 * 8 <= BATCH_BYTES


def test_offsets_reach_no_further_than_two_gib() -> None:
    buffers = ColumnBuffers(SCHEMA, LAYOUT)
    assert not buffers.more_room(1, at_least=2**31)


def test_memory_of_nulls_is_zero() -> None:
    buffers = ColumnBuffers(SCHEMA, LAYOUT)
    fill(buffers, [(None, "a")] * 5)
    column = buffers.take()["n"]
    assert column.buffers()[1].to_pybytes() == bytes(20)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64])
def test_any_number_of_rows_with_and_without_nulls(count: int) -> None:
    buffers = ColumnBuffers(SCHEMA, LAYOUT)
    fill(buffers, [(n if n % 3 else None, str(n)) for n in range(count)])
    batch = buffers.take()
    batch.validate(full=True)
    assert batch["n"].to_pylist() == [n if n % 3 else None for n in range(count)]


def test_a_long_text_survives_the_move_of_its_offsets() -> None:
    """Taking a buffer may move it: where the text ends is read before."""
    buffers = ColumnBuffers(SCHEMA, LAYOUT)
    long = "x" * 3_000_000
    while state := fill(buffers, [(1, long)]):
        assert buffers.more_slots() if state == 4 else buffers.more_room(1, at_least=len(long))
    while buffers.slots < 4096:
        buffers.more_slots()
    batch = buffers.take()
    batch.validate(full=True)
    assert batch["t"].to_pylist() == [long]
    assert fill(buffers, [(2, "y")]) == 0
    assert buffers.take().to_pydict() == {"n": [2], "t": ["y"], "z": [None]}
