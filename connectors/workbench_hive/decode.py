"""Raw replies to Arrow, by the native core: its memory becomes Arrow's without a copy."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.contract.errors import DataError, ProtocolError, SnapshotChanged, Unsupported
from workbench.kit import native
from workbench_hive.printed import values
from workbench_hive.types import HiveType

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Decoded", "Refused", "Rows"]

_REFUSED, _PACKED, _BAD, _OTHER = 2, 3, 4, 5


class Refused(Exception):
    """The reply has a status that is no success: to be read by who reads those."""


class Decoded(NamedTuple):
    batch: pa.RecordBatch
    more: bool
    """Whether the server says that there is more. Hive always says no; only an empty batch is its end."""
    offset: int


class _Reply(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("at", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("row", ctypes.c_int64),
        ("column", ctypes.c_int32),
        ("state", ctypes.c_int32),
        ("more", ctypes.c_int32),
    )


@functools.cache
def _core() -> ctypes.CDLL:
    core = native.library()
    core.workbench_hs2_new.restype = ctypes.c_void_p
    core.workbench_hs2_new.argtypes = (ctypes.c_char_p, ctypes.c_int64)
    core.workbench_hs2_decode.restype = ctypes.c_int32
    core.workbench_hs2_decode.argtypes = (
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_void_p,
    )  # fmt: skip
    core.workbench_hs2_buffers.restype = ctypes.c_int32
    core.workbench_hs2_buffers.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    core.workbench_hs2_free.restype = None
    core.workbench_hs2_free.argtypes = (ctypes.c_void_p,)
    return core


class _Owner:
    """Frees the native memory when the last array over it is gone."""

    def __init__(self, spec: bytes) -> None:
        self._core = _core()
        self.handle = self._core.workbench_hs2_new(spec, len(spec))
        if not self.handle:
            raise RuntimeError("the native core refuses the columns: a mistake in this product")

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._core.workbench_hs2_free(self.handle)


class Rows:
    """Decodes replies to FetchResults with columns of these types."""

    def __init__(self, types: Sequence[HiveType], schema: pa.Schema, table: str = "the result") -> None:
        self._schema, self._table = schema, table
        self._nested = {index: kind for index, kind in enumerate(types) if kind.inner}
        self._spec = b"".join(kind.spec for kind in types)

    def reply(self, raw: Any, number: int) -> Decoded:
        """The rows of the reply to call `number`; `raw` is a buffer that can be written.

        Raises Refused, ProtocolError when the bytes are no such reply, DataError for a value that is none of its type,
        SnapshotChanged for a column of another type."""
        import pyarrow as pa

        owner, found = _Owner(self._spec), _Reply()
        pinned = (ctypes.c_char * len(raw)).from_buffer(raw)
        code = _core().workbench_hs2_decode(
            owner.handle, ctypes.addressof(pinned), len(raw), number, ctypes.addressof(found)
        )
        del pinned
        if code != 0:
            raise RuntimeError(f"decoding rows failed with {code}: a mistake in the native core or its caller")
        if found.state != 0:
            raise self._trouble(found, raw)
        arrays = [self._column(owner, index, kind) for index, kind in enumerate(self._schema.types)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        return Decoded(batch, bool(found.more), int(found.offset))

    def _column(self, owner: _Owner, index: int, kind: pa.DataType) -> pa.Array:
        import pyarrow as pa

        if (nested := self._nested.get(index)) is None:
            return _array(owner, index, kind)
        return values(_array(owner, index, pa.string()), nested, self._schema.names[index])

    def _trouble(self, found: _Reply, raw: Any) -> Exception:
        if found.state == _REFUSED:
            return Refused()
        if found.state == _PACKED:
            return Unsupported(
                "The Hive connector",
                "read rows that the server's tasks have packed",
                "Ask who runs the server to set hive.server2.thrift.resultset.serialize.in.tasks=false.",
            )
        if found.state == _OTHER:
            name = self._schema.names[found.column]
            return SnapshotChanged(self._table, f"column `{name}` comes as another type than was said")
        if found.state == _BAD:
            field = self._schema.field(found.column)
            value = bytes(raw[found.at : found.at + min(found.size, 80)]).decode("utf-8", "backslashreplace")
            return DataError(field.name, found.row, repr(value), f"is not {field.type}")
        return ProtocolError("The server's reply is not what Thrift says, or not the reply to the call for rows.")


def _array(owner: _Owner, index: int, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    found = native.Buffers()
    if _core().workbench_hs2_buffers(owner.handle, index, ctypes.addressof(found)) != 0:
        raise RuntimeError("the native core has no such column: a mistake in this product")
    rows = int(found.rows)
    buffers = [
        native.borrowed(owner, found.validity, (rows + 7) // 8) if found.nulls else None,
        native.borrowed(owner, found.values, found.values_bytes),
    ]
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        buffers.append(native.borrowed(owner, found.data, found.data_bytes))
    return pa.Array.from_buffers(kind, rows, buffers, int(found.nulls))
