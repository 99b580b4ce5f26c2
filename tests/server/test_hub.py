"""One engine's subscriber, many viewers; a run without an engine is watched in the register."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.test_interface import conforms
from workbench.contract.errors import DocumentError, UnknownRun
from workbench.runs import Register
from workbench.runs.publisher import Publisher
from workbench.runs.topics import Frame, Mailbox
from workbench.server import hub as hubs
from workbench.server.hub import Hub
from workbench.server.pool import Busy


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    register = Register(tmp_path / "runs.db")
    yield register
    register.close()


class Viewer:
    def __init__(self) -> None:
        self.some, self.seen = asyncio.Event(), []
        self.mailbox: Mailbox | None = None

    async def watch(self, hub: Hub, topic: str) -> Viewer:
        self.mailbox = await hub.subscribe(topic, self.some.set)
        self.some.set()
        return self

    async def until(self, what: Callable[[dict[str, Any]], bool]) -> list[Frame]:
        async with asyncio.timeout(10):
            while not what(self.state):
                await self.some.wait()
                self.some.clear()
                assert self.mailbox is not None
                self.seen += self.mailbox.take()
        return self.seen

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for frame in self.seen:
            state.update(frame.get("snapshot", {}))
            state.update(frame.get("change", {}))
            if "end" in frame:
                state["over"] = True
        return state


def _run(act: Callable[[Hub], Any], register: Register) -> None:
    async def main() -> None:
        async def blocking(work: Callable[[], Any]) -> Any:
            return await asyncio.get_running_loop().run_in_executor(None, work)

        hub = Hub(register, blocking)
        try:
            await act(hub)
        finally:
            await hub.close()
        assert hub.topics == []

    asyncio.run(main())


def test_many_who_come_at_once_ask_the_register_once(register: Register) -> None:
    run, asked = register.begin("query", "q"), list[int]()

    async def main() -> None:
        async def blocking(work: Callable[[], Any]) -> Any:
            asked.append(1)
            return await asyncio.get_running_loop().run_in_executor(None, work)

        hub = Hub(register, blocking)
        name = f"runs/{run.id}/progress"
        viewers = await asyncio.gather(*(Viewer().watch(hub, name) for _ in range(200)))
        begun = len(asked)
        for viewer in viewers:
            await viewer.until(lambda state: state.get("run") == run.id)
        with pytest.raises(UnknownRun):
            await hub.subscribe("runs/aaaaaaaaaaaa/progress", lambda: None)
        gone = asyncio.ensure_future(hub.subscribe("runs/bbbbbbbbbbbb/progress", lambda: None))
        await asyncio.sleep(0)
        gone.cancel()
        await hub.close()
        assert begun < 20  # it was begun, and is followed

    asyncio.run(main())


def test_many_viewers_have_one_subscriber(register: Register) -> None:
    run, publisher = register.begin("query", "q"), Publisher(register)
    name = f"runs/{run.id}/progress"
    topic = publisher.topic(name, {"state": "running", "rows": 0})
    publisher.open()

    async def act(hub: Hub) -> None:
        viewers = [await Viewer().watch(hub, name) for _ in range(20)]
        for viewer in viewers:
            await viewer.until(lambda state: "rows" in state)
        await asyncio.sleep(0.1)
        assert len(topic._mailboxes) == 1
        topic.change(rows=5)
        for viewer in viewers:
            await viewer.until(lambda state: state["rows"] == 5)
        topic.change(state="done")
        topic.end()
        for viewer in viewers:
            await viewer.until(lambda state: "over" in state)
            assert viewer.state["state"] == "done"

    _run(act, register)
    publisher.close()


def test_what_runs_is_told_to_all_who_look_and_read_once(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "LIST_SECONDS", 0.02)
    first = register.begin("query", "select 1", connections=["shop"])
    reads: list[bool] = []
    listed = register.runs
    monkeypatch.setattr(register, "runs", lambda: reads.append(True) or listed())

    def ids(state: dict[str, Any]) -> list[str]:
        return [one["id"] for one in state.get("runs", ())]

    async def act(hub: Hub) -> None:
        viewers = [await Viewer().watch(hub, hubs.ALL) for _ in range(10)]
        for viewer in viewers:
            await viewer.until(lambda state: ids(state) == [first.id])
        conforms(viewers[0].state["runs"][0], "Run")
        assert hub.topics == [hubs.ALL]
        second = register.begin("query", "select 2")
        second.progress(7, 0)
        for viewer in viewers:
            await viewer.until(lambda state: set(ids(state)) == {first.id, second.id})
        before = len(reads)
        await asyncio.sleep(0.2)
        assert len(reads) - before <= 11  # however many look
        first.finish("done")
        second.finish("done")
        for viewer in viewers:
            await viewer.until(lambda state: state["runs"] == [] and state["last"] == second.id)

    _run(act, register)


def test_a_run_that_does_not_publish_is_watched_in_the_register(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "POLL_SECONDS", 0.05)
    run = register.begin("query", "q")

    async def act(hub: Hub) -> None:
        viewer = await Viewer().watch(hub, f"runs/{run.id}/progress")
        await viewer.until(lambda state: state.get("state") == "running")
        run.finish("failed", "no such table")
        await viewer.until(lambda state: "over" in state)
        assert (viewer.state["state"], viewer.state["error"]) == ("failed", "no such table")

    _run(act, register)


def test_an_engine_that_dies_hands_over_to_the_register(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "POLL_SECONDS", 0.05)
    run, publisher = register.begin("query", "q"), Publisher(register)
    name = f"runs/{run.id}/progress"
    publisher.topic(name, {"state": "running", "rows": 3})
    publisher.open()

    async def act(hub: Hub) -> None:
        viewer = await Viewer().watch(hub, name)
        await viewer.until(lambda state: state.get("rows") == 3)
        publisher._topics.clear()
        publisher.close()
        register.mark_lost(run.id)
        await viewer.until(lambda state: "over" in state)
        assert viewer.state["state"] == "lost"

    _run(act, register)


def test_a_topic_that_another_engine_has_by_now_goes_on_there(register: Register) -> None:
    run, publisher, heir = register.begin("topology", "t"), Publisher(register), Publisher(register)
    name = f"runs/{run.id}/topology"
    publisher.topic(name, {"state": "running"})
    publisher.open()

    async def act(hub: Hub) -> None:
        viewer = await Viewer().watch(hub, name)
        await viewer.until(lambda state: state.get("state") == "running")
        run.finish("done")
        topic = heir.topic(name, {"state": "done"})
        heir.open()  # of the same process, so in the place of the other one
        publisher.close(silent=True)
        await viewer.until(lambda state: state["state"] == "done")
        topic.change(next="there")
        await viewer.until(lambda state: state.get("next") == "there")
        assert not any("end" in frame for frame in viewer.seen)
        heir.close()
        await viewer.until(lambda state: "over" in state)

    _run(act, register)


def test_of_what_ended_with_its_process_the_register_says_how(register: Register) -> None:
    run = register.begin("topology", "topology trending")
    run.finish("failed", "LookupError: the source is gone.")

    async def act(hub: Hub) -> None:
        viewer = await Viewer().watch(hub, f"runs/{run.id}/topology")
        last = (await viewer.until(lambda state: "over" in state))[-1]
        assert last["error"].startswith("`topology trending` has ended (failed: LookupError: the source is gone), and")

    _run(act, register)


def test_the_last_viewer_takes_the_topic_along(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "LINGER_SECONDS", 0.05)
    run = register.begin("query", "q")

    async def act(hub: Hub) -> None:
        viewer = await Viewer().watch(hub, f"runs/{run.id}/progress")
        assert hub.topics
        await asyncio.sleep(0.2)
        assert hub.topics
        assert viewer.mailbox is not None
        viewer.mailbox.close()
        async with asyncio.timeout(5):
            while hub.topics:
                await asyncio.sleep(0.02)

    _run(act, register)


@pytest.mark.parametrize(
    "topic", ["", "runs/../progress", "runs/AAAAAAAAAAAA/progress", "runs/aaaaaaaaaaaa/progress", "secrets", "runs/a"]
)
def test_a_topic_that_cannot_be_is_refused(register: Register, topic: str) -> None:
    async def act(hub: Hub) -> None:
        with pytest.raises(UnknownRun):
            await hub.subscribe(topic, lambda: None)

    _run(act, register)


@pytest.mark.parametrize("topic", ["", "runs/{}/progress"])
def test_a_register_that_cannot_be_read_just_now_is_read_again(
    register: Register, monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    _quick(monkeypatch)
    run = register.begin("query", "q")
    failing = _failing(register, monkeypatch)

    async def act(hub: Hub) -> None:
        viewer = await Viewer().watch(hub, topic.format(run.id) or hubs.ALL)
        await viewer.until(lambda state: bool(state))
        failing.extend([Busy(), DocumentError("runs", "is locked.")])
        run.finish("done")
        await viewer.until(lambda state: state.get("state") == "done" or state.get("runs") == [])
        assert failing == []
        assert not any("error" in frame for frame in viewer.seen)

    _run(act, register)


@pytest.mark.parametrize("topic", ["", "runs/{}/progress"])
def test_a_topic_that_cannot_be_followed_ends_with_the_reason(
    register: Register, monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    _quick(monkeypatch)
    run = register.begin("query", "q")
    failing = _failing(register, monkeypatch)

    async def act(hub: Hub) -> None:
        viewer = await Viewer().watch(hub, topic.format(run.id) or hubs.ALL)
        await viewer.until(lambda state: bool(state))
        failing.extend([DocumentError("runs", "is damaged.")] * 100)
        await viewer.until(lambda state: "over" in state)
        assert "is damaged" in viewer.seen[-1]["error"]

    _run(act, register)


def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "PAUSES", (0.01, 0.01))
    for name in ("LIST_SECONDS", "POLL_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(hubs, name, 0.02)


def _failing(register: Register, monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What the next readings of the register raise."""
    failing: list[Exception] = []
    for name in ("runs", "get"):
        reads = getattr(register, name)

        def read(*asked: Any, reads: Callable[..., Any] = reads) -> Any:
            if failing:
                raise failing.pop(0)
            return reads(*asked)

        monkeypatch.setattr(register, name, read)
    return failing
