"""Who knows whether a tuple's whole tree is done: Storm's XOR ledger, as plain code without I/O, clock or thread.

A spout's tuple has a root id and each edge of its tree a random number of 64 bits. Whatever is emitted is XORed into
the root's value once when it is sent and once when it is acked, so the value is 0 when all of the tree was acked (by
accident about once in 2^64 looks). The messages are Storm's, and may come in any order: an ack may be here before the
spout's `init`.

The standard library only: it travels to Storm's workers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Acker", "RotatingMap", "Verdict"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

BUCKETS = 3
"""Of the acker's own map; a spout's pending map has two."""


class RotatingMap(Generic[Key, Value]):
    """A map whose entries expire by being rotated out: with `buckets` buckets that are rotated every T seconds, an
    entry lives for (buckets - 1) to (buckets) times T when it is not put again: it is in the oldest bucket after the
    rotation before the last, however shortly before the first one it was put."""

    def __init__(self, buckets: int) -> None:
        self._buckets: list[dict[Key, Value]] = [{} for _ in range(buckets)]

    def rotate(self) -> dict[Key, Value]:
        """Opens a new bucket; gives the oldest one, which is in the map no more."""
        self._buckets.insert(0, {})
        return self._buckets.pop()

    def put(self, key: Key, value: Value, age: int = 0) -> None:
        """Into the newest bucket, or that of so many rotations ago, also when it was in another one."""
        for bucket in self._buckets:
            if key in bucket:
                del bucket[key]
                break
        self._buckets[age][key] = value

    def get(self, key: Key) -> Value | None:
        for bucket in self._buckets:
            if key in bucket:
                return bucket[key]
        return None

    def remove(self, key: Key) -> Value | None:
        for bucket in self._buckets:
            if key in bucket:
                return bucket.pop(key)
        return None

    def __contains__(self, key: object) -> bool:
        return any(key in bucket for bucket in self._buckets)

    def __len__(self) -> int:
        return sum(map(len, self._buckets))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the acker tells the spout's task about a root: `acked`, or else failed."""

    root: int
    task: int
    acked: bool


class _Record:
    __slots__ = ("failed", "task", "value")

    def __init__(self) -> None:
        self.value, self.task, self.failed = 0, -1, False


class Acker:
    """The ledger. Each message gives the verdict that it brings about, or None.

    Call `rotate` every `topology.message.timeout.secs`. A record lives for two to three of them, while the spout's
    own map of two buckets lets its tuple fail after one to two: a tree that was lost fails there. Acks alone do not
    make a record live longer; `reset_timeout` does.
    """

    def __init__(self) -> None:
        self._records: RotatingMap[int, _Record] = RotatingMap(BUCKETS)

    def init(self, root: int, value: int, task: int) -> Verdict | None:
        """ACK_INIT: the spout's `task` has emitted a root; `value` is the XOR of its edges."""
        record = self._record(root)
        record.value ^= value
        record.task = task
        return self._judged(root, record)

    def ack(self, root: int, value: int) -> Verdict | None:
        """ACK_ACK: a tuple was acked; `value` is its edge XOR those of what was emitted with it as anchor."""
        record = self._record(root)
        record.value ^= value
        return self._judged(root, record)

    def fail(self, root: int) -> Verdict | None:
        """FAIL: a tuple of the tree failed, so all of it does, as soon as the spout is known."""
        record = self._record(root)
        record.failed = True
        self._records.put(root, record)
        return self._judged(root, record)

    def reset_timeout(self, root: int) -> None:
        """The tree lives on: its record is as young as a new one. The spout's map is to be told, too."""
        self._records.put(root, self._record(root))

    def forget(self, root: int) -> None:
        """Nobody waits for it any more."""
        self._records.remove(root)

    def rotate(self) -> list[int]:
        """One time-out has passed; the roots that nobody will hear of again."""
        return list(self._records.rotate())

    def __len__(self) -> int:
        return len(self._records)

    def _record(self, root: int) -> _Record:
        record = self._records.get(root)
        if record is None:
            record = _Record()
            self._records.put(root, record)
        return record

    def _judged(self, root: int, record: _Record) -> Verdict | None:
        if record.task < 0 or (record.value and not record.failed):
            return None
        self._records.remove(root)
        return Verdict(root, record.task, not record.failed)


Random64 = Callable[[], int]
"""Gives a random number of 64 bits; `random.Random(seed).getrandbits` with 64 bound to it."""
