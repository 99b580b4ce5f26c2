"""Topics without a WebSocket: the same frames as events, and by requests that wait."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from tests.server.conftest import Ask, problem
from tests.server.test_interface import conforms
from workbench.runs import Run
from workbench.runs.publisher import Publisher
from workbench.runs.topics import Mailbox, Topic, apply
from workbench.server import comet, hub
from workbench.server.looking import Door
from workbench.server.services import Services
from workbench.server.watching import Watch


@pytest.fixture
def publisher(services: Services) -> Iterator[Publisher]:
    publisher = Publisher(services.register)
    publisher.open()
    yield publisher
    publisher.close()


@pytest.fixture
def run(services: Services) -> Run:
    return services.register.begin("topology", "counts")


class Stream:
    """A stream of events as a browser keeps one. `state` is that of the one topic that is asked for."""

    def __init__(self, fetch: Any, topics: str, last: str = "") -> None:
        self.frames: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.keep: dict[str, int] = {}
        self.last = last
        self.over, self.beats, self._text = False, 0, ""
        self._some = asyncio.Event()
        headers = {"Last-Event-ID": last} if last else {}
        self.answer = asyncio.ensure_future(
            fetch(
                "workbench", "api", "live", "events", params={"topics": topics}, headers=headers,
                streaming_callback=self._take, request_timeout=60,
            )
        )  # fmt: skip

    def _take(self, piece: bytes) -> None:
        *events, self._text = (self._text + piece.decode()).split("\n\n")
        for event in events:
            lines = dict(line.split(": ", 1) if line.partition(":")[0] else ("", line) for line in event.split("\n"))
            self.beats += "" in lines
            self.over = self.over or lines.get("event") == "over"
            self.last = lines.get("id", self.last)
            if "data" in lines and not self.over:
                frame = json.loads(lines["data"])
                conforms(frame, "Frame")
                self.frames.append(frame)
                apply(self.state, self.keep, frame)
        self._some.set()

    async def until(self, what: Any) -> Stream:
        async with asyncio.timeout(20):
            while not what(self):
                await self._some.wait()
                self._some.clear()
        return self


async def test_events_tell_a_topic_of_an_engine_to_its_end(jp_fetch: Any, publisher: Publisher, run: Run) -> None:
    name = f"runs/{run.id}/topology"
    topic = publisher.topic(name, {"state": "running", "rate": []}, {"rate": 3})
    stream = await Stream(jp_fetch, name).until(lambda it: it.state.get("state") == "running")
    for number in range(10):
        topic.append(rate=[number])
    await stream.until(lambda it: it.state["rate"] == [7, 8, 9])
    assert stream.keep == {"rate": 3}
    topic.change(state="stopped")
    topic.end()
    await stream.until(lambda it: it.over)
    assert (await stream.answer).headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert stream.state == {"run": run.id, "state": "stopped", "rate": [7, 8, 9]}
    for before, after in zip(stream.frames, stream.frames[1:], strict=False):
        assert after.get("after", after["number"] - ("end" not in after)) == before["number"]


async def test_a_stream_that_was_cut_off_goes_on_where_it_was(jp_fetch: Any, publisher: Publisher, run: Run) -> None:
    name = f"runs/{run.id}/topology"
    topic = publisher.topic(name, {"at": 0})
    first = await Stream(jp_fetch, name).until(lambda it: it.state.get("at") == 0)
    topic.change(at=1)
    await first.until(lambda it: it.state["at"] == 1)
    again = Stream(jp_fetch, name, first.last)
    topic.change(at=2)
    await again.until(lambda it: it.state.get("at") == 2)
    assert "snapshot" not in again.frames[0]  # what it has, it is not sent again
    topic.end()
    await asyncio.gather(first.answer, again.answer)


async def test_a_silent_stream_says_that_it_is_alive(
    jp_fetch: Any, publisher: Publisher, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comet, "BEAT_SECONDS", 0.05)
    topic = publisher.topic(f"runs/{run.id}/topology", {})
    stream = await Stream(jp_fetch, f"runs/{run.id}/topology").until(lambda it: it.beats > 2)
    topic.end()
    await stream.until(lambda it: it.over)
    await stream.answer


async def test_a_poll_waits_for_what_is_new_and_goes_on_with_its_cursor(
    ask: Ask, publisher: Publisher, run: Run
) -> None:
    name = f"runs/{run.id}/topology"
    topic = publisher.topic(name, {"at": 0})
    state: dict[str, Any] = {}
    cursors = ""

    async def poll(wait: int = 20) -> list[dict[str, Any]]:
        nonlocal cursors
        said = await ask("GET", "live/poll", topics=name, cursors=cursors, wait=wait)
        conforms(said, "Frames")
        cursors = said["cursors"]
        for frame in said["frames"]:
            apply(state, {}, frame)
        return list(said["frames"])

    while "at" not in state:
        await poll()
    assert await poll(wait=0) == []
    waiting = asyncio.ensure_future(poll())
    await asyncio.sleep(0)
    topic.change(at=1)
    assert [frame["change"] for frame in await waiting] == [{"at": 1}]
    topic.change(at=2)
    assert [frame["change"] for frame in await poll()] == [{"at": 2}]
    topic.end()
    assert "end" in (await poll())[-1]
    assert state["at"] == 2


async def test_a_topic_that_is_not_there_does_not_keep_the_others(ask: Ask, jp_fetch: Any, run: Run) -> None:
    topics = f"runs/aaaaaaaaaaaa/progress,nothing,runs/{run.id}/progress"
    said = (await ask("GET", "live/poll", topics=topics))["frames"]
    assert [one["topic"] for one in said if "error" in one] == ["runs/aaaaaaaaaaaa/progress", "nothing"]
    assert [one["topic"] for one in said if "snapshot" in one] == [f"runs/{run.id}/progress"]
    stream = await Stream(jp_fetch, "nothing").until(lambda it: it.over)
    assert "error" in stream.frames[0]
    await stream.answer


async def test_a_topic_whose_engine_has_gone_ends_with_the_reason(ask: Ask, services: Services, run: Run) -> None:
    run.finish("done")
    topics = f"runs/{run.id}/topology"
    first = await ask("GET", "live/poll", topics=topics)
    frames = list(first["frames"])
    while "end" not in frames[-1]:
        said = await ask("GET", "live/poll", topics=topics, cursors=first["cursors"])
        frames += said["frames"]
    assert "counts" in frames[-1]["error"]


async def test_what_the_engine_refuses_is_the_end_of_the_topic(
    ask: Ask, publisher: Publisher, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.05)
    large = publisher.topic(f"runs/{run.id}/large", {"text": "x" * (1 << 20)})
    for name, why in ((f"runs/{run.id}/typo", "no topic"), (large.name, "bytes, and")):
        cursors, frames = "", list[dict[str, Any]]()
        while not frames or "end" not in frames[-1]:
            said = await ask("GET", "live/poll", topics=name, cursors=cursors)
            cursors, frames = said["cursors"], [*frames, *said["frames"]]
        assert why in frames[-1]["error"]


def test_what_comes_just_when_the_time_is_up_is_not_lost() -> None:
    topic = Topic("t", {"last": []})

    class OneTopic:
        async def subscribe(self, name: str, wake: Any, cursor: str) -> Mailbox:
            return topic.subscribe(wake, cursor)

    class Open(Door):
        async def why_not(self, topic: str) -> str:
            return ""

    def busy(number: int) -> None:
        """The loop comes back when both the time is up and a frame is there."""
        time.sleep(0.003)
        topic.append(last=[number])

    async def main() -> list[int]:
        seen: list[int] = []
        handler: Any = SimpleNamespace(left=False)
        async with Watch(OneTopic(), Open(handler), ["t"]) as watch:  # type: ignore[arg-type]
            for number in range(100):
                asyncio.get_running_loop().call_later(0.001, busy, number)
                for frame in await comet.Topics.next_frames(handler, watch, 0.002) or ():
                    seen += frame.get("append", {}).get("last", [])
            while frames := await comet.Topics.next_frames(handler, watch, 0.2):
                for frame in frames:
                    seen += frame.get("append", {}).get("last", [])
        return seen

    assert asyncio.run(main()) == list(range(100))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "`topics` must name 1 to 100"),
        ({"topics": ",,"}, "`topics` must name 1 to 100"),
        ({"topics": ",".join(f"t{number}" for number in range(101))}, "`topics` must name 1 to 100"),
        ({"topics": "runs", "wait": "56"}, "`wait` must be a whole number from 0 to 55"),
        ({"topics": "runs", "wait": "-1"}, "`wait`"),
        ({"topics": "runs", "cursor": "x"}, "no parameter `cursor`"),
    ],
)
async def test_what_cannot_be_asked_is_said(ask: Ask, query: dict[str, str], said: str) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await ask("GET", "live/poll", **query)
    assert caught.value.code == 400
    assert said in problem(caught)["message"]


@pytest.mark.parametrize("cursors", ["x", "-", "-1", "ffffffff-1", "1-1,2-2,,,", "é" * 300, "99999999-99999999999"])
async def test_a_cursor_that_is_none_gets_the_whole_state(ask: Ask, run: Run, cursors: str) -> None:
    [frame] = (await ask("GET", "live/poll", topics=f"runs/{run.id}/progress", cursors=cursors))["frames"]
    assert frame["snapshot"]["state"] == "running"


async def test_who_leaves_is_not_kept(
    jp_serverapp: Any, jp_fetch: Any, http_server_port: Any, services: Services, publisher: Publisher, run: Run
) -> None:
    name = f"runs/{run.id}/topology"
    publisher.topic(name, {"at": 0})
    reader, writer = await asyncio.open_connection("127.0.0.1", http_server_port[-1])
    lines = [
        f"GET {jp_serverapp.base_url}workbench/api/live/events?topics={name} HTTP/1.1",
        f"Host: 127.0.0.1:{http_server_port[-1]}",
        f"Authorization: token {jp_serverapp.identity_provider.token}",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(20):
        assert (await reader.readline()).split()[1] == b"200"
        await reader.readuntil(b'"at":0')
        assert services.hub.topics == [name]
        writer.close()
        while services.hub.topics:
            await asyncio.sleep(0.05)
