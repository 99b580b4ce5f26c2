"""What is kept of what servers tell, over a stop and over a cut, and when there is no room for it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.streams.parts import Keep
from tests.streams.sites import Site, site
from workbench.streams import ServerSentEvents, Topology, WebSocket, receiving, spool_segment
from workbench.streams.running import Running

Start = Callable[..., Running]
WAIT = 60


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(receiving, "BACKOFF", 0.01)
    with site() as made:
        yield made


def spools(home: Path) -> list[Path]:
    return list((home / "spools").rglob("*.rows"))


def taken(name: str, spout: Any) -> tuple[Topology, list[Any]]:
    rows: list[Any] = []
    t = Topology(name).spout("in", spout).bolt("out", lambda row: rows.append(tuple(row)), inputs="in")
    return t, rows


def spooled(running: Running) -> int:
    return int(next(iter(running.metrics().now.sources.values()))["spool_rows"])


def test_messages_are_kept_before_they_are_given_out(started: Start, server: Site, eventually: Any, home: Path) -> None:
    t, rows = taken("ws", WebSocket(server.address("/ws", "ws"), "json", ("page", "user")))
    running = started(t)
    eventually(lambda: server.there, within=WAIT)
    running.pause()
    server.say('[{"page": "/a"}, {"page": "/b", "user": 1}]', "no JSON", '{"page": "/c"}')
    eventually(lambda: spooled(running) == 3, within=WAIT)
    running.stop()
    assert not rows
    t, rows = taken("ws", WebSocket(server.address("/ws", "ws"), "json", ("page", "user")))
    running = started(t)
    eventually(lambda: server.there, within=WAIT)
    server.say('{"page": "/d"}')
    eventually(lambda: [page for page, _ in rows] == ["/a", "/b", "/c", "/d"], within=WAIT)
    eventually(lambda: not spooled(running), within=WAIT)
    running.stop()
    assert not list((home / "spools").iterdir())


@pytest.mark.parametrize("state", [False, True])
def test_events_go_on_behind_the_last_one_that_was_kept(
    started: Start, server: Site, eventually: Any, state: bool
) -> None:
    """Also when all was done: with state a run goes on where the one before was, without it a new one begins anew."""
    server.say("data: one", "event: order\ndata: two")
    t, rows = taken("sse", ServerSentEvents(server.address("/events")))
    running = started(t, state=state)
    eventually(lambda: len(rows) == 2, within=WAIT)
    running.pause()
    server.say("data: three")
    eventually(lambda: spooled(running) >= 1, within=WAIT)
    running.stop()
    server.say("data: while there was nobody")
    t, rows = taken("sse", ServerSentEvents(server.address("/events")))
    running = started(t, state=state)
    eventually(lambda: rows == [("message", "three", "3"), ("message", "while there was nobody", "4")], within=WAIT)
    assert server.asked[-1]["Last-Event-Id"] == "3"
    eventually(lambda: state or not spooled(running), within=WAIT)
    running.stop()
    t, rows = taken("sse", ServerSentEvents(server.address("/events")))
    started(t, state=state)
    server.say("data: five")
    last = ("message", "five", "5")
    eventually(lambda: rows == [last] if state else len(rows) == 5, within=WAIT)
    assert server.asked[-1].get("Last-Event-Id") == ("4" if state else None)


def test_a_full_spool_holds_a_server_up(started: Start, server: Site, eventually: Any, home: Path) -> None:
    t, rows = taken("held", WebSocket(server.address("/ws", "ws"), spool=1 << 20))
    running = started(t)
    eventually(lambda: server.there, within=WAIT)
    running.pause()
    texts = [f"{number:05d}" + "x" * 50_000 for number in range(60)]
    server.say(*texts)
    eventually(lambda: sum(path.stat().st_size for path in spools(home)) > 900_000, within=WAIT)
    assert sum(path.stat().st_size for path in spools(home)) < 1_200_000
    running.resume()
    eventually(lambda: len(rows) == 60, within=WAIT)
    assert [row[0][:5] for row in rows] == [text[:5] for text in texts]


def test_a_full_disk_holds_a_server_up_and_loses_nothing(
    started: Start, server: Site, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.streams.depot.AGAIN", 0.01)
    t, rows = taken("full", WebSocket(server.address("/ws", "ws")))
    running, write = started(t), spool_segment.written
    eventually(lambda: server.there, within=WAIT)

    def full(file: int, data: bytes, at: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spool_segment, "written", full)
    server.say("a", "b")
    eventually(lambda: any("cannot be written (No space left" in line for line in running.log), within=WAIT)
    assert not rows
    monkeypatch.setattr(spool_segment, "written", write)
    server.say("c")
    eventually(lambda: rows == [("a",), ("b",), ("c",)], within=WAIT)


def test_messages_are_on_the_disk_soon_although_there_are_always_more(
    started: Start, server: Site, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.streams.depot.SYNC", 0.05)
    running: Any = started(taken("often", WebSocket(server.address("/ws", "ws")))[0])
    eventually(lambda: server.there, within=WAIT)
    depot = running._engine._wiring.tasks["in"][0].instance._depot
    begin = depot.spool._segments[-1].mark

    def told() -> bool:
        server.say("more")
        return bool(depot.spool._segments[-1].mark > begin)

    eventually(told, within=WAIT, every=0.001)
    size = depot.spool.size
    eventually(lambda: depot.spool._segments[-1].mark + len(depot.spool._segments[-1].flags) >= size, within=WAIT)


def test_what_cannot_be_opened_lets_go_of_its_spool(
    started: Start, server: Site, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    def fail(self: Any, newest: Any, note: Any) -> None:
        raise ValueError("as if it was of a newer version")

    with monkeypatch.context() as patched:
        patched.setattr(ServerSentEvents, "go_on_behind", fail)
        with pytest.raises(ValueError, match="newer version"):
            started(taken("sse", ServerSentEvents(server.address("/events")))[0], state=True)
    t, rows = taken("sse", ServerSentEvents(server.address("/events")))
    started(t, state=True)
    server.say("data: one")
    eventually(lambda: rows, within=WAIT)


def test_an_option_is_kept_with_the_topology() -> None:
    t = Topology("kept").spout("in", WebSocket("ws://a/", spool=1 << 21, queue=5)).bolt("out", Keep("x"), inputs="in")
    again = Topology.from_document(t.to_document()).nodes["in"].component
    assert (again.spool, again.queue) == (1 << 21, 5)
