"""Kafka (KRaft, no ZooKeeper) as processes of ours, on loopback: `Kafka()` is up when it is made, one node or `nodes`.
Listeners of each: plain at `port`, with a user by SASL at `sasl_port`, over TLS at `tls_port` by the
certificate `certificate`, and as sites have it at `site_port`: a user by SCRAM or PLAIN, over TLS, by `authority`.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import confluent_kafka
from confluent_kafka.admin import (
    AdminClient,
    NewPartitions,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
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

    def __init__(self, password: str = PASSWORD, nodes: int = 1) -> None:
        self.password = password
        self.folder = private_folder("kafka")
        self._nodes = [_Node(self.folder / str(number), number) for number in range(1, nodes + 1)]
        try:
            self.certificate, key = certificate.make(self.folder)
            self.authority, mine, site = certificate.signed(self.folder)
            stores = _store(self.folder, "store", self.certificate, key), _store(self.folder, "site", mine, site)
            for node in self._nodes:
                node.configure(self._nodes, password, *stores)
            for node in self._nodes:
                node.begin()
            for node in self._nodes:
                node.wait()
            self.login(USER, password)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._nodes[0].pid

    @property
    def port(self) -> int:
        return self._nodes[0].ports["PLAINTEXT"]

    @property
    def sasl_port(self) -> int:
        return self._nodes[0].ports["SASL"]

    @property
    def tls_port(self) -> int:
        return self._nodes[0].ports["SSL"]

    @property
    def site_port(self) -> int:
        return self._nodes[0].ports["SITE"]

    @property
    def servers(self) -> str:
        """All of them."""
        return ",".join(f"{self.host}:{node.ports['PLAINTEXT']}" for node in self._nodes)

    def site(self, node: int = 1, **more: Any) -> dict[str, Any]:
        """How a site's user comes in: the parameters of a connection that asks `node` first, then the others."""
        ports = [one.ports["SITE"] for one in self._nodes]
        first = ports.pop(node - 1)
        others = {"servers": ",".join(f"{self.host}:{port}" for port in ports)} if ports else {}
        way = {"user": USER, "tls": "verify", "ca_file": str(self.authority)}
        return {"host": self.host, "port": first, **others, **way, **more}

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

    def login(self, user: str, password: str) -> None:
        """By SCRAM: its password from now on."""
        admin = self.admin()
        kinds = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        changes = [
            UserScramCredentialUpsertion(user, ScramCredentialInfo(kind, 4096), password.encode()) for kind in kinds
        ]
        for change in changes:
            admin.alter_user_scram_credentials([change], request_timeout=30)[user].result(60)

    def create(self, topic: str, partitions: int = 1, copies: int = 0, **settings: str) -> None:
        """`copies`: as many as there are nodes, if nothing is said."""
        named = {name.replace("_", "."): value for name, value in settings.items()}
        wanted = NewTopic(topic, partitions, copies or len(self._nodes), config=named)
        admin = self.admin()
        admin.create_topics([wanted], operation_timeout=30)[topic].result(60)
        self._until(topic, there=True)

    def widen(self, topic: str, partitions: int) -> None:
        """More partitions."""
        admin = self.admin()
        admin.create_partitions([NewPartitions(topic, partitions)], request_timeout=30)[topic].result(60)
        self._until(topic, there=True)

    def leader(self, topic: str, partition: int = 0) -> int:
        """The node that leads it, 0 while none does."""
        leader = self.admin().list_topics(topic, timeout=30).topics[topic].partitions[partition].leader
        return max(int(leader), 0)

    def lead_as_planned(self, topic: str) -> None:
        """Each partition by the node that is the first of its copies: leaders move back after nodes were away."""
        admin = self.admin()
        partitions = admin.list_topics(topic, timeout=30).topics[topic].partitions
        places = [confluent_kafka.TopicPartition(topic, one) for one in partitions]
        admin.elect_leaders(confluent_kafka.ElectionType.PREFERRED, places).result(60)

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
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.servers, "linger.ms": 0, "log_level": 0, "enable.idempotence": True}
        )
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

    def kill(self, node: int = 1) -> None:
        """As a power cut would."""
        self._nodes[node - 1].kill()

    def restart(self) -> None:
        """On the same ports and data."""
        self._nodes[0].stop()
        self.start()

    def start(self, node: int = 1) -> None:
        self._nodes[node - 1].begin()
        self._nodes[node - 1].wait()

    def close(self) -> None:
        for node in self._nodes:
            node.stop(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Node:
    """Broker and controller in one."""

    def __init__(self, folder: Path, number: int) -> None:
        folder.mkdir()
        self.folder, self.number = folder, number
        self.ports = {name: free_port() for name in ("PLAINTEXT", "SASL", "SSL", "SITE", "CONTROLLER")}
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def configure(self, nodes: Sequence[_Node], password: str, store: Path, site: Path) -> None:
        quoted = password.replace("\\", "\\\\").replace('"', '\\"')
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required "
        plain += f'username="{USER}" password="{quoted}" user_{USER}="{quoted}";'
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        listeners = {name: f"{name}://{Kafka.host}:{port}" for name, port in self.ports.items()}
        advertised = ",".join(at for name, at in listeners.items() if name != "CONTROLLER")
        voters = ",".join(f"{one.number}@{Kafka.host}:{one.ports['CONTROLLER']}" for one in nodes)
        copies = str(len(nodes))
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(self.number),
            "controller.quorum.voters": voters,
            "listeners": ",".join(listeners.values()),
            "advertised.listeners": advertised,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,SSL:SSL,SITE:SASL_SSL,"
            "CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": plain,
            "listener.name.site.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.site.plain.sasl.jaas.config": plain,
            "listener.name.site.scram-sha-256.sasl.jaas.config": scram,
            "listener.name.site.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.site.ssl.keystore.type": "PEM",
            "listener.name.site.ssl.keystore.location": str(site),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "log.dirs": f"{self.folder}/data",
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "broker.session.timeout.ms": "6000",
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

    def begin(self) -> None:
        self._process = Process("kafka", self._java("kafka.Kafka", "server.properties"), self.folder)

    def wait(self) -> None:
        assert self._process is not None
        self._process.wait_ready(self._answers, _READY)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def stop(self, patience: float = 20) -> None:
        if self._process is not None:
            self._process.stop(patience)

    def _java(self, main: str, *arguments: str) -> list[str]:
        return [str(install("default-jre-headless", "java")), "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Djava.net.preferIPv4Stack=true", f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties",
                "-cp", f"{fetch.home()}/*", main, *arguments]  # fmt: skip

    def _answers(self) -> None:
        admin = AdminClient({"bootstrap.servers": f"{Kafka.host}:{self.ports['PLAINTEXT']}", "log_level": 0})
        assert self.number in admin.list_topics(timeout=2).brokers


def _store(folder: Path, name: str, public: Path, private: Path) -> Path:
    """A key and its certificate as Kafka takes them."""
    key = serialization.load_pem_private_key(private.read_bytes(), None)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    store = folder / f"{name}.pem"
    store.touch(mode=0o600)
    store.write_bytes(pem + public.read_bytes())
    return store


def _escaped(value: str) -> str:
    """As the properties' files of Java write it."""
    text = value.replace("\\", "\\\\")
    return "".join(letter if ord(letter) < 128 else f"\\u{ord(letter):04x}" for letter in text)


__all__ = ["PASSWORD", "USER", "Kafka"]
