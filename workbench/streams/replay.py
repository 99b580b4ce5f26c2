"""What a spout keeps until it was acked, and when it emits it again: at-least-once, as plain code with the clock and
chance passed in. Storm itself only says which tuple has failed.

What fails is tried again, later each time. A batch that has failed as often as is allowed is cut in two, and again, so
that what is given up at last is the poison rows alone.

The standard library only: it travels to Storm's workers.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from workbench.streams.tuples import Batch

__all__ = ["Dead", "Replay"]


@dataclass(frozen=True, slots=True)
class Dead:
    """What is given up: a row (or a batch of one), emitted `tries` times."""

    values: Any
    tries: int


class Replay:
    """Values by message id. `add` what was emitted, tell what became `acked` or `failed`; emit again what is `due`."""

    def __init__(
        self, retries: int = 3, backoff: float = 0.1, most: float = 10.0, random: Random | None = None
    ) -> None:
        self._retries, self._backoff, self._most = retries, backoff, most
        self._random = random or Random()
        self.kept: dict[int, Any] = {}
        self.last = 0
        """The newest message id; `add` may be written out where it is called for every tuple."""
        self._tries: dict[int, int] = {}
        self._waiting: list[tuple[float, int]] = []
        self.last_half = 0
        self.parents: dict[int, int] = {}
        """Of a half of a batch: the message id of the whole. Its own is negative, so that others count values."""

    @property
    def empty(self) -> bool:
        """Whether everything was acked or given up."""
        return not self.kept

    @property
    def waiting(self) -> list[tuple[float, int]]:
        """What waits to be emitted again: when it is due, and its message id. Always the same list."""
        return self._waiting

    def add(self, values: Any) -> int:
        """A message id, for values that are emitted now for the first time."""
        self.last = number = self.last + 1
        self.kept[number] = values
        return number

    def acked(self, number: int) -> None:
        self.kept.pop(number, None)
        if self._tries:
            self._forget(number)

    def _forget(self, number: int) -> None:
        self._tries.pop(number, None)
        self.parents.pop(number, None)

    def acked_each(self, numbers: Sequence[int]) -> None:
        pop = self.kept.pop
        for number in numbers:
            pop(number, None)
        if self._tries:
            for number in numbers:
                self._forget(number)

    def failed(self, number: int, now: float) -> Dead | None:
        """Waits to be due again, in whole or in halves; or it is given up, and that is what is returned."""
        if number not in self.kept:
            return None
        tries = self._tries[number] = self._tries.get(number, 0) + 1
        if tries <= self._retries:
            delay = min(self._most, self._backoff * 2 ** (tries - 1)) * self._random.uniform(0.5, 1.0)
            heapq.heappush(self._waiting, (now + delay, number))
            return None
        values = self.kept.pop(number)
        parent = self.parents.get(number, number)
        self._forget(number)
        if isinstance(values, Batch) and len(values) > 1:
            for half in reversed(values.halves()):  # the first one has the lower number, so it is emitted first
                self.last_half = again = self.last_half - 1
                self.kept[again], self.parents[again] = half, parent
                self._tries[again] = self._retries  # one more failure, and it is cut, too
                heapq.heappush(self._waiting, (now, again))
            return None
        return Dead(values, tries)

    def again(self, number: int, now: float) -> None:
        """It was lost on the way, which is no failure of its own: waits to be due again, and is not given up."""
        if number in self.kept:
            heapq.heappush(self._waiting, (now, number))

    def left(self) -> set[int]:
        """The values that are not done."""
        return {self.parents.get(number, number) for number in self.kept}

    def position(self) -> tuple[int, list[int]]:
        """Of values that come in the same order again: so many of them are done, and those behind that are, too."""
        left = self.left()
        done = min(left, default=self.last + 1) - 1
        return done, [number for number in range(done + 1, self.last + 1) if number not in left]

    def due(self, now: float) -> tuple[int, Any] | None:
        """What is to be emitted again by now, with its message id."""
        while self._waiting and self._waiting[0][0] <= now:
            _, number = heapq.heappop(self._waiting)
            if number in self.kept:
                return number, self.kept[number]
        return None

    def __len__(self) -> int:
        return len(self.kept)
