"""Topics as tables: which there are, what columns they have, and plans over their offsets."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import ProtocolError, UnknownColumn, UnknownTable, Unreachable, Unsupported
from workbench.contract.predicate import Applied, columns_of
from workbench.contract.scan import Control, ScanPlan, ScanRequest, Split, TableInfo, TableRef
from workbench.kit import records
from workbench.kit.like import like as fits
from workbench_kafka.decode import META, Shape, value_of
from workbench_kafka.faults import PASSING
from workbench_kafka.reader import KafkaReader

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_kafka.connector import KafkaConnector

__all__ = ["KafkaTables", "Topic"]

SAMPLE = 200
"""Messages of each partition that are looked at for columns, of the newest …"""
SAMPLED = 8
"""… in so many partitions."""
FRESH = 60.0
ASK = 5.0
"""Seconds for one answer of a partition's leader."""
SPLIT_MESSAGES = 5_000
WHO = "The Kafka connector"


@dataclass(frozen=True)
class Topic:
    """What the cluster says of a topic. `id` changes when it is deleted and made again."""

    name: str
    cluster: str
    id: str
    partitions: tuple[int, ...]

    @property
    def source(self) -> str:
        return f"kafka:{self.cluster}:{self.id}:{self.name}"


class KafkaTables:
    """See `workbench.contract.connector.Tables`."""

    def __init__(self, connector: KafkaConnector) -> None:
        self._connector = connector
        self._lock = threading.Lock()
        self._shapes: dict[str, tuple[float, str, Shape]] = {}

    def list(self, like: str = "", after: str | None = None, limit: int = 1000) -> Sequence[TableInfo]:
        match = fits(like)
        names = sorted(name for name in self.names() if match(name) and (after is None or name > after))
        return [TableInfo(TableRef(name), "topic") for name in names[:limit]]

    def schema(self, table: TableRef) -> pa.Schema:
        shape = self.shape(table, renew=True)
        if not shape.schema.names:
            told = f"`{table}` has no messages yet, so its columns are not known: write one, or say its `columns`."
            raise ProtocolError(told, self._connector.config.name)
        return shape.schema

    def native(self, text: str) -> ScanPlan:
        raise Unsupported(WHO, "run the source's own text", "Kafka has none: ask in SQL.")

    def plan(self, request: ScanRequest) -> ScanPlan:
        import pyarrow as pa

        shape, topic = self.shape(request.table), self.topic(request.table)
        used = [column.name for one in request.predicates for column in columns_of(one)]
        if not set(shape.schema.names).issuperset((*request.columns, *used)):  # it may be new
            shape = self.shape(request.table, renew=True)
        schema = shape.schema
        for name in (*request.columns, *used):
            if name not in schema.names:
                raise UnknownColumn(name, schema.names)
        names = list(dict.fromkeys((*request.columns, *used)))
        out = pa.schema([schema.field(name) for name in names])
        limit = request.limit if not request.predicates else None
        ranges = self._ranges(topic, 1 if limit is not None else request.splits)
        splits = tuple(
            Split(
                number,
                request.table,
                f"{topic.name}[{partition}] {first}…{end}",
                out,
                {"partition": partition, "first": first, "end": end, "limit": limit, "names": tuple(names),
                 "shape": (shape.form, shape.key, shape.kinds, shape.hide_meta), "id": topic.id},
                end - first,
            )
            for number, (partition, first, end) in enumerate(ranges)
        )  # fmt: skip
        return ScanPlan(
            request,
            splits,
            out,
            "\n".join(split.native_text for split in splits),
            dict.fromkeys(request.predicates, Applied.NONE),
            dict.fromkeys(request.predicates, "Kafka knows offsets only"),
            extra=len(names) - len(request.columns),
            estimate=sum(end - first for _, first, end in ranges),
            limit_applied=limit is not None and len(splits) == 1,
            notes=("The estimate counts offsets: fewer messages are there after compaction and transactions.",),
        )

    def read(self, split: Split, control: Control) -> KafkaReader:
        return KafkaReader(self._connector, split, control)

    # -- for the facets --------------------------------------------------------------------------------------------

    def names(self) -> Sequence[str]:
        """Without those of Kafka itself."""
        return [name for name in self._metadata().topics if not name.startswith("__")]

    def topic(self, table: TableRef) -> Topic:
        """Raises UnknownTable, Unreachable."""
        from confluent_kafka import TopicCollection

        clients = self._connector.clients
        with clients.admin() as (admin, said), clients.faults.named(said, str(table)):
            cluster = str(clients.metadata(admin, said).cluster_id)
            if table.schema is not None or not table.name:
                raise UnknownTable(str(table), self.names(), "Topics have no schemas.")
            try:
                found = admin.describe_topics(TopicCollection([table.name]), request_timeout=clients.seconds)[
                    table.name
                ]
                about = found.result(clients.seconds + 5)
            except UnknownTable:
                raise
            except Exception as error:
                if getattr(error.args[0] if error.args else None, "name", lambda: "")() in (
                    "UNKNOWN_TOPIC_OR_PART", "TOPIC_EXCEPTION", "INVALID_TOPIC_EXCEPTION", "_INVALID_ARG"
                ):  # fmt: skip
                    raise UnknownTable(table.name, self.names()) from None
                raise
        partitions = tuple(sorted(one.id for one in about.partitions))
        return Topic(table.name, cluster, str(about.topic_id), partitions)

    def shape(self, table: TableRef, renew: bool = False) -> Shape:
        topic = self.topic(table)
        with self._lock:
            known = self._shapes.get(table.name)
        if known is not None and not renew and known[1] == topic.id and time.monotonic() - known[0] < FRESH:
            return known[2]
        settings: Mapping[str, Any] = self._connector.config.tables.get(table.name, {})
        form, kinds = str(settings.get("format", "json")), dict(settings.get("columns", {}))
        if form == "json" and not settings.get("only"):
            kinds |= {name: kind for name, kind in self._sampled(topic).items() if name not in kinds}
        hide = bool(self._connector.config.parameters.get("hide_meta"))
        kinds = {name: kind for name, kind in kinds.items() if name not in META}
        shape = Shape(form, str(settings.get("key", "text")), kinds if form == "json" else {}, hide)
        with self._lock:
            self._shapes[table.name] = (time.monotonic(), topic.id, shape)
        return shape

    def forget(self, table: TableRef) -> None:
        """Its messages are others now."""
        with self._lock:
            self._shapes.pop(table.name, None)

    def watermarks(self, topic: Topic, partition: int) -> tuple[int, int]:
        """The first offset that is there, and the one after the last that was committed."""
        with self._consumer() as (consumer, said):
            return self._watermarks(consumer, said, topic, partition)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _metadata(self) -> Any:
        clients = self._connector.clients
        with clients.admin() as (admin, said), clients.faults.named(said):
            return clients.metadata(admin, said)

    @contextmanager
    def _consumer(self) -> Iterator[tuple[Any, Any]]:
        with self._connector.clients.consumer() as pair:
            yield pair

    def _watermarks(self, consumer: Any, said: Any, topic: Topic, partition: int) -> tuple[int, int]:
        from confluent_kafka import KafkaException, TopicPartition

        clients = self._connector.clients
        place = TopicPartition(topic.name, partition)
        until = time.monotonic() + clients.seconds
        with clients.faults.named(said, topic.name):
            while True:  # a broker that has just gone is another's to stand in for
                left = until - time.monotonic()
                try:
                    low, high = consumer.get_watermark_offsets(place, timeout=max(0.05, min(ASK, left)))
                    break
                except KafkaException as error:
                    name = error.args[0].name()
                    if left > 0 and said.refusal is None and name in (*PASSING, "_UNKNOWN_PARTITION"):
                        with contextlib.suppress(KafkaException):  # else it goes on asking the one that is gone
                            consumer.list_topics(topic.name, timeout=max(0.05, min(ASK, left)))
                        time.sleep(0.05)
                    elif name != "_UNKNOWN_PARTITION":
                        raise
                    else:  # the topic has it, and its broker is away
                        why = f"no broker leads {topic.name}[{partition}] just now"
                        raise Unreachable(clients.faults.where, why, clients.faults.connection) from None
        return int(low), int(high)

    def _ranges(self, topic: Topic, workers: int) -> Sequence[tuple[int, int, int]]:
        with self._consumer() as (consumer, said):
            whole = [(one, *self._watermarks(consumer, said, topic, one)) for one in topic.partitions]
        if workers <= 1:
            return whole
        total = sum(high - low for _, low, high in whole)
        size = max(SPLIT_MESSAGES, total // (workers * 4))
        cut = [
            (partition, first, min(high, first + size))
            for partition, low, high in whole
            for first in range(low, max(high, low + 1), size)
        ]
        return cut or whole

    def _sampled(self, topic: Topic) -> dict[str, str]:
        from confluent_kafka import TopicPartition

        clients, rows = self._connector.clients, list[dict[str, Any]]()
        with self._consumer() as (consumer, said):
            for partition in topic.partitions[:SAMPLED]:
                low, high = self._watermarks(consumer, said, topic, partition)
                with clients.faults.named(said, topic.name):
                    consumer.assign([TopicPartition(topic.name, partition, max(low, high - SAMPLE))])
                    rows += _newest(consumer, high, clients.seconds)
                    consumer.unassign()
        return records.sampled(rows)


def _newest(consumer: Any, end: int, seconds: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for message in consumer.consume(SAMPLE, 0.2):
            if message.error() is not None or message.offset() >= end:
                return found
            if (value := value_of(message.value())) is not None:
                found.append(value)
            if message.offset() >= end - 1:
                return found
    return found
