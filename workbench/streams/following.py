"""Partitions of a feed, each read into a bounded queue; and one that is read by a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from workbench.contract.change import Changes, Heartbeat, Position, SchemaChange
from workbench.contract.errors import (
    Cancelled,
    ConnectionLost,
    PositionLost,
    SourceError,
    SourceTimeout,
    UnknownTable,
    Unreachable,
)
from workbench.streams.receiving import BACKOFF, BACKOFF_MOST, Incoming

if TYPE_CHECKING:
    from workbench.catalog.catalog import Found
    from workbench.contract.connector import Feed
    from workbench.streams.component import Context

__all__ = ["Following", "Partition"]

QUEUED, QUEUED_BYTES = 4, 8 << 20
JOIN = 5.0


class _Control:
    """What the feed works under: the run's end ends it."""

    guard = None

    def __init__(self, mark: str, stopping: threading.Event) -> None:
        self.mark, self._stopping = mark, stopping

    def cancelled(self) -> bool:
        return self._stopping.is_set()

    def running(self, native_id: str) -> None: ...
    def ended(self, native_id: str) -> None: ...
    def working(self, said: str, fraction: float | None = None) -> None: ...


class Partition:
    """What is known of one, and what is to be done with what its feed says, whoever asks that. `incoming` has (rows,
    first, last, complete); a heartbeat has no rows. An error that is not of the way to the source ends it, and is
    raised where it is taken."""

    def __init__(
        self,
        found: Found,
        name: str,
        *,
        after: Position | None,
        now: bool,
        begin_anew: bool,
        shaped: Callable[[Any, Any], Any],
        log: Callable[[str], None],
        context: Context,
    ) -> None:
        self.name, self._found, self._after, self._now = name, found, after, now
        self._begin_anew, self._shaped, self._log = begin_anew, shaped, log
        self.incoming = Incoming(QUEUED, QUEUED_BYTES)
        self.incoming.wake = context.wake
        self.connected = self.reconnects = self.lost = 0
        self._chance, self._again = Random(context.random.random()), 0
        self.stopping = threading.Event()
        self._control = _Control(f"wb-feed-{context.task}-{abs(hash(name)) % 100_000}", self.stopping)
        self._confirm: Position | None = None
        self._left_out: set[str] = set()
        self._handed = self._skip = 0
        """Rows that were handed on behind `_after`, of what is not whole yet; and those of them that are still to come
        again, since it was subscribed to anew."""
        self._whole = True

    def confirm(self, upto: Position) -> None:
        """Told to the source by who reads, soon, and at the end."""
        self._confirm = upto

    def stop(self) -> None:
        self.stopping.set()
        self.incoming.close()

    # --- for who reads

    def subscribe(self) -> Feed:
        feeds = self._found.connector.feeds
        assert feeds is not None
        if self._now and self._after is None:
            self._after = feeds.now(self._found.table, self.name)
        self._skip = self._handed
        return feeds.subscribe(self._found.table, self.name, self._after, self._control)

    def queued(self, entry: Changes | SchemaChange | Heartbeat) -> tuple[Any, int] | None:
        """What is to be put into `incoming`, and its bytes."""
        self.connected, self._again = 1, 0
        if isinstance(entry, Changes):
            rows = self._shaped(entry.rows, entry.ops)
            again = min(self._skip, rows.num_rows)
            self._skip -= again
            self._handed += rows.num_rows - again
            self._whole = entry.complete and not self._skip
            if again < rows.num_rows:
                rows = rows.slice(again)
                return (rows, entry.first, entry.last, self._whole), rows.nbytes
            return ((None, entry.last, entry.last, True), 0) if self._whole else None
        if isinstance(entry, Heartbeat):
            return (None, entry.at, entry.at, True), 0
        self._note(entry)
        return None

    def taken(self, entry: Changes | SchemaChange | Heartbeat) -> None:
        """It is in the queue, so one goes on behind it."""
        if isinstance(entry, Heartbeat) or (isinstance(entry, Changes) and self._whole):
            self._after = entry.at if isinstance(entry, Heartbeat) else entry.last
            self._handed = self._skip = 0

    def confirmed(self, feed: Feed) -> None:
        upto, self._confirm = self._confirm, None
        if upto is not None:
            feed.confirm(upto)

    def rests(self, why: Exception) -> float | None:
        """Seconds until it is subscribed to again, after an error that passes; raises another one. None: at once."""
        if isinstance(why, PositionLost) and self._begin_anew:
            self.lost += 1
            self._log(f"partition {self.name}: {why} It begins anew, for lost='begin'.")
            self._after, self._now, self._handed = None, False, 0
            if not self._again:
                self._again = 1
                return None
            # It was lost again before anything came.
        elif not isinstance(why, Unreachable | ConnectionLost | SourceTimeout | UnknownTable):
            raise why
        first = not self.reconnects and self._after is None
        if isinstance(why, UnknownTable) and first:
            raise why
        self.connected = 0
        delay = min(BACKOFF_MOST, BACKOFF * 2.0 ** min(self._again, 20)) * self._chance.uniform(0.5, 1.0)
        self._again += 1
        self._log(f"partition {self.name}: {str(why).rstrip('.')}; again in {delay:.1f} s")
        return delay

    def ended(self, error: BaseException | None) -> None:
        self.connected = 0
        self.incoming.end(None if isinstance(error, Cancelled) and self.stopping.is_set() else error)

    def _note(self, change: SchemaChange) -> None:
        more = set(change.schema.names) - set(self._found.schema.names) - self._left_out
        if more:
            self._left_out |= more
            self._log(f"{self._found.table} has the new columns {', '.join(sorted(more))}, which this run leaves out")


class Following:
    """Reads one partition, by a thread of its own: its feed waits for what comes."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._feed: Feed | None = None
        name = f"workbench-feed-{partition.name}"
        self._thread = threading.Thread(target=self._main, name=name[:60], daemon=True)
        self._thread.start()

    def join(self) -> None:
        """The partition is stopped."""
        self._thread.join(JOIN)
        if self._thread.is_alive() and (feed := self._feed) is not None:
            feed.close()

    # --- in the thread

    def _main(self) -> None:
        partition = self._partition
        error: BaseException | None = None
        try:
            while not partition.stopping.is_set():
                try:
                    self._feed = feed = partition.subscribe()
                    self._follow(feed)
                except (SourceError, UnknownTable) as why:
                    if not partition.stopping.is_set() and (delay := partition.rests(why)) is not None:
                        partition.stopping.wait(delay)
                        partition.reconnects += 1
        except BaseException as raised:  # noqa: BLE001  # it is one of the spout's: the runner raises it
            error = raised
        finally:
            partition.ended(error)

    def _follow(self, feed: Feed) -> None:
        partition = self._partition
        try:
            for entry in feed:
                queued = partition.queued(entry)
                if queued is not None and not partition.incoming.put(*queued):
                    break
                partition.taken(entry)
                partition.confirmed(feed)
        finally:
            if partition.stopping.is_set():
                partition.confirmed(feed)
            feed.close()
