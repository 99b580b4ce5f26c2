"""A file of a spool: records of some rows each, and beside it which of the rows are done.

`<first row>.rows` is a head and then records: length, rows, checksum, bytes. `<first row>.done` is a mark, how many
bytes of that were made durable, and then a byte for each row that is done. What stands behind the mark and is no record
was cut short when the process died: it is left out when the file is opened. Anything else that is no record is
`Damaged`.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

__all__ = ["Damaged", "Segment", "head_of", "synced", "written"]

HEAD = struct.Struct("<8s16s16sQH")
"""Magic, the spool's id, its source, the first row's number, the length of the note; then the note, and a checksum."""
RECORD, NUMBERED, SUM = struct.Struct("<III"), struct.Struct("<IIQ"), struct.Struct("<I")
MARK, SIZE = 12, struct.Struct("<Q")
MAGIC, DONE = b"wbspool1", 0xA5
KNOWN = bytes(DONE if value == DONE else 0 for value in range(256))
"""Anything but the one byte is not done: a row may come again, and none is left out."""
CHUNK = 256 << 10


class Damaged(Exception):  # never leaves the room
    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path.name} {why}")


class Segment:
    """`size` are its bytes, `flags` a byte for each row, `left` how many are not done, `mark` what is durable."""

    def __init__(self, path: Path, first: int, new: bool) -> None:
        self.path, self.first, self.start, self.size = path, first, 0, 0
        self.flags, self.left, self.mark = bytearray(), 0, 0
        how = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if new else 0)
        self._rows = os.open(path, how, 0o600)
        self._done = os.open(path.with_suffix(".done"), how, 0o600)

    @classmethod
    def begun(cls, folder: Path, id: bytes, source: bytes, first: int, note: bytes) -> Segment:  # noqa: A002
        """A new one, durable. Raises OSError, Damaged."""
        head = HEAD.pack(MAGIC, id, source, first, len(note)) + note
        made = cls(folder / f"{first:020d}.rows", first, True)
        try:
            written(made._rows, head + SUM.pack(crc32(head)), 0)
            made.start = made.size = len(head) + SUM.size
            made.sync()
            synced(folder)
        except BaseException:
            made.close(remove=True)
            raise
        return made

    @classmethod
    def opened(cls, path: Path, newest: bool) -> tuple[Segment, tuple[bytes, bytes], bytes, bytes | None] | None:
        """One that is there, its id and source, its note, and its last record. None: the process died when it began
        with it. Raises OSError, Damaged."""
        known, head = _mark_of(path.with_suffix(".done")), head_of(path)
        if head is None:
            if newest and known == 0:
                path.unlink()
                path.with_suffix(".done").unlink(missing_ok=True)
                return None
            raise Damaged(path, "has a damaged head, or is not of a spool.")
        _, id, source, first, _ = HEAD.unpack(head[: HEAD.size])  # noqa: A001
        made = cls(path, first, False)
        try:
            made.start = made.size = len(head)
            return made, (id, source), head[HEAD.size : -SUM.size], made._scanned(newest, known)
        except BaseException:
            made.close()
            raise

    @property
    def end(self) -> int:
        return self.first + len(self.flags)

    def _scanned(self, newest: bool, known: int | None) -> bytes | None:
        size, last = os.fstat(self._rows).st_size, None
        flags = os.pread(self._done, size, MARK).translate(KNOWN)
        while taken := list(self.records(self.size, size, self.end)):
            for row, rows, body in taken:
                self.add(rows, flags[row - self.first : row - self.first + rows])
                self.size += RECORD.size + len(body)
                last = body
        if self.size < size and (not newest or known is None or self.size < known):
            raise Damaged(self.path, f"has at byte {self.size:,} what was not written there.")
        if known is not None and self.size < known:
            raise Damaged(self.path, f"ends at byte {self.size:,}, and had {known:,}.")
        os.ftruncate(self._rows, self.size)  # what was cut short; nobody was told that it is kept
        os.ftruncate(self._done, MARK + len(self.flags))
        self.mark = known or 0
        return last

    def add(self, rows: int, flags: bytes = b"") -> None:
        self.flags += flags.ljust(rows, b"\0")
        self.left += rows - flags.count(DONE)

    def append(self, records: Sequence[tuple[bytes, int]]) -> tuple[int, int]:
        """Writes them behind all others, whole or not at all (OSError), and gives their bytes and rows: who reads knows
        of them when they are added to `size` and by `add`."""
        parts, row = list[bytes](), self.end
        for body, rows in records:
            parts += [RECORD.pack(len(body), rows, _sum(body, rows, row)), body]
            row += rows
        data = b"".join(parts)
        try:
            written(self._rows, data, self.size)
        except OSError:
            with contextlib.suppress(OSError):  # it is written over, or left out when it is opened again
                os.ftruncate(self._rows, self.size)
            raise
        return len(data), row - self.end

    def sync(self, size: int | None = None) -> None:
        """Makes so many bytes durable. Raises Damaged: of what was not, nothing is known any more."""
        size = self.size if size is None else size
        if self.mark >= size:
            return
        try:
            os.fdatasync(self._rows)
        except OSError as error:
            raise Damaged(self.path, f"cannot be made durable: {error.strerror}.") from None
        written(self._done, _mark(size), 0)
        self.mark = size

    def finish(self, low: int, high: int) -> None:
        """The rows at these places are done."""
        self.left -= self.flags.count(0, low, high)
        self.flags[low:high] = bytes((DONE,)) * (high - low)
        with contextlib.suppress(OSError):  # the disk is full: after a kill these rows come again
            written(self._done, self.flags[low:high], MARK + low)

    def again(self, low: int) -> None:
        """Those from this place on are not done."""
        if any(self.flags[low:]):
            self.flags[low:] = bytes(len(self.flags) - low)
            self.left = self.flags.count(0)
            with contextlib.suppress(OSError):  # the disk is full: whoever knew where to begin will know it again
                written(self._done, self.flags[low:], MARK + low)

    def records(self, at: int, end: int, row: int) -> Iterator[tuple[int, int, bytes]]:
        """About a chunk of them, of which the first one begins at `at` and has the row of that number; none where that
        is no whole one."""
        data, place = os.pread(self._rows, min(CHUNK, end - at), at), 0
        while place + RECORD.size <= len(data):
            length, rows, given = RECORD.unpack_from(data, place)
            stop = place + RECORD.size + length
            if len(data) < stop <= end - at and place == 0:
                data = os.pread(self._rows, stop, at)
            body = data[place + RECORD.size : stop]
            if not rows or stop > len(data) or _sum(body, rows, row) != given:
                return
            yield row, rows, body
            place, row = stop, row + rows

    def close(self, remove: bool = False) -> None:
        if self._rows >= 0:
            os.close(self._rows)
            os.close(self._done)
            self._rows = self._done = -1
        if remove:
            self.path.unlink(missing_ok=True)  # first: what is done of nothing does no harm
            self.path.with_suffix(".done").unlink(missing_ok=True)


def head_of(path: Path) -> bytes | None:
    """With its note and checksum; None where it is none."""
    with open(path, "rb") as file:
        head = file.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        magic, _, _, first, length = HEAD.unpack(head)
        head += file.read(length + SUM.size)
    whole = len(head) == HEAD.size + length + SUM.size and SUM.pack(crc32(head[: -SUM.size])) == head[-SUM.size :]
    return head if whole and magic == MAGIC and path.stem == f"{first:020d}" else None


def synced(folder: Path) -> None:
    """The names in it are on the disk."""
    at = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)


def written(file: int, data: bytes | bytearray, at: int) -> None:
    view = memoryview(data)
    while view:
        some = os.pwrite(file, view, at)
        view, at = view[some:], at + some


def _sum(body: bytes, rows: int, row: int) -> int:
    return crc32(body, crc32(NUMBERED.pack(len(body), rows, row)))


def _mark(size: int) -> bytes:
    return SIZE.pack(size) + SUM.pack(crc32(SIZE.pack(size)))


def _mark_of(path: Path) -> int | None:
    """How many bytes are durable; None where it cannot be told."""
    try:
        data = path.read_bytes()[:MARK]
    except FileNotFoundError:
        return 0
    if not data.strip(b"\0"):
        return 0
    size: int = SIZE.unpack(data.ljust(MARK, b"\0")[: SIZE.size])[0]
    return size if _mark(size) == data else None
