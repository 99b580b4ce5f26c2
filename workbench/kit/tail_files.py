"""The files of a log that is rotated: which belong to it, in which order they were written, and their bytes, unpacked
where rotation has packed them. The standard library only.
"""

from __future__ import annotations

import bisect
import bz2
import contextlib
import gzip
import itertools
import lzma
import os
import re
import stat
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Protocol

__all__ = ["CutOff", "Entry", "Listings", "Packed", "Plain", "Readable", "crc_at", "family", "is_rotated", "opened"]

HEAD = 256
"""So many of its first bytes tell a file from another one, and so many before a place that the place is still it."""
_PACKERS: dict[str, Callable[[str], IO[bytes]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}  # type: ignore[dict-item]
_TAG = r"\d[\d.\-_T:]*"
_BEHIND = re.compile(rf"[.\-_](?P<tag>{_TAG}?)(?P<pack>\.gz|\.bz2|\.xz)?")
_WITHIN = re.compile(rf"[.\-_](?P<tag>{_TAG})")
_DATE_DIGITS = 8
_STEP = 1 << 16
LISTED = 0.9
"""Seconds for which a folder's names are good enough for who only looks."""
FOLDERS = 64
LOOKS = 20
"""Two looks at a folder that say the same are believed: rotation renames, and is over in a moment."""


class CutOff(Exception):
    """A packed file ends in the middle: it is being written, or it is broken."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a log, as it was when the folder was looked at. `tag`: what rotation has put into its name; empty for
    the file that is written to."""

    path: str
    inode: int
    size: int
    changed: int
    tag: str = ""
    packed: bool = False

    @property
    def live(self) -> bool:
        return not self.tag


def family(path: str, listings: Listings | None = None) -> list[Entry]:
    """The files of the log at `path`, the oldest first, and the one that is written to last. OSError where the folder
    cannot be read; a folder or file that is not there yet is no error. With `listings` their names may be some moments
    old: for who only looks whether there is something by now."""
    folder, name = os.path.split(path)
    try:
        if listings is not None:
            return _ordered(_looked_at(folder, name, listings.names(folder or ".", _start(name))))
        found = _looked_at(folder, name, os.listdir(folder or "."))
        for _ in range(LOOKS):
            before, found = found, _looked_at(folder, name, os.listdir(folder or "."))
            if {(one.path, one.inode) for one in before} == {(one.path, one.inode) for one in found}:
                break
    except FileNotFoundError:
        return []
    return _ordered(found)


def _looked_at(folder: str, name: str, names: list[str]) -> list[Entry]:
    """Files are renamed while this goes on: one may be missed, or come twice."""
    start, found = _start(name), list[Entry]()
    for one in names:
        if not one.startswith(start):
            continue
        tag, packed = _named(name, one)
        if tag is None:
            continue
        where = os.path.join(folder, one)
        with contextlib.suppress(FileNotFoundError):  # moved on between the two looks
            about = os.stat(where)
            if stat.S_ISREG(about.st_mode):
                found.append(Entry(where, about.st_ino, about.st_size, about.st_mtime_ns, tag, packed))
    return found


class Listings:
    """What lies in folders, looked at once for all who follow a file there, each second at most. For several threads;
    the folders that were asked for last are kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._folders: dict[str, tuple[float, list[str]]] = {}

    def names(self, folder: str, start: str) -> list[str]:
        """Those that begin with `start`. OSError."""
        with self._lock:
            at, names = self._folders.pop(folder, (float("-inf"), []))
            if self._clock() - at >= LISTED:
                at, names = self._clock(), sorted(os.listdir(folder))
            self._folders[folder] = at, names
            if len(self._folders) > FOLDERS:
                del self._folders[next(iter(self._folders))]
        first = bisect.bisect_left(names, start)
        following = (names[at] for at in range(first, len(names)))
        return list(itertools.takewhile(lambda name: name.startswith(start), following))


def is_rotated(name: str, live: str) -> bool:
    """Whether rotation gives a file `live` the name `name`."""
    return name != live and _named(live, name)[0] is not None


def _start(live: str) -> str:
    """How all names of the log begin."""
    stem, dot, _ = live.rpartition(".")
    return stem if dot and stem else live


def _named(live: str, name: str) -> tuple[str | None, bool]:
    """The tag and whether it is packed; None where the name is no name of the log's."""
    if name == live:
        return "", live.endswith(tuple(_PACKERS))
    if name.startswith(live) and (behind := _BEHIND.fullmatch(name, len(live))) is not None:
        return behind["tag"], behind["pack"] is not None
    stem, dot, ending = live.rpartition(".")
    if not (dot and stem and name.startswith(stem)):
        return None, False
    for pack in ("", *_PACKERS):  # `access-20260101.log`; `access-2.log` may well be a log of its own
        if name.endswith(tail := f".{ending}{pack}"):
            within = _WITHIN.fullmatch(name, len(stem), max(len(stem), len(name) - len(tail)))
            if within is not None and len(re.sub(r"\D", "", within["tag"])) >= _DATE_DIGITS:
                return within["tag"], bool(pack)
    return None, False


def _ordered(found: list[Entry]) -> list[Entry]:
    rotated, live = [one for one in found if one.tag], [one for one in found if not one.tag]
    numbers = [int(one.tag) if one.tag.isdigit() and len(one.tag) < _DATE_DIGITS else None for one in rotated]
    if None not in numbers:
        rotated.sort(key=lambda one: (-int(one.tag), one.packed))
    elif not any(number is not None for number in numbers):
        rotated.sort(key=lambda one: (re.sub(r"\D", "", one.tag), one.changed))
    else:
        rotated.sort(key=lambda one: (one.changed, one.path))
    return rotated + live


class Readable(Protocol):
    """A file's bytes at a place, unpacked."""

    def read_at(self, offset: int, size: int) -> bytes:
        """As many as there are, `size` at most. Raises CutOff, OSError."""
        ...

    def close(self) -> None: ...


class Plain:
    """A file as it lies there; it can be read when it was moved or removed, too."""

    def __init__(self, path: str) -> None:
        self.handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self.handle, size, offset)

    def size(self) -> int:
        return os.fstat(self.handle).st_size

    def changed(self) -> float:
        """When it was written to last, by the file system's clock."""
        return os.fstat(self.handle).st_mtime

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


class Packed:
    """A file that rotation has packed, read from its beginning on; a place before what was read begins again."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open = _PACKERS[os.path.splitext(path)[1]]
        self._stream = self._open(path)
        self._base, self._buffer = 0, b""

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < self._base:
            self._stream.close()
            self._stream = self._open(self._path)
            self._base, self._buffer = 0, b""
        while self._base + len(self._buffer) < offset + size:
            more = self._more()
            if not more:
                break
            self._buffer += more
            useless = min(len(self._buffer), max(0, offset - HEAD - self._base))
            self._base, self._buffer = self._base + useless, self._buffer[useless:]
        start = offset - self._base
        return self._buffer[start : start + size]

    def _more(self) -> bytes:
        try:
            return self._stream.read(_STEP)
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise CutOff(str(error)) from None
        except OSError as error:
            if error.errno is None:  # bz2 says it so
                raise CutOff(str(error)) from None
            raise

    def close(self) -> None:
        self._stream.close()


def opened(entry: Entry) -> Readable:
    return Packed(entry.path) if entry.packed else Plain(entry.path)


def crc_at(file: Readable, offset: int, size: int) -> int | None:
    """Of exactly so many bytes; None where there are fewer."""
    data = file.read_at(offset, size)
    return zlib.crc32(data) if len(data) == size else None
