"""How long one waits for brokers that do not answer: librdkafka itself would wait for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench_kafka.faults import NO_TOPIC

if TYPE_CHECKING:
    from workbench_kafka.clients import Clients
    from workbench_kafka.faults import Said

__all__ = ["Patience"]

ASK = 1.0
"""Seconds between two questions to the partition's leader, and for its answer."""


class Patience:
    """`heard` after each look at one partition. Where something went wrong with a broker and nothing comes, its leader
    is asked whether it is there, for others may well be. Raises ConnectionLost, AuthenticationFailed when it was not
    reached for the connection's `connect_timeout`, and UnknownTable when the topic was deleted."""

    def __init__(
        self,
        clients: Clients,
        said: Said,
        consumer: Any,
        topic: str,
        partition: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients, self._said, self._clock = clients, said, clock
        self._consumer, self._topic, self._partition = consumer, topic, partition
        self._since: float | None = None
        self._asked = 0.0

    def heard(self, something: bool) -> None:
        if something:
            self._said.heard()
        if not self._said.trouble:
            self._since = None
            return
        if (gone := self._said.last(*NO_TOPIC)) is not None:
            raise self._clients.faults.of(gone, self._said, self._topic)
        now = self._clock()
        if self._since is None:
            self._since = self._asked = now  # it may be over at once
        if now - self._asked >= ASK and self._is_there():
            self._said.heard()
            return
        refused = self._said.down and self._said.refusal is not None
        if refused or self._clock() - self._since > self._clients.seconds:
            raise self._clients.faults.lost(self._said, f"{self._topic}[{self._partition}]")

    def _is_there(self) -> bool:
        import confluent_kafka

        try:
            place = confluent_kafka.TopicPartition(self._topic, self._partition)
            found = self._consumer.get_watermark_offsets(place, timeout=min(ASK, self._clients.seconds))
        except confluent_kafka.KafkaException:
            return False
        finally:
            self._asked = self._clock()
        return found is not None
