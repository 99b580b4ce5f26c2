"""Clients of librdkafka for one connection: their settings, bounded in memory, threads and words."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workbench.contract.connector import ConnectionConfig
from workbench.contract.errors import LimitExceeded, UrlRefused
from workbench.kit.hosts import metadata
from workbench.kit.tls import Encryption
from workbench_kafka.faults import Faults, Said

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient

__all__ = ["Clients"]

CLIENTS = 128
"""At once, for one connection: each has some threads of its own."""
FETCH_KB, FETCH_BYTES = 8 << 10, 1 << 20
"""What a consumer reads ahead."""

LOOK = 0.5

_log = logging.getLogger("workbench_kafka")
_log.addHandler(logging.NullHandler())
_log.propagate = False


class Clients:
    def __init__(self, config: ConnectionConfig, faults: Faults) -> None:
        self._config, self.faults = config, faults
        self.seconds = float(config.parameters.get("connect_timeout", 10))
        self._lock = threading.Lock()
        self._open = 0

    @contextmanager
    def consumer(self, **more: Any) -> Iterator[tuple[Consumer, Said]]:
        """Reads what was committed, from where it is told to, and never anywhere else."""
        consumer, said = self.open_consumer(**more)
        try:
            yield consumer, said
        finally:
            self.close(consumer)

    def open_consumer(self, **more: Any) -> tuple[Consumer, Said]:
        import confluent_kafka

        said = Said()
        settings = {
            **self._settings(),
            "group.id": str(self._config.parameters.get("group") or "workbench-nobody"),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            "queued.max.messages.kbytes": FETCH_KB,
            "fetch.message.max.bytes": FETCH_BYTES,
            "fetch.wait.max.ms": 100,
            "topic.metadata.propagation.max.ms": 5000,
            "error_cb": said,
            **more,
        }
        with self._counted(), self.faults.named(said):
            return confluent_kafka.Consumer(settings, logger=_log), said

    @contextmanager
    def producer(self, **more: Any) -> Iterator[tuple[Producer, Said]]:
        producer, said = self.open_producer(**more)
        try:
            yield producer, said
        finally:
            self.done()

    def open_producer(self, **more: Any) -> tuple[Producer, Said]:
        import confluent_kafka

        said = Said()
        settings = {
            **self._settings(),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "message.timeout.ms": int(max(self.seconds, 5) * 3000),
            "error_cb": said,
            **more,
        }
        with self._counted(), self.faults.named(said):
            return confluent_kafka.Producer(settings, logger=_log), said

    @contextmanager
    def admin(self) -> Iterator[tuple[AdminClient, Said]]:
        from confluent_kafka.admin import AdminClient

        said = Said()
        with self._counted(), self.faults.named(said):
            settings: dict[str, Any] = {**self._settings(), "error_cb": said}
            admin = AdminClient(settings, logger=_log)
        try:
            yield admin, said
        finally:
            self.done()

    def metadata(self, admin: AdminClient, said: Said) -> Any:
        """All that the cluster says of itself. A refusal ends it at once: who asked again and again with a wrong
        password would be locked out."""
        import confluent_kafka

        until = time.monotonic() + self.seconds
        while True:
            left = until - time.monotonic()
            try:
                return admin.list_topics(timeout=max(0.05, min(LOOK, left)))
            except confluent_kafka.KafkaException as error:
                admin.poll(0)  # has it say what went wrong
                again = error.args[0].name() in ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN")
                if not again or said.refusal is not None or left <= 0:
                    raise

    def close(self, consumer: Consumer) -> None:
        try:
            consumer.close()
        finally:
            self.done()

    def done(self) -> None:
        with self._lock:
            self._open -= 1

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            if self._open >= CLIENTS:
                hint = "Share the topic's partitions between tasks in more processes."
                raise LimitExceeded("clients", f"{CLIENTS} at once for `{self._config.name}`", hint)
            self._open += 1
        try:
            yield
        except BaseException:
            self.done()
            raise

    def _settings(self) -> dict[str, Any]:
        given, password = self._config.parameters, self._config.secrets.get("password")
        host = str(given["host"])
        servers = [f"[{host}]:{given.get('port', 9092)}" if ":" in host else f"{host}:{given.get('port', 9092)}"]
        servers += [one for one in str(given.get("servers") or "").split(",") if one]
        for one in servers:
            if metadata(one.rpartition(":")[0] or one):
                raise UrlRefused("the host", "it is a link-local or metadata address, which is never connected to.")
        tls, user = Encryption.asked(given), str(given.get("user") or "")
        settings: dict[str, Any] = {
            "bootstrap.servers": ",".join(servers),
            "client.id": "analytics-workbench",
            "security.protocol": ("SASL_" if user else "") + ("PLAINTEXT" if tls.kind == "disabled" else "SSL"),
            "socket.connection.setup.timeout.ms": int(max(1.0, self.seconds) * 1000),
            "reconnect.backoff.max.ms": 2000,
            "broker.address.family": "any",
            "log_level": 3,
        }
        if user:
            settings["sasl.mechanism"] = given.get("sasl_mechanism", "SCRAM-SHA-512")
            settings["sasl.username"] = user
            settings["sasl.password"] = password.reveal() if password is not None else ""
        if tls.kind != "disabled":
            settings["enable.ssl.certificate.verification"] = tls.kind == "verify"
            settings["ssl.endpoint.identification.algorithm"] = "https" if tls.kind == "verify" else "none"
        if tls.ca_file is not None:
            settings["ssl.ca.location"] = tls.ca_file
        return settings
