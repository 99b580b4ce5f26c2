"""The door to the native core: a Rust library without dependencies, called through ctypes (which releases the GIL).

`library()` loads it when it is first needed. A library that is absent, cannot be loaded, or was built from other
sources than this file raises `NativeMissing`, which names the file and the way out; there is no slow path beside it.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.contract.errors import NativeMissing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ABI", "Buffers", "Column", "Progress", "borrowed", "call", "library", "path"]

ABI = 4
"""Must be what the library says; changed together with `native/src/lib.rs`."""

_NAMES = {"darwin": "libworkbench_native.dylib", "win32": "workbench_native.dll"}
_PATH = Path(__file__).parent / "_native" / _NAMES.get(sys.platform, "libworkbench_native.so")
_FUNCTIONS = ("workbench_mysql_packets", "workbench_mysql_long_row")


class Column(ctypes.Structure):
    """One column's buffers, as `native/src/lib.rs` has them."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("precision", ctypes.c_int32),
        ("scale", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("validity", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
        ("capacity", ctypes.c_int64),
        ("nulls", ctypes.c_int64),
        ("lost", ctypes.c_int64),
    )


class Buffers(ctypes.Structure):
    """A column that a decoder made in memory of its own, as `native/src/lib.rs` has it."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("nulls", ctypes.c_int64),
        ("lost", ctypes.c_int64),
        ("validity", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("values_bytes", ctypes.c_int64),
        ("data", ctypes.c_void_p),
        ("data_bytes", ctypes.c_int64),
    )


class Progress(ctypes.Structure):
    """Where a decoder begins and where it stopped, as `native/src/lib.rs` has it."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("slots", ctypes.c_int64),
        ("used", ctypes.c_int64),
        ("at", ctypes.c_int64),
        ("row", ctypes.c_int64),
        ("state", ctypes.c_int32),
        ("column", ctypes.c_int32),
        ("sequence", ctypes.c_uint32),
        ("strict", ctypes.c_uint32),
    )


def borrowed(owner: object, address: int | None, size: int) -> pa.Buffer:
    """Native memory as Arrow's, without a copy; `owner` lives as long as it is used."""
    import pyarrow as pa

    return pa.foreign_buffer(address, size, base=owner) if size else pa.py_buffer(b"")


def path() -> Path:
    """Where the library is, or would be."""
    return _PATH


def library() -> ctypes.CDLL:
    """The loaded library, with its functions declared. Raises NativeMissing."""
    return _load(path())


@functools.cache
def _load(file: Path) -> ctypes.CDLL:
    if not file.exists():
        raise NativeMissing(str(file), "is not there")
    try:
        loaded = ctypes.CDLL(str(file))
        abi = loaded.workbench_abi
        abi.argtypes, abi.restype = (), ctypes.c_uint32
        found = int(abi())
        if found == ABI:
            for name in _FUNCTIONS:
                function = getattr(loaded, name)
                function.restype = ctypes.c_int32
                function.argtypes = (
                    ctypes.c_void_p,
                    ctypes.c_int64,
                    ctypes.c_void_p,
                    ctypes.c_int64,
                    ctypes.c_void_p,
                )
    except (OSError, AttributeError) as error:
        raise NativeMissing(str(file), f"cannot be loaded ({error})") from error
    if found != ABI:
        raise NativeMissing(str(file), f"was built from other sources (it says {found}, this package wants {ABI})")
    return loaded


def call(function: str, input_at: int, length: int, columns: ctypes.Array[Column], progress: Progress) -> None:
    """Runs a decoder over `length` bytes at address `input_at`. What it found is in `progress`.

    Raises RuntimeError when the library was called wrongly or caught a panic of its own: a mistake in this product,
    never in the data.
    """
    code = getattr(library(), function)(
        input_at, length, ctypes.addressof(columns), len(columns), ctypes.addressof(progress)
    )
    if code != 0:
        raise RuntimeError(f"{function} of {path()} failed with {code}: a mistake in the native core or its caller")
