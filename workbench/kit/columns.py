"""Column buffers for decoders: allocated here with stated capacities, filled by the native core, made into Arrow
without a copy.

```python
layout = Layout([Slot(kind, width=8), Slot(kind, width=0)])   # width 0: varying length; may be used again and again
buffers = ColumnBuffers(schema, layout)
while …:
    decode(buffers.columns, progress with rows=buffers.rows and slots=buffers.slots)   # the decoder fills
    buffers.rows = progress.rows
    if out of slots: buffers.more_slots()            # or take() what there is
    if out of room:  buffers.more_room(column, at_least)
batch = buffers.take()                               # and starts the next batch, sized as the last one was
```
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.contract.scan import BATCH_BYTES, BATCH_ROWS
from workbench.kit.native import Column

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ColumnBuffers", "Layout", "Slot"]

_FIRST = 64
"""Rows that there is room for at first: most results are small, and what is not has grown after ten of these."""
_ALIGNED = 64
_LARGEST = 2**31 - 1
"""32-bit offsets reach no further."""


@dataclass(frozen=True, slots=True)
class Slot:
    """How a decoder sees a column: its own number for the kind, and bytes per value. `width` 0 means text or bytes
    (32-bit offsets and data); None means that the column has no values at all (the Arrow type `null`)."""

    kind: int
    width: int | None
    precision: int = 0
    scale: int = 0


class _Buffer:
    """Memory that can grow and be handed to Arrow."""

    __slots__ = ("buffer", "size")

    def __init__(self, size: int) -> None:
        import pyarrow as pa

        self.buffer = pa.allocate_buffer(size, resizable=True)
        self.size = size

    @property
    def address(self) -> int:
        return int(self.buffer.address)

    def resize(self, size: int) -> None:
        self.buffer.resize(size, shrink_to_fit=False)
        self.size = size

    def take(self, size: int) -> pa.Buffer:
        """The first `size` bytes, for good. Memory that would be mostly unused is given back."""
        self.buffer.resize(size, shrink_to_fit=size < self.size // 2)
        return self.buffer


class Layout:
    """What is the same for every result with these columns: how they are decoded, and where their buffers lie in the
    slab, one piece of memory that holds a whole batch while it is small. Immutable."""

    def __init__(self, slots: Sequence[Slot], first_slots: int = _FIRST) -> None:
        self.slots = tuple(slots)
        self.row_bytes = sum((slot.width or 0) + (4 if slot.width == 0 else 0) for slot in slots) + len(slots) / 8
        self.most = max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(self.row_bytes, 1))))
        self.first_slots = min(first_slots, self.most)
        self.room = tuple(first_slots * 16 if slot.width == 0 else 0 for slot in slots)
        self.varying = tuple(index for index, slot in enumerate(slots) if slot.width == 0)
        self.slab_bytes = 0
        """Bytes of the slab; the buffers (validity, values or offsets, data) begin at `places` in it."""
        self.places: list[tuple[int, int, int]] = []
        self._columns = (Column * len(slots))()
        for column, slot, room in zip(self._columns, slots, self.room, strict=True):
            column.kind, column.precision, column.scale = slot.kind, slot.precision, slot.scale
            column.capacity = room
            starts = []
            for size in _sizes(slot, self.first_slots, room):
                starts.append(self.slab_bytes)
                self.slab_bytes += -(-size // _ALIGNED) * _ALIGNED
            self.places.append((starts[0], starts[1], starts[2]))

    def columns(self) -> ctypes.Array[Column]:
        """For the native core, without memory yet."""
        return (Column * len(self.slots)).from_buffer_copy(self._columns)


def _sizes(slot: Slot, rows: int, room: int) -> tuple[int, int, int]:
    """Bytes of validity, of values or offsets, and of data, for so many rows."""
    if slot.width is None:
        return (rows + 7) // 8, 0, 0
    if slot.width == 0:
        return (rows + 7) // 8, (rows + 1) * 4, room
    return (rows + 7) // 8, rows * slot.width, 0


class ColumnBuffers:
    """The buffers of one batch at a time. `columns` is what the native core gets; `rows` is how many are filled."""

    def __init__(self, schema: pa.Schema, layout: Layout) -> None:
        self.schema = schema
        self.rows = 0
        self.columns = layout.columns()
        self.slots = layout.first_slots
        self._layout = layout
        self._room: Sequence[int] = layout.room
        self._lost: Sequence[int] | None = None
        self._slab: pa.Buffer | None = None
        self._parts: list[tuple[_Buffer | None, ...]] = []
        self._allocate()

    @property
    def lost(self) -> list[int]:
        """Values that became NULL because Arrow cannot hold them, by column, of all batches."""
        now = [int(column.lost) for column in self.columns]
        return now if self._lost is None else [before + more for before, more in zip(self._lost, now, strict=True)]

    @property
    def nbytes(self) -> int:
        """About how many bytes the filled rows take."""
        return int(self.rows * self._layout.row_bytes) + sum(self._end(index) for index in self._layout.varying)

    @property
    def full(self) -> bool:
        """Whether this batch has as many rows or bytes as a batch should have."""
        return self.rows >= self._layout.most or self.nbytes >= BATCH_BYTES

    def more_slots(self) -> bool:
        """Room for twice the rows; False when a batch may not have more."""
        if self.slots >= self._layout.most:
            return False
        self.slots = min(self.slots * 2, self._layout.most)
        self._leave_slab()
        for index, (slot, parts) in enumerate(zip(self._layout.slots, self._parts, strict=True)):
            for part, size in zip(parts, _sizes(slot, self.slots, self._room[index]), strict=True):
                if part is not None and part.size < size:
                    part.resize(size)
        self._point()
        return True

    def more_room(self, column: int, at_least: int = 0) -> bool:
        """Twice the bytes for a column of varying length and at least `at_least` free; False when its offsets reach
        no further."""
        wanted = max(self._room[column] * 2, self._end(column) + at_least)
        room = min(wanted, _LARGEST)
        if room <= self._room[column] or room < self._end(column) + at_least:
            return False
        self._leave_slab()
        self._room = [*self._room[:column], room, *self._room[column + 1 :]]
        data = self._parts[column][2]
        assert data is not None
        data.resize(room)
        self._point()
        return True

    def take(self, last: bool = False) -> pa.RecordBatch:
        """The filled rows as a batch; the next batch starts with room for as much, if this was not the `last`."""
        import pyarrow as pa

        rows, arrays = self.rows, []
        ends = {index: self._end(index) for index in self._layout.varying}  # before their buffers may move
        for index, (field_type, slot) in enumerate(zip(self.schema.types, self._layout.slots, strict=True)):
            nulls = int(self.columns[index].nulls)
            if slot.width is None:
                arrays.append(pa.nulls(rows, field_type))
                continue
            buffers = [self._taken(index, 0, (rows + 7) // 8) if nulls else None]
            if slot.width:
                buffers.append(self._taken(index, 1, rows * slot.width))
            else:
                buffers += [self._taken(index, 1, (rows + 1) * 4), self._taken(index, 2, ends[index])]
            arrays.append(pa.Array.from_buffers(field_type, rows, buffers, nulls))
        batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        self._lost = self.lost
        if last:
            self.slots = 0
            self._slab, self._parts = None, []
        else:
            self._room = [
                max(ends[index] + ends[index] // 4, 1024) if index in ends else 0 for index in range(len(arrays))
            ]
            self._allocate()
        self.rows = 0
        for column in self.columns:
            column.nulls = column.lost = 0
        return batch

    def value(self, column: int, row: int) -> bytes:
        """The bytes of a filled value of varying length."""
        offsets = (ctypes.c_int32 * 2).from_address(self.columns[column].offsets + 4 * row)
        return ctypes.string_at(self.columns[column].data + offsets[0], offsets[1] - offsets[0])

    def _end(self, index: int) -> int:
        """Where the data of a column of varying length ends."""
        offsets = self.columns[index].offsets
        return ctypes.c_int32.from_address(offsets + 4 * self.rows).value if self.rows else 0

    def _taken(self, index: int, which: int, size: int) -> pa.Buffer:
        if self._slab is not None:
            return self._slab.slice(self._layout.places[index][which], size)
        part = self._parts[index][which]
        assert part is not None
        return part.take(size)

    def _allocate(self) -> None:
        layout = self._layout
        fits = all(now <= first for now, first in zip(self._room, layout.room, strict=True))
        if self.slots == layout.first_slots and fits:
            self._in_slab()
            return
        self._slab = None
        self._parts = self._own_parts()
        self._point()

    def _in_slab(self) -> None:
        import pyarrow as pa

        layout = self._layout
        self._parts, self._room = [], layout.room
        self._slab = slab = pa.allocate_buffer(layout.slab_bytes)
        base = int(slab.address)
        for column, slot, room, (validity, fixed, data) in zip(
            self.columns, layout.slots, layout.room, layout.places, strict=True
        ):
            column.validity = base + validity
            if slot.width:
                column.values = base + fixed
            elif slot.width == 0:
                column.offsets, column.data, column.capacity = base + fixed, base + data, room

    def _own_parts(self) -> list[tuple[_Buffer | None, ...]]:
        return [
            tuple(_Buffer(size) if size else None for size in _sizes(slot, self.slots, room))
            for slot, room in zip(self._layout.slots, self._room, strict=True)
        ]

    def _leave_slab(self) -> None:
        """Gives each column memory of its own, which can grow."""
        if self._slab is None:
            return
        slab, self._slab = self._slab, None
        self._parts = self._own_parts()
        for parts, slot, room, starts in zip(
            self._parts, self._layout.slots, self._layout.room, self._layout.places, strict=True
        ):
            for part, size, start in zip(parts, _sizes(slot, self._layout.first_slots, room), starts, strict=True):
                if part is not None:
                    ctypes.memmove(part.address, slab.address + start, size)

    def _point(self) -> None:
        for column, room, (validity, fixed, data) in zip(self.columns, self._room, self._parts, strict=True):
            assert validity is not None
            column.validity = validity.address
            if data is not None and fixed is not None:
                column.offsets, column.data, column.capacity = fixed.address, data.address, room
            elif fixed is not None:
                column.values = fixed.address
