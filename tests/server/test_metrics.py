"""What a Prometheus server scrapes, read by Prometheus' own parser."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from workbench.server import metrics
from workbench.server.services import Services
from workbench.streams import Bolt, Rate, Topology, tumbling
from workbench.streams.prometheus import merged
from workbench.streams.running import Running

UP, VIEWERS = "workbench_stream_up", ("workbench_stream_viewers", "workbench_stream_viewers_dropped")
ODD = 'a "b" \\ c\nd {}é'


@pytest.fixture
def started(services: Services) -> Iterator[Callable[[Topology], Running]]:
    running: list[Running] = []

    def start(topology: Topology) -> Running:
        running.append(topology.run(register=services.register))
        assert running[-1].engine is not None  # others find it from now on
        return running[-1]

    yield start
    for one in running:
        one.stop(5)


@pytest.fixture
def scrape(jp_fetch: Any) -> Callable[[], Any]:
    async def fetched() -> dict[str, Any]:
        answer = await jp_fetch("workbench", "api", "metrics")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = list(text_string_to_metric_families(answer.body.decode()))
        assert max(Counter(one.name for one in families).values(), default=1) == 1
        return {one.name: one for one in families}

    return fetched


class Odd(Bolt):
    outputs = {ODD: ("number",)}

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.collector.emit((tuple.number,), stream=ODD)


def counting(name: str, total: int) -> Topology:
    t = Topology(name).spout("numbers", Rate(1e6, total=total)).bolt("out", Odd, inputs="numbers")
    t.spout("more", Rate(0.001))  # so that it goes on
    return t.bolt("windows", lambda window: None, inputs="more", window=tumbling("1m"))


async def until(ask: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(ask):
            await asyncio.sleep(0.02)


async def test_all_topologies_are_told_and_parsed(
    scrape: Callable[[], Any], started: Callable[[Topology], Running]
) -> None:
    assert {one.name for one in (await scrape()).values()} == {UP, *VIEWERS}
    runs = [started(counting(name, total)) for name, total in (("shop", 300), ("shop", 40), ("odd", 5))]
    for running, total in zip(runs, (300, 40, 5), strict=True):
        await until(lambda running=running, total=total: running.metrics().count("acked", "numbers") == total)
    found = await scrape()
    up = {one.labels["run"]: (one.labels["topology"], one.value) for one in found["workbench_stream_up"].samples}
    assert up == {running.id: (running.topology.name, 1.0) for running in runs}
    acked = {
        (one.labels["topology"], one.labels["run"], one.labels["component"], one.labels["stream"]): one.value
        for one in found["workbench_stream_acked"].samples
        if one.labels["component"] == "numbers"
    }
    assert acked == {
        (running.topology.name, running.id, "numbers", "default"): total
        for running, total in zip(runs, (300, 40, 5), strict=True)
    }
    assert found["workbench_stream_acked"].type == "counter"
    samples = found["workbench_stream_emitted"].samples
    odd = {one.labels["run"]: one.value for one in samples if one.labels["stream"] == ODD}
    assert odd == {running.id: total for running, total in zip(runs, (300, 40, 5), strict=True)}
    execute = found["workbench_stream_execute_seconds"]
    assert execute.type == "histogram"
    assert {one.name for one in execute.samples} == {f"{execute.name}_{end}" for end in ("bucket", "sum", "count")}
    for name in ("capacity", "uptime_seconds", "pending", "idle_seconds", "queued", "source_behind", "window_rows"):
        assert found[f"workbench_stream_{name}"].samples, name
    runs[0].stop()
    await until(lambda: runs[0].state == "stopped")
    assert runs[0].id not in {one.labels["run"] for one in (await scrape())["workbench_stream_up"].samples}


class Engine:
    """What another process says in the place of an engine."""

    def __init__(self, services: Services, answer: bytes | None) -> None:
        self._services, self._answer = services, answer

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self._services.register.engine_started(f"127.0.0.1:{port}", "token")
        return self._services.register.begin("topology", "topology lying").id

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            if self._answer is None:
                await reader.read()
            else:
                writer.write(self._answer)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


def said(text: str) -> bytes:
    return json.dumps({"text": text}).encode() + b"\n"


DONE = b'{"done": true}\n'


@pytest.mark.parametrize(
    ("answer", "up"),
    [
        (None, 0),
        (b"", 0),
        (b"nonsense\n", 0),
        (b'{"error": "no"}\n', 0),
        (b'{"text": ""}\n' * 10, 0),
        (said("x" * 100_000) * 50 + DONE, 0),
        (b'{"text": "' + b"x" * (2 << 20), 0),
        (said('# TYPE workbench_stream_up histogram\nworkbench_stream_up{run="x"} 7\nevil 1\n') + DONE, 1),
    ],
)
async def test_an_engine_that_says_nothing_or_nonsense_spoils_nothing(
    scrape: Callable[[], Any], services: Services, monkeypatch: pytest.MonkeyPatch, answer: bytes | None, up: int
) -> None:
    if answer is None:
        monkeypatch.setattr(metrics, "PATIENCE", 0.2)
    async with Engine(services, answer) as run:
        found = await scrape()
    assert set(found) == {UP, *VIEWERS}
    family = found[UP]
    assert [(one.labels["run"], one.value) for one in family.samples] == [(run, up)]


def test_what_is_no_line_of_ours_is_left_out() -> None:
    first = '# TYPE workbench_stream_a_total counter\nworkbench_stream_a_total{x="1"} 1\n'
    second = (
        '# TYPE workbench_stream_b gauge\nworkbench_stream_b{x="2"} NaN\nworkbench_stream_b{} 1\nother{x="1"} 1\n'
        '# TYPE other counter\nother{x="1"} 1\n'
        '# TYPE workbench_stream_a_total gauge\nworkbench_stream_a_total{x="9"} 1\n'
        '# TYPE workbench_stream_a_total counter\nworkbench_stream_a_total{x="3"} 3 12345\n'
        'workbench_stream_a_total{x="4"} 4\nworkbench_stream_a_total{x="5",y="\\""} 1.5e+07\n'
        'workbench_stream_a_total_more{x="6"} 1\n'
    )
    assert merged([first, second]) == (
        '# TYPE workbench_stream_a_total counter\nworkbench_stream_a_total{x="1"} 1\n'
        'workbench_stream_a_total{x="4"} 4\nworkbench_stream_a_total{x="5",y="\\""} 1.5e+07\n'
        '# TYPE workbench_stream_b gauge\nworkbench_stream_b{x="2"} NaN\n'
    )
