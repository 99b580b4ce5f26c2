"""One topic by each way there is: no number is missing, the slow harm nobody, who never reads is dropped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import websocket
from tornado import web
from tornado.httpclient import HTTPClientError

from tests.server.viewers import WAYS, Viewer, follows
from workbench.runs import Run
from workbench.runs.publisher import PACE, Publisher
from workbench.server import comet, live, looking, socket_io
from workbench.server.app import WorkbenchApp
from workbench.server.looking import Viewers
from workbench.server.services import Services

BLOB = "x" * 200_000


@pytest.fixture
def publisher(services: Services) -> Iterator[Publisher]:
    publisher = Publisher(services.register)
    publisher.open()
    yield publisher
    publisher.close()


@pytest.fixture
def run(services: Services) -> Run:
    return services.register.begin("topology", "counts")


@pytest.fixture
def address(jp_serverapp: Any, jp_fetch: Any, http_server_port: Any) -> str:
    return f"http://127.0.0.1:{http_server_port[-1]}{jp_serverapp.base_url}workbench/api/"


@pytest.fixture
def known(jp_serverapp: Any) -> dict[str, str]:
    return {"Authorization": f"token {jp_serverapp.identity_provider.token}"}


@pytest.fixture
def viewers(jp_serverapp: Any) -> Viewers:
    found: Viewers = jp_serverapp.web_app.settings.setdefault("workbench_viewers", Viewers())
    return found


Look = Callable[[str, str], Viewer]


@pytest.fixture
def look(address: str, known: dict[str, str], jp_asyncio_loop: Any) -> Iterator[Look]:
    """`look(way, topic)`: a viewer, which goes with the test."""
    there: list[Viewer] = []

    def made(way: str, topic: str) -> Viewer:
        there.append(WAYS[way](address, topic, known))
        return there[-1]

    yield made

    async def closed() -> None:  # while the server goes on
        await asyncio.gather(*(asyncio.to_thread(viewer.close) for viewer in there))

    jp_asyncio_loop.run_until_complete(closed())


async def until(what: Callable[[], Any], *there: Viewer) -> None:
    async with asyncio.timeout(60):
        while not what():
            for viewer in there:
                if viewer.error is not None:
                    raise viewer.error
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("way", WAYS)
async def test_the_same_topic_without_a_gap(look: Look, publisher: Publisher, run: Run, way: str) -> None:
    topic = publisher.topic(f"runs/{run.id}/topology", {"n": 0, "last": [], "é": float("nan")}, {"last": 50})
    began = time.monotonic()
    viewer = look(way, topic.name)
    await until(lambda: viewer.state.get("n") == 0, viewer)
    for n in range(1, 151):
        topic.tell({"n": n}, {"last": [n]})
        if n % 10 == 0:
            await asyncio.sleep(0.01)
    await until(lambda: viewer.state["n"] == 150, viewer)
    assert viewer.state == {"run": run.id, "n": 150, "last": list(range(101, 151)), "é": None}
    follows(viewer.frames)
    # What comes quickly goes as one change: an engine tells 25 a second, besides the states at the beginning.
    assert len(viewer.frames) <= (time.monotonic() - began) / PACE + 4
    topic.end()
    await until(lambda: "end" in viewer.frames[-1], viewer)


@pytest.mark.parametrize("way", WAYS)
async def test_who_is_slow_harms_nobody_and_is_right_when_it_looks(
    look: Look, publisher: Publisher, run: Run, way: str
) -> None:
    topic = publisher.topic(f"runs/{run.id}/topology", {"n": 0, "blob": ""})
    slow, others = look(way, topic.name), [look(one, topic.name) for one in ("websocket", "socketio")]
    await until(lambda: all(one.state.get("n") == 0 for one in (slow, *others)), slow, *others)
    slow.gate.clear()
    for n in range(1, 16):
        topic.change(n=n, blob=BLOB[:30_000] + str(n))
        await until(lambda n=n: all(one.state["n"] == n for one in others), *others)
    assert slow.state["n"] < 15
    slow.gate.set()
    await until(lambda: slow.state["n"] == 15, slow)
    assert slow.state["blob"] == BLOB[:30_000] + "15"
    if way in ("poll", "socketio"):  # of the others some lay in the sockets
        assert len(slow.frames) < 15
    for one in (slow, *others):
        follows(one.frames)


def raw(address: str, known: dict[str, str]) -> socket.socket:
    """A connection with little room."""
    host, port = address.split("/")[2].split(":")
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.connect((host, int(port)))
    return link


def silent(way: str, address: str, known: dict[str, str], topics: list[str]) -> Any:
    """Asks, and reads nothing of the answer."""
    link = raw(address, known)
    base = address.partition("//")[2].partition("/")
    headers = "".join(f"{name}: {value}\r\n" for name, value in known.items())
    if way in ("events", "poll"):
        query = urlencode({"topics": ",".join(topics)})
        link.sendall(f"GET /{base[2]}live/{way}?{query} HTTP/1.1\r\nHost: {base[0]}\r\n{headers}\r\n".encode())
        return link
    path = "live" if way == "websocket" else "socket.io/?EIO=4&transport=websocket"
    socketed = websocket.create_connection(f"ws://{base[0]}/{base[2]}{path}", header=known, socket=link, timeout=60)
    if way == "socketio":
        socketed.send("40")
    for topic in topics:
        socketed.send(
            json.dumps({"subscribe": topic}) if way == "websocket" else "42" + json.dumps(["subscribe", topic])
        )
    return socketed


@pytest.mark.parametrize("way", WAYS)
async def test_who_never_reads_is_dropped_and_keeps_nothing(
    publisher: Publisher, run: Run, way: str, services: Services, viewers: Viewers, address: str,
    known: dict[str, str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for module in (live, comet, socket_io):
        monkeypatch.setattr(module, "STUCK_SECONDS", 0.5)
    topics = [publisher.topic(f"runs/{run.id}/t{place}", {"n": 0, "blob": BLOB * 4}) for place in range(10)]
    if way == "poll":  # of which the first answer is only what the hub itself has by then: the second one is all
        for topic in topics:
            await services.hub.subscribe(topic.name, lambda: None)
        await until(lambda: all(one._state.get("n") == 0 for one in services.hub._topics.values()))
    link = await asyncio.to_thread(silent, way, address, known, [one.name for one in topics])
    try:
        await until(lambda: viewers.ways[way] == 1 or viewers.dropped[way])
        n = 0
        async with asyncio.timeout(60):
            while not viewers.dropped[way]:
                n += 1
                for topic in topics:
                    topic.change(n=n, blob=BLOB * 4 + str(n))
                await asyncio.sleep(0.05)
        assert viewers.dropped == {way: 1}
        await until(lambda: viewers.ways[way] == 0)
        if way != "poll":
            await until(lambda: not any(one.watched for one in services.hub._topics.values()))
    finally:
        with contextlib.suppress(OSError, websocket.WebSocketException):
            link.close()


@pytest.mark.parametrize("way", WAYS)
async def test_connections_are_counted_and_limited(
    look: Look,
    jp_fetch: Any,
    publisher: Publisher,
    run: Run,
    way: str,
    viewers: Viewers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = publisher.topic(f"runs/{run.id}/topology", {"n": 0})
    first = look(way, topic.name)
    await until(lambda: first.state.get("n") == 0 and viewers.ways[way], first)
    said = (await jp_fetch("workbench", "api", "metrics")).body.decode()
    assert f'workbench_stream_viewers{{way="{way}"}} ' in said
    assert f'workbench_stream_viewers_dropped_total{{way="{way}"}} 0\n' in said
    monkeypatch.setattr(looking, "MOST", 1)
    second = look("events", topic.name)
    await until(lambda: second.error is not None)
    assert "503" in str(second.error)
    monkeypatch.undo()
    monkeypatch.setattr(looking, "MOST_EACH", 1)
    viewers.enter("somebody", way)
    with pytest.raises(web.HTTPError, match="You look at 1 things at once"):
        viewers.check("somebody")
    viewers.check("another")
    viewers.leave("somebody", way)
    viewers.check("somebody")
    await asyncio.to_thread(first.close)
    await until(lambda: not viewers.ways[way])


# --- Socket.IO alone


SIO = "socket.io/?EIO=4&transport=websocket"


def opened(address: str, known: dict[str, str], path: str = SIO, **options: Any) -> websocket.WebSocket:
    return websocket.create_connection(f"ws{address.removeprefix('http')}{path}", header=known, timeout=60, **options)


async def test_who_is_not_known_and_other_pages_get_no_socket(
    address: str, known: dict[str, str], jp_fetch: Any, jp_serverapp: Any
) -> None:
    async def refused(status: int, *args: Any, **options: Any) -> None:
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            await asyncio.to_thread(opened, address, *args, **options)
        assert caught.value.status_code == status

    await refused(403, {})
    await refused(403, {"Authorization": "token other"})
    for origin in ("http://elsewhere.example", f"http://127.0.0.1.evil.example:{address.split(':')[2]}", "null"):
        await refused(403, known, origin=origin)
    for path in (
        "socket.io/", "socket.io/?EIO=3&transport=websocket", "socket.io/?EIO=4&transport=polling", f"{SIO}&sid=x",
        f"{SIO}&j=1",
    ):  # fmt: skip
        await refused(400, known, path)
    link = await asyncio.to_thread(opened, address, known, origin=address.split("/a%40b")[0])
    await asyncio.to_thread(link.close)
    for verb, status in (("GET", 400), ("POST", 405), ("OPTIONS", 405)):
        body = "4" if verb == "POST" else None
        options = {"method": verb, "body": body, "params": {"EIO": 4}, "allow_nonstandard_methods": True}
        with pytest.raises(HTTPClientError) as wrong:
            await jp_fetch("workbench", "api", "socket.io/", **options)
        assert wrong.value.code == status


WRONG: list[list[Any]] = [
    ["nonsense"],
    ['42["subscribe","runs"]'],  # before it has connected
    ["40", "40"],
    ["40/admin,"],
    ["40", '42["other","runs"]'],
    ["40", "42{}"],
    ["40", "42["],
    ["40", "42" + "[" * 100 + "]" * 100],
    ["40", '451-["subscribe",{"_placeholder":true,"num":0}]'],
    ["40", '42["subscribe","' + "x" * 5_000 + '"]'],
    ["40", '42["subscribe",NaN]'],
    ["40[]"],
    ["2"],
    ["5"],
    ["6"],
    ["40", "41", '42["subscribe","runs"]', "40"],
    [b"\x00\x01"],
]


async def test_what_is_no_packet_of_ours_ends_the_connection_alone(
    address: str, known: dict[str, str], caplog: pytest.LogCaptureFixture, viewers: Viewers,
    look: Look,
) -> None:  # fmt: skip
    def said(packets: list[Any]) -> None:
        link = opened(address, known)
        try:
            with contextlib.suppress(OSError):
                for packet in packets:
                    link.send_binary(packet) if isinstance(packet, bytes) else link.send(packet)
            with contextlib.suppress(OSError, websocket.WebSocketConnectionClosedException):
                while link.connected and link.recv():
                    pass
        finally:
            link.shutdown()

    other = look("socketio", "runs")
    await until(lambda: other.state, other)
    for packets in WRONG:
        await asyncio.to_thread(said, packets)
    await until(lambda: viewers.ways["socketio"] == 1)
    assert other.error is None
    assert not [
        one for one in caplog.records if one.levelname in ("ERROR", "WARNING") and "Traceback" in one.getMessage()
    ]


async def test_what_cannot_be_asked_is_answered(address: str, known: dict[str, str]) -> None:
    def asked() -> list[Any]:
        link = opened(address, known)
        answers: list[Any] = []
        link.send("40")
        for number, (event, what) in enumerate(
            [
                ("subscribe", 7),
                ("subscribe", {"topic": 1}),
                ("subscribe", {"topic": "a", "x": "y"}),
                ("unsubscribe", []),
            ]
        ):
            link.send(f"42{number}" + json.dumps([event, what]))
        while len(answers) < 4:
            said = str(link.recv())
            if said.startswith("43"):
                answers.append(json.loads(said.lstrip("0123456789"))[0])
        link.send("42" + json.dumps(["subscribe", "nothing"]))
        said = str(link.recv())
        answers.append(json.loads(said.lstrip("0123456789"))[1])
        link.close()
        return answers

    *answers, refused = await asyncio.to_thread(asked)
    assert all(set(one) == {"error"} for one in answers)
    assert refused["topic"] == "nothing"
    assert "error" in refused


async def test_packets_without_end_wait_in_the_socket(address: str, known: dict[str, str], look: Look) -> None:
    """A client that floods the server with what it may say holds up itself."""

    def flood() -> None:
        link = opened(address, known)
        link.settimeout(2)
        link.send("40")
        with contextlib.suppress(OSError, websocket.WebSocketException):
            for number in range(5_000):
                link.send("42" + json.dumps(["subscribe" if number % 2 else "unsubscribe", "runs"]))
        link.close()

    other = look("socketio", "runs")
    await until(lambda: other.state, other)
    await asyncio.to_thread(flood)
    assert other.error is None


async def test_without_the_extra_there_is_no_such_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_io, "there", lambda: False)
    app = WorkbenchApp()
    app.initialize_handlers()
    assert app.socket_io is None
    assert not [path for path, *_ in app.handlers if "socket.io" in path]
    monkeypatch.undo()
    app = WorkbenchApp()
    app.initialize_handlers()
    assert [path for path, *_ in app.handlers if "socket.io" in path] == ["/workbench/api/socket.io/"]


async def test_topics_are_asked_for_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "AT_ONCE", 10)
    monkeypatch.setattr(looking, "EACH_SECOND", 100)
    viewers, loop = Viewers(), asyncio.get_running_loop()

    async def many(viewer: str, count: int) -> float:
        began = loop.time()
        for _ in range(count):
            await viewers.pace(viewer)
        return loop.time() - began

    much = asyncio.ensure_future(many("ada", 210))
    await asyncio.sleep(0)
    await many("bob", 10)
    await many("", 1_000)
    assert not much.done()
    assert await much >= 1.99
    monkeypatch.setattr(looking, "MOST", 5)
    for number in range(1_000):  # who was here once is not remembered for ever
        await viewers.pace(f"viewer {number}")
        await asyncio.sleep(0.001 if number % 20 == 0 else 0)
    assert len(viewers._paid) < 900
