"""A spool: a queue of records in files, given out in order until all of their rows are done, also after a kill.

A folder of segments, each a file of records and one of what is done (`spool_segment`). A segment whose rows are all
done is removed, so that the folder is as large as what is left, and a little more. One thread writes, another one reads
and says what is done. What was written survives the process; with `durable` each `write` is on the disk when it returns
(`fdatasync`), else after `sync`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.streams.spool_segment import HEAD, RECORD, Damaged, Segment, head_of

__all__ = ["Damaged", "Record", "Spool"]

SEGMENTS, LEAST, MOST = 16, 64 << 10, 64 << 20
"""So many in one spool, and the bytes of one, at least and at most."""
Record = tuple[int, int, Sequence[int], bytes]
"""The number of its first row, how many it has, the places of those that are not done, and its bytes."""


class Spool:
    """`source`, 16 bytes, tells what the records are; `most` are the bytes that it has on the disk, about. Raises
    OSError; and Damaged where what was kept is not as it was written, or cannot be kept."""

    def __init__(self, folder: Path, source: bytes, most: int, durable: bool = True) -> None:
        self.folder, self._source, self._durable, self._lock = folder, source, durable, threading.Lock()
        self._most, self._each = most, max(LEAST, min(MOST, most // SEGMENTS))
        self.id = b""
        self.note = b""
        """What `write` was given last with its records."""
        self.newest: bytes | None = None
        """The last record, when it was opened; None where the note says more."""
        self._segments: list[Segment] = []
        paths = sorted(folder.glob("*.rows"))
        for path in set(folder.glob("*.done")) - {path.with_suffix(".done") for path in paths}:
            path.unlink()
        try:
            for path in paths:
                self._open(path, path is paths[-1])
            if not self._segments:
                self.id = os.urandom(16)
                self._roll(0)
        except BaseException:
            self.close()
            raise
        first = self._segments[0]
        self._at = (first, first.start, first.first)
        for segment in self._segments[:-1]:
            self._drop(segment)

    def _open(self, path: Path, newest: bool) -> None:
        found = Segment.opened(path, newest)
        if found is None:
            return
        segment, (id, source), note, last = found  # noqa: A001
        self._segments.append(segment)
        if source != self._source or self.id not in (b"", id):
            raise Damaged(path, "is not of this spool.")
        self.id, self.note, self.newest = id, note, last

    @staticmethod
    def source_of(folder: Path) -> bytes | None:
        """Of what is there; None: nothing, or nothing that can be read."""
        heads = (head_of(path) for path in sorted(folder.glob("*.rows")))
        return next((bytes(HEAD.unpack(head[: HEAD.size])[2]) for head in heads if head is not None), None)

    # --- what it has

    @property
    def left(self) -> int:
        """Rows that are not done."""
        with self._lock:
            return sum(segment.left for segment in self._segments)

    @property
    def size(self) -> int:
        with self._lock:
            return sum(segment.size + len(segment.flags) for segment in self._segments)

    @property
    def begin(self) -> int:
        return self._segments[0].first

    @property
    def end(self) -> int:
        return self._segments[-1].end

    def room(self, size: int) -> bool:
        """Whether so many bytes more fit. Where all is done, any do."""
        return self.size + size <= self._most or not self.left

    # --- writing

    def write(
        self, records: Sequence[tuple[bytes, int]], note: bytes = b"", before: Callable[[int], None] | None = None
    ) -> int:
        """All of them with so many rows each, or none (OSError); gives the number of the first row. `before` is told it
        before anybody can read them."""
        segment = self._segments[-1]
        size = sum(RECORD.size + len(body) for body, _ in records)
        if segment.flags and segment.size + size > self._each:
            segment.sync()
            segment = self._roll(segment.end)
        size, rows = segment.append(records)
        if self._durable:
            segment.sync(segment.size + size)
        first = segment.end
        if before is not None:
            before(first)
        with self._lock:
            segment.size += size
            segment.add(rows)
        self.note = note
        return first

    def sync(self) -> None:
        self._segments[-1].sync()

    def empty(self) -> None:
        """All is done: nothing stays but where it was, and the note."""
        if self._segments[-1].flags:
            self._roll(self.end)

    def _roll(self, first: int) -> Segment:
        segment = Segment.begun(self.folder, self.id, self._source, first, self.note)
        with self._lock:
            self._segments.append(segment)
            for other in self._segments[:-1]:
                self._drop(other)
        return segment

    # --- reading

    def read(self) -> list[Record]:
        """The next ones of which something is not done; none where there are none now."""
        while True:
            with self._lock:
                segment, at, row = self._at
                size = segment.size
                if at >= size or segment not in self._segments:
                    later = [one for one in self._segments if one is not segment and one.first >= segment.end]
                    if not later:
                        return []
                    self._at = (later[0], later[0].start, later[0].first)
                    continue
            taken = list(segment.records(at, size, row))
            if not taken:
                raise Damaged(segment.path, f"has at byte {at:,} what was not written there.")
            found = list[Record]()
            for first, rows, body in taken:
                flags = segment.flags[first - segment.first : first - segment.first + rows]
                places = range(rows) if not any(flags) else [place for place in range(rows) if not flags[place]]
                if places:
                    found.append((first, rows, places, body))
                at, row = at + RECORD.size + len(body), first + rows
            self._at = (segment, at, row)
            if found:
                return found

    def done(self, begin: int, end: int) -> None:
        """These rows never come again: those from `begin` on that are before `end`."""
        with self._lock:
            for segment in self._segments[:] if begin < end else ():
                low, high = max(begin, segment.first), min(end, segment.end)
                if low < high:
                    segment.finish(low - segment.first, high - segment.first)
                    self._drop(segment)

    def begin_at(self, number: int) -> None:
        """All before that row is done, and nothing else, whatever was said before. Before anything is read."""
        self.done(0, number)
        with self._lock:
            for segment in self._segments:
                if number < segment.end:
                    segment.again(max(0, number - segment.first))

    def _drop(self, segment: Segment) -> None:
        if not segment.left and segment is not self._segments[-1]:
            self._segments.remove(segment)
            segment.close(remove=True)

    def close(self, remove: bool = False) -> None:
        """`remove`: with all files."""
        for segment in self._segments:
            segment.close(remove)
