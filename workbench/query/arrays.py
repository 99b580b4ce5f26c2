"""Small Arrow arrays of Python's values. pyarrow's own way loads pandas with the first one, where there is pandas: two
seconds and more, in which whoever asked for a page of a result would wait."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pyarrow as pa

__all__ = ["none", "text", "texts", "whole"]


def whole(values: Sequence[int]) -> pa.Int64Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(array("q", values))])


def texts(values: Sequence[str | None]) -> pa.LargeStringArray:
    """A half surrogate becomes a question mark, for Arrow's text is UTF-8."""
    encoded = [b"" if one is None else one.encode("utf-8", "replace") for one in values]
    ends = array("q", [0])
    for one in encoded:
        ends.append(ends[-1] + len(one))
    there = bytearray((len(values) + 7) // 8)
    for at, value in enumerate(values):
        if value is not None:
            there[at >> 3] |= 1 << (at & 7)
    buffers = [pa.py_buffer(there), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(values), buffers)


def text(value: str) -> pa.LargeStringScalar:
    return texts([value])[0]


def none(kind: pa.DataType) -> pa.Scalar:
    return pa.nulls(1, kind)[0]
