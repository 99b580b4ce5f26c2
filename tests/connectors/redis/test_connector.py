"""What only Redis has: ids and their times, trimming, log-ins, a server that dies."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.services.redis.server import USER, Redis
from workbench.catalog import Catalog
from workbench.contract import Changes, ConnectionConfig, Guarantee, Position, SchemaChange, TableRef, WriteSpec
from workbench.contract.errors import (
    AuthenticationFailed,
    ConnectionLost,
    InvalidParameter,
    PositionLost,
    SourceError,
    StatementRefused,
    UnknownTable,
    Unreachable,
    Unsupported,
    UrlRefused,
)
from workbench.contract.secret import Secret
from workbench.streams import Feed, Rate, Sink, Topology
from workbench.testing.control import RecordingControl
from workbench.testing.proxy import free_port
from workbench.testing.scanning import scan
from workbench_redis.connector import RedisConnector
from workbench_redis.feeds import missing
from workbench_redis.streams import About

SCHEMA = pa.schema([("id", pa.int64()), ("v", pa.string())])
NAME = TableRef("orders")
_OPENED: list[RedisConnector] = []
"""By the test that runs."""


@pytest.fixture
def server(redis_server: Redis) -> Iterator[Redis]:
    """Empty, whatever other tests of the session have left."""
    with redis_server.client() as client:
        client.flushall()
    yield redis_server
    while _OPENED:
        _OPENED.pop().close()
    with redis_server.client() as client:
        client.flushall()


def opened(server: Redis, tables: Any = None, writable: bool = False, **more: Any) -> RedisConnector:
    usual = server.config(writable, **more)
    _OPENED.append(
        RedisConnector(ConnectionConfig(usual.name, usual.parameters, usual.secrets, writable, tables or {}))
    )
    return _OPENED[-1]


def add(server: Redis, *entries: tuple[str, dict[str, Any]]) -> None:
    with server.client() as client:
        for entry, fields in entries:
            client.xadd(NAME.name, fields, entry)


def followed(connector: RedisConnector, rows: int, after: Position | None = None) -> list[Changes]:
    feed = connector.feeds.subscribe(NAME, "0", after, RecordingControl())
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


def test_an_entry_has_its_id_and_time_and_fields_get_the_types_that_they_look_like(server: Redis) -> None:
    add(server, ("1700000000123-4", {"id": 1, "zip": "01234", "price": "1.5", b"raw": b"\xff"}))
    add(server, ("1700000000124-0", {"id": -7, "zip": "99999", "price": "2"}))
    connector = opened(server)
    got = scan(connector, NAME, connector.tables.schema(NAME).names)
    assert [str(kind) for kind in got.schema.types[2:]] == ["int64", "string", "double", "string"]
    first = got.to_pylist()[0]
    assert first["entry_id"] == "1700000000123-4"
    assert first["entry_time"].timestamp() == 1_700_000_000.123
    assert (first["id"], first["zip"], first["price"], first["raw"]) == (1, "01234", 1.5, "\\xff")
    assert got.column("price").to_pylist() == [1.5, 2.0]
    with server.client() as client:
        client.set("other", "x")
    assert [str(one.table) for one in connector.tables.list()] == ["orders"]
    with pytest.raises(UnknownTable):
        connector.tables.schema(TableRef("other"))


def test_new_fields_are_new_columns_and_a_value_that_does_not_fit_is_null(server: Redis) -> None:
    add(server, ("1-0", {"id": 1}))
    connector = opened(server, hide_meta=True)
    feed = connector.feeds.subscribe(NAME, "0", None, RecordingControl())
    assert next(feed).rows.to_pylist() == [{"id": 1}]  # type: ignore[union-attr]
    add(server, ("2-0", {"id": "x", "more": "y"}))
    entries = [entry for entry, _ in zip(feed, range(3), strict=False) if isinstance(entry, Changes | SchemaChange)]
    feed.close()
    assert entries[-1].rows.to_pylist() == [{"id": None, "more": "y"}]  # type: ignore[union-attr]


def test_entries_that_were_trimmed_behind_a_position_are_said_and_others_are_not(server: Redis) -> None:
    add(server, *((f"{number}-0", {"id": number}) for number in range(1, 7)))
    connector = opened(server)
    source = connector.feeds.source(NAME)
    three = Position(source, "3-0 3")
    with server.client() as client:
        client.xtrim(NAME.name, minid="4-0", approximate=False)
        assert ids(followed(connector, 3, three)) == [4, 5, 6], "none of those that come was trimmed"
        client.xtrim(NAME.name, minid="6-0", approximate=False)
        with pytest.raises(PositionLost, match=r"2 entries after it are gone\. Follow the stream from the beginning"):
            followed(connector, 1, three)
        assert ids(followed(connector, 1)) == [6]
        client.xdel(NAME.name, "6-0")
        with pytest.raises(PositionLost, match="deleted, up to 6-0"):
            followed(connector, 1, Position(source, "5-0 5"))
        client.delete(NAME.name)
    add(server, ("1-0", {"id": 1}))
    with pytest.raises(PositionLost, match="ends before, at 1-0"):
        followed(connector, 1, three)
    for value in ("", "x", "1-0", "1-0 y"):
        with pytest.raises(PositionLost):
            followed(connector, 1, Position(source, value))


def test_entries_that_were_deleted_before_anybody_followed_are_no_loss(server: Redis) -> None:
    add(server, *((f"{number}-0", {"id": number}) for number in range(1, 6)))
    connector = opened(server)
    with server.client() as client:
        client.xdel(NAME.name, "3-0")
        feed = connector.feeds.subscribe(NAME, "0", None, RecordingControl())
        changes = next(feed)
        assert isinstance(changes, Changes)
        assert ids([changes]) == [1, 2, 4, 5]
        again = followed(connector, 4, changes.first)
        assert ids(again) == [1, 2, 4, 5], "what is told of the beginning still holds"
        client.xdel(NAME.name, "4-0")
        with pytest.raises(PositionLost, match="deleted, up to 4-0"):
            followed(connector, 1, changes.first)
        assert ids(followed(connector, 3)) == [1, 2, 5]
    feed.close()


def test_a_reader_that_trimming_overtakes_is_told(server: Redis) -> None:
    add(server, *((f"{number}-0", {"id": number}) for number in range(1, 4)))
    connector = opened(server)
    feed = connector.feeds.subscribe(NAME, "0", None, RecordingControl())
    assert next(feed).rows.num_rows == 3  # type: ignore[union-attr]
    with server.client() as client:
        for number in range(4, 10):
            client.xadd(NAME.name, {"id": number}, f"{number}-0", maxlen=2, approximate=False)
    with pytest.raises(PositionLost, match="4 entries after it are gone"):
        for _ in feed:
            pass
    feed.close()


def test_what_is_missing_is_plain_arithmetic() -> None:
    whole = About(3, "1-0", "3-0", 3, "0-0")
    assert missing(whole, "0-0", 0) == ""
    assert missing(About(0, "", "3-0", 3, "0-0"), "3-0", 3) == ""
    assert "3 entries" in missing(About(0, "", "3-0", 3, "0-0"), "0-0", 0)
    assert missing(About(2, "2-0", "3-0", 3, "0-0"), "1-0", 1) == ""
    for length, first, added in ((2, "7-0", 2), (9, "7-0", 9), (0, "", 2)):
        made_again = About(length, first, "15-0", added, "0-0")
        assert "made again" in missing(made_again, "3-0", 3)
    assert missing(About(2, "7-0", "8-0", 2, "0-0", counts=False), "3-0", 3) == ""


def test_rows_and_their_position_are_one_transaction(server: Redis) -> None:
    with server.client() as client:
        client.xgroup_create(NAME.name, "g", mkstream=True)
    connector = opened(server, writable=True)
    spec = WriteSpec(SCHEMA, stream="pipeline")
    writer = connector.sinks.open(NAME, spec)
    assert writer.guarantee is Guarantee.TRANSACTIONAL
    rows = pa.RecordBatch.from_pydict({"id": [1, 2], "v": ["a", None]}, schema=SCHEMA)
    place = Position("s", "1")
    writer.write(Changes(NAME, rows, None, place, place), 1)
    writer.commit(place)
    writer.write(Changes(NAME, rows, None, place, place), 2)
    writer.close()
    again = connector.sinks.open(NAME, spec)
    assert again.position() == place
    again.close()
    assert scan(connector, NAME, ("id", "v")).to_pylist() == [{"id": 1, "v": "a"}, {"id": 2, "v": None}]


class Late:
    """Forwards to the server, but for the next EXEC: that is held back, and who sent it is cut off."""

    def __init__(self, port: int) -> None:
        self._target, self._door = ("127.0.0.1", port), socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.held: list[tuple[socket.socket, bytes]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def arrive(self) -> None:
        for far, data in self.held:
            far.sendall(data)
            assert far.recv(65_536)
            far.close()

    def close(self) -> None:
        self._door.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._door.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far = socket.create_connection(self._target)
        with contextlib.suppress(OSError), near:
            while data := near.recv(65_536):
                if b"EXEC\r\n" in data and not self.held:
                    self.held.append((far, data))
                    return
                far.sendall(data)
                near.sendall(far.recv(65_536))
        far.close()


def test_a_commit_that_is_late_on_its_way_is_there_once(server: Redis) -> None:
    with server.client() as client:
        client.xgroup_create(NAME.name, "g", mkstream=True)
    late = Late(server.port)
    rows = pa.RecordBatch.from_pydict({"id": [1, 2], "v": ["a", "b"]}, schema=SCHEMA)
    place = Position("s", "1")
    spec = WriteSpec(SCHEMA, stream="pipeline")
    writer = opened(server, writable=True, port=late.port).sinks.open(NAME, spec)
    assert writer.position() is None
    writer.write(Changes(NAME, rows, None, place, place), 1)
    writer.commit(place)  # cut off, and done anew
    assert writer.position() == place
    writer.close()
    assert len(late.held) == 1
    late.arrive()
    late.close()
    other = opened(server, writable=True).sinks.open(NAME, spec)  # as if it had asked before the late one came
    other.write(Changes(NAME, rows, None, place, place), 1)
    other.commit(place)
    other.close()
    assert scan(opened(server), NAME, ("id",)).column("id").to_pylist() == [1, 2]


def test_entries_with_ids_of_their_own_are_there_once(server: Redis) -> None:
    connector = opened(server, writable=True)
    schema = pa.schema([("entry_id", pa.string()), ("id", pa.int64())])
    for _ in range(2):
        writer = connector.sinks.open(NAME, WriteSpec(schema, key=("entry_id",), create=True))
        assert writer.guarantee is Guarantee.KEYED
        rows = pa.RecordBatch.from_pydict({"entry_id": ["5-1", "5-2"], "id": [1, 2]}, schema=schema)
        place = Position("s", "1")
        writer.write(Changes(NAME, rows, None, place, place), 1)
        writer.commit(None)
        writer.close()
    assert scan(connector, NAME, ("entry_id", "id")).to_pylist() == rows.to_pylist()
    with pytest.raises(Unsupported):
        connector.sinks.open(NAME, WriteSpec(schema, mode="upsert", key=("entry_id",)))


def test_a_group_shows_what_was_confirmed(server: Redis) -> None:
    add(server, *((f"{number}-0", {"id": number}) for number in range(1, 4)))
    connector = opened(server, group="dashboards")
    feed = connector.feeds.subscribe(NAME, "0", None, RecordingControl())
    last = next(entry for entry in feed if isinstance(entry, Changes)).last
    for _ in range(2):
        feed.confirm(last)
    feed.close()
    with server.client() as client:
        (group,) = client.xinfo_groups(NAME.name)
    assert (group["name"], group["last-delivered-id"], group["lag"]) == (b"dashboards", b"3-0", 0)


def test_a_stream_that_is_deleted_and_made_again_is_told_although_its_ids_go_on(server: Redis) -> None:
    """Ids are times, so those of the new one are greater: what came before it was deleted would be left out."""
    connector = opened(server)
    with server.client() as client:
        for number in range(3):
            client.xadd(NAME.name, {"id": number})
        place = followed(connector, 3)[-1].last
        for count in (1, 5):
            client.xadd(NAME.name, {"id": 100})
            client.delete(NAME.name)
            for number in range(count):
                client.xadd(NAME.name, {"id": number})
            with pytest.raises(PositionLost, match=r"deleted and made again.*Follow the stream from the beginning"):
                followed(connector, 1, place)
        assert len(ids(followed(connector, 5))) == 5


FOLLOWS = ("+hello", "+ping", "+info", "+select", "+client|setname", "+scan", "+exists",
           "+xinfo|stream", "+xrange", "+xrevrange", "+xread", "+multi", "+exec")  # fmt: skip


def test_a_user_who_may_only_follow_one_stream(server: Redis) -> None:
    """The rights that it needs, as the docs say them; what else it asks for is refused by name."""
    add(server, ("1-0", {"id": 1}))
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~orders", "resetchannels", "-@all", *FOLLOWS)
        client.xadd("other", {"id": 1})
        try:
            where = {**server.config().parameters, "user": "narrow"}
            connector = RedisConnector(ConnectionConfig("r", where, {"password": Secret("pw")}, writable=True))
            assert connector.test().version
            assert ids(followed(connector, 1)) == [1]
            assert scan(connector, NAME, ("id",)).to_pylist() == [{"id": 1}]
            with pytest.raises(StatementRefused, match="lacks the right"):
                connector.tables.schema(TableRef("other"))
            rows = pa.RecordBatch.from_pydict({"id": [2]})
            writer = connector.sinks.open(NAME, WriteSpec(rows.schema))
            writer.write(Changes(NAME, rows, None, Position("s", "1"), Position("s", "1")), 1)
            with pytest.raises(StatementRefused, match="lacks the right"):
                writer.commit(None)
            feed = connector.feeds.subscribe(NAME, "0", None, RecordingControl())
            assert next(feed).rows.num_rows == 1  # type: ignore[union-attr]
            client.execute_command("ACL", "SETUSER", "narrow", "-xrange")
            with pytest.raises(StatementRefused, match="xrange"):
                for _ in feed:
                    pass
            feed.close()
            connector.close()
        finally:
            client.execute_command("ACL", "DELUSER", "narrow")
            client.delete("other")
    assert scan(opened(server), NAME, ("id",)).num_rows == 1, "nothing was written"


def test_tls_log_in_and_what_else_is_refused(server: Redis) -> None:
    secure = opened(server, port=server.tls_port, tls="verify", ca_file=str(server.certificate))
    assert secure.test().version
    secure.close()
    with pytest.raises(Unreachable):
        opened(server, port=server.tls_port, tls="verify").test()
    wrong = ConnectionConfig("r", server.config().parameters, {"password": Secret("wr0ng-canary")})
    with pytest.raises(AuthenticationFailed) as caught:
        RedisConnector(wrong).test()
    assert "wr0ng-canary" not in str(caught.value)
    assert USER in str(caught.value)
    with pytest.raises(Unreachable):
        opened(server, port=free_port()).test()
    with pytest.raises(SourceError):  # another protocol
        opened(server, port=server.tls_port, connect_timeout=2).test()
    with pytest.raises(UrlRefused):
        opened(server, host="169.254.169.254").test()
    with pytest.raises(InvalidParameter):
        opened(server, ca_file="x").test()


def test_a_server_that_dies_is_said_and_nothing_is_lost_when_it_is_back(server: Redis) -> None:
    add(server, *((f"{number}-0", {"id": number}) for number in range(1, 4)))
    connector = opened(server, connect_timeout=2)
    feed = connector.feeds.subscribe(NAME, "0", None, RecordingControl())
    found = [next(entry for entry in feed if isinstance(entry, Changes))]
    server.kill()
    try:
        with pytest.raises((ConnectionLost, Unreachable)):
            for _ in feed:
                pass
        feed.close()
    finally:
        server.start()
    add(server, ("4-0", {"id": 4}))
    found += followed(opened(server), 1, found[-1].last)
    assert ids(found) == [1, 2, 3, 4]


def test_a_topology_follows_a_stream_over_the_server_s_restart(
    server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    add(server, ("1-0", {"id": 1}))
    catalog = Catalog()
    catalog.connect("bus", server.url(connect_timeout="2"), secret=Secret(server.password))
    catalog.close()
    got: list[int] = []
    t = (
        Topology("orders")
        .spout("orders", Feed("bus.orders"))
        .bolt("out", lambda row: got.append(row.id), inputs="orders")
    )
    running = t.run()
    try:
        eventually(lambda: got == [1], within=60)
        server.kill()
        server.start()
        add(server, ("2-0", {"id": 2}))
        eventually(lambda: got == [1, 2], within=60)
    finally:
        running.stop(10)


def test_a_topology_says_what_was_trimmed_and_waits_for_a_stream_that_is_gone(
    server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    """Over TLS, by an authority of one's own."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    add(server, ("1-0", {"id": 1}), ("2-0", {"id": 2}))
    catalog, kept = Catalog(), tmp_path / "position.json"
    url = f"redis://{USER}@{server.host}:{server.tls_port}/0?tls=verify&ca_file={server.certificate}"
    catalog.connect("bus", url, secret=Secret(server.password))
    catalog.close()

    def start(**more: Any) -> tuple[Any, list[int]]:
        got: list[int] = []
        t = Topology("orders").spout("orders", Feed("bus.orders", position_file=kept, **more))
        return t.bolt("out", lambda row: got.append(row.id), inputs="orders").run(), got

    running, got = start()
    try:
        eventually(lambda: got == [1, 2], within=60)
    finally:
        running.stop(20)
    add(server, *((f"{number}-0", {"id": number}) for number in range(3, 8)))
    with server.client() as client:
        client.xtrim(NAME.name, minid="6-0", approximate=False)
    running, _ = start()
    try:
        with pytest.raises(PositionLost, match="3 entries after it are gone"):
            running.wait(60)
    finally:
        running.stop(20)
    running, got = start(lost="begin")
    try:
        eventually(lambda: got == [6, 7], within=60)
        with server.client() as client:
            client.delete(NAME.name)
        eventually(lambda: any("again in" in line for line in list(running.log)), within=60)
        add(server, ("9-0", {"id": 9}))
        eventually(lambda: got == [6, 7, 9], within=60)
    finally:
        running.stop(20)


def test_a_topology_writes_into_a_stream_that_has_entries(
    server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the entries' own columns among those that are read."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    add(server, ("1-0", {"id": 1}))
    catalog = Catalog()
    catalog.connect("bus", server.url(), secret=Secret(server.password), writable=True)
    catalog.close()
    for first in (10, 20):
        numbers = Rate(1_000, lambda number, first=first: (first + number,), ("id",), total=2)  # type: ignore[misc]
        t = Topology("writes", snapshot_every="100ms").spout("rows", numbers)
        running = t.bolt("save", Sink("bus.orders"), inputs="rows").run(state=tmp_path / f"{first}.sqlite")
        try:
            running.wait(60)
        finally:
            running.stop(20)
    assert scan(opened(server), NAME, ("id",)).column("id").to_pylist() == [1, 10, 11, 20, 21]
    writer = opened(server, writable=True).sinks.open(NAME, WriteSpec(pa.schema([("entry_id", pa.string())])))
    rows = pa.RecordBatch.from_pydict({"entry_id": ["5-0"]})
    with pytest.raises(InvalidParameter, match="leave it out"):
        writer.write(Changes(NAME, rows, None, Position("s", "1"), Position("s", "1")), 1)
