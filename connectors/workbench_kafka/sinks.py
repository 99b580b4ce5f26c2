"""Opening a topic for writing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workbench.contract.change import Guarantee, WriteSpec
from workbench.contract.errors import InvalidParameter, StatementRefused, UnknownTable, Unsupported
from workbench.contract.scan import TableRef
from workbench.kit import records
from workbench_kafka.decode import META
from workbench_kafka.writer import KafkaWriter

if TYPE_CHECKING:
    from workbench_kafka.connector import KafkaConnector

__all__ = ["KafkaSinks"]


class KafkaSinks:
    """See `workbench.contract.connector.Sinks`. A row is a message: an object of JSON, with the values of the `key` as
    the message's key. With a `stream` its position is kept in the transaction of its rows."""

    def __init__(self, connector: KafkaConnector) -> None:
        self._connector = connector

    def open(self, table: TableRef, spec: WriteSpec) -> KafkaWriter:
        connector = self._connector
        if not connector.config.writable:
            raise StatementRefused("Writing", f"`{connector.config.name}` is read-only; connect with writable=True")
        if spec.mode != "insert":
            raise Unsupported("The Kafka connector", f"write in mode `{spec.mode}`", "A topic only takes inserts.")
        form = connector.config.tables.get(table.name, {}).get("format", "json")
        if form != "json":
            raise Unsupported("The Kafka connector", f"write messages of the format `{form}`", "It writes JSON.")
        try:
            connector.tables.topic(table)
        except UnknownTable:
            if not spec.create:
                raise
            self._make(table)
        self._check(table, spec)
        compacted = bool(spec.key) and not spec.stream and self._is_compacted(table)
        usual = Guarantee.KEYED if compacted else Guarantee.APPEND
        return KafkaWriter(connector, table, spec, Guarantee.TRANSACTIONAL if spec.stream else usual)

    def _check(self, table: TableRef, spec: WriteSpec) -> None:
        import pyarrow.types as pt

        for name in spec.key:
            if name not in spec.schema.names:
                raise InvalidParameter("key", f"names `{name}`, which is not among the columns")
        there = self._connector.tables.shape(table).kinds
        for column in spec.schema:
            if column.name in META and column.name not in there:
                continue  # as the table is read; its writer refuses them when it has rows
            if there and column.name not in there:
                told = f"has the column `{column.name}`; messages of `{table}` have {', '.join(there)}"
                raise InvalidParameter("schema", told)
            kind = there.get(column.name)
            whole = pt.is_integer(column.type)
            if kind in ("integer", "double", "boolean") and not (whole or records.arrow(kind) == column.type):
                raise InvalidParameter("schema", f"has `{column.name}` as {column.type}, which is {kind} there")

    def _make(self, table: TableRef) -> None:
        from confluent_kafka.admin import NewTopic

        clients = self._connector.clients
        with clients.admin() as (admin, said), clients.faults.named(said, table.name):
            wanted = NewTopic(table.name, 1, -1)
            admin.create_topics([wanted], operation_timeout=clients.seconds)[table.name].result(clients.seconds + 5)
        until = time.monotonic() + clients.seconds
        while True:  # the brokers know it a little later
            try:
                self._connector.tables.topic(table)
                return
            except UnknownTable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def _is_compacted(self, table: TableRef) -> bool:
        from confluent_kafka.admin import ConfigResource

        clients = self._connector.clients
        with clients.admin() as (admin, said), clients.faults.named(said, table.name):
            resource = ConfigResource(ConfigResource.Type.TOPIC, table.name)
            found = admin.describe_configs([resource], request_timeout=clients.seconds)[resource].result(
                clients.seconds + 5
            )
        return "compact" in str(found["cleanup.policy"].value)
