"""Whether a topic that is followed is still the one that it was. librdkafka goes on with another one of the same name
at the same offset, and says nothing: what the new one has before it would be left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import LimitExceeded, SourceError

if TYPE_CHECKING:
    from workbench_kafka.connector import KafkaConnector
    from workbench_kafka.topics import Topic

__all__ = ["Identity"]

EVERY = 2.0
"""Seconds between two questions about a topic, whoever follows how many of its partitions."""
SURE = 2
"""Answers in a row that must say it: a broker that has just started may know the old one."""


class Identity:
    """Asks beside the work, by one client for the connection, and says what was answered last."""

    def __init__(self, connector: KafkaConnector, clock: Callable[[], float] = time.monotonic) -> None:
        self._connector, self._clock = connector, clock
        self._lock = threading.Lock()
        self._users = 0
        self._opened: Any = None
        self._admin: Any = None
        self._topics: dict[str, _Asked] = {}

    def began(self) -> None:
        """Somebody follows."""
        with self._lock:
            self._users += 1

    def ended(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._opened is not None:
                self._opened.__exit__(None, None, None)
                self._opened = self._admin = None
                self._topics.clear()

    def other(self, topic: Topic, since: float) -> str:
        """The id that the topic of this name has by now, where it is another one; of answers to what was asked after
        `since` alone. Does not wait."""
        with self._lock:
            asked = self._topics.setdefault(topic.name, _Asked())
            asked.take()
            if asked.answer is None and self._clock() - asked.at >= EVERY:
                asked.at, asked.answer = self._clock(), self._ask(topic.name)
            last = [found for at, found in asked.found if at >= since]
        return last[-1] if len(last) == SURE and len({*last, topic.id}) == 2 and topic.id not in last else ""

    def _ask(self, name: str) -> Any:
        """A future. None where there is no client to be had."""
        from confluent_kafka import TopicCollection

        if self._admin is None:
            opened = self._connector.clients.admin()
            try:
                self._admin, _ = opened.__enter__()
            except (LimitExceeded, SourceError):
                return None
            self._opened = opened
        seconds = self._connector.clients.seconds
        return self._admin.describe_topics(TopicCollection([name]), request_timeout=seconds)[name]


class _Asked:
    """One topic: when it was asked about, the answer that is awaited, and the last ones with their times."""

    def __init__(self) -> None:
        self.at = float("-inf")
        self.answer: Any = None
        self.found: list[tuple[float, str]] = []

    def take(self) -> None:
        if self.answer is None or not self.answer.done():
            return
        answer, self.answer = self.answer, None
        if answer.exception() is None:  # of a topic that is not there, or brokers that do not answer, others say so
            self.found = [*self.found, (self.at, str(answer.result().topic_id))][-SURE:]
