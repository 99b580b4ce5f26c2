"""The connector for Kafka: one connection's clients, and its facets."""

from __future__ import annotations

from workbench.contract.connector import ConnectionConfig, ServerInfo
from workbench.contract.errors import Unsupported
from workbench.kit.drivers import needed
from workbench_kafka.clients import Clients
from workbench_kafka.faults import Faults
from workbench_kafka.feeds import KafkaFeeds
from workbench_kafka.sinks import KafkaSinks
from workbench_kafka.topics import WHO, KafkaTables

__all__ = ["KafkaConnector"]


class KafkaConnector:
    """See `workbench.contract.connector.Connector`. Holds no connection: each piece of work has a client of its own."""

    def __init__(self, config: ConnectionConfig) -> None:
        needed("confluent_kafka", WHO, "kafka")
        given, password = config.parameters, config.secrets.get("password")
        self.config = config
        where = f"{given['host']}:{given.get('port', 9092)}"
        seconds = float(given.get("connect_timeout", 10))
        variable = password.variable if password is not None else ""
        self.clients = Clients(config, Faults(config.name, where, str(given.get("user", "")), seconds, variable))
        self._tables, self._feeds, self._sinks = KafkaTables(self), KafkaFeeds(self), KafkaSinks(self)

    @property
    def tables(self) -> KafkaTables:
        return self._tables

    @property
    def feeds(self) -> KafkaFeeds:
        return self._feeds

    @property
    def sinks(self) -> KafkaSinks:
        return self._sinks

    def test(self) -> ServerInfo:
        with self.clients.admin() as (admin, said), self.clients.faults.named(said):
            found = self.clients.metadata(admin, said)
        details = {
            "cluster": str(found.cluster_id),
            "brokers": str(len(found.brokers)),
            "topics": str(sum(not name.startswith("__") for name in found.topics)),
            "tls": str(self.config.parameters.get("tls", "disabled")),
        }
        return ServerInfo("Kafka", "of a version that it does not say", details)

    def cancel(self, native_id: str) -> None:
        raise Unsupported(WHO, "end work from outside", "Nothing runs at the brokers but fetches.")

    def close(self) -> None:
        """Nothing is held open."""
