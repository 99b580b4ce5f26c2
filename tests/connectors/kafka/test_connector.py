"""What only Kafka has: keys and headers, values that are no JSON, transactions, retention, log-ins, dead brokers."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Iterator
from typing import Any

import confluent_kafka
import pyarrow as pa
import pytest

from tests.services.kafka.server import USER, Kafka
from workbench.contract import Changes, ConnectionConfig, Guarantee, Position, TableRef, WriteSpec
from workbench.contract.errors import (
    AuthenticationFailed,
    ConnectionLost,
    InvalidParameter,
    PositionLost,
    QueryFailed,
    SourceError,
    UnknownTable,
    Unreachable,
    Unsupported,
    UrlRefused,
)
from workbench.contract.secret import Secret
from workbench.testing.control import RecordingControl
from workbench.testing.proxy import free_port
from workbench.testing.scanning import scan
from workbench_kafka.connector import KafkaConnector
from workbench_kafka.faults import Faults

SCHEMA = pa.schema([("id", pa.int64()), ("v", pa.string())])


@pytest.fixture
def topic(kafka: Kafka, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "t-" + "".join(letter for letter in request.node.name if letter.isalnum())[:80]
    kafka.create(name, retention_ms="-1")  # some messages are of long ago
    yield name
    kafka.drop(name)


def opened(kafka: Kafka, tables: Any = None, writable: bool = False, **more: Any) -> KafkaConnector:
    usual = kafka.config(writable, **more)
    return KafkaConnector(ConnectionConfig(usual.name, usual.parameters, usual.secrets, writable, tables or {}))


def followed(
    connector: KafkaConnector, topic: str, rows: int, after: Position | None = None, partition: str = "0"
) -> list[Changes]:
    feed = connector.feeds.subscribe(TableRef(topic), partition, after, RecordingControl())
    found: list[Changes] = []
    for entry in feed:
        if isinstance(entry, Changes):
            found.append(entry)
        if sum(one.rows.num_rows for one in found) >= rows:
            break
    feed.close()
    return found


def ids(found: list[Changes]) -> list[Any]:
    return [value for one in found for value in one.rows.column("id").to_pylist()]


def batch(topic: str, *keys: int, at: str = "1") -> Changes:
    rows = pa.RecordBatch.from_pydict({"id": list(keys), "v": [f"v{key}" for key in keys]}, schema=SCHEMA)
    place = Position("source", at)
    return Changes(TableRef(topic), rows, None, place, place)


def test_a_message_has_its_key_time_and_headers_as_columns(kafka: Kafka, topic: str) -> None:
    kafka.send(topic, [{"id": 1, "tags": ["a"], "at": {"x": 1}}], keys=["k"], timestamp=1_700_000_000_123,
               headers=[("h", b"1"), ("h", b"2")])  # fmt: skip
    kafka.send(topic, [b"no json", b"[1]", None, {"id": 2.5, "tags": None}])
    connector = opened(kafka)
    found = scan(connector, TableRef(topic), connector.tables.schema(TableRef(topic)).names).to_pylist()
    assert found[0] == {
        "kafka_partition": 0, "kafka_offset": 0, "kafka_timestamp": found[0]["kafka_timestamp"], "kafka_key": "k",
        "kafka_headers": '[["h", "1"], ["h", "2"]]', "kafka_value": None, "id": 1.0, "tags": '["a"]', "at": '{"x": 1}',
    }  # fmt: skip
    assert found[0]["kafka_timestamp"].timestamp() == 1_700_000_000.123
    assert [row["kafka_value"] for row in found[1:]] == ["no json", "[1]", None, None]
    assert [row["id"] for row in found] == [1.0, None, None, None, 2.5]


def test_text_and_bytes(kafka: Kafka, topic: str) -> None:
    kafka.send(topic, [b"one \xff", b""], keys=[b"\xfe", None])
    text = opened(kafka, {topic: {"format": "text"}}, hide_meta=True)
    assert scan(text, TableRef(topic), ("kafka_value",)).to_pylist() == [
        {"kafka_value": "one \\xff"},
        {"kafka_value": ""},
    ]
    raw = opened(kafka, {topic: {"format": "raw", "key": "raw"}})
    got = scan(raw, TableRef(topic), ("kafka_key", "kafka_value"))
    assert got.column("kafka_value").to_pylist() == [b"one \xff", b""]
    assert got.column("kafka_key").to_pylist() == [b"\xfe", None]


def test_what_was_rolled_back_is_neither_read_nor_followed(kafka: Kafka, topic: str) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.servers, "transactional.id": f"tx-{topic}"})
    producer.init_transactions(60)
    for number, end in enumerate(("commit_transaction", "abort_transaction", "commit_transaction")):
        producer.begin_transaction()
        producer.produce(topic, f'{{"id": {number}}}')
        producer.flush(60)
        getattr(producer, end)(60)
    connector = opened(kafka)
    assert scan(connector, TableRef(topic), ("id",)).column("id").to_pylist() == [0, 2]
    found = followed(connector, topic, 2)
    assert ids(found) == [0, 2]
    now = connector.feeds.now(TableRef(topic), "0")
    feed = connector.feeds.subscribe(TableRef(topic), "0", None, RecordingControl())
    beat = next(entry for entry in feed if not isinstance(entry, Changes))
    feed.close()
    assert getattr(beat, "at", None) == now, "behind the marker of the transaction"


def test_a_position_that_retention_has_passed_another_cluster_s_and_another_topic_s_are_lost(
    kafka: Kafka, topic: str
) -> None:
    kafka.send(topic, [{"id": number} for number in range(5)])
    connector = opened(kafka)
    place = followed(connector, topic, 5)[-1].last
    old = Position(place.source, "2")
    assert ids(followed(connector, topic, 3, old)) == [2, 3, 4]
    kafka.delete_before(topic, 4)
    with pytest.raises(PositionLost, match=r"is left is 4, so 2 are gone\. Follow the partition"):
        followed(connector, topic, 1, old)
    assert ids(followed(connector, topic, 1)) == [4]
    with pytest.raises(PositionLost, match="The partition ends before, at 5"):
        followed(connector, topic, 1, Position(place.source, "6"))
    with pytest.raises(PositionLost, match="of another cluster"):
        followed(connector, topic, 1, Position("kafka:elsewhere:1:t", "1"))
    kafka.drop(topic)
    kafka.create(topic)
    with pytest.raises(PositionLost, match="deleted and made again"):
        followed(connector, topic, 1, place)


def test_columns_that_come_later_and_those_that_are_declared(kafka: Kafka, topic: str) -> None:
    kafka.send(topic, [{"id": 1}])
    connector = opened(kafka, hide_meta=True)
    feed = connector.feeds.subscribe(TableRef(topic), "0", None, RecordingControl())
    assert next(feed).rows.to_pylist() == [{"id": 1}]  # type: ignore[union-attr]
    kafka.send(topic, [{"id": 2, "more": True}])
    entries = []
    while not entries or not isinstance(entries[-1], Changes):
        entries.append(next(feed))
    feed.close()
    assert entries[-2].schema.names == ["id", "more"]  # type: ignore[union-attr]
    assert entries[-1].rows.to_pylist() == [{"id": 2, "more": True}]
    only = opened(kafka, {topic: {"columns": {"id": "string"}, "only": True}}, hide_meta=True)
    assert [one.rows.to_pylist() for one in followed(only, topic, 2)] == [[{"id": "1"}, {"id": "2"}]]


def test_partitions_are_splits_and_what_expires_while_it_is_read_is_said(kafka: Kafka, topic: str) -> None:
    kafka.drop(topic)
    kafka.create(topic, partitions=3)
    for partition in range(3):
        kafka.send(topic, [{"id": partition * 10 + number} for number in range(4)], partition=partition)
    connector = opened(kafka)
    assert connector.feeds.partitions(TableRef(topic)) == ["0", "1", "2"]
    got = scan(connector, TableRef(topic), ("id", "kafka_partition"))
    assert sorted(got.column("id").to_pylist()) == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    assert ids(followed(connector, topic, 4, partition="2")) == [20, 21, 22, 23]
    for wrong in ("3", "x", "-1"):
        with pytest.raises(InvalidParameter):
            followed(connector, topic, 1, partition=wrong)


def test_rows_and_their_position_are_one_transaction(kafka: Kafka, topic: str) -> None:
    connector = opened(kafka, writable=True)
    spec = WriteSpec(SCHEMA, key=("id",), stream="pipeline")
    writer = connector.sinks.open(TableRef(topic), spec)
    assert writer.guarantee is Guarantee.TRANSACTIONAL
    assert writer.position() is None
    writer.write(batch(topic, 1, 2), 1)
    writer.commit(Position("s", "1"))
    writer.write(batch(topic, 3), 2)
    other = connector.sinks.open(TableRef(topic), spec)
    assert other.position() == Position("s", "1")
    with pytest.raises((QueryFailed, ConnectionLost)):
        writer.commit(Position("s", "2"))
    other.write(batch(topic, 3), 1)
    other.commit(Position("s", "2"))
    for one in (writer, other):
        one.close()
    last = connector.sinks.open(TableRef(topic), spec)
    assert last.position() == Position("s", "2")
    last.close()
    got = scan(connector, TableRef(topic), ("id", "kafka_key"))
    assert got.to_pylist() == [{"id": key, "kafka_key": str(key)} for key in (1, 2, 3)]


def test_guarantees_are_said_as_they_are(kafka: Kafka, topic: str) -> None:
    connector = opened(kafka, writable=True)
    assert connector.sinks.open(TableRef(topic), WriteSpec(SCHEMA)).guarantee is Guarantee.APPEND
    compacted = f"{topic}-c"
    kafka.create(compacted, cleanup_policy="compact")
    try:
        keyed = connector.sinks.open(TableRef(compacted), WriteSpec(SCHEMA, key=("id",)))
        assert keyed.guarantee is Guarantee.KEYED
        keyed.write(batch(compacted, 1), 1)
        deleted = batch(compacted, 1)
        keyed.write(Changes(deleted.table, deleted.rows, pa.array(["delete"]), deleted.first, deleted.last), 2)
        keyed.commit(None)
        keyed.close()
        got = scan(connector, TableRef(compacted), ("kafka_key", "v"))
        assert got.to_pylist() == [{"kafka_key": "1", "v": "v1"}, {"kafka_key": "1", "v": None}]
    finally:
        kafka.drop(compacted)
    with pytest.raises(Unsupported):
        connector.sinks.open(TableRef(topic), WriteSpec(SCHEMA, mode="upsert", key=("id",)))


def test_a_row_that_json_cannot_hold_is_refused_and_the_others_are_written(kafka: Kafka, topic: str) -> None:
    connector = opened(kafka, writable=True)
    rows = pa.RecordBatch.from_pydict({"id": [1, 2, 3], "x": [0.5, float("nan"), float("inf")]})
    writer = connector.sinks.open(TableRef(topic), WriteSpec(rows.schema))
    place = Position("s", "1")
    rejects = writer.write(Changes(TableRef(topic), rows, None, place, place), 1)
    assert (rejects.count, "JSON" in rejects.samples[0]) == (2, True)
    writer.commit(None)
    writer.close()
    assert scan(connector, TableRef(topic), ("id", "x")).to_pylist() == [{"id": 1, "x": 0.5}]


def test_a_group_shows_what_was_confirmed(kafka: Kafka, topic: str) -> None:
    kafka.send(topic, [{"id": number} for number in range(3)])
    connector = opened(kafka, group="dashboards")
    feed = connector.feeds.subscribe(TableRef(topic), "0", None, RecordingControl())
    last = next(entry for entry in feed if isinstance(entry, Changes)).last
    feed.confirm(last)
    feed.close()
    watcher = confluent_kafka.Consumer({"bootstrap.servers": kafka.servers, "group.id": "dashboards"})
    (found,) = watcher.committed([confluent_kafka.TopicPartition(topic, 0)], timeout=60)
    watcher.close()
    assert found.offset == 3


@pytest.mark.parametrize("user", [{}, {"user": USER, "sasl_mechanism": "PLAIN"}])
def test_users_log_in(kafka: Kafka, topic: str, user: dict[str, str]) -> None:
    kafka.send(topic, [{"id": 1}])
    connector = opened(kafka, port=kafka.sasl_port if user else kafka.port, **user)
    assert connector.test().details["brokers"] == "1"
    assert ids(followed(connector, topic, 1)) == [1]


def test_a_wrong_password_is_said_and_in_no_error(kafka: Kafka) -> None:
    where = {"host": kafka.host, "port": kafka.sasl_port, "user": USER, "sasl_mechanism": "PLAIN"}
    connector = KafkaConnector(ConnectionConfig("kafka", where, {"password": Secret("wr0ng-canary")}))
    with pytest.raises(AuthenticationFailed) as caught:
        connector.test()
    assert "wr0ng-canary" not in str(caught.value)


def test_tls_with_the_right_authority_and_with_another(kafka: Kafka, topic: str) -> None:
    kafka.send(topic, [{"id": 1}])
    secure = opened(kafka, port=kafka.tls_port, tls="verify", ca_file=str(kafka.certificate))
    assert ids(followed(secure, topic, 1)) == [1]
    assert opened(kafka, port=kafka.tls_port, tls="required").test().product == "Kafka"
    with pytest.raises(Unreachable):
        opened(kafka, port=kafka.tls_port, tls="verify", connect_timeout=3).test()
    with pytest.raises(InvalidParameter, match="ca_file"):
        opened(kafka, ca_file=str(kafka.certificate)).test()


def test_nobody_there_another_protocol_and_no_such_topic(kafka: Kafka) -> None:
    with pytest.raises(Unreachable):
        opened(kafka, port=free_port(), connect_timeout=1).test()
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            while True:
                try:
                    link, _ = door.accept()
                except OSError:
                    return
                with link:
                    link.recv(1000)
                    link.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(SourceError) as caught:
            opened(kafka, port=door.getsockname()[1], connect_timeout=2).test()
        assert "127.0.0.1" in str(caught.value)
    with pytest.raises(UnknownTable):
        opened(kafka).tables.schema(TableRef("no-such-topic"))
    with pytest.raises(UnknownTable):
        opened(kafka).feeds.partitions(TableRef("not a name;"))
    with pytest.raises(UrlRefused):
        opened(kafka, host="169.254.169.254").test()


def test_a_broker_that_dies_is_said_and_nothing_is_lost_when_it_is_back(kafka: Kafka, topic: str) -> None:
    kafka.send(topic, [{"id": number} for number in range(3)])
    connector = opened(kafka, connect_timeout=2)
    feed = connector.feeds.subscribe(TableRef(topic), "0", None, RecordingControl())
    found = [next(entry for entry in feed if isinstance(entry, Changes))]
    kafka.kill()
    try:
        with pytest.raises((ConnectionLost, Unreachable)) as caught:
            for _ in feed:
                pass
        assert "127.0.0.1" in str(caught.value)
        feed.close()
        with pytest.raises(Unreachable):
            connector.feeds.subscribe(TableRef(topic), "0", found[-1].last, RecordingControl())
    finally:
        kafka.start()
    kafka.send(topic, [{"id": 3}])
    place = found[-1].last
    found += followed(opened(kafka), topic, 1, place)
    assert ids(found) == [0, 1, 2, 3]


def test_what_the_driver_raised_may_travel_with_our_error() -> None:
    """Dask's processes send an error with its context."""
    error = confluent_kafka.KafkaException(confluent_kafka.KafkaError(confluent_kafka.KafkaError._TRANSPORT, "gone"))
    with pytest.raises(Unreachable) as caught, Faults("events", "127.0.0.1:1", "", 1.0).named():
        raise error
    assert caught.value.__context__ is error
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args[0].name()) == (confluent_kafka.KafkaException, "_TRANSPORT")
