"""Kafka as sites run it: users by SCRAM over TLS of an authority of their own, passwords that change, topics and
partitions that come and go while they are followed."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.connectors.kafka.test_connector import SCHEMA, batch, followed, ids
from tests.services.kafka.server import PASSWORD, USER, Kafka
from workbench.catalog import Catalog
from workbench.contract import Changes, ConnectionConfig, TableRef, WriteSpec
from workbench.contract.errors import AuthenticationFailed, PositionLost, UnknownTable, Unreachable
from workbench.contract.secret import Secret
from workbench.runs import Register
from workbench.streams import Feed, Rate, Sink, Topology, feeding
from workbench.streams.running import Running
from workbench.testing.control import RecordingControl
from workbench.testing.scanning import scan
from workbench_kafka.connector import KafkaConnector

FOR_EVER = 300
"""A time-out that no test waits for: who does is ended by that of the tests."""


@pytest.fixture
def topic(kafka: Kafka, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "s-" + "".join(letter for letter in request.node.name if letter.isalnum())[:80]
    kafka.create(name)
    yield name
    kafka.drop(name)


def opened(where: dict[str, Any], password: str = PASSWORD) -> KafkaConnector:
    return KafkaConnector(ConnectionConfig("kafka", where, {"password": Secret(password)}, writable=True))


@pytest.mark.parametrize(
    "mechanism",
    [
        pytest.param("SCRAM-SHA-256", marks=pytest.mark.deep),
        "SCRAM-SHA-512",
        pytest.param("PLAIN", marks=pytest.mark.deep),
    ],
)
def test_a_user_reads_follows_and_writes_over_tls(kafka: Kafka, topic: str, mechanism: str) -> None:
    connector = opened(kafka.site(sasl_mechanism=mechanism))
    assert connector.test().details["tls"] == "verify"
    writer = connector.sinks.open(TableRef(topic), WriteSpec(SCHEMA, stream=f"site-{mechanism}"))
    writer.write(batch(topic, 1, 2), 1)
    writer.commit(None)
    writer.close()
    assert scan(connector, TableRef(topic), ("id",)).column("id").to_pylist() == [1, 2]
    assert ids(followed(connector, topic, 2)) == [1, 2]
    wrong = opened(kafka.site(sasl_mechanism=mechanism, connect_timeout=FOR_EVER), "wr0ng-canary")
    for work in (wrong.test, wrong.tables.list, lambda: wrong.feeds.partitions(TableRef(topic))):
        with pytest.raises(AuthenticationFailed, match=f"did not let `{USER}` in.*Check the user") as caught:
            work()
        assert "canary" not in str(caught.value)


def test_an_authority_that_is_not_known_is_refused_at_once(kafka: Kafka, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="certificate"):
        opened(kafka.site(ca_file=str(kafka.certificate), connect_timeout=FOR_EVER)).test()
    where = kafka.site(connect_timeout=FOR_EVER)
    del where["ca_file"]
    with pytest.raises(Unreachable, match="certificate"):
        opened(where).test()
    with pytest.raises(Unreachable):  # TLS with one who speaks none
        opened({**kafka.site(connect_timeout=3), "port": kafka.sasl_port}).test()


def test_a_broker_that_goes_away_while_one_logs_in_is_no_wrong_password(kafka: Kafka) -> None:
    """The driver calls it one."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_cut_at_log_in, args=(door, kafka.sasl_port), daemon=True).start()
        where = {"host": "127.0.0.1", "port": door.getsockname()[1], "user": USER, "sasl_mechanism": "PLAIN"}
        with pytest.raises(Unreachable, match="handshake failed"):
            opened({**where, "connect_timeout": 1}).test()


def _cut_at_log_in(door: socket.socket, port: int) -> None:
    """Hands requests on up to that for the log-in (SaslHandshake, 17)."""
    with contextlib.suppress(OSError):
        while True:
            near, _ = door.accept()
            with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as far:
                while (asked := near.recv(65_536)) and struct.unpack(">h", asked[4:6]) != (17,):
                    far.sendall(asked)
                    near.sendall(far.recv(65_536))


@pytest.mark.deep
def test_a_password_that_changes_is_said_by_who_follows(kafka: Kafka, topic: str) -> None:
    kafka.login("guest", "before")
    kafka.send(topic, [{"id": 1}])
    connector = opened(kafka.site(user="guest", connect_timeout=FOR_EVER), "before")
    feed = connector.feeds.subscribe(TableRef(topic), "0", None, RecordingControl())
    assert ids([entry for entry, _ in zip(feed, range(1), strict=False) if isinstance(entry, Changes)]) == [1]
    kafka.login("guest", "after")
    kafka.restart()  # connections that are open stay so
    with pytest.raises(AuthenticationFailed, match="`guest`"):
        for _ in feed:
            pass
    feed.close()
    kafka.send(topic, [{"id": 2}])
    again = opened(kafka.site(user="guest"), "after")
    assert ids(followed(again, topic, 2)) == [1, 2]


# --- through a topology


@pytest.fixture
def following(
    kafka: Kafka, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Running, list[int]]]]:
    """Follows the topic as a site's user; the run, and the ids that come."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(feeding, "NEW_PARTITIONS", 0.1)
    kafka.send(topic, [{"id": number} for number in range(5)])
    where = "&".join(f"{name}={value}" for name, value in kafka.site(connect_timeout=5).items()
                     if name in ("tls", "ca_file", "connect_timeout"))  # fmt: skip
    catalog, register = Catalog(), Register(tmp_path / "runs.sqlite")
    url = f"kafka://{USER}@{kafka.host}:{kafka.site_port}?{where}"
    catalog.connect("bus", url, secret=Secret(kafka.password), writable=True)
    catalog.close()
    running: list[Running] = []

    def start(**more: Any) -> tuple[Running, list[int]]:
        got: list[int] = []
        t = Topology("site").spout("rows", Feed(f'bus."{topic}"', **more))
        running.append(t.bolt("out", lambda row: got.append(row.id), inputs="rows").run(register=register))
        return running[-1], got

    yield start
    for one in running:
        one.stop(10)
    register.close()


def test_partitions_that_are_added_are_followed(
    following: Callable[..., Any], kafka: Kafka, topic: str, eventually: Any
) -> None:
    running, got = following()
    eventually(lambda: got == [0, 1, 2, 3, 4], within=60)
    kafka.widen(topic, 3)
    for partition in (1, 2):
        kafka.send(topic, [{"id": partition * 10}], partition=partition)
    eventually(lambda: sorted(got) == [0, 1, 2, 3, 4, 10, 20], within=60)
    assert sum(one["partitions"] for one in running.metrics().now.sources.values()) == 3


def test_a_topology_writes_into_a_topic_that_has_rows(
    following: Callable[..., Any], kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    """With all of Kafka's own columns among those that are read."""
    for first in (10, 20):
        numbers = Rate(1_000, lambda number, first=first: (first + number,), ("id",), total=2)  # type: ignore[misc]
        t = Topology("writes", snapshot_every="100ms").spout("rows", numbers)
        t.bolt("save", Sink(f'bus."{topic}"', types={"id": "int64"}), inputs="rows")
        running = t.run(state=tmp_path / f"{first}.sqlite")
        try:
            running.wait(60)
        finally:
            running.stop(20)
    got = scan(opened(kafka.site()), TableRef(topic), ("id",)).column("id").to_pylist()
    assert got == [0, 1, 2, 3, 4, 10, 11, 20, 21]


def test_retention_that_has_passed_what_was_done_is_said_and_lost_begin_goes_on(
    following: Callable[..., Any], kafka: Kafka, topic: str, eventually: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "position.json"
    running, got = following(position_file=kept)
    eventually(lambda: got == [0, 1, 2, 3, 4], within=60)
    running.stop(20)
    assert json.loads(kept.read_bytes())["positions"]["0"][1] == "5"
    kafka.send(topic, [{"id": number} for number in range(5, 12)])
    kafka.delete_before(topic, 8)
    with pytest.raises(PositionLost, match=r"is left is 8, so 3 are gone\. Follow the partition"):
        following(position_file=kept)[0].wait(60)
    running, got = following(position_file=kept, lost="begin")
    eventually(lambda: got == [8, 9, 10, 11], within=60)
    assert any("so 3 are gone" in line for line in list(running.log)), "said, although it goes on"


@pytest.mark.deep
def test_a_topic_that_is_deleted_is_waited_for_and_another_one_of_its_name_is_not_taken_for_it(
    following: Callable[..., Any], kafka: Kafka, topic: str, eventually: Any
) -> None:
    running, got = following()
    careful, other = following(lost="begin")
    eventually(lambda: got == other == [0, 1, 2, 3, 4], within=60)
    kafka.drop(topic)
    for one in (running, careful):
        eventually(lambda one=one: any("again in" in line for line in list(one.log)), within=60)
    kafka.create(topic)
    kafka.send(topic, [{"id": 100}])
    with pytest.raises(PositionLost, match="deleted and made again"):
        running.wait(60)
    eventually(lambda: other == [0, 1, 2, 3, 4, 100], within=60)


@pytest.mark.deep
def test_a_feed_of_a_topic_that_is_deleted_says_so(kafka: Kafka, topic: str) -> None:
    kafka.send(topic, [{"id": 1}])
    feed = opened(kafka.site()).feeds.subscribe(TableRef(topic), "0", None, RecordingControl())
    assert isinstance(first := next(feed), Changes)
    assert first.rows.column("id") == pa.array([1])
    kafka.drop(topic)
    with pytest.raises(UnknownTable):
        for _ in feed:
            pass
    feed.close()


def test_another_topic_of_the_name_is_told_although_the_driver_goes_on_in_it(kafka: Kafka, topic: str) -> None:
    """It reads on at the offset that it was at, so what the new one has before would be left out in silence."""
    kafka.send(topic, [{"id": number} for number in range(3)])
    feed = opened(kafka.site()).feeds.subscribe(TableRef(topic), "0", None, RecordingControl())
    assert isinstance(next(feed), Changes)
    kafka.drop(topic)
    kafka.create(topic)
    kafka.send(topic, [{"id": number} for number in range(100, 120)])
    with pytest.raises(PositionLost, match="deleted and made again"):
        for _ in feed:
            pass
    feed.close()
