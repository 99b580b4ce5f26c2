"""Spouts of what servers tell: real servers that cut, stall, refuse, and send too much."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import re
import socket
import threading
import tracemalloc
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.streams.parts import Keep
from tests.streams.sites import Site, site
from workbench.contract.errors import AuthenticationFailed, InvalidParameter, QueryFailed, SecretMissing, UrlRefused
from workbench.contract.secret import Secret
from workbench.runs import subscriber
from workbench.streams import Rate, ServerSentEvents, Topology, Webhook, WebSocket, receiving
from workbench.streams.events import Event, Events
from workbench.streams.receiving import Incoming
from workbench.streams.running import Running
from workbench.testing.clock import SettableClock

Start = Callable[..., Running]
WAIT = 60


@pytest.fixture
def server() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "BACKOFF", 0.01)


def kept(name: str, spout: Any, **config: Any) -> tuple[Topology, list[Any]]:
    rows: list[Any] = []
    return Topology(name, **config).spout("in", spout).bolt(
        "out", lambda row: rows.append(tuple(row)), inputs="in"
    ), rows


def counts(running: Running) -> dict[str, float]:
    [found] = running.metrics().now.sources.values()
    return dict(found)


# --- WebSocket


def test_messages_come_over_a_cut_and_the_cut_is_counted(started: Start, server: Site, eventually: Any) -> None:
    spout = WebSocket(server.address("/ws", "ws"), send='{"subscribe": "views"}')
    t, rows = kept("ws", spout)
    running = started(t)
    eventually(lambda: server.there and server.heard, within=WAIT)
    server.say("one", "zwei é")
    eventually(lambda: rows == [("one",), ("zwei é",)], within=WAIT)
    server.cut()
    eventually(lambda: len(server.heard) == 2, within=WAIT)  # it has come again, and has said so
    server.say("three")
    eventually(lambda: rows[2:] == [("three",)], within=WAIT)
    assert set(server.heard) == {'{"subscribe": "views"}'}
    found = counts(running)
    assert (found["received"], found["reconnects"], found["connected"]) == (3, 1, 1)
    assert any("has ended the connection" in line for line in running.log)
    assert "in: 1 reconnects" in repr(running)
    assert (
        'workbench_stream_source_reconnects_total{topology="ws",component="in",task=' in running.metrics().prometheus()
    )
    assert running.metrics().count("acked", "in") == 3


def test_json_becomes_fields_and_what_is_none_is_left_out(started: Start, server: Site, eventually: Any) -> None:
    t, rows = kept("json", WebSocket(server.address("/ws", "ws"), "json", ("page", "user")))
    running = started(t)
    eventually(lambda: server.there, within=WAIT)
    deep = "[" * 100_000
    server.say('{"page": "/", "user": 1, "more": 2}', "{no", deep, '[{"page": "/a"}, ["/b", 3]]', "7", '{"user": 4}')
    eventually(lambda: len(rows) == 4, within=WAIT)
    assert rows == [("/", 1), ("/a", None), ("/b", 3), (None, 4)]
    assert counts(running)["unreadable"] == 3
    assert sum("left out" in line for line in running.log) == 3


def test_a_whole_value_of_json_is_one_field(started: Start, server: Site, eventually: Any) -> None:
    t, rows = kept("values", WebSocket(server.address("/ws", "ws"), "json"))
    started(t)
    eventually(lambda: server.there, within=WAIT)
    server.say("null", "[1, 2]", '"text"')
    eventually(lambda: rows == [(None,), ([1, 2],), ("text",)], within=WAIT)


def test_a_server_that_says_nothing_is_left_and_asked_again(started: Start, server: Site, eventually: Any) -> None:
    t, rows = kept("stall", WebSocket(server.address("/ws", "ws"), stall="50ms"))
    running = started(t)
    eventually(lambda: counts(running)["stalls"] >= 2, within=WAIT)
    eventually(lambda: (server.say("at last"), rows)[1], within=WAIT, every=0.02)
    assert counts(running)["reconnects"] >= 2


def test_a_message_that_is_too_large_is_cut_off(started: Start, server: Site, eventually: Any) -> None:
    t, rows = kept("large", WebSocket(server.address("/ws", "ws"), largest=1_000))
    running = started(t)
    eventually(lambda: server.there, within=WAIT)
    server.say("x" * 1_001)
    eventually(lambda: counts(running)["too_large"] == 1, within=WAIT)
    eventually(lambda: server.there, within=WAIT)
    eventually(lambda: (server.say("y" * 1_000), rows)[1], within=WAIT, every=0.02)
    assert rows[0] == ("y" * 1_000,)


def test_a_frame_of_a_gigabyte_is_not_taken_in(started: Start, eventually: Any) -> None:
    """The server says how long it will be, and sends as fast as it can."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            with taken:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += taken.recv(4096)
                [key] = re.findall(rb"(?i)sec-websocket-key: *(\S+)", asked)
                accept = b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                head = b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
                taken.sendall(head + b"\r\n\r\n\x81\x7f" + (1 << 30).to_bytes(8, "big"))
                try:
                    for _ in range(1 << 14):
                        taken.sendall(b"x" * (1 << 16))
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    tracemalloc.start()
    try:
        t, rows = kept("gigabyte", WebSocket(f"ws://127.0.0.1:{listening.getsockname()[1]}/"))
        running = started(t)
        eventually(lambda: counts(running)["too_large"] >= 2, within=WAIT)
        assert not rows
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
        running.stop()
    finally:
        tracemalloc.stop()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(WAIT)


def test_a_refusal_for_good_fails_the_run_and_a_passing_one_does_not(
    started: Start, server: Site, eventually: Any
) -> None:
    server.refuse = 503
    t, _ = kept("refused", WebSocket(server.address("/ws?token=geheim", "ws")))
    running = started(t)
    eventually(lambda: counts(running)["reconnects"] >= 2, within=WAIT)
    server.refuse = 403
    with pytest.raises(AuthenticationFailed, match=r"/ws did not let `us` in: it answers 403") as caught:
        running.wait(WAIT)
    assert "geheim" not in str(caught.value) + "".join(running.log)
    server.refuse = 404
    t, _ = kept("missing", WebSocket(server.address("/ws", "ws")))
    with pytest.raises(QueryFailed, match="404"):
        started(t).wait(WAIT)


def test_what_waits_is_bounded_and_holds_the_source_up(started: Start, server: Site, eventually: Any) -> None:
    t, _ = kept("slow", WebSocket(server.address("/ws", "ws"), queue=10), max_spout_pending=1)
    running = started(t)
    eventually(lambda: server.there, within=WAIT)
    running.pause()
    server.say(*map(str, range(500)))
    eventually(lambda: counts(running)["queued"] == 10, within=WAIT)
    assert counts(running)["received"] <= 11
    running.resume()
    eventually(lambda: running.metrics().count("acked", "in") == 500, within=WAIT)


def test_it_ends_soon_although_the_server_says_nothing(started: Start, server: Site, eventually: Any) -> None:
    for spout in (WebSocket(server.address("/ws", "ws")), ServerSentEvents(server.address("/events"))):
        running = started(kept("silent", spout)[0])
        eventually(lambda running=running: counts(running)["connected"], within=WAIT)
        running.stop()
        assert running.state == "stopped"
        name = "workbench-spout-in"
        eventually(lambda name=name: name not in {one.name for one in threading.enumerate()}, within=WAIT)


def test_headers_are_sent_and_secrets_are_kept_nowhere(
    started: Start, server: Site, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_TOKEN", "Bearer geheim")
    headers: dict[str, Any] = {"Authorization": "env:SITE_TOKEN", "X-Key": Secret("auch geheim"), "X-Plain": "open"}
    for spout in (
        WebSocket(server.address("/ws", "ws"), headers=headers),
        ServerSentEvents(server.address("/events"), headers=headers),
    ):
        server.asked.clear()
        running = started(kept("headers", spout)[0])
        eventually(lambda: server.asked, within=WAIT)
        [asked] = server.asked
        assert (asked["Authorization"], asked["X-Key"], asked["X-Plain"]) == ("Bearer geheim", "auch geheim", "open")
        assert "geheim" not in repr(spout.arguments) + repr(running) + "".join(running.log)
    monkeypatch.delenv("SITE_TOKEN")
    with pytest.raises(SecretMissing, match="env:SITE_TOKEN"):
        started(kept("none", WebSocket(server.address("/ws", "ws"), headers=headers))[0]).wait(WAIT)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: WebSocket("http://a/"), "ws://host"),
        (lambda: WebSocket("ws://user:geheim@a/"), "password"),
        (lambda: WebSocket("ws:///x"), "ws://host"),
        (lambda: WebSocket("ws://a:99999/"), "its form"),
        (lambda: WebSocket("ws://a/#x"), "#"),
        (lambda: ServerSentEvents("file:///etc/passwd"), "http://host"),
        (lambda: ServerSentEvents("ws://a/"), "http://host"),
        (lambda: WebSocket("ws://a/", headers={"Authorization": "geheim"}), "looks like a secret"),
        (lambda: WebSocket("ws://a/", headers={"X\r\nY": "z"}), "which is none"),
        (lambda: WebSocket("ws://a/", headers={"X": "a\r\nB: c"}), "one line"),
        (lambda: WebSocket("ws://a/", "yaml"), "'text' or 'json'"),
        (lambda: WebSocket("ws://a/", fields=("a",)), "parse='json'"),
        (lambda: WebSocket("ws://a/", "json", "page"), "are names"),
        (lambda: WebSocket("ws://a/", largest=0), "largest"),
        (lambda: WebSocket("ws://a/", queue=0), "queue"),
        (lambda: WebSocket("ws://a/", stall="soon"), "stall"),
        (lambda: ServerSentEvents("http://a/", last="a\nb"), "one line"),
        (lambda: ServerSentEvents("http://a/", events="order"), "are types"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_written(make: Callable[[], Any], said: str) -> None:
    with pytest.raises((UrlRefused, InvalidParameter), match=said) as caught:
        make()
    assert "geheim" not in str(caught.value)


def test_one_task_receives(started: Start, server: Site) -> None:
    t = (
        Topology("two")
        .spout("in", WebSocket(server.address("/ws", "ws")), parallelism=2)
        .bolt("out", print, inputs="in")
    )
    with pytest.raises(InvalidParameter, match="each task would receive"):
        started(t)


def test_they_receive_in_worker_processes_too(
    started: Start, server: Site, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_KEY", "geheim")
    t = Topology("far").spout("in", WebSocket(server.address("/ws", "ws")))
    t.spout("hook", Webhook(secret="env:HOOK_KEY", reply="acked")).spout("rate", Rate(1_000, total=50))
    t.bolt("keep", Keep("far"), inputs=["in", "hook"]).bolt("kept", Keep("rate"), inputs="rate")
    running = started(t, runner="processes", workers=1)
    eventually(lambda: server.there, within=WAIT)
    server.say("a", "b")
    eventually(lambda: running.metrics().count("acked", "in") == 2, within=WAIT)
    eventually(lambda: running.metrics().count("acked", "rate") == 50, within=WAIT)

    def port() -> int:
        sources = running.metrics().now.sources
        return next((int(found["port"]) for (name, _), found in sources.items() if name == "hook"), 0)

    asking = http.client.HTTPConnection("127.0.0.1", eventually(port, within=WAIT), timeout=WAIT)
    asking.request("POST", "/", b"1", {"Authorization": "Bearer geheim"})
    assert asking.getresponse().status == 200
    asking.close()
    server.cut()
    eventually(lambda: server.there, within=WAIT)
    engine = running.engine
    assert engine is not None

    def told() -> bool:
        text = asyncio.run(subscriber.text(engine, running.id, "metrics", 1 << 22))
        acked = f'workbench_stream_acked_total{{topology="far",run="{running.id}",component="rate",task="'
        return acked in text and "workbench_stream_source_reconnects_total" in text

    eventually(told, within=WAIT)  # workers tell a few times a second


# --- Server-Sent Events


def test_events_go_on_behind_the_last_id(started: Start, server: Site, eventually: Any) -> None:
    server.prefix = ": a comment\n"
    server.say("data: one", "event: order\ndata: two\ndata: lines", "event: ping")
    t, rows = kept("sse", ServerSentEvents(server.address("/events")))
    running = started(t)
    expected = [("message", "one", "1"), ("order", "two\nlines", "2")]
    eventually(lambda: rows == expected, within=WAIT)
    server.cut()
    server.say("data: while there was nobody")
    eventually(lambda: rows[2:] == [("message", "while there was nobody", "4")], within=WAIT)
    assert [one.get("Last-Event-Id") for one in server.asked] == [None, "3"]
    assert counts(running)["reconnects"] == 1
    server.cut()
    server.refuse = 204
    running.wait(WAIT)  # there is nothing more, ever
    assert running.state == "done"


def test_events_of_a_type_with_json(started: Start, server: Site, eventually: Any) -> None:
    server.say(
        'event: order\ndata: {"id": 1, "total": 2.5}',
        'data: {"id": 0}',
        "event: order\ndata: {",
        'event: order\ndata: {"id": 2}',
    )
    spout = ServerSentEvents(server.address("/events"), "json", ("id", "total"), events=("order",), last="0")
    t, rows = kept("orders", spout)
    running = started(t)
    eventually(lambda: rows == [(1, 2.5), (2, None)], within=WAIT)
    assert counts(running)["unreadable"] == 1


def test_a_silent_stream_is_asked_for_again(started: Start, server: Site, eventually: Any) -> None:
    server.silent = True
    t, rows = kept("silent", ServerSentEvents(server.address("/events"), stall="50ms"))
    running = started(t)
    eventually(lambda: counts(running)["stalls"] >= 2, within=WAIT)
    server.silent = False
    server.say("data: x")
    eventually(lambda: rows, within=WAIT)


def test_ids_that_jump_back_are_the_servers_own(started: Start, server: Site, eventually: Any) -> None:
    """The server's list was made anew: the rows come, and the next time it is asked behind the new id."""
    server.say("data: a", "data: b")
    t, rows = kept("back", ServerSentEvents(server.address("/events")))
    started(t)
    eventually(lambda: len(rows) == 2, within=WAIT)
    server.within(server.said.clear)
    server.prefix = "id: 0\n"
    server.cut()
    eventually(lambda: server.there, within=WAIT)
    server.cut()
    eventually(lambda: server.asked[-1].get("Last-Event-Id") == "0", within=WAIT)
    server.say("data: new")
    eventually(lambda: rows[2:] == [("message", "new", "1")], within=WAIT)


def test_an_event_that_is_too_large_is_left_out_and_the_next_one_comes(
    started: Start, server: Site, eventually: Any
) -> None:
    server.say(f"data: {'x' * (20 << 20)}", "data: y")
    t, rows = kept("large", ServerSentEvents(server.address("/events"), largest=1 << 16))
    running = started(t)
    eventually(lambda: rows == [("message", "y", "2")], within=WAIT)
    assert counts(running)["too_large"] == 1
    assert counts(running)["reconnects"] == 0


def test_what_is_no_stream_of_events_fails_the_run(started: Start, server: Site) -> None:
    with pytest.raises(QueryFailed, match="is no stream of events"):
        started(kept("none", ServerSentEvents(server.address("/nothing")))[0]).wait(WAIT)


def of(text: bytes, largest: int = 100, step: int = 1) -> list[Event]:
    events = Events(largest)
    return [one for at in range(0, len(text), step) for one in events.feed(text[at : at + step])]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
        (b"data:a\r\ndata: b\r\rdata:  c\n\r\n", [("message", "a\nb", ""), ("message", " c", "")]),
        (b"id: 7\nevent: x\ndata\n\ndata: d\n\n", [("x", "", "7"), ("message", "d", "7")]),
        (b"id: 1\0\ndata: a\n\nid\ndata: b\n\n", [("message", "a", ""), ("message", "b", "")]),
        (b": c\nretry: 10\nnothing: x\nevent: y\n\ndata: z\n\n", [("message", "z", "")]),
        (b"data: not ended\n", []),
        (b"data: \xff\n\n", [("message", "\ufffd", "")]),
    ],
)
def test_bytes_become_events_by_the_standard(text: bytes, expected: list[Any], step: int) -> None:
    assert [(one.kind, one.data, one.id) for one in of(text, step=step)] == expected


@pytest.mark.parametrize("step", [1, 50, 1000])
def test_an_event_of_just_so_many_bytes_is_taken(step: int) -> None:
    events = of(b"data: " + b"x" * 100 + b"\n\n" + b"id: 3\ndata: " + b"x" * 101 + b"\n\ndata: y\n\n", step=step)
    assert [(len(one.data), one.id, one.too_large) for one in events] == [
        (100, "", False),
        (0, "3", True),
        (1, "3", False),
    ]
    many = of(b"data: " + b"x\ndata: " * 200 + b"\n\ndata: y\n\n", step=step)
    assert [one.too_large for one in many] == [True, False]


def test_a_line_of_a_gigabyte_takes_no_memory() -> None:
    events, chunk = Events(1 << 20), b"x" * (1 << 20)
    tracemalloc.start()
    try:
        assert list(events.feed(b"data: a\n\ndata: ")) != []
        for _ in range(1 << 10):
            assert not list(events.feed(chunk))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        [event] = events.feed(b"\n\n")
        assert event.too_large
    finally:
        tracemalloc.stop()


# --- the queue


def test_the_queue_is_bounded_by_rows_and_by_bytes() -> None:
    queue = Incoming(3, 100)
    assert [queue.offer(one, 10) for one in "abcd"] == [True, True, True, False]
    assert [queue.take() for _ in range(4)] == ["a", "b", "c", None]
    assert queue.offer("large", 1_000)  # one may be larger than all that may wait
    assert not queue.offer("x", 1)
    assert queue.take() == "large"
    assert queue.offer("x", 100)
    assert not queue.offer("y", 1)
    queue.close()
    assert not queue.put("z")
    assert queue.take() is None


def test_who_waits_for_room_is_let_go() -> None:
    queue = Incoming(1)
    queue.put("a")
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(queue.put("b")))
    waiting.start()
    queue.close()
    waiting.join(WAIT)
    assert answers == [False]


# --- so many a second


def test_rows_come_by_the_clock_and_none_is_left_out(started: Start, eventually: Any) -> None:
    clock = SettableClock()
    t, rows = kept("rate", Rate(10, total=25))
    running = started(t, clock=clock)
    eventually(lambda: [row[0] for row in rows] == [0], within=WAIT)
    clock.advance(0.5)
    eventually(lambda: [row[0] for row in rows] == [0, 1, 2, 3, 4, 5], within=WAIT)
    assert rows[5] == (5, 500.0)
    clock.advance(100)
    running.wait(WAIT)
    assert [row[0] for row in rows] == list(range(25))


def test_tasks_share_the_numbers_and_rows_are_made(started: Start) -> None:
    seen: list[Any] = []
    t = Topology("shared").spout(
        "in", Rate(1e6, lambda number: (f"/{number}", number % 3), ("page", "user"), total=100), parallelism=3
    )
    t.bolt("out", lambda row: seen.append((row.page, row.user)), inputs="in")
    started(t).wait(WAIT)
    assert sorted(seen) == sorted((f"/{number}", number % 3) for number in range(100))


@pytest.mark.parametrize("rate", [0, -1, float("nan"), True])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(InvalidParameter, match="rows_per_second"):
        Rate(rate)
