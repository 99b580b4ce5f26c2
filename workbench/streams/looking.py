"""Many partitions read by one thread: those of feeds that never have to be waited for, as files that are written to."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from workbench.contract.errors import SourceError, UnknownTable

if TYPE_CHECKING:
    from workbench.contract.connector import LookingFeed
    from workbench.streams.following import Partition

__all__ = ["Looks"]

IN_A_ROW = 16
"""Entries of one partition before the others have their turn."""
SHORT_NAP, LONG_NAP, SHORT_NAPS = 0.01, 0.1, 20
"""Seconds between two looks where there was nothing: the first times, and then."""
SHARE = 10.0
"""All looks together take one part in so many of the time, where there is nothing; with thousands they are rarer for
that."""
HELD = 0.01
MOST_BYTES = 64 << 20
"""Of what waits in the queues of all of them; one batch may be above it."""
JOIN = 5.0


class _Turn:
    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.feed: LookingFeed | None = None
        self.naps = 0


class Looks:
    """`add` gives it a partition. `clock` gives seconds that only move on."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._new: deque[Partition] = deque()
        self._due: list[tuple[float, int, _Turn]] = []
        self._number = itertools.count()
        self._bytes = 0
        self._cost = 0.0
        self._stopping, self._changed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._main, name=f"workbench-looks-{name}"[:60], daemon=True)
        self._thread.start()

    def add(self, partition: Partition) -> None:
        self._new.append(partition)
        self._changed.set()

    def stop(self) -> None:
        self._stopping.set()
        self._changed.set()

    def join(self) -> None:
        self.stop()
        self._thread.join(JOIN)

    # --- in the thread

    def _main(self) -> None:
        try:
            while not self._stopping.is_set():
                while self._new:
                    self._again(_Turn(self._new.popleft()), self._clock())
                pause = self._due[0][0] - self._clock() if self._due else LONG_NAP
                if pause <= 0 and self._bytes >= MOST_BYTES and self._waiting_bytes() >= MOST_BYTES:
                    pause = HELD  # nobody reads on before there is room for all
                if pause > 0:
                    self._changed.wait(pause)
                    self._changed.clear()
                    continue
                _, _, turn = heapq.heappop(self._due)
                self._take(turn)
        finally:
            for _, _, turn in self._due:
                self._leave(turn, None)

    def _again(self, turn: _Turn, at: float) -> None:
        heapq.heappush(self._due, (at, next(self._number), turn))

    def _take(self, turn: _Turn) -> None:
        try:
            self._again(turn, self._clock() + self._turn(turn))
        except BaseException as error:  # noqa: BLE001  # it is one of the spout's: the runner raises it
            self._leave(turn, error)

    def _turn(self, turn: _Turn) -> float:
        """Seconds until its next one."""
        partition = turn.partition
        try:
            if self._is_held(partition):
                return HELD
            if turn.feed is None:
                turn.feed, turn.naps = cast("LookingFeed", partition.subscribe()), 0
            for _ in range(IN_A_ROW):
                began = self._clock()
                if (entry := turn.feed.look()) is None:
                    partition.confirmed(turn.feed)
                    return self._nap(turn, self._clock() - began)
                turn.naps = 0
                if (queued := partition.queued(entry)) is not None:
                    partition.incoming.add(*queued)
                    self._bytes += queued[1]
                partition.taken(entry)
                if self._is_held(partition):
                    break
            partition.confirmed(turn.feed)
        except (SourceError, UnknownTable) as why:
            self._close(turn)
            delay = partition.rests(why)
            partition.reconnects += delay is not None
            return delay or 0.0
        return 0.0

    def _is_held(self, partition: Partition) -> bool:
        """Whether there is no room for more: of this one, or of all, as far as is known here."""
        return partition.incoming.full or self._bytes >= MOST_BYTES

    def _waiting_bytes(self) -> int:
        """In all queues, as it is now: others take from them."""
        self._bytes = sum(turn.partition.incoming.bytes for _, _, turn in self._due)
        return self._bytes

    def _nap(self, turn: _Turn, cost: float) -> float:
        self._cost += (cost - self._cost) / 50  # of a look that finds nothing, on the whole
        nap = SHORT_NAP if turn.naps < SHORT_NAPS else LONG_NAP
        turn.naps += 1
        return max(nap, self._cost * len(self._due) * SHARE)

    def _leave(self, turn: _Turn, error: BaseException | None) -> None:
        try:
            if turn.feed is not None and error is None:
                turn.partition.confirmed(turn.feed)
            self._close(turn)
        except BaseException as other:  # noqa: BLE001  # of this one alone: the others go on
            error = error or other
        turn.partition.ended(error)

    @staticmethod
    def _close(turn: _Turn) -> None:
        feed, turn.feed = turn.feed, None
        if feed is not None:
            feed.close()
