"""Counters of a running topology, cheap enough for every tuple: counts are exact, times are taken of one call in some.

A time is in a histogram whose buckets grow by a fifth each, so that a quantile is right to a tenth.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

__all__ = ["BUCKETS", "Link", "Out", "Times", "bucket_end", "quantile"]

_PER_OCTAVE = 4
_LEAST = 1e-7
"""Seconds; whatever is shorter counts as that."""
BUCKETS = 160
_ENDS = [_LEAST * 2 ** ((place + 1) / _PER_OCTAVE) for place in range(BUCKETS - 1)]


class Times:
    """A histogram of seconds. `add` only notes; `fold`, some times a second, sorts the notes into buckets."""

    __slots__ = ("add", "buckets", "notes", "total")

    def __init__(self) -> None:
        self.notes: list[float] = []
        self.buckets, self.total = [0] * BUCKETS, 0.0
        self.add = self.notes.append

    def fold(self) -> None:
        """Call it in the thread that adds."""
        buckets = self.buckets
        for seconds in self.notes:
            buckets[bisect_right(_ENDS, seconds)] += 1
        self.total += sum(self.notes)
        self.notes.clear()


def bucket_end(place: int) -> float:
    """Seconds that no time in that bucket is longer than."""
    return float(_LEAST * 2 ** ((place + 1) / _PER_OCTAVE))


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Seconds that `share` of the times were not longer than, by the middle of its bucket; None without any."""
    wanted = share * sum(buckets)
    seen = 0
    for place, count in enumerate(buckets):
        seen += count
        if count and seen >= wanted:
            return float(_LEAST * 2 ** ((place + 0.5) / _PER_OCTAVE))
    return None


class Link:
    """What came over a stream to one task of a bolt, in rows. `own_acks`: the bolt acks by itself, and `acked` and
    `failed` count what it said; else what was executed without raising is acked. `counts` read the numbers of calls
    that closures hold, each for itself, because nothing counts faster."""

    __slots__ = ("component", "counts", "execute", "failed", "own_acked", "own_acks", "process", "stream", "whole")

    def __init__(self, component: str, stream: str, own_acks: bool = False) -> None:
        self.component, self.stream, self.own_acks = component, stream, own_acks
        self.failed = self.own_acked = 0
        self.whole = False
        """Whether all its calls are timed, each for many rows."""
        self.counts: list[Callable[[], int]] = []
        self.execute, self.process = Times(), Times()

    @property
    def executed(self) -> int:
        return sum(count() for count in self.counts)

    @property
    def acked(self) -> int:
        return self.own_acked if self.own_acks else self.executed - self.failed


class Out:
    """A stream of one task, in rows. `receivers` tasks get each row; `extra` counts what went to more than these
    (groupings that choose), `counts` are as of a link. Of a spout's stream: what became of the tracked ones, and how
    many are `pending`. `settled` and `loose` count the acked and untracked ones; `tallies` read more that closures
    hold: (emitted, acked, untracked)."""

    __slots__ = (
        *("complete", "counted", "counts", "extra", "failed", "fields", "loose"),
        *("pending", "receivers", "settled", "stream", "tallies"),
    )

    def __init__(self, stream: str, fields: tuple[str, ...], receivers: int = 0) -> None:
        self.stream, self.fields, self.receivers = stream, fields, receivers
        self.counted = self.extra = self.settled = self.failed = self.pending = self.loose = 0
        self.counts: list[Callable[[], int]] = []
        self.tallies: list[Callable[[], tuple[int, int, int]]] = []
        self.complete = Times()

    @property
    def emitted(self) -> int:
        return self.counted + sum(count() for count in self.counts) + sum(tally()[0] for tally in self.tallies)

    @property
    def acked(self) -> int:
        return self.settled + sum(tally()[1] for tally in self.tallies)

    @property
    def untracked(self) -> int:
        return self.loose + sum(tally()[2] for tally in self.tallies)

    def left_midway(self) -> None:
        """The run has ended within a call: what no verdict has come of is pending for good."""
        self.pending = self.emitted - self.acked - self.failed - self.untracked

    @property
    def transferred(self) -> int:
        return self.emitted * self.receivers + self.extra
