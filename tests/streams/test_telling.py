"""What viewers of a topology are told: the counts that it has, points over time, what it prints, and its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from workbench.contract.errors import ProtocolError
from workbench.runs import Register, subscriber
from workbench.runs.topics import apply
from workbench.streams import Bolt, Topology, fields, spout
from workbench.streams.running import Running
from workbench.streams.telling import KEEP, Sampler


class Even(Bolt):
    outputs = ("number",)

    def execute(self, tup: Any) -> None:
        if tup[0] == 5:
            print("five is odd")
        if tup[0] == 7:
            raise ValueError("seven")
        if tup[0] % 2 == 0:
            self.collector.emit((tup[0],))


class Take(Bolt):
    def execute(self, tup: Any) -> None:
        pass


GO = threading.Event()


@spout("number")
def numbers() -> Iterator[int | None]:
    yield from range(10)
    while not GO.is_set():
        yield None  # nothing just now


def topology() -> Topology:
    GO.clear()
    made = Topology("evens", max_retries=0, sample_every=1)
    made.spout("numbers", numbers)
    made.bolt("even", Even, inputs=[("numbers", fields("number"))], parallelism=2)
    return made.bolt("take", Take, inputs="even")


def told(running: Running) -> dict[str, Any]:
    """The state as somebody sees it who looks now."""
    assert running.topic is not None
    state: dict[str, Any] = {}
    mailbox = running.topic.subscribe(lambda: None)
    for frame in mailbox.take():
        apply(state, {}, frame)
    mailbox.close()
    return state


def test_the_last_state_has_what_the_metrics_have(register: Register, eventually: Any) -> None:
    running = topology().run(register=register)
    GO.set()
    running.wait(20)
    assert running.topic is not None
    eventually(lambda: running.topic.ended, within=10)
    state, metrics = told(running), running.metrics()
    assert (state["name"], state["state"], state["error"]) == ("evens", "done", "")
    assert state["components"] == [
        {"id": "numbers", "kind": "spout", "tasks": 1},
        {"id": "even", "kind": "bolt", "tasks": 2},
        {"id": "take", "kind": "bolt", "tasks": 1},
    ]
    assert [(one["source"], one["target"]) for one in state["edges"]] == [("numbers", "even"), ("even", "take")]
    for component in ("numbers", "even", "take"):
        counts = state[f"component/{component}"]
        for name in ("emitted", "executed", "acked", "failed", "pending"):
            assert counts[name] == metrics.count(name, component), (component, name)
    assert state["component/numbers"]["dead"] == 1
    assert {state[f"component/{name}"]["rate"] for name in ("numbers", "even", "take")} == {0}
    assert state["edge/even/default/take"] == state["emitted"][-1] == 0
    assert state["component/even"]["errors"] == 1
    assert any("five is odd" in line for line in state["log"])
    assert any("even: ValueError: seven" in line for line in state["log"])
    assert len({len(state[name]) for name in KEEP if name != "log"}) == 1


def test_rates_are_of_the_time_since_the_last_sample(register: Register) -> None:
    running = topology().run(register=register)
    GO.set()
    running.wait(20)
    metrics = running.metrics()
    sampler = Sampler(running.topology)
    values, points = sampler.sample(metrics)
    seconds = metrics.now.uptime
    assert values["component/numbers"]["rate"] == pytest.approx(11 / seconds, abs=0.1)  # one a dead letter
    assert values["edge/even/default/take"] == pytest.approx(5 / seconds, abs=0.1)
    assert points["acked"] == [pytest.approx(9 / seconds, abs=0.1)]
    assert 0 < points["p50"][0] <= points["p99"][0]
    values, points = sampler.sample(metrics)  # nothing has happened since
    assert values["component/numbers"]["rate"] == values["edge/even/default/take"] == 0
    assert (points["emitted"], points["p50"]) == ([0], [None])


def test_it_is_paused_resumed_and_stopped_from_elsewhere(register: Register, eventually: Any) -> None:
    running = topology().run(register=register)
    try:
        engine = eventually(lambda: register.engine(running.id), within=10)
        for what, state in (("pause", "paused"), ("resume", "running")):
            asyncio.run(subscriber.ask(engine, running.id, what))
            eventually(lambda: running.state == state, within=10)  # noqa: B023
        with pytest.raises(ProtocolError, match="takes stop, pause, resume, replay, and not `fly`"):
            asyncio.run(subscriber.ask(engine, running.id, "fly"))

        async def watch() -> dict[str, Any]:
            seen: dict[str, Any] = {}
            keep: dict[str, int] = {}
            async with asyncio.timeout(20):
                async for frame in subscriber.frames(engine, f"runs/{running.id}/topology"):
                    apply(seen, keep, frame)
                    if seen["state"] == "running" and seen["component/numbers"]["emitted"] > 10:
                        await subscriber.ask(engine, running.id, "stop")
            return seen

        assert asyncio.run(watch())["state"] == "stopped"
    finally:
        running.stop()
    with pytest.raises(ProtocolError, match="nothing can be asked"):
        eventually(lambda: asyncio.run(subscriber.ask(engine, running.id, "pause")), within=10)


def test_what_made_it_fail_is_told(register: Register, eventually: Any) -> None:
    @spout("number")
    def broken() -> Iterator[tuple[int]]:
        yield (1,)
        raise RuntimeError("the source is gone")

    running = Topology("broken").spout("numbers", broken).run(register=register)
    assert running.ended(20)
    assert running.topic is not None
    eventually(lambda: running.topic.ended, within=10)
    assert (told(running)["state"], told(running)["error"]) == ("failed", "RuntimeError: the source is gone")
