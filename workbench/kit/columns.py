"""Column buffers for decoders: allocated here with stated capacities, filled by the native core, made into Arrow
without a copy.

```python
buffers = ColumnBuffers(schema, [Slot(kind, width=8), Slot(kind, width=0)])   # width 0: varying length
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

__all__ = ["ColumnBuffers", "Slot"]

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
    """Memory that can grow and be handed to Arrow: its own, or at first a part of a `slab` that columns share."""

    __slots__ = ("_slab", "_start", "address", "buffer", "size")

    def __init__(self, size: int, slab: pa.Buffer | None = None, start: int = 0) -> None:
        import pyarrow as pa

        self._slab, self._start = slab, start if slab is not None else 0
        self.buffer = pa.allocate_buffer(size, resizable=True) if slab is None else slab
        self.size = size
        self.address = int(self.buffer.address) + self._start

    def resize(self, size: int) -> None:
        if self._slab is None:
            self.buffer.resize(size, shrink_to_fit=False)
            self.address = int(self.buffer.address)
        else:
            import pyarrow as pa

            own = pa.allocate_buffer(size, resizable=True)
            ctypes.memmove(own.address, self.address, min(self.size, size))
            self.buffer, self._slab, self._start, self.address = own, None, 0, int(own.address)
        self.size = size

    def take(self, size: int) -> pa.Buffer:
        """The first `size` bytes, for good. Memory that would be mostly unused is given back."""
        if self._slab is not None:
            return self._slab.slice(self._start, size)
        self.buffer.resize(size, shrink_to_fit=size < self.size // 2)
        return self.buffer


class ColumnBuffers:
    """The buffers of one batch at a time. `columns` is what the native core gets; `rows` is how many are filled."""

    def __init__(self, schema: pa.Schema, slots: Sequence[Slot], first_slots: int = _FIRST) -> None:
        self.schema = schema
        self.rows = 0
        self.columns = (Column * len(slots))()
        self._slots = tuple(slots)
        self._row_bytes = sum((slot.width or 0) + (4 if slot.width == 0 else 0) for slot in slots) + len(slots) / 8
        self._most = max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(self._row_bytes, 1))))
        self._varying = tuple(index for index, slot in enumerate(slots) if slot.width == 0)
        self._lost = [0] * len(slots)
        self._room = [first_slots * 16 if slot.width == 0 else 0 for slot in slots]
        self.slots = min(first_slots, self._most)
        self._parts: list[tuple[_Buffer | None, ...]] = []
        for column, slot in zip(self.columns, slots, strict=True):
            column.kind, column.precision, column.scale = slot.kind, slot.precision, slot.scale
        self._allocate()

    @property
    def lost(self) -> list[int]:
        """Values that became NULL because Arrow cannot hold them, by column, of all batches."""
        return [before + int(column.lost) for before, column in zip(self._lost, self.columns, strict=True)]

    @property
    def nbytes(self) -> int:
        """About how many bytes the filled rows take."""
        return int(self.rows * self._row_bytes) + sum(self._end(index) for index in self._varying)

    @property
    def full(self) -> bool:
        """Whether this batch has as many rows or bytes as a batch should have."""
        return self.rows >= self._most or self.nbytes >= BATCH_BYTES

    def more_slots(self) -> bool:
        """Room for twice the rows; False when a batch may not have more."""
        if self.slots >= self._most:
            return False
        self.slots = min(self.slots * 2, self._most)
        for index, (slot, parts) in enumerate(zip(self._slots, self._parts, strict=True)):
            for part, size in zip(parts, self._sizes(slot, self._room[index]), strict=True):
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
        self._room[column] = room
        data = self._parts[column][2]
        assert data is not None
        data.resize(room)
        self._point()
        return True

    def take(self, last: bool = False) -> pa.RecordBatch:
        """The filled rows as a batch; the next batch starts with room for as much, if this was not the `last`."""
        import pyarrow as pa

        rows, arrays = self.rows, []
        for index, (field, slot, parts) in enumerate(zip(self.schema, self._slots, self._parts, strict=True)):
            nulls = int(self.columns[index].nulls)
            validity, fixed, data = parts
            if slot.width is None:
                arrays.append(pa.nulls(rows, field.type))
                continue
            assert validity is not None
            assert fixed is not None
            bits = validity.take((rows + 7) // 8) if nulls else None
            if data is None:
                buffers = [bits, fixed.take(rows * slot.width)]
            else:
                end = self._end(index)
                buffers = [bits, fixed.take((rows + 1) * 4), data.take(end)]
                self._room[index] = max(end + end // 4, 1024)
            arrays.append(pa.Array.from_buffers(field.type, rows, buffers, nulls))
        batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        self._lost = self.lost
        self.rows = 0
        for column in self.columns:
            column.nulls = column.lost = 0
        if last:
            self.slots = 0
            self._parts = []
        else:
            self._allocate()
        return batch

    def value(self, column: int, row: int) -> bytes:
        """The bytes of a filled value of varying length."""
        offsets = (ctypes.c_int32 * 2).from_address(self.columns[column].offsets + 4 * row)
        return ctypes.string_at(self.columns[column].data + offsets[0], offsets[1] - offsets[0])

    def _end(self, index: int) -> int:
        """Where the data of a column of varying length ends."""
        offsets = self.columns[index].offsets
        return ctypes.c_int32.from_address(offsets + 4 * self.rows).value if self.rows else 0

    def _sizes(self, slot: Slot, room: int) -> tuple[int, int, int]:
        if slot.width is None:
            return (self.slots + 7) // 8, 0, 0
        if slot.width == 0:
            return (self.slots + 7) // 8, (self.slots + 1) * 4, room
        return (self.slots + 7) // 8, self.slots * slot.width, 0

    def _allocate(self) -> None:
        sizes = [self._sizes(slot, room) for slot, room in zip(self._slots, self._room, strict=True)]
        slab, at = self._slab(sizes), 0
        self._parts = []
        for wanted in sizes:
            parts: list[_Buffer | None] = []
            for size in wanted:
                parts.append(_Buffer(size, slab, at) if size else None)
                at += -(-size // _ALIGNED) * _ALIGNED
            self._parts.append(tuple(parts))
        self._point()

    def _slab(self, sizes: Sequence[tuple[int, int, int]]) -> pa.Buffer | None:
        """One piece of memory for all columns, while they are small: made at once, and of one age."""
        if self.slots > _FIRST:
            return None
        import pyarrow as pa

        return pa.allocate_buffer(sum(-(-size // _ALIGNED) * _ALIGNED for whole in sizes for size in whole))

    def _point(self) -> None:
        for column, slot, room, (validity, fixed, data) in zip(
            self.columns, self._slots, self._room, self._parts, strict=True
        ):
            assert validity is not None
            column.validity = validity.address
            if fixed is not None and slot.width == 0:
                column.offsets = fixed.address
            elif fixed is not None:
                column.values = fixed.address
            if data is not None:
                column.data, column.capacity = data.address, room
