"""Whoever looks at a topology goes on with the run that it is started again as, also where that runs in processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.streams import process_parts as parts
from workbench.contract.errors import InvalidParameter, ProtocolError, TopologyError
from workbench.runs import Register, subscriber, tickets
from workbench.runs.topics import apply
from workbench.server.hub import Hub
from workbench.streams import FunnelNow, Gauge, LiveSink, LiveTable, ParquetReplay, TopN, Topology, find
from workbench.streams.running import Running

Start = Callable[..., Running]
SLOW, ROWS = 1e-6, 1_000
both = pytest.mark.parametrize("how", [{}, {"runner": "processes", "workers": 1}], ids=["inline", "processes"])


@pytest.fixture
def again(tmp_path: Path) -> Topology:
    """Rows of a file, of which only the first one comes while anybody waits."""
    (tmp_path / "day").mkdir()
    pq.write_table(pa.table({"at": range(ROWS), "page": ["/"] * ROWS}), tmp_path / "day" / "a.parquet")
    made = Topology("again").spout("views", ParquetReplay(str(tmp_path / "day"), time="at", speed=SLOW))
    return made.bolt("watch", LiveSink(), inputs="views")


@contextlib.asynccontextmanager
async def hub(register: Register) -> AsyncIterator[Hub]:
    async def blocking(work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, work)

    made = Hub(register, blocking)
    try:
        yield made
    finally:
        await made.close()


class Looks:
    """A page that stays open, on one topic after the other."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._some, self.state = hub, asyncio.Event(), dict[str, Any]()
        self.ended, self.states = False, list[str]()

    async def watch(self, topic: str) -> Looks:
        self.state.clear()
        self.ended = False
        self._keep = dict[str, int]()
        self._mailbox = await self._hub.subscribe(topic, self._some.set)
        self._some.set()
        return self

    async def until(self, what: Callable[[dict[str, Any]], bool]) -> None:
        async with asyncio.timeout(90):
            while not what(self.state):
                await self._some.wait()
                self._some.clear()
                for frame in self._mailbox.take():
                    apply(self.state, self._keep, frame)
                    assert "error" not in frame
                    self.ended = "end" in frame
                    self.states.append(self.state.get("state", ""))


def asked(register: Register, run_id: str, what: str) -> str:
    engine = register.engine(run_id)
    assert engine is not None
    return asyncio.run(subscriber.ask(engine, run_id, what, patience=60))


def test_who_looks_at_a_run_in_processes_sees_its_last_state_and_goes_on_with_the_next(
    again: Topology, started: Start, register: Register
) -> None:
    running = started(again, runner="processes", workers=1)
    dashboard, engine = running.shown([TopN(running, "watch", by="page")]), running.engine
    assert isinstance(dashboard, str)
    assert engine is not None
    graph = f"runs/{running.id}/topology"

    async def look() -> str:
        async with hub(register) as there:
            pages = [await Looks(there).watch(graph), await Looks(there).watch(dashboard)]
            for page in pages:
                await page.until(lambda state: state.get("state") == "running")
            assert pages[0].state["replayable"] is True
            following = await subscriber.ask(engine, running.id, "replay 1000000", patience=60)
            for page in pages:
                await page.until(lambda state: "next" in state)
                assert page.states[-1] == page.state["state"] == "stopped"
                assert page.state["next"]["run"] == following
                await page.watch(page.state["next"]["topic"])
                await page.until(lambda state: state.get("state") == "done")
            await pages[1].until(lambda state: state["value/0"]["all"] == ROWS)
            assert not pages[1].ended  # it can be played once more
            return following

    following = asyncio.run(look())
    assert running.following is not None
    assert (running.following.id, running.state) == (following, "stopped")
    now, then = register.engine(running.id), register.engine(following)
    assert now is not None
    assert then is not None
    assert now.address != engine.address
    for topic in (graph, dashboard):  # a page that asks again is let in with the ticket that it has
        assert tickets.fits(tickets.ticket(engine, topic, "page"), now, topic)
    assert running.following.wait(60).state == "done"
    third = asked(register, following, "replay")
    assert running.following.following is not None
    assert running.following.following.id == third
    running.following.following.stop()


@both
def test_what_cannot_be_started_again_says_why_and_can_be_tried_again(
    again: Topology, started: Start, register: Register, tmp_path: Path, how: dict[str, Any]
) -> None:
    day = tmp_path / "day"
    shy = Topology("shy").spout("views", parts.Shy(str(day), time="at", speed=SLOW))
    running = started(shy.bolt("watch", LiveSink(), inputs="views"), **how)
    assert running.engine is not None
    (day / "busy").touch()
    with pytest.raises(ProtocolError, match="could not be started again: LookupError: it is busy"):
        asked(register, running.id, "replay 1000000")
    assert (running.state, running.following) == ("stopped", None)
    (day / "busy").unlink()
    asked(register, running.id, "replay 1000000")
    assert running.following is not None
    assert running.following.wait(60).metrics().count("acked", "views") == ROWS
    for wrong, why in (("replay fast", "is no speed"), ("fly", "takes stop, pause, resume, replay")):
        with pytest.raises(ProtocolError, match=why):
            asked(register, running.following.id, wrong)


def test_what_was_killed_is_played_again(again: Topology, started: Start, register: Register) -> None:
    running = started(again, runner="processes", workers=1)
    assert running.engine is not None

    async def look() -> None:
        async with hub(register) as there:
            page = await Looks(there).watch(f"runs/{running.id}/topology")
            await page.until(lambda state: state.get("state") == "running")
            os.kill(running._engine.pid, signal.SIGKILL)  # type: ignore[attr-defined]
            await page.until(lambda state: state["state"] == "failed")
            assert "ended unasked" in page.state["error"]
            assert page.state["replayable"] is True
            engine = register.engine(running.id)
            assert engine is not None
            await subscriber.ask(engine, running.id, "replay 1000000", patience=60)
            await page.until(lambda state: "next" in state)

    asyncio.run(look())
    assert running.following is not None
    assert running.following.wait(60).state == "done"


@both
def test_without_a_handle_it_is_played_again_while_it_runs_and_then_no_more(
    again: Topology, register: Register, eventually: Any, how: dict[str, Any]
) -> None:
    running = again.run(register=register, **how)
    first = running.id
    assert running.engine is not None
    del running
    gc.collect()
    following = asked(register, first, "replay 1000000")

    async def look() -> bool:
        gc.collect()
        async with hub(register) as there:
            page = await Looks(there).watch(f"runs/{following}/topology")
            await page.until(lambda state: state.get("state") == "done")
            return page.state["replayable"] is False

    eventually(lambda: asyncio.run(look()), within=60)
    with pytest.raises(ProtocolError, match="nothing can be asked"):
        asked(register, following, "replay")


@both
def test_what_are_no_views_is_said(again: Topology, started: Start, how: dict[str, Any]) -> None:
    running = started(again, **how)
    for wrong in ([5], 5, None, [None], ["watch"], [[TopN(running, "watch", by="page")]], {"top": 1}):
        with pytest.raises(InvalidParameter, match="they are definitions"):
            running.shown(wrong)  # type: ignore[arg-type]


@both
def test_a_spout_that_gives_no_rows_is_said(started: Start, how: dict[str, Any]) -> None:
    with pytest.raises(TopologyError, match="spout `s` gives None for its rows; that is a generator, or a list"):
        started(Topology("t").spout("s", parts.forgot), **how)


def test_what_is_no_list_of_texts_and_no_name_is_said(again: Topology, started: Start, register: Register) -> None:
    running = started(again)
    for make in (
        lambda: LiveTable(running, "watch", columns=5),  # type: ignore[arg-type]
        lambda: FunnelNow(running, "watch", step="page", steps=None),  # type: ignore[arg-type]
        lambda: Gauge(running, "watch", warn=True),
        lambda: find(None, register=register),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidParameter, match="; it is a "):
            make()
