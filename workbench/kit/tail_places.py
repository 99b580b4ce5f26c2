"""Places in a log that is rotated, and the lines between two of them. The standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass

from workbench.kit.tail_files import HEAD, Readable, crc_at

__all__ = ["Block", "BrokenFile", "Mark", "Place", "PlaceLost"]


class PlaceLost(Exception):
    """No file has that place any more; the text says why."""


class BrokenFile(Exception):
    """A packed file that cannot be read to its end."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in one file: the CRC of its first `head` bytes, and of up to 256 bytes before `offset`."""

    inode: int
    head: int
    crc: int
    offset: int
    anchor: int

    def holds(self, file: Readable) -> bool:
        """Whether the file has this place."""
        before = min(HEAD, self.offset)
        return crc_at(file, 0, self.head) == self.crc and crc_at(file, self.offset - before, before) == self.anchor


@dataclass(frozen=True, slots=True)
class Place:
    """Where one is in a log: in the `number`-th file since it was followed, and the files before, as far as they were
    read: somebody may still write to them."""

    number: int
    at: Mark | None
    before: tuple[Mark, ...] = ()

    def __str__(self) -> str:
        marks = [[m.inode, m.head, m.crc, m.offset, m.anchor] for m in (*([self.at] if self.at else []), *self.before)]
        return json.dumps([self.number, self.at is not None, *marks], separators=(",", ":"))

    @classmethod
    def of(cls, text: str) -> Place:
        """Raises PlaceLost for what is no place."""
        try:
            number, there, *rest = json.loads(text)
            marks = [Mark(*(int(value) for value in one)) for one in rest]
            return cls(int(number), marks[0] if there else None, tuple(marks[1 if there else 0 :]))
        except (ValueError, TypeError, IndexError) as error:
            raise PlaceLost(f"`{text[:80]}` is no place in a file") from error

    def reached(self, mark: Place) -> bool:
        mine, theirs = (one.at.offset if one.at else -1 for one in (self, mark))
        return (self.number, mine) >= (mark.number, theirs)


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of one file, with their ends. `file` names it by its inode and its first line, `start` is the offset
    of the first; `part`: of a line that is longer than may be, or that has no end and will not get one."""

    data: bytes
    path: str
    file: str
    start: int
    first: Place
    last: Place
    part: bool = False

    def lines(self) -> list[bytes]:
        """Without their ends."""
        found = self.data.split(b"\n")
        if not found[-1]:
            found.pop()
        return [line.removesuffix(b"\r") for line in found]
