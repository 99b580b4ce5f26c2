"""The file part of a spool: small Arrow streams, each of one batch, at places that their reader remembers.

LZ4, because it takes the room of a third, and the processor no more time: what compressing costs (two million rows of
eight columns, 200 MiB: about 0.1 s) is saved on pages that need not be written.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

__all__ = ["Gone", "Place", "SpoolFile", "sweep"]

_PREFIX = "spool-"


class Gone(Exception):
    """The file was closed."""


@dataclass(frozen=True, slots=True)
class Place:
    start: int
    length: int


class SpoolFile:
    """A file of 0600 without a name: it is taken out of its folder as soon as it is open, so that it ends with the
    process, however that ends.

    One thread writes; any number read at the same time, each at its own place.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{_PREFIX}{secrets.token_hex(8)}"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._finalizer = weakref.finalize(self, os.close, self._descriptor)
        path.unlink(missing_ok=True)  # another process may have swept it
        self._lock = threading.Lock()
        self._users = 0
        self._closing = False
        self.size = 0

    def write(self, batch: pa.RecordBatch) -> Place:
        """Raises OSError when the disk is full, then nothing of the batch is kept; Gone when it is closed."""
        message = _stream(batch)
        place = Place(self.size, message.size)
        rest, at = memoryview(message), self.size
        with self._in_use():
            try:
                while rest:
                    written = os.pwrite(self._descriptor, rest, at)
                    rest, at = rest[written:], at + written
            except OSError:
                os.ftruncate(self._descriptor, self.size)
                raise
        self.size = at
        return place

    def read(self, place: Place) -> pa.RecordBatch:
        """Raises Gone when it is closed."""
        with self._in_use():
            data = pa.py_buffer(_read(self._descriptor, place))
        return pa.ipc.open_stream(data).read_next_batch()

    def close(self) -> None:
        """Gives the space back, when the reads and writes under way are done: not before, for the system would give
        the descriptor's number to another file. Returns at once."""
        with self._lock:
            self._closing = True
            if self._users:
                return
        self._finalizer()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._lock:
            if self._closing:
                raise Gone
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                last = self._closing and not self._users
            if last:
                self._finalizer()


def sweep(folder: Path) -> None:
    """Removes the names that processes left which died between making a file and taking its name away."""
    if not folder.is_dir():
        return
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(PermissionError):  # somebody else's, in a folder that is shared
            path.unlink(missing_ok=True)


def _read(descriptor: int, place: Place) -> bytes:
    data = os.pread(descriptor, place.length, place.start)
    while len(data) < place.length:
        more = os.pread(descriptor, place.length - len(data), place.start + len(data))
        if not more:
            raise EOFError(f"The spool file ends at {place.start + len(data)}.")
        data += more
    return data


def _stream(batch: pa.RecordBatch) -> pa.Buffer:
    """With its schema and dictionaries, so that it can be read alone."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(batch)
    return sink.getvalue()
