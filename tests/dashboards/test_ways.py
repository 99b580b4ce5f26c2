"""Live topics in the viewer's server by each way there is: with a ticket, after a log-in, and so many at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests
import socketio
import websocket

from tests.dashboards.conftest import ViewerServer
from tests.server.viewers import WAYS, Viewer, follows
from workbench.catalog import places
from workbench.runs import Register, Run, tickets
from workbench.runs.publisher import Publisher
from workbench.runs.register import Engine
from workbench.runs.topics import Topic

WAIT = 60


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """In place of pytest-jupyter's, of which nothing here has need."""


@pytest.fixture(scope="module")
def publisher(viewer: ViewerServer) -> Iterator[Publisher]:
    register = Register(places.register(viewer.home))
    publisher = Publisher(register)
    publisher.open()
    yield publisher
    publisher.close()
    register.close()


@pytest.fixture
def run(publisher: Publisher) -> Run:
    return publisher._register.begin("topology", "topology shop")


@pytest.fixture
def engine(publisher: Publisher, run: Run) -> Engine:
    found = publisher._register.engine(run.id)
    assert found is not None
    return found


@pytest.fixture
def topic(publisher: Publisher, run: Run) -> Topic:
    return publisher.topic(f"runs/{run.id}/topology", {"n": 0})


@pytest.fixture(scope="module")
def page(viewer: ViewerServer) -> str:
    viewer.publish("shown", "print(1)")
    return viewer.dashboards.get("shown").page


def cookies(session: requests.Session) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{one.name}={one.value}" for one in session.cookies)}


def api(viewer: ViewerServer) -> str:
    return f"{viewer.url}/workbench/api/"


@pytest.mark.parametrize("way", WAYS)
def test_a_ticket_shows_its_topic(
    viewer: ViewerServer, topic: Topic, engine: Engine, page: str, way: str, eventually: Callable[..., object]
) -> None:
    looking = WAYS[way](api(viewer), topic.name, cookies(viewer.logged_in()), tickets.ticket(engine, topic.name, page))
    try:
        eventually(lambda: looking.error or looking.state.get("n") == 0, within=WAIT)
        for n in range(1, 50):
            topic.change(n=n)
        eventually(lambda: looking.error or looking.state.get("n") == 49, within=WAIT)
        assert looking.error is None
        follows(looking.frames)
    finally:
        looking.close()


@pytest.mark.parametrize("way", WAYS)
def test_another_ticket_shows_nothing(
    viewer: ViewerServer, topic: Topic, engine: Engine, page: str, way: str, eventually: Callable[..., object]
) -> None:
    headers = cookies(viewer.logged_in())
    good = tickets.ticket(engine, topic.name, page)
    for name, ticket in ((topic.name, ""), (topic.name, "é" if way in ("websocket", "socketio") else "x"),
                         (topic.name.replace("topology", "progress"), good), ("runs", good)):  # fmt: skip
        looking = WAYS[way](api(viewer), name, headers, ticket)
        try:
            eventually(lambda looking=looking: looking.error or looking.frames, within=WAIT)
            assert looking.error is None
            assert looking.frames == [{"topic": name, "error": "It is not for you, or it is over."}]
        finally:
            looking.close()


@pytest.mark.parametrize("way", WAYS)
def test_nobody_looks_without_a_log_in(
    viewer: ViewerServer, topic: Topic, engine: Engine, page: str, way: str, eventually: Callable[..., object]
) -> None:
    looking: Viewer = WAYS[way](api(viewer), topic.name, {}, tickets.ticket(engine, topic.name, page))
    try:
        eventually(lambda: looking.error, within=WAIT)
        kinds = (websocket.WebSocketException, httpx.HTTPStatusError, socketio.exceptions.ConnectionError)
        assert isinstance(looking.error, kinds)
        assert not looking.frames
    finally:
        looking.close()


def test_one_viewer_takes_no_place_from_others(viewer: ViewerServer, topic: Topic, engine: Engine, page: str) -> None:
    session = viewer.logged_in()
    address = f"ws{api(viewer).removeprefix('http')}live"
    links: list[Any] = []

    def connect() -> None:
        links.append(websocket.create_connection(address, header=cookies(session), timeout=WAIT))

    try:
        for _ in range(64):
            connect()
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            connect()
        assert caught.value.status_code == 429
        answer = session.get(f"{api(viewer)}live/poll?topics={topic.name}&wait=0", timeout=WAIT)
        assert (answer.status_code, "64 things at once" in answer.json()["message"]) == (429, True)
        other = viewer.logged_in()
        ticket = {"X-Workbench-Tickets": tickets.ticket(engine, topic.name, page)}
        poll = f"{api(viewer)}live/poll?topics={topic.name}"
        assert "snapshot" in other.get(poll, headers=ticket, timeout=WAIT).json()["frames"][0]
    finally:
        for link in links:
            with contextlib.suppress(OSError, websocket.WebSocketException):
                link.close()


def test_a_form_is_no_large_thing(viewer: ViewerServer) -> None:
    """Who is not known yet has the server keep nothing."""
    session = requests.Session()
    session.get(f"{viewer.url}/login", timeout=WAIT)
    form = {"password": "x" * 1_000_000, "_xsrf": session.cookies["_xsrf"], "next": "/"}
    with contextlib.suppress(requests.RequestException):  # it does not read to the end
        assert session.post(f"{viewer.url}/login", form, timeout=WAIT).status_code in (400, 413)
    assert viewer.logged_in().get(f"{viewer.url}/", timeout=WAIT).status_code == 200


def test_a_cursor_of_any_length_is_one_that_does_not_fit(
    viewer: ViewerServer, topic: Topic, engine: Engine, page: str
) -> None:
    session, ticket = viewer.logged_in(), {"X-Workbench-Tickets": tickets.ticket(engine, topic.name, page)}
    address = f"{api(viewer)}live/poll?topics={topic.name}&wait=5"
    epoch = session.get(address, headers=ticket, timeout=WAIT).json()["cursors"].partition("-")[0]
    for cursor in (f"{epoch}-{'9' * 5_000}", f"{epoch}--1", f"{epoch}-\u0669", "-", "9" * 5_000):
        answer = session.get(address, params={"cursors": cursor}, headers=ticket, timeout=WAIT)
        assert answer.status_code == 200, cursor[:20]
        assert "snapshot" in answer.json()["frames"][0]
