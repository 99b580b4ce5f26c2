"""One partition of a feed, read by a thread of its own into a bounded queue."""

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
    SourceTimeout,
    UnknownTable,
    Unreachable,
)
from workbench.streams.receiving import BACKOFF, BACKOFF_MOST, Incoming

if TYPE_CHECKING:
    from workbench.catalog.catalog import Found
    from workbench.contract.connector import Feed
    from workbench.streams.component import Context

__all__ = ["Following"]

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


class Following:
    """`incoming` has (rows, first, last, complete); a heartbeat has no rows. An error that is not of the way to the
    source ends it, and is raised where it is taken."""

    def __init__(
        self,
        found: Found,
        partition: str,
        *,
        after: Position | None,
        now: bool,
        begin_anew: bool,
        shaped: Callable[[Any, Any], Any],
        log: Callable[[str], None],
        context: Context,
    ) -> None:
        self._found, self._partition, self._after, self._now = found, partition, after, now
        self._begin_anew, self._shaped, self._log = begin_anew, shaped, log
        self.incoming = Incoming(QUEUED, QUEUED_BYTES)
        self.incoming.wake = context.wake
        self.connected = self.reconnects = self.lost = 0
        self._chance, self._again = Random(context.random.random()), 0
        self._stopping = threading.Event()
        self._control = _Control(f"wb-feed-{context.task}-{abs(hash(partition)) % 100_000}", self._stopping)
        self._confirm: Position | None = None
        self._feed: Feed | None = None
        self._left_out: set[str] = set()
        name = f"workbench-feed-{partition}"
        self._thread = threading.Thread(target=self._main, name=name[:60], daemon=True)

    def start(self) -> None:
        self._thread.start()

    def confirm(self, upto: Position) -> None:
        """Told to the source by the thread, soon, and at the end."""
        self._confirm = upto

    def stop(self) -> None:
        self._stopping.set()
        self.incoming.close()

    def join(self) -> None:
        self._thread.join(JOIN)
        if self._thread.is_alive() and (feed := self._feed) is not None:
            feed.close()

    # --- in the thread

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            while not self._stopping.is_set():
                try:
                    self._read()
                except (Unreachable, ConnectionLost, SourceTimeout, UnknownTable) as why:
                    if isinstance(why, UnknownTable) and not self.reconnects and self._after is None:
                        raise
                    self._rest(why)
        except Cancelled as why:
            error = None if self._stopping.is_set() else why
        except BaseException as raised:  # noqa: BLE001  # it is one of the spout's: the runner raises it
            error = raised
        finally:
            self.connected = 0
            self.incoming.end(error)

    def _rest(self, why: Exception) -> None:
        if self._stopping.is_set():
            return
        self.connected = 0
        delay = min(BACKOFF_MOST, BACKOFF * 2.0 ** min(self._again, 20)) * self._chance.uniform(0.5, 1.0)
        self._again += 1
        self._log(f"partition {self._partition}: {str(why).rstrip('.')}; again in {delay:.1f} s")
        self._stopping.wait(delay)
        self.reconnects += 1

    def _read(self) -> None:
        feeds = self._found.connector.feeds
        assert feeds is not None
        if self._now and self._after is None:
            self._after = feeds.now(self._found.table, self._partition)
        try:
            self._feed = feed = feeds.subscribe(self._found.table, self._partition, self._after, self._control)
            self._follow(feed)
        except PositionLost as lost:
            if not self._begin_anew:
                raise
            self.lost += 1
            self._log(f"partition {self._partition}: {lost} It begins anew, for lost='begin'.")
            self._after, self._now = None, False
            if self._again:  # it was lost again before anything came
                self._rest(lost)
            else:
                self._again = 1

    def _follow(self, feed: Feed) -> None:
        try:
            for entry in feed:
                self.connected, self._again = 1, 0
                if isinstance(entry, Changes):
                    rows = self._shaped(entry.rows, entry.ops)
                    if not self.incoming.put((rows, entry.first, entry.last, entry.complete), rows.nbytes):
                        break
                    if entry.complete:
                        self._after = entry.last
                elif isinstance(entry, SchemaChange):
                    self._note(entry)
                elif isinstance(entry, Heartbeat):
                    self._after = entry.at
                    if not self.incoming.put((None, entry.at, entry.at, True)):
                        break
                self._confirmed(feed)
        finally:
            if self._stopping.is_set():
                self._confirmed(feed)
            feed.close()

    def _confirmed(self, feed: Feed) -> None:
        upto, self._confirm = self._confirm, None
        if upto is not None:
            feed.confirm(upto)

    def _note(self, change: SchemaChange) -> None:
        more = set(change.schema.names) - set(self._found.schema.names) - self._left_out
        if more:
            self._left_out |= more
            self._log(f"{self._found.table} has the new columns {', '.join(sorted(more))}, which this run leaves out")
