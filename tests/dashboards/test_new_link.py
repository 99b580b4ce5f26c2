"""A new secret puts out also those who are looking."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.dashboards.conftest import ViewerServer
from tests.query.support import eventually
from tests.server.viewers import WAYS, Viewer
from workbench.catalog import places
from workbench.dashboards.access import Access
from workbench.runs import Register, tickets
from workbench.runs.publisher import Publisher


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


def test_who_looks_at_live_topics_is_put_out_whatever_the_way(tmp_path: Path) -> None:
    server = ViewerServer(tmp_path, "--idle=600")
    register = Register(places.register(server.home))
    publisher = Publisher(register)
    looking = []
    try:
        run = register.begin("topology", "topology live")
        topic = publisher.topic(f"runs/{run.id}/topology", {"n": 0})
        publisher.open()
        engine = register.engine(run.id)
        assert engine is not None
        session, ticket = server.logged_in(), tickets.ticket(engine, topic.name)
        cookies = {"Cookie": "; ".join(f"{one.name}={one.value}" for one in session.cookies)}
        looking = [way(f"{server.url}/workbench/api/", topic.name, cookies, ticket) for way in WAYS.values()]
        for one in looking:
            eventually(partial(_begun, one), 60)
        Access(server.home / "viewer").renew()
        for n in range(1, 1_000):
            topic.change(n=n)
            if all(one.error or "error" in one.frames[-1] for one in looking):
                break
            time.sleep(0.05)
        for one in looking:
            assert one.error or one.frames[-1]["error"] == "It is not for you, or it is over."
            assert one.state["n"] < n
    finally:
        for one in looking:
            one.close()
        server.process.stop()
        publisher.close()
        register.close()
