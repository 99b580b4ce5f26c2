"""Replies to Arrow, by the native core: its memory becomes Arrow's without a copy."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.contract.errors import ProtocolError
from workbench.kit import native
from workbench_hbase.encoding import KINDS, arrow
from workbench_hbase.mapping import Column, Field, Part

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Rows", "Shape", "Told"]

_CELL, _KEY, _TIME = 0, 1, 2
_VARYING = (1, 2)
_MALFORMED = "The server's reply is not one: its rows are not what it says of them."


class Told(ctypes.Structure):
    """What a reply said, as the native core has it: see `native/src/lib.rs`."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("used", ctypes.c_int64),
        ("carried", ctypes.c_int64),
        ("scanner", ctypes.c_uint64),
        ("more", ctypes.c_int64),
        ("more_in_region", ctypes.c_int64),
        ("heartbeat", ctypes.c_int64),
        ("lease", ctypes.c_int64),
        ("results", ctypes.c_int64),
        ("last", ctypes.c_int64),
        ("last_length", ctypes.c_int64),
        ("state", ctypes.c_int64),
    )


@functools.cache
def _core() -> ctypes.CDLL:
    core = native.library()
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    core.workbench_hbase_new.restype, core.workbench_hbase_new.argtypes = pointer, (ctypes.c_char_p, size)
    core.workbench_hbase_cells.restype = ctypes.c_int32
    core.workbench_hbase_cells.argtypes = (pointer, ctypes.c_char_p, size, pointer, size, pointer)
    core.workbench_hbase_thrift.restype = ctypes.c_int32
    core.workbench_hbase_thrift.argtypes = (pointer, pointer, size, size, pointer)
    core.workbench_hbase_buffers.restype = ctypes.c_int32
    core.workbench_hbase_buffers.argtypes = (pointer, size, pointer)
    core.workbench_hbase_free.restype, core.workbench_hbase_free.argtypes = None, (pointer,)
    return core


class Shape:
    """What is the same for all replies of a scan: the columns that are wanted, and how a key is taken apart."""

    def __init__(self, parts: Sequence[Part], columns: Sequence[Column], schema: pa.Schema) -> None:
        self.columns, self.schema = tuple(columns), schema
        self.fields = [field for column in columns for field in column.fields]
        self.spec = _spec(parts, self.fields)
        self.types = [arrow(field.kind) for field in self.fields]
        self.varying = [KINDS[field.kind].number in _VARYING for field in self.fields]


def _spec(parts: Sequence[Part], fields: Sequence[Field]) -> bytes:
    out = bytearray((len(parts),))
    for part in parts:
        if part.width is not None:
            out += struct.pack("<BH", 1, part.width)
        elif part.separator:
            out += b"\2" + _text(part.separator)
        else:
            out += b"\0"
    out += struct.pack("<H", len(fields))
    for field in fields:
        out.append(KINDS[field.kind].number)
        if field.part is not None:
            out += bytes((_KEY, field.part))
        else:
            out.append(_TIME if field.kind == "cell_time" else _CELL)
            out += _text(field.family) + _text(field.qualifier)
    return bytes(out)


def _text(content: bytes) -> bytes:
    return struct.pack("<H", len(content)) + content


class Rows:
    """The rows of one reply, or of several: columns under construction."""

    def __init__(self, shape: Shape) -> None:
        self._shape, self._core = shape, _core()
        self._handle = self._core.workbench_hbase_new(shape.spec, len(shape.spec))
        if not self._handle:
            raise RuntimeError("the native core refuses the columns: a mistake in this product")

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._core.workbench_hbase_free(self._handle)

    def cells(self, response: bytes, block: memoryview | bytearray, carried: int) -> Told:
        """Adds what a reply of the native protocol has: its message, and its cells, in front of which are those
        `carried` cells that the one before left. Raises ProtocolError."""
        told = Told(carried=carried)
        with _Memory(block) as address:
            code = self._core.workbench_hbase_cells(
                self._handle, response, len(response), address, len(block), ctypes.addressof(told)
            )
        return _answer(code, told)

    def thrift(self, front: memoryview, most: int) -> Told:
        """Adds the whole rows of the gateway's at the front of `front`. Raises ProtocolError."""
        told = Told()
        with _Memory(front) as address:
            code = self._core.workbench_hbase_thrift(self._handle, address, len(front), most, ctypes.addressof(told))
        return _answer(code, told)

    def batch(self, lost: dict[str, int]) -> pa.RecordBatch:
        """All rows so far; nothing can be added any more. Values that became NULL are counted in `lost`."""
        import pyarrow as pa

        arrays = [self._array(index, field, lost) for index, field in enumerate(self._shape.fields)]
        whole, at = [], 0
        for column, field in zip(self._shape.columns, self._shape.schema, strict=True):
            inside = arrays[at : at + len(column.fields)]
            at += len(inside)
            whole.append(_struct(inside, field.type) if column.struct else inside[0])
        return pa.RecordBatch.from_arrays(whole, schema=self._shape.schema)

    def _array(self, index: int, field: Field, lost: dict[str, int]) -> pa.Array:
        import pyarrow as pa

        found, shape = native.Buffers(), self._shape
        if self._core.workbench_hbase_buffers(self._handle, index, ctypes.addressof(found)) != 0:
            raise RuntimeError("the native core has no such column: a mistake in this product")
        rows, nulls = int(found.rows), int(found.nulls)
        validity = native.borrowed(self, found.validity, (rows + 7) // 8) if nulls else None
        buffers = [validity, native.borrowed(self, found.values, found.values_bytes)]
        if shape.varying[index]:
            buffers.append(native.borrowed(self, found.data, found.data_bytes))
        if found.lost:
            lost[field.name] = lost.get(field.name, 0) + int(found.lost)
        return pa.Array.from_buffers(shape.types[index], rows, buffers, nulls)


class _Memory:
    """Where a buffer lies, while it is looked at."""

    def __init__(self, buffer: memoryview | bytearray) -> None:
        self._first = ctypes.c_char.from_buffer(buffer) if len(buffer) else None

    def __enter__(self) -> int | None:
        return ctypes.addressof(self._first) if self._first is not None else None

    def __exit__(self, *_: object) -> None:
        self._first = None


def _answer(code: int, told: Told) -> Told:
    if code != 0:
        raise RuntimeError(f"decoding rows of HBase failed with {code}: a mistake in the native core or its caller")
    if told.state != 0:
        raise ProtocolError(_MALFORMED)
    return told


def _struct(inside: Sequence[pa.Array], kind: pa.DataType) -> pa.Array:
    """NULL where no field has a value: the row has nothing in that family."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = functools.reduce(pc.and_, [array.is_null() for array in inside])
    return pa.StructArray.from_arrays(inside, fields=list(kind), mask=nothing)
