"""A cluster of three brokers, as processes of their own: leaders that move, brokers that are killed, one that nobody
stands in for."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.services.kafka.server import PASSWORD, USER, Kafka
from tests.streams.process_help import children, gone
from workbench.catalog import Catalog
from workbench.contract import Changes, ConnectionConfig, Position, TableRef
from workbench.contract.errors import ConnectionLost, Unreachable
from workbench.contract.secret import Secret
from workbench.runs import Register
from workbench.streams import Feed, Sink, StatefulBolt, Topology, fields
from workbench.testing.control import RecordingControl
from workbench.testing.scanning import scan
from workbench_kafka.connector import KafkaConnector

pytestmark = pytest.mark.deep
COLUMNS = {"id": "integer", "times": "integer"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Kafka]:
    with Kafka(nodes=3) as found:
        yield found


@pytest.fixture
def topic(cluster: Kafka, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "c-" + "".join(letter for letter in request.node.name if letter.isalnum())[:80]
    cluster.create(name, partitions=3, min_insync_replicas="2")
    yield name
    cluster.drop(name)


def opened(where: dict[str, Any], **tables: Mapping[str, Any]) -> KafkaConnector:
    secret = {"password": Secret(PASSWORD)}
    return KafkaConnector(ConnectionConfig("kafka", where, secret, writable=True, tables=tables))


class Times(StatefulBolt):
    """How often each row came, in its state."""

    outputs = ("id", "times")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        times = self.state[tuple.id] = self.state.get(tuple.id, 0) + 1
        self.collector.emit((tuple.id, times))


@pytest.fixture
def counting(cluster: Kafka, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topology]:
    """From a topic to a topic, effectively once."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    cluster.create(f"{topic}-out", partitions=3, min_insync_replicas="2")
    where = cluster.site(connect_timeout=5, group="wb")
    asked = "&".join(f"{name}={value}" for name, value in where.items() if name not in ("host", "port", "user"))
    tables: dict[str, dict[str, Any]] = {
        topic: {"columns": {"id": "integer"}},
        f"{topic}-out": {"columns": COLUMNS, "only": True},
    }
    catalog = Catalog()
    catalog.connect("bus", f"kafka://{USER}@{where['host']}:{where['port']}?{asked}", secret=Secret(PASSWORD),
                    writable=True, tables=tables)  # fmt: skip
    catalog.close()
    t = Topology("counting", snapshot_every="500ms").spout("rows", Feed(f'bus."{topic}"'), parallelism=2)
    t.bolt("times", Times, inputs=[("rows", fields("id"))], parallelism=2)
    yield t.bolt("save", Sink(f'bus."{topic}-out"'), inputs="times")
    cluster.drop(f"{topic}-out")


def written(cluster: Kafka, topic: str) -> Counter[tuple[int, int]]:
    """What is committed in the output; nothing while it cannot be told."""
    connector = opened(cluster.site(), **{f"{topic}-out": {"columns": COLUMNS}})
    try:
        rows = scan(connector, TableRef(f"{topic}-out"), ("id", "times")).to_pylist()
    except (Unreachable, ConnectionLost):
        return Counter()
    return Counter((row["id"], row["times"]) for row in rows)


class Sending:
    """Sends numbers to the topic, some each 50 ms, until it is told to stop."""

    def __init__(self, cluster: Kafka, topic: str) -> None:
        self._cluster, self._topic, self.sent = cluster, topic, 0
        self._stop, self._failed = threading.Event(), list[BaseException]()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    def _main(self) -> None:
        try:
            while not self._stop.wait(0.05):
                for partition in range(3):
                    some = [{"id": self.sent + number} for number in range(4)]
                    self._cluster.send(self._topic, some, partition=partition)
                    self.sent += 4
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._failed.append(error)

    def end(self) -> int:
        self._stop.set()
        self._thread.join(120)
        assert not self._failed, self._failed
        return self.sent


def test_nothing_is_lost_or_doubled_when_each_broker_is_killed_and_leaders_move(
    cluster: Kafka, topic: str, counting: Topology, eventually: Callable[..., Any], tmp_path: Path
) -> None:
    register = Register(tmp_path / "runs.sqlite")
    running = counting.run(state=True, register=register)
    sending = Sending(cluster, topic)
    try:
        for node in (1, 2, 3):
            before = sending.sent
            eventually(lambda before=before: sending.sent > before + 100, within=120)
            cluster.kill(node)
            eventually(lambda node=node: all(cluster.leader(topic, one) != node for one in range(3)), within=120)
            before = sending.sent
            eventually(lambda before=before: sending.sent > before + 100, within=120)
            cluster.start(node)
        cluster.lead_as_planned(topic)
        number = sending.end()
        wanted = Counter({(one, 1): 1 for one in range(number)})
        eventually(lambda: running.failure or written(cluster, topic) == wanted, within=180, every=1)
        assert not running.failure
        said = str(running.guarantees())
        assert "effectively once" in said, said
    finally:
        sending.end()
        running.stop(30)
        register.close()
    assert written(cluster, topic) == wanted


def test_nothing_is_lost_or_doubled_when_workers_and_brokers_are_killed(
    cluster: Kafka, topic: str, counting: Topology, eventually: Callable[..., Any], tmp_path: Path
) -> None:
    register = Register(tmp_path / "runs.sqlite")
    running = counting.run("processes", workers=2, state=True, register=register)
    sending = Sending(cluster, topic)
    try:
        for turn in range(4):
            print()
            before = len(written(cluster, topic))
            eventually(lambda before=before: len(written(cluster, topic)) > before + 20, within=240, every=0.5)
            workers = [pid for pid in children(running._engine.pid) if not gone(pid)]  # type: ignore[attr-defined]
            os.kill(workers[turn % len(workers)], signal.SIGKILL)
            if turn == 2:
                cluster.kill(2)
        cluster.start(2)
        number = sending.end()
        wanted = Counter({(one, 1): 1 for one in range(number)})
        eventually(lambda: running.failure or written(cluster, topic) == wanted, within=240, every=1)
        assert not running.failure
    finally:
        sending.end()
        running.stop(30)
        register.close()
    assert written(cluster, topic) == wanted


def test_the_others_are_asked_when_the_first_one_is_away(cluster: Kafka, topic: str) -> None:
    cluster.send(topic, [{"id": 1}])
    cluster.kill(1)
    try:
        connector = opened(cluster.site(1, connect_timeout=60))
        assert connector.test().details["cluster"]
        assert scan(connector, TableRef(topic), ("id",)).num_rows == 1, "by whoever leads it then"
    finally:
        cluster.start(1)


def test_a_partition_that_nobody_leads_is_said_although_other_brokers_answer(cluster: Kafka) -> None:
    """Of one copy, whose broker is away: the driver itself would wait for ever."""
    cluster.create("alone", partitions=3, copies=1)
    try:
        for partition in range(3):
            cluster.send("alone", [{"id": partition}], partition=partition)
        led = cluster.leader("alone", 1)
        connector = opened(cluster.site(led % 3 + 1, connect_timeout=3))
        feeds = {
            name: connector.feeds.subscribe(TableRef("alone"), name, None, RecordingControl()) for name in ("0", "1")
        }
        places: dict[str, Position] = {}
        for name, feed in feeds.items():
            first = next(feed)
            assert isinstance(first, Changes)
            places[name] = first.last
        cluster.kill(led)
        try:
            with pytest.raises(ConnectionLost, match=r"leads alone\[1\]"):
                for _ in feeds["1"]:
                    pass
            cluster.send("alone", [{"id": 5}], partition=0)
            more = next(entry for entry in feeds["0"] if isinstance(entry, Changes))
            assert more.rows.column("id").to_pylist() == [5], "others go on"
        finally:
            for feed in feeds.values():
                feed.close()
            with pytest.raises(Unreachable):
                connector.feeds.subscribe(TableRef("alone"), "1", places["1"], RecordingControl())
            with pytest.raises(Unreachable):
                scan(connector, TableRef("alone"), ("id",))
            cluster.start(led)
        cluster.send("alone", [{"id": 10}], partition=1)
        again = connector.feeds.subscribe(TableRef("alone"), "1", places["1"], RecordingControl())
        more = next(entry for entry in again if isinstance(entry, Changes))
        assert more.rows.column("id").to_pylist() == [10]
        again.close()
    finally:
        cluster.drop("alone")
