"""Whoever runs the server for others may put an authorizer before us: each route asks it, by a name of ours."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from tornado.httpclient import HTTPClientError

from tests.server.test_interface import verbs
from tests.server.viewers import WAYS
from workbench.runs.publisher import Publisher
from workbench.server.app import routes
from workbench.server.services import Services

ASKED: list[tuple[str, str]] = []
ACTIONS = {"get": "read", "post": "write", "put": "write", "delete": "write"}


class Nobody(Authorizer):
    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        ASKED.append((action, resource))
        return False


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"workbench.server": True},
            "authorizer_class": "tests.server.test_permissions.Nobody",
        }
    }


EVERYTHING = [(path, handler, verb) for path, handler in routes() for verb in sorted(verbs(handler)) if path != "live"]


async def test_nothing_is_done_without_leave(jp_fetch: Any) -> None:
    for path, handler, verb in EVERYTHING:
        ASKED.clear()
        body = json.dumps({}) if verb in ("post", "put") else None
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch("workbench", "api", *path.split("/"), method=verb.upper(), body=body)
        assert caught.value.code == 403, (path, verb)
        assert [(ACTIONS[verb], handler.auth_resource)] == ASKED, (path, verb)


async def test_the_live_socket_asks_too(jp_ws_fetch: Any) -> None:
    ASKED.clear()
    with pytest.raises(HTTPClientError) as caught:
        await jp_ws_fetch("workbench", "api", "live")
    assert caught.value.code == 403
    assert ASKED == [("read", "workbench:live")]


class LookersOn(Authorizer):
    """May look at what topologies show, and not at what runs."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return (action, resource) == ("read", "workbench:live")


@pytest.fixture
def for_lookers_on(jp_server_config: dict[str, Any]) -> None:
    jp_server_config["ServerApp"]["authorizer_class"] = "tests.server.test_permissions.LookersOn"


@pytest.mark.parametrize("way", WAYS)
async def test_each_topic_is_for_who_may_read_what_it_tells(
    for_lookers_on: None, jp_serverapp: Any, jp_fetch: Any, http_server_port: Any, services: Services, way: str
) -> None:
    publisher = Publisher(services.register)
    address = f"http://127.0.0.1:{http_server_port[-1]}{jp_serverapp.base_url}workbench/api/"
    known = {"Authorization": f"token {jp_serverapp.identity_provider.token}"}
    looking = []
    try:
        run = services.register.begin("topology", "the title of a run")
        publisher.topic(f"runs/{run.id}/topology", {"n": 0})
        publisher.open()
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch("workbench", "api", "runs")
        assert caught.value.code == 403
        names = ("runs", f"runs/{run.id}/progress", f"runs/{run.id}/topology")
        looking = [WAYS[way](address, name, known) for name in names]
        async with asyncio.timeout(60):
            while not all(one.error or "n" in one.state or "error" in (one.frames or [{}])[-1] for one in looking):
                await asyncio.sleep(0.01)
        assert [one.error for one in looking] == [None] * 3
        for one in looking[:2]:
            assert one.frames == [{"topic": one.topic, "error": "It is not for you, or it is over."}]
        assert looking[2].state == {"run": run.id, "n": 0}
    finally:
        await asyncio.gather(*(asyncio.to_thread(one.close) for one in looking))
        publisher.close()
