"""One split's messages: a range of offsets of a partition."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import PositionLost, SnapshotChanged
from workbench.contract.scan import Control, Split
from workbench.kit.batches import pieces, rows_only
from workbench.kit.reading import GeneratedReader
from workbench_kafka.decode import Messages, Shape
from workbench_kafka.patience import Patience

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_kafka.connector import KafkaConnector

__all__ = ["KafkaReader"]

LOOK = 0.05
MESSAGES = 5_000


class KafkaReader(GeneratedReader):
    """See `workbench.contract.scan.Reader`."""

    def __init__(self, connector: KafkaConnector, split: Split, control: Control) -> None:
        self._connector, state = connector, split.state
        self._messages = Messages(Shape(*state["shape"]), state["names"])
        super().__init__(split, control)

    @property
    def lost(self) -> Mapping[str, int]:
        return dict(self._messages.lost)

    def _all(self) -> Generator[pa.RecordBatch, None, None]:
        from confluent_kafka import TopicPartition

        state, clients = self._split.state, self._connector.clients
        at, end, left = int(state["first"]), int(state["end"]), state["limit"]
        if at >= end or left == 0:
            return
        self._is_the_same()
        name, partition = self._split.table.name, int(state["partition"])
        with clients.consumer() as (consumer, said):
            patience = Patience(clients, said, consumer, name, partition)
            with clients.faults.named(said, name):
                consumer.assign([TopicPartition(name, partition, at)])
            while at < end and left != 0:
                self._check()
                with clients.faults.named(said, name):
                    got = consumer.consume(MESSAGES, LOOK)
                messages, over = self._good(got, end, said)
                patience.heard(bool(got))
                if messages:
                    at = messages[-1].offset() + 1
                    if left is not None:
                        messages = messages[:left]
                        left -= len(messages)
                    yield from self._rows(messages)
                if over:
                    return

    def _good(self, got: list[Any], end: int, said: Any) -> tuple[list[Any], bool]:
        """Those of the range, and whether it is at its end."""
        messages: list[Any] = []
        for message in got:
            error = message.error()
            if error is None and message.offset() < end:
                messages.append(message)
                self._received += len(message)
            elif error is None or error.name() == "_PARTITION_EOF":
                return messages, True
            elif error.name() in ("OFFSET_OUT_OF_RANGE", "_AUTO_OFFSET_RESET"):
                raise SnapshotChanged(self._split.table.name, "messages have expired", self._connector.config.name)
            elif not error.retriable():
                found = self._connector.clients.faults.of(error, said, self._split.table.name)
                raise self._changed() if isinstance(found, PositionLost) else found
        return messages, False

    def _rows(self, messages: list[Any]) -> Generator[pa.RecordBatch, None, None]:
        if not self._split.schema.names:
            yield from rows_only(len(messages))
            return
        for part in pieces(self._messages.batch(messages, self._messages.objects(messages))):
            yield part
            self._check()

    def _is_the_same(self) -> None:
        if self._connector.tables.topic(self._split.table).id != self._split.state["id"]:
            raise self._changed()

    def _changed(self) -> SnapshotChanged:
        return SnapshotChanged(self._split.table.name, "it was deleted and made again", self._connector.config.name)
