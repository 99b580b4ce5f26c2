"""Frames on a pipe: four bytes of length, and so many bytes of JSON."""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Callable, Iterator

__all__ = ["LONGEST", "Frames", "heard", "read_all", "written"]

LONGEST = 64 << 20
_LENGTH = struct.Struct(">I")


class Frames:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._rest += data
        while len(self._rest) >= 4:
            (length,) = _LENGTH.unpack_from(self._rest)
            if length > LONGEST:
                raise ValueError(f"a frame of {length:,} bytes, and {LONGEST:,} are the most")
            if len(self._rest) < 4 + length:
                return
            body = bytes(self._rest[4 : 4 + length])
            del self._rest[: 4 + length]
            yield body


def heard(descriptor: int, frames: Frames, goes_on: Callable[[], bool]) -> Iterator[bytes]:
    """What comes, until the pipe ends or `goes_on` says no, which is asked five times a second."""
    while goes_on():
        if not select.select([descriptor], [], [], 0.2)[0]:
            continue
        if not (data := os.read(descriptor, 1 << 16)):
            return
        yield from frames.feed(data)


def written(descriptor: int, body: bytes) -> None:
    rest = memoryview(_LENGTH.pack(len(body)) + body)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_all(descriptor: int) -> bytes:
    """The next frame; blocks. Raises EOFError."""
    (length,) = _LENGTH.unpack(_exactly(descriptor, 4))
    if length > LONGEST:
        raise ValueError(f"a frame of {length:,} bytes, and {LONGEST:,} are the most")
    return _exactly(descriptor, length)


def _exactly(descriptor: int, length: int) -> bytes:
    found = bytearray()
    while len(found) < length:
        data = os.read(descriptor, min(1 << 20, length - len(found)))
        if not data:
            raise EOFError
        found += data
    return bytes(found)
