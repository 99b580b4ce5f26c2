"""Following a topic: a partition's messages from an offset on."""

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
from workbench_kafka.decode import Messages
from workbench_kafka.faults import REMEDY
from workbench_kafka.identity import Identity
from workbench_kafka.patience import Patience
from workbench_kafka.topics import Topic

if TYPE_CHECKING:
    from workbench_kafka.connector import KafkaConnector

__all__ = ["KafkaFeed", "KafkaFeeds"]

LOOK = 0.1
MESSAGES = 2_000
HEARTBEAT = 1.0


class KafkaFeeds:
    """See `workbench.contract.connector.Feeds`. A position's source is the cluster's id and the topic's, its value the
    offset of the next message."""

    def __init__(self, connector: KafkaConnector) -> None:
        self._connector = connector
        self.identity = Identity(connector)

    def partitions(self, table: TableRef) -> Sequence[str]:
        return [str(one) for one in self._connector.tables.topic(table).partitions]

    def subscribe(self, table: TableRef, partition: str, after: Position | None, control: Control) -> KafkaFeed:
        topic, number, start = self.begin(table, partition, after)
        return KafkaFeed(self._connector, table, topic, number, start, control)

    def begin(self, table: TableRef, partition: str, after: Position | None) -> tuple[Topic, int, int]:
        """The partition, and the offset from which on it is read. Raises PositionLost, with the reason."""
        topic, number = self._partition(table, partition)
        low, high = self._connector.tables.watermarks(topic, number)
        return topic, number, low if after is None else self._checked(topic, number, after, low, high)

    def now(self, table: TableRef, partition: str) -> Position:
        topic, number = self._partition(table, partition)
        return Position(topic.source, str(self._connector.tables.watermarks(topic, number)[1]))

    def reached(self, now: Position, mark: Position) -> bool:
        return int(now.value) >= int(mark.value)

    def _partition(self, table: TableRef, partition: str) -> tuple[Topic, int]:
        topic = self._connector.tables.topic(table)
        if not partition.isdecimal() or int(partition) not in topic.partitions:
            raise InvalidParameter("partition", f"is `{partition}`; `{table}` has 0 to {len(topic.partitions) - 1}.")
        return topic, int(partition)

    def _checked(self, topic: Topic, partition: int, after: Position, low: int, high: int) -> int:
        shown = f"{after.value[:40]} of {topic.name}[{partition}]"
        name = self._connector.config.name
        if after.source != topic.source:
            cluster, there = _parts(after.source)
            if cluster != topic.cluster:
                why = f"It is of another cluster ({cluster or 'none'}, and this is {topic.cluster})."
            else:
                why = _made_again(there, topic.id)
            raise PositionLost(shown, f"{why} {REMEDY}", name)
        if not after.value.isdecimal():
            raise PositionLost(shown, f"It is no offset. {REMEDY}", name)
        offset = int(after.value)
        if offset < low:
            why = f"Retention has passed: the first message that is left is {low}, so {low - offset:,} are gone."
            raise PositionLost(shown, f"{why} {REMEDY}", name)
        if offset > high:
            why = f"The partition ends before, at {high}: its end was lost, or it was restored from an older copy."
            raise PositionLost(shown, f"{why} {REMEDY}", name)
        return offset


def _made_again(before: str, now: str) -> str:
    return f"The topic was deleted and made again since (its id was {before}, and is {now})."


def _parts(source: str) -> tuple[str, str]:
    """The cluster's id and the topic's."""
    parts = source.split(":", 3)
    return (parts[1], parts[2]) if len(parts) == 4 and parts[0] == "kafka" else ("", "")


class KafkaFeed:
    """See `workbench.contract.connector.Feed`."""

    def __init__(
        self, connector: KafkaConnector, table: TableRef, topic: Topic, partition: int, start: int, control: Control
    ) -> None:
        from confluent_kafka import TopicPartition

        self._connector, self._table, self._topic, self._partition = connector, table, topic, partition
        self._at, self._control = start, control
        self._messages = Messages(connector.tables.shape(table))
        settings = connector.config.tables.get(table.name, {})
        self._fixed = self._messages.shape.form != "json" or bool(settings.get("only"))
        self._waiting: deque[Changes | SchemaChange] = deque()
        self._turn, self._closed = threading.Lock(), threading.Event()
        self._beat, self._began = 0.0, time.monotonic()
        clients = connector.clients
        self._consumer, self._said = clients.open_consumer()
        connector.feeds.identity.began()
        self._patience = Patience(clients, self._said, self._consumer, topic.name, partition)
        try:
            with clients.faults.named(self._said, topic.name):
                self._consumer.assign([TopicPartition(topic.name, partition, start)])
        except BaseException:
            self._end()
            raise

    def __iter__(self) -> KafkaFeed:
        return self

    def __next__(self) -> Changes | SchemaChange | Heartbeat:
        with self._turn:
            while not self._closed.is_set():
                if self._control.cancelled():
                    raise Cancelled("The feed")
                if self._waiting:
                    return self._waiting.popleft()
                with self._connector.clients.faults.named(self._said, self._topic.name):
                    got = self._consumer.consume(MESSAGES, LOOK)
                self._is_the_same()
                quiet = self._take(got)
                self._patience.heard(bool(got))
                if quiet and not self._waiting and not self._said.trouble and (beat := self._heartbeat()) is not None:
                    return beat
            self._end()
            raise StopIteration

    def confirm(self, upto: Position) -> None:
        """Kept in the connection's `group`, for others to see; Kafka forgets by time and size only."""
        from confluent_kafka import TopicPartition

        if self._connector.config.parameters.get("group") and not self._closed.is_set():
            place = TopicPartition(self._topic.name, self._partition, int(upto.value))
            with self._connector.clients.faults.named(self._said, self._topic.name):
                self._consumer.commit(offsets=[place], asynchronous=False)

    def close(self) -> None:
        self._closed.set()
        if self._turn.acquire(blocking=False):  # else who waits sees it, and ends it
            try:
                self._end()
            finally:
                self._turn.release()

    # -- inside ----------------------------------------------------------------------------------------------------

    _over = False
    _end_at = -1
    """The offset behind the last message, once that was reached."""

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._connector.feeds.identity.ended()
            self._connector.clients.close(self._consumer)

    def _is_the_same(self) -> None:
        if now := self._connector.feeds.identity.other(self._topic, self._began):
            shown = f"{self._at} of {self._topic.name}[{self._partition}]"
            raise PositionLost(shown, f"{_made_again(self._topic.id, now)} {REMEDY}", self._connector.config.name)

    def _position(self, offset: int) -> Position:
        return Position(self._topic.source, str(offset))

    def _take(self, got: list[Any]) -> bool:
        """Whether all that there is has been taken."""
        messages: list[Any] = []
        for message in got:
            error = message.error()
            if error is None:
                messages.append(message)
                self._end_at = -1
            elif error.name() == "_PARTITION_EOF":
                self._end_at = message.offset()
            elif not error.retriable():
                raise self._refused(error)
        if messages:
            self._say(messages)
        self._at = max(self._at, self._end_at)  # behind markers of transactions, too
        return self._end_at >= 0

    def _refused(self, error: Any) -> Exception:
        found = self._connector.clients.faults.of(error, self._said, self._topic.name)
        if isinstance(found, PositionLost):
            self._connector.feeds.begin(self._table, str(self._partition), self._position(self._at))  # says why
            shown = f"{self._at} of {self._topic.name}[{self._partition}]"
            return PositionLost(shown, f"Retention has overtaken the reader. {REMEDY}", self._connector.config.name)
        return found

    def _say(self, messages: list[Any]) -> None:
        first, self._at = self._position(self._at), messages[-1].offset() + 1
        last = self._position(self._at)
        objects = self._messages.objects(messages)
        if not self._fixed:
            shape = self._messages.shape.widened(objects)
            if shape is not self._messages.shape:
                self._messages.shape = shape
                self._waiting.append(SchemaChange(self._table, shape.schema, first))
        parts = list(pieces(self._messages.batch(messages, objects)))
        for number, part in enumerate(parts):
            whole = number == len(parts) - 1
            self._waiting.append(Changes(self._table, part, None, first, last if whole else first, whole))
        self._beat = 0.0

    def _heartbeat(self) -> Heartbeat | None:
        now = time.monotonic()
        if now - self._beat < HEARTBEAT:
            return None
        self._beat = now
        return Heartbeat(self._position(self._at))
