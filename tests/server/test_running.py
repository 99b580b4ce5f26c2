"""What other processes run is seen, watched and stopped here."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from tests.server.conftest import Ask, problem
from tests.server.test_interface import conforms
from tests.services.mysql.server import Server
from workbench.runs.publisher import Publisher
from workbench.server.pool import Busy
from workbench.server.services import Services


@pytest.fixture
def endless(mariadb: Server, home: Path, services: Services) -> Iterator[subprocess.Popen[bytes]]:
    """A query of a minute, in a process of its own."""
    environment = {**os.environ, "WORKBENCH_HOME": str(home), "SHOP_PASSWORD": mariadb.password}
    services.catalog.connect("shop", mariadb.url(), secret="env:SHOP_PASSWORD")
    code = "import workbench as wb; wb.native('shop', 'select sleep(60) as a').arrow()"
    child = subprocess.Popen([sys.executable, "-c", code], env=environment)
    yield child
    child.kill()
    child.wait(10)


async def _one(ask: Ask) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            runs: list[dict[str, Any]] = (await ask("GET", "runs"))["runs"]
            if runs and runs[0]["natives"]:
                return runs[0]
            await asyncio.sleep(0.05)


async def test_a_query_of_another_process_is_seen_and_stopped(
    ask: Ask, endless: subprocess.Popen[bytes], mariadb: Server
) -> None:
    run = await _one(ask)
    conforms(run, "Run")
    assert (run["state"], run["connections"], run["kind"], run["pid"]) == ("running", ["shop"], "native", endless.pid)
    assert run["statement"] == "select sleep(60) as a"
    stopped = await ask("DELETE", f"runs/{run['id']}")
    conforms(stopped, "Stopped")
    assert stopped["failures"] == []
    deadline = time.monotonic() + 2
    while any("sleep(60)" in text for _, _, text in mariadb.running()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    endless.wait(10)
    assert (await ask("GET", "runs"))["runs"] == []
    (past,) = (await ask("GET", "history"))["history"]
    conforms(past, "Past")
    assert (past["status"], past["native"], past["statement"]) == ("stopped", "shop", "select sleep(60) as a")


async def test_a_killed_one_is_not_called_running(ask: Ask, endless: subprocess.Popen[bytes], mariadb: Server) -> None:
    run = await _one(ask)
    endless.kill()
    endless.wait(10)
    async with asyncio.timeout(10):
        while (await ask("GET", "runs"))["runs"]:
            await asyncio.sleep(0.05)
    assert (await ask("GET", f"runs/{run['id']}"))["state"] == "lost"


async def test_the_history_is_searched(ask: Ask, services: Services) -> None:
    for text in ("select 1 from a", "select 2 from b"):
        services.register.begin("query", text, text).finish("failed", "no")
    assert [one["statement"] for one in (await ask("GET", "history", search="FROM B"))["history"]] == [
        "select 2 from b"
    ]
    assert len((await ask("GET", "history", limit=1))["history"]) == 1


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
async def test_an_unknown_run_is_said(ask: Ask, verb: str) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await ask(verb, "runs/aaaaaaaaaaaa")
    assert (caught.value.code, problem(caught)["type"]) == (404, "UnknownRun")


async def test_a_run_that_takes_more_than_stop_is_asked_for_it(ask: Ask, services: Services) -> None:
    run, publisher, asked = services.register.begin("topology", "t"), Publisher(services.register), list[str]()
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", f"runs/{run.id}/control", {"what": "pause"})
    assert (caught.value.code, problem(caught)["message"]) == (400, f"Run {run.id} takes nothing but Stop.")
    publisher.open()
    try:
        publisher.control(run.id, asked.append)
        assert (await ask("POST", f"runs/{run.id}/control", {"what": "pause"}))["id"] == run.id
        assert asked == ["pause"]
        with pytest.raises(HTTPClientError) as caught:
            await ask("POST", f"runs/{run.id}/control", {"what": "rm -rf"})
        assert caught.value.code == 400
        with pytest.raises(HTTPClientError) as caught:
            await ask("POST", f"runs/{run.id}/control", {"what": "replay", "speed": "fast"})
        assert caught.value.code == 400
        assert asked == ["pause"]
        other = services.register.begin("topology", "t")
        publisher.control(run.id, lambda what: asked.append(what) or other.id)
        assert (await ask("POST", f"runs/{run.id}/control", {"what": "replay", "speed": 60}))["id"] == other.id
        assert (await ask("POST", f"runs/{run.id}/control", {"what": "replay"}))["id"] == other.id
        assert asked == ["pause", "replay 60", "replay"]
    finally:
        publisher.close()


async def test_progress_comes_over_the_socket(jp_ws_fetch: Any, services: Services) -> None:
    run = services.register.begin("query", "q", "select 1")
    socket = await jp_ws_fetch("workbench", "api", "live")
    topic = f"runs/{run.id}/progress"
    await socket.write_message(json.dumps({"subscribe": topic}))
    first = json.loads(await asyncio.wait_for(socket.read_message(), 10))
    assert (first["topic"], first["snapshot"]["state"]) == (topic, "running")
    run.finish("done")
    seen = []
    while "end" not in (frame := json.loads(await asyncio.wait_for(socket.read_message(), 10))):
        seen.append(frame)
    assert seen[-1]["change"]["state"] == "done"
    socket.close()


@pytest.mark.parametrize("said", ["x", "{}", "[]", '{"subscribe": 1}', '{"subscribe": "a", "b": 1}', "7", "{" * 4_000])
async def test_a_socket_that_talks_nonsense_is_closed(jp_ws_fetch: Any, said: str) -> None:
    socket = await jp_ws_fetch("workbench", "api", "live")
    await socket.write_message(said)
    assert await asyncio.wait_for(socket.read_message(), 10) is None
    socket.close()


async def test_a_topic_there_is_not_is_said(jp_ws_fetch: Any) -> None:
    socket = await jp_ws_fetch("workbench", "api", "live")
    await socket.write_message(json.dumps({"subscribe": "runs/aaaaaaaaaaaa/progress"}))
    assert "error" in json.loads(await asyncio.wait_for(socket.read_message(), 10))
    socket.close()


async def test_a_socket_is_told_that_too_many_wait(
    jp_ws_fetch: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise Busy

    monkeypatch.setattr(services.pool, "run", full)
    socket = await jp_ws_fetch("workbench", "api", "live")
    await socket.write_message(json.dumps({"subscribe": "runs"}))
    said = json.loads(await asyncio.wait_for(socket.read_message(), 10))
    assert said == {"topic": "runs", "error": str(Busy())}
    socket.close()
