"""A real Jupyter server with our extension, over a home of its own."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403  # here alone: as a plugin it makes an event loop for every test

from workbench.server.services import Services

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"workbench.server": True}, "allow_unauthenticated_access": False}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the connections of the server under test are."""
    folder = tmp_path / "home"
    monkeypatch.setenv("WORKBENCH_HOME", str(folder))
    return folder


@pytest.fixture
def services(jp_serverapp: Any) -> Services:
    found: Services = jp_serverapp.web_app.settings["workbench_services"]
    return found


@pytest.fixture
def ask(jp_fetch: Any) -> Ask:
    """`await ask("GET", "connections")`: the answer's JSON; an error is raised as tornado's HTTPClientError."""

    async def asked(method: str, path: str, body: object = None, **query: object) -> Any:
        options: dict[str, Any] = {"method": method, "params": {key: str(value) for key, value in query.items()}}
        if body is not None or method in ("POST", "PUT"):
            options |= {"body": json.dumps(body or {}), "headers": {"Content-Type": "application/json"}}
        answer = await jp_fetch("workbench", "api", *path.split("/"), **options)
        return json.loads(answer.body) if answer.body else None

    return asked


def problem(error: Any) -> dict[str, Any]:
    """What an HTTPClientError's answer says."""
    said: dict[str, Any] = json.loads(error.value.response.body)
    return said
