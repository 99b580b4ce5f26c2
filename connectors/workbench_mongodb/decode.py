"""Raw replies to Arrow, by the native core: its memory becomes Arrow's without a copy."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import ProtocolError
from workbench.kit import native
from workbench_mongodb.types import Shape, spec

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Documents", "dated"]


class _Reply(ctypes.Structure):
    _fields_ = (("rows", ctypes.c_int64), ("cursor", ctypes.c_int64), ("state", ctypes.c_int64))


@functools.cache
def _core() -> ctypes.CDLL:
    core = native.library()
    core.workbench_bson_new.restype = ctypes.c_void_p
    core.workbench_bson_new.argtypes = (ctypes.c_char_p, ctypes.c_int64)
    core.workbench_bson_decode.restype = ctypes.c_int32
    core.workbench_bson_decode.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    core.workbench_bson_buffers.restype = ctypes.c_int32
    core.workbench_bson_buffers.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    core.workbench_bson_free.restype = None
    core.workbench_bson_free.argtypes = (ctypes.c_void_p,)
    return core


class _Owner:
    """Frees the native memory when the last array over it is gone."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._core = _core()
        tree = spec(shapes)
        self.handle = self._core.workbench_bson_new(tree, len(tree))
        if not self.handle:
            raise RuntimeError("the native core refuses the columns' tree: a mistake in this product")

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._core.workbench_bson_free(self.handle)


def dated() -> Any:
    """How the driver decodes documents of ours: dates of any year, text of any bytes."""
    from bson.codec_options import CodecOptions, DatetimeConversion

    options: CodecOptions[dict[str, Any]] = CodecOptions(
        datetime_conversion=DatetimeConversion.DATETIME_MS, unicode_decode_error_handler="replace"
    )
    return options


class Documents:
    """Decodes replies with documents of these columns. `lost` counts values of other types, per column."""

    def __init__(self, shapes: Sequence[Shape], schema: pa.Schema) -> None:
        self._shapes, self._schema = tuple(shapes), schema
        self.lost: dict[str, int] = {}

    def reply(self, raw: bytes) -> tuple[pa.RecordBatch | int, int]:
        """The rows (only their number where there are no columns), and the server's cursor, 0 at the end.

        Raises ProtocolError when the bytes are no such reply."""
        return self.at(ctypes.cast(ctypes.c_char_p(raw), ctypes.c_void_p).value or 0, len(raw))

    def at(self, address: int, size: int) -> tuple[pa.RecordBatch | int, int]:
        """The same of bytes that lie at an address."""
        import pyarrow as pa

        owner, found = _Owner(self._shapes), _Reply()
        code = _core().workbench_bson_decode(owner.handle, address, size, ctypes.addressof(found))
        if code != 0:
            raise RuntimeError(f"decoding BSON failed with {code}: a mistake in the native core or its caller")
        if found.state != 0:
            raise ProtocolError("The server's reply is not BSON, or not the reply to a query.")
        if not self._shapes:
            return int(found.rows), int(found.cursor)
        arrays, at = [], 1
        for shape, field in zip(self._shapes, self._schema, strict=True):
            array, after, lost = _array(owner, at, shape, field.type)
            at = after
            arrays.append(array)
            if lost:
                self.lost[shape.name] = self.lost.get(shape.name, 0) + lost
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema), int(found.cursor)


def _array(owner: _Owner, at: int, shape: Shape, kind: pa.DataType) -> tuple[pa.Array, int, int]:
    """The array of the node, the number of the node after it, and how many values in it were lost."""
    import pyarrow as pa

    found = native.Buffers()
    if _core().workbench_bson_buffers(owner.handle, at, ctypes.addressof(found)) != 0:
        raise RuntimeError("the native core has no such column: a mistake in this product")
    rows, lost, after, children = int(found.rows), int(found.lost), at + 1, []
    for number, child in enumerate(shape.children):
        array, after, more = _array(owner, after, child, kind.field(number).type)
        lost += more
        children.append(array)
    validity = native.borrowed(owner, found.validity, (rows + 7) // 8) if found.nulls else None
    buffers = [validity]
    if shape.kind != "object":
        buffers.append(native.borrowed(owner, found.values, found.values_bytes))
    if not children and shape.kind not in ("bool", "long", "double", "date"):
        buffers.append(native.borrowed(owner, found.data, found.data_bytes))
    return pa.Array.from_buffers(kind, rows, buffers, int(found.nulls), children=children or None), after, lost
