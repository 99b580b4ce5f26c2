"""Views of streams are the same in both runners, go on when a worker is killed, and hold nothing up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.streams import process_parts as parts
from tests.streams.process_help import children, gone
from workbench.contract.errors import UnknownComponent, UnknownField, UnknownStream
from workbench.runs import Register, subscriber
from workbench.runs.topics import Topic, apply
from workbench.streams import FunnelNow, Gauge, LiveSink, LiveTable, Series, TopN, Topology, fields, find, tumbling
from workbench.streams.running import Running
from workbench.streams.tapping import NotKept

Start = Callable[..., Running]
RUNNERS: list[dict[str, Any]] = [{}, {"runner": "processes", "workers": 2}]
both = pytest.mark.parametrize("how", RUNNERS, ids=["inline", "processes"])


def seen(running: Any, views: list[Any], register: Register) -> dict[str, Any]:
    """A dashboard's state as a page has it that is opened now."""
    topic = running.shown(views)
    if isinstance(topic, Topic):
        return dict(topic.snapshot["snapshot"])
    return told(topic, running.id, register)


def told(topic: str, run_id: str, register: Register) -> dict[str, Any]:
    engine = register.engine(run_id)
    if engine is None:
        return {"state": "not told yet"}

    async def first() -> dict[str, Any]:
        state: dict[str, Any] = {}
        async with contextlib.aclosing(subscriber.frames(engine, topic, patience=30)) as coming:
            async for frame in coming:
                apply(state, {}, frame)
                break
        return state

    return asyncio.run(first())


def shop(gate: Path, count: int = 1_000) -> Topology:
    made = Topology("shop").spout("numbers", parts.Numbers(count, gate=str(gate), keys=3))
    made.bolt(
        "minutes",
        parts.counted,
        inputs=[("numbers", fields("key"))],
        window=tumbling("100ms", time="number"),
        parallelism=2,
    )
    made.bolt("watch", LiveSink(keep=50), inputs="numbers", parallelism=2)
    return made.bolt("out", parts.Slow(0.0), inputs="minutes")


def dashboard(run: Any) -> list[Any]:
    return [
        Series(run, "minutes", x="end", y="count", by="key"),
        TopN(run, "out", by="key", y="count"),
        LiveTable(run, "watch"),
        Gauge(run, "minutes", y="count", x="end"),
        FunnelNow(run, "minutes", step="key", steps=("k0", "k1", "k2"), y="count", reached=False),
        LiveTable(run, "minutes.late"),
        LiveTable(run, "numbers.dead_letter"),
    ]


@both
def test_a_dashboard_has_the_rows_of_its_streams(
    started: Start, register: Register, tmp_path: Path, eventually: Any, how: dict[str, Any]
) -> None:
    gate = tmp_path / "gate"
    gate.write_text("450")
    running = started(shop(gate), **how)

    def now() -> dict[str, Any]:
        return seen(running, dashboard(running), register)

    state = eventually(lambda: (found := now())["value/1"]["all"] == 401 and found, within=60)
    points = {point[0]: sum(point[1:]) for point in state["points/0"]}  # the last one of a time counts
    assert points == {0.0: 1, 100.0: 100, 200.0: 100, 300.0: 100, 400.0: 100}
    assert sorted(state["lines/0"]) == ["k0", "k1", "k2"]
    assert sum(state["value/4"]["counts"]) == 401
    assert state["static/0"] == {"stream": "minutes.default", "window": "tumbling(0.1 s) of number", "early": False}
    state = eventually(
        lambda: (found := now())["about/2"]["rows"] + found["about/2"]["skipped"] == 450 and found, within=60
    )
    # Each of two workers keeps as many, and so does whoever shows them.
    assert len(state["rows/2"]) == 20
    assert state["state"] == "running"
    gate.write_text("1000")
    running.wait(60)
    assert running.state == "done"
    state = eventually(lambda: (found := now())["state"] == "done" and found, within=60)
    assert state["value/1"]["all"] == 1_000
    assert {point[0]: sum(point[1:]) for point in state["points/0"]}[900.0] == 100
    assert state["about/2"]["rows"] + state["about/2"]["skipped"] == 1_000
    later = seen(running, [TopN(running, "minutes", by="end", y="count", n=20)], register)
    assert later["value/0"]["all"] == 1_000
    assert (later["state"], len(later["value/0"]["rows"])) == ("done", 11)


@both
def test_what_cannot_be_shown_says_why_in_both(started: Start, tmp_path: Path, how: dict[str, Any]) -> None:
    gate = tmp_path / "gate"
    gate.write_text("10")
    running = started(shop(gate), **how)
    for view, error in (
        (Series(running, "numbers"), NotKept),
        (Series(running, "minute"), UnknownComponent),
        (Series(running, "minutes.lat"), UnknownStream),
        (Series(running, "minutes", y="counts"), UnknownField),
    ):
        with pytest.raises(error):
            running.shown([view])


def test_values_of_all_kinds_are_seen_alike(
    started: Start, register: Register, tmp_path: Path, eventually: Any
) -> None:
    found = []
    for how in RUNNERS:
        t = Topology("kinds").spout("numbers", parts.Numbers(40)).bolt("all", parts.of_all_kinds, inputs="numbers")
        running = started(t, **how).wait(60)
        views = [
            LiveTable(running, "all", keep=40),
            TopN(running, "all", by="what"),
            Gauge(running, "all", y="what", x="number"),
            Series(running, "all", x="what", by="what"),
        ]
        state = eventually(lambda: (one := seen(running, views, register))["state"] and one, within=60)  # noqa: B023
        state["rows/0"] = [row[1:] for row in state["rows/0"]]  # but for when they came
        del state["about/1"]["first"], state["about/1"]["last"]
        found.append({key: value for key, value in state.items() if key not in ("run", "name")})
    assert found[0] == found[1]
    assert found[0]["about/2"]["bad"] > 10


def test_a_view_goes_on_when_workers_are_killed(
    started: Start, register: Register, tmp_path: Path, eventually: Any
) -> None:
    gate = tmp_path / "gate"
    gate.write_text("200")
    t = Topology("killed").spout("numbers", parts.Numbers(3_000, gate=str(gate), keys=3))
    t.bolt("squared", parts.squared, inputs="numbers", parallelism=2)
    running = started(t, runner="processes", workers=2)
    views = [
        TopN(running, "squared", by="key"),
        Series(running, "squared", x="number", how="last", keep=2_000),
    ]
    name, engine = running.shown(views), running.engine
    assert isinstance(name, str)
    assert engine is not None
    own = running._engine.pid  # type: ignore[attr-defined]

    async def watch() -> tuple[dict[str, Any], int]:
        state: dict[str, Any] = {}
        keep: dict[str, int] = {}
        let, kills, last = 200, 0, -1
        async with asyncio.timeout(120), contextlib.aclosing(subscriber.frames(engine, name, patience=30)) as coming:
            async for frame in coming:
                assert last in (-1, frame.after) or "end" in frame
                last = frame["number"]
                apply(state, keep, frame)
                seen_so_far = len({point[0] for point in state["points/1"]})
                if seen_so_far >= let and let < 1_000:  # all that was let through is drawn: one more round
                    workers = [pid for pid in children(own) if not gone(pid)]
                    if workers:
                        os.kill(workers[kills % len(workers)], signal.SIGKILL)
                        kills += 1
                    let += 200
                    gate.write_text(str(let if let < 1_000 else 3_000))
        return state, kills

    state, kills = asyncio.run(watch())
    assert kills == 4
    assert state["state"] == "done"
    eventually(lambda: running.state == "done", within=60)  # the handle hears of it by itself
    assert {point[0] for point in state["points/1"]} >= set(range(1_000, 3_000))  # the newest 2,000 are kept
    assert state["value/0"]["all"] >= 3_000  # at least once


def test_who_looks_slows_nothing_and_who_does_not_read_costs_no_memory(
    started: Start, register: Register, eventually: Any
) -> None:
    """As fast as it goes, while a page looks: what is not shown is counted, and nothing waits for it."""
    t = Topology("fast", acking=False).spout("endless", parts.Endless, parallelism=2)
    running = started(t, runner="processes", workers=2)
    name, engine = running.shown([Gauge(running, "endless"), LiveTable(running, "endless", keep=3)]), running.engine
    assert isinstance(name, str)
    assert engine is not None

    async def watch() -> dict[str, Any]:
        state: dict[str, Any] = {}
        async with asyncio.timeout(60), contextlib.aclosing(subscriber.frames(engine, name)) as coming:
            async for frame in coming:
                apply(state, {"rows/1": 3}, frame)
                about = state["about/0"]
                if about["rows"] > 20_000 and about["skipped"] > 20_000:
                    return state
        return state

    state = asyncio.run(watch())
    for name_of in ("rows", "skipped"):
        assert state["about/0"][name_of] == state["about/1"][name_of]
    running.stop()
    emitted = running.metrics().count("emitted", "endless")
    last = eventually(lambda: told(name, running.id, register), within=30)
    assert last["about/0"]["rows"] + last["about/0"]["skipped"] == emitted
    assert last["state"] == "stopped"


@both
def test_what_has_ended_is_still_to_be_seen(
    started: Start, register: Register, tmp_path: Path, eventually: Any, how: dict[str, Any]
) -> None:
    gate = tmp_path / "gate"
    gate.write_text("1000")
    running = started(shop(gate), **how)
    running.shown(dashboard(running)[:1])
    running.wait(60)
    over = find("shop", register=register)
    assert (over.id, over.state) == (running.id, "done")
    state = eventually(lambda: (one := told(over.topic, over.id, register))["state"] == "done" and one, within=30)
    assert state["component/numbers"]["acked"] == 1_000
    assert state["component/numbers"]["pending"] == 0
    assert [one["id"] for one in state["components"]] == ["numbers", "minutes", "watch", "out"]
    for views in (dashboard(over)[:1], dashboard(over)):
        again = told(over.shown(views), over.id, register)
        assert again["state"] == "done"
        assert sum({point[0]: sum(point[1:]) for point in again["points/0"]}.values()) == 1_000


@both
def test_why_it_failed_is_still_to_be_seen(
    started: Start, register: Register, eventually: Any, how: dict[str, Any]
) -> None:
    running = started(Topology("broken").spout("raising", parts.raising), **how)
    assert running.ended(60)
    over = find("broken", register=register)
    state = eventually(lambda: (one := told(over.topic, over.id, register))["state"] == "failed" and one, within=30)
    assert state["error"] == running.failure == "LookupError: the source is gone"


def test_that_its_own_process_was_killed_is_still_to_be_seen(
    started: Start, register: Register, tmp_path: Path, eventually: Any
) -> None:
    gate = tmp_path / "gate"
    gate.write_text("10")
    running = started(shop(gate), runner="processes", workers=1)
    os.kill(running._engine.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    assert running.ended(60)
    over = find("shop", register=register)
    assert over.id == running.id
    state = eventually(lambda: (one := told(over.topic, over.id, register))["state"] == "failed" and one, within=60)
    assert state["error"] == running.failure
    assert "ended unasked" in state["error"]
    assert [one["id"] for one in state["components"]] == ["numbers", "minutes", "watch", "out"]
    assert register.get(over.id).state == "lost"
