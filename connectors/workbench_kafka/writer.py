"""Writing a topic: rows are kept until they are committed, then sent in one transaction."""

from __future__ import annotations

import base64
import datetime
import decimal
import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from workbench.contract.change import Changes, Guarantee, Position, Rejects, WriteSpec
from workbench.contract.errors import ConnectionLost, InvalidParameter, LimitExceeded, QueryFailed
from workbench.contract.scan import TableRef
from workbench.kit.operations import operations
from workbench_kafka.decode import META

if TYPE_CHECKING:
    from workbench_kafka.connector import KafkaConnector

__all__ = ["KafkaWriter"]

MOST_BYTES = 256 << 20
"""Of rows that wait for their commit."""
METADATA_BYTES = 4000
"""Of a position: the broker's limit is 4096."""


class KafkaWriter:
    """See `workbench.contract.connector.Writer`.

    All rows of a commit are in one transaction: readers of what is committed see all or none. With a `stream` the
    position is committed in the same transaction, as the offset of a group of that name, whose metadata it is; a new
    writer of the stream fences off an older one.
    """

    def __init__(self, connector: KafkaConnector, table: TableRef, spec: WriteSpec, guarantee: Guarantee) -> None:
        self._connector, self._table, self._spec, self._guarantee = connector, table, spec, guarantee
        own = f"{spec.stream}\0{table.name}" if spec.stream else secrets.token_hex(8)
        self._name = f"workbench-{hashlib.sha256(own.encode()).hexdigest()[:24]}"
        self._kept: list[tuple[bytes | None, bytes | None]] = []
        self._bytes = 0
        self._sequence: int | None = None
        self._rejects = Rejects()
        self._producer: Any = None
        self._said: Any = None
        self._open, self._broken = True, False

    @property
    def guarantee(self) -> Guarantee:
        return self._guarantee

    def position(self) -> Position | None:
        if not self._spec.stream:
            return None
        from confluent_kafka import TopicPartition

        self._begin()  # ends a transaction that another writer of the stream has left open
        clients = self._connector.clients
        with clients.consumer(**{"group.id": self._name}) as (consumer, said), clients.faults.named(said):
            (found,) = consumer.committed([TopicPartition(self._table.name, 0)], timeout=clients.seconds)
        if not found.metadata:
            return None
        source, value = json.loads(found.metadata)
        return Position(source, value)

    def write(self, changes: Changes, sequence: int) -> Rejects:
        self._usable()
        if self._sequence is not None and sequence <= self._sequence:
            return self._rejects if sequence == self._sequence else Rejects()
        if changes.rows.schema.names != self._spec.schema.names:
            raise InvalidParameter("changes", f"have other columns than `{self._table}` was opened with")
        if own := [name for name in META if name in self._spec.schema.names]:
            raise InvalidParameter("schema", f"has `{own[0]}`, which Kafka gives each message itself: leave it out")
        refused: list[str] = []
        for row, operation in zip(changes.rows.to_pylist(), operations(changes, self._spec), strict=True):
            values = [row[name] for name in self._spec.key]
            if self._spec.key and any(value is None for value in values):
                refused.append("NULL in its key")
                continue
            try:
                key = _key(values) if values else None
                body = None if operation == "delete" else _json({n: v for n, v in row.items() if v is not None} or row)
            except ValueError:
                refused.append("NaN, infinity or half a character in it, which JSON has not")
                continue
            self._kept.append((key, body))
            self._bytes += len(key or b"") + len(body or b"")
            if self._bytes > MOST_BYTES:
                raise LimitExceeded("bytes", f"{MOST_BYTES:,} of rows before a commit", "Commit more often.")
        self._sequence, self._rejects = sequence, Rejects(len(refused), tuple(refused[:5]))
        return self._rejects

    def commit(self, upto: Position | None) -> None:
        import confluent_kafka

        self._usable()
        if not self._kept and (upto is None or not self._spec.stream):
            return
        self._broken = True
        self._begin()
        producer, clients = self._producer, self._connector.clients
        try:
            producer.begin_transaction()
            failed = self._send()
            if failed:
                producer.abort_transaction(clients.seconds)
                told = f"{len(failed):,} of {len(self._kept):,} rows were refused ({failed[0]}); none is there"
                raise QueryFailed(told, "", "", self._connector.config.name)
            if upto is not None and self._spec.stream:
                self._keep(upto)
            producer.commit_transaction(max(clients.seconds, 30))
        except confluent_kafka.KafkaException as error:
            raise self._lost(error.args[0]) from None
        self._kept, self._bytes, self._broken = [], 0, False
        self._connector.tables.forget(self._table)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._kept = []
        if self._producer is not None:
            self._producer = None
            self._connector.clients.done()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _usable(self) -> None:
        if not self._open or self._broken:
            raise ConnectionLost("The write failed before, or was closed; open it again.", self._connector.config.name)

    def _begin(self) -> None:
        if self._producer is not None:
            return
        clients = self._connector.clients
        made, self._said = clients.open_producer(**{"transactional.id": self._name, "transaction.timeout.ms": 60_000})
        self._producer = made
        with clients.faults.named(self._said, self._table.name):
            made.init_transactions(max(clients.seconds, 5))

    def _send(self) -> list[str]:
        failed: list[str] = []

        def told(error: Any, message: Any) -> None:
            if error is not None:
                failed.append(str(error.str()))

        for key, body in self._kept:
            while True:
                try:
                    self._producer.produce(self._table.name, body, key, on_delivery=told)
                    break
                except BufferError:  # full: what is on its way goes first
                    self._producer.poll(0.1)
            self._producer.poll(0)
        until = time.monotonic() + max(self._connector.clients.seconds, 5) * 3 + 5
        while self._producer.flush(0.2) and not failed:
            if time.monotonic() > until:
                failed.append("no broker took them in time")
        return failed

    def _keep(self, upto: Position) -> None:
        from confluent_kafka import TopicPartition

        text = json.dumps([upto.source, upto.value], ensure_ascii=True)
        if len(text) > METADATA_BYTES:
            raise InvalidParameter("upto", f"is a position of {len(text):,} letters; a topic keeps {METADATA_BYTES:,}")
        clients = self._connector.clients
        place = TopicPartition(self._table.name, 0, int(self._sequence or 0) + 1, metadata=text)
        with clients.consumer(**{"group.id": self._name}) as (consumer, _):
            self._producer.send_offsets_to_transaction([place], consumer.consumer_group_metadata(), clients.seconds)

    def _lost(self, error: Any) -> Exception:
        faults = self._connector.clients.faults
        if error.name() in ("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"):
            told = "Another writer of this stream has taken over; nothing of this commit is there."
            return QueryFailed(told, error.name(), "", self._connector.config.name)
        found = faults.of(error, self._said, self._table.name)
        keeps = self._guarantee is Guarantee.TRANSACTIONAL
        again = "Open it again: its position says whether they are there." if keeps else "Look before you write again."
        told = f"Of the commit of {len(self._kept):,} rows nobody knows whether it was done ({found}). {again}"
        return ConnectionLost(told, self._connector.config.name)


def _key(values: list[Any]) -> bytes:
    if len(values) == 1 and isinstance(values[0], str | bytes):
        return values[0].encode() if isinstance(values[0], str) else values[0]
    return _json(values[0] if len(values) == 1 else values)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value)
