"""A new secret puts out also those who are looking."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.dashboards.conftest import ViewerServer
from tests.query.support import eventually
from tests.server.viewers import WAYS, Viewer
from workbench.catalog import places
from workbench.dashboards.access import Access
from workbench.runs import Register, tickets
from workbench.runs.publisher import Publisher
from workbench.runs.topics import Topic


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """In place of pytest-jupyter's, of which nothing here has need."""


def test_open_pages_end_with_the_secret_that_opened_them(tmp_path: Path) -> None:
    server = ViewerServer(tmp_path, "--idle=600")  # so that nothing else ends them meanwhile
    try:
        server.publish("one", "print(1)")
        session = server.logged_in()
        server.kernel_of(session, "one")
        assert server.kernels() == 1
        Access(server.home / "viewer").renew()
        eventually(lambda: server.kernels() == 0, 30)
        assert session.get(f"{server.url}/d/one", timeout=20, allow_redirects=False).status_code == 302
    finally:
        server.process.stop()


def test_who_guesses_does_not_keep_those_out_who_have_the_link(viewer: ViewerServer) -> None:
    guesses = requests.Session()
    guesses.get(f"{viewer.url}/login", timeout=10)
    for number in range(12):
        form = {"password": f"guess {number}", "_xsrf": guesses.cookies["_xsrf"], "next": "/"}
        assert guesses.post(f"{viewer.url}/login", form, timeout=10).status_code == 401
    assert viewer.logged_in().get(f"{viewer.url}/", timeout=10).status_code == 200


def _begun(viewer: Viewer) -> bool:
    return bool(viewer.error) or viewer.state.get("n") == 0


def _is_out(viewer: Viewer) -> bool:
    return bool(viewer.error) or "error" in viewer.frames[-1]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewerServer]:
    server = ViewerServer(tmp_path_factory.mktemp("looking"), "--idle=600")
    yield server
    server.process.stop()


@pytest.fixture(scope="module")
def publisher(shared: ViewerServer) -> Iterator[Publisher]:
    register = Register(places.register(shared.home))
    publisher = Publisher(register)
    publisher.open()
    yield publisher
    publisher.close()
    register.close()


@pytest.fixture
def topic(publisher: Publisher) -> Topic:
    run = publisher._register.begin("topology", "topology live")
    return publisher.topic(f"runs/{run.id}/topology", {"n": 0})


def looks(server: ViewerServer, publisher: Publisher, topic: str, page: str) -> list[Viewer]:
    """A viewer by each way."""
    engine = publisher._register.engine(topic.split("/")[1])
    assert engine is not None
    session, ticket = server.logged_in(), tickets.ticket(engine, topic, page)
    cookies = {"Cookie": "; ".join(f"{one.name}={one.value}" for one in session.cookies)}
    return [way(f"{server.url}/workbench/api/", topic, cookies, ticket) for way in WAYS.values()]


OUT = {
    "renewed": "The link that opened this page holds no more: ask for the new one.",
    "taken back": "This dashboard is not published any more.",
    "published anew": "There is a newer version of this dashboard.",
}


@pytest.mark.parametrize("how", OUT)
def test_who_looks_at_live_topics_is_put_out_whatever_the_way(
    shared: ViewerServer, publisher: Publisher, topic: Topic, how: str
) -> None:
    shared.publish("live", "print(1)")
    shared.publish("other", "print(1)")
    page, others = (shared.dashboards.get(name).page for name in ("live", "other"))
    looking = looks(shared, publisher, topic.name, page)
    staying = looks(shared, publisher, topic.name, others) if how != "renewed" else []
    try:
        for one in (*looking, *staying):
            eventually(partial(_begun, one), 60)
            assert one.error is None
        if how == "renewed":
            Access(shared.home / "viewer").renew()
            shared.token = Access(shared.home / "viewer").token() or ""
        elif how == "taken back":
            shared.dashboards.remove("live")
        else:
            shared.publish("live", "print(2)")
        for one in looking:  # though nothing is told
            eventually(partial(_is_out, one), 60)
            assert one.error or one.frames[-1]["error"] == OUT[how]
        topic.change(n=1)
        for one in staying:
            eventually(lambda one=one: one.error or one.state.get("n") == 1, 60)
            assert not _is_out(one)
        late = looks(shared, publisher, topic.name, page) if how != "renewed" else []
        for one in late:  # a ticket that was kept
            eventually(lambda one=one: one.error or one.frames, 60)
            assert one.error is None
            assert [frame.get("error") for frame in one.frames] == [OUT[how]]
        assert all(one.state["n"] == 0 for one in looking)
    finally:
        for one in (*looking, *staying):
            one.close()


def test_a_page_ends_with_its_dashboard_and_says_why(shared: ViewerServer) -> None:
    session = shared.logged_in()
    for how in ("taken back", "published anew"):
        shared.publish("open", "print(1)")
        kernel = shared.kernel_of(session, "open")
        address = f"{shared.url}/api/kernels/{kernel}"
        assert session.get(address, timeout=20).status_code == 200
        if how == "taken back":
            shared.dashboards.remove("open")
        else:
            shared.publish("open", "print(2)")
        eventually(lambda: session.get(address, timeout=20).status_code == 410, 60)  # noqa: B023
        assert session.get(address, timeout=20).json()["why"] == OUT[how]
        assert shared.logged_in().get(address, timeout=20).status_code == 403


def test_a_ticket_is_good_for_what_its_topic_went_on_as(
    shared: ViewerServer, publisher: Publisher, topic: Topic
) -> None:
    shared.publish("again", "print(1)")
    page = shared.dashboards.get("again").page
    second, third, stranger = (
        publisher.topic(f"runs/{publisher._register.begin('topology', 'shop').id}/topology", {"n": 0}) for _ in range(3)
    )
    engine = publisher._register.engine(topic.name.split("/")[1])
    assert engine is not None
    ticket, session = tickets.ticket(engine, topic.name, page), shared.logged_in()

    def polled(name: str) -> dict[str, Any]:
        headers = {"X-Workbench-Tickets": ticket}
        address = f"{shared.url}/workbench/api/live/poll?topics={name}&wait=1"
        frame: dict[str, Any] = session.get(address, headers=headers, timeout=60).json()["frames"][0]
        return frame

    for one in (second, third, stranger):
        assert "error" in polled(one.name)
    for before, after in ((topic, second), (second, third)):
        before.change(next={"run": after.name.split("/")[1], "topic": after.name})
        before.end()
        # Somebody has been told so, as whoever goes on has.
        eventually(lambda: "error" not in polled(before.name) and "error" not in polled(after.name), 60)  # noqa: B023
    assert "error" in polled(stranger.name)
    shared.dashboards.remove("again")
    eventually(lambda: "error" in polled(third.name), 60)
