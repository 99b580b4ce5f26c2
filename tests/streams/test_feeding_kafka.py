"""A topology over a topic of a real Kafka: partitions shared by tasks, what was done is confirmed, a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from tests.services.kafka.server import Kafka
from workbench.catalog import Catalog
from workbench.streams import Bolt, Feed, Topology
from workbench.streams.running import Running

Start = Callable[..., Running]


class Take(Bolt):
    got: list[Any] = []

    def execute_batch(self, batch: Any) -> None:
        self.got.append(batch)


def ids() -> list[int]:
    return [key for batch in list(Take.got) for key in batch.column("id")]


@pytest.fixture
def orders(kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kafka]:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    catalog = Catalog()
    catalog.connect("bus", f"kafka://{kafka.host}:{kafka.port}?group=wb&connect_timeout=2")
    catalog.close()
    kafka.create("orders", partitions=4)
    for partition in range(4):
        kafka.send("orders", [{"id": partition * 100 + number} for number in range(5)], partition=partition)
    Take.got = []
    yield kafka
    kafka.drop("orders")


def committed(kafka: Kafka) -> list[int]:
    watcher = confluent_kafka.Consumer({"bootstrap.servers": kafka.servers, "group.id": "wb"})
    found = watcher.committed([confluent_kafka.TopicPartition("orders", one) for one in range(4)], timeout=60)
    watcher.close()
    return [one.offset for one in found]


def test_a_topic_is_a_spout_of_several_tasks_and_survives_the_broker(
    started: Start, orders: Kafka, eventually: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "position.json"
    t = Topology("orders").spout("orders", Feed("bus.orders", position_file=kept), parallelism=2)
    running = started(t.bolt("take", Take, inputs="orders"))
    first = sorted(partition * 100 + number for partition in range(4) for number in range(5))
    eventually(lambda: sorted(ids()) == first, within=90)
    assert all(batch.origin is not None for batch in Take.got)
    assert {batch.origin.partition for batch in Take.got} == {"0", "1", "2", "3"}
    eventually(lambda: committed(orders) == [5, 5, 5, 5], within=60)
    orders.kill()
    orders.start()
    for partition in range(4):
        orders.send("orders", [{"id": partition * 100 + 50}], partition=partition)
    more = sorted([*first, 50, 150, 250, 350])
    eventually(lambda: sorted(ids()) == more, within=90)
    running.stop(20)
    Take.got = []
    orders.send("orders", [{"id": 999}], partition=3)
    t = Topology("again").spout("orders", Feed("bus.orders", position_file=kept), parallelism=2)
    started(t.bolt("take", Take, inputs="orders"))
    eventually(lambda: ids() == [999], within=90)
