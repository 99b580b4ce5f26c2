"""One Kafka node (KRaft, no ZooKeeper) as a process of ours, on loopback: `Kafka()` is up when it is made. Listeners:
plain at `port`, with a user by SASL at `sasl_port`, over TLS at `tls_port` by the certificate `certificate`.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from typing import Any, Self

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic
from cryptography.hazmat.primitives import serialization

from tests.services import certificate
from tests.services.kafka import fetch
from tests.services.process import Process, ServiceError, free_port, install, private_folder
from workbench.contract import ConnectionConfig, Manifest, Secret
from workbench_kafka.manifest import MANIFEST

USER = "reader"
PASSWORD = "a'b@c:/?#%00 $é"
_READY = 120.0
_LOGGING = """
status = error
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
"""


class Kafka:
    host = "127.0.0.1"
    demo: Mapping[str, Any] = {"tables": ("orders",), "unit": "milliseconds"}

    def __init__(self, password: str = PASSWORD) -> None:
        self.password = password
        self.folder = private_folder("kafka")
        self.port, self.sasl_port, self.tls_port, self._controller = (free_port() for _ in range(4))
        try:
            self._configure()
            self._process = self._started()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def servers(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def served(cls) -> Self:
        """For somebody who tries things."""
        return cls(secrets.token_urlsafe(12))

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False, **more: Any) -> ConnectionConfig:
        where = {"host": self.host, "port": self.port, **more}
        secret = {"password": Secret(self.password)} if "user" in more else {}
        return ConnectionConfig("kafka", where, secret, writable)

    def told(self) -> str:
        return f'wb.connect("kafka", "kafka://{self.host}:{self.port}", writable=True)'

    # -- how tests fill it

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.servers, "log_level": 0})

    def create(self, topic: str, partitions: int = 1, **settings: str) -> None:
        wanted = NewTopic(
            topic, partitions, 1, config={name.replace("_", "."): value for name, value in settings.items()}
        )
        admin = self.admin()
        admin.create_topics([wanted], operation_timeout=30)[topic].result(60)
        self._until(topic, there=True)

    def drop(self, topic: str) -> None:
        admin = self.admin()
        try:
            admin.delete_topics([topic], operation_timeout=30)[topic].result(60)
            self._until(topic, there=False)
        except confluent_kafka.KafkaException as error:
            if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART":
                raise

    def _until(self, topic: str, there: bool) -> None:
        """The brokers know it a little later."""
        admin, until = self.admin(), time.monotonic() + 60
        while time.monotonic() < until:
            found = admin.describe_topics(confluent_kafka.TopicCollection([topic]))[topic]
            try:
                known = all(one.leader is not None and one.leader.id >= 0 for one in found.result(30).partitions)
            except confluent_kafka.KafkaException:
                known = False
            if known == there:
                return
            time.sleep(0.02)
        raise ServiceError(f"the topic {topic} is still {'not there' if there else 'there'}")

    def send(
        self, topic: str, values: Iterable[Any], partition: int = 0, keys: Iterable[Any] | None = None, **more: Any
    ) -> None:
        """Bytes and None as they are, all else as JSON."""
        producer = confluent_kafka.Producer({"bootstrap.servers": self.servers, "linger.ms": 0, "log_level": 0})
        names = iter(keys) if keys is not None else None
        for value in values:
            body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            key = next(names) if names is not None else None
            producer.produce(topic, body, key, partition=partition, **more)
            producer.poll(0)
        assert producer.flush(60) == 0

    def delete_before(self, topic: str, offset: int, partition: int = 0) -> None:
        """As when retention has passed."""
        upto = confluent_kafka.TopicPartition(topic, partition, offset)
        admin = self.admin()
        for future in admin.delete_records([upto], request_timeout=30).values():
            future.result(60)

    # -- its life

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()

    def restart(self) -> None:
        """On the same ports and data."""
        self._process.stop()
        self._process = self._started()

    def start(self) -> None:
        self._process = self._started()

    def close(self) -> None:
        self._process.stop(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configure(self) -> None:
        self.certificate, key = certificate.make(self.folder)
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        pem = loaded.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        store = self.folder / "store.pem"
        store.touch(mode=0o600)
        store.write_bytes(pem + self.certificate.read_bytes())
        quoted = self.password.replace("\\", "\\\\").replace('"', '\\"')
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required "
        login += f'username="{USER}" password="{quoted}" user_{USER}="{quoted}";'
        listeners = {"PLAINTEXT": self.port, "SASL": self.sasl_port, "SSL": self.tls_port}
        at = ",".join(f"{name}://{self.host}:{port}" for name, port in listeners.items())
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{self.host}:{self._controller}",
            "listeners": f"{at},CONTROLLER://{self.host}:{self._controller}",
            "advertised.listeners": at,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": login,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "log.dirs": f"{self.folder}/data",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "num.network.threads": "2",
            "num.io.threads": "2",
            "log.cleaner.threads": "1",
            "log.cleaner.backoff.ms": "500",
            "log.retention.check.interval.ms": "1000",
        }
        lines = "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())
        (self.folder / "server.properties").write_text(lines, encoding="latin-1")
        (self.folder / "server.properties").chmod(0o600)
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        made = self._java(
            "kafka.tools.StorageTool", "format", "-t", "wbTestCluster-00000000w", "-c", "server.properties"
        )
        subprocess.run(made, cwd=self.folder, check=True, capture_output=True, timeout=120)

    def _java(self, main: str, *arguments: str) -> list[str]:
        return [str(install("default-jre-headless", "java")), "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Djava.net.preferIPv4Stack=true", f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties",
                "-cp", f"{fetch.home()}/*", main, *arguments]  # fmt: skip

    def _started(self) -> Process:
        process = Process("kafka", self._java("kafka.Kafka", "server.properties"), self.folder)
        process.wait_ready(self._answers, _READY)
        return process

    def _answers(self) -> None:
        assert self.admin().list_topics(timeout=2).brokers


def _escaped(value: str) -> str:
    """As the properties' files of Java write it."""
    text = value.replace("\\", "\\\\")
    return "".join(letter if ord(letter) < 128 else f"\\u{ord(letter):04x}" for letter in text)


__all__ = ["PASSWORD", "USER", "Kafka"]
