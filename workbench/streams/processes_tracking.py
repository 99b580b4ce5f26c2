"""What is on its way when a topology's tasks are in several processes: each worker has the ledger of the roots that its
own spouts emit, and tells the others' ledgers what it acks, fails and hands on of theirs.

A root's number begins with that of the worker's start (`incarnation`), so it says whose it is. What is told of a root
between two tuples is one message: values are XORed, and it does not matter in which order they come. Only what says
that somebody else has got some of a root must be there before that one can ack it, so it is sent before the row is.

Plain code, the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from workbench.streams.tracking import Anchor, Hold, Tracking, Why

__all__ = ["LOST", "SHIFT", "Foreign", "PartTracking"]

SHIFT = 40
"""Bits of a root's number that count; those above are the incarnation."""
LOST: Why = ("", "a worker process that had some of it has ended")


class Foreign:
    """A row or batch that came from another process, while it is worked on."""

    __slots__ = ("edges", "emitted")
    done = False

    def __init__(self, edges: dict[int, int]) -> None:
        self.edges, self.emitted = edges, 0


class PartTracking(Tracking):
    """The ledger of one worker. `messages`: by root of another worker, the value, how many more have some of it, and
    the workers that got some (a bit each); `failures` and `resets` as they are."""

    def __init__(self, random: Random, clock: Callable[[], float], incarnation: int) -> None:
        super().__init__(random, clock)
        self.incarnation = incarnation
        self._root = incarnation << SHIFT
        self.messages: dict[int, list[int]] = {}
        self.failures: list[tuple[int, Why]] = []
        self.failed = 0
        """How many there ever were."""
        self.resets: list[int] = []
        self._crossed: dict[int, int] = {}
        """Own roots of which other workers have had some, and which."""

    def own(self, root: int) -> bool:
        return root >> SHIFT == self.incarnation

    # --- edges

    def crossing(self, worker: int) -> dict[int, int] | None:
        """The edges of what goes to another worker; None when that is not tracked."""
        if not self.anchors:
            return None
        made = super().edges(True)
        bit = 1 << worker
        if self.anchors[0].__class__ is Anchor:  # its spout emits it just now, so it is nowhere pending yet
            (root,) = made
            self._crossed[root] = self._crossed.get(root, 0) | bit
            self._elsewhere[root] = self._elsewhere.get(root, 0) + 1
            return made
        for root in made:
            self._more(root, 1, bit)
        return made or None

    def edges(self, in_window: bool = False) -> dict[int, int]:
        made = super().edges(True)
        if not in_window:
            for root in made:
                self._more(root, 1, 0)
        return made

    def _more(self, root: int, more: int, workers: int) -> None:
        if self.own(root):
            if workers:
                self._crossed[root] = self._crossed.get(root, 0) | workers
            self._count_elsewhere(root, more)
        else:
            self._tell(root, 0, more, workers)

    def _tell(self, root: int, value: int, more: int, workers: int) -> None:
        message = self.messages.get(root)
        if message is None:
            self.messages[root] = [value, more, workers]
        else:
            message[0] ^= value
            message[1] += more
            message[2] |= workers

    def _count_elsewhere(self, root: int, more: int) -> None:
        """So many more have some of it and are no windows. With none left, more tuples must come before it is done."""
        number = self._elsewhere.get(root, 0) + more
        if number:
            self._elsewhere[root] = number
        else:
            self._elsewhere.pop(root, None)
        for source in self.sources:
            entry = source.pending.get(root)
            if entry is not None:
                entry.elsewhere = number > 0
                if number <= 0 and not entry.windowed:
                    entry.windowed = True
                    source.held += 1

    # --- verdicts

    def ack(self, held: Any) -> None:
        more = 0 if held.__class__ is Hold else -1
        for root, edge in held.edges.items():
            value = edge ^ held.emitted
            if self.own(root):
                self.acked(root, value, more, 0)
            else:
                self._tell(root, value, more, 0)

    def acked(self, root: int, value: int, more: int, workers: int) -> None:
        """Of an own root: here, or as another worker tells it."""
        if workers:
            self._crossed[root] = self._crossed.get(root, 0) | workers
        verdict = self._acker.ack(root, value) if value else None
        if verdict is not None:
            self._judge(verdict)
        elif more:
            self._count_elsewhere(root, more)

    def fail(self, roots: Iterable[int], why: Why) -> None:
        for root in roots:
            if self.own(root):
                super().fail((root,), why)
            else:
                self.failures.append((root, why))
                self.failed += 1

    def reset_timeout(self, held: Any) -> None:
        for root in held.edges:
            if self.own(root):
                self.reset(root)
            else:
                self.resets.append(root)

    def reset(self, root: int) -> None:
        self._acker.reset_timeout(root)
        for source in self.sources:
            entry = source.pending.remove(root)
            if entry is not None:
                source.pending.put(root, entry)

    def lost(self, worker: int) -> None:
        """That worker has ended: what it has had some of fails at once."""
        bit = 1 << worker
        for root in [root for root, workers in self._crossed.items() if workers & bit]:
            del self._crossed[root]
            self._elsewhere.pop(root, None)
            for source in self.sources:
                entry = source.pending.remove(root)
                if entry is not None:
                    self._acker.forget(root)
                    self._settle(source, entry, LOST)

    def rotate(self) -> None:
        super().rotate()
        known = [source.pending for source in self.sources]
        for left in (self._crossed, self._elsewhere):  # also of roots that were over when somebody told of them
            for root in [root for root in left if self.own(root) and not any(root in one for one in known)]:
                del left[root]

    def _judge(self, verdict: Any) -> None:
        if verdict is not None:
            self._crossed.pop(verdict.root, None)
        super()._judge(verdict)
