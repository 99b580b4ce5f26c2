"""What the fuzzers share: memory that ends at a page nobody may touch, and bytes that are changed."""

from __future__ import annotations

import ctypes
import mmap
from random import Random

__all__ = ["Fence", "mutated"]

_PAGE = mmap.PAGESIZE
_NASTY = (b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 7 + b"\x80", b"\xfe" + b"\xff" * 8, b"\xfd\xff\xff\xff", b"\xfb")


class Fence:
    """Memory whose end is the end of what may be touched."""

    def __init__(self, size: int) -> None:
        self.size = -(-size // _PAGE) * _PAGE
        self._memory = mmap.mmap(-1, self.size + _PAGE)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(self._start + self.size), ctypes.c_size_t(_PAGE), 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")

    def at(self, count: int) -> int:
        """Where `count` bytes begin that end at the fence."""
        assert count <= self.size
        return self._start + self.size - count

    def put(self, content: bytes) -> int:
        address = self.at(len(content))
        ctypes.memmove(address, content, len(content))
        return address


def mutated(random: Random, content: bytes) -> bytes:
    out = bytearray(content)
    if random.random() < 0.2:
        return bytes(out[: random.randint(0, len(out))])
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        if not out:
            break
        at, kind = random.randrange(len(out)), random.random()
        if kind < 0.35:
            out[at] ^= 1 << random.randrange(8)
        elif kind < 0.6:
            out[at] = random.choice((0, 1, 4, 7, 8, 11, 12, 0x7F, 0x80, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF))
        elif kind < 0.75:
            nasty = random.choice(_NASTY)
            out[at : at + len(nasty)] = nasty
        elif kind < 0.87:
            del out[at : at + random.randint(1, 20)]
        else:
            other = random.randrange(len(out))
            out[at:at] = out[other : other + random.randint(1, 40)]
    return bytes(out)
