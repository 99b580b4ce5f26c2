"""The lines of a log as they are written, over rotation by rename and by copy and truncate, over files that were
packed, and from any place where one was. The standard library only.

A place names the file by its inode and the CRC of its first bytes, and the offset behind the last whole line by the CRC
of the bytes before it; both are looked at before one goes on from there. So an inode that another file has got now, a
file that was written anew, and a copy are told apart; a place that is nowhere any more is said to be lost.

What is inherent: lines that are written between the copy and the cut of `copytruncate`, and a file that is cut and
filled with the very same bytes between two looks.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from workbench.kit.tail_files import HEAD, CutOff, Entry, Listings, Packed, Plain, family, opened
from workbench.kit.tail_places import Block, BrokenFile, Mark, Place, PlaceLost

__all__ = ["LONGEST_LINE", "Block", "BrokenFile", "Follower", "Mark", "Place", "PlaceLost"]

BLOCK = 1 << 20
LONGEST_LINE = 1 << 20
"""A longer line is handed on in parts."""
GRACE = 1.0
"""Seconds for which a file that was moved away must have been quiet before the next one's turn: its writer may not have
opened the new one yet."""
LOOK = 1.0
"""Seconds between two looks at the folder while nothing says that there is something new."""
SETTLED = 60.0
"""Seconds since its last change after which a packed file that ends in the middle is broken."""
_UNREAD = -1
"""In place of the first bytes of a packed file that was not looked into; its offset is the packed size."""
_LISTINGS = Listings()
_KEPT = 50
_TOLD = 3


def _unread(entry: Entry) -> Mark:
    return Mark(entry.inode, _UNREAD, 0, entry.size, 0)


class _Open:
    """The file that is read."""

    def __init__(self, entry: Entry, offset: int = 0) -> None:
        self.entry, self.file, self.offset = entry, opened(entry), offset
        self.quiet: float | None = None
        try:
            self.refresh()
        except BaseException:
            self.file.close()
            raise

    def refresh(self) -> None:
        """Looks at its first bytes, and at those before the offset."""
        head = self.file.read_at(0, HEAD)
        before = min(HEAD, self.offset)
        anchor = zlib.crc32(self.file.read_at(self.offset - before, before))
        self.mark = Mark(self.entry.inode, len(head), zlib.crc32(head), self.offset, anchor)

    def moved(self, data: bytes, last: bytes) -> None:
        """`data` was handed on; `last` are bytes that end with it."""
        self.offset += len(data)
        anchor = zlib.crc32(last[-min(HEAD, self.offset) :]) if self.offset else 0
        self.mark = replace(self.mark, offset=self.offset, anchor=anchor)
        if self.mark.head < HEAD:
            head = self.file.read_at(0, HEAD)
            self.mark = replace(self.mark, head=len(head), crc=zlib.crc32(head))


def _name(file: _Open) -> str:
    """The same as long as the file is written to, for its first line stays."""
    head = file.file.read_at(0, HEAD)
    first = head[: head.find(b"\n") + 1] or head
    return f"{file.entry.inode}:{zlib.crc32(first):08x}"


class Follower:
    """Follows the log at `path`. Not for several threads at once. OSErrors of files that may not be read are raised.

    `begin`: `all` from the oldest file that rotation has left, `file` from the beginning of the one that is written to,
    `end` what comes from now on. `after` a place: what comes after that. Raises PlaceLost.
    """

    def __init__(
        self, path: str, begin: str = "all", after: Place | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path, self._clock = path, clock
        self._listings = _LISTINGS if clock is time.monotonic else Listings(clock)
        self._now: _Open | None = None
        self._number = 0
        self._seen: dict[int, Mark] = {}
        """By inode, what was read of files, or is not to be."""
        self._read: list[Mark] = []
        """What was read to its end, or is not to be, the newest last; also of files that are not there any more."""
        self._checked: dict[int, tuple[int, int]] = {}
        self._ahead: deque[Entry] = deque()
        """Of the last look at the folder, what is to be read next, the oldest first: there may be thousands of them."""
        self._looked = clock() - LOOK
        for last in (False, False, True):
            try:
                self._begin(begin) if after is None else self._go_on(after)
                return
            except FileNotFoundError:  # rotated between the look at the folder and the next
                self._seen.clear()
                if last:
                    raise

    def place(self) -> Place:
        told = tuple(self._read[-_TOLD:])
        return Place(self._number, self._now.mark if self._now is not None else None, told)

    def read(self, most: int = BLOCK) -> Block | None:
        """The next lines; None when there are none now."""
        with contextlib.suppress(CutOff):
            while True:
                if self._now is None and not self._open_next():
                    return None
                assert self._now is not None
                if not self._is_same():
                    self._after_cut()
                    continue
                if not self._now.offset and self._go_back():
                    continue
                if (block := self._more(most)) is not None:
                    return block
                if isinstance(self._now.file, Plain) and (late := self._late(most)) is not None:
                    return late
                if (rest := self._leave()) is not None:
                    return rest
                if self._now is not None:
                    return None
        self._check_broken()
        return None

    def close(self) -> None:
        if self._now is not None:
            self._now.file.close()
            self._now = None

    # --- where to begin

    def _begin(self, begin: str) -> None:
        entries = family(self.path)
        for one in entries:
            if begin == "all" or (begin == "file" and one.live):
                continue
            if one.live:
                self._open(one, one.size)
            else:
                self._skip(one)

    def _go_on(self, place: Place) -> None:
        entries = family(self.path)
        self._number = place.number
        # A file of which nothing was read may have been copied and cut since: what was read before it counts.
        at = place.at if place.at is not None and place.at.offset else None
        found = self._found(at, entries) if at is not None else None
        if at is not None and found is None:
            raise PlaceLost(
                f"no file of {self.path} has the bytes that were read up to there (it was removed, or written anew)"
            )
        self._read = list(place.before)
        if found is None:
            read = [at for at, one in enumerate(entries) if any(self._is_of(mark, one) for mark in place.before)]
            upto = max(read, default=-1) + 1
        else:
            upto = entries.index(found)
        for one in entries[:upto]:
            self._skip(one, place.before)
        if found is not None and at is not None:
            self._open(found, at.offset)

    def _found(self, mark: Mark, entries: list[Entry]) -> Entry | None:
        """The file that has the place: by its inode, or one that was made of it."""
        for one in sorted(entries, key=lambda entry: entry.inode != mark.inode):
            if one.inode != mark.inode and not mark.head:
                break
            if self._holds(mark, one):
                return one
        return None

    @staticmethod
    def _holds(mark: Mark, entry: Entry) -> bool:
        if not entry.packed and entry.size < max(mark.offset, mark.head):
            return False
        return _holds_any((mark,), entry)

    def _is_of(self, mark: Mark, entry: Entry) -> bool:
        """Whether it is the file with that mark, or was packed of it."""
        return mark.head > 0 and (entry.packed or entry.inode == mark.inode) and self._holds(mark, entry)

    def _skip(self, entry: Entry, known: tuple[Mark, ...] = ()) -> None:
        """It is not read; of what was read before, what is written to it later is."""
        mark = next((one for one in known if one.inode == entry.inode and self._holds(one, entry)), None)
        if mark is None:
            if entry.packed:  # nobody writes to it
                mark = _unread(entry)
            else:
                try:
                    skipped = _Open(entry, entry.size)
                except FileNotFoundError:
                    return
                mark = skipped.mark
                skipped.file.close()
                if not known:
                    self._note(mark)
                elif mark.head > 0:
                    self._read.insert(0, mark)
        self._seen[entry.inode] = mark

    def _note(self, mark: Mark) -> None:
        if mark.head > 0:
            self._read.append(mark)
            del self._read[:-_KEPT]

    # --- the file that is read

    def _open(self, entry: Entry, offset: int = 0) -> None:
        self._now = _Open(entry, offset)
        self._seen.pop(entry.inode, None)

    def _is_same(self) -> bool:
        """Whether it still has what was read of it."""
        now = self._now
        assert now is not None
        if not isinstance(now.file, Plain):
            return True
        return now.file.size() >= now.offset and now.mark.holds(now.file)

    def _go_back(self) -> bool:
        """Of a file of which nothing was read yet: whether it was copied before it was cut. The copy comes first."""
        now = self._now
        assert now is not None
        if not now.entry.live and self._next_known() is not None:
            return False  # it was the oldest one
        if not isinstance(now.file, Plain) or ((empty := not now.file.size()) and self._clock() - self._looked < LOOK):
            return False
        self._looked = self._clock()
        there = family(self.path, self._listings if empty else None)  # before anything is read of it: as it is just now
        older = itertools.takewhile(lambda one: one.inode != now.entry.inode, there)
        waiting = {one.inode for one in older if one.size}
        for one in self._unseen() if waiting else ():
            if one.inode in waiting:
                try:
                    self._open(one)
                except FileNotFoundError:
                    return True  # renamed just now: it is looked for again
                now.file.close()
                self._number += 1
                return True
        return False

    def _after_cut(self) -> None:
        """It was cut short, or written anew. What was not read of it may be in a copy that was made just before."""
        now = self._now
        assert now is not None
        self._number += 1
        self._ahead.clear()
        for one in family(self.path):
            if one.live or one.inode == now.entry.inode or self._is_seen(one):
                continue
            if now.mark.head and self._holds(now.mark, one):
                now.file.close()
                self._open(one, now.offset)
                return
        self._note(now.mark)
        now.offset = 0
        now.quiet = None
        now.refresh()

    def _more(self, most: int) -> Block | None:
        now = self._now
        assert now is not None
        data = now.file.read_at(now.offset, most)
        end = data.rfind(b"\n") + 1
        if end:
            return self._block(data[:end])
        if len(data) >= LONGEST_LINE:
            return self._block(data, part=True)
        return self._more(most * 2) if len(data) == most else None

    def _block(self, data: bytes, part: bool = False) -> Block:
        now = self._now
        assert now is not None
        first, start = self.place(), now.offset
        last = data
        if len(data) < HEAD and start:
            before = min(HEAD, start)
            last = now.file.read_at(start - before, before) + data
        now.moved(data, last)
        now.quiet = None
        return Block(data, now.entry.path, _name(now), start, first, self.place(), part)

    # --- from one file to the next

    def _leave(self) -> Block | None:
        """Lets go of a file that was read to its end, when its writer has gone on to another one. What is left of it, a
        line without its end, is handed on."""
        now = self._now
        assert now is not None
        if isinstance(now.file, Plain):
            try:
                live = os.stat(self.path)
            except FileNotFoundError:
                live = None
            if live is not None and live.st_ino == now.entry.inode:
                return None
            if not self._has_next():
                return None
            if now.quiet is None:
                now.quiet = self._clock() - (time.time() - now.file.changed())
            if self._clock() - now.quiet < GRACE:
                return None
        data = now.file.read_at(now.offset, LONGEST_LINE)
        if data:
            return self._block(data, part=True)
        now.file.close()
        nothing = now.entry.packed and not now.mark.head
        self._seen[now.entry.inode] = _unread(now.entry) if nothing else now.mark
        self._note(now.mark)
        self._now = None
        self._number += 1
        if not self._ahead:
            self._looked = self._clock() - LOOK
            self._forget()
        return None

    def _has_next(self) -> bool:
        """Whether there is another file with something in it."""
        return self._next_known() is not None or any(one.size for one in self._unseen())

    def _open_next(self) -> bool:
        if (known := self._next_known()) is not None:
            self._ahead.popleft()
            return self._opens(known)
        if self._clock() - self._looked < LOOK / 10:
            return False
        if found := [one for one in self._unseen() if one.size or one.live]:
            self._ahead.extend(one for one in found[1:] if not one.live)
            return self._opens(found[0])
        self._looked = self._clock()
        return False

    def _opens(self, entry: Entry) -> bool:
        """False: it has moved on since the folder was looked at, or is being packed. It stays the next one."""
        try:
            self._open(entry)
        except FileNotFoundError:
            self._ahead.clear()
            return False
        except CutOff:
            self._ahead.clear()
            _check_settled(entry.path)
            return False
        return True

    def _next_known(self) -> Entry | None:
        """The next one of the last look at the folder, if it is there as it was then; else it is looked at again."""
        while self._ahead:
            one = self._ahead[0]
            if one.inode in self._seen or (self._now is not None and self._now.entry.inode == one.inode):
                self._ahead.popleft()
                continue
            with contextlib.suppress(FileNotFoundError):
                about = os.stat(one.path)
                same = (about.st_ino, about.st_size, about.st_mtime_ns) == (one.inode, one.size, one.changed)
                if same and not (one.packed and _holds_any((mark for mark in self._read if mark.head), one)):
                    return one
            self._ahead.clear()
        return None

    def _unseen(self) -> Iterator[Entry]:
        """The files that were not read, the oldest first."""
        entries = family(self.path)
        plain = {one.path for one in entries if not one.packed}
        now = self._now.entry.inode if self._now is not None else -1
        for one in [one for one in entries if one.inode != now and not self._is_seen(one)]:
            if one.packed and (os.path.splitext(one.path)[0] in plain or self._is_packed_copy(one, entries)):
                continue
            yield one

    def _is_packed_copy(self, entry: Entry, entries: list[Entry]) -> bool:
        """Whether it is what became of a file that was read, or is being read, and is not there any more."""
        there = {one.inode: one for one in entries if not one.packed}
        marks = [*self._read, *([self._now.mark] if self._now is not None else [])]
        for mark in reversed(marks):
            plain = there.get(mark.inode)
            if mark.head > 0 and not (plain and self._holds(mark, plain)) and self._holds(mark, entry):
                self._seen[entry.inode] = _unread(entry)
                return True
        return False

    def _is_seen(self, entry: Entry) -> bool:
        mark = self._seen.get(entry.inode)
        if mark is None:
            return False
        if self._checked.get(entry.inode) == (entry.size, entry.changed):
            return True
        if mark.head == _UNREAD:
            same = mark.offset == entry.size
        elif mark.head == 0:
            same = entry.size == 0
        else:
            same = self._holds(mark, entry)
        if same:
            self._checked[entry.inode] = (entry.size, entry.changed)
        elif _moved(entry):
            return True  # it was another file's turn to have the name, so nothing is known of this one
        else:
            del self._seen[entry.inode]  # another file has got its inode
        return same

    def _late(self, most: int) -> Block | None:
        """What was written to a file after one had gone on to the next."""
        if not self._seen or self._clock() - self._looked < LOOK:
            return None
        self._looked = self._clock()
        for one in family(self.path, self._listings):
            mark = self._seen.get(one.inode)
            if mark is None or one.packed or one.live or one.size <= mark.offset or not self._is_seen(one):
                continue
            try:
                other = _Open(one, mark.offset)
            except FileNotFoundError:
                continue
            try:
                data = other.file.read_at(mark.offset, most)
                data = data[: data.rfind(b"\n") + 1]
                if not data:
                    continue
                first = self.place()
                other.moved(data, other.file.read_at(max(0, mark.offset - HEAD), min(HEAD, mark.offset)) + data)
                self._seen[one.inode] = other.mark
                self._read = [other.mark if known == mark else known for known in self._read]
                self._looked -= LOOK
                return Block(data, one.path, _name(other), mark.offset, first, self.place())
            finally:
                other.file.close()
        return None

    def _forget(self) -> None:
        if len(self._seen) <= 4 * _KEPT:
            return
        there = {one.inode for one in family(self.path)}
        for inode in list(self._seen)[:-_KEPT]:
            if inode not in there:
                del self._seen[inode]
                self._checked.pop(inode, None)

    def _check_broken(self) -> None:
        """After CutOff: a packed file that is still being written is waited for."""
        now = self._now
        if now is not None and isinstance(now.file, Packed):
            _check_settled(now.entry.path)
            now.file.close()
            now.file = Packed(now.entry.path)


def _holds_any(marks: Iterable[Mark], entry: Entry) -> bool:
    try:
        file = opened(entry)
    except FileNotFoundError:
        return False
    try:
        return any(mark.holds(file) for mark in marks)
    except CutOff:
        return False
    finally:
        file.close()


def _moved(entry: Entry) -> bool:
    """Whether something else lies there by now than when the folder was looked at."""
    try:
        return os.stat(entry.path).st_ino != entry.inode
    except FileNotFoundError:
        return True


def _check_settled(path: str) -> None:
    """Raises BrokenFile for one that nobody has written to for a while."""
    try:
        changed = os.stat(path).st_mtime
    except FileNotFoundError:
        changed = 0
    if time.time() - changed > SETTLED:
        raise BrokenFile(path, "it is packed and ends in the middle")
