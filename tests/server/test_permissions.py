"""Whoever runs the server for others may put an authorizer before us: each route asks it, by a name of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from tornado.httpclient import HTTPClientError

from tests.server.test_interface import verbs
from workbench.server.app import routes

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
