"""Following a stream: its entries from an id on."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.change import Changes, Heartbeat, Position, SchemaChange
from workbench.contract.errors import Cancelled, InvalidParameter, PositionLost
from workbench.contract.scan import Control, TableRef
from workbench.kit.batches import pieces
from workbench_redis.entries import ordered
from workbench_redis.streams import About

if TYPE_CHECKING:
    from workbench_redis.connector import RedisConnector

__all__ = ["RedisFeed", "RedisFeeds"]

PAGE = 1_000
LOOK = 0.2
HEARTBEAT = 1.0
REMEDY = (
    "Follow the stream from the beginning (after=None), which gives all that it still has, and load what is missing "
    "from elsewhere; or trim it less (MAXLEN, MINID)."
)


class RedisFeeds:
    """See `workbench.contract.connector.Feeds`. A stream is one partition, `0`. A position's value is the id of the
    last entry, and how many entries the stream had had up to it: so it is known whether any was trimmed behind it.
    Then, where entries farther on were deleted before it was followed, the greatest id of these: they are no loss."""

    def __init__(self, connector: RedisConnector) -> None:
        self._connector = connector

    def partitions(self, table: TableRef) -> Sequence[str]:
        self._connector.tables.about(table)
        return ("0",)

    def subscribe(self, table: TableRef, partition: str, after: Position | None, control: Control) -> RedisFeed:
        about = self._about(table, partition)
        if after is None:
            return RedisFeed(self._connector, table, "0-0", about.added - about.length, about.deleted, control)
        name = self._connector.config.name
        if after.source != self.source(table):
            raise PositionLost(f"of {after.source} in {self.source(table)}", f"It is another stream's. {REMEDY}", name)
        try:
            entry, count, *deleted = after.value.split(" ")
            known = deleted[0] if deleted else "0-0"
            ordered(entry), ordered(known)
            number = int(count)
        except ValueError:
            raise PositionLost(after.value[:60], f"It is no place in a stream. {REMEDY}", name) from None
        if why := missing(about, entry, number, known):
            raise PositionLost(f"{entry} of {table}", f"{why} {REMEDY}", name)
        return RedisFeed(self._connector, table, entry, number, known, control)

    def now(self, table: TableRef, partition: str) -> Position:
        about = self._about(table, partition)
        return Position(self.source(table), f"{about.last} {about.added}")

    def reached(self, now: Position, mark: Position) -> bool:
        mine, theirs = (ordered(one.value.partition(" ")[0]) for one in (now, mark))
        return mine >= theirs

    def source(self, table: TableRef) -> str:
        return f"redis:{self._connector.config.parameters.get('database') or 0}:{table.name}"

    def _about(self, table: TableRef, partition: str) -> About:
        about = self._connector.tables.about(table)
        if partition != "0":
            raise InvalidParameter("partition", f"is `{partition}`; a stream has one, `0`.")
        return about


def missing(about: About, entry: str, number: int, known: str = "0-0") -> str:
    """Why entries after the `number`-th one, with the id `entry`, are not all there; empty where they are. Those up to
    `known` that were deleted were so before anybody followed."""
    if ordered(about.last) < ordered(entry):
        return f"The stream ends before, at {about.last}: it was deleted and made again, or is of an older copy."
    if ordered(about.deleted) > max(ordered(entry), ordered(known)):
        return f"Entries after it were deleted, up to {about.deleted}."
    behind = not about.first or ordered(about.first) > ordered(entry)
    trimmed = about.added - about.length - number
    if about.counts and (about.added < number or (behind and trimmed < 0)):  # what is gone is less than was read
        told = f"it has had {about.added:,} entries, and {number:,} were there up to {entry}"
        return f"The stream was deleted and made again since: {told}. What the one before had got meanwhile is gone."
    if behind and trimmed > 0:
        return f"The stream was trimmed: {trimmed:,} entries after it are gone."
    return ""


class RedisFeed:
    """See `workbench.contract.connector.Feed`."""

    def __init__(
        self, connector: RedisConnector, table: TableRef, after: str, number: int, known: str, control: Control
    ) -> None:
        self._connector, self._table, self._control = connector, table, control
        self._after, self._number, self._known = after, number, known
        self._entries = connector.tables.entries(table)
        self._fixed = connector.tables.fixed(table)
        self._client = connector.opened()
        self._waiting: deque[Changes | SchemaChange] = deque()
        self._turn, self._closed = threading.Lock(), threading.Event()
        self._beat, self._begun = 0.0, False

    def __iter__(self) -> RedisFeed:
        return self

    def __next__(self) -> Changes | SchemaChange | Heartbeat:
        with self._turn:
            while not self._closed.is_set():
                if self._control.cancelled():
                    raise Cancelled("The feed")
                if self._waiting:
                    return self._waiting.popleft()
                if self._take():
                    continue
                now = time.monotonic()
                if now - self._beat >= HEARTBEAT:
                    self._beat = now
                    return Heartbeat(self._at())
                self._wait()
            self._client.close()
            raise StopIteration

    def confirm(self, upto: Position) -> None:
        """Kept in the connection's `group`, for others to see; Redis forgets by trimming only."""
        group = self._connector.config.parameters.get("group")
        if not group or self._closed.is_set():
            return
        import redis.exceptions

        entry, count, *_ = upto.value.split(" ")
        with self._connector.faults.named(self._table.name, True):
            try:
                self._client.execute_command("XGROUP SETID", self._table.name, group, entry, "ENTRIESREAD", count)
            except redis.exceptions.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                command = ("XGROUP CREATE", self._table.name, group, entry, "ENTRIESREAD", count)
                self._client.execute_command(*command)

    def close(self) -> None:
        self._closed.set()
        if self._turn.acquire(blocking=False):  # else who waits sees it
            try:
                self._client.close()
            finally:
                self._turn.release()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _at(self) -> Position:
        ahead = f" {self._known}" if ordered(self._known) > ordered(self._after) else ""
        return Position(self._connector.feeds.source(self._table), f"{self._after} {self._number}{ahead}")

    def _take(self) -> bool:
        """Whether there was something. That nothing was trimmed before it is seen in the same transaction."""
        name = self._table.name
        with self._connector.faults.named(name, self._begun), self._client.pipeline(transaction=True) as both:
            both.execute_command("XINFO STREAM", name)
            both.xrange(name, f"({self._after}", "+", PAGE)
            found, page = both.execute()
        self._begun = True
        if why := missing(About.of(found), self._after, self._number, self._known):
            raise PositionLost(f"{self._after} of {name}", f"{why} {REMEDY}", self._connector.config.name)
        if page:
            self._say(page)
        return bool(page)

    def _say(self, page: list[Any]) -> None:
        first = self._at()
        self._after, self._number = page[-1][0].decode(), self._number + len(page)
        last = self._at()
        if not self._fixed and self._entries.widened(page):
            self._waiting.append(SchemaChange(self._table, self._entries.schema, first))
        parts = list(pieces(self._entries.batch(page)))
        for number, part in enumerate(parts):
            whole = number == len(parts) - 1
            self._waiting.append(Changes(self._table, part, None, first, last if whole else first, whole))
        self._beat = 0.0

    def _wait(self) -> None:
        """Until something comes, or a moment has passed."""
        with self._connector.faults.named(self._table.name, True):
            self._client.xread({self._table.name: self._after}, count=1, block=int(LOOK * 1000))
